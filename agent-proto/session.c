/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * The problem: one byte stream to a guest carries many requests at once, some
 * of them bulk transfers, and the stream can be cut at any byte: a guest is
 * restored from a snapshot, or reset, while a frame is half-way through the
 * device. The two ends then know nothing about what the other one has seen.
 *
 * Resynchronisation. A HELLO begins with a marker that occurs nowhere else
 * (frame.h), so the receiver finds it without knowing where frames begin. The
 * agent looks for it in every byte that arrives, in whatever state it is; the
 * host only between its own HELLO and the answer. Bytes are searched before
 * they are parsed, and a frame is parsed only up to a marker found, so what
 * was cut off is dropped, however reads are split. (One exception is inherent:
 * when a read ends inside the marker and a frame that was cut off lacked no
 * more than those bytes, it is completed by them. Its channel is closed as
 * soon as the rest of the marker is there.) Two markers never overlap, but a
 * marker may begin inside the body of a HELLO that was itself cut off; so the
 * search goes on directly behind the marker, not behind the body.
 *
 * The nonce tells the answer to this HELLO from that to an earlier one, which
 * may still be in the pipe.
 *
 * Files: session.c has states and parsing, session_in.c what frames do,
 * session_out.c the order of output, chan.c the channels.
 *
 *	host:   IDLE --session_hello()--> HUNT --HELLO, same nonce--> OPEN
 *	        any --session_hello()--> HUNT, any --violation--> IDLE
 *	agent:  HUNT --HELLO--> OPEN --HELLO--> OPEN, OPEN --violation--> HUNT
 *
 * A channel is live from its OPEN until both fins went by, a reset, or a new
 * session. Then it is dead: out of the table, with its closed() due. Channels
 * also die outside of session_input() (our fin is sent last; the host says
 * HELLO); as callbacks come from inside only, these wait in s->dead until
 * input comes next. Until then their owner may hold and use the pointer.
 *
 * Memory that a peer can claim: CHANNELS_MAX channels, SESSION_PARTIAL_MAX of
 * messages in pieces, one read buffer. Data is never stored here: it is handed
 * over as it comes, and CHAN_WINDOW bounds what the owner may have to keep.
 */
#include "agent-proto/session.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "agent-proto/session_impl.h"

struct session *session_new(enum session_role role, uint64_t instance,
			    const struct session_ops *ops, void *ctx)
{
	struct session *s = mem_zalloc(sizeof(*s));

	s->role = role;
	s->state = role == SESSION_HOST ? SESSION_IDLE : SESSION_HUNT;
	s->instance = instance;
	s->ops = ops;
	s->ctx = ctx;
	s->input = mem_alloc(INPUT_SIZE);
	s->next_id = 1;
	TAILQ_INIT(&s->credits);
	TAILQ_INIT(&s->small);
	TAILQ_INIT(&s->big);
	TAILQ_INIT(&s->bulk);
	TAILQ_INIT(&s->dead);
	return s;
}

struct session *session_free(struct session *s)
{
	struct chan *ch;

	if (!s)
		return NULL;
	session_kill_all(s, -ECONNRESET);
	while ((ch = TAILQ_FIRST(&s->dead)))
		chan_destroy(ch);
	buf_done(&s->control);
	free(s->input);
	free(s);
	return NULL;
}

void session_reap(struct session *s)
{
	struct chan *ch;

	while ((ch = TAILQ_FIRST(&s->dead))) {
		/* Unlinked first: the callback may begin a new session. */
		chan_dequeue(ch);
		if (s->ops->closed)
			s->ops->closed(s->ctx, ch, ch->reason);
		chan_destroy(ch);
	}
}

void session_kill_all(struct session *s, int reason)
{
	struct chan *ch;

	s->active = NULL;
	for (size_t i = 0; i < CHAN_BUCKETS; i++) {
		while ((ch = s->chans[i])) {
			/* The owner of a host's channel made it; an agent's
			 * has not heard of one whose message is in pieces. */
			if (s->role == SESSION_HOST || ch->announced)
				chan_kill(ch, reason);
			else
				chan_destroy(ch);
		}
	}
}

void session_hello(struct session *s, uint64_t nonce)
{
	assert(s->role == SESSION_HOST);
	session_kill_all(s, -ECONNRESET);
	s->state = SESSION_HUNT;
	s->nonce = nonce;
	s->scan = s->start;
	control_hello(s, nonce, s->instance);
}

bool session_is_established(const struct session *s)
{
	return s->state == SESSION_OPEN;
}

static bool is_scanning(const struct session *s)
{
	return s->role == SESSION_AGENT || s->state == SESSION_HUNT;
}

uint8_t *session_input_room(struct session *s, size_t *ret_n)
{
	size_t keep = s->start;

	if (is_scanning(s) && s->scan < keep)
		keep = s->scan;
	/* Move little, or seldom. */
	if (s->end - keep <= HELLO_SIZE ||
	    INPUT_SIZE - s->end < FRAME_PAYLOAD_MAX) {
		memmove(s->input, s->input + keep, s->end - keep);
		s->scan = s->scan > keep ? s->scan - keep : 0;
		s->start -= keep;
		s->end -= keep;
	}
	*ret_n = INPUT_SIZE - s->end;
	assert(*ret_n >= FRAME_PAYLOAD_MAX);
	return s->input + s->end;
}

/* Whether there is a marker: s->scan is then where it begins. */
static bool find_marker(struct session *s)
{
	if (!is_scanning(s))
		return false;
	size_t left = s->end - s->scan;
	size_t at = hello_find(s->input + s->scan, left);
	if (at < left) {
		s->scan += at;
		return true;
	}
	/* One may begin in the last bytes. */
	if (left >= HELLO_MARKER)
		s->scan = s->end - (HELLO_MARKER - 1);
	return false;
}

static int on_hello(struct session *s, const struct hello *h, struct err *err)
{
	bool is_host = s->role == SESSION_HOST;

	if (is_host && h->nonce != s->nonce)
		return 0;
	session_kill_all(s, -ECONNRESET);
	session_reap(s);
	if (!is_host)
		control_hello(s, h->nonce, s->instance);
	if (h->version != PROTO_VERSION) {
		s->state = is_host ? SESSION_IDLE : SESSION_HUNT;
		if (!is_host)
			return 0;
		return err_set(
		    err, -EPROTO,
		    "agent speaks protocol %u, this provium speaks %u: "
		    "rebuild the guest with this provium",
		    (unsigned)h->version, (unsigned)PROTO_VERSION);
	}
	s->state = SESSION_OPEN;
	s->window = h->window < WINDOW_MAX ? h->window : WINDOW_MAX;
	if (s->ops->established)
		s->ops->established(s->ctx, h);
	return 0;
}

/* At the marker. Returns whether there was enough to go on, or -EPROTO. */
static int session_take_hello(struct session *s, struct err *err)
{
	const uint8_t *body = s->input + s->scan + HELLO_MARKER;
	size_t left = s->end - s->scan;
	struct hello h;

	s->start = s->scan;
	if (left < HELLO_SIZE)
		return 0;
	left -= HELLO_MARKER;
	s->scan += HELLO_MARKER;
	/* A newer one that begins in the body cut this one off. */
	size_t next = hello_find(body, left);
	if (next < HELLO_BODY) {
		s->start = s->scan + next;
		return 1;
	}
	s->start = s->scan + HELLO_BODY;
	hello_decode(&h, body);
	int ret = on_hello(s, &h, err);
	return ret < 0 ? ret : 1;
}

/* The next frame that ends by limit. Returns whether there was one, or
 * -EPROTO. */
static int session_take_frame(struct session *s, size_t limit, struct err *err)
{
	const uint8_t *p = s->input + s->start;
	struct frame f;

	/* A marker may lie in the body of the last HELLO, before start. */
	if (limit < s->start + FRAME_HEADER)
		return 0;
	if (frame_decode(&f, p) < 0)
		return err_set(
		    err, -EPROTO,
		    "the %s broke the protocol: what it sent is no frame "
		    "(kind %u, flags %u, %u bytes)",
		    s->role == SESSION_HOST ? "agent" : "host", (unsigned)p[0],
		    f.flags, (unsigned)f.length);
	if (limit - s->start < FRAME_HEADER + f.length)
		return 0;
	s->start += FRAME_HEADER + f.length;
	int ret = session_dispatch(s, &f, p + FRAME_HEADER, err);
	return ret < 0 ? ret : 1;
}

/* Returns whether it got on, or -EPROTO. */
static int session_step(struct session *s, struct err *err)
{
	bool marker = find_marker(s);
	size_t limit = marker ? s->scan : s->end;

	if (s->state == SESSION_OPEN) {
		int ret = session_take_frame(s, limit, err);
		if (ret)
			return ret;
	} else if (s->start < limit) {
		s->start = limit;
	}
	return marker ? session_take_hello(s, err) : 0;
}

int session_input(struct session *s, size_t n, struct err *err)
{
	int ret, first = 0;

	assert(n <= INPUT_SIZE - s->end);
	s->end += n;
	session_reap(s);
	while ((ret = session_step(s, first ? NULL : err))) {
		if (ret > 0)
			continue;
		first = ret;
		session_kill_all(s, -ECONNRESET);
		if (s->role == SESSION_HOST) {
			s->state = SESSION_IDLE;
			s->start = s->end;
			return ret;
		}
		s->state = SESSION_HUNT;
	}
	session_reap(s);
	return first;
}
