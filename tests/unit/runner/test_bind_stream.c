/* SPDX-License-Identifier: MIT */
/* What Lua gets from the stream engine, and write_to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/runner/lib_lua.h"
#include "tests/unit/runner/lib_stream.h"

#define PASSES(body)                                                           \
	lua_run_expect_with(lib_stream_install, body, "passed", NULL)
#define FAILS(body, part)                                                      \
	lua_run_expect_with(lib_stream_install, body, "failed", part)

static void next_gives_a_frame_or_nil(void **state)
{
	(void)state;
	PASSES("local s = stream() put(s, 'a\\0b') put(s, 'c') "
	       "t:assert_eq(s:next(), 'a\\0b') t:assert_eq(s:next(0), 'c') "
	       "t:assert_eq(s:next(0), nil) t:assert_eq(s:eof(), false) "
	       "finish(s) t:assert_eq(s:next(), nil) t:assert(s:eof())");
}

static void eof_is_honest_about_what_is_pending(void **state)
{
	(void)state;
	PASSES("local s = stream() put(s, 'login: root') finish(s) "
	       "t:assert(not s:eof()) s:expect('login: ') "
	       "t:assert(not s:eof()) t:assert_eq(s:next(), 'root') "
	       "t:assert(s:eof())");
}

static void drain_of_zero_takes_what_is_there(void **state)
{
	(void)state;
	PASSES("local s = stream() t:assert_eq(s:drain(0), {}) "
	       "put(s, 'ab') put(s, 'cd') put(s, 'e', true) "
	       "t:assert_eq(s:read_until('a'), 'a') "
	       "t:assert_eq(s:drain(0), {'b', 'cd'}) "
	       "finish(s) t:assert_eq(s:drain(), {'e'}) "
	       "t:assert_eq(s:drain(), {})");
}

static void close_drops_what_is_pending_and_names_the_type(void **state)
{
	static const struct {
		const char *type;
		const char *closed;
	} types[] = {
	    {"tail", "stream closed"},
	    {"capture", "capture closed"},
	    {"console", "console closed"},
	};
	char body[512];

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		snprintf(body, sizeof(body),
			 "local s = stream('%s') put(s, 'abc') s:close() "
			 "s:close() t:assert_eq(s:next(), nil) "
			 "t:assert_eq(s:drain(), {}) t:assert(s:eof()) "
			 "t:assert_eq(s:bytes(), 3) "
			 "for _, how in ipairs{'expect', 'read_until'} do "
			 "t:assert_contains(t:assert_raises(function() "
			 "s[how](s, 'a') end), 'stream:' .. how .. ': %s') end",
			 types[i].type, types[i].closed);
		PASSES(body);
	}
}

static void errors_say_the_words(void **state)
{
	(void)state;
	PASSES("local s = stream() put(s, 'x\\n') "
	       "t:assert_contains(t:assert_raises(function() "
	       "s:read_until('ready\\n', 0) end), 'read_until timed out "
	       "waiting for `ready\\\\n`; last bytes: \"x\\\\n\"') "
	       "t:assert_contains(t:assert_raises(function() "
	       "s:expect('ready', 0) end), 'expect timed out waiting for "
	       "`ready`') "
	       "finish(s) t:assert_contains(t:assert_raises(function() "
	       "s:expect('ready') end), 'stream EOF') "
	       "t:assert_eq(s:next(), 'x\\n')");
	PASSES("local s = stream('console') finish(s) "
	       "t:assert_contains(t:assert_raises(function() "
	       "s:expect('ready') end), 'console EOF')");
}

static void a_break_is_told_when_the_bytes_are_read(void **state)
{
	(void)state;
	PASSES("local s = stream() put(s, 'x') finish(s, 'the cable was cut') "
	       "t:assert_eq(s:next(), 'x') "
	       "for _, how in ipairs{'next', 'drain', 'next_line'} do "
	       "t:assert_contains(t:assert_raises(function() "
	       "s[how](s) end), 'the cable was cut') end");
}

static void times_that_are_none_are_refused(void **state)
{
	static const char *const times[] = {"0/0", "-1", "'-1s'", "'soon'",
					    "{}"};
	static const char *const calls[] = {
	    "s:next(",	      "s:drain(",
	    "s:expect('a', ", "s:read_until('a', ",
	    "s:lines(",	      "s:write_to(DIR .. '/f', ",
	};
	char body[256];

	(void)state;
	for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
		for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
			snprintf(body, sizeof(body),
				 "local s = stream() put(s, 'a') "
				 "local e = t:assert_raises(function() "
				 "%s%s) end) t:assert_contains(e, 'timeout') "
				 "t:assert_eq(s:next(), 'a')",
				 calls[c], times[i]);
			PASSES(body);
		}
	}
}

static void lines_end_with_the_rest(void **state)
{
	(void)state;
	PASSES("local s = stream() put(s, 'a\\n\\nb') put(s, 'c\\nlast') "
	       "finish(s) local got = {} for line in s:lines() do "
	       "got[#got + 1] = line end "
	       "t:assert_eq(got, {'a', '', 'bc', 'last'})");
}

/* --- races ---------------------------------------------------------------- */

/* Both streams have something in the turn in which the race ends. */
static void the_loser_of_a_race_takes_nothing(void **state)
{
	static const char *const calls[] = {
	    "s:next()",	       "s:read_until('\\n')", "s:drain('1ms')",
	    "s:expect('\\n')", "s:lines()()",
	};
	char body[512];

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		snprintf(body, sizeof(body),
			 "local a, b = stream(), stream() "
			 "local function reader(s) return function() "
			 "%s return s end end "
			 "local won = provium.race(reader(a), reader(b), "
			 "function() coroutine.yield() "
			 "put(a, 'line\\n') put(b, 'line\\n') "
			 "wait_until(function() end, {timeout = 9}) end) "
			 "local lost = won == a and b or a "
			 "t:assert_eq(won:drain(0), {}) "
			 "t:assert_eq(lost:drain(0), {'line\\n'})",
			 calls[i]);
		PASSES(body);
	}
}

/* --- write_to ------------------------------------------------------------- */

#define SLURP                                                                  \
	"local path = DIR .. '/out' local function slurp() "                   \
	"local f = assert(io.open(path, 'rb')) local d = f:read('*a') "        \
	"f:close() return d end "

static void write_to_writes_what_is_pending_and_what_comes(void **state)
{
	(void)state;
	PASSES(SLURP "local s = stream() put(s, 'a\\0') "
		     "local n, ended = s:write_to(path) "
		     "t:assert_eq(n, 2) t:assert_eq(ended, false) "
		     "t:assert_eq(slurp(), 'a\\0') put(s, 'bc') "
		     "wait_until(function() return slurp() == 'a\\0bc' end) "
		     "t:assert_eq(s:bytes(), 4) t:assert_eq(s:eof(), false) "
		     "finish(s) wait_until(function() return s:eof() end) "
		     "t:assert_eq(s:next(), nil) s:close() "
		     "t:assert_eq(slurp(), 'a\\0bc')");
}

static void write_to_waits_for_the_end(void **state)
{
	(void)state;
	PASSES(SLURP "local s = stream() put(s, 'abc') "
		     "local n, ended = provium.all(function() "
		     "return {s:write_to(path, 9)} end, function() "
		     "coroutine.yield() put(s, 'def') finish(s) end) "
		     "t:assert_eq(n, {6, true}) t:assert_eq(slurp(), 'abcdef') "
		     "t:assert(s:eof())");
	PASSES(SLURP "local s = stream() put(s, 'abc') "
		     "t:assert_eq({s:write_to(path, '1ms')}, {3, false})");
}

static void while_it_is_written_nobody_reads_it(void **state)
{
	static const char *const calls[] = {
	    "s:next()",	 "s:drain(0)",	  "s:expect('a')",
	    "s:lines()", "s:next_line()", "s:read_until('a')",
	};
	char body[384];

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		snprintf(body, sizeof(body),
			 "local s = stream() s:write_to(DIR .. '/out') "
			 "local e = t:assert_raises(function() %s end) "
			 "t:assert_contains(e, 'the stream is being written "
			 "to ' .. DIR .. '/out (write_to at x.test.lua:1)') "
			 "put(s, 'a') t:assert_eq(s:bytes(), 1)",
			 calls[i]);
		PASSES(body);
	}
}

static void write_to_is_for_once(void **state)
{
	(void)state;
	FAILS("local s = stream() s:write_to(DIR .. '/a') "
	      "s:write_to(DIR .. '/b')",
	      "stream:write_to: the stream is being written to ");
	FAILS("local s = stream() finish(s) s:write_to(DIR .. '/a', 9) "
	      "s:write_to(DIR .. '/b')",
	      "stream:write_to: the stream was written to a file already "
	      "(write_to at x.test.lua:1)");
	FAILS("local s = stream() s:close() s:write_to(DIR .. '/a')",
	      "stream:write_to: stream closed");
	FAILS("stream():write_to(DIR .. '/no/such')",
	      "/no/such' on the host: No such file or directory");
}

static void close_leaves_all_that_arrived_in_the_file(void **state)
{
	(void)state;
	PASSES(SLURP "local s = stream() s:write_to(path) "
		     "local big = ('x'):rep(3000000) put(s, big) put(s, 'y') "
		     "s:close() t:assert(slurp() == big .. 'y') "
		     "t:assert_eq(s:bytes(), 3000001)");
}

static void the_end_of_a_test_leaves_all_that_arrived_in_the_file(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.install = lib_stream_install;
	lua_run(&r, "local big = ('x'):rep(3000000)\n"
		    "test('x', function(t) local s = stream() "
		    "s:write_to(DIR .. '/out') put(s, big) end)\n"
		    "test('y', function(t) local f = assert(io.open(DIR .. "
		    "'/out')) t:assert(f:read('*a') == big) f:close() end)\n");
	assert_string_equal(lua_run_end(&r, "x", "status"), "passed");
	assert_string_equal(lua_run_end(&r, "y", "status"), "passed");
	lua_run_done(&r);
}

#define FULL "local s = stream() s:write_to('/dev/full') put(s, 'abc') "
#define FULL_TEXT                                                              \
	"cannot write '/dev/full' on the host: No space left on device"

static void the_next_call_tells_of_a_full_disk(void **state)
{
	static const char *const calls[] = {
	    "next",  "drain", "eof",	"bytes",
	    "lines", "kind",  "detail", "write_to",
	};
	char body[512];

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		snprintf(body, sizeof(body),
			 FULL "coroutine.wrap(function() pcall(wait_until, "
			      "function() end, {timeout = '20ms'}) end)() "
			      "local e = t:assert_raises(function() s:%s() "
			      "end) t:assert_contains(e, 'stream:%s: %s "
			      "(write_to at x.test.lua:1)')",
			 calls[i], calls[i],
			 "cannot write \\'/dev/full\\' on the host: No space "
			 "left on device");
		PASSES(body);
	}
	FAILS("local s = stream() put(s, 'x') s:write_to('/dev/full', 9)",
	      "stream:write_to: " FULL_TEXT);
}

static void a_full_disk_that_nobody_asks_about_fails_the_test(void **state)
{
	(void)state;
	FAILS(FULL, "stream:write_to: " FULL_TEXT);
	FAILS(FULL "s:close()", "stream:write_to: " FULL_TEXT);
	/* Who knows of it decides. */
	PASSES(FULL "pcall(wait_until, function() end, {timeout = '20ms'}) "
		    "t:assert_raises(function() s:eof() end) s:close()");
	FAILS(FULL "error('mine', 0)", "mine");
}

static void
a_stream_of_the_file_fails_the_test_in_which_it_is_seen(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.install = lib_stream_install;
	lua_run(&r, "local s = stream() s:write_to('/dev/full')\n"
		    "test('a', function(t) end)\n"
		    "test('b', function(t) put(s, 'abc') end)\n"
		    "test('c', {skip = true}, function(t) end)\n");
	assert_string_equal(lua_run_end(&r, "a", "status"), "passed");
	assert_string_equal(lua_run_end(&r, "b", "status"), "failed");
	assert_int_equal(lua_run_line(&r, "b"), 1);
	lua_run_done(&r);
}

static void an_error_while_the_file_loads_is_the_files(void **state)
{
	const json_t *ev;
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.install = lib_stream_install;
	lua_run(&r, "local s = stream() s:write_to('/dev/full')\n"
		    "put(s, 'abc') s:close()\n"
		    "test('a', function(t) end)\n");
	ev = lua_run_event(&r, "file_error", 0);
	assert_non_null(ev);
	assert_non_null(
	    strstr(json_string_value(json_object_get(ev, "message")),
		   "x.test.lua:1: stream:write_to: " FULL_TEXT));
	lua_run_done(&r);
}

static void a_stream_that_broke_is_no_error_of_the_file(void **state)
{
	(void)state;
	PASSES(SLURP "local s = stream() s:write_to(path) put(s, 'abc') "
		     "finish(s, 'the cable was cut') "
		     "wait_until(function() return s:eof() end) "
		     "t:assert_eq(slurp(), 'abc') "
		     "t:assert_contains(t:assert_raises(function() s:next() "
		     "end), 'the cable was cut')");
	FAILS("local s = stream() put(s, 'abc') finish(s, 'the cable was "
	      "cut') s:write_to(DIR .. '/out', 9)",
	      "stream:write_to: the cable was cut");
}

/* Cut off by the test's deadline, these returned what their own time-out
 * returns: a test that asked for ten seconds of silence passed after fewer. */
static void the_tests_deadline_is_no_silence(void **state)
{
	static const char *const calls[][2] = {
	    {"s:next(9)", "stream:next"},
	    {"s:drain(9)", "stream:drain"},
	    {"s:write_to(DIR .. '/f', 9)", "stream:write_to"},
	    {"s:expect('x', 9)", "stream:expect"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct lua_run r;
		char *text = mem_printf("test('x', {timeout = '50ms'}, "
					"function(t) local s = stream() %s "
					"end)\n",
					calls[i][0]);
		char *part = mem_printf(
		    "timed out after 50ms in %s at " LUA_DISPLAY ":1",
		    calls[i][1]);

		lua_run_init(&r);
		r.install = lib_stream_install;
		lua_run(&r, text);
		assert_string_equal(lua_run_end(&r, "x", "status"), "failed");
		assert_non_null(strstr(lua_run_end(&r, "x", "message"), part));
		lua_run_done(&r);
		free(text);
		free(part);
	}
}

static void the_tests_deadline_shows_what_is_pending(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	r.install = lib_stream_install;
	lua_run(&r,
		"local function cut(name, fn) "
		"test(name, {timeout = '50ms'}, function() local s = stream() "
		"put(s, 'STEP\\n') put(s, 'ab') fn(s) end) end\n"
		"cut('expect', function(s) s:expect('x', 9) end)\n"
		"cut('drain', function(s) s:drain(9) end)\n"
		"cut('lines', function(s) for _ in s:lines(9) do end end)\n"
		"cut('all', function(s) provium.all(function() s:expect('x', 9)"
		" end, function() stream():next(9) end) end)\n");
	assert_string_equal(lua_run_end(&r, "expect", "message"),
			    "timed out after 50ms in stream:expect at "
			    "x.test.lua:2: expect timed out waiting for `x`; "
			    "last bytes: \"STEP\\nab\"");
	assert_string_equal(lua_run_end(&r, "drain", "message"),
			    "timed out after 50ms in stream:drain at "
			    "x.test.lua:3: last bytes: \"STEP\\nab\"");
	assert_string_equal(lua_run_end(&r, "lines", "message"),
			    "timed out after 50ms in stream:lines at "
			    "x.test.lua:4: lines timed out waiting for `\\n`; "
			    "last bytes: \"ab\"");
	assert_string_equal(lua_run_end(&r, "all", "message"),
			    "timed out after 50ms in provium.all at "
			    "x.test.lua:5\n"
			    "timed out after 50ms in stream:expect at "
			    "x.test.lua:5: expect timed out waiting for `x`; "
			    "last bytes: \"STEP\\nab\"\n"
			    "timed out after 50ms in stream:next at "
			    "x.test.lua:5: nothing is pending");
	lua_run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(next_gives_a_frame_or_nil),
	    cmocka_unit_test(eof_is_honest_about_what_is_pending),
	    cmocka_unit_test(drain_of_zero_takes_what_is_there),
	    cmocka_unit_test(close_drops_what_is_pending_and_names_the_type),
	    cmocka_unit_test(errors_say_the_words),
	    cmocka_unit_test(a_break_is_told_when_the_bytes_are_read),
	    cmocka_unit_test(times_that_are_none_are_refused),
	    cmocka_unit_test(lines_end_with_the_rest),
	    cmocka_unit_test(the_loser_of_a_race_takes_nothing),
	    cmocka_unit_test(write_to_writes_what_is_pending_and_what_comes),
	    cmocka_unit_test(write_to_waits_for_the_end),
	    cmocka_unit_test(while_it_is_written_nobody_reads_it),
	    cmocka_unit_test(write_to_is_for_once),
	    cmocka_unit_test(close_leaves_all_that_arrived_in_the_file),
	    cmocka_unit_test(
		the_end_of_a_test_leaves_all_that_arrived_in_the_file),
	    cmocka_unit_test(the_next_call_tells_of_a_full_disk),
	    cmocka_unit_test(a_full_disk_that_nobody_asks_about_fails_the_test),
	    cmocka_unit_test(
		a_stream_of_the_file_fails_the_test_in_which_it_is_seen),
	    cmocka_unit_test(an_error_while_the_file_loads_is_the_files),
	    cmocka_unit_test(a_stream_that_broke_is_no_error_of_the_file),
	    cmocka_unit_test(the_tests_deadline_is_no_silence),
	    cmocka_unit_test(the_tests_deadline_shows_what_is_pending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
