/* SPDX-License-Identifier: MIT */
/* string.pack and the other functions of later Luas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/runner/lib_lua.h"

#define PASSES(body)	  lua_run_expect(body, "passed", NULL)
#define FAILS(body, part) lua_run_expect(body, "failed", part)

static void integers_are_packed_in_either_order(void **state)
{
	(void)state;
	PASSES("t:assert_eq(string.pack('<i4', 1), '\\1\\0\\0\\0') "
	       "t:assert_eq(string.pack('>i4', 1), '\\0\\0\\0\\1') "
	       "t:assert_eq(string.pack('=I2', 258), '\\2\\1') "
	       "t:assert_eq(string.pack('b', -1), '\\255') "
	       "t:assert_eq(string.pack('>i3', -2), '\\255\\255\\254') "
	       "t:assert_eq(string.pack('<i10', -1), ('\\255'):rep(10))");
	PASSES("t:assert_eq({string.unpack('<i4>i2B', '\\255\\255\\255\\255"
	       "\\0\\7\\200')}, {-1, 7, 200, 8})");
}

static void all_64_bits_survive(void **state)
{
	(void)state;
	PASSES("for _, v in ipairs({0x7fffffffffffffffLL, "
	       "-0x7fffffffffffffffLL - 1, 9007199254740993LL}) do "
	       "t:assert(string.unpack('<i8', string.pack('<i8', v)) == v) "
	       "end "
	       "local u = 0xffffffffffffffffULL "
	       "t:assert(string.unpack('>J', string.pack('>J', u)) == u) "
	       "t:assert(string.unpack('<I16', string.pack('<I16', u)) == u)");
}

static void floats_keep_their_bits(void **state)
{
	(void)state;
	PASSES("t:assert_eq(string.pack('<d', 1), '\\0\\0\\0\\0\\0\\0\\240?') "
	       "t:assert_eq(string.unpack('>f', string.pack('>f', 0.5)), 0.5) "
	       "t:assert_eq(string.unpack('n', string.pack('n', 0.1)), 0.1)");
}

static void strings_come_in_three_forms(void **state)
{
	(void)state;
	PASSES("t:assert_eq(string.pack('<s1', 'ab'), '\\2ab') "
	       "t:assert_eq(string.pack('z', 'ab'), 'ab\\0') "
	       "t:assert_eq(string.pack('c4', 'ab'), 'ab\\0\\0') "
	       "t:assert_eq({string.unpack('<s2zc2', '\\1\\0xyz\\0ab')}, "
	       "{'x', 'yz', 'ab', 9})");
}

static void alignment_pads(void **state)
{
	(void)state;
	PASSES("t:assert_eq(string.pack('<!4 b i4', 1, 2), "
	       "'\\1\\0\\0\\0\\2\\0\\0\\0') "
	       "t:assert_eq(string.packsize('<!8 b Xd d'), 16) "
	       "t:assert_eq(string.packsize('<!2 b i8'), 10) "
	       "t:assert_eq(string.packsize('b i8 x'), 10) "
	       "t:assert_eq({string.unpack('<!4 b i4', "
	       "string.pack('<!4 b i4', 1, 2))}, {1, 2, 9})");
}

static void positions_are_counted_as_lua_does(void **state)
{
	(void)state;
	PASSES("t:assert_eq({string.unpack('B', 'abc', 2)}, {98, 3}) "
	       "t:assert_eq({string.unpack('B', 'abc', -1)}, {99, 4}) "
	       "t:assert_eq({string.unpack('', 'abc', 4)}, {4})");
	FAILS("string.unpack('B', 'abc', 5)", "position must be -3 to 4");
}

static void errors_name_the_option_or_the_value(void **state)
{
	(void)state;
	FAILS("string.pack('i4 q', 1)",
	      "string.pack: format option 'q' at 4: there is no such option");
	FAILS("string.pack('i17', 1)", "an integer has 1 to 16 bytes");
	FAILS("string.pack('c', 'x')", "needs a size");
	FAILS("string.pack('!3 i4', 1)", "power of 2");
	FAILS("string.pack('X', 1)", "needs an option to align to");
	FAILS("string.pack('b', 128)", "value 1 must be -128 to 127, got 128");
	FAILS("string.pack('BB', 1, 256)",
	      "value 2 does not fit 1 bytes without a sign");
	FAILS("string.pack('B', -1)", "does not fit 1 bytes");
	FAILS("string.pack('i4')", "value 1 is missing");
	FAILS("string.pack('z', 'a\\0b')", "value 1 holds a NUL byte");
	FAILS("string.pack('c1', 'ab')", "value 1 is longer than 1 bytes");
	FAILS("string.pack('s1', ('x'):rep(256))", "the length of value 1");
	FAILS("string.unpack('<i4', 'abc')",
	      "too short: 3 bytes from position 1 on, 4 needed");
	FAILS("string.unpack('<s4', '\\255\\255\\255\\255x')", "too short");
	FAILS("string.unpack('z', 'abc')", "has no end");
	FAILS("string.unpack('<i9', ('\\1'):rep(9))", "does not fit 64 bits");
	FAILS("string.packsize('s')", "variable length");
	FAILS("string.pack('c99999999999999999999', '')", "too large");
}

static void labs_pack_too(void **state)
{
	(void)state;
	PASSES("t:assert_eq(provium:pack('>I2', 258), '\\1\\2') "
	       "t:assert_eq(provium:unpack('>I2', '\\1\\2'), 258)");
}

static void tables_and_numbers_have_later_functions(void **state)
{
	(void)state;
	PASSES("t:assert_eq(table.pack(1, nil), {n = 2, 1}) "
	       "t:assert_eq(table.unpack({1, 2}), 1) "
	       "t:assert_eq(table.move({1, 2, 3}, 1, 3, 2), {1, 1, 2, 3}) "
	       "t:assert_eq(table.move({1, 2}, 1, 2, 1, {}), {1, 2}) "
	       "t:assert_eq(math.type(1), 'integer') "
	       "t:assert_eq(math.type(1.5), 'float') "
	       "t:assert_eq(math.type(1LL), 'integer') "
	       "t:assert_eq(math.type('1'), nil) "
	       "t:assert_eq(math.tointeger(3), 3) "
	       "t:assert_eq(math.tointeger('3'), 3) "
	       "t:assert_eq(math.tointeger(3.5), nil)");
}

/* LuaJIT made "" of it, and vm:write_file() an empty file. */
static void a_string_that_cannot_be_is_an_error(void **state)
{
	(void)state;
	FAILS("local x = ('x'):rep(2^31)",
	      "string.rep: the result would have 2147483648 bytes, a string "
	      "holds up to 2147483392");
	FAILS("local x = ('xxxx'):rep(2^30)", "4294967296 bytes");
	FAILS("local x = (''):rep(2^40, '-')", "1099511627775 bytes");
	FAILS("local x = ('x'):rep(2^32 + 3)", "4294967299 bytes");
	FAILS("local x = ('x'):rep(math.huge)", "string.rep: the result");
	FAILS("local x = ('x'):rep(0 / 0)", "string.rep: the result");
	FAILS("local x = ('x'):rep({})", "bad argument #1 to 'rep'");
	PASSES("t:assert_eq({('x'):rep(3), ('x'):rep('2', '-'), "
	       "(''):rep(2^40), ('x'):rep(-2^40)}, {'xxx', 'x-x', '', ''})");
}

static void positions_may_have_more_than_32_bits(void **state)
{
	(void)state;
	PASSES("t:assert_eq({('abc'):sub(2, math.huge), ('abc'):sub(-2^40), "
	       "('abc'):sub(2^40), ('abc'):sub(2, nil)}, {'bc', 'abc', '', "
	       "'bc'}) "
	       "t:assert_eq({('abc'):byte(1, 2^40)}, {97, 98, 99}) "
	       "t:assert_eq(('abc'):find('b', 2^32 + 1), nil) "
	       "t:assert_eq(('abc'):match('b', 2^32 + 1), nil) "
	       "t:assert_eq(('a.b'):find('.', 1, true), 2) "
	       "t:assert_eq({('aaa'):gsub('a', 'b', math.huge)}, {'bbb', 3})");
	FAILS("table.concat({'a'}, ',', 1, 2^32 + 2)", "at index 2");
	FAILS("unpack({1}, 1, 2^32 + 1)", "too many results to unpack");
	FAILS("local x = ('x'):sub({})",
	      "bad argument #1 to 'sub' (number expected, got table)");
}

static void utf8_is_there(void **state)
{
	(void)state;
	PASSES(
	    "local s = utf8.char(97, 228, 8364, 128512) "
	    "t:assert_eq(s, 'a\\195\\164\\226\\130\\172\\240\\159\\152\\128')"
	    " t:assert_eq(utf8.len(s), 4) "
	    "t:assert_eq({utf8.codepoint(s, 1, -1)}, "
	    "{97, 228, 8364, 128512}) "
	    "local at = {} for p, c in utf8.codes(s) do at[#at + 1] = p end "
	    "t:assert_eq(at, {1, 2, 4, 7}) "
	    "t:assert_eq(utf8.offset(s, 3), 4) "
	    "t:assert_eq(utf8.offset(s, -1), 7) "
	    "t:assert_eq({utf8.len('a\\255')}, {nil, 2}) "
	    "t:assert_eq({utf8.len('\\192\\128')}, {nil, 1}) "
	    "t:assert_eq(s:match(utf8.charpattern, 2), '\\195\\164')");
	FAILS("utf8.codepoint('\\255')", "invalid UTF-8");
	FAILS("utf8.char(-1)", "bad code point -1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(integers_are_packed_in_either_order),
	    cmocka_unit_test(all_64_bits_survive),
	    cmocka_unit_test(floats_keep_their_bits),
	    cmocka_unit_test(strings_come_in_three_forms),
	    cmocka_unit_test(alignment_pads),
	    cmocka_unit_test(positions_are_counted_as_lua_does),
	    cmocka_unit_test(errors_name_the_option_or_the_value),
	    cmocka_unit_test(labs_pack_too),
	    cmocka_unit_test(tables_and_numbers_have_later_functions),
	    cmocka_unit_test(a_string_that_cannot_be_is_an_error),
	    cmocka_unit_test(positions_may_have_more_than_32_bits),
	    cmocka_unit_test(utf8_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
