/* SPDX-License-Identifier: MIT */
/* An interrupt fails the calls in flight, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/streams/client_fixture.h"

/* PING is answered, all else is not. */
static void on_request(struct fake_agent *a, struct chan *ch,
		       const struct msg *m)
{
	if (m->type == MSG_PING)
		fake_done(a, ch, m->ping.value, true);
}

static const struct fake_script script = {.request = on_request};

static void interrupt(struct fixture *f)
{
	struct err err;

	err_set(&err, -EHOSTDOWN, "the console shows it");
	client_interrupt(f->client, &err);
}

static void calls_in_flight_fail_with_the_reason(void **state)
{
	const struct msg m = msg_stat_of("/x");
	struct fixture f;

	(void)state;
	fixture_init(&f, &script);
	struct call *a = fixture_call(&f, &m), *b = fixture_call(&f, &m);
	fixture_settle(&f);
	assert_int_equal(f.agent->requests, 2);
	interrupt(&f);
	assert_true(op_is_done(&a->op) && op_is_done(&b->op));
	assert_int_equal(a->op.result, -EHOSTDOWN);
	assert_string_equal(b->op.err.text, "the console shows it");
	assert_int_equal(f.losses, 0);
	fixture_check_ping(&f);
	fixture_settle(&f);
	assert_int_equal(f.agent->resets, 2);
	call_free(a);
	call_free(b);
	fixture_done(&f);
}

static void on_message(void *ctx, const struct msg *m)
{
	(void)m;
	*(bool *)ctx = true;
}

static void on_data(void *ctx, const uint8_t *p, size_t n, bool more)
{
	(void)ctx;
	(void)p;
	(void)n;
	(void)more;
}

static void on_fin(void *ctx)
{
	*(bool *)ctx = true;
}

static void on_fail(void *ctx, const struct err *err)
{
	(void)err;
	*(bool *)ctx = true;
}

static void a_feed_goes_on(void **state)
{
	static const struct feed_ops ops = {on_message, on_data, on_fin,
					    on_fail};
	const struct msg m = msg_read_of("/x");
	struct fixture f;
	bool is_told = false;

	(void)state;
	fixture_init(&f, &script);
	struct feed *feed = feed_open(f.client, &m, &ops, &is_told);
	fixture_settle(&f);
	interrupt(&f);
	fixture_settle(&f);
	assert_false(is_told);
	assert_int_equal(f.agent->resets, 0);
	feed_close(feed);
	fixture_done(&f);
}

struct again {
	struct fixture *f;
	struct call *call;
};

static void ask_again(struct op *op, void *ctx)
{
	const struct msg m = msg_ping(1);
	struct again *g = ctx;

	(void)op;
	g->call = fixture_call(g->f, &m);
}

static void who_is_told_may_ask_again(void **state)
{
	const struct msg m = msg_stat_of("/x");
	struct fixture f;
	struct again g = {.f = &f};

	(void)state;
	fixture_init(&f, &script);
	struct call *a = fixture_call(&f, &m);
	a->op.on_done = ask_again;
	a->op.done_ctx = &g;
	interrupt(&f);
	assert_non_null(g.call);
	assert_int_equal(op_wait(&g.call->op), 0);
	call_free(a);
	call_free(g.call);
	fixture_done(&f);
}

static void free_client(struct op *op, void *ctx)
{
	struct fixture *f = ctx;

	(void)op;
	f->client = client_free(f->client);
}

struct turn {
	struct fixture *f;
	bool is_over;
};

static void on_timer(void *ctx)
{
	struct turn *t = ctx;

	interrupt(t->f);
	t->is_over = true;
}

static void who_is_told_may_free_the_client(void **state)
{
	const struct msg m = msg_stat_of("/x");
	struct fixture f;
	struct turn turn = {.f = &f};

	(void)state;
	fixture_init(&f, &script);
	op_done(&f.hello);
	struct call *a = fixture_call(&f, &m), *b = fixture_call(&f, &m);
	struct timer *t = timer_new(f.loop, on_timer, &turn);
	a->op.on_done = free_client;
	a->op.done_ctx = &f;
	timer_set(t, 0);
	fixture_until(&f, &turn.is_over);
	assert_null(f.client);
	assert_int_equal(a->op.result, -EHOSTDOWN);
	assert_int_equal(b->op.result, -ECANCELED);
	timer_free(t);
	call_free(a);
	call_free(b);
	fixture_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(calls_in_flight_fail_with_the_reason),
	    cmocka_unit_test(a_feed_goes_on),
	    cmocka_unit_test(who_is_told_may_ask_again),
	    cmocka_unit_test(who_is_told_may_free_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
