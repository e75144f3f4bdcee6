/* SPDX-License-Identifier: MIT */
#include "tests/unit/vmm/lib_pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "agent-proto/mem.h"

#define LZ4_BLOCK ((size_t)8 << 20)

static void put32(struct buf *b, uint32_t v)
{
	uint8_t p[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
			(uint8_t)(v >> 24)};

	buf_append(b, p, 4);
}

static struct buf pack_none(const void *p, size_t n)
{
	struct buf b = {0};

	buf_append(&b, p, n);
	return b;
}

static struct buf pack_gzip(const void *p, size_t n)
{
	struct buf b = {0};
	z_stream z = {0};
	size_t room;

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8,
				      Z_DEFAULT_STRATEGY),
			 Z_OK);
	room = deflateBound(&z, n) + 32;
	z.next_in = (z_const Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = buf_room(&b, room);
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_commit(&b, room - z.avail_out);
	deflateEnd(&z);
	return b;
}

static struct buf pack_xz(const void *p, size_t n)
{
	size_t room = lzma_stream_buffer_bound(n), pos = 0;
	struct buf b = {0};

	assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, p,
						 n, buf_room(&b, room), &pos,
						 room),
			 LZMA_OK);
	buf_commit(&b, pos);
	return b;
}

static struct buf pack_zstd(const void *p, size_t n)
{
	size_t room = ZSTD_compressBound(n);
	struct buf b = {0};
	size_t r = ZSTD_compress(buf_room(&b, room), room, p, n, 1);

	assert_false(ZSTD_isError(r));
	buf_commit(&b, r);
	return b;
}

static struct buf pack_lz4(const void *p, size_t n)
{
	const char *at = p;
	struct buf b = {0};

	put32(&b, 0x184c2102);
	while (n) {
		size_t len = n < LZ4_BLOCK ? n : LZ4_BLOCK;
		int bound = LZ4_compressBound((int)len);
		char *out = mem_alloc((size_t)bound);
		int r = LZ4_compress_default(at, out, (int)len, bound);

		assert_true(r > 0);
		put32(&b, (uint32_t)r);
		buf_append(&b, out, (size_t)r);
		free(out);
		at += len;
		n -= len;
	}
	return b;
}

struct buf pack(enum unpack_format f, const void *p, size_t n)
{
	static struct buf (*const packers[])(const void *p, size_t n) = {
	    [UNPACK_NONE] = pack_none, [UNPACK_GZIP] = pack_gzip,
	    [UNPACK_XZ] = pack_xz,     [UNPACK_ZSTD] = pack_zstd,
	    [UNPACK_LZ4] = pack_lz4,
	};

	return packers[f](p, n);
}

static Elf64_Ehdr elf_header(void)
{
	Elf64_Ehdr eh = {
	    .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
			ELFDATA2LSB, EV_CURRENT},
	    .e_machine = EM_X86_64,
	    .e_phentsize = sizeof(Elf64_Phdr),
	    .e_shentsize = sizeof(Elf64_Shdr),
	};

	return eh;
}

struct buf make_vmlinux(const char *release, uint32_t note_type)
{
	const size_t notes_at = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
	Elf64_Ehdr eh = elf_header();
	Elf64_Phdr ph = {.p_type = PT_NOTE, .p_offset = notes_at, .p_align = 4};
	struct buf notes = {0}, b = {0};

	/* Another note first, with padding in name and content. */
	put32(&notes, 6);
	put32(&notes, 5);
	put32(&notes, NOTE_PVH);
	buf_append(&notes, "Linux\0\0\0desc1\0\0\0", 16);
	put32(&notes, 4);
	put32(&notes, 4);
	put32(&notes, note_type);
	buf_append(&notes, "Xen\0\0\0\0\1", 8);

	ph.p_filesz = notes.len;
	eh.e_phoff = sizeof(eh);
	eh.e_phnum = 1;
	buf_append(&b, &eh, sizeof(eh));
	buf_append(&b, &ph, sizeof(ph));
	buf_append(&b, buf_data(&notes), notes.len);
	buf_printf(&b, "..Linux version %%s..Linux version %s (gcc) #1",
		   release);
	buf_done(&notes);
	return b;
}

struct buf make_bzimage(const char *release, enum unpack_format f,
			const struct buf *payload)
{
	struct buf packed = pack(f, buf_data(payload), payload->len);
	uint8_t head[3 * 512] = {0}; /* boot sector, setup of one, and a gap */
	struct buf b = {0};

	if (f != UNPACK_GZIP)
		put32(&packed, (uint32_t)payload->len);
	head[0x1f1] = 1; /* setup_sects: the protected mode is at 0x400 */
	memcpy(head + 0x1fe, "\x55\xaa", 2);
	memcpy(head + 0x202, "HdrS\x0f\x02", 6);
	head[0x20e] = 0x00; /* kernel_version at 0x100 + 0x200 */
	head[0x20f] = 0x01;
	snprintf((char *)head + 0x300, 128, "%s (me@host) #1", release);
	head[0x249] = 0x02; /* payload_offset 0x200 */
	for (int i = 0; i < 4; i++)
		head[0x24c + i] = (uint8_t)(packed.len >> (8 * i));
	buf_append(&b, head, sizeof(head));
	buf_append(&b, buf_data(&packed), packed.len);
	buf_append(&b, "behind the payload", 18);
	buf_done(&packed);
	return b;
}

struct buf make_module(const char *modinfo, size_t n)
{
	static const char names[] = "\0.shstrtab\0.modinfo";
	const size_t at = sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Shdr);
	Elf64_Ehdr eh = elf_header();
	Elf64_Shdr sh[3] = {
	    {.sh_type = SHT_NULL},
	    {.sh_name = 1,
	     .sh_type = SHT_STRTAB,
	     .sh_offset = at,
	     .sh_size = sizeof(names)},
	    {.sh_name = 11,
	     .sh_type = SHT_PROGBITS,
	     .sh_offset = at + sizeof(names),
	     .sh_size = n},
	};
	struct buf b = {0};

	eh.e_shoff = sizeof(eh);
	eh.e_shnum = 3;
	eh.e_shstrndx = 1;
	buf_append(&b, &eh, sizeof(eh));
	buf_append(&b, sh, sizeof(sh));
	buf_append(&b, names, sizeof(names));
	buf_append(&b, modinfo, n);
	return b;
}
