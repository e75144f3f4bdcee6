/* SPDX-License-Identifier: MIT */
/* The suite, the worker and how files are loaded: what events come of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/runner/lib_lua.h"

#define PASSES "passed", NULL
#define FAILS  "failed"

static int count(const struct lua_run *r, const char *event)
{
	int n = 0;

	while (lua_run_event(r, event, (size_t)n))
		n++;
	return n;
}

static const char *file_error(const struct lua_run *r)
{
	const json_t *ev = lua_run_event(r, "file_error", 0);

	return json_string_value(json_object_get(ev, "message"));
}

/* Loads text, which must fail with a message holding part. */
static void expect_file_error(const char *text, const char *part)
{
	struct lua_run r;

	lua_run_init(&r);
	lua_run(&r, text);
	assert_non_null(file_error(&r));
	if (!strstr(file_error(&r), part))
		fail_msg("lacks: %s\nin: %s", part, file_error(&r));
	assert_int_equal(count(&r, "test_start"), 0);
	assert_int_equal(count(&r, "file_end"), 1);
	lua_run_done(&r);
}

static void tests_run_in_order_each_with_a_start_and_an_end(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('b', function() end)\n"
		    "test('a', function() error('no') end)\n");
	assert_int_equal(count(&r, "file_start"), 1);
	assert_int_equal(count(&r, "plan"), 1);
	assert_int_equal(count(&r, "test_start"), 2);
	assert_int_equal(count(&r, "test_end"), 2);
	assert_string_equal(json_string_value(json_object_get(
				lua_run_event(&r, "test_start", 0), "test")),
			    "b");
	assert_string_equal(lua_run_end(&r, "b", "status"), "passed");
	assert_string_equal(lua_run_end(&r, "a", "status"), "failed");
	assert_string_equal(lua_run_end(&r, "a", "message"), "no");
	assert_int_equal(lua_run_line(&r, "a"), 2);
	assert_string_equal(json_string_value(json_object_get(
				lua_run_event(&r, "file_start", 0), "file")),
			    LUA_DISPLAY);
	lua_run_done(&r);
}

static void the_plan_carries_tags_skips_and_unread_keys(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	strvec_add(&r.job.select, "slow=include");
	lua_run(&r, "test('a', {tags = {'x', 'y'}, skip = 'later', slow = "
		    "true, spec = {n = 1}}, function() end)");
	const json_t *t = json_array_get(
	    json_object_get(lua_run_event(&r, "plan", 0), "tests"), 0);
	char *text = json_dumps(t, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(
	    text, "{\"line\":1,\"meta\":{\"spec\":{\"n\":1}},\"name\":\"a\","
		  "\"skip\":\"later\",\"slow\":true,\"tags\":[\"x\",\"y\"]}");
	free(text);
	assert_string_equal(lua_run_end(&r, "a", "status"), "skipped");
	assert_string_equal(lua_run_end(&r, "a", "reason"), "later");
	lua_run_done(&r);
}

static void a_duplicate_name_is_an_error_that_names_both(void **state)
{
	(void)state;
	expect_file_error("test('a', function() end)\n"
			  "test('a', function() end)\n",
			  LUA_DISPLAY ":2: test: 'a' is already the name of "
				      "the test at " LUA_DISPLAY ":1");
}

static void bad_registrations_are_refused(void **state)
{
	(void)state;
	expect_file_error("test(1, function() end)", "name must be a string");
	expect_file_error("test('', function() end)", "name is empty");
	expect_file_error("test('a')", "must be a function, got nothing");
	expect_file_error("test('a', {timeout = '1 parsec'}, function() end)",
			  "timeout '1 parsec' is no duration");
	expect_file_error("test('a', {timeout = 0}, function() end)",
			  "timeout must be more than 0");
	expect_file_error("test('a', {slow = 'very'}, function() end)",
			  "slow must be a boolean, got a string");
	expect_file_error("test('a', {x = print}, function() end)",
			  "a function has no JSON form");
	expect_file_error("test('a', 5, function() end)",
			  "meta must be a table, got a number");
}

/* A test with {tmieout = 3} passed after three minutes. */
static void misspelt_keys_of_meta_are_refused(void **state)
{
	(void)state;
	expect_file_error("test('a', {tmieout = 3}, function() end)",
			  "test: meta has the key 'tmieout': did you mean "
			  "'timeout'? A key of your own must differ more");
	expect_file_error("test('a', {tag = 'x'}, function() end)",
			  "did you mean 'tags'?");
	expect_file_error("test('a', {Skip = true}, function() end)",
			  "did you mean 'skip'?");
	expect_file_error("test('a', {retry = 2}, function() end)",
			  "did you mean 'retries'?");
	expect_file_error("test('a', {slwo = true}, function() end)",
			  "did you mean 'slow'?");
}

static void other_keys_of_meta_are_carried(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('a', {flow = 1, spec = 2, stage = 3, owner = 4}, "
		    "function() end)");
	const json_t *t = json_array_get(
	    json_object_get(lua_run_event(&r, "plan", 0), "tests"), 0);
	assert_int_equal(json_object_size(json_object_get(t, "meta")), 4);
	assert_string_equal(lua_run_end(&r, "a", "status"), "passed");
	lua_run_done(&r);
}

static void tests_cannot_be_registered_by_tests(void **state)
{
	(void)state;
	lua_run_expect("test('y', function() end)", FAILS,
		       "not while tests run");
}

static void todo_skips_every_test(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('a', function() error('x') end)\n"
		    "todo('not yet')\n"
		    "test('b', function() error('x') end)\n");
	assert_string_equal(lua_run_end(&r, "a", "reason"), "not yet");
	assert_string_equal(lua_run_end(&r, "b", "status"), "skipped");
	lua_run_done(&r);
}

static void syntax_errors_name_the_line(void **state)
{
	(void)state;
	expect_file_error("local x = 1\nlocal y = = 2\n", LUA_DISPLAY ":2: ");
}

static void later_syntax_gets_a_hint(void **state)
{
	(void)state;
	expect_file_error("return 7 // 2", "math.floor(a / b)");
	expect_file_error("local x = 1 & 2", "bit.band(a, b)");
	expect_file_error("local x = 1 | 2", "bit.bor(a, b)");
	expect_file_error("local x <const> = 1", "plain local");
	expect_file_error("local x = 1 << 2", "bit.lshift");
	expect_file_error("local x = ~1", "bit.bxor");
}

static void expect_no_hint(const char *source)
{
	struct lua_run r;

	lua_run_init(&r);
	lua_run(&r, source);
	assert_non_null(file_error(&r));
	assert_null(strstr(file_error(&r), "LuaJIT"));
	lua_run_done(&r);
}

static void syntax_of_this_lua_gets_no_hint(void **state)
{
	(void)state;
	expect_no_hint("local a = 'x // y' ~= '&' then -- a | b\n");
	expect_no_hint("local a = [[ a // b ]] then");
	expect_no_hint("local a = [==[\n ]] a & b ]=]\n a | b ]==] then");
	expect_no_hint("local a = 'x \\\n // y' then");
	expect_no_hint("--[[ a // b\n a & b ]] local a then -- ~");
	expect_no_hint("local a = [[ // never closed");
	expect_no_hint("local a = 'never closed // \n");
}

static void text_around_later_syntax_hides_no_hint(void **state)
{
	(void)state;
	expect_file_error("local a = [[ ' ]] .. 7 // 2", "math.floor(a / b)");
	expect_file_error("local a = [[\n\n]] .. 7 // 2", "math.floor(a / b)");
	expect_file_error("--[==[\n ]] ]==] local x = 1 & 2", "bit.band");
	expect_file_error("local a = '\\'' .. 1 << 2", "bit.lshift");
	expect_file_error("local t, a = {1}, t[t[1]] // 2", "math.floor");
}

static void goto_and_a_shebang_are_fine(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "#!/usr/bin/env provium\n"
		    "test('a', function(t) goto out\n"
		    "t:fail()\n"
		    "::out:: error('here') end)\n");
	assert_null(file_error(&r));
	assert_int_equal(lua_run_line(&r, "a"), 4);
	lua_run_done(&r);
}

static void an_error_of_the_chunk_is_one_of_the_file(void **state)
{
	(void)state;
	expect_file_error("\nlocal x\nx.y = 1", LUA_DISPLAY ":3: attempt to "
							    "index local 'x'");
}

static void required_files_are_found_beside_the_test(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run_add(&r, "helper.lua",
		    "local M = {}\nfunction M.f(t)\n  t:fail('in f')\nend\n"
		    "return M\n");
	lua_run(&r, "local h = require('helper')\n"
		    "test('a', function(t) h.f(t) end)\n");
	assert_null(file_error(&r));
	assert_string_equal(lua_run_end(&r, "a", "message"), "in f");
	/* The nearest frame of an author's file is the helper's. */
	assert_int_equal(lua_run_line(&r, "a"), 3);
	assert_non_null(
	    strstr(lua_run_end(&r, "a", "trace"), LUA_DISPLAY ":2: in "));
	lua_run_done(&r);
}

/* Raised by Lua itself: of a thread that is dead, LuaJIT no longer knows the
 * line of the innermost frame. */
static void an_error_in_a_task_has_the_trace_of_the_task(void **state)
{
	struct lua_run r;
	const char *trace;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "local function deep(v)\n"
		    "  return v.field + 1\n"
		    "end\n"
		    "test('a', function()\n"
		    "  provium.all(print, function()\n"
		    "    local n = deep(nil)\n"
		    "    return n\n"
		    "  end)\n"
		    "end)\n");
	assert_int_equal(lua_run_line(&r, "a"), 2);
	trace = lua_run_end(&r, "a", "trace");
	assert_non_null(strstr(trace, LUA_DISPLAY ":2: in upvalue deep\n"));
	assert_non_null(strstr(trace, LUA_DISPLAY ":6: in "));
	lua_run_done(&r);
}

/* The signal comes while a function of C runs, which then fails. */
static void an_error_that_comes_late_is_told(void **state)
{
	static const char text[] =
	    "local function fail_slowly(n)\n"
	    "  string.gsub(('a'):rep(n) .. 'b', '.', {a = 'x', b = true})\n"
	    "end\n"
	    "local clock = os.clock()\n"
	    "pcall(fail_slowly, 1e6)\n"
	    "local n = 1e6 * 1.2 / (os.clock() - clock)\n"
	    "local function fail() fail_slowly(n) end\n"
	    "test('a', {timeout = 0.1}, function() fail() end)\n";
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, text);
	assert_string_equal(lua_run_end(&r, "a", "message"),
			    "invalid replacement value (a boolean)");
	lua_run_done(&r);
}

static void a_bad_required_file_is_named(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run_add(&r, "helper.lua", "\nreturn 1 // 2\n");
	lua_run(&r, "require('helper')\n");
	assert_non_null(strstr(file_error(&r), "helper.lua:2: "));
	assert_non_null(strstr(file_error(&r), "math.floor"));
	lua_run_done(&r);
}

static const char many[] =
    "test('one', function() end)\n"
    "test('part two', {tags = 'net', slow = true}, function() end)\n"
    "test('three', {tags = {'net', 'disk'}, spec = '7.1'}, function() end)\n";

/* How many of many that rule selects. */
static int selected_by(const char *rule)
{
	struct lua_run r;
	int n;

	lua_run_init(&r);
	strvec_add(&r.job.select, rule);
	if (strncmp(rule, "slow=", 5) != 0)
		strvec_add(&r.job.select, "slow=include");
	lua_run(&r, many);
	n = count(&r, "test_start");
	lua_run_done(&r);
	return n;
}

static void rules_select_by_all_that_a_test_says(void **state)
{
	(void)state;
	assert_int_equal(selected_by("filter=two"), 1);
	assert_int_equal(selected_by("filter=x.test"), 3);
	assert_int_equal(selected_by("filter=/^(one|three)$/"), 2);
	assert_int_equal(selected_by("tag=net"), 2);
	assert_int_equal(selected_by("no-tag=disk"), 2);
	assert_int_equal(selected_by("tag-meta=spec=7.1"), 1);
	assert_int_equal(selected_by("slow=only"), 1);
	assert_int_equal(selected_by("filter=zzz"), 0);
}

static void tests_reported_before_are_not_run_again(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	strvec_add(&r.job.skip, "one");
	lua_run(&r, "test('one', function() end)\n"
		    "test('two', function() end)\n");
	assert_int_equal(count(&r, "test_start"), 1);
	assert_null(lua_run_end(&r, "one", "status"));
	lua_run_done(&r);
}

static void listing_runs_nothing_and_touches_no_vm(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.job.list_only = true;
	lua_run(&r,
		"provium.timeout = 3\n"
		"local vm = provium:vm('a', 'none', {x = 1}):boot()\n"
		"local text = vm:run('x').stdout .. 'y'\n"
		"for _, n in ipairs(provium:vm_names()) do error('no') end\n"
		"test('one', function(t) error('ran') end)\n");
	assert_null(file_error(&r));
	assert_int_equal(count(&r, "plan"), 1);
	assert_int_equal(count(&r, "test_start"), 0);
	lua_run_done(&r);
}

static void print_and_log_become_events(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "print('a', 1, nil)\n"
		    "test('x', function(t) t:log({n = 1}) "
		    "t:log('a\\0b', nil, {2}, nil) t:log() end)\n");
	const json_t *one = lua_run_event(&r, "log", 0);
	const json_t *two = lua_run_event(&r, "log", 1);
	assert_string_equal(json_string_value(json_object_get(one, "text")),
			    "a\t1\tnil");
	assert_null(json_object_get(one, "test"));
	assert_string_equal(json_string_value(json_object_get(two, "text")),
			    "{n = 1}");
	assert_string_equal(json_string_value(json_object_get(two, "test")),
			    "x");
	/* One line each, as of print. */
	const json_t *three =
	    json_object_get(lua_run_event(&r, "log", 2), "text");
	assert_int_equal(json_string_length(three), 15);
	assert_memory_equal(json_string_value(three), "a\0b\tnil\t{2}\tnil",
			    15);
	assert_string_equal(json_string_value(json_object_get(
				lua_run_event(&r, "log", 3), "text")),
			    "");
	assert_null(lua_run_event(&r, "log", 4));
	lua_run_done(&r);
}

static void a_time_out_is_raised_in_the_call_that_waits(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('x', {timeout = '50ms'}, function(t)\n"
		    "  wait_until(function() end)\nend)\n"
		    "test('y', function() end)\n");
	assert_string_equal(lua_run_end(&r, "x", "message"),
			    "timed out after 50ms in wait_until "
			    "at " LUA_DISPLAY ":2");
	assert_string_equal(lua_run_end(&r, "y", "status"), "passed");
	lua_run_done(&r);
}

/* Whatever cuts it off, the time-out says for what the test waited. */
static void a_time_out_names_what_is_waited_for(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "local function never() end\n\n"
		    "local function spin() while true do end end\n"
		    "local function wait(fn, desc)\n"
		    "  wait_until(fn, {timeout = 60, desc = desc})\nend\n"
		    "local o = {timeout = '50ms'}\n"
		    "test('a', o, function() wait(never, 'snow') end)\n"
		    "test('b', o, function() wait(spin, 'rain') end)\n"
		    "test('c', o, function()\n"
		    "  wait(function() wait(never, 'hail') end, 'sun')\nend)\n"
		    "test('d', o, function()\n"
		    "  provium.all(function() wait(never, 'fog') end)\nend)\n"
		    "test('e', o, function() wait(never, 'a\\0b') end)\n"
		    "test('f', o, function()\n"
		    "  pcall(wait, never, 'gone') wait(never)\nend)\n");
	assert_string_equal(lua_run_end(&r, "a", "message"),
			    "timed out after 50ms in wait_until at " LUA_DISPLAY
			    ":5, while waiting for: snow");
	assert_string_equal(
	    lua_run_end(&r, "b", "message"),
	    "timed out after 50ms: it computes in Lua at " LUA_DISPLAY
	    ":3, while waiting for: rain");
	assert_non_null(
	    strstr(lua_run_end(&r, "c", "message"), "while waiting for: hail"));
	assert_non_null(
	    strstr(lua_run_end(&r, "d", "message"), "while waiting for: fog"));
	assert_non_null(
	    strstr(lua_run_end(&r, "e", "message"), "while waiting for: a"));
	assert_non_null(strstr(lua_run_end(&r, "f", "message"), "gone"));
	lua_run_done(&r);
}

static void a_swallowed_time_out_fails_the_test(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r,
		"test('x', {timeout = '50ms'}, function(t)\n"
		"  pcall(wait_until, function() end)\nend)\n"
		"test('y', {timeout = '50ms'}, function(t)\n"
		"  t:assert_raises(function() wait_until(function() end) end)"
		"\nend)\n");
	assert_string_equal(lua_run_end(&r, "x", "status"), "failed");
	assert_string_equal(lua_run_end(&r, "y", "status"), "failed");
	lua_run_done(&r);
}

/* Whether LuaJIT interprets it or has compiled it. */
static void code_that_never_waits_is_interrupted(void **state)
{
	static const char *const names[] = {"empty", "count",  "calls",
					    "pcall", "nested", "co",
					    "goto",  "inner",  "task"};
	static const char *const modes[] = {"jit.off()\n", "jit.on()\n"};
	struct lua_run r;

	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
		char *text;

		lua_run_init(&r);
		text = mem_printf(
		    "%slocal o = {timeout = '50ms'}\n"
		    "local function f(x) return x + 1 end\n"
		    "test('empty', o, function() while true do end end)\n"
		    "test('count', o, function()\n"
		    "  local n = 0 while true do n = n + 1 end end)\n"
		    "test('calls', o, function()\n"
		    "  local n = 0 for i = 1, 1e15 do n = f(n) end end)\n"
		    "test('pcall', o, function()\n"
		    "  while true do pcall(f, 1) end end)\n"
		    "test('nested', o, function() while true do\n"
		    "  pcall(function() while true do end end) end end)\n"
		    "test('co', o, function()\n"
		    "  coroutine.wrap(function() while true do end end)()\n"
		    "end)\n"
		    "test('goto', o, function() ::a:: goto a end)\n"
		    "test('inner', o, function() while true do\n"
		    "  for i = 1, 1000 do f(i) end end end)\n"
		    "test('task', o, function()\n"
		    "  provium.all(function() while true do end end) end)\n"
		    "test('y', function() end)\n",
		    modes[m]);
		lua_run(&r, text);
		free(text);
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			const char *why = lua_run_end(&r, names[i], "message");

			if (!strstr(why, "timed out after 50ms: it computes in "
					 "Lua at " LUA_DISPLAY ":"))
				fail_msg("%s: %s", names[i], why);
		}
		assert_string_equal(lua_run_end(&r, "y", "status"), "passed");
		lua_run_done(&r);
	}
}

/* A test may profile itself; its loops are the parent's to end after that. */
static void a_test_may_use_the_profiler(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "test('x', function(t)\n"
		    "  local profile, n = require('jit.profile'), 0\n"
		    "  profile.start('li1', function(_, k) n = n + k end)\n"
		    "  for _ = 1, 1e9 do if n > 0 then break end end\n"
		    "  profile.stop()\n"
		    "  t:assert(n > 0)\nend)\n"
		    "jit.off()\n"
		    "test('y', {timeout = '50ms'}, function()\n"
		    "  while true do end\nend)\n");
	assert_string_equal(lua_run_end(&r, "x", "status"), "passed");
	assert_string_equal(
	    lua_run_end(&r, "y", "message"),
	    "timed out after 50ms: it computes in Lua at " LUA_DISPLAY ":10");
	lua_run_done(&r);
}

static void retries_repeat_a_failed_test(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "local n = 0\n"
		    "test('x', {retries = 3}, function(t)\n"
		    "  n = n + 1\n  t:assert(n == 2)\nend)\n");
	assert_string_equal(lua_run_end(&r, "x", "status"), "passed");
	const json_t *ev = lua_run_event(&r, "test_end", 0);
	assert_int_equal(json_integer_value(json_object_get(ev, "attempts")),
			 2);
	assert_int_equal(count(&r, "test_end"), 1);
	lua_run_done(&r);
}

static void a_run_gives_retries_to_tests_that_have_none(void **state)
{
	static const char text[] = "local function fails(t) t:fail('no') end\n"
				   "test('by the run', fails)\n"
				   "test('by itself', {retries = 0}, fails)\n";
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.job.retries = 2;
	lua_run(&r, text);
	assert_int_equal(count(&r, "test_attempt"), 2);
	assert_string_equal(lua_run_end(&r, "by the run", "status"), "failed");
	lua_run_done(&r);
}

static void slow_tests_that_are_left_out_are_counted(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, many);
	assert_int_equal(count(&r, "test_start"), 2);
	assert_int_equal(json_integer_value(json_object_get(
			     lua_run_event(&r, "plan", 0), "left_out")),
			 1);
	lua_run_done(&r);
}

static void fail_fast_runs_nothing_behind_a_failure(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.job.is_fail_fast = true;
	lua_run(&r, "test('good', function() end)\n"
		    "test('bad', function(t) t:fail('no') end)\n"
		    "test('other', function() end)\n");
	assert_int_equal(count(&r, "test_end"), 2);
	assert_null(lua_run_end(&r, "other", "status"));
	lua_run_done(&r);
}

/* The names of the tests as they ran, one behind the other. */
static void run_order(int64_t seed, char ret[64])
{
	struct lua_run r;
	const json_t *ev;

	lua_run_init(&r);
	r.job.shuffle = seed;
	lua_run(&r, "for i = 1, 9 do test('' .. i, function() end) end\n");
	*ret = '\0';
	for (size_t i = 0; (ev = lua_run_event(&r, "test_end", i)); i++)
		strcat(ret, json_string_value(json_object_get(ev, "test")));
	lua_run_done(&r);
}

static void a_seed_shuffles_the_tests_the_same_way_each_time(void **state)
{
	char plain[64], a[64], again[64], b[64];

	(void)state;
	run_order(0, plain);
	run_order(1, a);
	run_order(1, again);
	run_order(2, b);
	assert_string_equal(plain, "123456789");
	assert_string_not_equal(a, plain);
	assert_string_equal(a, again);
	assert_string_not_equal(a, b);
	for (char c = '1'; c <= '9'; c++)
		assert_non_null(strchr(a, c));
}

static void leaving_the_process_is_an_error(void **state)
{
	(void)state;
	lua_run_expect("os.exit(0)", FAILS, "os.exit: a test must not end");
}

static void file_settings_are_checked(void **state)
{
	(void)state;
	expect_file_error("provium.timeot = 1",
			  "unknown setting 'timeot'; valid: timeout");
	expect_file_error("provium.timeout = 'x'", "timeout 'x' is no");
	expect_file_error("provium.on_console = {'a', 1}",
			  "on_console[2] must be a string, got a number");
	expect_file_error("provium.on_console = {'a', {}}",
			  "on_console[2] needs one text");
	expect_file_error("provium.on_console = {{'a', ['except\\0x'] = 'b'}}",
			  "on_console[1] has an unknown key 'except\\x00x'");
	expect_file_error("provium.on_console = {{'a', [true] = 'b'}}",
			  "on_console[1] has an unknown key, a boolean");
	lua_run_expect("provium.timeout = 1", FAILS,
		       "a setting of the file, not of a test");
}

static void the_files_timeout_holds_for_its_tests(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "provium.timeout = '50ms'\n"
		    "test('x', function(t) wait_until(function() end) end)\n");
	assert_non_null(strstr(lua_run_end(&r, "x", "message"),
			       "timed out after 50ms in wait_until"));
	lua_run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tests_run_in_order_each_with_a_start_and_an_end),
	    cmocka_unit_test(the_plan_carries_tags_skips_and_unread_keys),
	    cmocka_unit_test(a_duplicate_name_is_an_error_that_names_both),
	    cmocka_unit_test(bad_registrations_are_refused),
	    cmocka_unit_test(misspelt_keys_of_meta_are_refused),
	    cmocka_unit_test(other_keys_of_meta_are_carried),
	    cmocka_unit_test(tests_cannot_be_registered_by_tests),
	    cmocka_unit_test(todo_skips_every_test),
	    cmocka_unit_test(syntax_errors_name_the_line),
	    cmocka_unit_test(later_syntax_gets_a_hint),
	    cmocka_unit_test(syntax_of_this_lua_gets_no_hint),
	    cmocka_unit_test(text_around_later_syntax_hides_no_hint),
	    cmocka_unit_test(goto_and_a_shebang_are_fine),
	    cmocka_unit_test(an_error_of_the_chunk_is_one_of_the_file),
	    cmocka_unit_test(required_files_are_found_beside_the_test),
	    cmocka_unit_test(an_error_in_a_task_has_the_trace_of_the_task),
	    cmocka_unit_test(an_error_that_comes_late_is_told),
	    cmocka_unit_test(a_bad_required_file_is_named),
	    cmocka_unit_test(rules_select_by_all_that_a_test_says),
	    cmocka_unit_test(tests_reported_before_are_not_run_again),
	    cmocka_unit_test(listing_runs_nothing_and_touches_no_vm),
	    cmocka_unit_test(print_and_log_become_events),
	    cmocka_unit_test(a_time_out_is_raised_in_the_call_that_waits),
	    cmocka_unit_test(a_time_out_names_what_is_waited_for),
	    cmocka_unit_test(a_swallowed_time_out_fails_the_test),
	    cmocka_unit_test(code_that_never_waits_is_interrupted),
	    cmocka_unit_test(a_test_may_use_the_profiler),
	    cmocka_unit_test(retries_repeat_a_failed_test),
	    cmocka_unit_test(a_run_gives_retries_to_tests_that_have_none),
	    cmocka_unit_test(slow_tests_that_are_left_out_are_counted),
	    cmocka_unit_test(fail_fast_runs_nothing_behind_a_failure),
	    cmocka_unit_test(a_seed_shuffles_the_tests_the_same_way_each_time),
	    cmocka_unit_test(leaving_the_process_is_an_error),
	    cmocka_unit_test(file_settings_are_checked),
	    cmocka_unit_test(the_files_timeout_holds_for_its_tests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
