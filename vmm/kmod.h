/* SPDX-License-Identifier: MIT */
/*
 * Kernel modules of one release: which there are, what each needs first, and
 * their bytes uncompressed. Dependencies come from modules.dep where depmod
 * has written one; a package that is only unpacked has none, there each
 * module's own .modinfo is asked.
 *
 * Module names are compared as modprobe does: '-' equals '_', without folder,
 * ".ko" and compression suffix.
 */
#ifndef VMM_KMOD_H
#define VMM_KMOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "agent-proto/mem.h"

#define KMOD_FILE_MAX  ((size_t)64 << 20) /* one module, unpacked */
#define KMOD_DEP_MAX   ((size_t)16 << 20) /* modules.dep */
#define KMOD_COUNT_MAX 65536
#define KMOD_DEPTH_MAX 32

struct kmod_index;

/* dir is /lib/modules/<release>. Owned; NULL with err. */
struct kmod_index *kmod_index_open(const char *dir, struct err *err);
struct kmod_index *kmod_index_free(struct kmod_index *x);

/*
 * Appends the paths (relative to dir) of a module and of all it needs, in the
 * order to load them, without those that ret_paths holds already. Nothing is
 * appended for one that is built in. -ENOENT: the kernel has no such module.
 */
int kmod_closure(struct kmod_index *x, const char *name,
		 struct strvec *ret_paths, struct err *err);

/* A module file's bytes, uncompressed, appended to out. */
int kmod_read(const char *path, struct buf *out, struct err *err);

/* The values of a key ("alias") in a module's .modinfo, appended. -EBADMSG:
 * not a 64-bit little-endian ELF file. */
int kmod_modinfo(const uint8_t *elf, size_t n, const char *key,
		 struct strvec *ret);

/* "virtio_rng" of "kernel/drivers/char/hw_random/virtio-rng.ko.xz"; owned,
 * NULL where it is no module's path. */
char *kmod_name(const char *path);

/*
 * For tests and the fuzzer: an index of the text of a modules.dep; dir is what
 * modules would be read from. NULL with -EBADMSG.
 */
struct kmod_index *kmod_index_parse(const char *dir, const char *text, size_t n,
				    struct err *err);

#endif
