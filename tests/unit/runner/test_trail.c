/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "runner/trail.h"

#define LONG_NS (5 * NS_PER_MS)

static struct trail trail;

/* call(span_ns, note, is_passive): a call that is over. */
static int l_call(lua_State *L)
{
	trail_call_over(&trail, L, "vm:run",
			clock_now_ns() - (int64_t)lua_tonumber(L, 1),
			lua_tostring(L, 2), lua_toboolean(L, 3));
	return 0;
}

/* Runs a test file's text, and returns what its calls left. Owned. */
static json_t *calls_of(const char *text)
{
	lua_State *L = luaL_newstate();

	luaL_openlibs(L);
	lua_register(L, "call", l_call);
	lua_pushnumber(L, (double)LONG_NS);
	lua_setglobal(L, "LONG");
	trail_reset(&trail);
	if (luaL_loadbuffer(L, text, strlen(text), "@x.test.lua") ||
	    lua_pcall(L, 0, 0, 0))
		fail_msg("%s", lua_tostring(L, -1));
	lua_close(L);
	return trail_calls(&trail);
}

static const json_t *nth(const json_t *calls, size_t i, const char *key)
{
	return json_object_get(json_array_get(calls, i), key);
}

static json_int_t line_of(const json_t *calls, size_t i)
{
	return json_integer_value(
	    json_object_get(nth(calls, i, "location"), "line"));
}

static void calls_are_told_oldest_first(void **state)
{
	json_t *calls = calls_of("call(LONG, 'one')\ncall(LONG)\n");

	(void)state;
	assert_int_equal(json_array_size(calls), 2);
	assert_int_equal(line_of(calls, 0), 1);
	assert_string_equal(json_string_value(nth(calls, 0, "note")), "one");
	assert_null(nth(calls, 0, "count"));
	assert_int_equal(line_of(calls, 1), 2);
	assert_null(nth(calls, 1, "note"));
	json_decref(calls);
}

static void a_line_that_calls_often_is_one_entry(void **state)
{
	json_t *calls = calls_of("for i = 1, 5 do\n"
				 "call(i == 2 and 1e12 or LONG, 'n' .. i)\n"
				 "call(LONG)\n"
				 "end\n");

	(void)state;
	assert_int_equal(json_array_size(calls), 2);
	assert_int_equal(line_of(calls, 0), 2);
	assert_int_equal(json_integer_value(nth(calls, 0, "count")), 5);
	assert_string_equal(json_string_value(nth(calls, 0, "note")), "n5");
	assert_true(json_number_value(nth(calls, 0, "seconds")) >= 1000);
	assert_true(json_number_value(nth(calls, 1, "seconds")) < 1000);
	json_decref(calls);
}

static void a_part_of_a_call_is_not_counted(void **state)
{
	json_t *calls = calls_of("call(LONG, nil, true) call(LONG, 'a')\n");

	(void)state;
	assert_int_equal(json_array_size(calls), 1);
	assert_null(nth(calls, 0, "count"));
	assert_string_equal(json_string_value(nth(calls, 0, "note")), "a");
	json_decref(calls);
}

static void a_short_call_counts_if_there_is_something_to_say(void **state)
{
	json_t *calls = calls_of("call(0)\ncall(0, 'said')\n");

	(void)state;
	assert_int_equal(json_array_size(calls), 1);
	assert_int_equal(line_of(calls, 0), 2);
	json_decref(calls);
}

static void the_place_that_is_silent_longest_makes_room(void **state)
{
	char text[64 * (TRAIL_CALLS + 2)] = "call(LONG)\n";

	(void)state;
	for (int i = 1; i < TRAIL_CALLS; i++)
		strcat(text, "call(LONG)\n");
	/* Line 1 calls again, so that line 2 is the oldest. */
	strcat(text, "load('call(LONG)', '@x.test.lua')()\ncall(LONG)\n");
	json_t *calls = calls_of(text);
	assert_int_equal(json_array_size(calls), TRAIL_CALLS);
	assert_int_equal(line_of(calls, 0), 3);
	assert_int_equal(line_of(calls, TRAIL_CALLS - 2), 1);
	assert_int_equal(line_of(calls, TRAIL_CALLS - 1), TRAIL_CALLS + 2);
	json_decref(calls);
}

static void a_long_note_is_cut(void **state)
{
	json_t *calls = calls_of("call(LONG, ('x'):rep(1000))\n");

	(void)state;
	assert_int_equal(json_string_length(nth(calls, 0, "note")),
			 TRAIL_NOTE_MAX - 1);
	json_decref(calls);
}

static void sums_up(const char *calls, const char *want)
{
	json_t *list = json_loads(calls, 0, NULL);
	char *text = trail_summary(list);

	assert_string_equal(text, want);
	free(text);
	json_decref(list);
}

static void a_summary_names_the_first_call(void **state)
{
	(void)state;
	sums_up("[]", "");
	sums_up("[{\"method\":\"vm:run\"}]", " in vm:run");
	sums_up("[{\"method\":\"vm:run\",\"location\":"
		"{\"file\":\"x.lua\",\"line\":3}},{}]",
		" in vm:run at x.lua:3, and 1 call more");
	sums_up("[{\"method\":\"vm:run\"},{},{}]",
		" in vm:run, and 2 calls more");
	/* A worker may send anything. */
	sums_up("{}", "");
	sums_up("[7]", "");
	sums_up("[{\"method\":\"vm:run\",\"location\":7}]", " in vm:run");
}

#define T(name) cmocka_unit_test(name)

static const struct CMUnitTest tests[] = {
    T(calls_are_told_oldest_first),
    T(a_line_that_calls_often_is_one_entry),
    T(a_part_of_a_call_is_not_counted),
    T(a_short_call_counts_if_there_is_something_to_say),
    T(the_place_that_is_silent_longest_makes_room),
    T(a_long_note_is_cut),
    T(a_summary_names_the_first_call),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
