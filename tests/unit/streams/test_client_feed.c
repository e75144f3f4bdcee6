/* SPDX-License-Identifier: MIT */
/* Feeds: long-lived channels, and their flow control. */
#include "streams/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "tests/unit/streams/client_fixture.h"

/* READ_FILE: "endless", or "N" bytes and a fin, or a manner of refusal. */
struct tail {
	size_t left;
	bool is_endless;
};

static char bytes[32768];
static struct tail tail;

static void send_more(struct fake_agent *a, struct chan *ch)
{
	while (tail.left || tail.is_endless) {
		size_t want =
		    tail.left < sizeof(bytes) ? tail.left : sizeof(bytes);
		if (tail.is_endless)
			want = sizeof(bytes);
		bool fin = !tail.is_endless && want == tail.left;
		size_t n = fake_data(a, ch, bytes, want, fin);
		tail.left -= tail.is_endless ? 0 : n;
		if (n < want)
			return;
	}
}

static void on_request(struct fake_agent *a, struct chan *ch,
		       const struct msg *m)
{
	if (m->type == MSG_PING)
		fake_done(a, ch, m->ping.value, true);
	if (m->type != MSG_READ_FILE)
		return;
	const char *path = m->read_file.path;
	if (!strcmp(path, "refused")) {
		fake_error(a, ch, EACCES, "no");
		return;
	}
	if (!strcmp(path, "data first")) {
		fake_data(a, ch, "x", 1, false);
		return;
	}
	if (!strcmp(path, "fin")) {
		fake_data(a, ch, NULL, 0, true);
		return;
	}
	if (!strcmp(path, "silent"))
		return;
	tail.is_endless = !strcmp(path, "endless");
	tail.left = strtoul(path, NULL, 10);
	fake_done(a, ch, (int64_t)tail.left, false);
	if (!strcmp(path, "twice"))
		fake_done(a, ch, 1, false);
	else
		send_more(a, ch);
}

static const struct fake_script script = {.request = on_request,
					  .writable = send_more};

struct reader {
	struct fixture f;
	struct feed *feed;
	int replies;
	int64_t value;
	size_t got;
	bool is_over;
	int fins;
	struct err err;
	bool eats;
	bool closes; /* at the first data */
};

static void on_reply(void *ctx, const struct msg *m)
{
	struct reader *r = ctx;

	assert_int_equal(MSG_DONE, m->type);
	assert_int_equal(0, r->got);
	r->replies++;
	r->value = m->done.value;
}

static void on_data(void *ctx, const uint8_t *p, size_t n, bool more)
{
	struct reader *r = ctx;

	(void)p;
	(void)more;
	r->got += n;
	if (r->eats)
		feed_consumed(r->feed, n);
	if (r->closes)
		r->feed = feed_close(r->feed);
}

static void on_fin(void *ctx)
{
	struct reader *r = ctx;

	assert_false(r->is_over);
	r->fins++;
	r->is_over = true;
	/* Nobody counts any more, but it does no harm. */
	feed_consumed(r->feed, 0);
	r->feed = feed_close(r->feed);
}

static void on_fail(void *ctx, const struct err *err)
{
	struct reader *r = ctx;

	assert_false(r->is_over);
	r->is_over = true;
	r->feed = feed_close(r->feed);
	/* It is not the feed's. */
	r->err = *err;
}

static const struct feed_ops ops = {
    .reply = on_reply,
    .data = on_data,
    .fin = on_fin,
    .fail = on_fail,
};

static int setup(void **state)
{
	struct reader *r = mem_zalloc(sizeof(*r));

	tail = (struct tail){0};
	fixture_init(&r->f, &script);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct reader *r = *state;

	feed_close(r->feed);
	fixture_done(&r->f);
	free(r);
	return 0;
}

static void open_on(struct reader *r, const char *path)
{
	const struct msg m = msg_read_of(path);

	r->feed = feed_open(r->f.client, &m, &ops, r);
}

static void feed_gives_reply_data_fin(void **state)
{
	struct reader *r = *state;

	r->eats = true;
	open_on(r, "3000000");
	fixture_until(&r->f, &r->is_over);
	assert_int_equal(0, r->err.code);
	assert_int_equal(1, r->fins);
	assert_int_equal(1, r->replies);
	assert_int_equal(3000000, r->value);
	assert_int_equal(3000000, r->got);
	fixture_check_ping(&r->f);
}

static void a_reader_that_consumes_nothing_stops_its_agent_only(void **state)
{
	struct reader *r = *state;

	open_on(r, "endless");
	fixture_settle(&r->f);
	assert_int_equal(CHAN_WINDOW, r->got);
	fixture_check_ping(&r->f);
	feed_consumed(r->feed, r->got);
	fixture_settle(&r->f);
	assert_int_equal(2 * CHAN_WINDOW, r->got);
}

static void closing_stops_the_agent(void **state)
{
	struct reader *r = *state;

	r->eats = true;
	r->closes = true;
	open_on(r, "endless");
	while (r->feed)
		loop_turn(r->f.loop);
	size_t got = r->got;
	fixture_check_ping(&r->f);
	assert_int_equal(1, r->f.agent->resets);
	assert_int_equal(got, r->got);
	assert_false(r->is_over);
}

static void check_fail(struct reader *r, const char *path, int code,
		       const char *text)
{
	r->is_over = false;
	r->replies = 0;
	r->got = 0;
	open_on(r, path);
	assert_false(r->is_over);
	fixture_until(&r->f, &r->is_over);
	assert_int_equal(0, r->fins);
	if (r->err.code != code || !strstr(r->err.text, text))
		fail_msg("%s: %d \"%s\"", path, r->err.code, r->err.text);
}

static void refusal_and_nonsense_fail_that_feed_only(void **state)
{
	struct reader *r = *state;

	check_fail(r, "refused", -EACCES, "no");
	check_fail(r, "data first", -EPROTO, "data where none belongs");
	check_fail(r, "fin", -EPROTO, "READ_FILE was not answered");
	check_fail(r, "twice", -EPROTO, "READ_FILE was answered twice");
	fixture_check_ping(&r->f);
	assert_int_equal(0, r->f.losses);
}

static void a_new_session_ends_feeds(void **state)
{
	struct reader *r = *state;
	struct op op;

	open_on(r, "silent");
	fixture_settle(&r->f);
	client_hello(r->f.client, &op, CLOCK_NEVER);
	assert_true(r->is_over);
	assert_int_equal(-ECONNRESET, r->err.code);
	op_done(&op);
}

static void freeing_the_client_ends_feeds(void **state)
{
	struct reader *r = *state;

	open_on(r, "endless");
	fixture_settle(&r->f);
	r->f.client = client_free(r->f.client);
	assert_true(r->is_over);
	assert_int_equal(-ECANCELED, r->err.code);
}

static void a_feed_of_a_failed_client_fails_in_a_later_turn(void **state)
{
	struct reader *r = *state;
	struct err why;

	err_set(&why, -EIO, "dead");
	client_fail(r->f.client, &why);
	check_fail(r, "endless", -EIO, "dead");
	/* Closed before it is told, it is not told. */
	r->is_over = false;
	open_on(r, "endless");
	r->feed = feed_close(r->feed);
	fixture_settle(&r->f);
	assert_false(r->is_over);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
static const struct CMUnitTest tests[] = {
    TEST(feed_gives_reply_data_fin),
    TEST(a_reader_that_consumes_nothing_stops_its_agent_only),
    TEST(closing_stops_the_agent),
    TEST(refusal_and_nonsense_fail_that_feed_only),
    TEST(a_new_session_ends_feeds),
    TEST(freeing_the_client_ends_feeds),
    TEST(a_feed_of_a_failed_client_fails_in_a_later_turn),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
