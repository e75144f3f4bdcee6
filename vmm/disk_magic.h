/* SPDX-License-Identifier: MIT */
/*
 * Files that hold a disk in a format of their own: images of other virtual
 * machines, and compressed files. As a disk, their bytes are of no use to a
 * guest.
 */
#ifndef VMM_DISK_MAGIC_H
#define VMM_DISK_MAGIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes at the start of a file, and at its end, that are looked at. */
#define DISK_MAGIC_MAX	72
#define DISK_MAGIC_TAIL 512

struct disk_container {
	const char *name; /* with its article: "a VDI image" */
	bool is_packed;	  /* to be unpacked; else to be converted */
};

/* Returns the container that p[0..n), the start of a file, belongs to; NULL: it
 * is none. Static. */
const struct disk_container *disk_magic_find(const uint8_t *p, size_t n);
/* The container that p[0..n), the last DISK_MAGIC_TAIL bytes of a file, end;
 * NULL: none, as of any other n. Static. */
const struct disk_container *disk_magic_find_tail(const uint8_t *p, size_t n);

#endif
