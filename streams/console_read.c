/* SPDX-License-Identifier: MIT */
/*
 * Those who read the console's log: cursors (ConsoleStreams) and expects.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "streams/console_private.h"
#include "streams/match.h"
#include "streams/wait_text.h"

/* What a cursor's stream may hold that its reader has not paid for. */
#define CURSOR_WINDOW ((size_t)256 << 10)
/* Bytes that one reader is given in a turn: some 10 ms of searching. */
#define SERVE_MAX ((uint64_t)8 << 20)
/* The same for the start of an expect, which should have seen everything
 * that is there even if its deadline is now. */
#define EXPECT_START_MAX ((uint64_t)64 << 20)

struct cursor {
	TAILQ_ENTRY(cursor) link;
	struct loop *loop;	 /* borrowed */
	struct console *console; /* borrowed; NULL: freed */
	struct stream *stream;	 /* whose source this is */
	uint64_t base;		 /* log offset of the stream's first byte */
	uint64_t at;		 /* log offset of the next byte to deliver */
	uint64_t end;		 /* where it ends; UINT64_MAX: not yet known */
	uint64_t room;		 /* window left */
	uint64_t turn;
	bool is_serving; /* cursor_serve() is up the stack */
	bool is_closed;
};

static void serve_later(struct console *c)
{
	timer_set(c->serve_timer, clock_now_ns());
}

/* --- cursors ---------------------------------------------------------------
 */

/* Delivers one block; false when there is none to deliver. */
static bool cursor_deliver(struct cursor *k, uint64_t max)
{
	uint64_t n = CONSOLE_BLOCK;
	uint64_t at = k->at;
	size_t got;

	if (n > k->room)
		n = k->room;
	if (n > max)
		n = max;
	if (n > k->end - k->at)
		n = k->end - k->at;
	if (!n)
		return false;
	got = console_log_read(&k->console->log, &k->at, k->console->out,
			       (size_t)n);
	/* Over a gap in the log. */
	k->base += k->at - at - got;
	if (!got)
		return false;
	k->room -= got;
	stream_deliver(k->stream, k->console->out, got, false);
	return true;
}

static void cursor_serve(struct cursor *k)
{
	struct console *c = k->console;
	uint64_t from = k->at;

	if (k->is_serving)
		return;
	k->is_serving = true;
	while (!k->is_closed && k->console && k->at - from < SERVE_MAX &&
	       cursor_deliver(k, SERVE_MAX - (k->at - from)))
		;
	k->is_serving = false;
	if (k->is_closed)
		return;
	if (k->console && k->room && k->at < k->end &&
	    k->at < console_log_size(&c->log))
		serve_later(c);
	if (k->at >= k->end)
		stream_end(k->stream, NULL);
}

static void cursor_consumed(void *ctx, size_t n)
{
	struct cursor *k = ctx;

	k->room += n;
	if (k->console)
		cursor_serve(k);
}

static uint64_t cursor_read_end(const struct cursor *k)
{
	return k->base + stream_taken(k->stream);
}

static void cursor_close(void *ctx)
{
	struct cursor *k = ctx;
	struct console *c = k->console;

	if (c) {
		if (c->unread < cursor_read_end(k))
			c->unread = cursor_read_end(k);
		TAILQ_REMOVE(&c->cursors, k, link);
	}
	k->console = NULL;
	k->is_closed = true;
	/* cursor_serve() may be up the stack. */
	loop_defer_free(k->loop, k, free);
}

static const struct stream_source cursor_source = {
    .consumed = cursor_consumed,
    .close = cursor_close,
};

struct stream *console_stream_new(struct console *c,
				  const struct stream_label *label,
				  struct stream_list *list)
{
	struct cursor *k = mem_zalloc(sizeof(*k)), *other;

	k->base = c->unread;
	TAILQ_FOREACH (other, &c->cursors, link)
		if (k->base < cursor_read_end(other))
			k->base = cursor_read_end(other);
	k->loop = c->loop;
	k->console = c;
	k->at = k->base;
	k->end = c->fd >= 0 ? UINT64_MAX : console_log_size(&c->log);
	k->room = CURSOR_WINDOW;
	k->turn = c->turn;
	k->stream =
	    stream_new(c->loop, STREAM_CONSOLE, label, list, &cursor_source, k);
	TAILQ_INSERT_TAIL(&c->cursors, k, link);

	struct stream *s = k->stream;
	cursor_serve(k);
	return s;
}

void console_end_cursors(struct console *c)
{
	struct cursor *k;

	TAILQ_FOREACH (k, &c->cursors, link)
		if (k->end > console_log_size(&c->log))
			k->end = console_log_size(&c->log);
}

/* --- expect ----------------------------------------------------------------
 */

static void expect_unlink(struct console_expect *x)
{
	TAILQ_REMOVE(&x->console->expects, x, link);
	x->console = NULL;
}

static struct wait_text expect_text(struct console_expect *x,
				    struct stream_pattern *pat, uint8_t *tail)
{
	struct console *c = x->console;
	uint64_t at = c->boot_mark;

	if (console_log_size(&c->log) - at > STREAM_EXCERPT_MAX)
		at = console_log_size(&c->log) - STREAM_EXCERPT_MAX;
	*pat = (struct stream_pattern){x->text, x->n};
	return (struct wait_text){
	    .verb = "expect",
	    .patterns = pat,
	    .n_patterns = 1,
	    .tail = tail,
	    .tail_n = console_log_read(&c->log, &at, tail, STREAM_EXCERPT_MAX),
	};
}

static void expect_broken(struct console_expect *x, const char *what)
{
	uint8_t tail[STREAM_EXCERPT_MAX];
	struct stream_pattern pat;
	struct wait_text text = expect_text(x, &pat, tail);
	struct err err;

	wait_text_broken(&err, -EPIPE, what, &text);
	expect_unlink(x);
	op_finish(&x->op, -EPIPE, &err);
}

static void expect_ended(struct console_expect *x)
{
	int code = x->console->read_errno;
	char what[128];

	snprintf(what, sizeof(what), "console EOF%s%s",
		 code ? ", it cannot be read: " : "",
		 code ? strerror(code) : "");
	expect_broken(x, what);
}

static void on_expect_stop(struct op *op, int reason)
{
	struct console_expect *x = CONTAINER_OF(op, struct console_expect, op);
	uint8_t tail[STREAM_EXCERPT_MAX];
	struct stream_pattern pat;

	if (!x->console)
		return;
	if (reason == -ETIMEDOUT) {
		struct wait_text text = expect_text(x, &pat, tail);

		wait_text_timeout(&op->err, &text);
	}
	expect_unlink(x);
}

/* Searches the next block; *ret_n is its size. */
static bool expect_search_block(struct console_expect *x, size_t *ret_n)
{
	struct console *c = x->console;
	uint64_t at = x->scanned;
	struct match_hit hit;
	size_t n;

	n = console_log_read(&c->log, &x->scanned, c->out, CONSOLE_BLOCK);
	*ret_n = n;
	/* Nothing matches across a gap in the log. */
	if (x->scanned - at != n)
		match_reset(x->matcher);
	return n && match_feed(x->matcher, c->out, n, &hit);
}

/* Searches up to max bytes that it has not seen. */
static void expect_serve(struct console_expect *x, uint64_t max)
{
	struct console *c = x->console;
	uint64_t from = x->scanned;
	size_t n;

	do {
		if (expect_search_block(x, &n)) {
			expect_unlink(x);
			op_finish(&x->op, 0, NULL);
			return;
		}
	} while (n && x->scanned - from < max);
	if (n && x->scanned < console_log_size(&c->log))
		serve_later(c);
	else if (c->fd < 0)
		expect_ended(x);
}

void console_expect_start(struct console_expect *x, struct console *c,
			  const void *text, size_t n, int64_t deadline_ns)
{
	struct stream_pattern pat;
	struct err err;

	*x = (struct console_expect){.n = n, .turn = c->turn};
	op_init(&x->op, c->loop, on_expect_stop);
	op_start(&x->op, deadline_ns);
	if (!n || n > STREAM_PATTERN_MAX) {
		err_set(&err, -EINVAL,
			"expect: the text has %zu bytes, "
			"1 to %zu can be found",
			n, STREAM_PATTERN_MAX);
		op_finish(&x->op, -EINVAL, &err);
		return;
	}
	x->text = mem_dup(text, n);
	pat = (struct stream_pattern){x->text, n};
	x->matcher = match_new(&pat, 1);
	x->console = c;
	x->scanned = c->boot_mark;
	TAILQ_INSERT_TAIL(&c->expects, x, link);
	expect_serve(x, EXPECT_START_MAX);
}

void console_expect_done(struct console_expect *x)
{
	op_done(&x->op);
	x->matcher = match_free(x->matcher);
	free(x->text);
	x->text = NULL;
}

void console_restart_expects(struct console *c)
{
	struct console_expect *x = NULL;

	TAILQ_FOREACH (x, &c->expects, link) {
		x->scanned = c->boot_mark;
		match_reset(x->matcher);
	}
}

/* --- all of them -----------------------------------------------------------
 */

static struct cursor *next_cursor(struct console *c)
{
	struct cursor *k;

	TAILQ_FOREACH (k, &c->cursors, link)
		if (k->turn != c->turn)
			return k;
	return NULL;
}

static struct console_expect *next_expect(struct console *c)
{
	struct console_expect *x;

	TAILQ_FOREACH (x, &c->expects, link)
		if (x->turn != c->turn)
			return x;
	return NULL;
}

void console_interrupt_expects(struct console *c, const struct err *err)
{
	struct console_expect *x;

	c->turn++;
	while ((x = next_expect(c))) {
		expect_unlink(x);
		op_finish(&x->op, err->code, err);
	}
}

/* Any reader's code may add and remove readers; so each step looks for one
 * that has not had its go. */
void console_serve(struct console *c)
{
	struct console_expect *x;
	struct cursor *k;

	c->turn++;
	while ((k = next_cursor(c))) {
		k->turn = c->turn;
		cursor_serve(k);
	}
	while ((x = next_expect(c))) {
		x->turn = c->turn;
		expect_serve(x, SERVE_MAX);
	}
}

void console_drop_readers(struct console *c)
{
	struct cursor *k;

	while (!TAILQ_EMPTY(&c->expects))
		op_cancel(&TAILQ_FIRST(&c->expects)->op);
	while ((k = TAILQ_FIRST(&c->cursors))) {
		TAILQ_REMOVE(&c->cursors, k, link);
		k->console = NULL;
		stream_end(k->stream, NULL);
	}
}
