/* SPDX-License-Identifier: MIT */
/*
 * What a disk of a guest is made from.
 *
 *	scratch		nothing: it is empty, and goes with the VM
 *	template	an image that stays as it is: what the guest writes goes
 *			into a file of the VM's
 *	in place	an image that the guest writes, and which stays
 *
 * An image is raw, or qcow2. What a guest wrote to the start of a raw image may
 * look like the header of a qcow2 image which names any file of the host; so
 * an image is taken for one that names files only where its own name, which no
 * guest can write, ends in ".qcow2".
 */
#ifndef VMM_DISK_H
#define VMM_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/err.h"

/* Slots of the root bus, beside those of VM_NICS_MAX. */
#define VM_DISKS_MAX 8
/* Files that lie on each other, each a snapshot's but the last. */
#define DISK_LAYERS_MAX 32
/* The guest gets an id as the serial number (VIRTIO_BLK_ID_BYTES). */
#define DISK_ID_MAX 20
#define DISK_SECTOR 512

enum disk_source { DISK_SCRATCH, DISK_TEMPLATE, DISK_IN_PLACE };

/* All borrowed. */
struct disk_spec {
	const char *id; /* disk_check_id() */
	enum disk_source source;
	const char *path; /* absolute; NULL: scratch */
	uint64_t size;	  /* of a scratch disk, bytes */
	bool is_readonly; /* no scratch */
	bool is_mediated; /* provium serves it: vm_mediated.c */
};

/* What an image is. */
struct disk_image {
	bool is_qcow2;
	uint64_t size; /* of the disk that it holds, bytes */
};

/* Letters, digits, '.', '_' and '-', 1 to DISK_ID_MAX. */
bool disk_id_is_good(const char *id);
/* Bytes of a scratch disk: whole sectors, and not too many. */
int disk_check_size(uint64_t size, struct err *err);
/* Looks at the image; will_write: it is to be written in place. */
int disk_inspect(const char *path, bool will_write, struct disk_image *ret,
		 struct err *err);

#endif
