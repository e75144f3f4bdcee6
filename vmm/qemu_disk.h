/* SPDX-License-Identifier: MIT */
/*
 * The arguments of a disk: files that lie on each other as nodes of QEMU's
 * block layer, and the virtio-blk device on the uppermost. Formats and backing
 * files are named here and never guessed by QEMU.
 *
 *	image		the user's; or none
 *	layers		qcow2, read only: what snapshots hold
 *	top		qcow2: what the guest writes; none: the uppermost of
 *			the others is the disk
 *
 * Or all that is behind a socket, where provium itself serves it.
 */
#ifndef VMM_QEMU_DISK_H
#define VMM_QEMU_DISK_H

#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/mem.h"

/* Of a node: 31 characters are QEMU's limit. */
#define QEMU_NODE_MAX 32

/* All borrowed. */
struct qemu_disk {
	const char *id;	   /* the serial number */
	const char *image; /* path; or NULL */
	bool image_is_qcow2;
	bool image_is_written;
	const int *layers; /* open files that QEMU inherits, bottom first */
	size_t n_layers;
	const char *top;     /* path; or NULL */
	unsigned generation; /* of the top: names its node */
	int nbd_fd;	     /* a connected socket, and none of the above; -1 */
	bool is_readonly;    /* of one behind a socket */
};

/* The i-th disk of the machine. */
void qemu_disk_argv(struct strvec *argv, const struct qemu_disk *d, size_t i);
/* The name of the node that is its top; of one behind a socket, generation 0.
 */
void qemu_disk_node(char ret[QEMU_NODE_MAX], size_t i, unsigned generation);

#endif
