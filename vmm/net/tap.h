/* SPDX-License-Identifier: MIT */
/*
 * A TAP: a network interface of the kernel's whose other end is a file, a frame
 * a read or write. It goes with the last fd on it, so nothing has to be removed
 * whatever becomes of this process. We hold one as long as the guest has its
 * place on the bridge, QEMU has a copy while it runs: so the interface, what it
 * counts and captures of it last from boot to boot.
 */
#ifndef VMM_NET_TAP_H
#define VMM_NET_TAP_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "streams/loop.h"
#include "vmm/net/wire.h"

/* Frames read in a turn: then it is another one's. */
#define TAP_BATCH 16u
/* More frames than its queue in the kernel holds. */
#define TAP_DRAIN_MAX 4096u

/* Its fd is -1 when it is closed. */
struct tap {
	char name[IF_NAMESIZE];
	int fd; /* non-blocking, as is every copy of it */
	struct loop *loop;
	struct wire_arena *arena;
	/* FRAME_MIN <= n <= FRAME_MAX. May close the TAP. */
	void (*frame)(void *ctx, const uint8_t *p, size_t n, int64_t now_ns);
	void *ctx;
	struct watch *watch; /* while it is read here */
};

/* Opens /dev/net/tun: -errno with what helps. */
int tap_open_tun(struct err *err);

/* Makes the interface, which must not be there yet. loop and arena are
 * borrowed; frame may be NULL for one that is never read here. */
int tap_open(struct tap *t, const char *name, struct loop *l,
	     struct wire_arena *arena,
	     void (*frame)(void *ctx, const uint8_t *p, size_t n,
			   int64_t now_ns),
	     void *ctx, struct err *err);
void tap_close(struct tap *t);
/* Whether what the kernel sends is read here, in the loop. */
void tap_read(struct tap *t, bool is_on);
/* False: it was dropped. */
bool tap_write(const struct tap *t, const uint8_t *p, size_t n);

struct tap_count {
	uint64_t frames, bytes;
};
/* What is in its queue is gone; adds up what that was. */
void tap_drain(struct tap *t, struct tap_count *sum);

/* As the kernel counts: rx is what was written to the file. */
struct tap_stats {
	struct tap_count rx, tx;
	uint64_t rx_errors, tx_dropped;
};
/* False: no such interface. */
bool tap_stats(const struct tap *t, struct tap_stats *ret);
/* Of the line of that interface in /proc/net/dev (proc(5)). */
bool tap_parse_stats(const char *text, const char *name, struct tap_stats *ret);

#endif
