/* SPDX-License-Identifier: MIT */
/*
 * As much of the qcow2 format (QEMU, docs/interop/qcow2.txt) as it takes to
 * make an empty image, and to tell what an image is: no program is run for
 * either.
 */
#ifndef VMM_QCOW2_H
#define VMM_QCOW2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"

/* So much of a file tells what it is. */
#define QCOW2_HEADER_MAX 104
/* Of a virtual disk. Its first-level table then has 256 KiB. */
#define QCOW2_SIZE_MAX (UINT64_C(16) << 40)

struct qcow2_info {
	uint64_t size; /* of the virtual disk, bytes */
	/* It says by itself which other files of the host belong to it. */
	bool names_files;
	bool is_encrypted;
};

/* Whether p[0..n), the first bytes of a file, have the magic of qcow2. */
bool qcow2_is(const uint8_t *p, size_t n);
/* What such a header says; -EBADMSG where it is none. */
int qcow2_parse(const uint8_t *p, size_t n, struct qcow2_info *ret,
		struct err *err);

/*
 * A new image of size bytes (a multiple of 512, up to QCOW2_SIZE_MAX), without
 * data, that names no backing file: on what it lies, whoever opens it says. The
 * file must not exist.
 */
int qcow2_create(const char *path, uint64_t size, struct err *err);

/* The length of the file of such an image, for as long as it has no data. */
uint64_t qcow2_empty_bytes(uint64_t size);

/* Of the start of a file: in it are the names that QEMU writes. */
#define QCOW2_NAMES_AT_MAX 65536
/* Of a name, and its NUL (QEMU, docs/interop/qcow2.txt: 1023 bytes). */
#define QCOW2_NAME_MAX 1024

/* Of a format's name, and its NUL; a longer one is cut. */
#define QCOW2_FORMAT_MAX 16

/* Empty: there is no such file, or format. */
struct qcow2_names {
	char backing[QCOW2_NAME_MAX];
	char data[QCOW2_NAME_MAX];     /* the external data file */
	char format[QCOW2_FORMAT_MAX]; /* of the backing file */
	/* The header names a file, and the bytes do not hold its name. */
	bool is_cut;
};

/* The names in p[0..n), the start of a file. False: it is no qcow2 image. */
bool qcow2_find_names(const uint8_t *p, size_t n, struct qcow2_names *ret);

#endif
