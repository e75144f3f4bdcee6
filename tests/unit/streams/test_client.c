/* SPDX-License-Identifier: MIT */
/* The life of a client: sessions, losses, failures, its end. */
#include "streams/client.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "tests/unit/streams/client_fixture.h"

/* More than is read at once, less than a socket holds. */
#define MUCH 120000

/* PING is answered; STAT never is; READ_FILE is, with MUCH and an end; UNLINK
 * breaks the connection as its path says. */
static void on_request(struct fake_agent *a, struct chan *ch,
		       const struct msg *m)
{
	if (m->type == MSG_PING)
		fake_done(a, ch, m->ping.value, true);
	if (m->type == MSG_READ_FILE) {
		static const uint8_t bytes[MUCH];
		fake_done(a, ch, 0, false);
		fake_data(a, ch, bytes, MUCH, true);
		fake_hang_up(a);
	}
	if (m->type != MSG_UNLINK)
		return;
	if (!strcmp(m->unlink.path, "hang up")) {
		fake_hang_up(a);
	} else if (!strcmp(m->unlink.path, "cut a frame")) {
		/* A message of 100 bytes, of which 3 come. */
		fake_raw(a, "\x01\x01\0\0\x64\0\0\x02xyz", 11);
		fake_hang_up(a);
	} else if (!strcmp(m->unlink.path, "answer, hang up")) {
		fake_done(a, ch, 9, true);
		fake_hang_up(a);
	} else {
		fake_raw(a, "@@@@@@@@@@@@@@@@", 16);
	}
}

static const struct fake_script script = {.request = on_request};

static int setup(void **state)
{
	*state = fixture_new(&script);
	return 0;
}

static int setup_silent(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	fixture_init_silent(f, &script);
	*state = f;
	return 0;
}

static struct msg msg_unlink_of(const char *path)
{
	return (struct msg){.type = MSG_UNLINK, .unlink.path = path};
}

static void unanswered(struct fixture *f, struct call **calls, size_t n)
{
	const struct msg m = msg_stat_of("/");

	for (size_t i = 0; i < n; i++)
		calls[i] = fixture_call(f, &m);
}

static void check_over(struct call **calls, size_t n, int result,
		       const char *text)
{
	for (size_t i = 0; i < n; i++) {
		assert_true(op_is_done(&calls[i]->op));
		assert_int_equal(result, calls[i]->op.result);
		if (!strstr(calls[i]->op.err.text, text))
			fail_msg("\"%s\"", calls[i]->op.err.text);
		call_free(calls[i]);
	}
}

static void hello_tells_the_instance(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(FAKE_INSTANCE, client_instance(f->client));
	assert_int_equal(1, f->agent->hellos);
	fixture_check_ping(f);
}

static void requests_before_hello_are_refused(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_ping(1);
	struct call *call = fixture_call(f, &m);

	assert_int_equal(0, client_instance(f->client));
	client_post(f->client, &m);
	check_over(&call, 1, -ENOTCONN, "no session");
	client_hello(f->client, &f->hello,
		     clock_deadline_ns(FIXTURE_PATIENCE_NS));
	call = fixture_call(f, &m);
	check_over(&call, 1, -ENOTCONN, "no session");
	assert_int_equal(0, op_wait(&f->hello));
	fixture_check_ping(f);
}

static void hello_that_nobody_answers_times_out(void **state)
{
	struct fixture *f = *state;

	f->agent->is_mute = true;
	client_hello(f->client, &f->hello, clock_deadline_ns(5 * NS_PER_MS));
	assert_int_equal(-ETIMEDOUT, op_wait(&f->hello));
	op_done(&f->hello);
	/* The next one is answered, whatever is in the pipe. */
	f->agent->is_mute = false;
	client_hello(f->client, &f->hello,
		     clock_deadline_ns(FIXTURE_PATIENCE_NS));
	assert_int_equal(0, op_wait(&f->hello));
	fixture_check_ping(f);
}

static void an_agent_of_another_version_is_named(void **state)
{
	struct fixture *f = *state;
	struct hello h = {.version = 99, .instance = 5, .window = 1024};
	uint8_t bytes[HELLO_SIZE];

	f->agent->is_mute = true;
	f->keep_lost = true;
	client_hello(f->client, &f->hello,
		     clock_deadline_ns(FIXTURE_PATIENCE_NS));
	loop_turn(f->loop);
	/* The nonce is in what the agent would have said. */
	struct buf out = {0};
	session_output(f->agent->session, &out, 1);
	struct hello own;
	hello_decode(&own, buf_data(&out) + HELLO_MARKER);
	buf_done(&out);
	h.nonce = own.nonce;
	hello_encode(&h, bytes);
	fake_raw(f->agent, bytes, sizeof(bytes));
	while (!f->losses)
		loop_turn(f->loop);
	assert_int_equal(-EPROTO, f->lost.code);
	assert_non_null(strstr(f->lost.text, "agent speaks protocol 99"));
	assert_false(op_is_done(&f->hello));
	client_fail(f->client, &f->lost);
	assert_int_equal(-EPROTO, f->hello.result);
}

static void a_new_session_ends_the_calls_of_the_old(void **state)
{
	struct fixture *f = *state;
	struct call *calls[3];
	struct op again;

	unanswered(f, calls, 3);
	loop_turn(f->loop);
	client_hello(f->client, &again, clock_deadline_ns(FIXTURE_PATIENCE_NS));
	check_over(calls, 3, -ECONNRESET, "new session");
	assert_int_equal(0, op_wait(&again));
	assert_int_equal(2, f->agent->hellos);
	fixture_check_ping(f);
	op_done(&again);
}

static void a_hello_replaces_the_one_in_flight(void **state)
{
	struct fixture *f = *state;
	struct op first;

	client_hello(f->client, &first, CLOCK_NEVER);
	client_hello(f->client, &f->hello,
		     clock_deadline_ns(FIXTURE_PATIENCE_NS));
	assert_int_equal(-ECONNRESET, first.result);
	op_done(&first);
	assert_int_equal(0, op_wait(&f->hello));
	fixture_check_ping(f);
}

static void loss_is_told_first_and_failure_gives_the_reason(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_unlink_of("hang up");
	struct call *calls[3];
	struct err why;

	f->keep_lost = true;
	unanswered(f, calls, 2);
	calls[2] = fixture_call(f, &m);
	while (!f->losses)
		loop_turn(f->loop);
	assert_int_equal(-EPIPE, f->lost.code);
	assert_string_equal("the agent closed the connection", f->lost.text);
	assert_false(op_is_done(&calls[0]->op));
	/* Who comes now waits for the reason too. */
	struct call *late = fixture_call(f, &m);
	assert_false(op_is_done(&late->op));
	err_set(&why, -ECONNABORTED, "QEMU was killed by signal 9");
	client_fail(f->client, &why);
	check_over(calls, 3, -ECONNABORTED, "killed by signal 9");
	check_over(&late, 1, -ECONNABORTED, "killed by signal 9");
	fixture_settle(f);
	assert_int_equal(1, f->losses);
}

static void a_lost_call_still_has_its_deadline(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_unlink_of("hang up");
	const struct msg n = msg_stat_of("/");
	struct call *call = call_new(f->client);

	f->keep_lost = true;
	call_start(call, &n, NULL, 0, clock_deadline_ns(20 * NS_PER_MS));
	client_post(f->client, &m);
	assert_int_equal(-ETIMEDOUT, op_wait(&call->op));
	assert_int_equal(1, f->losses);
	call_free(call);
}

/* Whatever ends the connection ends everything in flight, once. */
static void check_end(struct fixture *f, const char *path, int code,
		      const char *text)
{
	const struct msg m = msg_unlink_of(path);
	struct call *calls[4];

	unanswered(f, calls, 3);
	calls[3] = fixture_call(f, &m);
	while (!f->losses)
		loop_turn(f->loop);
	assert_int_equal(code, f->lost.code);
	if (!strstr(f->lost.text, text))
		fail_msg("\"%s\"", f->lost.text);
	check_over(calls, 4, -ECONNABORTED, "the VM died of it");
	fixture_settle(f);
	assert_int_equal(1, f->losses);
}

static void an_end_amid_a_reply_fails_all_calls(void **state)
{
	check_end(*state, "cut a frame", -EPIPE, "closed the connection");
}

static void garbage_fails_all_calls(void **state)
{
	check_end(*state, "garbage", -EPROTO, "broke the protocol");
}

static void the_last_words_before_an_end_are_heard(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_unlink_of("answer, hang up");
	struct call *call = fixture_call(f, &m);

	assert_int_equal(0, op_wait(&call->op));
	assert_int_equal(9, call->reply.done.value);
	call_free(call);
	while (!f->losses)
		loop_turn(f->loop);
}

/* A write that fails meanwhile does not make them unheard. */
static void much_before_an_end_is_heard(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_read_of("/x");
	struct call *call = fixture_call(f, &m);
	struct call *late;

	while (f->agent->fd >= 0)
		loop_turn(f->loop);
	unanswered(f, &late, 1);
	assert_int_equal(0, op_wait(&call->op));
	assert_int_equal(MUCH, call->data.len);
	call_free(call);
	while (!f->losses)
		loop_turn(f->loop);
	check_over(&late, 1, -ECONNABORTED, "the VM died of it");
}

static void a_write_to_a_dead_connection_is_a_loss(void **state)
{
	struct fixture *f = *state;
	struct call *calls[2];

	fake_hang_up(f->agent);
	unanswered(f, calls, 2);
	assert_int_equal(-ECONNABORTED, op_wait(&calls[0]->op));
	check_over(calls, 2, -ECONNABORTED, "the VM died of it");
	assert_int_equal(1, f->losses);
}

/* No end is ever to be read here: only the write tells. */
static void a_peer_that_reads_no_more_is_a_loss(void **state)
{
	struct fixture *f = *state;
	struct call *call;

	shutdown(f->agent->fd, SHUT_RD);
	unanswered(f, &call, 1);
	while (!f->losses)
		loop_turn(f->loop);
	assert_non_null(strstr(f->lost.text, "cannot write to the agent"));
	check_over(&call, 1, -ECONNABORTED, "the VM died of it");
}

/* A process of its own, which ends without a word. */
static void an_agent_that_is_killed_is_a_loss(void **state)
{
	struct fixture *f = *state;
	struct call *calls[2];
	struct op hello;
	int fd;

	client_free(f->client);
	pid_t pid = fake_agent_fork(&script, NULL, &fd);
	assert_true(pid > 0);
	f->client = client_new(f->loop, fd, fixture_on_lost, f);
	client_hello(f->client, &hello, clock_deadline_ns(FIXTURE_PATIENCE_NS));
	assert_int_equal(0, op_wait(&hello));
	op_done(&hello);
	fixture_check_ping(f);
	unanswered(f, calls, 2);
	loop_poll(f->loop);
	kill(pid, SIGKILL);
	assert_int_equal(-ECONNABORTED, op_wait(&calls[0]->op));
	check_over(calls, 2, -ECONNABORTED, "the VM died of it");
	assert_int_equal(pid, waitpid(pid, NULL, 0));
}

static void a_failed_client_refuses_at_once_with_the_reason(void **state)
{
	struct fixture *f = *state;
	struct call *calls[2];
	struct err why;
	struct op op;

	err_set(&why, -EIO, "kernel panic in VM a");
	client_fail(f->client, &why);
	unanswered(f, calls, 2);
	check_over(calls, 2, -EIO, "kernel panic in VM a");
	client_hello(f->client, &op, CLOCK_NEVER);
	assert_int_equal(-EIO, op.result);
	op_done(&op);
	/* The first reason stays; nothing is told, as nothing was lost. */
	err_set(&why, -EPERM, "another");
	client_fail(f->client, &why);
	unanswered(f, calls, 1);
	check_over(calls, 1, -EIO, "kernel panic in VM a");
	fixture_settle(f);
	assert_int_equal(0, f->losses);
}

static void freeing_cancels_calls_which_outlive_it(void **state)
{
	struct fixture *f = *state;
	struct call *calls[3];
	struct call *idle = call_new(f->client);

	unanswered(f, calls, 3);
	loop_turn(f->loop);
	f->client = client_free(f->client);
	loop_poll(f->loop);
	check_over(calls, 3, -ECANCELED, "given up");
	call_free(idle);
	assert_null(client_free(NULL));
}

static void on_done_free_client(struct op *op, void *ctx)
{
	struct fixture *f = ctx;

	(void)op;
	f->client = client_free(f->client);
}

static void a_client_may_be_freed_by_a_waiter(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_ping(1);
	struct call *calls[2];
	struct call *pings[3];

	unanswered(f, calls, 2);
	/* The answers come in one read: one frees, one is dropped. */
	for (int i = 0; i < 3; i++)
		pings[i] = fixture_call(f, &m);
	pings[1]->op.on_done = on_done_free_client;
	pings[1]->op.done_ctx = f;
	while (!op_is_done(&pings[1]->op))
		loop_turn(f->loop);
	assert_null(f->client);
	assert_int_equal(0, pings[0]->op.result);
	check_over(&pings[2], 1, -ECANCELED, "given up");
	check_over(calls, 2, -ECANCELED, "given up");
	call_free(pings[0]);
	call_free(pings[1]);
}

/* Frees others that are in the list of those to be failed. */
static void on_done_free_all(struct op *op, void *ctx)
{
	struct call **calls = ctx;

	(void)op;
	for (int i = 0; i < 3; i++)
		calls[i] = call_free(calls[i]);
}

static void a_waiter_may_free_the_calls_that_fail_with_it(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_unlink_of("garbage");
	struct call *calls[3];

	unanswered(f, calls, 3);
	for (int i = 0; i < 3; i++) {
		calls[i]->op.on_done = on_done_free_all;
		calls[i]->op.done_ctx = calls;
	}
	client_post(f->client, &m);
	while (!f->losses)
		loop_turn(f->loop);
	assert_null(calls[0]);
	assert_null(calls[2]);
}

static void on_done_hello(struct op *op, void *ctx)
{
	struct fixture *f = ctx;

	(void)op;
	op_done(&f->hello);
	client_hello(f->client, &f->hello,
		     clock_deadline_ns(FIXTURE_PATIENCE_NS));
}

static void a_waiter_may_start_a_new_session(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_ping(1);
	struct call *pings[3];

	for (int i = 0; i < 3; i++)
		pings[i] = fixture_call(f, &m);
	pings[1]->op.on_done = on_done_hello;
	pings[1]->op.done_ctx = f;
	assert_int_equal(0, op_wait(&pings[1]->op));
	check_over(&pings[2], 1, -ECONNRESET, "new session");
	call_free(pings[0]);
	call_free(pings[1]);
	assert_int_equal(0, op_wait(&f->hello));
	fixture_check_ping(f);
}

static void handles_differ_within_and_between_clients(void **state)
{
	struct fixture *f = *state;
	struct fixture g;
	uint64_t handles[200];

	fixture_init_silent(&g, NULL);
	for (int i = 0; i < 100; i++) {
		handles[i] = client_new_handle(f->client);
		handles[100 + i] = client_new_handle(g.client);
	}
	for (int i = 0; i < 200; i++)
		for (int j = 0; j < i; j++)
			assert_true(handles[i] != handles[j]);
	fixture_done(&g);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_free)
#define SILENT(name)                                                           \
	cmocka_unit_test_setup_teardown(name, setup_silent, fixture_free)
static const struct CMUnitTest tests[] = {
    TEST(hello_tells_the_instance),
    SILENT(requests_before_hello_are_refused),
    SILENT(hello_that_nobody_answers_times_out),
    SILENT(an_agent_of_another_version_is_named),
    TEST(a_new_session_ends_the_calls_of_the_old),
    SILENT(a_hello_replaces_the_one_in_flight),
    TEST(loss_is_told_first_and_failure_gives_the_reason),
    TEST(a_lost_call_still_has_its_deadline),
    TEST(an_end_amid_a_reply_fails_all_calls),
    TEST(garbage_fails_all_calls),
    TEST(the_last_words_before_an_end_are_heard),
    TEST(much_before_an_end_is_heard),
    TEST(a_write_to_a_dead_connection_is_a_loss),
    TEST(a_peer_that_reads_no_more_is_a_loss),
    TEST(an_agent_that_is_killed_is_a_loss),
    TEST(a_failed_client_refuses_at_once_with_the_reason),
    TEST(freeing_cancels_calls_which_outlive_it),
    TEST(a_client_may_be_freed_by_a_waiter),
    TEST(a_waiter_may_free_the_calls_that_fail_with_it),
    TEST(a_waiter_may_start_a_new_session),
    TEST(handles_differ_within_and_between_clients),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
