/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/run.h"
#include "runner/rundir.h"
#include "tests/unit/runner/lib_runs.h"

/* Runs one script and asserts the events between file_start and file_end. */
static void runs_to(struct runs *f, const char *script, const char *want)
{
	char *all =
	    mem_printf("run_start\nfile_start\n%sfile_end\nrun_end\n", want);

	runs_add(f, script);
	assert_string_equal(runs_go(f), all);
	free(all);
}

/* For a worker that must be killed: how long until then. */
#define SHORT_GRACE_NS (300 * NS_PER_MS)

/* Counts the entries of the fixture's directory that begin so. */
static unsigned count_entries(const struct runs *f, const char *prefix)
{
	DIR *d = opendir(f->dir);
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)))
		n += !strncmp(e->d_name, prefix, strlen(prefix));
	closedir(d);
	return n;
}

#define PLAN                                                                   \
	"emit {\"event\":\"plan\",\"tests\":[{\"name\":\"a\",\"line\":3},"     \
	"{\"name\":\"b\",\"line\":4}]}\n"
#define START(t) "emit {\"event\":\"test_start\",\"test\":\"" t "\"}\n"
#define SHORT(t)                                                               \
	"emit {\"event\":\"test_start\",\"test\":\"" t "\",\"timeout\":0.01}"  \
	"\n"
#define PASS(t)                                                                \
	"emit {\"event\":\"test_end\",\"test\":\"" t                           \
	"\",\"status\":\"passed\"}\n"
#define FILE_END "emit {\"event\":\"file_end\"}\n"
#define GOOD	 PLAN START("a") PASS("a") START("b") PASS("b") FILE_END
/* The rest of a file whose test "a" was reported before. */
#define REST START("b") PASS("b") FILE_END

#define GOOD_EVENTS                                                            \
	"plan a b\ntest_start a\ntest_end a passed\n"                          \
	"test_start b\ntest_end b passed\n"

static void a_good_file_passes(void **state)
{
	struct runs *f = *state;

	runs_to(f, GOOD, GOOD_EVENTS);
	assert_int_equal(f->result.totals.passed, 2);
	assert_int_equal(f->result.totals.failed, 0);
	assert_int_equal(f->result.files_run, 1);
	assert_int_equal(f->result.signal, 0);
	assert_int_equal(count_entries(f, "provium-"), 0);
}

static void files_run_in_order(void **state)
{
	struct runs *f = *state;

	runs_add(f, GOOD);
	runs_add(f, GOOD);
	assert_string_equal(runs_go(f), "run_start\nfile_start\n" GOOD_EVENTS
					"file_end\nfile_start\n" GOOD_EVENTS
					"file_end\nrun_end\n");
	assert_int_equal(f->result.totals.passed, 4);
}

static void files_run_in_parallel(void **state)
{
	struct runs *f = *state;

	f->opts.jobs = 3;
	for (int i = 0; i < 7; i++)
		runs_add(f, GOOD);
	runs_go(f);
	assert_int_equal(f->result.totals.passed, 14);
	assert_int_equal(f->result.files_run, 7);
	assert_int_equal(count_entries(f, "provium-"), 0);
}

static void a_crash_costs_one_test(void **state)
{
	runs_to(*state, PLAN "?a " START("a") "?a die 11\n" REST,
		"plan a b\ntest_start a\ntest_end a failed: the worker died: "
		"SIGSEGV (Segmentation fault)\n"
		"test_start b\ntest_end b passed\n");
}

static void an_early_exit_costs_one_test(void **state)
{
	runs_to(*state, PLAN "?a " START("a") "?a exit 0\n" REST,
		"plan a b\ntest_start a\ntest_end a failed: the worker ended "
		"early with status 0\n"
		"test_start b\ntest_end b passed\n");
}

static void a_crash_at_load_is_told_once(void **state)
{
	struct runs *f = *state;

	runs_to(f, "die 6\n",
		"file_error: the worker died: SIGABRT "
		"(Aborted)\n");
	assert_int_equal(f->result.totals.errors, 1);
}

static void a_crash_after_the_end_is_told(void **state)
{
	runs_to(*state, GOOD "die 11\n",
		GOOD_EVENTS
		"file_error: the worker died: SIGSEGV (Segmentation "
		"fault)\n");
}

static void a_bad_status_after_the_end_is_told(void **state)
{
	runs_to(*state, GOOD "exit 3\n",
		GOOD_EVENTS "file_error: the worker ended with status 3\n");
}

static void an_overdue_test_is_killed_and_the_rest_runs(void **state)
{
	struct runs *f = *state;
	const char *events;

	/* Which is also what the second worker has to exit. */
	f->opts.grace_ns = 10 * SHORT_GRACE_NS;
	runs_add(f, PLAN "?a " SHORT("a") "?a deaf\n?a hang\n" REST);
	events = runs_go(f);
	assert_non_null(strstr(events, "test_end a failed: timed out after"));
	assert_non_null(strstr(events, "test_end b passed\nfile_end\n"));
	assert_int_equal(f->result.totals.failed, 1);
	assert_int_equal(f->result.totals.passed, 1);
}

/* Runs the files in a child that may be stopped: a shell that started this
 * program does not see it. */
static int run_in_child(struct runs *f)
{
	int status = -1;

	fflush(NULL);
	pid_t pid = fork();
	if (!pid) {
		const char *events = runs_go(f);
		bool is_good =
		    f->result.totals.passed == 2 && !f->result.totals.failed;
		if (!is_good)
			fputs(events, stderr);
		_exit(!is_good);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* All that the worker has sent counts, though it is looked at too late. */
static void a_late_look_does_not_make_a_test_overdue(void **state)
{
	struct runs *f = *state;
	CLEANUP(buf_done) struct buf script = {0};
	char filler[3500];

	memset(filler, 'x', sizeof(filler));
	f->opts.grace_ns = SHORT_GRACE_NS;
	buf_printf(&script, PLAN SHORT("a") "signal %d\n", SIGSTOP);
	for (int i = 0; i < 25; i++) /* what a socket holds */
		buf_printf(&script,
			   "emit {\"event\":\"log\",\"text\":\"%.*s\"}\n",
			   (int)sizeof(filler), filler);
	buf_printf(&script,
		   PASS("a") "nap 1000\n" START("b") PASS("b") FILE_END
		   "signal %d\n",
		   SIGCONT);
	buf_append(&script, "", 1);
	runs_add(f, (char *)buf_data(&script));
	assert_int_equal(run_in_child(f), 0);
}

static void a_closed_socket_does_not_hide_a_hang(void **state)
{
	struct runs *f = *state;

	f->opts.grace_ns = SHORT_GRACE_NS;
	runs_to(f, "close\nhang\n",
		"file_error: the worker did not end by itself\n");
}

static void a_worker_that_stays_after_the_end_is_told(void **state)
{
	struct runs *f = *state;

	f->opts.grace_ns = SHORT_GRACE_NS;
	runs_to(f, GOOD "hang\n",
		GOOD_EVENTS "file_error: the worker did not end by itself\n");
}

static void nonsense_ends_the_worker(void **state)
{
	runs_to(
	    *state, PLAN "?a " START("a") "?a raw hello\n?a hang\n" REST,
	    "plan a b\ntest_start a\ntest_end a failed: the worker sent not "
	    "an event: '[' or '{' expected near 'hello'\n"
	    "test_start b\ntest_end b passed\n");
}

static void an_endless_line_ends_the_worker(void **state)
{
	runs_to(*state, PLAN "?a " START("a") "?a long\n" REST,
		"plan a b\ntest_start a\ntest_end a failed: the worker sent a "
		"line of over 8 MiB\n"
		"test_start b\ntest_end b passed\n");
}

static void output_arrives_by_lines(void **state)
{
	struct runs *f = *state;
	const char *events;

	runs_add(f, "print one\npart two\nexit 0\n");
	events = runs_go(f);
	assert_non_null(strstr(events, "output: one\n"));
	assert_non_null(strstr(events, "output: two\n"));
}

static void endless_output_is_bounded(void **state)
{
	struct runs *f = *state;
	const char *events;

	f->opts.grace_ns = SHORT_GRACE_NS;
	runs_add(f, "flood 2000\n" PLAN SHORT("a") "flood 0\n");
	events = runs_go(f);
	assert_true(strlen(events) < 4u << 20);
	assert_non_null(strstr(events, "[more output was left out]"));
	assert_non_null(strstr(events, "test_end a failed: timed out"));
}

static void the_run_directory_of_a_worker_goes_with_it(void **state)
{
	struct runs *f = *state;

	runs_to(f, "touch console.log\n" GOOD, GOOD_EVENTS);
	assert_int_equal(count_entries(f, "provium-"), 0);
}

static void failures_leave_their_console_logs(void **state)
{
	struct runs *f = *state;
	char *out = mem_printf("%s/kept", f->dir);
	const char *events;

	f->opts.artifacts = out;
	runs_add(f, "touch a.console\n" GOOD);
	runs_add(f, "touch b.console\ndie 11\n");
	events = runs_go(f);
	assert_non_null(strstr(events, "Segmentation fault)\nartifacts\n"));
	assert_int_equal(count_entries(f, "kept"), 1);
	char *log = mem_printf("%s/b.test.lua/2-b.console", out);
	assert_int_equal(access(log, F_OK), 0);
	char *none = mem_printf("%s/a.test.lua", out);
	assert_int_equal(access(none, F_OK), -1);
	free(none);
	free(log);
	free(out);
}

static pid_t read_pid(const char *path)
{
	FILE *in = fopen(path, "re");
	int pid = -1;

	assert_non_null(in);
	assert_int_equal(fscanf(in, "%d", &pid), 1);
	fclose(in);
	return pid;
}

/* Waits for the death of a process that is not our child. */
static void assert_dies(pid_t pid)
{
	int fd = pidfd_open(pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (fd < 0) {
		assert_int_equal(errno, ESRCH);
		return;
	}
	assert_int_equal(poll(&p, 1, 60000), 1);
	close(fd);
}

static void what_a_worker_leaves_behind_is_killed(void **state)
{
	struct runs *f = *state;
	char *file = mem_printf("%s/pid", f->dir);
	char *script = mem_printf("orphan %s\n" GOOD, file);

	runs_to(f, script, GOOD_EVENTS);
	assert_dies(read_pid(file));
	free(script);
	free(file);
}

static void an_interrupt_ends_the_run_in_order(void **state)
{
	struct runs *f = *state;

	runs_add(f, PLAN START("a") "signal 2\nhang\n");
	runs_add(f, GOOD);
	assert_string_equal(
	    runs_go(f), "run_start\nfile_start\nplan a b\ntest_start a\n"
			"waiting a\n"
			"test_end a skipped: interrupted\nfile_end\nrun_end\n");
	assert_int_equal(f->result.signal, SIGINT);
	assert_int_equal(f->result.files_run, 1);
	assert_int_equal(count_entries(f, "provium-"), 0);
}

/* Long before the next tick. */
static void a_window_that_changes_is_drawn_at_once(void **state)
{
	struct runs *f = *state;
	int64_t started_ns = clock_now_ns();

	runs_add(f, PLAN START("a") "signal 28\nnap 100\n" PASS("a") START("b")
			PASS("b") FILE_END);
	runs_go(f);
	if (clock_now_ns() - started_ns < NS_PER_SEC)
		assert_int_equal(f->rec.n_ticks, 1);
	assert_true(f->rec.n_ticks > 0);
	assert_int_equal(f->result.signal, 0);
	assert_int_equal(f->result.totals.passed, 2);
}

#define WAITS                                                                  \
	"asked {\"event\":\"waiting\",\"calls\":[{\"method\":\"vm:run\","      \
	"\"location\":{\"file\":\"x.lua\",\"line\":3}},{\"method\":\"vm:y\"}]" \
	"}\n"

static void an_interrupt_tells_what_a_test_waited_for(void **state)
{
	struct runs *f = *state;

	runs_add(f, PLAN START("a") "listen\nsignal 2\n" WAITS "hang\n");
	assert_string_equal(
	    runs_go(f),
	    "run_start\nfile_start\nplan a b\ntest_start a\nwaiting a\n"
	    "test_end a skipped: interrupted in vm:run at x.lua:3, and 1 call "
	    "more\nfile_end\nrun_end\n");
}

/* What it waited for when somebody asked before is of no interest then. */
static void an_older_answer_is_no_reason(void **state)
{
	struct runs *f = *state;

	f->opts.is_fail_fast = true;
	f->opts.jobs = 2;
	/* No host is pressed there: else the second file would not begin. */
	f->opts.pressure = f->dir;
	runs_add(f, PLAN START("a") "listen\nsignal 10\n" WAITS "hang\n");
	runs_add(
	    f,
	    PLAN START(
		"a") "listen\n" WAITS
		     "emit {\"event\":\"test_end\",\"test\":\"a\",\"status\":"
		     "\"failed\",\"message\":\"no\"}\nhang\n");
	const char *events = runs_go(f);
	if (!strstr(events, "waiting a\n") ||
	    !strstr(events, "test_end a skipped: interrupted\n"))
		fail_msg("%s", events);
}

/* The same for a file that takes too long. */
static void a_late_file_tells_what_its_test_waited_for(void **state)
{
	struct runs *f = *state;

	f->opts.file_timeout_ns = SHORT_GRACE_NS;
	runs_add(f, PLAN START("a") "listen\n" WAITS "hang\n");
	const char *events = runs_go(f);
	if (!strstr(events,
		    "waiting a\ntest_end a failed: the file took longer "
		    "than "))
		fail_msg("%s", events);
	assert_non_null(
	    strstr(events, "(--file-timeout), in vm:run at x.lua:3"));
}

static void what_ends_by_a_failure_elsewhere_is_not_asked(void **state)
{
	struct runs *f = *state;

	f->opts.is_fail_fast = true;
	f->opts.jobs = 2;
	/* No host is pressed there: else the second file would not begin. */
	f->opts.pressure = f->dir;
	runs_add(f, PLAN START("a") "hang\n");
	runs_add(f,
		 PLAN START("a") "emit "
				 "{\"event\":\"test_end\",\"test\":\"a\","
				 "\"status\":\"failed\",\"message\":\"no\"}\n"
				 "hang\n");
	assert_null(strstr(runs_go(f), "waiting"));
}

static void a_second_interrupt_does_not_wait(void **state)
{
	struct runs *f = *state;

	f->opts.grace_ns = 600 * NS_PER_SEC;
	int64_t started_ns = clock_now_ns();

	/* Two different ones: equal ones that are pending would merge. */
	runs_add(f, PLAN START("a") "deaf\nsignal 2\nsignal 15\nhang\n");
	runs_go(f);
	assert_int_equal(f->result.signal, SIGTERM);
	assert_true(clock_now_ns() - started_ns < 300 * NS_PER_SEC);
}

static void a_deaf_worker_is_killed_after_an_interrupt(void **state)
{
	struct runs *f = *state;

	f->opts.grace_ns = SHORT_GRACE_NS;
	runs_add(f, PLAN START("a") "deaf\nsignal 15\nhang\n");
	runs_go(f);
	assert_int_equal(f->result.signal, SIGTERM);
	assert_int_equal(f->result.totals.skipped, 1);
}

static void a_worker_that_cannot_start_is_an_error_of_the_file(void **state)
{
	struct runs *f = *state;
	struct rlimit saved, few;
	const char *events;

	runs_add(f, GOOD);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	few = (struct rlimit){.rlim_cur = 64, .rlim_max = saved.rlim_max};
	/* Down to what a run needs, and a worker no more. */
	do {
		few.rlim_cur--;
		setrlimit(RLIMIT_NOFILE, &few);
		events = runs_go(f);
		setrlimit(RLIMIT_NOFILE, &saved);
	} while (strstr(events, "test_end b passed"));
	assert_string_equal(
	    events, "run_start\nfile_start\n"
		    "file_error: cannot start a worker: Too many open files\n"
		    "file_end\nrun_end\n");
	assert_int_equal(f->result.totals.errors, 1);
}

/* The parent itself, killed: nothing of it stays, and the next run cleans. */
static void a_killed_parent_leaves_nothing_running(void **state)
{
	struct runs *f = *state;
	char *file = mem_printf("%s/pid", f->dir);
	char *script = mem_printf(
	    "touch x\npid %s\n" PLAN START("a") "deaf\nsignal 9\nhang\n", file);
	pid_t pid;
	int status;

	runs_add(f, script);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		runs_go(f);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_dies(read_pid(file));
	assert_int_equal(count_entries(f, "provium-"), 1);
	f->files.n = 0;
	runs_go(f);
	f->files.n = 1;
	assert_int_equal(count_entries(f, "provium-"), 0);
	free(script);
	free(file);
}

int main(void)
{
#define RUN(t) cmocka_unit_test_setup_teardown(t, runs_set_up, runs_tear_down)
	static const struct CMUnitTest tests[] = {
	    RUN(a_good_file_passes),
	    RUN(files_run_in_order),
	    RUN(files_run_in_parallel),
	    RUN(a_crash_costs_one_test),
	    RUN(an_early_exit_costs_one_test),
	    RUN(a_crash_at_load_is_told_once),
	    RUN(a_crash_after_the_end_is_told),
	    RUN(a_bad_status_after_the_end_is_told),
	    RUN(an_overdue_test_is_killed_and_the_rest_runs),
	    RUN(a_late_look_does_not_make_a_test_overdue),
	    RUN(a_closed_socket_does_not_hide_a_hang),
	    RUN(a_worker_that_stays_after_the_end_is_told),
	    RUN(nonsense_ends_the_worker),
	    RUN(an_endless_line_ends_the_worker),
	    RUN(output_arrives_by_lines),
	    RUN(endless_output_is_bounded),
	    RUN(the_run_directory_of_a_worker_goes_with_it),
	    RUN(failures_leave_their_console_logs),
	    RUN(what_a_worker_leaves_behind_is_killed),
	    RUN(an_interrupt_ends_the_run_in_order),
	    RUN(a_window_that_changes_is_drawn_at_once),
	    RUN(an_interrupt_tells_what_a_test_waited_for),
	    RUN(an_older_answer_is_no_reason),
	    RUN(a_late_file_tells_what_its_test_waited_for),
	    RUN(what_ends_by_a_failure_elsewhere_is_not_asked),
	    RUN(a_second_interrupt_does_not_wait),
	    RUN(a_deaf_worker_is_killed_after_an_interrupt),
	    RUN(a_worker_that_cannot_start_is_an_error_of_the_file),
	    RUN(a_killed_parent_leaves_nothing_running),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
