/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * All that a stream knows is in terms of offsets, counted from its first
 * byte; each only ever grows:
 *
 *	begin <= scan <= end	taken by the reader, searched, delivered
 *	begin <= credit <= end	paid for to the source
 *
 * begin, scan and end are those of the pending queue. A wait never takes
 * anything before it succeeds, so giving one up (deadline, cancel) is nothing
 * but forgetting it. Whatever may decide a wait (its start, bytes, the end)
 * calls its mode's progress(), which either finishes it or pays for what the
 * wait wants to see more of.
 *
 * Finishing may run the reader's code, which may close and free the stream,
 * so it is the last thing that a function here does. Paying may deliver when
 * it does not come from inside a delivery, so by then a consistent state has
 * been reached, and nothing is touched after it either (finish() has taken
 * the waiter off by then).
 */
#include "streams/stream.h"

#include <errno.h>
#include <stdlib.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/pending.h"
#include "streams/wait_text.h"

struct stream {
	TAILQ_ENTRY(stream) link;
	struct loop *loop;	  /* borrowed */
	struct stream_list *list; /* borrowed; NULL: none */
	enum stream_type type;
	struct stream_label label; /* owned strings */
	const struct stream_source *source;
	void *source_ctx;
	struct pending q;
	uint64_t credit; /* offset up to which the source was paid */
	uint64_t taken;
	uint64_t work;
	struct stream_wait *waiter; /* borrowed */
	bool is_ended;
	bool is_closed;
	struct err broken; /* code 0: an honest end */
};

enum wait_mode { WAIT_NEXT, WAIT_MATCH, WAIT_DRAIN, WAIT_MODES };

struct wait_ops {
	/* Finishes the wait or pays for more, as the last thing. */
	void (*progress)(struct stream *s, struct stream_wait *w);
	/* The result at the deadline; fills w->op.err if it is negative. */
	int (*timed_out)(struct stream *s, struct stream_wait *w);
};

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

/* Counts what left the queue since begin was from. */
static void count_taken(struct stream *s, uint64_t from)
{
	s->taken += s->q.begin - from;
}

static void finish(struct stream *s, struct stream_wait *w, int result,
		   const struct err *err)
{
	s->waiter = NULL;
	pay(s, s->q.begin);
	op_finish(&w->op, result, err);
}

static void progress(struct stream *s)
{
	if (s->waiter)
		wait_ops[s->waiter->mode].progress(s, s->waiter);
}

/* The outcome of a next or drain that can get nothing any more. */
static void finish_empty(struct stream *s, struct stream_wait *w)
{
	if (s->broken.code)
		finish(s, w, s->broken.code, &s->broken);
	else
		finish(s, w, 0, NULL);
}

/* --- next ---------------------------------------------------------------- */

static void next_progress(struct stream *s, struct stream_wait *w)
{
	uint64_t from = s->q.begin;

	if (pending_frames(&s->q)) {
		pending_take_frame(&s->q, &w->bytes);
		count_taken(s, from);
		finish(s, w, 1, NULL);
	} else if (s->is_ended) {
		finish_empty(s, w);
	} else {
		/* The rest of a frame may be longer than the window. */
		pay(s, s->q.end);
	}
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

	finish(s, w, wait_text_broken(&err, code, what, &text), &err);
}

static void match_take(struct stream *s, struct stream_wait *w, uint64_t limit,
		       size_t index)
{
	uint64_t from = s->q.begin;

	w->index = index;
	pending_take(&s->q, (size_t)(limit - from), w->keep ? &w->bytes : NULL);
	count_taken(s, from);
	finish(s, w, 0, NULL);
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
	size_t index = 0;

	if (match_scan(s, w, &end, &index))
		match_take(s, w, end, index);
	else if (s->broken.code)
		finish(s, w, s->broken.code, &s->broken);
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
	uint8_t tail[STREAM_EXCERPT_MAX];
	struct wait_text text = match_text(s, w, tail);

	return wait_text_timeout(&w->op.err, &text);
}

/* --- drain -----------------------------------------------------------------
 */

static int drain_collect(struct stream *s, struct stream_wait *w)
{
	uint64_t from = s->q.begin;
	size_t n = pending_frames(&s->q);

	if (n > STREAM_DRAIN_MAX)
		n = STREAM_DRAIN_MAX;
	if (!n)
		return 0;
	w->frames = mem_realloc_array(NULL, n, sizeof(*w->frames));
	for (; w->n_frames < n; w->n_frames++) {
		w->frames[w->n_frames] = (struct buf){0};
		pending_take_frame(&s->q, &w->frames[w->n_frames]);
	}
	count_taken(s, from);
	return (int)n;
}

static void drain_progress(struct stream *s, struct stream_wait *w)
{
	int n;

	if (s->is_ended) {
		n = drain_collect(s, w);
		if (n)
			finish(s, w, n, NULL);
		else
			finish_empty(s, w);
	} else if (pending_cost(&s->q) < STREAM_PENDING_MAX &&
		   s->q.n_frames < STREAM_DRAIN_MAX) {
		pay(s, s->q.end);
	}
}

/* --- the waiter ---------------------------------------------------------- */

static void on_wait_stop(struct op *op, int reason)
{
	struct stream_wait *w = CONTAINER_OF(op, struct stream_wait, op);
	struct stream *s = w->stream;

	if (!s || s->waiter != w)
		return;
	s->waiter = NULL;
	if (reason != -ETIMEDOUT)
		return;
	op->result = wait_ops[w->mode].timed_out(s, w);
	pay(s, s->q.begin);
}

static void wait_clear(struct stream_wait *w)
{
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
	op_init(&w->op, s->loop, on_wait_stop);
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

void stream_next(struct stream_wait *w, int64_t deadline_ns)
{
	if (!wait_begin(w, WAIT_NEXT, deadline_ns))
		return;
	if (w->stream->is_closed) {
		op_finish(&w->op, 0, NULL);
		return;
	}
	w->stream->waiter = w;
	progress(w->stream);
}

void stream_drain(struct stream_wait *w, int64_t deadline_ns)
{
	if (!wait_begin(w, WAIT_DRAIN, deadline_ns))
		return;
	if (w->stream->is_closed) {
		op_finish(&w->op, 0, NULL);
		return;
	}
	w->stream->waiter = w;
	progress(w->stream);
}

static void finish_closed_match(struct stream *s, struct stream_wait *w)
{
	struct err err;

	err_set(&err, -ESHUTDOWN, "%s", type_texts[s->type].closed);
	op_finish(&w->op, -ESHUTDOWN, &err);
}

static int check_patterns(const struct stream_wait *w, struct err *err)
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
	if (check_patterns(w, &err) < 0) {
		op_finish(&w->op, err.code, &err);
		return;
	}
	if (w->stream->is_closed) {
		finish_closed_match(w->stream, w);
		return;
	}
	w->matcher = match_new(patterns, n);
	pending_rewind(&w->stream->q);
	w->stream->waiter = w;
	progress(w->stream);
}

/* --- the source's side -----------------------------------------------------
 */

void stream_deliver(struct stream *s, const void *p, size_t n, bool more)
{
	if (s->is_ended || s->is_closed)
		return;
	pending_add(&s->q, p, n, more);
	progress(s);
}

void stream_end(struct stream *s, const struct err *err)
{
	if (s->is_ended || s->is_closed)
		return;
	s->is_ended = true;
	pending_seal(&s->q);
	if (err)
		s->broken = *err;
	if (err && s->waiter)
		finish(s, s->waiter, err->code, err);
	else
		progress(s);
}

/* --- making and closing ------------------------------------------------ */

static char *dup_or_null(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

struct stream *stream_new(struct loop *l, enum stream_type type,
			  const struct stream_label *label,
			  struct stream_list *list,
			  const struct stream_source *source, void *source_ctx)
{
	struct stream *s = mem_zalloc(sizeof(*s));

	s->loop = l;
	s->type = type;
	s->list = list;
	s->source = source;
	s->source_ctx = source_ctx;
	s->label = (struct stream_label){
	    .kind = mem_strdup(label->kind),
	    .detail = mem_strdup(label->detail),
	    .file = dup_or_null(label->file),
	    .line = label->line,
	    .test = dup_or_null(label->test),
	};
	if (list)
		TAILQ_INSERT_TAIL(list, s, link);
	return s;
}

static void free_label(struct stream_label *label)
{
	free_ptr(&label->kind);
	free_ptr(&label->detail);
	free_ptr(&label->file);
	free_ptr(&label->test);
}

/* Everything but telling the waiter, which is returned. */
static struct stream_wait *shut(struct stream *s)
{
	struct stream_wait *w = s->waiter;

	if (s->is_closed)
		return NULL;
	s->is_closed = true;
	s->waiter = NULL;
	if (s->list)
		TAILQ_REMOVE(s->list, s, link);
	s->source->close(s->source_ctx);
	pending_clear(&s->q);
	return w;
}

void stream_close(struct stream *s)
{
	struct stream_wait *w = shut(s);

	if (!w)
		return;
	if (w->mode == WAIT_MATCH)
		finish_closed_match(s, w);
	else
		op_finish(&w->op, 0, NULL);
}

struct stream *stream_free(struct stream *s)
{
	if (!s)
		return NULL;
	struct stream_wait *w = shut(s);

	pending_done(&s->q);
	free_label(&s->label);
	free(s);
	if (w) {
		w->stream = NULL;
		op_cancel(&w->op);
	}
	return NULL;
}

bool stream_is_closed(const struct stream *s)
{
	return s->is_closed;
}

bool stream_eof(const struct stream *s)
{
	return s->is_closed || (s->is_ended && !pending_size(&s->q));
}

uint64_t stream_bytes(const struct stream *s)
{
	return s->q.end;
}

uint64_t stream_taken(const struct stream *s)
{
	return s->taken;
}

uint64_t stream_work(const struct stream *s)
{
	return s->work;
}

enum stream_type stream_type(const struct stream *s)
{
	return s->type;
}

const struct stream_label *stream_label(const struct stream *s)
{
	return &s->label;
}

struct stream *stream_list_next(const struct stream *s)
{
	return TAILQ_NEXT(s, link);
}

/* --- tables ----------------------------------------------------------------
 */

static const struct wait_ops wait_ops[WAIT_MODES] = {
    [WAIT_NEXT] = {next_progress, next_timed_out},
    [WAIT_MATCH] = {match_progress, match_timed_out},
    [WAIT_DRAIN] = {drain_progress, drain_collect},
};

static const struct type_text type_texts[STREAM_TYPES] = {
    [STREAM_TAIL] = {"stream EOF", "stream closed"},
    [STREAM_CAPTURE] = {"stream EOF", "capture closed"},
    [STREAM_CONSOLE] = {"console EOF (stream EOF)", "console closed"},
};
