/* SPDX-License-Identifier: MIT */
#include "runner/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/mem.h"

#define SAID_MAX 4096

/* Builds a profile in a directory, and keeps what goes to standard error. */
static int build(const char *dir, const char *command, char said[SAID_MAX],
		 struct err *err)
{
	struct config_profile profile = {.name = mem_strdup("mine"),
					 .build = mem_strdup(command)};
	struct config c = {
	    .dir = mem_strdup(dir), .profiles = &profile, .n_profiles = 1};
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO);

	assert_non_null(f);
	assert_true(saved >= 0);
	assert_true(dup2(fileno(f), STDERR_FILENO) >= 0);
	int r = build_profiles(&c, err);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	rewind(f);
	said[fread(said, 1, SAID_MAX - 1, f)] = '\0';
	assert_int_equal(fclose(f), 0);
	free(profile.name);
	free(profile.build);
	free(c.dir);
	return r;
}

static void it_runs_in_the_directory_of_the_config(void **state)
{
	char said[SAID_MAX];
	struct err err;

	(void)state;
	assert_int_equal(build("/", "pwd", said, &err), 0);
	assert_string_equal(said, "building mine: pwd\n/\n");
}

static void a_failed_command_is_the_error(void **state)
{
	char said[SAID_MAX];
	struct err err;

	(void)state;
	assert_int_equal(build("/", "exit 3", said, &err), -EIO);
	assert_string_equal(
	    err.text, "profile 'mine': build ended with status 3: exit 3");
	assert_int_equal(build("/", "kill -9 $$", said, &err), -EINTR);
	assert_string_equal(
	    err.text, "profile 'mine': build died of SIGKILL: kill -9 $$");
}

/* Not /bin/sh, which is there. */
static void a_directory_that_is_gone_is_named(void **state)
{
	char said[SAID_MAX];
	struct err err;

	(void)state;
	assert_int_equal(build("/no/such", "true", said, &err), -EIO);
	assert_non_null(
	    strstr(said, "\n/no/such: No such file or directory\n"));
	assert_null(strstr(said, "/bin/sh"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_runs_in_the_directory_of_the_config),
	    cmocka_unit_test(a_failed_command_is_the_error),
	    cmocka_unit_test(a_directory_that_is_gone_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
