/* SPDX-License-Identifier: MIT */
/* Makers of what the image code reads: compressed streams, ELF files of a
 * kernel and of modules, bzImages. All results are owned by the caller. */
#ifndef TESTS_UNIT_VMM_LIB_PACK_H
#define TESTS_UNIT_VMM_LIB_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "vmm/unpack.h"

struct buf pack(enum unpack_format f, const void *p, size_t n);

/* A vmlinux with a banner of release and a Xen note of that type. */
struct buf make_vmlinux(const char *release, uint32_t note_type);
#define NOTE_PVH 18

/* A bzImage whose payload is that, compressed. */
struct buf make_bzimage(const char *release, enum unpack_format f,
			const struct buf *payload);

/* A module whose .modinfo holds these bytes ("a=b\0c=d\0"). */
struct buf make_module(const char *modinfo, size_t n);

#endif
