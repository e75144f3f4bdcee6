/* SPDX-License-Identifier: MIT */
/*
 * One QEMU's connection to a disk that provium serves, over the protocol of
 * nbd_proto.h, from the worker's loop. The export outlives it; what is changed
 * there holds from the next request on, or after nbd_update().
 */
#ifndef VMM_NBD_H
#define VMM_NBD_H

#include <stdbool.h>
#include <stdint.h>

#include "streams/loop.h"
#include "vmm/cow.h"

/* What the guest is to suffer from. */
enum disk_fault {
	FAULT_EIO_READ = 1 << 0,
	FAULT_EIO_WRITE = 1 << 1,
	FAULT_SLOW = 1 << 2,
	FAULT_ENOSPC = 1 << 3, /* of a write */
};

enum nbd_mode {
	NBD_SERVES,
	NBD_HOLDS, /* takes no request, and answers none */
	NBD_VOID,  /* answers at once, and does nothing */
};

struct nbd_export {
	struct cow *cow; /* borrowed */
	uint64_t size;
	bool is_readonly;
	unsigned faults;  /* enum disk_fault */
	int64_t delay_ns; /* of each request under FAULT_SLOW */
	enum nbd_mode mode;
};

struct nbd;

/* take_fd: a connected stream socket, non-blocking; e is borrowed. A client
 * that breaks the protocol, or leaves, loses its connection: its QEMU then has
 * errors. */
struct nbd *nbd_new(struct loop *l, int take_fd, struct nbd_export *e);
struct nbd *nbd_free(struct nbd *n);
/* The export's mode or faults have changed. */
void nbd_update(struct nbd *n);

#endif
