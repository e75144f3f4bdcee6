/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_stray.h"
#include "vmm/process.h"

/* Nothing here takes long; this is for a test that hangs. */
#define PATIENCE_NS (60 * NS_PER_SEC)

struct fixture {
	struct loop *loop;
	struct timer *patience;
	struct process *process;
	bool exited;
	bool impatient;
	int status;
	unsigned calls;
};

static void on_patience(void *ctx)
{
	((struct fixture *)ctx)->impatient = true;
}

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	f->loop = loop_new(NULL);
	f->patience = timer_new(f->loop, on_patience, f);
	timer_set(f->patience, clock_deadline_ns(PATIENCE_NS));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	process_free(f->process);
	timer_free(f->patience);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void on_end(void *ctx, int status)
{
	struct fixture *f = ctx;

	f->exited = true;
	f->status = status;
	f->calls++;
}

static void start(struct fixture *f, const char *script)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct err err;

	f->process = process_new(f->loop, argv, NULL, 0, on_end, f, &err);
	assert_non_null(f->process);
}

static void wait_exit(struct fixture *f)
{
	while (!f->exited && !f->impatient)
		loop_turn(f->loop);
	assert_true(f->exited);
}

static char *output(struct fixture *f)
{
	const struct buf *b = process_output(f->process);

	return mem_strndup(b->len ? (char *)buf_data(b) : "", b->len);
}

static void exit_is_told_once_with_its_status(void **state)
{
	struct fixture *f = *state;

	start(f, "exit 7");
	assert_true(process_pid(f->process) > 1);
	wait_exit(f);
	assert_true(WIFEXITED(f->status));
	assert_int_equal(WEXITSTATUS(f->status), 7);
	assert_int_equal(process_pid(f->process), -1);
	for (int i = 0; i < 3; i++)
		loop_poll(f->loop);
	assert_int_equal(f->calls, 1);
}

static void both_outputs_are_in_at_exit(void **state)
{
	struct fixture *f = *state;

	start(f, "echo one; echo two >&2");
	wait_exit(f);
	CLEANUP(free_ptr) char *text = output(f);
	assert_string_equal(text, "one\ntwo\n");
}

static void only_the_end_of_much_output_is_kept(void **state)
{
	struct fixture *f = *state;

	start(f, "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); "
		 "done; printf end");
	wait_exit(f);
	CLEANUP(free_ptr) char *text = output(f);
	assert_true(strlen(text) <= PROCESS_OUTPUT_MAX);
	assert_true(strlen(text) > PROCESS_OUTPUT_MAX / 2);
	assert_string_equal(text + strlen(text) - 13, "line 2999\nend");
}

/* The pipe holds more than is kept; nobody reads until the program is gone. */
static void the_end_is_kept_when_exit_is_seen_first(void **state)
{
	struct fixture *f = *state;
	siginfo_t info;

	start(f, "head -c 60000 /dev/zero | tr '\\0' x; printf end");
	assert_int_equal(waitid(P_PID, (id_t)process_pid(f->process), &info,
				WEXITED | WNOWAIT),
			 0);
	wait_exit(f);
	CLEANUP(free_ptr) char *text = output(f);
	assert_int_equal(strlen(text), PROCESS_OUTPUT_MAX);
	assert_string_equal(text + strlen(text) - 4, "xend");
}

static void a_missing_program_is_an_error(void **state)
{
	struct fixture *f = *state;
	const char *const argv[] = {"/nonexistent/qemu", NULL};
	struct err err;

	assert_null(process_new(f->loop, argv, NULL, 0, on_end, f, &err));
	assert_int_equal(err.code, -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/qemu"));
	assert_false(f->exited);
}

static void given_fds_are_open_and_no_others(void **state)
{
	struct fixture *f = *state;
	const char *const argv[] = {"/bin/sh", "-c",
				    "ls /proc/self/fd | tr '\\n' ' '", NULL};
	struct err err;
	/* Leaked by whoever started us: not close-on-exec. */
	int leak = fcntl(0, F_DUPFD, 70);
	int given = fcntl(0, F_DUPFD_CLOEXEC, 60);

	f->process = process_new(f->loop, argv, &given, 1, on_end, f, &err);
	assert_non_null(f->process);
	wait_exit(f);
	close(leak);
	close(given);
	CLEANUP(free_ptr) char *text = output(f);
	/* 3 is the directory that ls reads. */
	assert_string_equal(text, "0 1 2 3 60 ");
}

static void kill_reaches_the_whole_group(void **state)
{
	struct fixture *f = *state;

	start(f, "sleep 1000 & echo $!; wait");
	while (!process_output(f->process)->len && !f->impatient)
		loop_turn(f->loop);
	CLEANUP(free_ptr) char *text = output(f);
	pid_t grandchild = (pid_t)atoi(text);

	assert_true(grandchild > 1);
	assert_int_equal(getpgid(grandchild), process_pid(f->process));
	process_kill(f->process, SIGTERM);
	wait_exit(f);
	assert_true(WIFSIGNALED(f->status));
	assert_int_equal(WTERMSIG(f->status), SIGTERM);
	stray_assert_dies(grandchild);
}

static void free_kills_and_reaps_without_a_callback(void **state)
{
	struct fixture *f = *state;

	start(f, "trap '' TERM; sleep 1000");
	pid_t pid = process_pid(f->process);
	f->process = process_free(f->process);
	assert_false(stray_exists(pid));
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	loop_poll(f->loop);
	assert_int_equal(f->calls, 0);
}

static void on_end_free(void *ctx, int status)
{
	struct fixture *f = ctx;

	on_end(f, status);
	f->process = process_free(f->process);
}

static void free_in_the_exit_callback_is_fine(void **state)
{
	struct fixture *f = *state;
	const char *const argv[] = {"true", NULL};
	struct err err;

	f->process = process_new(f->loop, argv, NULL, 0, on_end_free, f, &err);
	assert_non_null(f->process);
	wait_exit(f);
	assert_null(f->process);
}

/* The middle process: starts one, says its pid, waits to be killed. */
static _Noreturn void be_the_parent(int out)
{
	struct loop *l = loop_new(NULL);
	const char *const argv[] = {"sleep", "1000", NULL};
	struct process *p = process_new(l, argv, NULL, 0, on_end, NULL, NULL);
	pid_t pid = p ? process_pid(p) : -1;

	if (write(out, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	for (;;)
		pause();
}

static void the_child_dies_with_its_parent(void **state)
{
	int out[2];
	pid_t pid = -1;

	(void)state;
	assert_int_equal(pipe(out), 0);
	pid_t middle = fork();
	if (middle == 0)
		be_the_parent(out[1]);
	assert_int_equal(read(out[0], &pid, sizeof(pid)), sizeof(pid));
	assert_true(pid > 1);
	assert_true(stray_exists(pid));
	kill(middle, SIGKILL);
	waitpid(middle, NULL, 0);
	stray_assert_dies(pid);
	close(out[0]);
	close(out[1]);
}

static void signals_are_back_to_their_defaults(void **state)
{
	struct fixture *f = *state;

	signal(SIGPIPE, SIG_IGN);
	start(f, "kill -PIPE $$; echo survived");
	signal(SIGPIPE, SIG_DFL);
	wait_exit(f);
	assert_true(WIFSIGNALED(f->status));
	assert_int_equal(WTERMSIG(f->status), SIGPIPE);
}

static void an_end_is_described_in_words(void **state)
{
	CLEANUP(buf_done) struct buf b = {0};

	(void)state;
	process_describe(SIGKILL, &b);
	buf_printf(&b, "; ");
	process_describe(3 << 8, &b);
	buf_append(&b, "", 1);
	assert_string_equal((char *)buf_data(&b),
			    "was killed by signal 9 (Killed); "
			    "exited with status 3");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
static void free_kills_what_has_left_the_group(void **state)
{
	struct fixture *f = *state;
	char script[STRAY_SCRIPT_MAX], path[STRAY_PATH_MAX];

	stray_script(script, path);
	start(f, script);
	pid_t stray = stray_read_pid(path);
	assert_true(stray_exists(stray));
	f->process = process_free(f->process);
	stray_assert_dies(stray);
	unlink(path);
}

static void an_exit_kills_what_has_left_the_group(void **state)
{
	struct fixture *f = *state;
	char script[STRAY_SCRIPT_MAX], path[STRAY_PATH_MAX];

	stray_script(script, path);
	start(f, script);
	pid_t stray = stray_read_pid(path);
	kill(process_pid(f->process), SIGTERM);
	wait_exit(f);
	stray_assert_dies(stray);
	unlink(path);
}

/* The owner is killed at once: it can do nothing any more. */
static void grandchildren_die_with_the_owner(void **state)
{
	struct fixture *f = *state;
	char script[STRAY_SCRIPT_MAX], path[STRAY_PATH_MAX];

	stray_script(script, path);
	pid_t owner = fork();
	if (owner == 0) {
		start(f, script);
		for (;;)
			pause();
	}
	pid_t stray = stray_read_pid(path);
	assert_true(stray_exists(stray));
	assert_int_equal(kill(owner, SIGKILL), 0);
	assert_int_equal(waitpid(owner, NULL, 0), owner);
	stray_assert_dies(stray);
	unlink(path);
}

static const struct CMUnitTest tests[] = {
    T(exit_is_told_once_with_its_status),
    T(both_outputs_are_in_at_exit),
    T(only_the_end_of_much_output_is_kept),
    T(the_end_is_kept_when_exit_is_seen_first),
    T(a_missing_program_is_an_error),
    T(given_fds_are_open_and_no_others),
    T(kill_reaches_the_whole_group),
    T(free_kills_and_reaps_without_a_callback),
    T(free_in_the_exit_callback_is_fine),
    T(the_child_dies_with_its_parent),
    T(free_kills_what_has_left_the_group),
    T(an_exit_kills_what_has_left_the_group),
    T(grandchildren_die_with_the_owner),
    T(signals_are_back_to_their_defaults),
    T(an_end_is_described_in_words),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
