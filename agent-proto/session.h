/* SPDX-License-Identifier: MIT */
/*
 * A session: many independent channels over one byte stream, the same code at
 * both ends, without I/O. Bytes read are put in with session_input(), bytes
 * to write are taken with session_output(); what happened is told through
 * struct session_ops, from inside session_input() and nowhere else.
 *
 * A channel is opened by the host with a message and ended in each direction
 * by a fin. Messages are small and not flow-controlled (a peer may hold
 * CHANNELS_MAX open channels and SESSION_PARTIAL_MAX bytes of half-received
 * messages); data is: a sender may have `window` bytes on the way per
 * channel, and gets more as the receiver calls chan_consumed(). So a reader
 * that stops reading stops its own producer and nothing else.
 *
 * Output order: credit and resets, then messages, then data of all channels
 * in turn, a frame each. Order within a channel is kept: a message written
 * after data follows that data. So is the order in which channels are opened,
 * however long the messages are that open them: a request may name what one
 * before it made.
 *
 * States: the host calls session_hello(); from then on everything that
 * arrives is dropped until the agent's HELLO with the same nonce. The agent
 * starts silent; each HELLO that arrives, at any byte, closes all its
 * channels (closed callback, -ECONNRESET) and starts anew. A host may call
 * session_hello() at any time (after a restore, a guest reset).
 *
 * A channel also closes where no input is: when our fin is sent after the
 * peer's came, and when the host begins a new session. closed() is then told
 * at the start of the next session_input(), which may be one of 0 bytes. Until
 * then the channel counts for nothing, and every call on it is allowed and
 * goes nowhere; chan_reset() takes back the closed().
 *
 * A violation of the protocol makes session_input() return -EPROTO with the
 * reason. A host then gives up the VM; an agent's session has by itself gone
 * back to waiting for a HELLO, and goes on to be fed.
 */
#ifndef AGENT_PROTO_SESSION_H
#define AGENT_PROTO_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "agent-proto/frame.h"

/* Bump me with every change of messages.def, its fields or their meaning. */
#ifndef PROTO_VERSION /* a build of an other agent, for tests, sets it */
#define PROTO_VERSION 6u
#endif

#define MSG_MAX		    (4u << 20) /* one encoded message */
#define SESSION_PARTIAL_MAX (16u << 20)
#define CHAN_WINDOW	    (512u << 10)
#define CHANNELS_MAX	    4096

enum session_role { SESSION_HOST, SESSION_AGENT };

struct session;
struct chan;

/* Members may be NULL. */
struct session_ops {
	/* The HELLOs were exchanged, the versions agree. */
	void (*established)(void *ctx, const struct hello *peer);
	/* Agent only: a new channel; its first message follows at once. */
	void (*opened)(void *ctx, struct chan *ch);
	/* A whole message; borrowed for the call. */
	void (*message)(void *ctx, struct chan *ch, const uint8_t *p, size_t n);
	/* One frame of data, borrowed; more: the peer's write goes on in the
	 * next. Account for it with chan_consumed() when it was used up. */
	void (*data)(void *ctx, struct chan *ch, const uint8_t *p, size_t n,
		     bool more);
	/* chan_room() was too small for a chan_write() and has grown. */
	void (*writable)(void *ctx, struct chan *ch);
	/* The peer ended its direction. */
	void (*finished)(void *ctx, struct chan *ch);
	/* The last word about ch, which is invalid afterwards: 0 both sides
	 * finished, -ECANCELED the peer reset it, -ECONNRESET new session. */
	void (*closed)(void *ctx, struct chan *ch, int reason);
};

/* instance goes into the agent's HELLO; 0 for a host. ops, ctx: borrowed. */
struct session *session_new(enum session_role role, uint64_t instance,
			    const struct session_ops *ops, void *ctx);
/* Frees it and all channels, without callbacks. Not from a callback. */
struct session *session_free(struct session *s);

/* Host: begins a session. nonce must differ from those used before. */
void session_hello(struct session *s, uint64_t nonce);
bool session_is_established(const struct session *s);

/*
 * Where to read the next bytes into: *ret_n >= FRAME_PAYLOAD_MAX bytes, valid
 * until the next call on s. Then session_input() with the number read, which
 * runs the callbacks. Returns 0 or -EPROTO with err filled: a version other
 * than ours is "agent speaks protocol 2, this provium speaks 1".
 */
uint8_t *session_input_room(struct session *s, size_t *ret_n);
int session_input(struct session *s, size_t n, struct err *err);

/*
 * Appends whole frames to out until it holds at least limit bytes or nothing
 * is left to send. Keep limit near one frame: what is in out can no longer be
 * overtaken. Returns whether out is non-empty.
 */
bool session_output(struct session *s, struct buf *out, size_t limit);
bool session_has_output(const struct session *s);

/*
 * Host: opens a channel with its first message. fin: nothing else will be
 * sent. Returns NULL when CHANNELS_MAX are open or no session is established.
 */
struct chan *chan_open(struct session *s, const void *msg, size_t n, bool fin,
		       void *ctx);
void chan_set_ctx(struct chan *ch, void *ctx);
void *chan_ctx(const struct chan *ch);
uint32_t chan_id(const struct chan *ch);
struct session *chan_session(const struct chan *ch);

/* Queues one message (n <= MSG_MAX), behind data already written. */
void chan_send(struct chan *ch, const void *msg, size_t n, bool fin);

/* How many bytes chan_write() would take now: what is left of the credit. */
size_t chan_room(const struct chan *ch);
/*
 * Queues up to chan_room() bytes (copied) as one write; the peer sees `more`
 * on all but the last frame of it. Returns how many were taken; when fewer
 * than n, ops->writable fires once room has grown. fin counts only if all n
 * were taken; n may be 0 to send a bare fin.
 */
size_t chan_write(struct chan *ch, const void *p, size_t n, bool fin);
/*
 * The short way out for one write of bulk data, when nothing else waits to be
 * sent: encodes the header of a frame that carries p[0..ret) into header, and
 * counts that as sent, so that the caller must send both now, before anything
 * else of the session. Returns 0 when it has to be chan_write(); and less than
 * n where a payload must be cut: chan_write() the rest, which continues it.
 * n: 1 to FRAME_PAYLOAD_MAX.
 */
size_t chan_write_now(struct chan *ch, const void *p, size_t n,
		      uint8_t header[FRAME_HEADER]);
/* The receiver used n bytes of data up; returns credit to the peer. */
void chan_consumed(struct chan *ch, size_t n);

/* Gives the channel up at once: no callback will name it any more, the peer
 * sees closed(-ECANCELED). ch is invalid afterwards. */
void chan_reset(struct chan *ch);

#endif
