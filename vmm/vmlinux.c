/* SPDX-License-Identifier: MIT */
#include "vmm/vmlinux.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/unpack.h"

/* The setup header, offsets from the start of the image (boot.rst, "The
 * Real-Mode Kernel Header"). */
#define HDR_SETUP_SECTS	   0x1f1
#define HDR_BOOT_FLAG	   0x1fe
#define HDR_MAGIC	   0x202
#define HDR_VERSION	   0x206
#define HDR_KERNEL_VERSION 0x20e
#define HDR_PAYLOAD_OFFSET 0x248
#define HDR_PAYLOAD_LENGTH 0x24c
#define HDR_END		   0x250

#define BOOT_FLAG	   0xaa55
#define VERSION_PAYLOAD	   0x0208 /* since 2.08 there are payload_* */
#define SECTOR		   512
#define SETUP_SECTS_OLD	   4 /* what 0 stands for */
#define RELEASE_MAX	   64

#define NOTE_XEN	   "Xen"
#define NOTE_PHYS32_ENTRY  18 /* xen/include/public/elfnote.h */
#define BANNER		   "Linux version "

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t vmlinux_le32(const uint8_t *p)
{
	return le16(p) | (uint32_t)le16(p + 2) << 16;
}

bool vmlinux_is_elf(const uint8_t *image, size_t n)
{
	return n >= SELFMAG && !memcmp(image, ELFMAG, SELFMAG);
}

bool vmlinux_is_bzimage(const uint8_t *image, size_t n)
{
	return n >= HDR_END && le16(image + HDR_BOOT_FLAG) == BOOT_FLAG &&
	       !memcmp(image + HDR_MAGIC, "HdrS", 4) &&
	       le16(image + HDR_VERSION) >= VERSION_PAYLOAD;
}

/* The compressed kernel within the image; false where it would lie outside.
 */
static bool find_payload(const uint8_t *image, size_t n, const uint8_t **ret_p,
			 size_t *ret_n)
{
	uint64_t sects = image[HDR_SETUP_SECTS];
	uint64_t at = vmlinux_le32(image + HDR_PAYLOAD_OFFSET);
	uint64_t size = vmlinux_le32(image + HDR_PAYLOAD_LENGTH);

	at += ((sects ? sects : SETUP_SECTS_OLD) + 1) * SECTOR;
	if (at > n || size > n - at || size < 4)
		return false;
	*ret_p = image + at;
	*ret_n = size;
	return true;
}

int vmlinux_extract(const uint8_t *image, size_t n, struct buf *ret_elf,
		    struct err *err)
{
	enum unpack_format format;
	const uint8_t *p;
	size_t size;
	int r;

	if (!vmlinux_is_bzimage(image, n))
		return err_set(err, -ENOEXEC, "not a bzImage");
	if (!find_payload(image, n, &p, &size))
		return err_set(
		    err, -EBADMSG,
		    "the bzImage is cut off before its payload's end");
	format = unpack_detect(p, size);
	if (format == UNPACK_NONE)
		return err_set(
		    err, -EPROTONOSUPPORT,
		    "the bzImage is not compressed with gzip, xz, zstd or lz4");
	/* The build appends the unpacked size to all but gzip, which has it in
	 * its own trailer (scripts/Makefile.lib, size_append). */
	if (format != UNPACK_GZIP)
		size -= 4;
	r = unpack(format, p, size, VMLINUX_MAX, ret_elf);
	if (r < 0)
		return err_set(err, r, "the bzImage's %s payload is %s",
			       unpack_name(format),
			       r == -EFBIG ? "too large" : "damaged");
	if (!vmlinux_is_elf(buf_data(ret_elf), ret_elf->len))
		return err_set(err, -EBADMSG,
			       "the bzImage's payload is not an ELF file");
	return 0;
}

/* Notes are a header, name and description, both padded (gABI, "Note
 * Section"). */
static bool notes_hold_pvh(const uint8_t *p, uint64_t n, uint64_t align)
{
	Elf64_Nhdr h;

	while (n >= sizeof(h)) {
		uint64_t name, desc;

		memcpy(&h, p, sizeof(h));
		p += sizeof(h);
		n -= sizeof(h);
		name = (h.n_namesz + align - 1) & ~(align - 1);
		desc = (h.n_descsz + align - 1) & ~(align - 1);
		if (name > n || h.n_descsz > n - name)
			return false;
		if (h.n_type == NOTE_PHYS32_ENTRY &&
		    h.n_namesz == sizeof(NOTE_XEN) &&
		    !memcmp(p, NOTE_XEN, sizeof(NOTE_XEN)) && h.n_descsz >= 4)
			return true;
		if (desc > n - name)
			return false;
		p += name + desc;
		n -= name + desc;
	}
	return false;
}

bool vmlinux_has_pvh(const uint8_t *elf, size_t n)
{
	Elf64_Ehdr eh;

	if (n < sizeof(eh) || !vmlinux_is_elf(elf, n))
		return false;
	memcpy(&eh, elf, sizeof(eh));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_machine != EM_X86_64 ||
	    eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phoff > n ||
	    eh.e_phnum > (n - eh.e_phoff) / sizeof(Elf64_Phdr))
		return false;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, elf + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type != PT_NOTE || ph.p_offset > n ||
		    ph.p_filesz > n - ph.p_offset)
			continue;
		if (notes_hold_pvh(elf + ph.p_offset, ph.p_filesz,
				   ph.p_align == 8 ? 8 : 4))
			return true;
	}
	return false;
}

/* A word of what a release may be made of, up to a space. */
static char *vmlinux_take_release(const uint8_t *p, size_t n)
{
	size_t len = 0;

	while (len < n && len <= RELEASE_MAX &&
	       (isalnum(p[len]) || strchr(".-+_~", p[len])) && p[len])
		len++;
	if (len == 0 || len > RELEASE_MAX || len == n || p[len] != ' ' ||
	    p[0] == '.')
		return NULL;
	return mem_strndup((const char *)p, len);
}

char *vmlinux_release(const uint8_t *image, size_t n)
{
	const uint8_t *p = image, *end = image + n;

	if (vmlinux_is_bzimage(image, n)) {
		size_t at = le16(image + HDR_KERNEL_VERSION);

		at += SECTOR;
		return at > SECTOR && at < n
			   ? vmlinux_take_release(image + at, n - at)
			   : NULL;
	}
	if (!vmlinux_is_elf(image, n))
		return NULL;
	while ((p = memmem(p, (size_t)(end - p), BANNER, strlen(BANNER)))) {
		char *release;

		p += strlen(BANNER);
		release = vmlinux_take_release(p, (size_t)(end - p));
		if (release)
			return release;
	}
	return NULL;
}
