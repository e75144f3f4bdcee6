/* SPDX-License-Identifier: MIT */
/* The test context, wait_until, json, and 64-bit integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"

#include "tests/unit/runner/lib_lua.h"

#define PASSES(body)	  lua_run_expect(body, "passed", NULL)
#define FAILS(body, part) lua_run_expect(body, "failed", part)

static void assertions_pass_on_what_holds(void **state)
{
	(void)state;
	PASSES("t:assert(1); t:assert_eq(1, 1); t:assert_neq(1, 2)");
	PASSES("t:assert_contains('a.b', '.'); t:assert_match('ab', '^a.$')");
	PASSES("t:assert_eq({1, {a = {}}}, {1, {a = {}}})");
	PASSES("local a, b = {}, {} a.s = a; b.s = b; t:assert_eq(a, b)");
	PASSES("t:assert_eq(2LL ^ 40LL, 2 ^ 40)");
}

static void assertions_say_what_is_wrong(void **state)
{
	(void)state;
	FAILS("t:assert(nil)", "assertion failed: the value is nil");
	FAILS("t:assert(false, 'why')", "why");
	FAILS("t:assert_eq(1, '1')", "got:      1\n  expected: \"1\"");
	FAILS("t:assert_eq(1, 2, 'n')", "n: values differ");
	FAILS("t:assert_neq({1}, {1})", "both values are {1}");
	FAILS("t:assert_contains('abc', 'x')",
	      "\"abc\" does not contain \"x\"");
	FAILS("t:assert_match('abc', '^b')",
	      "\"abc\" does not match the pattern \"^b\"");
	FAILS("t:fail('because')", "because");
}

static void tables_that_differ_are_told_by_path(void **state)
{
	(void)state;
	FAILS("t:assert_eq({a = {b = {1, 2}}}, {a = {b = {1, 3}}})",
	      "  .a.b[2]: got 2, expected 3");
	FAILS("t:assert_eq({x = 1}, {['y z'] = 1})",
	      "  .x: got 1, expected nothing\n"
	      "  [\"y z\"]: got nothing, expected 1");
}

static void texts_that_differ_are_told_by_line(void **state)
{
	(void)state;
	FAILS("t:assert_eq('a\\nb\\n', 'a\\nc\\n')",
	      "differ from line 2 on:\n    \"a\"\n  - \"c\"\n  + \"b\"\n"
	      "  (- expected");
	/* What follows and is the same is no difference. */
	FAILS("t:assert_eq('a\\nb\\nc\\nd\\n', 'a\\nX\\nY\\nc\\nd\\n')",
	      "  - \"X\"\n  - \"Y\"\n  + \"b\"\n    \"c\"\n    \"d\"\n  (");
	FAILS("t:assert_eq('a\\n' .. ('b\\n'):rep(100), 'a\\n')",
	      "  + \"b\"\n  + ... 80 lines more\n  (");
	FAILS("t:assert_eq('a\\nb', 'a\\nb\\n')",
	      "  - \"b\"\n  + \"b\" (no newline)\n");
}

/* a and b: texts of the lines 1 to n. */
#define LINES                                                                  \
	"local function lines(n, change) local s = {} for i = 1, n do "        \
	"s[i] = change[i] or tostring(i) end "                                 \
	"return table.concat(s, '\\n') .. '\\n' end "

static void each_place_where_texts_differ_is_shown(void **state)
{
	(void)state;
	FAILS(LINES "t:assert_eq(lines(200, {[20] = 'x', [180] = 'y'}), "
		    "lines(200, {}))",
	      "differ from line 20 on:\n"
	      "    \"18\"\n    \"19\"\n  - \"20\"\n  + \"x\"\n"
	      "    \"21\"\n    \"22\"\n    ... 155 equal lines\n"
	      "    \"178\"\n    \"179\"\n  - \"180\"\n  + \"y\"\n"
	      "    \"181\"\n    \"182\"\n  (- expected");
	/* Neighbours have all between them shown. */
	FAILS(LINES "t:assert_eq(lines(9, {[3] = 'x', [7] = 'y'}), "
		    "lines(9, {}))",
	      "  + \"x\"\n    \"4\"\n    \"5\"\n    \"6\"\n  - \"7\"\n");
	/* A line that is missing moves no other. */
	FAILS("t:assert_eq('a\\nc\\nd\\nX\\n', 'a\\nb\\nc\\nd\\ne\\n')",
	      "    \"a\"\n  - \"b\"\n    \"c\"\n    \"d\"\n  - \"e\"\n"
	      "  + \"X\"\n  (");
	FAILS("local a, b = {}, {} for i = 1, 40, 2 do a[i], a[i + 1] = 'x' .. "
	      "i, 's' b[i], b[i + 1] = 'y' .. i, 's' end "
	      "t:assert_eq(table.concat(a, '\\n'), table.concat(b, '\\n'))",
	      "    ... 12 more places\n  (");
	/* Too many pairs of lines: one block. */
	FAILS(LINES "t:assert_eq(lines(2000, {[1] = 'x', [2000] = 'y'}), "
		    "lines(2000, {}))",
	      "  + \"x\"\n  + \"2\"\n");
}

static void a_long_text_without_the_part_is_not_shown_whole(void **state)
{
	(void)state;
	FAILS(LINES "t:assert_contains(lines(300, {[77] = 'peer 30 is up'}), "
		    "'peer 301')",
	      "the text (1103 bytes, 300 lines) does not contain "
	      "\"peer 301\"\n  nearest:  line 77: \"peer 30 is up\"");
	FAILS("t:assert_contains(('x'):rep(500) .. 'end', 'y')",
	      "the text (503 bytes, 1 line) does not contain \"y\"\n"
	      "  it ends:  ...\"");
	FAILS("t:assert_contains(('x'):rep(900) .. 'abcd', 'abce')",
	      "nearest:  line 1: ...\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	      "abcd\"");
	FAILS("t:assert_match(('x'):rep(500), 'y')",
	      "the text (500 bytes) that ends ...\"xxx");
}

static void long_strings_are_shown_where_they_differ(void **state)
{
	(void)state;
	FAILS("local x, y = ('x'):rep(3000), ('y'):rep(3000) "
	      "t:assert_eq(x .. 'A' .. y, x .. 'B' .. y)",
	      "the strings (6001 and 6001 bytes) differ from byte 3001 on\n"
	      "  got:      ...\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxA");
	FAILS("t:assert_eq(('x'):rep(300), ('x'):rep(299))",
	      "(300 and 299 bytes) differ from byte 300 on");
	FAILS("local x = 'a\\n' .. ('x'):rep(3000) "
	      "t:assert_eq(x .. 'A', x .. 'B')",
	      "  - ...\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxB\" "
	      "(no newline)\n"
	      "  + ...\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxA\" ");
}

static void no_value_is_too_much_to_compare(void **state)
{
	(void)state;
	FAILS("t:assert_eq(0/0, 0/0)", "a nan is equal to nothing");
	FAILS("t:assert_eq({0/0}, {0/0})", "[1]: got nan, expected nan");
	/* Deeper than any stack. */
	FAILS("local function chain(v) for _ = 1, 1e5 do v = {v} end "
	      "return v end "
	      "t:assert_eq(chain(1), chain(1)) t:assert_eq(chain(1), chain(2))",
	      "[1]: got 1, expected 2");
	FAILS("local function ring(n) local r = {n = n} r.me = r return r end "
	      "t:assert_eq(ring(1), ring(1)) t:assert_eq(ring(1), ring(2))",
	      ".n: got 1, expected 2");
}

/* What t:log() shows of the expression, as the body of a test that compares. */
#define SHOWS(expr, want)                                                      \
	FAILS("local v = " expr " t:assert_neq(v, v)", "both values "          \
						       "are " want)

static void numbers_have_the_digits_that_tell_them_apart(void **state)
{
	(void)state;
	FAILS("t:assert_eq(0.1 + 0.2, 0.3)",
	      "got:      0.30000000000000004\n  expected: 0.3");
	FAILS("t:assert_eq(2^53, 2^53 + 2)",
	      "got:      9007199254740992\n  expected: 9007199254740994");
	FAILS("t:assert_eq({at = 1796014709.892221}, {at = 1796014709.892222})",
	      ".at: got 1796014709.892221, expected 1796014709.892222");
	FAILS("t:assert_eq(1e300, 1.0000000000000002e300)",
	      "got:      1e+300\n  expected: 1.0000000000000002e+300");
	FAILS(
	    "t:assert_neq({2^60, 1e15, -2^53, 1/3}, {2^60, 1e15, -2^53, 1/3})",
	    "{1152921504606846976, 1e+15, -9007199254740992, "
	    "0.3333333333333333}");
}

static void a_number_equals_an_integer_of_64_bits_exactly(void **state)
{
	(void)state;
	FAILS("t:assert_eq(5LL, 5.5)", "got:      5LL\n  expected: 5.5");
	FAILS("t:assert_eq({5.5}, {5ULL})", "[1]: got 5.5, expected 5ULL");
	FAILS("t:assert_eq(-1LL, 18446744073709551615ULL)",
	      "got:      -1LL\n  expected: 18446744073709551615ULL");
	FAILS("t:assert_eq(-1, 18446744073709551615ULL)", "got:      -1");
	FAILS("t:assert_eq(2^63, 9223372036854775807LL)",
	      "got:      9223372036854775808");
	FAILS("t:assert_eq(0/0, 0LL)", "got:      nan");
	FAILS("t:assert_eq(require('ffi').new('double', 5.5), 5.25)",
	      "values differ");
	PASSES("t:assert_eq(5LL, 5) t:assert_eq(5, 5ULL) "
	       "t:assert_eq(5LL, 5ULL) t:assert_eq(-2^63, -2LL^63) "
	       "t:assert_eq(2^63, 2ULL^63) t:assert_neq(5.5, 5LL)");
	PASSES("t:assert_eq(require('ffi').new('int', 5), 5)");
}

static void holes_are_shown(void **state)
{
	(void)state;
	SHOWS("{nil, 2}", "{nil, 2}");
	SHOWS("json.decode('[1,null,3]')", "{1, nil, 3}");
	SHOWS("{1, [9] = 2}", "{1, [9] = 2}");
	SHOWS("{[2^40] = 1, [0] = 2, [1.5] = 3}",
	      "{[0] = 2, [1.5] = 3, [1099511627776] = 1}");
}

static void a_table_is_shown_once(void **state)
{
	(void)state;
	SHOWS("{{}} v.me = v v.a = {b = v[1]}",
	      "{{}, a = {b = (the same table as [1])}, "
	      "me = (the whole table again)}");
	/* Eight that list each other were 15 seconds. */
	SHOWS("{} for i = 1, 200 do v[i] = {} end "
	      "for i = 1, 200 do for k = 1, 200 do v[i][k] = v[k] end end",
	      "{\n  {\n");
}

/* The bytes of what is said of the failure. */
static size_t message_length(const char *body)
{
	struct lua_run r;
	char *text = mem_printf("test('x', function(t) %s end)\n", body);

	lua_run_init(&r);
	lua_run(&r, text);
	size_t n = json_string_length(
	    json_object_get(lua_run_event(&r, "test_end", 0), "message"));
	assert_true(n > 0);
	lua_run_done(&r);
	free(text);
	return n;
}

static void what_is_shown_has_a_limit(void **state)
{
	static const char *const bodies[] = {
	    "local v = {} for i = 1, 100000 do v[i] = i end "
	    "t:assert_eq(v, nil)",
	    "local v = {} for i = 1, 100000 do v[i] = i end "
	    "t:assert_eq(v, {})",
	    "local v = {} for i = 1, 100000 do v['k' .. i] = {i} end "
	    "t:assert_neq(v, v)",
	    "local v = {} for i = 1, 100 do v[i] = ('\\1'):rep(1000) end "
	    "t:assert_neq(v, v)",
	    "t:assert_neq(('\\1'):rep(1e6), ('\\1'):rep(1e6))",
	    "local v = {[('k'):rep(1e5)] = 1} t:assert_eq(v, {})",
	    "local v = setmetatable({}, {__tostring = function() "
	    "return ('x'):rep(1e6) end}) t:assert_eq({v}, {v, 1})",
	    "local function deep(v) for i = 1, 1e5 do v = {v} end return v end "
	    "t:assert_eq(deep(1), deep(2))",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		if (message_length(bodies[i]) > 12000)
			fail_msg("%s\nsays %zu bytes", bodies[i],
				 message_length(bodies[i]));
	SHOWS("{} for i = 1, 1000 do v[i] = i end", "{\n  1, 2, 3, ");
	FAILS("local v = {} for i = 1, 1000 do v[i] = i end "
	      "t:assert_neq(v, v)",
	      "... 801 more");
}

/* A tree of 300 nodes of which each knows its parent. */
#define TREE                                                                   \
	"local function tree(leaf) local all = {{n = 1}} "                     \
	"for i = 2, 300 do local up = all[math.floor(i / 2)] "                 \
	"all[i] = {n = i, parent = up} "                                       \
	"up[#up + 1] = all[i] end all[300].n = leaf return all[1] end "

static void linked_tables_are_compared_once(void **state)
{
	(void)state;
	FAILS(TREE "t:assert_eq(tree(0), tree(1))",
	      "the tables differ:\n"
	      "  [1][1][2][1][2][2][1][1].n: got 0, expected 1");
	assert_true(message_length(TREE "t:assert_eq(tree(0), tree(1))") < 200);
	PASSES(TREE "t:assert_eq(tree(0), tree(0))");
	/* Of as many pairs as there are nodes squared, few must be looked at.
	 */
	PASSES("local function ring(n) local all = {} "
	       "for i = 1, n do all[i] = {} end "
	       "for i = 1, n do all[i].to = all[i % n + 1] end "
	       "return all[1] end t:assert_eq(ring(9973), ring(10007))");
}

/* Runs one test, and looks for the n bytes at part in its message or reason. */
static void says(const char *rest, const char *part, size_t n)
{
	struct lua_run r;
	char *text = mem_printf("test('x', %s\n", rest);

	lua_run_init(&r);
	lua_run(&r, text);
	const json_t *ev = lua_run_event(&r, "test_end", 0);
	const json_t *said = json_object_get(ev, "message");
	if (!said)
		said = json_object_get(ev, "reason");
	if (!json_is_string(said))
		fail_msg("%s\nsays nothing", rest);
	if (!memmem(json_string_value(said), json_string_length(said), part, n))
		fail_msg("%s\nsays %s", rest, json_string_value(said));
	lua_run_done(&r);
	free(text);
}

static void no_text_ends_at_its_first_nul_byte(void **state)
{
	static const char *const rests[] = {
	    "function(t) t:fail('a\\0why') end)",
	    "function(t) t:assert(false, 'a\\0why') end)",
	    "function(t) t:assert_eq(1, 2, 'a\\0why') end)",
	    "function(t) error('a\\0why') end)",
	    "function(t) error('a\\0why', 0) end)",
	    "function(t) assert(nil, 'a\\0why') end)",
	    "function(t) error(setmetatable({}, {__tostring = function() "
	    "return 'a\\0why' end})) end)",
	    "function(t) t:skip('a\\0why') end)",
	    "{skip = 'a\\0why'}, print)",
	    "print) todo('a\\0why')",
	    "function(t) wait_until(print, {timeout = 0, desc = 'a\\0why'}) "
	    "end)",
	    "function(t) provium.all(function() error('a\\0why') end) end)",
	    "function(t) provium.race(function() t:fail('a\\0why') end) end)",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rests); i++)
		says(rests[i], "a\0why", 5);
}

static void a_file_that_fails_says_all_of_it(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "error('a\\0why')\n");
	const json_t *said =
	    json_object_get(lua_run_event(&r, "file_error", 0), "message");
	assert_int_equal(json_string_length(said),
			 sizeof("x.test.lua:1: a\0why") - 1);
	assert_memory_equal(json_string_value(said), "x.test.lua:1: a\0why",
			    sizeof("x.test.lua:1: a\0why") - 1);
	lua_run_done(&r);
}

static void names_are_compared_to_their_last_byte(void **state)
{
	(void)state;
	FAILS("provium:bridge('b', {['ipv6\\0x'] = true})",
	      "unknown option 'ipv6\\x00x'; valid:");
	FAILS("provium['timeout\\0x'] = 3", "unknown setting 'timeout\\x00x'");
	PASSES("t:assert_eq(provium['vm\\0x'], nil)");
	FAILS("provium:vm('v'):clock():advance('-2s\\0x')", "holds a NUL byte");
}

static void file_error_is(const char *text, const char *want)
{
	struct lua_run r;

	lua_run_init(&r);
	lua_run(&r, text);
	const json_t *ev = lua_run_event(&r, "file_error", 0);
	assert_non_null(ev);
	assert_string_equal(json_string_value(json_object_get(ev, "message")),
			    want);
	lua_run_done(&r);
}

static void a_key_of_meta_holds_no_nul_byte(void **state)
{
	(void)state;
	file_error_is("test('x', {['slow\\0x'] = true}, print)\n",
		      "x.test.lua:1: test: a key of meta holds a NUL byte");
	file_error_is("test('x', {spec = {['a\\0b'] = 1}}, print)\n",
		      "x.test.lua:1: test: a key holds a NUL byte");
}

static void assert_is_that_of_lua(void **state)
{
	(void)state;
	PASSES("t:assert_eq({assert(1, nil, 3)}, {1, nil, 3})");
	PASSES("t:assert_eq({pcall(assert, false, 'x')}, {false, 'x'})");
	PASSES("local e = {} local _, is = pcall(assert, nil, e) "
	       "t:assert(rawequal(e, is))");
	PASSES("local _, is = pcall(function() assert(nil, 'x') end) "
	       "t:assert_eq(is, 'x.test.lua:1: x')");
	FAILS("assert(false)", "assertion failed!");
	FAILS("assert()", "bad argument #1 to 'assert'");
}

static void misuse_of_assertions_is_an_error(void **state)
{
	(void)state;
	FAILS("t.fail('x')", "call it with a colon");
	/* Nothing is cut off. */
	FAILS("wait_until(print, {timeout = '5s\\0junk'})",
	      "timeout holds a NUL byte");
	FAILS("t:assert()", "t:assert: needs a condition");
	FAILS("t:assert_contains(nil, 'x')", "text must be a string");
	FAILS("t:assert_match('x', '[')", "bad pattern");
	FAILS("t:assert_raises(1)", "fn must be a function, got a number");
}

static void a_swallowed_failure_fails_the_test(void **state)
{
	(void)state;
	FAILS("pcall(function() t:assert(false, 'swallowed') end)",
	      "swallowed");
	FAILS("coroutine.wrap(function() pcall(t.fail, t, 'co') end)()", "co");
}

/* What is told of it while the test goes on. */
static void a_mark_is_told_at_the_next_wait(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "local function wait() provium.all(function() "
		    "wait_until(function() return true end) end) end\n"
		    "test('x', function(t)\n"
		    "  t:assert_raises(function() pcall(t.fail, t, 'taken') "
		    "wait() error('back') end)\n"
		    "  pcall(t.fail, t, 'a') wait() wait() end)\n"
		    "test('y', {retries = 1}, function(t)\n"
		    "  pcall(t.fail, t, 'b') wait() end)\n");
	/* The second attempt of y takes back that of the first. */
	static const char *const want[] = {"taken", NULL, "a", "b", NULL, "b"};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		const json_t *ev = lua_run_event(&r, "marked", i);
		const char *is =
		    json_string_value(json_object_get(ev, "message"));

		assert_non_null(ev);
		if (want[i])
			assert_string_equal(is, want[i]);
		else
			assert_null(is);
	}
	assert_null(lua_run_event(&r, "marked", ARRAY_LEN(want)));
	lua_run_done(&r);
}

static void an_error_that_was_caught_fails_nothing(void **state)
{
	(void)state;
	PASSES("pcall(error, 'x')");
}

static void assert_raises_restores_the_mark(void **state)
{
	(void)state;
	PASSES("local e = t:assert_raises(function() t:fail('x') end) "
	       "t:assert_eq(e, 'x.test.lua:1: x')");
	FAILS("pcall(t.fail, t, 'first') "
	      "t:assert_raises(function() t:fail('second') end)",
	      "first");
	FAILS("t:assert_raises(function() end)", "no error was raised");
	PASSES("t:assert_eq(t:assert_raises(function() error({1}) end), {1})");
}

static void skip_ends_the_test(void **state)
{
	(void)state;
	lua_run_expect("t:skip('no') error('x')", "skipped", NULL);
	lua_run_expect("t:assert_raises(function() t:skip() end)", "skipped",
		       NULL);
	FAILS("pcall(t.fail, t, 'x') t:skip()", "x");
}

static void name_and_meta_are_there(void **state)
{
	(void)state;
	PASSES("t:assert_eq(t.name, 'x') t:assert_eq(t.meta, {})");
}

static void a_context_cannot_be_used_after_its_test(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r, "local old\n"
		    "test('a', function(t) old = t end)\n"
		    "test('b', function(t) old:fail('x') end)\n");
	assert_string_equal(lua_run_end(&r, "b", "message"),
			    "t:fail: this context's test is over");
	lua_run_done(&r);
}

static void wait_until_returns_the_value(void **state)
{
	(void)state;
	PASSES("local n = 0 t:assert_eq(wait_until(function() n = n + 1 "
	       "return n > 2 and n end, {interval = '1ms'}), 3)");
	PASSES("t:assert_eq(wait_until(function() return 1 end, "
	       "{timeout = 0}), 1)");
}

static void wait_until_says_what_did_not_come(void **state)
{
	(void)state;
	FAILS("wait_until(function() end, {timeout = 0.02, desc = 'rain'})",
	      "wait_until: rain not met within 0.02s");
	FAILS("wait_until(function() error('inner') end)", "inner");
	FAILS("wait_until(function() end, {timout = 1})",
	      "unknown option 'timout'; valid: timeout, interval, desc");
	FAILS("wait_until(function() end, {timeout = 0/0})",
	      "timeout must be a finite duration");
	FAILS("wait_until(function() end, {timeout = -1})",
	      "timeout must be a finite duration of 0 or more, got -1");
	FAILS("wait_until(function() end, {timeout = '5 apples'})",
	      "timeout '5 apples' is no duration");
}

static void wait_until_zero_polls_once(void **state)
{
	(void)state;
	PASSES("local n = 0 pcall(wait_until, function() n = n + 1 end, "
	       "{timeout = 0}) t:assert_eq(n, 1)");
}

static void json_keeps_values(void **state)
{
	(void)state;
	PASSES("for _, s in ipairs({'{\"a\":[1,2.5,\"x\"],\"b\":true}', "
	       "'[]', '{}', '[{}]', '9007199254740993', '\"\\\\u0000\"'}) do "
	       "t:assert_eq(json.encode(json.decode(s)), s) end");
	PASSES("t:assert_eq(json.encode({1, nil, 3}), '[1,null,3]')");
	PASSES("t:assert_eq(json.decode('null'), nil)");
	PASSES("t:assert(json.decode('9007199254740993') == "
	       "9007199254740993LL)");
	PASSES("t:assert_eq(type(json.decode('9007199254740992')), 'number')");
}

static void json_is_read_as_programs_print_it(void **state)
{
	(void)state;
	PASSES("t:assert_eq(json.decode('{\"a\":1,\"b\":3,\"a\":2}'), "
	       "{a = 2, b = 3})");
	PASSES("t:assert_eq(json.decode('{\"a\":1,\"a\":null}'), {})");
	PASSES("local v = {['a\\0b'] = {['\\0'] = 1}} "
	       "t:assert_eq(json.decode(json.encode(v)), v)");
	PASSES("t:assert_eq(json.decode('[1e400,-1e400]'), "
	       "{math.huge, -math.huge})");
	PASSES("t:assert_eq(json.decode('18446744073709551616'), 2^64)");
	PASSES("t:assert_eq(json.decode('18446744073709551615'), "
	       "18446744073709551615ULL)");
	PASSES("t:assert_eq(json.decode(' [\"\\\\u0000\", 1.5, true] '), "
	       "{'\\0', 1.5, true})");
	PASSES("t:assert_eq(json.encode(json.decode('[{},[]]')), '[{},[]]')");
	/* As deep as it is taken, and deeper. */
	PASSES("local n = 2048 "
	       "json.decode(('['):rep(n) .. (']'):rep(n))");
	FAILS(
	    "local n = 2049 json.decode(('['):rep(n) .. (']'):rep(n))",
	    "json.decode: line 1, column 2049: arrays and objects are nested");
}

static void json_refuses_what_has_no_form(void **state)
{
	(void)state;
	FAILS("json.encode({print})", "json.encode: a function has no JSON");
	FAILS("local a = {} a.a = a json.encode(a)", "a cycle?");
	FAILS("json.encode(0/0)", "is not a JSON number");
	FAILS("json.encode({1, a = 2})", "both names and positions");
	FAILS("json.encode('\\255')", "not UTF-8");
	FAILS("json.encode({[true] = 1})", "a key must be a string");
}

static void json_errors_give_line_and_column(void **state)
{
	(void)state;
	FAILS("json.decode('[1,\\n2,]')", "json.decode: line 2, column");
	FAILS("json.decode('')", "json.decode: line 1");
	FAILS("json.decode(5)", "text must be a string, got a number");
}

static void a_tmpdir_goes_with_its_test(void **state)
{
	struct lua_run r;

	(void)state;
	lua_run_init(&r);
	lua_run(&r,
		"local d\n"
		"test('a', function(t) d = t:tmpdir() "
		"t:assert_neq(d, t:tmpdir()) "
		"assert(io.open(d .. '/f', 'w')):close() end)\n"
		"test('b', function(t) t:assert_eq(io.open(d .. '/f'), nil) "
		"t:assert(not os.rename(d, d)) end)\n");
	assert_string_equal(lua_run_end(&r, "a", "status"), "passed");
	assert_string_equal(lua_run_end(&r, "b", "status"), "passed");
	lua_run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(assertions_pass_on_what_holds),
	    cmocka_unit_test(assertions_say_what_is_wrong),
	    cmocka_unit_test(tables_that_differ_are_told_by_path),
	    cmocka_unit_test(texts_that_differ_are_told_by_line),
	    cmocka_unit_test(each_place_where_texts_differ_is_shown),
	    cmocka_unit_test(a_long_text_without_the_part_is_not_shown_whole),
	    cmocka_unit_test(long_strings_are_shown_where_they_differ),
	    cmocka_unit_test(no_value_is_too_much_to_compare),
	    cmocka_unit_test(numbers_have_the_digits_that_tell_them_apart),
	    cmocka_unit_test(a_number_equals_an_integer_of_64_bits_exactly),
	    cmocka_unit_test(holes_are_shown),
	    cmocka_unit_test(a_table_is_shown_once),
	    cmocka_unit_test(what_is_shown_has_a_limit),
	    cmocka_unit_test(linked_tables_are_compared_once),
	    cmocka_unit_test(no_text_ends_at_its_first_nul_byte),
	    cmocka_unit_test(a_file_that_fails_says_all_of_it),
	    cmocka_unit_test(names_are_compared_to_their_last_byte),
	    cmocka_unit_test(a_key_of_meta_holds_no_nul_byte),
	    cmocka_unit_test(assert_is_that_of_lua),
	    cmocka_unit_test(misuse_of_assertions_is_an_error),
	    cmocka_unit_test(a_swallowed_failure_fails_the_test),
	    cmocka_unit_test(a_mark_is_told_at_the_next_wait),
	    cmocka_unit_test(an_error_that_was_caught_fails_nothing),
	    cmocka_unit_test(assert_raises_restores_the_mark),
	    cmocka_unit_test(skip_ends_the_test),
	    cmocka_unit_test(name_and_meta_are_there),
	    cmocka_unit_test(a_context_cannot_be_used_after_its_test),
	    cmocka_unit_test(wait_until_returns_the_value),
	    cmocka_unit_test(wait_until_says_what_did_not_come),
	    cmocka_unit_test(wait_until_zero_polls_once),
	    cmocka_unit_test(json_keeps_values),
	    cmocka_unit_test(json_is_read_as_programs_print_it),
	    cmocka_unit_test(json_refuses_what_has_no_form),
	    cmocka_unit_test(json_errors_give_line_and_column),
	    cmocka_unit_test(a_tmpdir_goes_with_its_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
