/* SPDX-License-Identifier: MIT */
/*
 * Where the default guest's parts come from: a kernel, its modules, a static
 * busybox.
 */
#ifndef VMM_GUEST_SOURCE_H
#define VMM_GUEST_SOURCE_H

#include <stdbool.h>

#include "agent-proto/err.h"
#include "vmm/guest.h"

/* Where to look; each is overridden by an environment variable. */
struct guest_places {
	const char *kernel;  /* PROVIUM_KERNEL: this one, or NULL */
	const char *boot;    /* PROVIUM_BOOT_DIR, /boot */
	const char *modules; /* PROVIUM_MODULES_DIR, /lib/modules */
	bool wants_boot;     /* PROVIUM_BOOT_DIR is set */
	bool wants_modules;  /* PROVIUM_MODULES_DIR is set */
	const char *busybox; /* PROVIUM_BUSYBOX, or NULL: busybox in PATH */
};
void guest_places_get(struct guest_places *ret);

struct guest_source {
	char *kernel;	   /* a bzImage or vmlinux */
	char *release;	   /* of that kernel */
	char *modules;	   /* its folder of modules; NULL: it has none */
	char *busybox;	   /* a static one */
	bool from_package; /* unpacked in the folder given to find */
};
void guest_source_done(struct guest_source *s);

/*
 * The kernel of places, else the best of /boot (that of a cloud flavour, then
 * the newest; readable and with modules.dep), else Debian's package, fetched
 * and unpacked in tmp_dir. Errors say what to install.
 */
int guest_source_find(const struct guest_places *places, const char *tmp_dir,
		      guest_progress_cb progress, void *ctx,
		      struct guest_source *ret, struct err *err);

/* Whether the places can be met: -ENOENT where PROVIUM_BOOT_DIR holds no kernel
 * or PROVIUM_MODULES_DIR no modules of one, and another kernel would be fetched
 * instead. */
int guest_source_check(const struct guest_places *places, struct err *err);

/* Whether a kernel is there without fetching one. */
bool guest_source_is_local(const struct guest_places *places);

/*
 * The best kernel of a boot folder. needs_dep: its modules must have a
 * modules.dep. False where there is none; else fills kernel, release and
 * modules of a ret that holds none yet.
 */
bool guest_source_scan(const char *boot, const char *modules, bool needs_dep,
		       struct guest_source *ret);

#endif
