/* SPDX-License-Identifier: MIT */
/* A guest's alarm, rung by hand: what becomes of the test, or the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "runner/worker.h"
#include "tests/unit/runner/lib_lua.h"

/* ring(text): whether the mark is a new one. */
static int ring(lua_State *L)
{
	struct suite *s = &worker_of(L)->suite;
	bool was_new = !s->failure.message && !s->early.message;

	suite_alarm(s, L, luaL_checkstring(L, 1));
	lua_pushboolean(L, was_new);
	return 1;
}

static void add_ring(lua_State *L)
{
	lua_register(L, "ring", ring);
}

static void run(struct lua_run *r, const char *text)
{
	lua_run_init(r);
	r->install = add_ring;
	lua_run(r, text);
}

static const char *file_error(const struct lua_run *r, size_t i)
{
	const json_t *ev = lua_run_event(r, "file_error", i);

	return json_string_value(json_object_get(ev, "message"));
}

static void a_test_that_rang_has_failed(void **state)
{
	struct lua_run r;

	(void)state;
	run(&r, "test('a', function(t)\n  ring('BUG: x')\n  ring('2nd')\nend)\n"
		"test('b', function() end)\n");
	assert_string_equal(lua_run_end(&r, "a", "status"), "failed");
	assert_string_equal(lua_run_end(&r, "a", "message"), "BUG: x");
	assert_int_equal(lua_run_line(&r, "a"), 2);
	assert_string_equal(lua_run_end(&r, "b", "status"), "passed");
	lua_run_done(&r);
}

static void an_error_that_follows_does_not_hide_it(void **state)
{
	struct lua_run r;

	(void)state;
	run(&r, "test('a', function(t) ring('BUG: x') error('y') end)\n"
		"test('s', function(t) ring('BUG: x') t:skip() end)\n");
	assert_string_equal(lua_run_end(&r, "a", "message"), "BUG: x");
	assert_string_equal(lua_run_end(&r, "s", "status"), "failed");
	lua_run_done(&r);
}

static void assert_raises_forgives_it(void **state)
{
	struct lua_run r;

	(void)state;
	run(&r, "test('a', function(t)\n"
		"  for i = 1, 2 do\n"
		"    t:assert_raises(function()\n"
		"      assert(ring('BUG: x')) error('y')\n"
		"    end)\n"
		"  end\n"
		"end)\n");
	assert_string_equal(lua_run_end(&r, "a", "status"), "passed");
	lua_run_done(&r);
}

static void a_retry_begins_unmarked(void **state)
{
	struct lua_run r;

	(void)state;
	run(&r, "local n = 0\n"
		"test('a', {retries = 1}, function(t)\n"
		"  n = n + 1\n  if n == 1 then ring('BUG: x') end\nend)\n");
	assert_string_equal(lua_run_end(&r, "a", "status"), "passed");
	lua_run_done(&r);
}

static void outside_of_tests_the_file_fails(void **state)
{
	struct lua_run r;

	(void)state;
	run(&r, "local x\nring('BUG: x')\ntest('a', function() end)\n");
	assert_string_equal(file_error(&r, 0), LUA_DISPLAY ":2: BUG: x");
	assert_null(file_error(&r, 1));
	assert_null(lua_run_event(&r, "test_start", 0));
	lua_run_done(&r);
}

static void the_next_blocking_call_says_it(void **state)
{
	struct lua_run r;

	(void)state;
	run(&r, "ring('BUG: x')\n\nprovium.all(function() end)\n");
	assert_string_equal(file_error(&r, 0),
			    LUA_DISPLAY ":3: provium.all: BUG: x");
	assert_null(file_error(&r, 1));
	lua_run_done(&r);
}

static void another_error_of_the_file_is_told_too(void **state)
{
	struct lua_run r;

	(void)state;
	run(&r, "ring('BUG: x')\nerror('mine')\n");
	assert_string_equal(file_error(&r, 0), LUA_DISPLAY ":2: mine");
	assert_string_equal(file_error(&r, 1), LUA_DISPLAY ":1: BUG: x");
	lua_run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_test_that_rang_has_failed),
	    cmocka_unit_test(an_error_that_follows_does_not_hide_it),
	    cmocka_unit_test(assert_raises_forgives_it),
	    cmocka_unit_test(a_retry_begins_unmarked),
	    cmocka_unit_test(outside_of_tests_the_file_fails),
	    cmocka_unit_test(the_next_blocking_call_says_it),
	    cmocka_unit_test(another_error_of_the_file_is_told_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
