/* SPDX-License-Identifier: MIT */
/*
 * The reader's side of the engine: one struct wait_ops for each mode of
 * waiting. stream.c has the theory.
 */
#include "streams/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/stream_private.h"
#include "streams/wait_text.h"

enum wait_mode {
	WAIT_NEXT,
	WAIT_MATCH,
	WAIT_DRAIN,
	WAIT_TAKE,
	WAIT_READ,
	WAIT_MODES
};

struct wait_ops {
	/* Finishes the wait or pays for more, as the last thing. */
	void (*progress)(struct stream *s, struct stream_wait *w);
	/* The result at the deadline; fills w->op.err if it is negative. A
	 * drain's sets n_due. */
	int (*timed_out)(struct stream *s, struct stream_wait *w);
	/* Moves what is due (n_due frames or bytes) from the queue to w. */
	void (*take)(struct stream *s, struct stream_wait *w);
};

/* What a take can ask for is never more than may be held, even if it comes in
 * frames of one byte. */
static_assert(STREAM_TAKE_MAX * (1 + sizeof(uint32_t)) <= STREAM_PENDING_MAX,
	      "a take could wait for what flow control keeps away");

struct type_text {
	const char *eof;
	const char *closed;
};

static const struct wait_ops wait_ops[WAIT_MODES];
static const struct type_text type_texts[STREAM_TYPES];

/* --- paying and finishing ---------------------------------------------- */

static void pay(struct stream *s, uint64_t limit)
{
	if (s->is_closed || limit <= s->credit)
		return;
	size_t n = (size_t)(limit - s->credit);

	s->credit = limit;
	s->source->consumed(s->source_ctx, n);
}

static void stream_wait_finish(struct stream *s, struct stream_wait *w,
			       int result, const struct err *err)
{
	s->waiter = NULL;
	op_finish(&w->op, result, err);
}

void stream_settle(struct stream *s, struct stream_wait *w)
{
	uint64_t from = s->q.begin;

	s->waiter = NULL;
	w->is_held = false;
	wait_ops[w->mode].take(s, w);
	s->taken += s->q.begin - from;
}

/* n frames or bytes are the outcome. */
static void finish_due(struct stream *s, struct stream_wait *w, size_t n,
		       int result)
{
	w->n_due = n;
	w->is_held = w->hold;
	if (!w->hold) {
		stream_settle(s, w);
		pay(s, s->q.begin);
	}
	op_finish(&w->op, result, NULL);
}

void stream_wait_accept(struct stream_wait *w)
{
	struct stream *s = w->stream;

	if (!w->is_held)
		return;
	stream_settle(s, w);
	pay(s, s->q.begin);
}

/* What a held wait was to get stays pending. */
static void stream_wait_give_up(struct stream_wait *w)
{
	if (!w->is_held)
		return;
	w->is_held = false;
	w->stream->waiter = NULL;
}

void stream_progress(struct stream *s)
{
	if (stream_is_waited(s))
		wait_ops[s->waiter->mode].progress(s, s->waiter);
}

void stream_fail_waiter(struct stream *s)
{
	stream_wait_finish(s, s->waiter, s->broken.code, &s->broken);
}

static struct stream *
stream_wait_next_interrupted(const struct stream_list *list)
{
	struct stream *s;

	TAILQ_FOREACH (s, list, link)
		if (s->is_interrupted)
			return s;
	return NULL;
}

/* Who is told may free any stream of the list. */
void stream_list_interrupt(struct stream_list *list, const struct err *err)
{
	const struct err why = *err;
	struct stream *s;

	TAILQ_FOREACH (s, list, link)
		s->is_interrupted = stream_is_waited(s);
	while ((s = stream_wait_next_interrupted(list))) {
		s->is_interrupted = false;
		if (stream_is_waited(s))
			stream_wait_finish(s, s->waiter, why.code, &why);
	}
}

/* The outcome of a next or drain that can get nothing any more. */
static void finish_empty(struct stream *s, struct stream_wait *w)
{
	if (s->broken.code)
		stream_fail_waiter(s);
	else
		stream_wait_finish(s, w, 0, NULL);
}

void stream_pending_text(const struct stream *s, struct buf *out)
{
	uint8_t tail[STREAM_EXCERPT_MAX];

	wait_text_excerpt(out, tail,
			  pending_tail(&s->q, tail, STREAM_EXCERPT_MAX));
}

/* --- next ---------------------------------------------------------------- */

static void next_progress(struct stream *s, struct stream_wait *w)
{
	size_t n = pending_frames(&s->q);

	if (n > w->skip)
		finish_due(s, w, w->skip + 1, 1);
	else if (s->is_ended && n && !s->broken.code)
		finish_due(s, w, n, 0);
	else if (s->is_ended)
		finish_empty(s, w);
	else
		/* The rest of a frame may be longer than the window. */
		pay(s, s->q.end);
}

static void next_take(struct stream *s, struct stream_wait *w)
{
	for (size_t i = 0; i < w->n_due; i++)
		pending_take_frame(&s->q, i < w->skip ? NULL : &w->bytes);
}

static int next_timed_out(struct stream *s, struct stream_wait *w)
{
	(void)s;
	(void)w;
	return 0;
}

/* --- read_until and expect ----------------------------------------------- */

/* tail holds STREAM_EXCERPT_MAX bytes. */
static struct wait_text match_text(struct stream *s, struct stream_wait *w,
				   uint8_t *tail)
{
	return (struct wait_text){
	    .verb = w->verb,
	    .patterns = w->patterns,
	    .n_patterns = w->n_patterns,
	    .tail = tail,
	    .tail_n = pending_tail(&s->q, tail, STREAM_EXCERPT_MAX),
	};
}

static void match_finish_broken(struct stream *s, struct stream_wait *w,
				int code, const char *what)
{
	uint8_t tail[STREAM_EXCERPT_MAX];
	struct wait_text text = match_text(s, w, tail);
	struct err err;

	stream_wait_finish(s, w, wait_text_broken(&err, code, what, &text),
			   &err);
}

static void match_take(struct stream *s, struct stream_wait *w)
{
	pending_take(&s->q, w->n_due, w->keep ? &w->bytes : NULL);
}

static bool match_scan(struct stream *s, struct stream_wait *w,
		       uint64_t *ret_end, size_t *ret_index)
{
	uint64_t work = match_work(w->matcher), at;
	struct match_hit hit;
	bool is_hit = false;
	const uint8_t *p;
	size_t n;

	while (!is_hit && (p = pending_scan(&s->q, &n, &at))) {
		is_hit = match_feed(w->matcher, p, n, &hit);
		if (is_hit) {
			*ret_end = at + hit.end;
			*ret_index = hit.index;
		}
	}
	s->work += match_work(w->matcher) - work;
	return is_hit;
}

static void match_progress(struct stream *s, struct stream_wait *w)
{
	uint64_t end = 0;

	if (match_scan(s, w, &end, &w->index))
		finish_due(s, w, (size_t)(end - s->q.begin), 0);
	else if (s->broken.code)
		stream_fail_waiter(s);
	else if (s->is_ended)
		match_finish_broken(s, w, -EPIPE, type_texts[s->type].eof);
	else if (pending_cost(&s->q) >= STREAM_PENDING_MAX)
		match_finish_broken(
		    s, w, -ENOBUFS,
		    "1 GiB arrived without a match, all of it still pending");
	else
		pay(s, s->q.end);
}

static int match_timed_out(struct stream *s, struct stream_wait *w)
{
	CLEANUP(buf_done) struct buf held_up = {0};
	uint8_t tail[STREAM_EXCERPT_MAX];
	struct wait_text text = match_text(s, w, tail);

	stream_tell_held_up(s, &held_up);
	text.held_up = &held_up;
	return wait_text_timeout(&w->op.err, &text);
}

/* --- drain -----------------------------------------------------------------
 */

/* How many frames it would get now. */
static size_t drain_due(const struct stream *s)
{
	size_t n = pending_frames(&s->q);

	return n < STREAM_DRAIN_MAX ? n : STREAM_DRAIN_MAX;
}

static void drain_progress(struct stream *s, struct stream_wait *w)
{
	size_t n;

	if (s->is_ended) {
		n = drain_due(s);
		if (n)
			finish_due(s, w, n, (int)n);
		else
			finish_empty(s, w);
	} else if (pending_cost(&s->q) < STREAM_PENDING_MAX &&
		   s->q.n_frames < STREAM_DRAIN_MAX) {
		pay(s, s->q.end);
	}
}

static int drain_timed_out(struct stream *s, struct stream_wait *w)
{
	w->n_due = drain_due(s);
	return (int)w->n_due;
}

static void drain_take(struct stream *s, struct stream_wait *w)
{
	size_t n = w->n_due;

	if (n)
		w->frames = mem_realloc_array(NULL, n, sizeof(*w->frames));
	for (; w->n_frames < n; w->n_frames++) {
		w->frames[w->n_frames] = (struct buf){0};
		pending_take_frame(&s->q, &w->frames[w->n_frames]);
	}
}

/* --- take --------------------------------------------------------------- */

static void take_progress(struct stream *s, struct stream_wait *w)
{
	size_t n = (size_t)pending_size(&s->q);

	if (n >= w->n_bytes)
		finish_due(s, w, w->n_bytes, (int)w->n_bytes);
	else if (!s->is_ended)
		pay(s, s->q.end);
	else if (n && !s->broken.code)
		finish_due(s, w, n, (int)n);
	else
		finish_empty(s, w);
}

static void take_take(struct stream *s, struct stream_wait *w)
{
	pending_take(&s->q, w->n_due, &w->bytes);
}

static int take_timed_out(struct stream *s, struct stream_wait *w)
{
	return err_set(&w->op.err, -ETIMEDOUT,
		       "%s timed out: %zu of %zu bytes there", w->verb,
		       (size_t)pending_size(&s->q), w->n_bytes);
}

/* --- read ------------------------------------------------------------------
 */

static void read_progress(struct stream *s, struct stream_wait *w)
{
	size_t n = (size_t)pending_size(&s->q);

	if (n > w->n_bytes)
		n = w->n_bytes;
	if (n)
		finish_due(s, w, n, (int)n);
	else if (s->is_ended)
		finish_empty(s, w);
}

/* --- the waiter ---------------------------------------------------------- */

static void stream_wait_on_wait_stop(struct op *op, int reason)
{
	struct stream_wait *w = CONTAINER_OF(op, struct stream_wait, op);
	struct stream *s = w->stream;

	if (!s || s->waiter != w)
		return;
	s->waiter = NULL;
	if (reason != -ETIMEDOUT)
		return;
	op->result = wait_ops[w->mode].timed_out(s, w);
	if (op->result <= 0)
		return;
	if (w->hold) {
		s->waiter = w;
		w->is_held = true;
		return;
	}
	stream_settle(s, w);
	pay(s, s->q.begin);
}

static void wait_clear(struct stream_wait *w)
{
	stream_wait_give_up(w);
	buf_done(&w->bytes);
	for (size_t i = 0; i < w->n_frames; i++)
		buf_done(&w->frames[i]);
	free(w->frames);
	w->frames = NULL;
	w->n_frames = 0;
	w->matcher = match_free(w->matcher);
	w->index = 0;
}

void stream_wait_init(struct stream_wait *w, struct stream *s)
{
	*w = (struct stream_wait){.stream = s};
	op_init(&w->op, s->loop, stream_wait_on_wait_stop);
}

void stream_wait_done(struct stream_wait *w)
{
	op_done(&w->op);
	wait_clear(w);
}

/* Starts the op; false when it is over already. */
static bool wait_begin(struct stream_wait *w, enum wait_mode mode,
		       int64_t deadline_ns)
{
	struct stream *s = w->stream;
	struct err err;

	wait_clear(w);
	w->mode = mode;
	op_start(&w->op, deadline_ns);
	if (!s->waiter)
		return true;
	err_set(&err, -EBUSY, "another call is waiting on this stream (%s %s)",
		s->label.kind, s->label.detail);
	op_finish(&w->op, -EBUSY, &err);
	return false;
}

/* The last step of a start. */
static void wait_go(struct stream_wait *w)
{
	struct stream *s = w->stream;

	if (s->is_closed) {
		stream_finish_closed(s, w);
		return;
	}
	if (s->source->look)
		s->source->look(s->source_ctx);
	s->waiter = w;
	stream_progress(s);
}

void stream_finish_closed(struct stream *s, struct stream_wait *w)
{
	struct err err;

	if (w->mode != WAIT_MATCH) {
		op_finish(&w->op, 0, NULL);
		return;
	}
	err_set(&err, -ESHUTDOWN, "%s", type_texts[s->type].closed);
	op_finish(&w->op, -ESHUTDOWN, &err);
}

void stream_next(struct stream_wait *w, int64_t deadline_ns)
{
	if (wait_begin(w, WAIT_NEXT, deadline_ns))
		wait_go(w);
}

void stream_drain(struct stream_wait *w, int64_t deadline_ns)
{
	if (wait_begin(w, WAIT_DRAIN, deadline_ns))
		wait_go(w);
}

void stream_take(struct stream_wait *w, const char *verb, size_t n,
		 int64_t deadline_ns)
{
	struct err err;

	w->verb = verb;
	w->n_bytes = n;
	if (!wait_begin(w, WAIT_TAKE, deadline_ns))
		return;
	if (n <= STREAM_TAKE_MAX) {
		wait_go(w);
		return;
	}
	err_set(&err, -EINVAL, "%s: %zu bytes are asked for, %zu are the most",
		verb, n, STREAM_TAKE_MAX);
	op_finish(&w->op, err.code, &err);
}

static int stream_wait_check_patterns(const struct stream_wait *w,
				      struct err *err)
{
	if (!w->n_patterns)
		return err_set(err, -EINVAL, "%s: no pattern is given",
			       w->verb);
	if (w->n_patterns > STREAM_PATTERNS_MAX)
		return err_set(err, -EINVAL,
			       "%s: %zu patterns are given, %d are the most",
			       w->verb, w->n_patterns, STREAM_PATTERNS_MAX);
	for (size_t i = 0; i < w->n_patterns; i++) {
		size_t n = w->patterns[i].n;

		if (!n)
			return err_set(err, -EINVAL, "%s: the pattern is empty",
				       w->verb);
		if (n > STREAM_PATTERN_MAX)
			return err_set(
			    err, -EINVAL,
			    "%s: the pattern has %zu bytes, %zu are the most",
			    w->verb, n, STREAM_PATTERN_MAX);
	}
	return 0;
}

void stream_read(struct stream_wait *w, size_t max, int64_t deadline_ns)
{
	w->n_bytes = max < STREAM_TAKE_MAX ? max : STREAM_TAKE_MAX;
	if (wait_begin(w, WAIT_READ, deadline_ns))
		wait_go(w);
}

void stream_match(struct stream_wait *w, const char *verb,
		  const struct stream_pattern *patterns, size_t n, bool keep,
		  int64_t deadline_ns)
{
	struct err err;

	w->verb = verb;
	w->patterns = patterns;
	w->n_patterns = n;
	w->keep = keep;
	if (!wait_begin(w, WAIT_MATCH, deadline_ns))
		return;
	if (stream_wait_check_patterns(w, &err) < 0) {
		op_finish(&w->op, err.code, &err);
		return;
	}
	w->matcher = match_new(patterns, n);
	pending_rewind(&w->stream->q);
	wait_go(w);
}

/* --- tables ----------------------------------------------------------------
 */

static const struct wait_ops wait_ops[WAIT_MODES] = {
    [WAIT_NEXT] = {next_progress, next_timed_out, next_take},
    [WAIT_MATCH] = {match_progress, match_timed_out, match_take},
    [WAIT_DRAIN] = {drain_progress, drain_timed_out, drain_take},
    [WAIT_TAKE] = {take_progress, take_timed_out, take_take},
    [WAIT_READ] = {read_progress, next_timed_out, take_take},
};

static const struct type_text type_texts[STREAM_TYPES] = {
    [STREAM_TAIL] = {"stream EOF", "stream closed"},
    [STREAM_CAPTURE] = {"stream EOF", "capture closed"},
    [STREAM_CONSOLE] = {"console EOF (stream EOF)", "console closed"},
};
