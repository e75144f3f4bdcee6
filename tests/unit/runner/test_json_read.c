/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runner/json_read.h"

struct reading {
	struct json_reader r;
	struct buf string;
};

static void begin(struct reading *x, const char *text, size_t n)
{
	x->string = (struct buf){0};
	json_read_init(&x->r, text, n, &x->string);
}

static void next_is(struct reading *x, enum json_token token)
{
	assert_int_equal(json_read_next(&x->r), token);
}

static void string_is(const struct reading *x, const char *s, size_t n)
{
	assert_int_equal(x->string.len, n);
	if (n)
		assert_memory_equal(buf_data(&x->string), s, n);
}

static void ends(struct reading *x)
{
	next_is(x, JSON_TOKEN_END);
	next_is(x, JSON_TOKEN_END);
	buf_done(&x->string);
}

static void fails(const char *text, size_t n, const char *want)
{
	struct reading x;
	struct err err = {0};
	enum json_token token;

	begin(&x, text, n);
	do
		token = json_read_next(&x.r);
	while (token > JSON_TOKEN_ERROR);
	if (token != JSON_TOKEN_ERROR)
		fail_msg("'%s' is taken", text);
	next_is(&x, JSON_TOKEN_ERROR);
	json_read_error(&x.r, &err);
	assert_string_equal(err.text, want);
	buf_done(&x.string);
}
#define FAILS(text, want) fails(text, sizeof(text) - 1, want)

static void tokens_come_in_the_order_of_the_text(void **state)
{
	static const char text[] = " { \"a\" : [ 1 , null,[],{}] ,\n"
				   "\"b\":true,\"c\":false } \r\n\t";
	static const enum json_token tokens[] = {
	    JSON_TOKEN_OBJECT,	  JSON_TOKEN_KEY,    JSON_TOKEN_ARRAY,
	    JSON_TOKEN_INTEGER,	  JSON_TOKEN_NULL,   JSON_TOKEN_ARRAY,
	    JSON_TOKEN_ARRAY_END, JSON_TOKEN_OBJECT, JSON_TOKEN_OBJECT_END,
	    JSON_TOKEN_ARRAY_END, JSON_TOKEN_KEY,    JSON_TOKEN_TRUE,
	    JSON_TOKEN_KEY,	  JSON_TOKEN_FALSE,  JSON_TOKEN_OBJECT_END,
	};
	struct reading x;

	(void)state;
	begin(&x, text, sizeof(text) - 1);
	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++)
		next_is(&x, tokens[i]);
	ends(&x);
}

static void a_key_may_be_there_twice(void **state)
{
	static const char text[] = "{\"a\":1,\"a\":2}";
	struct reading x;

	(void)state;
	begin(&x, text, sizeof(text) - 1);
	next_is(&x, JSON_TOKEN_OBJECT);
	for (int i = 1; i <= 2; i++) {
		next_is(&x, JSON_TOKEN_KEY);
		string_is(&x, "a", 1);
		next_is(&x, JSON_TOKEN_INTEGER);
		assert_int_equal(x.r.integer, i);
	}
	next_is(&x, JSON_TOKEN_OBJECT_END);
	ends(&x);
}

static void strings_hold_any_character(void **state)
{
	static const char text[] =
	    "{\"\\u0000\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\u20aC\\ud83d"
	    "\\ude00\xc3\xa4\x7f\"}";
	static const char want[] = "\"\\/\b\f\n\r\t\xc3\xa4\xe2\x82\xac"
				   "\xf0\x9f\x98\x80\xc3\xa4\x7f";
	struct reading x;

	(void)state;
	begin(&x, text, sizeof(text) - 1);
	next_is(&x, JSON_TOKEN_OBJECT);
	next_is(&x, JSON_TOKEN_KEY);
	string_is(&x, "", 1);
	next_is(&x, JSON_TOKEN_STRING);
	string_is(&x, want, sizeof(want) - 1);
	next_is(&x, JSON_TOKEN_OBJECT_END);
	ends(&x);
}

static void real_is(const char *text, double want)
{
	struct reading x;

	begin(&x, text, strlen(text));
	next_is(&x, JSON_TOKEN_REAL);
	assert_true(x.r.real == want);
	ends(&x);
}

static void numbers_may_be_of_any_size(void **state)
{
	struct reading x;

	(void)state;
	begin(&x, "-9223372036854775808", 20);
	next_is(&x, JSON_TOKEN_INTEGER);
	assert_true(x.r.integer == INT64_MIN);
	ends(&x);
	begin(&x, "18446744073709551615", 20);
	next_is(&x, JSON_TOKEN_UNSIGNED);
	assert_true(x.r.large == UINT64_MAX);
	ends(&x);
	real_is("18446744073709551616", 18446744073709551616.0);
	real_is("-9223372036854775809", -9223372036854775808.0);
	real_is("1e400", INFINITY);
	real_is("-1E+400", -INFINITY);
	real_is("1e-400", 0);
	real_is("-0.5e-1", -0.05);
	real_is("1.7976931348623157e308", DBL_MAX);
}

static void what_is_no_json_is_refused(void **state)
{
	(void)state;
	FAILS("", "line 1, column 1: the text ends where a value must be");
	FAILS("[1,\n2,]", "line 2, column 3: a value must be here");
	FAILS("[1 2]", "line 1, column 4: a ',' or ']' must be here");
	FAILS("[1", "line 1, column 3: a ',' or ']' must be here");
	FAILS("{\"a\" 1}", "line 1, column 6: a ':' must be here");
	FAILS("{\"a\":1]", "line 1, column 7: a ',' or '}' must be here");
	FAILS("{a:1}", "line 1, column 2: a key in quotes must be here");
	FAILS("{\"a\":1,}", "line 1, column 8: a key in quotes must be here");
	FAILS("1 1", "line 1, column 3: there is more behind the value");
	FAILS("]", "line 1, column 1: a value must be here");
	FAILS("nul", "line 1, column 1: a value must be here");
	FAILS("truest", "line 1, column 5: there is more behind the value");
	FAILS("01", "line 1, column 1: this is no number of JSON");
	FAILS("-", "line 1, column 1: this is no number of JSON");
	FAILS("[1.]", "line 1, column 2: this is no number of JSON");
	FAILS("1e+", "line 1, column 1: this is no number of JSON");
	FAILS("0x1", "line 1, column 2: there is more behind the value");
	FAILS("NaN", "line 1, column 1: a value must be here");
	FAILS("1\0", "line 1, column 2: there is more behind the value");
}

static void what_is_no_string_is_refused(void **state)
{
	(void)state;
	/* Columns count characters. */
	FAILS("\"\xc3\xa4\\x\"", "line 1, column 4: there is no such escape");
	FAILS("\"a", "line 1, column 3: the text ends in a string");
	FAILS("\"\\", "line 1, column 3: there is no such escape");
	FAILS("\"a\n\"",
	      "line 1, column 3: a string holds a control character");
	FAILS("\"\0\"", "line 1, column 2: a string holds a control character");
	FAILS("\"\xff\"", "line 1, column 2: a string is not UTF-8");
	FAILS("\"\\u12g4\"",
	      "line 1, column 6: \\u needs four hexadecimal digits");
	FAILS("\"\\ud83d\"", "line 1, column 4: \\u names half of a character");
	FAILS("\"\\ud83d\\u0041\"",
	      "line 1, column 4: \\u names half of a character");
	FAILS("\"\\ude00\"", "line 1, column 4: \\u names half of a character");
}

static void nesting_has_a_limit(void **state)
{
	static char text[2 * JSON_DEPTH_MAX + 2];
	struct reading x;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	begin(&x, text, 2 * JSON_DEPTH_MAX);
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		next_is(&x, JSON_TOKEN_ARRAY);
	for (int i = 0; i < JSON_DEPTH_MAX; i++)
		next_is(&x, JSON_TOKEN_ARRAY_END);
	ends(&x);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	fails(text, sizeof(text),
	      "line 1, column 2049: arrays and objects are nested too deep");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tokens_come_in_the_order_of_the_text),
	    cmocka_unit_test(a_key_may_be_there_twice),
	    cmocka_unit_test(strings_hold_any_character),
	    cmocka_unit_test(numbers_may_be_of_any_size),
	    cmocka_unit_test(what_is_no_json_is_refused),
	    cmocka_unit_test(what_is_no_string_is_refused),
	    cmocka_unit_test(nesting_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
