/* SPDX-License-Identifier: MIT */
/* Waiting and tasks, through the sleeping that wait_until does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/runner/lib_lua.h"

#define PASSES(body)	  lua_run_expect(body, "passed", NULL)
#define FAILS(body, part) lua_run_expect(body, "failed", part)

/* nap(n): waits until it was called n times. */
#define NAP                                                                    \
	"local function nap(n) wait_until(function() n = n - 1 "               \
	"return n < 0 end, {interval = '1ms'}) end "

static void all_returns_results_in_order(void **state)
{
	(void)state;
	PASSES(NAP "local a, b, c = provium.all(function() nap(9) return 1 "
		   "end, function() return 2 end, function() nap(3) return "
		   "nil end) t:assert_eq({a, b, c}, {1, 2})");
	PASSES("t:assert_eq(select('#', provium.all()), 0)");
	PASSES("t:assert_eq(select('#', provium.all(print, print)), 2)");
}

static void tasks_run_while_others_wait(void **state)
{
	(void)state;
	PASSES("local met = false provium.all(function() wait_until(function()"
	       " return met end, {interval = '1ms'}) end, function() met = "
	       "true end)");
	PASSES(NAP "local log = {} provium.all(function() nap(3) log[#log + 1]"
		   " = 'slow' end, function() log[#log + 1] = 'fast' end) "
		   "t:assert_eq(log, {'fast', 'slow'})");
}

static void an_error_in_a_task_cancels_the_rest(void **state)
{
	(void)state;
	PASSES(NAP "local late = false "
		   "local e = t:assert_raises(function() "
		   "provium.all(function() nap(3) late = true end, "
		   "function() error('broken', 0) end) end) "
		   "t:assert_eq(e, 'broken (task 2 of "
		   "provium.all)') nap(8) t:assert(not late)");
}

static void race_returns_the_first_and_cancels_the_others(void **state)
{
	(void)state;
	PASSES(NAP "local late = false "
		   "t:assert_eq(provium.race(function() nap(5) late = true "
		   "return 'slow' end, function() nap(1) return 'fast' end), "
		   "'fast') nap(9) t:assert(not late)");
}

static void groups_nest(void **state)
{
	(void)state;
	PASSES(NAP "local a, b = provium.all(function() nap(2) return "
		   "(provium.all(function() nap(1) return 'in' end)) end, "
		   "function() return provium.race(function() nap(1) return "
		   "'r' end) end) t:assert_eq({a, b}, {'in', 'r'})");
	PASSES(NAP "local late = false "
		   "provium.race(function() provium.all(function() nap(5) "
		   "late = true end) end, function() nap(1) end) "
		   "nap(9) t:assert(not late)");
}

static void waiting_crosses_a_pcall_in_a_task(void **state)
{
	(void)state;
	PASSES(NAP
	       "local ok, v = provium.all(function() return pcall("
	       "function() nap(2) return 1 end) end) t:assert_eq(ok, true)");
	PASSES("provium.all(function() local ok, e = pcall(wait_until, "
	       "function() end, {timeout = '5ms'}) t:assert_contains(e, "
	       "'not met within') end)");
}

static void waiting_across_a_c_call_says_so(void **state)
{
	(void)state;
	FAILS(NAP "provium.all(function() ('x'):gsub('x', function() nap(1) "
		  "end) end)",
	      "attempt to yield across C-call boundary");
}

static void plain_coroutines_may_wait(void **state)
{
	(void)state;
	PASSES(NAP "local co = coroutine.wrap(function() nap(2) "
		   "coroutine.yield('a') nap(1) return 'b' end) "
		   "t:assert_eq(co(), 'a') t:assert_eq(co(), 'b')");
	PASSES(NAP "provium.all(function() local co = coroutine.wrap(function("
		   ") nap(2) return 1 end) t:assert_eq(co(), 1) end, "
		   "function() nap(1) end)");
	PASSES("local n = 0 provium.all(function() coroutine.yield() n = n + "
	       "1 end, function() n = n + 1 end) t:assert_eq(n, 2)");
}

/* A failure that is not the time-out's stays the test's. */
static void the_tests_time_out_hides_no_failure(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('x', {timeout = '50ms'}, function(t)\n"
		    "  provium.all(function() pcall(t.fail, t, 'mine') "
		    "wait_until(function() end) end)\nend)\n"
		    "test('y', {timeout = '50ms'}, function(t)\n"
		    "  provium.all(function() pcall(wait_until, function() end)"
		    " end)\nend)\n"
		    "test('z', {timeout = '50ms'}, function(t)\n"
		    "  provium:barrier('b', 2)\nend)\n");
	assert_string_equal(lua_run_end(&r, "x", "message"), "mine");
	assert_string_equal(lua_run_end(&r, "y", "message"),
			    "timed out after 50ms in wait_until at "
			    "x.test.lua:5");
	assert_string_equal(lua_run_end(&r, "z", "message"),
			    "timed out after 50ms in lab:barrier at "
			    "x.test.lua:8");
	lua_run_done(&r);
}

static void the_tests_time_out_ends_tasks(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('x', {timeout = '50ms'}, function(t)\n"
		    "  provium.all(function()\n"
		    "    wait_until(function() end, {interval = 9})\n"
		    "  end)\nend)\n"
		    "test('y', function(t) wait_until(function() return 1 end)"
		    " end)\n");
	assert_string_equal(lua_run_end(&r, "x", "status"), "failed");
	assert_string_equal(lua_run_end(&r, "y", "status"), "passed");
	lua_run_done(&r);
}

/* The group's own deadline passes before its tasks have their turn. */
static void a_group_that_is_late_ends_once(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('x', {timeout = '50ms'}, function(t)\n"
		    "  provium.all(function()\n"
		    "    wait_until(function() end, {interval = 9})\n"
		    "  end, function()\n"
		    "    local from = os.clock()\n"
		    "    while os.clock() < from + 0.35 do end\n"
		    "  end)\nend)\n");
	assert_string_equal(lua_run_end(&r, "x", "status"), "failed");
	assert_non_null(
	    strstr(lua_run_end(&r, "x", "message"), "timed out after 50ms"));
	lua_run_done(&r);
}

static void misuse_is_an_error(void **state)
{
	(void)state;
	FAILS("provium.all(1)", "provium.all: argument 1 must be a function");
	FAILS("provium.race()", "provium.race: needs at least one function");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_returns_results_in_order),
	    cmocka_unit_test(tasks_run_while_others_wait),
	    cmocka_unit_test(an_error_in_a_task_cancels_the_rest),
	    cmocka_unit_test(race_returns_the_first_and_cancels_the_others),
	    cmocka_unit_test(groups_nest),
	    cmocka_unit_test(waiting_crosses_a_pcall_in_a_task),
	    cmocka_unit_test(waiting_across_a_c_call_says_so),
	    cmocka_unit_test(plain_coroutines_may_wait),
	    cmocka_unit_test(the_tests_time_out_hides_no_failure),
	    cmocka_unit_test(the_tests_time_out_ends_tasks),
	    cmocka_unit_test(a_group_that_is_late_ends_once),
	    cmocka_unit_test(misuse_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
