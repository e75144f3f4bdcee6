/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/rundir.h"
#include "tests/unit/tmp.h"

static int set_up(void **state)
{
	char *base = mem_alloc(TMP_PATH_MAX);

	tmp_template(base);

	assert_non_null(mkdtemp(base));
	*state = base;
	return 0;
}

static int tear_down(void **state)
{
	rundir_remove(*state);
	assert_int_equal(access(*state, F_OK), -1);
	free(*state);
	return 0;
}

static void touch(const char *dir, const char *name)
{
	char *path = mem_printf("%s/%s", dir, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fclose(f);
	free(path);
}

static void it_is_private_and_goes_when_closed(void **state)
{
	struct rundir rd;
	struct stat st;
	struct err err;

	assert_int_equal(rundir_open(&rd, *state, &err), 0);
	assert_int_equal(stat(rd.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	char *a = rundir_new_sub(&rd, &err);
	char *b = rundir_new_sub(&rd, &err);
	assert_string_not_equal(a, b);
	touch(a, "console.log");
	char *path = mem_strdup(rd.path);
	rundir_close(&rd);
	assert_int_equal(access(path, F_OK), -1);
	free(path);
	free(a);
	free(b);
}

static void one_in_use_is_not_swept(void **state)
{
	struct rundir first;
	struct rundir second;
	struct err err;

	assert_int_equal(rundir_open(&first, *state, &err), 0);
	assert_int_equal(rundir_open(&second, *state, &err), 0);
	assert_string_not_equal(first.path, second.path);
	assert_int_equal(access(first.path, F_OK), 0);
	rundir_close(&second);
	rundir_close(&first);
}

/* A run that ended without closing anything. */
static void leave_stale(const char *base)
{
	struct rundir rd;
	struct err err;
	pid_t pid = fork();

	if (!pid) {
		if (rundir_open(&rd, base, &err) < 0)
			_exit(1);
		char *sub = rundir_new_sub(&rd, &err);
		char *locked = mem_printf("%s/locked", sub);
		char *link = mem_printf("%s/l", sub);
		touch(sub, "qmp");
		mkdir(locked, 0700);
		touch(sub, "locked/x");
		chmod(locked, 0);
		assert_int_equal(symlink("/etc", link), 0);
		free(sub);
		free(locked);
		free(link);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static size_t count_entries(const char *base)
{
	char *cmd = mem_printf("ls -A %s | wc -l", base);
	FILE *p = popen(cmd, "re");
	unsigned n = 99;

	assert_int_equal(fscanf(p, "%u", &n), 1);
	pclose(p);
	free(cmd);
	return n;
}

static void those_of_dead_runs_are_swept(void **state)
{
	struct rundir rd;
	struct err err;

	leave_stale(*state);
	leave_stale(*state); /* which sweeps the first */
	assert_int_equal(count_entries(*state), 1);
	assert_int_equal(rundir_open(&rd, *state, &err), 0);
	assert_int_equal(count_entries(*state), 1);
	rundir_close(&rd);
	assert_int_equal(count_entries(*state), 0);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
}

static void a_sweep_makes_nothing(void **state)
{
	struct rundir rd;
	struct err err;

	leave_stale(*state);
	rundir_sweep(*state);
	assert_int_equal(count_entries(*state), 0);
	assert_int_equal(rundir_open(&rd, *state, &err), 0);
	rundir_sweep(*state); /* one that lives stays */
	assert_int_equal(count_entries(*state), 1);
	rundir_close(&rd);
	rundir_sweep("/nonexistent");
}

static void what_is_large_goes_to_a_disk(void **state)
{
	const char *tmp = getenv("TMPDIR");
	CLEANUP(free_ptr) char *was = tmp ? mem_strdup(tmp) : NULL;

	(void)state;
	setenv("TMPDIR", "/some/where", 1);
	assert_string_equal(rundir_spool(), "/some/where");
	setenv("TMPDIR", "", 1);
	assert_string_not_equal(rundir_spool(), "");
	if (was)
		setenv("TMPDIR", was, 1);
	else
		unsetenv("TMPDIR");
}

static void what_is_not_ours_is_left_alone(void **state)
{
	struct rundir rd;
	struct err err;
	char *open_dir = mem_printf("%s/provium-abcdef", (char *)*state);
	char *full = mem_printf("%s/provium-ghijkl", (char *)*state);
	char *link = mem_printf("%s/provium-mnopqr", (char *)*state);
	char *other = mem_printf("%s/provium-project", (char *)*state);

	assert_int_equal(mkdir(open_dir, 0755), 0); /* others may look in */
	assert_int_equal(mkdir(full, 0700), 0);	    /* no lock in it */
	touch(full, "precious");
	assert_int_equal(symlink("/etc", link), 0);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(rundir_open(&rd, *state, &err), 0);
	rundir_close(&rd);
	assert_int_equal(count_entries(*state), 4);
	free(open_dir);
	free(full);
	free(link);
	free(other);
}

static void an_unusable_base_is_an_error(void **state)
{
	struct rundir rd;
	struct err err;

	(void)state;
	assert_int_equal(rundir_open(&rd, "/nonexistent", &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent"));
	assert_null(rd.path);
	rundir_close(&rd);
}

int main(void)
{
#define IN_BASE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
	    IN_BASE(it_is_private_and_goes_when_closed),
	    IN_BASE(one_in_use_is_not_swept),
	    IN_BASE(those_of_dead_runs_are_swept),
	    IN_BASE(a_sweep_makes_nothing),
	    IN_BASE(what_is_large_goes_to_a_disk),
	    IN_BASE(what_is_not_ours_is_left_alone),
	    IN_BASE(an_unusable_base_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
