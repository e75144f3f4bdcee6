/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/replay.h"
#include "tests/unit/runner/lib_recorder.h"

#define START "{\"event\":\"run_start\",\"version\":1}\n"
#define END                                                                    \
	"{\"event\":\"run_end\",\"passed\":9,\"failed\":9,\"skipped\":9,"      \
	"\"errors\":9,\"duration\":2}\n"
#define TEST(name, status)                                                     \
	"{\"event\":\"test_end\",\"file\":\"f\",\"test\":\"" name              \
	"\",\"status\":\"" status "\"}\n"

static int read_text(struct replay *r, const char *text, size_t n,
		     struct err *err)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, n, "r");
	int rc;

	assert_non_null(in);
	rc = replay_file(r, in, "x.json", err);
	fclose(in);
	return rc;
}

static int read_string(struct replay *r, const char *text, struct err *err)
{
	return read_text(r, text, strlen(text), err);
}

static void a_run_is_told_again(void **state)
{
	struct recorder rec;
	struct replay r;
	struct err err;

	(void)state;
	recorder_init(&rec);
	replay_init(&r, &rec.sink);
	assert_int_equal(
	    read_string(&r, START TEST("a", "passed") "\n" END, &err), 0);
	replay_end(&r);
	assert_string_equal(recorder_take(&rec),
			    "run_start\ntest_end a passed\nrun_end\n");
	assert_int_equal(r.passed, 1);
	assert_null(r.interrupted);
	replay_done(&r);
	recorder_done(&rec);
}

static void runs_are_merged_into_one(void **state)
{
	struct recorder rec;
	struct replay r;
	struct err err;

	(void)state;
	recorder_init(&rec);
	replay_init(&r, &rec.sink);
	assert_int_equal(read_string(&r, START TEST("a", "passed") END, &err),
			 0);
	assert_int_equal(read_string(&r, START TEST("b", "failed") END, &err),
			 0);
	replay_end(&r);
	assert_string_equal(recorder_take(&rec),
			    "run_start\ntest_end a passed\n"
			    "test_end b failed\nrun_end\n");
	assert_int_equal(r.passed, 1);
	assert_int_equal(r.failed, 1);
	assert_true(r.duration > 1.9 && r.duration < 2.1);
	replay_done(&r);
	recorder_done(&rec);
}

static void a_killed_run_ends_early(void **state)
{
	struct recorder rec;
	struct replay r;
	struct err err;

	(void)state;
	recorder_init(&rec);
	replay_init(&r, &rec.sink);
	assert_int_equal(
	    read_string(&r, START TEST("a", "passed") "{\"event\":\"lo", &err),
	    0);
	assert_string_equal(r.interrupted, "its events end early");
	assert_int_equal(r.passed, 1);
	replay_done(&r);
	recorder_done(&rec);
}

static void garbage_is_one_clear_line(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} bad[] = {
	    {"hello\n", "x.json:1: not an event: "},
	    {START "{}\n", "x.json:2: not an event: no \"event\" in it"},
	    {TEST("a", "passed"), "x.json:1: not an events file: it does not "
				  "begin with run_start"},
	    {START START, "x.json:2: a second run_start"},
	    {START END TEST("a", "passed"), "x.json:3: an event behind "},
	    {START TEST("a", "lost"), "x.json:2: \"status\" of test_end is no"},
	    {"{\"event\":\"run_start\",\"version\":2}\n",
	     "x.json:1: events of version 2, this provium reads up to 1"},
	    {"\n", "x.json: no events in it"},
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct recorder rec;
		struct replay r;

		recorder_init(&rec);
		replay_init(&r, &rec.sink);
		assert_true(read_string(&r, bad[i].text, &err) < 0);
		if (strncmp(err.text, bad[i].want, strlen(bad[i].want)) != 0)
			fail_msg("'%s', not '%s'", err.text, bad[i].want);
		assert_null(strchr(err.text, '\n'));
		replay_done(&r);
		recorder_done(&rec);
	}
}

static void an_endless_line_is_refused(void **state)
{
	size_t n = EVENT_LINE_MAX + 2;
	char *text = mem_alloc(n);
	struct recorder rec;
	struct replay r;
	struct err err;

	(void)state;
	memset(text, ' ', n);
	recorder_init(&rec);
	replay_init(&r, &rec.sink);
	assert_int_equal(read_text(&r, text, n, &err), -EMSGSIZE);
	assert_string_equal(err.text,
			    "x.json:1: a line of over 8 MiB: not an event");
	replay_done(&r);
	recorder_done(&rec);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_run_is_told_again),
	    cmocka_unit_test(runs_are_merged_into_one),
	    cmocka_unit_test(a_killed_run_ends_early),
	    cmocka_unit_test(garbage_is_one_clear_line),
	    cmocka_unit_test(an_endless_line_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
