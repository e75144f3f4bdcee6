/* SPDX-License-Identifier: MIT */
/*
 * Frames over a stream socketpair, each behind its length in four bytes, big
 * endian: our end of what a NIC is plugged into. QEMU holds the other (-netdev
 * stream); nothing that it does can block the loop, fill memory or take a turn
 * for itself.
 */
#ifndef VMM_NET_WIRE_H
#define VMM_NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "streams/loop.h"
#include "vmm/net/packet.h"

/* Frames that wait for a slow reader, in bytes: those that find no room are
 * dropped, as by any switch. */
#define WIRE_QUEUE_MAX ((size_t)1 << 20)
/* What a socket holds, asked for; the kernel may grant less (wmem_max). */
#define WIRE_SOCKET_BYTES (1 << 20)
/* Of each frame's length. */
#define WIRE_HEADER 4u
/* Bytes read in a turn, then it is another wire's: one of the longest frames,
 * or so many shorter ones. */
#define WIRE_READ_MAX ((size_t)WIRE_HEADER + FRAME_MAX)

struct wire;

/* Where frames are read to; shared by all wires of a loop. */
struct wire_arena {
	uint8_t *mem;
	bool is_busy; /* frames are being handed over */
	/* What these are sent then leaves when that is done, in one write. */
	TAILQ_HEAD(wire_list, wire) dirty;
};
void wire_arena_init(struct wire_arena *a);
void wire_arena_done(struct wire_arena *a);
/* Around the frames of a batch, which are in mem: what wires are to send
 * meanwhile leaves at its end, in one write for each. */
void wire_arena_begin(struct wire_arena *a);
void wire_arena_end(struct wire_arena *a);

struct wire_events {
	/* FRAME_MIN <= n <= FRAME_MAX. May close the wire. */
	void (*frame)(void *ctx, const uint8_t *p, size_t n, int64_t now_ns);
	/* What cannot be a frame: too short or too long. */
	void (*bad)(void *ctx);
};

/* A socket, and the frames of which only a part has passed: it stays with the
 * socket. fd = -1 and all else zero: closed. */
struct wire_socket {
	int fd;
	struct buf in; /* the beginning of a frame, or of its length */
	size_t skip;   /* bytes to come that are no frame's */
	struct buf out;
	size_t cut; /* bytes of the first frame in out, where some are sent */
};

struct wire {
	struct loop *loop;
	struct wire_arena *arena;
	const struct wire_events *events;
	void *ctx;
	struct wire_socket s;
	struct watch *watch;
	uint64_t opened; /* how often: tells one socket from the next */
	bool is_dirty;	 /* in the arena's list */
	bool is_full;	 /* waits for room */
	TAILQ_ENTRY(wire) link;
};

/* loop, arena and events are borrowed. */
void wire_init(struct wire *w, struct loop *l, struct wire_arena *arena,
	       const struct wire_events *events, void *ctx);
/* Closes what was open. *ret_theirs is the other end, non-blocking and
 * close-on-exec, the caller's. 0 or -errno. */
int wire_open(struct wire *w, int *ret_theirs, struct err *err);
/* The two ends by themselves: ours for wire_give(), and QEMU's. */
int wire_pair(struct wire_socket *ret, int *ret_theirs, struct err *err);
/* Closes what was open. */
void wire_give(struct wire *w, struct wire_socket *take);
/* Lets go of the socket, still open or not, and of the frames that wait to be
 * sent or were not read whole. *ret is the caller's. */
void wire_take(struct wire *w, struct wire_socket *ret);
/* Idempotent. */
void wire_socket_close(struct wire_socket *s);
/* Idempotent; also after the peer is gone, which a wire notices and then closes
 * itself. */
void wire_close(struct wire *w);
bool wire_is_open(const struct wire *w);

enum wire_sent { WIRE_SENT, WIRE_FULL, WIRE_GONE };
/* SENT: or queued. */
enum wire_sent wire_send(struct wire *w, const void *p, size_t n);

/* Reads what the socket holds now. No effect from inside events.frame of a
 * wire with the same arena. */
void wire_drain(struct wire *w);

#endif
