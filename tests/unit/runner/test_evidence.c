/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "runner/artifacts.h"
#include "runner/event_schema.h"
#include "runner/evidence.h"
#include "tests/unit/runner/lib_lua.h"

/* "one two": the kinds of those events that are about a failure; owned. */
static char *kinds(const struct lua_run *r)
{
	static const char *const about[] = {"failure_calls", "failure_console",
					    "test_attempt", "test_end",
					    "file_error"};
	struct buf b = {0};
	json_t *ev;
	size_t at;

	json_array_foreach (r->events, at, ev) {
		const char *name =
		    json_string_value(json_object_get(ev, "event"));

		for (size_t i = 0; i < ARRAY_LEN(about); i++)
			if (!strcmp(about[i], name))
				buf_printf(&b, "%s%s", b.len ? " " : "", name);
	}
	buf_append(&b, "", 1);
	return (char *)b.mem;
}

static void expect_kinds(const struct lua_run *r, const char *want)
{
	char *got = kinds(r);

	assert_string_equal(got, want);
	free(got);
}

/* The names that the i-th event of that kind has, joined by spaces,
 * without the number of the run; NULL: it has no list. Owned. */
static char *artifacts_of(const struct lua_run *r, const char *kind, size_t i)
{
	const json_t *list =
	    json_object_get(lua_run_event(r, kind, i), "artifacts");
	char *number = artifacts_name(r->dir, "");
	struct buf b = {0};
	json_t *name;
	size_t at;

	json_array_foreach (list, at, name) {
		const char *text = json_string_value(name);

		assert_memory_equal(text, number, strlen(number));
		buf_printf(&b, "%s%s", b.len ? " " : "", text + strlen(number));
	}
	free(number);
	buf_append(&b, "", 1);
	if (list)
		return (char *)b.mem;
	buf_done(&b);
	return NULL;
}

static void expect_artifacts(const struct lua_run *r, const char *kind,
			     size_t i, const char *want)
{
	char *got = artifacts_of(r, kind, i);

	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
	free(got);
}

static void calls_are_told_before_the_failure(void **state)
{
	struct lua_run r;
	struct err err;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('a', function(t)\n"
		    "local n = 0\n"
		    "wait_until(function() n = n + 1 return n == 3 end,\n"
		    "  {interval = '1ms'})\n"
		    "t:fail('no') end)\n"
		    "test('b', function(t) end)\n");
	expect_kinds(&r, "failure_calls test_end test_end");
	const json_t *ev = lua_run_event(&r, "failure_calls", 0);
	const json_t *calls = json_object_get(ev, "calls");
	assert_int_equal(event_check(ev, &err), 0);
	assert_string_equal(json_string_value(json_object_get(ev, "test")),
			    "a");
	assert_true(json_array_size(calls) >= 1);
	const json_t *at =
	    json_object_get(json_array_get(calls, 0), "location");
	assert_int_equal(json_integer_value(json_object_get(at, "line")), 3);
	lua_run_done(&r);
}

static void the_first_and_the_last_attempt_are_told_of(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('a', {retries = 2}, function(t)\n"
		    "local n = 0\n"
		    "wait_until(function() n = n + 1 return n == 2 end,\n"
		    "  {interval = '1ms'})\n"
		    "t:fail('no') end)\n");
	expect_kinds(&r, "failure_calls test_attempt test_attempt "
			 "failure_calls test_end");
	lua_run_done(&r);
}

static void a_file_error_has_the_lines_of_its_source(void **state)
{
	static const char *const texts[] = {
	    "local x = 1\nlocal = 2\nreturn\n",
	    "local x = 1\nerror('no')\nreturn\n",
	    "local x = 1\nprovium:bridge('a', {x = 1})\nreturn\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct lua_run r;

		lua_run_init(&r);
		lua_run(&r, texts[i]);
		const char *source = json_string_value(json_object_get(
		    lua_run_event(&r, "file_error", 0), "source"));
		assert_non_null(source);
		assert_non_null(strstr(source, ">    2 | "));
		assert_non_null(strstr(source, "     3 | return\n"));
		lua_run_done(&r);
	}
}

static void a_chunk_that_fails_tells_its_calls(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.job.keeps_logs = true;
	lua_run(&r, "provium:bridge('lan')\n"
		    "local n = 0\n"
		    "wait_until(function() n = n + 1 return n == 2 end,\n"
		    "  {interval = '1ms'})\n"
		    "error('no')\n");
	expect_kinds(&r, "failure_calls file_error");
	assert_null(
	    json_object_get(lua_run_event(&r, "failure_calls", 0), "test"));
	expect_artifacts(&r, "file_error", 0, "lan.pcap");
	lua_run_done(&r);
}

static void a_failure_names_logs_and_attachments(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.job.keeps_logs = true;
	lua_run(&r, "provium:bridge('shared')\n"
		    "test('a', function(t)\n"
		    "t:attach('x', '1') t:attach('x', '2')\n"
		    "provium:bridge('gone'):close()\n"
		    "provium:bridge('lan')\n"
		    "t:fail('no') end)\n"
		    "test('b', function(t)\n"
		    "t:attach('y', '1') provium:bridge('lan') end)\n"
		    "test('c', function(t) t:fail('no') end)\n"
		    "test('d', {skip = true}, function(t) end)\n");
	expect_artifacts(&r, "test_end", 0,
			 "attached-a-x gone.pcap lan.pcap shared.pcap");
	expect_artifacts(&r, "test_end", 1, "attached-b-y");
	expect_artifacts(&r, "test_end", 2, "shared.pcap");
	expect_artifacts(&r, "test_end", 3, "");
	lua_run_done(&r);
}

static void files_of_an_earlier_attempt_are_the_tests(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.job.keeps_logs = true;
	lua_run(&r, "local n = 0\n"
		    "test('a', {retries = 1}, function(t)\n"
		    "n = n + 1\n"
		    "t:attach('x' .. n, '1')\n"
		    "provium:bridge('lan')\n"
		    "t:fail('no') end)\n");
	expect_artifacts(&r, "test_attempt", 0, "attached-a-x1 lan.pcap");
	expect_artifacts(&r, "test_end", 0,
			 "attached-a-x1 lan.pcap attached-a-x2 lan-2.pcap");
	lua_run_done(&r);
}

static void without_artifacts_no_file_is_named(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('a', function(t) t:attach('x', '1')\n"
		    "t:fail('no') end)\n");
	expect_artifacts(&r, "test_end", 0, NULL);
	lua_run_done(&r);
}

static void the_names_have_a_limit(void **state)
{
	struct lua_run r;
	char *text = mem_printf("test('a', function(t)\n"
				"for i = 1, %d do t:attach('x' .. i, '') end\n"
				"t:fail('no') end)\n",
				EVIDENCE_FILES_MAX + 5);

	(void)state;
	lua_run_init(&r);
	r.job.keeps_logs = true;
	lua_run(&r, text);
	assert_int_equal(json_array_size(json_object_get(
			     lua_run_event(&r, "test_end", 0), "artifacts")),
			 EVIDENCE_FILES_MAX);
	lua_run_done(&r);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(calls_are_told_before_the_failure),
	    cmocka_unit_test(the_first_and_the_last_attempt_are_told_of),
	    cmocka_unit_test(a_file_error_has_the_lines_of_its_source),
	    cmocka_unit_test(a_chunk_that_fails_tells_its_calls),
	    cmocka_unit_test(a_failure_names_logs_and_attachments),
	    cmocka_unit_test(files_of_an_earlier_attempt_are_the_tests),
	    cmocka_unit_test(without_artifacts_no_file_is_named),
	    cmocka_unit_test(the_names_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
