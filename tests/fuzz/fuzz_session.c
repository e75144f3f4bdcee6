/* SPDX-License-Identifier: MIT */
/*
 * A session fed with anything, by a peer that means harm, while its owner
 * reacts in all ways an owner may. The input is a program: an opcode byte, at
 * times with operands, until it ends.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "agent-proto/session.h"
#include "agent-proto/session_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS 16

struct owner {
	enum session_role role;
	struct session *s;
	uint64_t nonce;
	const uint8_t *p; /* the rest of the program */
	size_t n;
	struct slot {
		struct chan *ch;
		size_t held;
		bool finished; /* the peer said fin */
		bool ended;    /* we said fin */
	} slots[SLOTS];
	struct buf out;
};

static void require(bool ok)
{
	if (!ok)
		abort();
}

static uint8_t next(struct owner *o)
{
	if (!o->n)
		return 0;
	o->n--;
	return *o->p++;
}

/* --- what an owner does ---------------------------------------------------*/

static void forget(struct owner *o, struct chan *ch)
{
	struct slot *slot = chan_ctx(ch);

	require(slot && slot->ch == ch);
	*slot = (struct slot){0};
	(void)o;
}

static struct slot *take_slot(struct owner *o)
{
	for (int i = 0; i < SLOTS; i++) {
		if (!o->slots[i].ch)
			return &o->slots[i];
	}
	return NULL;
}

static void act_on(struct owner *o, struct slot *slot, uint8_t what)
{
	static const uint8_t bytes[70000];
	size_t n = next(o) * (what & 0x80 ? 270 : 1);
	bool fin = what & 0x40;

	switch (what % 5) {
	case 0:
		n = n < slot->held ? n : slot->held;
		slot->held -= n;
		chan_consumed(slot->ch, n);
		break;
	case 1:
		if (slot->ended || !n)
			break;
		slot->ended = fin;
		chan_send(slot->ch, bytes, n, fin);
		break;
	case 2:
		if (slot->ended)
			break;
		size_t room = chan_room(slot->ch);
		size_t took = chan_write(slot->ch, bytes, n, fin);
		require(took == (n < room ? n : room));
		slot->ended = fin && took == n;
		break;
	case 3:
		chan_consumed(slot->ch, slot->held);
		slot->held = 0;
		break;
	default:
		chan_reset(slot->ch);
		*slot = (struct slot){0};
	}
}

/* The nth of those in use, going round. */
static struct slot *pick(struct owner *o, unsigned n)
{
	struct slot *found = NULL;

	for (unsigned i = 0; i < 2 * SLOTS; i++) {
		struct slot *slot = &o->slots[i % SLOTS];
		if (!slot->ch)
			continue;
		found = slot;
		if (!n--)
			break;
	}
	return found;
}

static void react(struct owner *o)
{
	uint8_t what = next(o);
	struct slot *slot = pick(o, what % SLOTS);

	if (what & 0x30 && slot)
		act_on(o, slot, next(o));
	else if (what == 0x0f && o->role == SESSION_HOST)
		session_hello(o->s, ++o->nonce);
}

/* --- callbacks ------------------------------------------------------------*/

static void on_established(void *ctx, const struct hello *peer)
{
	struct owner *o = ctx;

	require(session_is_established(o->s));
	require(peer->version == PROTO_VERSION);
	if (o->role == SESSION_HOST)
		require(peer->nonce == o->nonce);
	else
		for (int i = 0; i < SLOTS; i++)
			require(!o->slots[i].ch);
}

static void on_opened(void *ctx, struct chan *ch)
{
	struct owner *o = ctx;
	struct slot *slot = take_slot(o);

	require(o->role == SESSION_AGENT && !chan_ctx(ch));
	if (!slot) {
		chan_reset(ch);
		return;
	}
	slot->ch = ch;
	chan_set_ctx(ch, slot);
	react(o);
}

static void on_message(void *ctx, struct chan *ch, const uint8_t *p, size_t n)
{
	struct slot *slot = chan_ctx(ch);
	uint8_t *copy = mem_dup(p, n);

	require(slot->ch == ch && !slot->finished);
	require(n > 0 && n <= MSG_MAX);
	react(ctx);
	/* Still there, whatever became of the channel. */
	require(!memcmp(copy, p, n));
	free(copy);
}

static void on_data(void *ctx, struct chan *ch, const uint8_t *p, size_t n,
		    bool more)
{
	struct slot *slot = chan_ctx(ch);
	uint8_t *copy = mem_dup(p, n);

	(void)more;
	require(slot->ch == ch && !slot->finished);
	require(n > 0 && n <= FRAME_PAYLOAD_MAX);
	slot->held += n;
	require(slot->held <= CHAN_WINDOW);
	react(ctx);
	require(!memcmp(copy, p, n));
	free(copy);
}

static void on_writable(void *ctx, struct chan *ch)
{
	struct slot *slot = chan_ctx(ch);

	require(slot->ch == ch && chan_room(ch) > 0);
	react(ctx);
}

static void on_finished(void *ctx, struct chan *ch)
{
	struct slot *slot = chan_ctx(ch);

	require(slot->ch == ch && !slot->finished);
	slot->finished = true;
	react(ctx);
}

static void on_closed(void *ctx, struct chan *ch, int reason)
{
	struct slot *slot = chan_ctx(ch);

	require(slot->ch == ch);
	if (!reason)
		require(slot->finished && slot->ended);
	else
		require(reason == -ECANCELED || reason == -ECONNRESET);
	forget(ctx, ch);
	react(ctx);
}

static const struct session_ops ops = {
    .established = on_established,
    .opened = on_opened,
    .message = on_message,
    .data = on_data,
    .writable = on_writable,
    .finished = on_finished,
    .closed = on_closed,
};

/* --- the program ----------------------------------------------------------*/

static void feed(struct owner *o, const uint8_t *p, size_t n)
{
	struct err err = {0};
	size_t room;

	do {
		uint8_t *to = session_input_room(o->s, &room);
		require(room >= FRAME_PAYLOAD_MAX);
		size_t k = n < room ? n : room;
		if (k)
			memcpy(to, p, k);
		p += k;
		n -= k;
		int ret = session_input(o->s, k, &err);
		require(ret == 0 || (ret == -EPROTO && err.text[0]));
	} while (n);
	require(o->s->n_chans <= CHANNELS_MAX);
	require(o->s->partial <= SESSION_PARTIAL_MAX);
}

static void feed_program(struct owner *o, size_t n)
{
	n = n < o->n ? n : o->n;
	/* The bytes are the program's own: reactions come from behind them. */
	uint8_t *copy = mem_dup(o->p, n);
	o->p += n;
	o->n -= n;
	feed(o, copy, n);
	free(copy);
}

static void feed_hello(struct owner *o, uint8_t what)
{
	struct hello h = {
	    .version = PROTO_VERSION + (what == 0xff),
	    .nonce = o->nonce,
	    .window = what * 64u,
	};
	uint8_t b[HELLO_SIZE];

	hello_encode(&h, b);
	feed(o, b, sizeof(b));
}

/* A frame with a header that is nearly always right; its payload is zeroes,
 * so that long ones are cheap to say. */
static void feed_frame(struct owner *o)
{
	uint8_t what = next(o), flags = next(o), len = next(o);
	size_t n = flags & 0x80 ? len * 257 : len;

	if (what % 4 + 1 == FRAME_CREDIT)
		n = 4;
	if (what % 4 + 1 == FRAME_RESET)
		n = 0;
	uint8_t *b = mem_zalloc(FRAME_HEADER + n);
	b[0] = what % 4 + 1;
	b[1] = what >> 2 & 7;
	b[4] = (uint8_t)n;
	b[5] = (uint8_t)(n >> 8);
	b[7] = what % 4 < 2 ? flags & 7 : 0;
	if (b[0] == FRAME_CREDIT)
		b[FRAME_HEADER + (flags & 1)] = len;
	feed(o, b, FRAME_HEADER + n);
	free(b);
}

/* What goes out is frames and HELLOs, whole ones, and no other marker. */
static void take_output(struct owner *o, size_t limit)
{
	struct frame f;
	size_t n;

	session_output(o->s, &o->out, limit);
	const uint8_t *p = buf_data(&o->out);
	for (size_t left = o->out.len; left; left -= n, p += n) {
		n = HELLO_SIZE;
		if (left >= n && !memcmp(p, hello_marker, HELLO_MARKER))
			continue;
		require(left >= FRAME_HEADER && !frame_decode(&f, p));
		n = FRAME_HEADER + f.length;
		require(left >= n && hello_find(p, n) == n);
	}
	buf_reset(&o->out);
}

static void open_chan(struct owner *o, uint8_t what)
{
	static const uint8_t bytes[300 * 256];
	struct slot *slot = take_slot(o);

	if (o->role != SESSION_HOST || !slot)
		return;
	size_t n = 1 + (what >> 1) * (what & 0x80 ? 600 : 1);
	slot->ended = what & 1;
	slot->ch = chan_open(o->s, bytes, n, slot->ended, slot);
	if (!slot->ch)
		slot->ended = false;
}

static void step(struct owner *o)
{
	uint8_t what = next(o);

	switch (what % 8) {
	case 0:
		feed_program(o, next(o));
		break;
	case 1:
		feed_program(o, next(o) * 256u);
		break;
	case 2:
	case 3:
		feed_frame(o);
		break;
	case 4:
		take_output(o, next(o) * 300u);
		break;
	case 5:
		open_chan(o, next(o));
		break;
	case 6:
		react(o);
		break;
	default:
		feed_hello(o, next(o));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct owner o = {.p = data, .n = size};

	o.role = next(&o) & 1 ? SESSION_HOST : SESSION_AGENT;
	o.s = session_new(o.role, 1, &ops, &o);
	if (o.role == SESSION_HOST)
		session_hello(o.s, ++o.nonce);
	if (next(&o) & 1)
		feed_hello(&o, 16);
	while (o.n)
		step(&o);
	take_output(&o, SIZE_MAX);
	feed(&o, (const uint8_t *)"", 0);
	session_free(o.s);
	buf_done(&o.out);
	return 0;
}
