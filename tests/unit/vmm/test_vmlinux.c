/* SPDX-License-Identifier: MIT */
#include "vmm/vmlinux.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_pack.h"

#define RELEASE "6.9.1-test+_~2"

static void each_compression_gives_the_elf(void **state)
{
	struct buf elf = make_vmlinux(RELEASE, NOTE_PVH);

	(void)state;
	for (int f = UNPACK_GZIP; f <= UNPACK_LZ4; f++) {
		struct buf image =
		    make_bzimage(RELEASE, (enum unpack_format)f, &elf);
		struct buf out = {0};
		struct err err;

		assert_true(vmlinux_is_bzimage(buf_data(&image), image.len));
		assert_false(vmlinux_is_elf(buf_data(&image), image.len));
		assert_int_equal(
		    vmlinux_extract(buf_data(&image), image.len, &out, &err),
		    0);
		assert_int_equal(out.len, elf.len);
		assert_memory_equal(buf_data(&out), buf_data(&elf), elf.len);
		buf_done(&image);
		buf_done(&out);
	}
	buf_done(&elf);
}

static int extract(const struct buf *image, struct err *err)
{
	struct buf out = {0};
	int r = vmlinux_extract(buf_data(image), image->len, &out, err);

	buf_done(&out);
	return r;
}

static void what_is_no_bzimage_is_said(void **state)
{
	struct buf elf = make_vmlinux(RELEASE, NOTE_PVH);
	struct buf old = make_bzimage(RELEASE, UNPACK_GZIP, &elf);
	struct buf odd = make_bzimage(RELEASE, UNPACK_NONE, &elf);
	struct buf text = {0};
	struct err err;

	(void)state;
	assert_int_equal(extract(&elf, &err), -ENOEXEC);
	assert_int_equal(extract(&text, &err), -ENOEXEC);
	buf_data(&old)[0x206] = 7; /* before payload_offset */
	assert_int_equal(extract(&old, &err), -ENOEXEC);
	assert_int_equal(extract(&odd, &err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err.text, "gzip, xz, zstd or lz4"));
	buf_done(&elf);
	buf_done(&old);
	buf_done(&odd);
}

static void damaged_images_are_errors(void **state)
{
	struct buf elf = make_vmlinux(RELEASE, NOTE_PVH);
	struct buf image = make_bzimage(RELEASE, UNPACK_XZ, &elf);
	struct buf text = pack(UNPACK_NONE, "not an ELF file", 15);
	struct buf other = make_bzimage(RELEASE, UNPACK_GZIP, &text);
	struct err err;

	(void)state;
	image.len -= 100;
	assert_int_equal(extract(&image, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "cut off"));
	image.len += 100;
	memset(image.mem + image.head + 0x600 + 20, 0xff, 30);
	assert_int_equal(extract(&image, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "damaged"));
	memset(image.mem + image.head + 0x248, 0xff, 8);
	assert_int_equal(extract(&image, &err), -EBADMSG);
	assert_int_equal(extract(&other, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "not an ELF"));
	buf_done(&elf);
	buf_done(&image);
	buf_done(&text);
	buf_done(&other);
}

static void pvh_is_the_xen_note_of_type_18(void **state)
{
	struct buf with = make_vmlinux(RELEASE, NOTE_PVH);
	struct buf without = make_vmlinux(RELEASE, NOTE_PVH - 1);

	(void)state;
	assert_true(vmlinux_has_pvh(buf_data(&with), with.len));
	assert_false(vmlinux_has_pvh(buf_data(&without), without.len));
	for (size_t n = 0; n < sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr); n++)
		assert_false(vmlinux_has_pvh(buf_data(&with), n));
	buf_data(&with)[EI_CLASS] = ELFCLASS32;
	assert_false(vmlinux_has_pvh(buf_data(&with), with.len));
	buf_done(&with);
	buf_done(&without);
}

static void lying_elf_headers_are_no_pvh(void **state)
{
	static const size_t fields[] = {
	    offsetof(Elf64_Ehdr, e_phoff),
	    offsetof(Elf64_Ehdr, e_phnum),
	    sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_offset),
	    sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_filesz),
	    sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), /* n_namesz */
	    sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) + 4,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		struct buf elf = make_vmlinux(RELEASE, NOTE_PVH);

		memset(buf_data(&elf) + fields[i], 0xff, 2);
		assert_false(vmlinux_has_pvh(buf_data(&elf), elf.len));
		buf_done(&elf);
	}
}

static void release_is_read_from_both(void **state)
{
	struct buf elf = make_vmlinux(RELEASE, NOTE_PVH);
	struct buf image = make_bzimage(RELEASE, UNPACK_GZIP, &elf);
	char *a = vmlinux_release(buf_data(&elf), elf.len);
	char *b = vmlinux_release(buf_data(&image), image.len);

	(void)state;
	assert_string_equal(a, RELEASE);
	assert_string_equal(b, RELEASE);
	free(a);
	free(b);
	buf_done(&elf);
	buf_done(&image);
}

static void strange_releases_are_none(void **state)
{
	static const char *const bad[] = {"../../etc", "", "a/b", ".."};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf elf = make_vmlinux(bad[i], NOTE_PVH);
		struct buf image = make_bzimage(bad[i], UNPACK_GZIP, &elf);

		assert_null(vmlinux_release(buf_data(&elf), elf.len));
		assert_null(vmlinux_release(buf_data(&image), image.len));
		buf_done(&elf);
		buf_done(&image);
	}
	assert_null(vmlinux_release((const uint8_t *)"text", 4));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_compression_gives_the_elf),
	    cmocka_unit_test(what_is_no_bzimage_is_said),
	    cmocka_unit_test(damaged_images_are_errors),
	    cmocka_unit_test(pvh_is_the_xen_note_of_type_18),
	    cmocka_unit_test(lying_elf_headers_are_no_pvh),
	    cmocka_unit_test(release_is_read_from_both),
	    cmocka_unit_test(strange_releases_are_none),
	};

	return cmocka_run_group_tests_name("vmlinux", tests, NULL, NULL);
}
