/* SPDX-License-Identifier: MIT */
/*
 * Guest images: a kernel (the uncompressed vmlinux, for PVH entry) and an
 * initrd. The default guest is made from what Debian packages hold: a kernel
 * with its modules (the running host's or /boot's when readable, else
 * linux-image-cloud-amd64 fetched by apt-get download, unpacked without root)
 * and busybox-static. Images are cached by content under
 * <cache_dir>/guests/<key>/{vmlinux,bzImage,initrd.cpio,modules.list,info}.
 */
#ifndef VMM_GUEST_H
#define VMM_GUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "vmm/host.h"

struct guest_image {
	char *key;     /* the cache key, hex */
	char *kernel;  /* path of the vmlinux, or bzImage where it has no PVH */
	char *bzimage; /* path of what the vmlinux came from; NULL: there is
			  none */
	char *initrd;  /* path of the initrd without the agent */
	char *release; /* "6.1.0-56-cloud-amd64" */
};
void guest_image_done(struct guest_image *g);

/* Told what goes on, for the slow parts: "unpacking vmlinuz ...". */
typedef void (*guest_progress_cb)(void *ctx, const char *what);

/* $PROVIUM_CACHE_DIR, else $XDG_CACHE_HOME/provium, else ~/.cache/provium, else
 * /var/tmp/provium-<uid>. Owned by the caller. */
char *guest_cache_dir(void);

/*
 * The default guest: from the cache, or built into it (written aside, renamed;
 * one builder at a time under a lock, others wait). Errors say what to
 * install. progress may be NULL. $PROVIUM_KERNEL, _BOOT_DIR, _MODULES_DIR and
 * _BUSYBOX replace where its parts are looked for.
 */
int guest_default(const char *cache_dir, guest_progress_cb progress, void *ctx,
		  struct guest_image *ret, struct err *err);

/* The same for other places than those that the environment names. */
struct guest_places;
int guest_default_from(const char *cache_dir, const struct guest_places *places,
		       guest_progress_cb progress, void *ctx,
		       struct guest_image *ret, struct err *err);

/*
 * The modules that the agent has to load for a transport (not AUTO), in order,
 * appended: paths in the guest. None where they are built in.
 */
int guest_image_modules(const struct guest_image *g, enum transport t,
			struct strvec *ret, struct err *err);

/* The same for NICs: what they need beside the modules of a transport. */
int guest_image_net_modules(const struct guest_image *g, struct strvec *ret,
			    struct err *err);

/* And for disks. */
int guest_image_disk_modules(const struct guest_image *g, struct strvec *ret,
			     struct err *err);

/* In the default guest: configures its NICs; see guest/provium-net.sh. */
#define GUEST_NET_SETUP "/sbin/provium-net"

/* Owned array of the images in the cache, newest first. */
int guest_list(const char *cache_dir, struct guest_image **ret, size_t *ret_n,
	       struct err *err);

/*
 * A kernel as QEMU likes it best: the vmlinux inside a bzImage, extracted into
 * the cache when its compression is known (lz4, zstd, xz, gzip) and it has a
 * PVH entry note; else *ret_path is a copy of path. Owned by the caller.
 */
int guest_kernel_for_boot(const char *cache_dir, const char *path,
			  char **ret_path, struct err *err);

/* Whether QEMU would start this file through PVH: vm_spec.is_linux_pvh. */
bool guest_kernel_is_pvh(const char *path);

#endif
