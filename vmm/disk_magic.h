/* SPDX-License-Identifier: MIT */
/*
 * Files that hold a disk, and are none: images of other virtual machines, and
 * compressed ones. Their own bytes as a guest's disk are of use to nobody.
 */
#ifndef VMM_DISK_MAGIC_H
#define VMM_DISK_MAGIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So much of a file tells. */
#define DISK_MAGIC_MAX 72

struct disk_container {
	const char *name; /* with its article */
	bool is_packed;	  /* to be unpacked; else to be converted */
};

/* The container that p[0..n), the first bytes of a file, begin; NULL: none.
 * Static. */
const struct disk_container *disk_magic_find(const uint8_t *p, size_t n);

#endif
