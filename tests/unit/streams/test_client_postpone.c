/* SPDX-License-Identifier: MIT */
/* Requests that wait while a guest restarts, and agents that are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/streams/client_fixture.h"

/* Paths of the STATs that came, each a letter. */
struct seen {
	char paths[8];
	size_t n;
	uint64_t bytes; /* of bodies */
};

static struct seen seen;

/* PING and STAT are answered; WRITE_FILE at its end. */
static void on_request(struct fake_agent *a, struct chan *ch,
		       const struct msg *m)
{
	if (m->type == MSG_STAT && seen.n < sizeof(seen.paths) - 1)
		seen.paths[seen.n++] = m->stat.path[0];
	if (m->type == MSG_PING)
		fake_done(a, ch, m->ping.value, true);
}

static void on_data(struct fake_agent *a, struct chan *ch, const uint8_t *p,
		    size_t n)
{
	(void)p;
	seen.bytes += n;
	fake_consumed(a, ch, n);
}

static void on_finished(struct fake_agent *a, struct chan *ch)
{
	if (seen.bytes)
		fake_done(a, ch, (int64_t)seen.bytes, true);
}

static const struct fake_script script = {
    .request = on_request,
    .data = on_data,
    .finished = on_finished,
};

static int setup(void **state)
{
	seen = (struct seen){0};
	*state = fixture_new(&script);
	return 0;
}

static struct call *ask(struct fixture *f, const char *path)
{
	const struct msg m = msg_stat_of(path);

	return fixture_call(f, &m);
}

static void new_session(struct fixture *f)
{
	op_done(&f->hello);
	client_hello(f->client, &f->hello,
		     clock_deadline_ns(FIXTURE_PATIENCE_NS));
	assert_int_equal(0, op_wait(&f->hello));
}

static void requests_wait_and_leave_in_their_order(void **state)
{
	struct fixture *f = *state;

	client_postpone(f->client);
	struct call *a = ask(f, "a"), *b = ask(f, "b");

	assert_false(client_is_idle(f->client));
	fixture_settle(f);
	assert_int_equal(seen.n, 0);
	client_send_postponed(f->client);
	struct call *c = ask(f, "c");
	fixture_settle(f);
	assert_string_equal(seen.paths, "abc");
	call_free(a);
	call_free(b);
	call_free(c);
}

static void they_outlast_new_sessions(void **state)
{
	const struct msg ping = msg_ping(5);
	struct fixture *f = *state;
	struct call *before = ask(f, "x");

	client_postpone(f->client);
	struct call *call = fixture_call(f, &ping);
	new_session(f);
	new_session(f);
	assert_int_equal(before->op.result, -ECONNRESET);
	assert_false(op_is_done(&call->op));
	client_send_postponed(f->client);
	assert_int_equal(op_wait(&call->op), 0);
	assert_int_equal(call->reply.done.value, 5);
	call_free(before);
	call_free(call);
}

static void their_deadlines_run(void **state)
{
	const struct msg m = msg_stat_of("late");
	struct fixture *f = *state;
	struct call *call = call_new(f->client);

	client_postpone(f->client);
	call_start(call, &m, NULL, 0, clock_deadline_ns(NS_PER_MS));
	assert_int_equal(op_wait(&call->op), -ETIMEDOUT);
	client_send_postponed(f->client);
	fixture_settle(f);
	assert_int_equal(seen.n, 0);
	assert_true(client_is_idle(f->client));
	call_free(call);
}

static void the_owner_passes(void **state)
{
	struct fixture *f = *state;

	client_postpone(f->client);
	struct call *waits = ask(f, "w");
	client_pass(f->client, true);
	fixture_check_ping(f);
	client_pass(f->client, false);
	struct call *too = ask(f, "t");
	fixture_settle(f);
	assert_int_equal(seen.n, 0);
	client_send_postponed(f->client);
	fixture_settle(f);
	assert_string_equal(seen.paths, "wt");
	call_free(waits);
	call_free(too);
}

static void bodies_are_sent_later(void **state)
{
	const struct msg m = {.type = MSG_WRITE_FILE, .write_file.path = "/x"};
	struct fixture *f = *state;
	int fd = memfd_create("body", MFD_CLOEXEC);
	struct call *bytes = call_new(f->client);

	client_postpone(f->client);
	call_start(bytes, &m, "hello", 5,
		   clock_deadline_ns(FIXTURE_PATIENCE_NS));
	client_send_postponed(f->client);
	assert_int_equal(op_wait(&bytes->op), 0);
	assert_int_equal(bytes->reply.done.value, 5);
	call_free(bytes);

	/* A file that cannot be read any more fails its call alone. */
	struct call *file = call_new(f->client);
	client_postpone(f->client);
	call_start_file(file, &m, fd, 5,
			clock_deadline_ns(FIXTURE_PATIENCE_NS));
	struct call *next = ask(f, "n");
	client_send_postponed(f->client);
	assert_int_equal(op_wait(&file->op), -ENODATA);
	fixture_settle(f);
	assert_string_equal(seen.paths, "n");
	call_free(file);
	call_free(next);
	close(fd);
}

static void an_interrupt_and_a_failure_reach_them(void **state)
{
	struct fixture *f = *state;
	struct err err;

	client_postpone(f->client);
	struct call *a = ask(f, "a");
	err_set(&err, -EHOSTDOWN, "the console shows it");
	client_interrupt(f->client, &err);
	assert_int_equal(a->op.result, -EHOSTDOWN);
	struct call *b = ask(f, "b");
	err_set(&err, -EIO, "the VM is gone");
	client_fail(f->client, &err);
	assert_int_equal(b->op.result, -EIO);
	struct call *c = ask(f, "c");
	assert_int_equal(c->op.result, -EIO);
	call_free(a);
	call_free(b);
	call_free(c);
}

static void a_connection_that_is_lost_is_replaced(void **state)
{
	struct fixture *f = *state;
	int fd;

	f->keep_lost = true;
	client_postpone(f->client);
	struct call *before = ask(f, "b");
	fake_agent_free(f->agent);
	f->agent = NULL;
	while (!f->losses)
		loop_turn(f->loop);
	struct call *after = ask(f, "a");
	f->agent = fake_agent_new(f->loop, &script, f, &fd);
	client_link(f->client, fd);
	struct call *linked = ask(f, "l");
	new_session(f);
	client_send_postponed(f->client);
	fixture_settle(f);
	assert_string_equal(seen.paths, "bal");
	call_free(before);
	call_free(after);
	call_free(linked);
}

static void an_agent_that_is_gone_fails_requests_until_it_is_back(void **state)
{
	struct fixture *f = *state;
	struct call *flies = ask(f, "f");
	struct err err;

	err_set(&err, -EHOSTDOWN, "lost its agent");
	client_end_session(f->client, &err);
	assert_int_equal(flies->op.result, -EHOSTDOWN);
	struct call *late = ask(f, "l");
	assert_int_equal(late->op.result, -EHOSTDOWN);
	assert_string_equal(late->op.err.text, "lost its agent");
	new_session(f);
	fixture_check_ping(f);
	call_free(flies);
	call_free(late);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_free)
static const struct CMUnitTest tests[] = {
    T(requests_wait_and_leave_in_their_order),
    T(they_outlast_new_sessions),
    T(their_deadlines_run),
    T(the_owner_passes),
    T(bodies_are_sent_later),
    T(an_interrupt_and_a_failure_reach_them),
    T(a_connection_that_is_lost_is_replaced),
    T(an_agent_that_is_gone_fails_requests_until_it_is_back),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
