/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "streams/tail.h"
#include "tests/unit/streams/lib_source.h"

/* --- a scripted agent behind the feed ------------------------------------- */

struct feed {
	const struct feed_ops *ops;
	void *ctx;
	uint64_t consumed;
	unsigned closed;
};

/* This program has these instead of streams/client.c. */
struct client {
	struct loop *loop;
	struct feed feed; /* one is enough */
	enum msg_type asked;
};

struct loop *client_loop(const struct client *c)
{
	return c->loop;
}

struct feed *feed_open(struct client *c, const struct msg *req,
		       const struct feed_ops *ops, void *ctx)
{
	c->asked = req->type;
	c->feed = (struct feed){.ops = ops, .ctx = ctx};
	return &c->feed;
}

void feed_consumed(struct feed *f, size_t n)
{
	assert_int_equal(f->closed, 0);
	f->consumed += n;
}

struct feed *feed_close(struct feed *f)
{
	f->closed++;
	return NULL;
}

struct bench {
	struct client client;
	struct tail_open open;
	struct stream_list list;
};

static const struct stream_label label = {.kind = "tail_file",
					  .detail = "/var/log/x"};

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct err err;

	assert_non_null(b);
	b->client.loop = loop_new(&err);
	assert_non_null(b->client.loop);
	TAILQ_INIT(&b->list);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	tail_open_done(&b->open);
	assert_int_equal(b->client.feed.closed, 1);
	assert_true(TAILQ_EMPTY(&b->list));
	loop_free(b->client.loop);
	free(b);
	return 0;
}

static void open_tail(struct bench *b, int64_t deadline_ns)
{
	const struct msg req = {.type = MSG_TAIL,
				.tail = {.path = "/var/log/x"}};

	tail_open_start(&b->open, &b->client, &req, &label, &b->list,
			deadline_ns);
	assert_int_equal(b->client.asked, MSG_TAIL);
}

static void say_done(struct bench *b, int64_t value)
{
	const struct msg m = {.type = MSG_DONE, .done = {.value = value}};

	b->client.feed.ops->reply(b->client.feed.ctx, &m);
}

static void say_data(struct bench *b, const char *text, bool more)
{
	b->client.feed.ops->data(b->client.feed.ctx, (const uint8_t *)text,
				 strlen(text), more);
}

static void say_fin(struct bench *b)
{
	b->client.feed.ops->fin(b->client.feed.ctx);
}

static void say_fail(struct bench *b, int code, const char *text)
{
	struct err err;

	err_set(&err, code, "%s", text);
	/* In parentheses: cmocka has a macro of that name. */
	(b->client.feed.ops->fail)(b->client.feed.ctx, &err);
}

/* The next frame, or NULL: none. */
static void check_frame(struct stream *s, const char *want)
{
	struct stream_wait w;

	stream_wait_init(&w, s);
	stream_next(&w, 0);
	assert_int_equal(op_wait(&w.op), want != NULL);
	check_bytes(&w.bytes, want ? want : "");
	stream_wait_done(&w);
}

/* --- claims --------------------------------------------------------------- */

static void opening_ends_when_the_position_is_fixed(void **state)
{
	struct bench *b = *state;

	open_tail(b, CLOCK_NEVER);
	assert_false(op_is_done(&b->open.op));
	say_done(b, 4711);
	assert_int_equal(op_wait(&b->open.op), 0);
	assert_int_equal(b->open.start, 4711);
	assert_ptr_equal(TAILQ_FIRST(&b->list), b->open.stream);
	assert_int_equal(stream_type(b->open.stream), STREAM_TAIL);
}

static void frames_and_credit_go_between_agent_and_reader(void **state)
{
	struct bench *b = *state;
	struct stream *s;

	open_tail(b, CLOCK_NEVER);
	say_done(b, 0);
	/* Before the stream is taken, and after. */
	say_data(b, "one", false);
	s = TAKE(b->open.stream);
	say_data(b, "tw", true);
	say_data(b, "o", false);
	assert_int_equal(b->client.feed.consumed, 0);
	check_frame(s, "one");
	assert_int_equal(b->client.feed.consumed, 3);
	check_frame(s, "two");
	assert_int_equal(b->client.feed.consumed, 6);
	say_data(b, "last", false);
	say_fin(b);
	assert_false(stream_eof(s));
	check_frame(s, "last");
	check_frame(s, NULL);
	assert_true(stream_eof(s));
	stream_free(s);
}

static void a_refusal_is_the_guests_error(void **state)
{
	struct bench *b = *state;

	open_tail(b, CLOCK_NEVER);
	say_fail(b, -ENOENT, "/var/log/x: No such file or directory");
	assert_int_equal(op_wait(&b->open.op), -ENOENT);
	assert_string_equal(b->open.op.err.text,
			    "/var/log/x: No such file or directory");
	assert_null(b->open.stream);
	assert_true(TAILQ_EMPTY(&b->list));
}

static void an_agent_that_skips_the_answer_is_refused(void **state)
{
	struct bench *b = *state;

	open_tail(b, CLOCK_NEVER);
	say_fin(b);
	assert_int_equal(op_wait(&b->open.op), -EPROTO);
}

static void another_answer_is_refused(void **state)
{
	const struct msg m = {.type = MSG_EXITED};
	struct bench *b = *state;

	open_tail(b, CLOCK_NEVER);
	b->client.feed.ops->reply(b->client.feed.ctx, &m);
	assert_int_equal(op_wait(&b->open.op), -EPROTO);
	assert_null(b->open.stream);
}

static void an_opening_that_times_out_says_what(void **state)
{
	struct bench *b = *state;

	open_tail(b, 0);
	assert_int_equal(op_wait(&b->open.op), -ETIMEDOUT);
	check_contains(b->open.op.err.text, "tail_file '/var/log/x'");
	assert_null(b->open.stream);
	assert_int_equal(b->client.feed.closed, 1);
}

static void an_opening_can_be_given_up(void **state)
{
	struct bench *b = *state;

	/* By tear_down(). */
	open_tail(b, CLOCK_NEVER);
}

static void a_failure_later_breaks_the_stream(void **state)
{
	struct bench *b = *state;
	struct stream_wait w;

	open_tail(b, CLOCK_NEVER);
	say_done(b, 0);
	say_data(b, "kept", false);
	check_frame(b->open.stream, "kept");
	stream_wait_init(&w, b->open.stream);
	stream_next(&w, CLOCK_NEVER);
	say_fail(b, -ECONNRESET, "the guest was restored");
	assert_int_equal(op_wait(&w.op), -ECONNRESET);
	assert_string_equal(w.op.err.text, "the guest was restored");
	stream_wait_done(&w);
}

static void closing_the_stream_closes_the_channel(void **state)
{
	struct bench *b = *state;

	open_tail(b, CLOCK_NEVER);
	say_done(b, 0);
	say_data(b, "dropped", false);
	stream_close(b->open.stream);
	assert_int_equal(b->client.feed.closed, 1);
	assert_true(TAILQ_EMPTY(&b->list));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(opening_ends_when_the_position_is_fixed),
	    T(frames_and_credit_go_between_agent_and_reader),
	    T(a_refusal_is_the_guests_error),
	    T(an_agent_that_skips_the_answer_is_refused),
	    T(another_answer_is_refused),
	    T(an_opening_that_times_out_says_what),
	    T(an_opening_can_be_given_up),
	    T(a_failure_later_breaks_the_stream),
	    T(closing_the_stream_closes_the_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
