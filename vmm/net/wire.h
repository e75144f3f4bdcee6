/* SPDX-License-Identifier: MIT */
/*
 * Frames over a datagram socketpair, a datagram each: our end of what a NIC is
 * plugged into. QEMU holds the other (-netdev dgram); nothing that it does can
 * block the loop, fill memory or take a turn for itself.
 */
#ifndef VMM_NET_WIRE_H
#define VMM_NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "streams/loop.h"
#include "vmm/net/packet.h"

/* Frames read at a time, and in a turn: then it is another wire's. */
#define WIRE_BATCH 16u
/* Frames that wait for a slow reader, in bytes: those that find no room are
 * dropped, as by any switch. */
#define WIRE_QUEUE_MAX ((size_t)1 << 20)
/* What a socket holds, asked for; the kernel may grant less (wmem_max), and
 * the longest frame fits in its default. */
#define WIRE_SOCKET_BYTES (1 << 20)
/* More frames than any socket buffer holds. */
#define WIRE_DRAIN_MAX 8192u

/* Where frames are read to; shared by all wires of a loop. */
struct wire_arena {
	uint8_t *mem;
	bool is_busy;
};
void wire_arena_init(struct wire_arena *a);
void wire_arena_done(struct wire_arena *a);

struct wire_events {
	/* FRAME_MIN <= n <= FRAME_MAX. May close the wire. */
	void (*frame)(void *ctx, const uint8_t *p, size_t n, int64_t now_ns);
	/* A datagram that cannot be a frame. */
	void (*bad)(void *ctx);
};

/* A zeroed one with fd = -1 is closed. */
struct wire {
	struct loop *loop;
	struct wire_arena *arena;
	const struct wire_events *events;
	void *ctx;
	int fd;
	struct watch *watch;
	struct buf queue; /* length and bytes of each frame */
	uint64_t opened;  /* how often: tells one socket from the next */
};

/* loop, arena and events are borrowed. */
void wire_init(struct wire *w, struct loop *l, struct wire_arena *arena,
	       const struct wire_events *events, void *ctx);
/* Closes what was open. *ret_theirs is the other end, non-blocking and
 * close-on-exec, the caller's. 0 or -errno. */
int wire_open(struct wire *w, int *ret_theirs, struct err *err);
/* The two ends by themselves: ours for wire_give(), and QEMU's. */
int wire_pair(int ret[2], struct err *err);
/* Closes what was open. */
void wire_give(struct wire *w, int take_fd);
/* Lets go of the socket, still open, and of what waits to be sent: the
 * caller's, or -1. */
int wire_take(struct wire *w);
/* Idempotent; also after the peer is gone, which a wire notices when it sends
 * and then closes itself. */
void wire_close(struct wire *w);
bool wire_is_open(const struct wire *w);

enum wire_sent { WIRE_SENT, WIRE_FULL, WIRE_GONE };
/* SENT: or queued. */
enum wire_sent wire_send(struct wire *w, const void *p, size_t n);

/* Reads what the socket holds now. No effect from inside events.frame of a
 * wire with the same arena. */
void wire_drain(struct wire *w);

#endif
