/* SPDX-License-Identifier: MIT */
/*
 * Making the default guest out of its parts: the vmlinux, an initrd of
 * busybox, its applets and a few modules, and the list of modules that each
 * transport needs.
 */
#ifndef VMM_GUEST_BUILD_H
#define VMM_GUEST_BUILD_H

#include <stddef.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "vmm/guest_source.h"
#include "vmm/host.h"
#include "vmm/stamp.h"

/* Part of the key: raise it when the same parts shall give another image. */
#define GUEST_FORMAT  13
#define GUEST_KEY_LEN 32 /* hex digits */

#define GUEST_VMLINUX "vmlinux"
/* Also, or instead where it has no PVH entry. */
#define GUEST_BZIMAGE "bzImage"
#define GUEST_INITRD  "initrd.cpio"
#define GUEST_MODULES "modules.list"
/* What NICs need, in modules.list, where transports have their names. */
#define GUEST_NET "net"
/* The same of disks. */
#define GUEST_DISK "disk"

struct guest_module {
	char *path; /* in the guest: /lib/modules/<release>/... .ko */
	char *deps; /* what it needs, as in modules.dep */
	struct buf bytes;
};

struct guest_parts {
	char *release;
	struct buf kernel; /* the file as it is */
	struct guest_module *modules;
	size_t n_modules;
	struct strvec load[TRANSPORT_SERIAL + 1]; /* by transport */
	struct strvec load_net;			  /* beside those, for NICs */
	struct strvec load_disk;		  /* and for disks */
	struct buf busybox;
	struct strvec applets; /* "bin/sh" */
};

/* Reads all parts; each file that it depends on is added to the stamp before.
 * ret is the caller's to be released in any case. */
int guest_parts_load(const struct guest_source *source, struct stamp *stamp,
		     struct guest_parts *ret, struct err *err);
void guest_parts_done(struct guest_parts *p);

/* The same for the same content, wherever it came from. */
void guest_parts_key(const struct guest_parts *p,
		     char ret_key[GUEST_KEY_LEN + 1]);

/* Writes the files into dir. */
int guest_parts_write(const struct guest_parts *p, const char *dir,
		      struct err *err);

#endif
