/* SPDX-License-Identifier: MIT */
/* Runs, with a scripted agent that can do what a real one would not. */
#include "streams/exec.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "tests/unit/streams/client_fixture.h"

/* How the next process behaves. */
struct manner {
	const char *out;
	const char *err;
	bool is_refused;
	bool never_ends;
	bool ignores_kill;
	bool closes_stdin;
	bool floods;	  /* stdout without end */
	int64_t duration; /* as told */
};

struct bench {
	struct fixture f;
	struct manner manner;
	struct exec *x;
	struct chan *wait;
	struct chan *outputs[2];
	uint64_t handle;
	uint32_t flags;
	char asked[256];      /* names of the requests, in order */
	unsigned first_reads; /* reads by the agent until PROC_WAIT came */
	int signo;
	int group;
	uint64_t released;
};

static const char flood[16384];

static struct bench *bench_of(struct fake_agent *a)
{
	return CONTAINER_OF(a->ctx, struct bench, f);
}

static void on_spawn(struct fake_agent *a, struct chan *ch, const struct msg *m)
{
	struct bench *b = bench_of(a);

	b->handle = m->spawn.handle;
	b->flags = m->spawn.flags;
	if (b->manner.is_refused)
		fake_error(a, ch, ENOENT, "run 'x': No such file or directory");
	else
		fake_done(a, ch, 1234, true);
}

static void on_output(struct fake_agent *a, struct chan *ch,
		      const struct msg *m)
{
	struct bench *b = bench_of(a);
	const char *s = m->proc_output.fd == 1 ? b->manner.out : b->manner.err;
	bool open = b->manner.never_ends;

	assert_int_equal(MSG_OUTPUT_UNTIL_EXIT, m->proc_output.flags);
	if (b->manner.is_refused) {
		fake_error(a, ch, ESRCH, "no such process");
		return;
	}
	b->outputs[m->proc_output.fd - 1] = ch;
	fake_done(a, ch, 0, false);
	if (b->manner.floods && m->proc_output.fd == 2)
		while (fake_data(a, ch, flood, sizeof(flood), false) ==
		       sizeof(flood))
			;
	else
		fake_data(a, ch, s, s ? strlen(s) : 0,
			  !open && !b->manner.floods);
}

static void say_exited(struct fake_agent *a, bool signalled, int status)
{
	struct bench *b = bench_of(a);
	const struct msg m = {.type = MSG_EXITED,
			      .exited = {.signalled = signalled,
					 .status = status,
					 .duration_ns = b->manner.duration}};

	fake_reply(a, b->wait, &m, true);
}

static void on_wait(struct fake_agent *a, struct chan *ch, const struct msg *m)
{
	struct bench *b = bench_of(a);

	(void)m;
	b->wait = ch;
	b->first_reads = a->reads;
	if (b->manner.is_refused)
		fake_error(a, ch, ESRCH, "no such process");
	else if (!b->manner.never_ends && !b->manner.floods)
		say_exited(a, false, 3);
}

static void on_signal(struct fake_agent *a, struct chan *ch,
		      const struct msg *m)
{
	struct bench *b = bench_of(a);

	b->signo = m->proc_signal.signo;
	b->group = m->proc_signal.group;
	fake_done(a, ch, 0, true);
	if (b->manner.ignores_kill)
		return;
	/* The host may have given up waiting, and closed them. */
	if (b->outputs[0])
		fake_data(a, b->outputs[0], "last", 4, true);
	if (b->outputs[1])
		fake_data(a, b->outputs[1], NULL, 0, true);
	if (b->wait)
		say_exited(a, true, SIGKILL);
}

static void on_release(struct fake_agent *a, struct chan *ch,
		       const struct msg *m)
{
	bench_of(a)->released = m->release.handle;
	fake_done(a, ch, 0, true);
}

static void on_stdin(struct fake_agent *a, struct chan *ch, const struct msg *m)
{
	assert_int_equal(1, m->proc_stdin.close);
	if (bench_of(a)->manner.closes_stdin)
		fake_error(a, ch, EPIPE, "stdin of process");
}

static void on_ping(struct fake_agent *a, struct chan *ch, const struct msg *m)
{
	fake_done(a, ch, m->ping.value, true);
}

static void on_request(struct fake_agent *a, struct chan *ch,
		       const struct msg *m)
{
	static const struct {
		enum msg_type type;
		void (*fn)(struct fake_agent *a, struct chan *ch,
			   const struct msg *m);
	} table[] = {
	    {MSG_SPAWN, on_spawn},     {MSG_PROC_OUTPUT, on_output},
	    {MSG_PROC_WAIT, on_wait},  {MSG_PROC_SIGNAL, on_signal},
	    {MSG_RELEASE, on_release}, {MSG_PROC_STDIN, on_stdin},
	    {MSG_PING, on_ping},
	};
	struct bench *b = bench_of(a);
	size_t n = strlen(b->asked);

	snprintf(b->asked + n, sizeof(b->asked) - n, "%s ", msg_name(m->type));
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].type == m->type)
			table[i].fn(a, ch, m);
}

static void forget(struct chan **ret, const struct chan *ch)
{
	if (*ret == ch)
		*ret = NULL;
}

static void on_closed(struct fake_agent *a, struct chan *ch, int reason)
{
	struct bench *b = bench_of(a);

	(void)reason;
	forget(&b->outputs[0], ch);
	forget(&b->outputs[1], ch);
	forget(&b->wait, ch);
}

static const struct fake_script script = {.request = on_request,
					  .closed = on_closed};

static const char *const argv[] = {"x", "y z", NULL};
static const struct exec_spec plain = {.argv = argv};

static int setup(void **state)
{
	struct bench *b = mem_zalloc(sizeof(*b));

	fixture_init(&b->f, &script);
	b->x = exec_new(b->f.client);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	exec_free(b->x);
	fixture_done(&b->f);
	free(b);
	return 0;
}

static int run(struct bench *b, const struct exec_spec *spec, int64_t span_ns)
{
	exec_start(b->x, spec, clock_deadline_ns(span_ns));
	return op_wait(&b->x->op);
}

static void check_bytes(const struct buf *b, const char *s)
{
	assert_int_equal(strlen(s), b->len);
	if (b->len)
		assert_memory_equal(s, buf_data(b), b->len);
}

static void a_run_gives_output_and_status(void **state)
{
	struct bench *b = *state;

	b->manner =
	    (struct manner){.out = "hello\n", .err = "oops", .duration = 55};
	assert_int_equal(0, run(b, &plain, FIXTURE_PATIENCE_NS));
	check_bytes(&b->x->out, "hello\n");
	check_bytes(&b->x->err_out, "oops");
	assert_int_equal(3, b->x->status);
	assert_false(b->x->signalled);
	assert_false(b->x->timed_out);
	assert_int_equal(55, b->x->duration_ns);
}

static void a_run_is_one_write_and_releases_its_handle(void **state)
{
	struct bench *b = *state;
	unsigned reads = b->f.agent->reads;

	assert_int_equal(0, run(b, &plain, FIXTURE_PATIENCE_NS));
	assert_int_equal(1, b->first_reads - reads);
	fixture_check_ping(&b->f);
	assert_string_equal("SPAWN PROC_OUTPUT PROC_OUTPUT PROC_WAIT RELEASE "
			    "PING ",
			    b->asked);
	assert_true(b->handle && b->released == b->handle);
	assert_int_equal(MSG_SPAWN_READ, b->flags);
	assert_int_equal(0, b->f.agent->resets);
}

static void a_command_that_cannot_start_is_named(void **state)
{
	struct bench *b = *state;

	b->manner.is_refused = true;
	assert_int_equal(-ENOENT, run(b, &plain, FIXTURE_PATIENCE_NS));
	assert_string_equal("run 'x': No such file or directory",
			    b->x->op.err.text);
}

/* A run into its deadline, again where this machine took so long in between
 * that the grace for the guest's last words was over. */
static void run_into_deadline(struct bench *b)
{
	const int64_t span = 30 * NS_PER_MS;
	int64_t until = clock_deadline_ns(FIXTURE_PATIENCE_NS);
	int64_t took;

	do {
		exec_free(b->x);
		b->x = exec_new(b->f.client);
		int64_t began = clock_now_ns();
		assert_int_equal(0, run(b, &plain, span));
		took = clock_now_ns() - began;
		assert_true(took >= span);
	} while (took >= span + EXEC_KILL_GRACE_NS && clock_now_ns() < until);
}

static void deadline_kills_the_group_and_keeps_the_output(void **state)
{
	struct bench *b = *state;

	b->manner = (struct manner){.out = "first ", .never_ends = true};
	run_into_deadline(b);
	assert_true(b->x->timed_out);
	assert_int_equal(SIGKILL, b->signo);
	assert_int_equal(1, b->group);
	assert_true(b->x->signalled);
	assert_int_equal(SIGKILL, b->x->status);
	check_bytes(&b->x->out, "first last");
	fixture_check_ping(&b->f);
	assert_true(b->released == b->handle);
}

static void a_guest_that_does_not_say_is_waited_for_a_grace(void **state)
{
	struct bench *b = *state;
	int64_t began = clock_now_ns();

	b->manner = (struct manner){
	    .out = "first ", .never_ends = true, .ignores_kill = true};
	assert_int_equal(0, run(b, &plain, 500 * NS_PER_MS));
	int64_t took = clock_now_ns() - began;
	assert_true(took >= 500 * NS_PER_MS + EXEC_KILL_GRACE_NS);
	assert_true(b->x->timed_out && b->x->signalled);
	assert_int_equal(SIGKILL, b->x->status);
	assert_true(b->x->duration_ns >= 500 * NS_PER_MS);
	check_bytes(&b->x->out, "first ");
	fixture_check_ping(&b->f);
	assert_true(b->released == b->handle);
}

static void a_silent_agent_ends_a_run_as_a_deadline_does(void **state)
{
	struct bench *b = *state;

	b->f.agent->is_mute = true;
	b->manner.ignores_kill = true;
	assert_int_equal(0, run(b, &plain, 0));
	assert_true(b->x->timed_out);
	assert_int_equal(0, b->x->out.len);
}

static void too_much_output_is_an_error_that_names_the_stream(void **state)
{
	struct bench *b = *state;

	b->manner.floods = true;
	b->x->max_output = 100000;
	assert_int_equal(-EFBIG, run(b, &plain, FIXTURE_PATIENCE_NS));
	assert_string_equal("the command wrote more than 100000 bytes to its "
			    "stderr",
			    b->x->op.err.text);
	fixture_check_ping(&b->f);
	assert_true(b->released == b->handle);
}

static void unread_stdin_is_no_failure(void **state)
{
	struct bench *b = *state;
	static const uint8_t bytes[500000];
	const struct exec_spec spec = {
	    .argv = argv, .stdin_bytes = bytes, .stdin_len = sizeof(bytes)};

	b->manner = (struct manner){.out = "ok", .closes_stdin = true};
	assert_int_equal(0, run(b, &spec, FIXTURE_PATIENCE_NS));
	check_bytes(&b->x->out, "ok");
	assert_int_equal(MSG_SPAWN_STDIN_PIPE | MSG_SPAWN_READ, b->flags);
	/* Nor when the agent says nothing of it. */
	exec_free(b->x);
	b->x = exec_new(b->f.client);
	b->manner.closes_stdin = false;
	assert_int_equal(0, run(b, &spec, FIXTURE_PATIENCE_NS));
	check_bytes(&b->x->out, "ok");
	fixture_check_ping(&b->f);
}

static void a_clock_that_runs_backwards_is_not_passed_on(void **state)
{
	struct bench *b = *state;

	b->manner.duration = -5;
	assert_int_equal(0, run(b, &plain, FIXTURE_PATIENCE_NS));
	assert_int_equal(0, b->x->duration_ns);
}

static void freeing_a_run_releases_its_process(void **state)
{
	struct bench *b = *state;

	b->manner.never_ends = true;
	exec_start(b->x, &plain, CLOCK_NEVER);
	fixture_settle(&b->f);
	b->x = exec_free(b->x);
	fixture_check_ping(&b->f);
	assert_true(b->released == b->handle);
	assert_int_equal(3, b->f.agent->resets);
	assert_null(exec_free(NULL));
}

static void on_done_free(struct op *op, void *ctx)
{
	struct bench *b = ctx;

	(void)op;
	b->x = exec_free(b->x);
}

static void a_run_may_be_freed_by_its_waiter(void **state)
{
	struct bench *b = *state;

	exec_start(b->x, &plain, clock_deadline_ns(FIXTURE_PATIENCE_NS));
	b->x->op.on_done = on_done_free;
	b->x->op.done_ctx = b;
	while (b->x)
		loop_turn(b->f.loop);
	fixture_check_ping(&b->f);
}

static void a_run_fails_with_its_client(void **state)
{
	struct bench *b = *state;
	struct err why;

	b->manner.never_ends = true;
	exec_start(b->x, &plain, CLOCK_NEVER);
	fixture_settle(&b->f);
	err_set(&why, -EIO, "VM a: kernel panic");
	client_fail(b->f.client, &why);
	assert_int_equal(-EIO, op_wait(&b->x->op));
	assert_string_equal("VM a: kernel panic", b->x->op.err.text);
	/* And is refused by it on the spot. */
	exec_free(b->x);
	b->x = exec_new(b->f.client);
	exec_start(b->x, &plain, CLOCK_NEVER);
	assert_true(op_is_done(&b->x->op));
	assert_int_equal(-EIO, b->x->op.result);
}

static void a_run_outlives_its_client(void **state)
{
	struct bench *b = *state;

	b->manner.never_ends = true;
	exec_start(b->x, &plain, CLOCK_NEVER);
	fixture_settle(&b->f);
	b->f.client = client_free(b->f.client);
	assert_int_equal(-ECANCELED, op_wait(&b->x->op));
	loop_poll(b->f.loop);
	b->x = exec_free(b->x);
}

static void spawn_carries_what_was_asked(void **state)
{
	static const char *const env[] = {"A=1", "B=", NULL};
	const struct exec_spec spec = {
	    .argv = argv, .env = env, .env_clear = true, .cwd = "/tmp"};
	struct buf store = {0}, wire = {0};
	struct msg_bytes item;
	struct msg m;

	(void)state;
	assert_int_equal(0,
			 exec_encode_spawn(&spec, 7, true, &m, &store, NULL));
	assert_int_equal(0, msg_encode(&m, &wire));
	buf_done(&store);
	assert_int_equal(0, msg_decode(&m, buf_data(&wire), wire.len));
	assert_int_equal(7, m.spawn.handle);
	assert_int_equal(MSG_SPAWN_ENV_CLEAR | MSG_SPAWN_STDIN_PIPE,
			 m.spawn.flags);
	assert_string_equal("/tmp", m.spawn.cwd);
	assert_int_equal(2, m.spawn.argv.count);
	assert_true(msg_list_next(&m.spawn.argv, &item));
	assert_string_equal("x", (const char *)item.p);
	assert_true(msg_list_next(&m.spawn.argv, &item));
	assert_string_equal("y z", (const char *)item.p);
	assert_false(msg_list_next(&m.spawn.argv, &item));
	assert_int_equal(2, m.spawn.env.count);
	assert_true(msg_list_next(&m.spawn.env, &item));
	assert_string_equal("A=1", (const char *)item.p);
	assert_true(msg_list_next(&m.spawn.env, &item));
	assert_string_equal("B=", (const char *)item.p);
	assert_false(msg_list_next(&m.spawn.env, &item));
	buf_done(&wire);
}

static void arguments_that_are_too_large_are_refused(void **state)
{
	struct bench *b = *state;
	char *big = mem_alloc(MSG_MAX);
	const char *const v[] = {big, NULL};
	const struct exec_spec spec = {.argv = v};

	memset(big, 'x', MSG_MAX);
	big[MSG_MAX - 1] = '\0';
	exec_start(b->x, &spec, CLOCK_NEVER);
	assert_true(op_is_done(&b->x->op));
	assert_int_equal(-E2BIG, b->x->op.result);
	free(big);
	fixture_check_ping(&b->f);
	assert_string_equal("PING ", b->asked);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
static const struct CMUnitTest tests[] = {
    TEST(a_run_gives_output_and_status),
    TEST(a_run_is_one_write_and_releases_its_handle),
    TEST(a_command_that_cannot_start_is_named),
    TEST(deadline_kills_the_group_and_keeps_the_output),
    TEST(a_guest_that_does_not_say_is_waited_for_a_grace),
    TEST(a_silent_agent_ends_a_run_as_a_deadline_does),
    TEST(too_much_output_is_an_error_that_names_the_stream),
    TEST(unread_stdin_is_no_failure),
    TEST(a_clock_that_runs_backwards_is_not_passed_on),
    TEST(freeing_a_run_releases_its_process),
    TEST(a_run_may_be_freed_by_its_waiter),
    TEST(a_run_fails_with_its_client),
    TEST(a_run_outlives_its_client),
    TEST(spawn_carries_what_was_asked),
    TEST(arguments_that_are_too_large_are_refused),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
