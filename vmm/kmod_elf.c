/* SPDX-License-Identifier: MIT */
/* The ELF side of kmod.h: what a module says about itself. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "vmm/kmod.h"

/* The section's header, checked to lie within the file with all it spans. */
static bool get_section(const uint8_t *elf, size_t n, const Elf64_Ehdr *eh,
			unsigned i, Elf64_Shdr *ret)
{
	if (i >= eh->e_shnum)
		return false;
	memcpy(ret, elf + eh->e_shoff + i * sizeof(*ret), sizeof(*ret));
	return ret->sh_type != SHT_NOBITS && ret->sh_offset <= n &&
	       ret->sh_size <= n - ret->sh_offset;
}

static bool get_header(const uint8_t *elf, size_t n, Elf64_Ehdr *eh)
{
	if (n < sizeof(*eh))
		return false;
	memcpy(eh, elf, sizeof(*eh));
	return !memcmp(eh->e_ident, ELFMAG, SELFMAG) &&
	       eh->e_ident[EI_CLASS] == ELFCLASS64 &&
	       eh->e_ident[EI_DATA] == ELFDATA2LSB &&
	       eh->e_shentsize == sizeof(Elf64_Shdr) && eh->e_shoff <= n &&
	       eh->e_shnum <= (n - eh->e_shoff) / sizeof(Elf64_Shdr);
}

/* Entries are "key=value", each ended by NUL (and padded by more). */
static void take_values(const char *p, size_t n, const char *key,
			struct strvec *ret)
{
	size_t key_n = strlen(key);

	while (n) {
		size_t len = strnlen(p, n);

		if (len == n)
			return; /* not ended */
		if (len > key_n && p[key_n] == '=' && !memcmp(p, key, key_n))
			strvec_add(ret, p + key_n + 1);
		p += len + 1;
		n -= len + 1;
	}
}

int kmod_modinfo(const uint8_t *elf, size_t n, const char *key,
		 struct strvec *ret)
{
	static const char wanted[] = ".modinfo";
	Elf64_Shdr names, sh;
	Elf64_Ehdr eh;

	if (!get_header(elf, n, &eh) ||
	    !get_section(elf, n, &eh, eh.e_shstrndx, &names))
		return -EBADMSG;
	for (unsigned i = 0; i < eh.e_shnum; i++) {
		if (!get_section(elf, n, &eh, i, &sh) ||
		    names.sh_size < sizeof(wanted) ||
		    sh.sh_name > names.sh_size - sizeof(wanted) ||
		    memcmp(elf + names.sh_offset + sh.sh_name, wanted,
			   sizeof(wanted)) != 0)
			continue;
		take_values((const char *)elf + sh.sh_offset, sh.sh_size, key,
			    ret);
	}
	return 0;
}
