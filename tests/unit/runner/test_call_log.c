/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/call_log.h"

static json_int_t integer_of(const json_t *list, size_t i, const char *key)
{
	const json_t *at = json_object_get(json_array_get(list, i), "location");

	return json_integer_value(json_object_get(at, key));
}

static const char *string_of(const json_t *list, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(list, i), key));
}

static double number_of(const json_t *list, size_t i, const char *key)
{
	return json_number_value(json_object_get(json_array_get(list, i), key));
}

static struct call_log the_log;

/* call(note): a call that began a second after the log did. */
static int l_call(lua_State *L)
{
	call_log_add(&the_log, L, "vm:run", the_log.began_ns + NS_PER_SEC,
		     lua_tostring(L, 1));
	return 0;
}

static void run(const char *text)
{
	lua_State *L = luaL_newstate();

	luaL_openlibs(L);
	lua_register(L, "call", l_call);
	if (luaL_loadbuffer(L, text, strlen(text), "@x.test.lua") ||
	    lua_pcall(L, 0, 0, 0))
		fail_msg("%s", lua_tostring(L, -1));
	lua_close(L);
}

static void each_call_is_told_with_its_times(void **state)
{
	(void)state;
	call_log_begin(&the_log, clock_now_ns() - 3 * NS_PER_SEC);
	run("call('one')\ncall()\ncall('one')\n");
	json_t *calls = call_log_json(&the_log);
	assert_int_equal(json_array_size(calls), 3);
	assert_string_equal(string_of(calls, 0, "method"), "vm:run");
	assert_string_equal(string_of(calls, 0, "note"), "one");
	assert_null(string_of(calls, 1, "note"));
	assert_int_equal(integer_of(calls, 2, "line"), 3);
	assert_true(number_of(calls, 0, "at") > 0.9 &&
		    number_of(calls, 0, "at") < 1.1);
	assert_true(number_of(calls, 0, "seconds") > 1.9);
	json_decref(calls);
	call_log_done(&the_log);
}

static void the_oldest_call_makes_room(void **state)
{
	(void)state;
	call_log_begin(&the_log, clock_now_ns());
	char *text =
	    mem_printf("for i = 1, %d do call('n' .. i) end", CALL_LOG_MAX + 7);
	run(text);
	free(text);
	json_t *calls = call_log_json(&the_log);
	assert_int_equal(json_array_size(calls), CALL_LOG_MAX);
	assert_int_equal(the_log.dropped, 7);
	assert_string_equal(string_of(calls, 0, "note"), "n8");
	char *last = mem_printf("n%d", CALL_LOG_MAX + 7);
	assert_string_equal(string_of(calls, CALL_LOG_MAX - 1, "note"), last);
	free(last);
	json_decref(calls);
	call_log_done(&the_log);
}

static void a_log_that_begins_anew_is_empty(void **state)
{
	(void)state;
	call_log_begin(&the_log, clock_now_ns());
	run("call('one')");
	call_log_begin(&the_log, clock_now_ns());
	json_t *calls = call_log_json(&the_log);
	assert_int_equal(json_array_size(calls), 0);
	json_decref(calls);
	run("call(('x'):rep(2000))");
	calls = call_log_json(&the_log);
	assert_int_equal(strlen(string_of(calls, 0, "note")),
			 CALL_LOG_NOTE_MAX);
	json_decref(calls);
	call_log_done(&the_log);
}

static void a_call_that_an_earlier_attempt_began_counts_from_zero(void **state)
{
	(void)state;
	call_log_begin(&the_log, clock_now_ns());
	the_log.began_ns -= 5 * NS_PER_SEC;
	run("call('one')");
	the_log.began_ns += 10 * NS_PER_SEC;
	json_t *calls = call_log_json(&the_log);
	assert_true(number_of(calls, 0, "at") < 0.1);
	json_decref(calls);
	call_log_done(&the_log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_call_is_told_with_its_times),
	    cmocka_unit_test(the_oldest_call_makes_room),
	    cmocka_unit_test(a_log_that_begins_anew_is_empty),
	    cmocka_unit_test(
		a_call_that_an_earlier_attempt_began_counts_from_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
