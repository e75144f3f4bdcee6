/* SPDX-License-Identifier: MIT */
#include "vmm/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_stray.h"

static int sh(const char *script, int64_t span_ns, struct buf *out,
	      struct err *err)
{
	const char *argv[] = {"sh", "-c", script, NULL};

	return program_run(argv, "/", clock_deadline_ns(span_ns), out, err);
}

static void stdout_is_collected(void **state)
{
	struct buf out = {0};
	struct err err;

	(void)state;
	assert_int_equal(
	    sh("pwd; cat; echo no >&2", 60 * NS_PER_SEC, &out, &err), 0);
	assert_int_equal(out.len, 2);
	assert_memory_equal(buf_data(&out), "/\n", 2);
	buf_done(&out);
}

static void large_output_on_both_pipes_does_not_block(void **state)
{
	struct buf out = {0};
	struct err err;

	(void)state;
	assert_int_equal(sh("head -c 300000 /dev/zero >&2; "
			    "head -c 300000 /dev/zero",
			    60 * NS_PER_SEC, &out, &err),
			 0);
	assert_int_equal(out.len, 300000);
	buf_done(&out);
}

static void failure_ends_in_the_last_line(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(sh("echo a >&2; echo E: why >&2; exit 3",
			    60 * NS_PER_SEC, NULL, &err),
			 -EIO);
	assert_string_equal(err.text, "'sh' failed with status 3: E: why");
	assert_int_equal(sh("kill -9 $$", 60 * NS_PER_SEC, NULL, &err), -EIO);
	assert_non_null(strstr(err.text, "signal 9"));
}

/* Not the program, which is there. */
static void a_missing_directory_is_named(void **state)
{
	const char *argv[] = {"true", NULL};
	struct err err;

	(void)state;
	assert_int_equal(program_run(argv, "/no/such",
				     clock_deadline_ns(60 * NS_PER_SEC), NULL,
				     &err),
			 -ENOENT);
	assert_string_equal(err.text, "cannot run 'true' in '/no/such': No "
				      "such file or directory");
}

static int feed(const char *script, const struct buf *input, struct buf *said,
		struct err *err)
{
	const char *argv[] = {"sh", "-c", script, NULL};

	return program_feed(argv, input, clock_deadline_ns(60 * NS_PER_SEC),
			    said, err);
}

/* More than a pipe holds; and it may be opened by its name. */
static void it_reads_what_it_is_fed(void **state)
{
	struct buf input = {0}, said = {0};
	struct err err;

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_append(&input, "line\n", 5);
	assert_int_equal(
	    0, feed("test $(cat | wc -c) = 500000", &input, &said, &err));
	assert_int_equal(0, said.len);
	assert_int_equal(0, feed("test $(wc -l < /dev/stdin) = 100000", &input,
				 &said, &err));
	assert_int_equal(0, feed("exec <&-", &input, &said, &err));
	buf_reset(&input);
	assert_int_equal(0, feed("test -z \"$(cat)\"", &input, &said, &err));
	assert_int_equal(
	    -EIO, feed("echo a >&2; echo b >&2; exit 1", &input, &said, &err));
	assert_int_equal(4, said.len);
	assert_memory_equal(buf_data(&said), "a\nb\n", 4);
	assert_string_equal(err.text, "'sh' failed with status 1: b");
	buf_done(&said);
	buf_done(&input);
}

static void missing_program_is_enoent(void **state)
{
	const char *argv[] = {"/nonexistent/prog", NULL};
	struct err err;

	(void)state;
	assert_int_equal(program_run(argv, NULL, CLOCK_NEVER, NULL, &err),
			 -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/prog"));
}

static void deadline_kills_it(void **state)
{
	const char *argv[] = {"sleep", "600", NULL};
	struct err err;

	(void)state;
	assert_int_equal(program_run(argv, NULL,
				     clock_deadline_ns(20 * NS_PER_MS), NULL,
				     &err),
			 -ETIME);
	/* The same when it has closed its outputs. */
	assert_int_equal(
	    sh("exec sleep 600 >&- 2>&-", 300 * NS_PER_MS, NULL, &err), -ETIME);
	assert_non_null(strstr(err.text, "in time"));
}

/* Its own death reaches neither its group nor a session below it. */
static void a_deadline_kills_what_it_has_started(void **state)
{
	char script[STRAY_SCRIPT_MAX], path[STRAY_PATH_MAX];
	struct err err;

	(void)state;
	stray_script(script, path);
	assert_int_equal(sh(script, NS_PER_SEC, NULL, &err), -ETIME);
	stray_assert_dies(stray_read_pid(path));
	unlink(path);
}

/* The owner is killed at once: it can do nothing any more. */
static void what_it_has_started_dies_with_the_owner(void **state)
{
	char script[STRAY_SCRIPT_MAX], path[STRAY_PATH_MAX];

	(void)state;
	stray_script(script, path);
	pid_t owner = fork();
	if (owner == 0) {
		sh(script, 600 * NS_PER_SEC, NULL, NULL);
		_exit(1);
	}
	pid_t stray = stray_read_pid(path);
	assert_true(stray_exists(stray));
	assert_int_equal(kill(owner, SIGKILL), 0);
	assert_int_equal(waitpid(owner, NULL, 0), owner);
	stray_assert_dies(stray);
	unlink(path);
}

/* It may be a server which the next program asks. */
static void what_a_good_program_has_left_goes_on(void **state)
{
	char script[STRAY_SCRIPT_MAX], path[STRAY_PATH_MAX];
	char *end;
	struct err err;

	(void)state;
	stray_script(script, path);
	end = strrchr(script, ';');
	assert_non_null(end);
	/* The stray holds the outputs no longer than it takes to begin. */
	strcpy(end, ">/dev/null 2>&1");
	assert_int_equal(sh(script, 60 * NS_PER_SEC, NULL, &err), 0);
	pid_t stray = stray_read_pid(path);
	assert_int_equal(kill(stray, SIGKILL), 0);
	stray_assert_dies(stray);
	unlink(path);
}

static void endless_output_is_cut(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(sh("exec cat /dev/zero", 60 * NS_PER_SEC, NULL, &err),
			 -EFBIG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(stdout_is_collected),
	    cmocka_unit_test(large_output_on_both_pipes_does_not_block),
	    cmocka_unit_test(failure_ends_in_the_last_line),
	    cmocka_unit_test(it_reads_what_it_is_fed),
	    cmocka_unit_test(missing_program_is_enoent),
	    cmocka_unit_test(a_missing_directory_is_named),
	    cmocka_unit_test(deadline_kills_it),
	    cmocka_unit_test(a_deadline_kills_what_it_has_started),
	    cmocka_unit_test(what_it_has_started_dies_with_the_owner),
	    cmocka_unit_test(what_a_good_program_has_left_goes_on),
	    cmocka_unit_test(endless_output_is_cut),
	};

	return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
