/* SPDX-License-Identifier: MIT */
/*
 * Random deliveries and calls on a stream, against a model that does
 * everything the slow and obvious way. Each input byte is an action, some
 * read more bytes as their arguments.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "streams/loop.h"
#include "streams/stream.h"

#define MODEL_MAX    4096
#define PATTERNS_MAX 9
#define PATTERN_LEN  8

/* Stays in with any build flags. */
#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond))                                                   \
			abort();                                               \
	} while (0)

enum call { CALL_NONE, CALL_NEXT, CALL_DRAIN, CALL_MATCH, CALL_TAKE };

struct model {
	uint8_t bytes[MODEL_MAX];
	size_t n;
	size_t frames[MODEL_MAX];
	size_t n_frames;
	bool is_open;
	bool is_ended;
	bool is_broken;
	bool is_closed;
	bool broke_in_flight;
};

struct run {
	const uint8_t *in;
	size_t left;
	struct loop *loop;
	struct stream *stream;
	struct stream_wait wait;
	enum call call; /* in flight */
	struct model m;
	uint8_t text[PATTERNS_MAX][PATTERN_LEN];
	struct stream_pattern patterns[PATTERNS_MAX];
	size_t n_patterns;
	size_t n_wanted; /* by a take */
	uint64_t delivered;
	uint64_t consumed;
	uint64_t taken;
};

static unsigned take(struct run *r)
{
	if (!r->left)
		return 0;
	r->left--;
	return *r->in++;
}

static uint8_t take_letter(struct run *r)
{
	return (uint8_t)('a' + take(r) % 3);
}

/* --- the model ----------------------------------------------------------- */

static void model_deliver(struct model *m, const uint8_t *p, size_t n,
			  bool more)
{
	if (!n) {
		m->is_open = m->is_open && more;
		return;
	}
	memcpy(m->bytes + m->n, p, n);
	m->n += n;
	if (m->is_open && m->n_frames)
		m->frames[m->n_frames - 1] += n;
	else
		m->frames[m->n_frames++] = n;
	m->is_open = more;
}

static void model_take(struct run *r, size_t n)
{
	struct model *m = &r->m;

	r->taken += n;
	memmove(m->bytes, m->bytes + n, m->n - n);
	m->n -= n;
	while (n) {
		size_t k = n < m->frames[0] ? n : m->frames[0];

		m->frames[0] -= k;
		n -= k;
		if (m->frames[0])
			break;
		m->n_frames--;
		memmove(m->frames, m->frames + 1,
			m->n_frames * sizeof(*m->frames));
	}
}

static size_t model_complete(const struct model *m)
{
	return m->n_frames - (m->is_open && m->n_frames);
}

static bool model_match(const struct run *r, size_t *ret_end, size_t *ret_index)
{
	for (size_t end = 1; end <= r->m.n; end++) {
		for (size_t i = 0; i < r->n_patterns; i++) {
			size_t k = r->patterns[i].n;

			if (k > end ||
			    memcmp(r->m.bytes + end - k, r->patterns[i].p, k))
				continue;
			*ret_end = end;
			*ret_index = i;
			return true;
		}
	}
	return false;
}

/* --- what a call must have done --------------------------------------------
 */

static void check_buf(const struct buf *b, const uint8_t *p, size_t n)
{
	CHECK(b->len == n);
	CHECK(!n || !memcmp(buf_data(b), p, n));
}

static bool ended_result(const struct model *m, int eof, int *ret)
{
	*ret = m->is_broken ? -EIO : eof;
	return m->is_ended;
}

/* Each returns whether the call is over, and checks what it gave. */
static bool judge_next(struct run *r, bool is_late, int *ret)
{
	if (model_complete(&r->m)) {
		*ret = 1;
		check_buf(&r->wait.bytes, r->m.bytes, r->m.frames[0]);
		model_take(r, r->m.frames[0]);
		return true;
	}
	if (ended_result(&r->m, 0, ret))
		return true;
	*ret = 0;
	return is_late;
}

static bool judge_drain(struct run *r, bool is_late, int *ret)
{
	size_t n = model_complete(&r->m);

	if (!is_late && !r->m.is_ended)
		return false;
	if (!n && ended_result(&r->m, 0, ret))
		return true;
	*ret = (int)n;
	CHECK(r->wait.n_frames == n);
	for (size_t i = 0; i < n; i++) {
		check_buf(&r->wait.frames[i], r->m.bytes, r->m.frames[0]);
		model_take(r, r->m.frames[0]);
	}
	return true;
}

static bool judge_match(struct run *r, bool is_late, int *ret)
{
	size_t end, index;

	if (model_match(r, &end, &index)) {
		*ret = 0;
		CHECK(r->wait.index == index);
		check_buf(&r->wait.bytes, r->m.bytes, r->wait.keep ? end : 0);
		model_take(r, end);
		return true;
	}
	if (ended_result(&r->m, -EPIPE, ret))
		return true;
	*ret = -ETIMEDOUT;
	return is_late;
}

static bool judge_take(struct run *r, bool is_late, int *ret)
{
	size_t n = r->n_wanted;

	if (r->m.n < n && !r->m.is_ended) {
		*ret = -ETIMEDOUT;
		return is_late;
	}
	if (r->m.n < n && r->m.is_broken) {
		*ret = -EIO;
		return true;
	}
	if (n > r->m.n)
		n = r->m.n;
	*ret = (int)n;
	check_buf(&r->wait.bytes, r->m.bytes, n);
	model_take(r, n);
	return true;
}

static bool judge(struct run *r, bool is_late, int *ret)
{
	if (r->m.is_closed) {
		*ret = r->call == CALL_MATCH ? -ESHUTDOWN : 0;
		return true;
	}
	if (r->m.broke_in_flight) {
		*ret = -EIO;
		return true;
	}
	if (r->call == CALL_NEXT)
		return judge_next(r, is_late, ret);
	if (r->call == CALL_DRAIN)
		return judge_drain(r, is_late, ret);
	if (r->call == CALL_TAKE)
		return judge_take(r, is_late, ret);
	return judge_match(r, is_late, ret);
}

/* After every action. is_late: a deadline has passed. */
static void check(struct run *r, bool is_late)
{
	int result = 0;

	if (r->call != CALL_NONE) {
		/* The model looks at the outcome only when it is one. */
		bool is_done = op_is_done(&r->wait.op);

		CHECK(judge(r, is_late, &result) == is_done);
		if (is_done) {
			CHECK(r->wait.op.result == result);
			r->call = CALL_NONE;
		}
	}
	r->m.broke_in_flight = false;
	CHECK(stream_bytes(r->stream) == r->delivered);
	CHECK(stream_taken(r->stream) == r->taken);
	CHECK(r->consumed <= r->delivered);
	if (!r->m.is_closed) {
		CHECK(r->consumed >= r->taken);
		CHECK(r->m.n || r->consumed == r->delivered);
	}
	CHECK(stream_eof(r->stream) ==
	      (r->m.is_closed || (r->m.is_ended && !r->m.n)));
}

/* --- actions ---------------------------------------------------------------
 */

static void on_consumed(void *ctx, size_t n)
{
	struct run *r = ctx;

	CHECK(n && !r->m.is_closed);
	r->consumed += n;
}

static void on_close(void *ctx)
{
	(void)ctx;
}

static void deliver(struct run *r, bool more)
{
	uint8_t bytes[32], *exact;
	size_t n = take(r) % sizeof(bytes);

	if (r->m.n + n > MODEL_MAX)
		return;
	for (size_t i = 0; i < n; i++)
		bytes[i] = take_letter(r);
	if (!r->m.is_ended && !r->m.is_closed) {
		model_deliver(&r->m, bytes, n, more);
		r->delivered += n;
	}
	exact = mem_dup(bytes, n ? n : 1);
	stream_deliver(r->stream, exact, n, more);
	free(exact);
}

static void start_match(struct run *r, int64_t deadline_ns)
{
	r->n_patterns = 1 + take(r) % PATTERNS_MAX;
	for (size_t i = 0; i < r->n_patterns; i++) {
		size_t n = 1 + take(r) % PATTERN_LEN;

		for (size_t k = 0; k < n; k++)
			r->text[i][k] = take_letter(r);
		r->patterns[i] = (struct stream_pattern){r->text[i], n};
	}
	bool keep = take(r) & 1;
	stream_match(&r->wait, "expect", r->patterns, r->n_patterns, keep,
		     deadline_ns);
}

static void start_take(struct run *r, int64_t deadline_ns)
{
	r->n_wanted = take(r) % 64;
	stream_take(&r->wait, "take", r->n_wanted, deadline_ns);
}

/* A call that ends now, or one that stays in flight. */
static void start(struct run *r, enum call call, bool is_now)
{
	int64_t deadline_ns = is_now ? 0 : CLOCK_NEVER;

	if (r->call != CALL_NONE)
		return;
	r->call = call;
	if (call == CALL_NEXT)
		stream_next(&r->wait, deadline_ns);
	else if (call == CALL_DRAIN)
		stream_drain(&r->wait, deadline_ns);
	else if (call == CALL_TAKE)
		start_take(r, deadline_ns);
	else
		start_match(r, deadline_ns);
	if (is_now && !op_is_done(&r->wait.op))
		loop_poll(r->loop);
	check(r, is_now);
}

static void end(struct run *r, bool is_broken)
{
	struct err err;

	err_set(&err, -EIO, "broken");
	if (!r->m.is_ended && !r->m.is_closed) {
		r->m.is_ended = true;
		r->m.is_open = false;
		r->m.is_broken = is_broken;
		r->m.broke_in_flight = is_broken && r->call != CALL_NONE;
	}
	stream_end(r->stream, is_broken ? &err : NULL);
}

static void shut(struct run *r)
{
	stream_close(r->stream);
	r->m.is_closed = true;
	r->m.n = r->m.n_frames = 0;
}

static void act(struct run *r)
{
	unsigned what = take(r);

	switch (what % 16) {
	case 8:
	case 9:
		start(r, CALL_NEXT, what & 16);
		break;
	case 10:
		start(r, CALL_DRAIN, what & 16);
		break;
	case 11:
	case 12:
		start(r, CALL_MATCH, what & 16);
		break;
	case 7:
		start(r, CALL_TAKE, what & 16);
		break;
	case 13:
		op_cancel(&r->wait.op);
		r->call = CALL_NONE;
		break;
	case 14:
		if (what >= 192)
			end(r, what & 16);
		break;
	case 15:
		if (what >= 224)
			shut(r);
		break;
	default:
		deliver(r, what & 16);
	}
	check(r, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stream_source source = {on_consumed, on_close};
	const struct stream_label label = {.kind = "fuzz", .detail = ""};
	struct run *r = mem_zalloc(sizeof(*r));
	struct err err;

	r->in = data;
	r->left = size;
	r->loop = loop_new(&err);
	CHECK(r->loop);
	r->stream = stream_new(r->loop, STREAM_TAIL, &label, NULL, &source, r);
	stream_wait_init(&r->wait, r->stream);
	while (r->left)
		act(r);
	stream_wait_done(&r->wait);
	stream_free(r->stream);
	loop_free(r->loop);
	free(r);
	return 0;
}
