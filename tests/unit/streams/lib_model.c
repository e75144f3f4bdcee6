/* SPDX-License-Identifier: MIT */
#include "tests/unit/streams/lib_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"

#define NO_CALL MODEL_KINDS

/* What a call must come to. */
struct outcome {
	bool is_over;
	int result;
	size_t n; /* frames of next and drain, else bytes */
	size_t index;
};

struct model {
	const char *note;
	struct loop *loop; /* borrowed */
	struct stream *stream;
	struct stream_wait wait;
	struct stream_wait other; /* for starts that are refused */
	struct model_call call;	  /* kind NO_CALL: none */
	struct outcome due;	  /* of a call that holds */
	bool is_held;
	bool is_late; /* the deadline of the call has passed */
	/* Everything delivered; what is behind begin was taken. */
	uint8_t *bytes;
	size_t begin;
	size_t end;
	size_t *frames; /* where each ends */
	size_t first;
	size_t n_frames;
	bool is_open; /* the last frame goes on */
	bool is_ended;
	bool is_broken;
	bool is_closed;
	bool broke_now;
	uint64_t taken; /* not counting what close dropped */
	uint64_t consumed;
};

/* Stays in with any build flags. */
static void check_at(const struct model *m, bool is_so, const char *what,
		     int line)
{
	if (is_so)
		return;
	fprintf(stderr, "lib_model.c:%d: not so: %s\n%s\n", line, what,
		m->note ? m->note : "");
	abort();
}
#define CHECK(cond) check_at(m, cond, #cond, __LINE__)

/* --- the model ----------------------------------------------------------- */

static void keep_bytes(struct model *m, const uint8_t *p, size_t n, bool more)
{
	if (!n) {
		m->is_open = m->is_open && more;
		return;
	}
	m->bytes = mem_realloc_array(m->bytes, m->end + n, 1);
	memcpy(m->bytes + m->end, p, n);
	m->end += n;
	if (!m->is_open || m->n_frames == m->first)
		m->n_frames++;
	m->frames =
	    mem_realloc_array(m->frames, m->n_frames, sizeof(*m->frames));
	m->frames[m->n_frames - 1] = m->end;
	m->is_open = more;
}

static void drop_bytes(struct model *m, size_t n)
{
	m->begin += n;
	m->taken += n;
	while (m->first < m->n_frames && m->frames[m->first] <= m->begin)
		m->first++;
}

/* Frames that are complete. */
static size_t complete(const struct model *m)
{
	size_t n = m->n_frames - m->first;

	return n - (n && m->is_open);
}

static bool find(const struct model *m, size_t *ret_n, size_t *ret_index)
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < m->call.n_patterns; i++) {
		const struct stream_pattern *p = &m->call.patterns[i];
		const uint8_t *from = m->bytes + m->begin;
		const uint8_t *at = memmem(from, m->end - m->begin, p->p, p->n);

		if (!at || (size_t)(at - from) + p->n >= best)
			continue;
		best = (size_t)(at - from) + p->n;
		*ret_n = best;
		*ret_index = i;
	}
	return best != SIZE_MAX;
}

static struct outcome over(int result, size_t n)
{
	return (struct outcome){.is_over = true, .result = result, .n = n};
}

static struct outcome empty_outcome(const struct model *m)
{
	return over(m->is_broken ? -EIO : 0, 0);
}

static struct outcome judge_next(const struct model *m)
{
	size_t n = complete(m);

	if (n > m->call.skip)
		return over(1, m->call.skip + 1);
	if (m->is_ended && n && !m->is_broken)
		return over(0, n);
	if (m->is_ended)
		return empty_outcome(m);
	return m->is_late ? over(0, 0) : (struct outcome){0};
}

static struct outcome judge_drain(const struct model *m)
{
	if (!m->is_late && !m->is_ended)
		return (struct outcome){0};
	if (m->is_ended && !complete(m))
		return empty_outcome(m);
	return over((int)complete(m), complete(m));
}

static struct outcome judge_match(const struct model *m)
{
	size_t n, index;

	if (find(m, &n, &index)) {
		struct outcome o = over(0, n);

		o.index = index;
		return o;
	}
	if (m->is_ended)
		return over(m->is_broken ? -EIO : -EPIPE, 0);
	return m->is_late ? over(-ETIMEDOUT, 0) : (struct outcome){0};
}

static struct outcome judge_take(const struct model *m)
{
	size_t n = m->end - m->begin;

	if (n >= m->call.n_bytes)
		return over((int)m->call.n_bytes, m->call.n_bytes);
	if (m->is_ended && n && !m->is_broken)
		return over((int)n, n);
	if (m->is_ended)
		return empty_outcome(m);
	return m->is_late ? over(-ETIMEDOUT, 0) : (struct outcome){0};
}

static struct outcome judge_read(const struct model *m)
{
	size_t n = m->end - m->begin;

	if (n > m->call.n_bytes)
		n = m->call.n_bytes;
	if (n)
		return over((int)n, n);
	if (m->is_ended)
		return empty_outcome(m);
	return m->is_late ? over(0, 0) : (struct outcome){0};
}

static bool is_match(const struct model *m)
{
	return m->call.kind == MODEL_EXPECT || m->call.kind == MODEL_READ_UNTIL;
}

static struct outcome judge(const struct model *m)
{
	if (m->is_closed)
		return over(is_match(m) ? -ESHUTDOWN : 0, 0);
	if (m->broke_now)
		return over(-EIO, 0);
	if (m->call.kind == MODEL_NEXT)
		return judge_next(m);
	if (m->call.kind == MODEL_DRAIN)
		return judge_drain(m);
	if (m->call.kind == MODEL_READ)
		return judge_read(m);
	return is_match(m) ? judge_match(m) : judge_take(m);
}

/* --- comparing -------------------------------------------------------------
 */

static void check_buf(struct model *m, const struct buf *b, size_t n)
{
	CHECK(b->len == n);
	CHECK(!n || !memcmp(buf_data(b), m->bytes + m->begin, n));
	drop_bytes(m, n);
}

/* Bytes of it that are there. */
static size_t first_frame(const struct model *m)
{
	return m->frames[m->first] - m->begin;
}

static void skip_frames(struct model *m, size_t n)
{
	while (n--)
		drop_bytes(m, first_frame(m));
}

/* What the wait took is what was due, and is the next there was. */
static void settle(struct model *m, const struct outcome *o)
{
	bool by_frame =
	    m->call.kind == MODEL_NEXT || m->call.kind == MODEL_DRAIN;
	const struct stream_wait *w = &m->wait;

	CHECK(w->n_frames == (m->call.kind == MODEL_DRAIN ? o->n : 0));
	if (m->call.kind == MODEL_EXPECT) {
		CHECK(!w->bytes.len);
		drop_bytes(m, o->n);
	} else if (!by_frame) {
		check_buf(m, &w->bytes, o->n);
	} else if (m->call.kind == MODEL_NEXT && o->n) {
		skip_frames(m, o->n < m->call.skip ? o->n : m->call.skip);
		if (o->result)
			check_buf(m, &w->bytes, first_frame(m));
		else
			CHECK(!w->bytes.len);
	}
	for (size_t i = 0; i < w->n_frames; i++)
		check_buf(m, &w->frames[i], first_frame(m));
	m->call.kind = NO_CALL;
	m->is_held = false;
}

static void check_text(struct model *m)
{
	const struct stream_wait *w = &m->wait;
	char want[64];

	if (m->call.kind != MODEL_TAKE || w->op.result != -ETIMEDOUT)
		return;
	snprintf(want, sizeof(want), "take timed out: %zu of %zu bytes there",
		 m->end - m->begin, m->call.n_bytes);
	CHECK(!strcmp(w->op.err.text, want));
}

static void check_call(struct model *m)
{
	struct outcome o = judge(m);

	CHECK(o.is_over == op_is_done(&m->wait.op));
	if (!o.is_over) {
		/* Whoever waits has paid for all that came. */
		CHECK(m->consumed == m->end);
		return;
	}
	CHECK(m->wait.op.result == o.result);
	CHECK(!is_match(m) || o.result < 0 || m->wait.index == o.index);
	check_text(m);
	m->is_held = m->wait.is_held;
	CHECK(m->is_held || !m->call.hold || !o.n);
	CHECK(m->call.hold || !m->is_held);
	if (m->is_held)
		m->due = o;
	else
		settle(m, &o);
}

static bool is_cut(const struct model *m)
{
	size_t from = m->first ? m->frames[m->first - 1] : 0;

	return m->first < m->n_frames && m->begin > from;
}

static void check(struct model *m)
{
	if (m->call.kind != NO_CALL && !m->is_held)
		check_call(m);
	m->broke_now = false;
	CHECK(stream_bytes(m->stream) == m->end);
	CHECK(stream_taken(m->stream) == m->taken);
	CHECK(m->consumed <= m->end);
	if (!m->is_closed) {
		CHECK(m->consumed >= m->taken);
		CHECK(m->begin < m->end || m->consumed == m->end);
	}
	CHECK(stream_is_closed(m->stream) == m->is_closed);
	CHECK(stream_is_cut(m->stream) == is_cut(m));
	CHECK(stream_eof(m->stream) ==
	      (m->is_closed || (m->is_ended && m->begin == m->end)));
}

/* --- actions ---------------------------------------------------------------
 */

static void on_consumed(void *ctx, size_t n)
{
	struct model *m = ctx;

	CHECK(n && !m->is_closed);
	m->consumed += n;
}

static void on_close(void *ctx)
{
	(void)ctx;
}

struct model *model_new(struct loop *l, const char *note)
{
	static const struct stream_source source = {.consumed = on_consumed,
						    .close = on_close};
	const struct stream_label label = {.kind = "model", .detail = ""};
	struct model *m = mem_zalloc(sizeof(*m));

	m->note = note;
	m->call.kind = NO_CALL;
	m->bytes = mem_alloc(1);
	m->loop = l;
	m->stream = stream_new(m->loop, STREAM_TAIL, &label, NULL, &source, m);
	stream_wait_init(&m->wait, m->stream);
	stream_wait_init(&m->other, m->stream);
	return m;
}

struct model *model_free(struct model *m)
{
	stream_wait_done(&m->wait);
	stream_wait_done(&m->other);
	stream_free(m->stream);
	free(m->bytes);
	free(m->frames);
	free(m);
	return NULL;
}

void model_deliver(struct model *m, const void *p, size_t n, bool more)
{
	/* A copy of just that size: a look beyond it is seen by a sanitizer. */
	void *exact = mem_alloc(n ? n : 1);

	if (n)
		memcpy(exact, p, n);
	if (!model_is_over(m))
		keep_bytes(m, exact, n, more);
	stream_deliver(m->stream, exact, n, more);
	free(exact);
	check(m);
}

void model_end(struct model *m, bool is_broken)
{
	struct err err;

	err_set(&err, -EIO, "broken");
	if (!model_is_over(m)) {
		m->is_ended = true;
		m->is_open = false;
		m->is_broken = is_broken;
		m->broke_now = is_broken && model_is_busy(m) && !m->is_held;
	}
	stream_end(m->stream, is_broken ? &err : NULL);
	check(m);
}

void model_start(struct model *m, const struct model_call *call)
{
	bool is_busy = model_is_busy(m);
	struct stream_wait *w = is_busy ? &m->other : &m->wait;
	int64_t deadline_ns = call->is_expiring ? 0 : CLOCK_NEVER;

	if (!is_busy) {
		m->call = *call;
		m->is_late = false;
	}
	w->hold = call->hold;
	w->skip = call->kind == MODEL_NEXT ? call->skip : 0;
	if (call->kind == MODEL_NEXT)
		stream_next(w, deadline_ns);
	else if (call->kind == MODEL_DRAIN)
		stream_drain(w, deadline_ns);
	else if (call->kind == MODEL_READ)
		stream_read(w, call->n_bytes, deadline_ns);
	else if (call->kind == MODEL_TAKE)
		stream_take(w, "take", call->n_bytes, deadline_ns);
	else
		stream_match(w, "expect", call->patterns, call->n_patterns,
			     call->kind == MODEL_READ_UNTIL, deadline_ns);
	if (is_busy)
		CHECK(op_is_done(&w->op) && w->op.result == -EBUSY);
	check(m);
}

void model_turn(struct model *m)
{
	m->is_late = m->call.is_expiring;
	loop_poll(m->loop);
	check(m);
}

void model_cancel(struct model *m)
{
	op_cancel(&m->wait.op);
	/* Done already: nothing happens. */
	if (!m->is_held)
		m->call.kind = NO_CALL;
	check(m);
}

void model_accept(struct model *m)
{
	stream_wait_accept(&m->wait);
	if (m->is_held)
		settle(m, &m->due);
	check(m);
}

void model_give_up(struct model *m)
{
	if (!m->is_held)
		return;
	stream_wait_done(&m->wait);
	stream_wait_init(&m->wait, m->stream);
	m->call.kind = NO_CALL;
	m->is_held = false;
	check(m);
}

void model_close(struct model *m)
{
	stream_close(m->stream);
	if (m->is_held)
		settle(m, &m->due);
	m->is_closed = true;
	m->begin = m->end;
	m->first = m->n_frames;
	check(m);
}

bool model_is_busy(const struct model *m)
{
	return m->call.kind != NO_CALL;
}

bool model_is_held(const struct model *m)
{
	return m->is_held;
}

bool model_is_over(const struct model *m)
{
	return m->is_ended || m->is_closed;
}

size_t model_pending(const struct model *m)
{
	return m->end - m->begin;
}

size_t model_delivered(const struct model *m)
{
	return m->end;
}

void model_read_all(struct model *m)
{
	const struct model_call drain = {.kind = MODEL_DRAIN,
					 .is_expiring = true};

	model_accept(m);
	model_cancel(m);
	model_deliver(m, "", 0, false);
	model_start(m, &drain);
	model_turn(m);
	CHECK(!model_is_busy(m) && m->begin == m->end);
	CHECK(m->is_closed || (m->taken == m->end && m->consumed == m->end));
}
