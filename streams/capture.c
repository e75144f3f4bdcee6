/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 *	packet --> dump --> stream (its pending bytes, CAPTURE_MEMORY) -->
 *reader \                /
 *	               `--> backlog --'
 *
 * While the stream has room, and nothing older waits, a record goes right to
 * it; else to the backlog, and from there when the reader has made room. A
 * reader that waits for much (drain, expect) makes room with every delivery:
 * so what is brought from the backlog in one turn is limited, and a timer goes
 * on with it in the next.
 *
 * No more packets are taken once the network is gone or the backlog fails. The
 * stream ends when the reader has been given everything that was taken before.
 */
#include "streams/capture.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "streams/backlog.h"
#include "streams/dump.h"

/* Bytes brought from the backlog in a turn: some 10 ms. */
#define SERVE_MAX ((size_t)8 << 20)
/* The same at once when the reader asks: a drain whose deadline is now should
 * have seen what is there. */
#define SERVE_START_MAX ((size_t)64 << 20)

static_assert(CAPTURE_SNAPLEN + 64 <= BACKLOG_RECORD_MAX, "a record fits");
static_assert(CAPTURE_SNAPLEN + 64 <= CAPTURE_MEMORY, "a record gets through");

struct capture {
	struct loop *loop;     /* borrowed */
	struct stream *stream; /* whose source this is */
	struct timer *serve_timer;
	capture_closed_cb on_closed;
	void (*on_look)(void *ctx); /* or NULL */
	void *ctx;
	struct dump dump;
	struct backlog backlog;
	size_t room;
	struct err broken;  /* code 0: not */
	bool is_over;	    /* takes no more packets */
	bool is_delivering; /* stream_deliver() is up the stack */
	bool is_closed;
};

/* --- delivering ---------------------------------------------------------- */

/* May close the capture. p is valid until then. */
static void capture_deliver(struct capture *c, const uint8_t *p, size_t n)
{
	c->room -= n;
	c->is_delivering = true;
	stream_deliver(c->stream, p, n, false);
	c->is_delivering = false;
}

static void break_off(struct capture *c, const struct err *err)
{
	c->is_over = true;
	c->broken = *err;
}

static void end_stream(struct capture *c)
{
	stream_end(c->stream, c->broken.code ? &c->broken : NULL);
}

/* Brings one record; its size, 0 when there is none, or no room for it. */
static size_t serve_one(struct capture *c)
{
	struct err err;
	size_t n = 0;
	const uint8_t *p = backlog_peek(&c->backlog, &n, &err);

	if (!p) {
		if (err.code) {
			break_off(c, &err);
			end_stream(c);
		}
		return 0;
	}
	if (n > c->room)
		return 0;
	backlog_drop(&c->backlog);
	capture_deliver(c, p, n);
	return n;
}

static void capture_serve(struct capture *c, size_t max)
{
	size_t n = 1, sum = 0;

	while (!c->is_closed && n && sum < max) {
		n = serve_one(c);
		sum += n;
	}
	if (c->is_closed)
		return;
	if (!backlog_is_empty(&c->backlog)) {
		if (sum >= max)
			timer_set(c->serve_timer, clock_now_ns());
	} else if (c->is_over) {
		end_stream(c);
	}
}

static void on_serve(void *ctx)
{
	capture_serve(ctx, SERVE_MAX);
}

static void capture_consumed(void *ctx, size_t n)
{
	struct capture *c = ctx;

	c->room += n;
	if (!c->is_delivering)
		capture_serve(c, SERVE_START_MAX);
}

/* --- the network's side -------------------------------------------------- */

void capture_packet(struct capture *c, int64_t realtime_ns, const void *frame,
		    size_t n)
{
	const struct buf *record = &c->dump.out;
	struct err err;

	if (c->is_over || !dump_packet(&c->dump, realtime_ns, frame, n))
		return;
	if (backlog_is_empty(&c->backlog) && c->room >= record->len)
		capture_deliver(c, buf_data(record), record->len);
	else if (backlog_put(&c->backlog, buf_data(record), record->len, &err) <
		 0)
		break_off(c, &err);
}

void capture_end(struct capture *c)
{
	c->is_over = true;
	if (backlog_is_empty(&c->backlog))
		end_stream(c);
}

void capture_break(struct capture *c, const struct err *err)
{
	if (c->is_over)
		return;
	break_off(c, err);
	capture_end(c);
}

void capture_on_look(struct capture *c, void (*look)(void *ctx))
{
	c->on_look = look;
}

static void capture_look(void *ctx)
{
	struct capture *c = ctx;

	if (c->on_look && !c->is_over)
		c->on_look(c->ctx);
}

/* --- making and closing -------------------------------------------------- */

static void capture_release(struct capture *c)
{
	timer_free(c->serve_timer);
	c->serve_timer = NULL;
	dump_done(&c->dump);
	backlog_done(&c->backlog);
}

static void capture_close(void *ctx)
{
	struct capture *c = ctx;

	c->is_over = true;
	c->is_closed = true;
	capture_release(c);
	c->on_closed(c->ctx, c);
	/* capture_serve() or capture_packet() may be up the stack. */
	loop_defer_free(c->loop, c, free);
}

static const struct stream_source capture_source = {
    .consumed = capture_consumed,
    .close = capture_close,
    .look = capture_look,
};

static int open_dump(struct capture *c, const struct capture_options *o,
		     struct err *err)
{
	if (o->snaplen > CAPTURE_SNAPLEN)
		return err_set(err, -EINVAL, "snaplen is %u, %u is the most",
			       o->snaplen, CAPTURE_SNAPLEN);
	return dump_init(&c->dump, o->filter, o->scope,
			 o->snaplen ? o->snaplen : CAPTURE_SNAPLEN, err);
}

struct stream *capture_new(struct loop *l, const struct capture_options *o,
			   const char *spool_dir,
			   const struct stream_label *label,
			   struct stream_list *list,
			   capture_closed_cb on_closed, void *ctx,
			   struct capture **ret, struct err *err)
{
	struct capture *c = mem_zalloc(sizeof(*c));

	c->loop = l;
	c->on_closed = on_closed;
	c->ctx = ctx;
	c->room = CAPTURE_MEMORY;
	backlog_init(&c->backlog, spool_dir, CAPTURE_SPOOL_MAX);
	if (open_dump(c, o, err) < 0) {
		capture_release(c);
		free(c);
		return NULL;
	}
	c->serve_timer = timer_new(l, on_serve, c);
	c->stream =
	    stream_new(l, STREAM_CAPTURE, label, list, &capture_source, c);
	/* At once, as tcpdump -U does: no packet is a valid file, too. */
	capture_deliver(c, buf_data(&c->dump.out), c->dump.out.len);
	*ret = c;
	return c->stream;
}
