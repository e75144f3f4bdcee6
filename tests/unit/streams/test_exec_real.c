/* SPDX-License-Identifier: MIT */
/* Runs in the real agent program, as a process of this machine. */
#include "streams/exec.h"

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
#include "tests/unit/streams/lib_real_agent.h"

#define PATIENCE_NS (60 * NS_PER_SEC)

struct guest {
	struct loop *loop;
	struct client *client;
	struct exec *x;
	struct op hello;
	pid_t agent;
};

static int setup(void **state)
{
	struct guest *g = mem_zalloc(sizeof(*g));
	int fd[2];

	g->loop = loop_new(NULL);
	assert_non_null(g->loop);
	assert_int_equal(
	    0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	g->agent = real_agent_run(fd[1]);
	close(fd[1]);
	g->client = client_new(g->loop, fd[0], NULL, NULL);
	client_hello(g->client, &g->hello, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(0, op_wait(&g->hello));
	g->x = exec_new(g->client);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;

	exec_free(g->x);
	op_done(&g->hello);
	client_free(g->client);
	loop_free(g->loop);
	kill(g->agent, SIGKILL);
	waitpid(g->agent, NULL, 0);
	free(g);
	return 0;
}

static int run_spec(struct guest *g, const struct exec_spec *spec,
		    int64_t span_ns)
{
	exec_free(g->x);
	g->x = exec_new(g->client);
	exec_start(g->x, spec, clock_deadline_ns(span_ns));
	return op_wait(&g->x->op);
}

static int run_shell(struct guest *g, const char *command, int64_t span_ns)
{
	const char *const argv[] = {"/bin/sh", "-c", command, NULL};
	const struct exec_spec spec = {.argv = argv};

	return run_spec(g, &spec, span_ns);
}

static void check_bytes(const struct buf *b, const char *s)
{
	if (b->len != strlen(s) || memcmp(buf_data(b), s, b->len))
		fail_msg("got \"%.*s\"", (int)b->len, (char *)buf_data(b));
}

static void output_and_status_come_back(void **state)
{
	struct guest *g = *state;

	assert_int_equal(
	    0, run_shell(g, "printf out; printf err >&2; exit 7", PATIENCE_NS));
	check_bytes(&g->x->out, "out");
	check_bytes(&g->x->err_out, "err");
	assert_int_equal(7, g->x->status);
	assert_false(g->x->signalled || g->x->timed_out);
	assert_true(g->x->duration_ns > 0);
}

static void a_signal_is_told(void **state)
{
	struct guest *g = *state;

	assert_int_equal(0, run_shell(g, "kill -TERM $$", PATIENCE_NS));
	assert_true(g->x->signalled);
	assert_int_equal(SIGTERM, g->x->status);
}

static void environment_and_directory_are_set(void **state)
{
	struct guest *g = *state;
	static const char *const argv[] = {"/bin/sh", "-c",
					   "echo $A,$HOME; pwd", NULL};
	static const char *const env[] = {"A=b c", NULL};
	const struct exec_spec spec = {
	    .argv = argv, .env = env, .env_clear = true, .cwd = "/usr"};

	assert_int_equal(0, run_spec(g, &spec, PATIENCE_NS));
	check_bytes(&g->x->out, "b c,\n/usr\n");
}

static void a_missing_program_is_named(void **state)
{
	struct guest *g = *state;
	static const char *const argv[] = {"/no/such/program", NULL};
	const struct exec_spec spec = {.argv = argv};

	assert_int_equal(-ENOENT, run_spec(g, &spec, PATIENCE_NS));
	assert_non_null(strstr(g->x->op.err.text, "/no/such/program"));
}

/* More than all buffers between hold, both ways at once. */
static void large_stdin_and_output_do_not_block_each_other(void **state)
{
	struct guest *g = *state;
	static const char *const argv[] = {"cat", NULL};
	size_t n = 8 << 20;
	uint32_t *bytes = mem_alloc(n);
	const struct exec_spec spec = {.argv = argv,
				       .stdin_bytes = (const uint8_t *)bytes,
				       .stdin_len = n};

	for (uint32_t i = 0; i < n / 4; i++)
		bytes[i] = i * 2654435761u;
	assert_int_equal(0, run_spec(g, &spec, PATIENCE_NS));
	assert_false(g->x->timed_out);
	assert_int_equal(n, g->x->out.len);
	assert_memory_equal(bytes, buf_data(&g->x->out), n);
	free(bytes);
}

static void empty_stdin_is_an_end_of_file(void **state)
{
	struct guest *g = *state;
	static const char *const argv[] = {"cat", NULL};
	const struct exec_spec spec = {.argv = argv,
				       .stdin_bytes = (const uint8_t *)""};

	assert_int_equal(0, run_spec(g, &spec, PATIENCE_NS));
	assert_false(g->x->timed_out);
	assert_int_equal(0, g->x->status);
}

static void unread_stdin_is_no_failure(void **state)
{
	struct guest *g = *state;
	static const char *const argv[] = {"/bin/sh", "-c",
					   "exec <&-; echo done", NULL};
	static const uint8_t bytes[2 << 20];
	const struct exec_spec spec = {
	    .argv = argv, .stdin_bytes = bytes, .stdin_len = sizeof(bytes)};

	assert_int_equal(0, run_spec(g, &spec, PATIENCE_NS));
	check_bytes(&g->x->out, "done\n");
	assert_false(g->x->timed_out);
}

static void deadline_kills_the_whole_group(void **state)
{
	struct guest *g = *state;
	int64_t span = 200 * NS_PER_MS;

	/* As long as this machine takes to start a shell. */
	do {
		assert_int_equal(
		    0, run_shell(g, "echo $$; sleep 100 & sleep 100", span));
		span *= 2;
	} while (g->x->out.len < 2 && span < PATIENCE_NS);
	assert_true(g->x->timed_out);
	assert_true(g->x->signalled);
	assert_int_equal(SIGKILL, g->x->status);
	assert_true(g->x->out.len > 1);
	buf_append(&g->x->out, "", 1);
	pid_t group = (pid_t)strtol((char *)buf_data(&g->x->out), NULL, 10);
	/* Those that were killed may not have been reaped yet. */
	int64_t until = clock_deadline_ns(PATIENCE_NS);
	while (!kill(-group, 0) && clock_now_ns() < until) {
		struct call *call = call_new(g->client);
		const struct msg m = {.type = MSG_PING};

		call_start(call, &m, NULL, 0, clock_deadline_ns(PATIENCE_NS));
		assert_int_equal(0, op_wait(&call->op));
		call_free(call);
	}
	assert_int_equal(-1, kill(-group, 0));
	assert_int_equal(ESRCH, errno);
}

static void a_grandchild_does_not_hold_the_run(void **state)
{
	struct guest *g = *state;

	assert_int_equal(0, run_shell(g, "sleep 1000 & echo $!", PATIENCE_NS));
	assert_false(g->x->timed_out);
	buf_append(&g->x->out, "", 1);
	pid_t pid = (pid_t)strtol((char *)buf_data(&g->x->out), NULL, 10);
	assert_true(pid > 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
}

static void many_runs_at_once(void **state)
{
	struct guest *g = *state;
	static const char *const argv[] = {"/bin/sh", "-c", "echo x", NULL};
	const struct exec_spec spec = {.argv = argv};
	struct exec *runs[40];

	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		runs[i] = exec_new(g->client);
		exec_start(runs[i], &spec, clock_deadline_ns(PATIENCE_NS));
	}
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		assert_int_equal(0, op_wait(&runs[i]->op));
		check_bytes(&runs[i]->out, "x\n");
		exec_free(runs[i]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
static const struct CMUnitTest tests[] = {
    TEST(output_and_status_come_back),
    TEST(a_signal_is_told),
    TEST(environment_and_directory_are_set),
    TEST(a_missing_program_is_named),
    TEST(large_stdin_and_output_do_not_block_each_other),
    TEST(empty_stdin_is_an_end_of_file),
    TEST(unread_stdin_is_no_failure),
    TEST(deadline_kills_the_whole_group),
    TEST(a_grandchild_does_not_hold_the_run),
    TEST(many_runs_at_once),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
