/* SPDX-License-Identifier: MIT */
/*
 * The RAM of a QEMU that stands still, taken and given from outside: what its
 * process has of its own is seen in /proc/PID/pagemap and copied through
 * /proc/PID/mem (proc(5)), which a parent may do to its child.
 *
 * RAM is kept in two forms. An image is a sparse file of the RAM's size, from
 * which any number of guests may be started, each with a private mapping. A
 * delta is what such a guest has changed since: a record for each run of
 * pages. So a guest that was started from an image costs what it changed,
 * however deep: its delta is always against that image.
 *
 * A process that has ended is -ESRCH, from whatever is done with its memory.
 */
#ifndef VMM_RAM_H
#define VMM_RAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent-proto/err.h"

#define RAM_PAGE 4096u
/* The longest run of pages in a record of a delta, in bytes. */
#define RAM_RUN_MAX (1u << 20)

/* A region of a process: guest-physical 0 is at addr. */
struct ram_map {
	pid_t pid;
	uint64_t addr; /* a multiple of RAM_PAGE */
	uint64_t size; /* the same */
};

/* All of a region at once, for small ones. 0 or -errno. */
int ram_peek(const struct ram_map *m, void *to, struct err *err);
int ram_poke(const struct ram_map *m, const void *from, struct err *err);

/* PATCH: an image that is there already is brought up to date. */
enum ram_form { RAM_IMAGE, RAM_DELTA, RAM_PATCH };

/* Bytes of the pages that a save of m would copy. */
int ram_own_bytes(const struct ram_map *m, uint64_t *ret, struct err *err);

/* Copies go on in steps, so that a loop can do other things in between. */
struct ram_copy;

/*
 * Saves to fd (borrowed, a regular file; empty but for a PATCH). Of an image,
 * pages that are zero become holes. NULL with err: -EPERM where the kernel does
 * not let a parent see its child's memory.
 */
struct ram_copy *ram_save_new(const struct ram_map *m, enum ram_form form,
			      int fd, struct err *err);
/* Puts a delta (fd borrowed, at its start) over what the process has. What is
 * no delta for a RAM of this size is -EBADMSG. */
struct ram_copy *ram_load_new(const struct ram_map *m, int fd, struct err *err);
/* Copies max bytes, roughly. 1: all is done; 0: call again; or -errno. */
int ram_copy_step(struct ram_copy *c, size_t max, struct err *err);
/* Bytes of pages copied so far. */
uint64_t ram_copy_bytes(const struct ram_copy *c);
struct ram_copy *ram_copy_free(struct ram_copy *c);

#endif
