/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/event.h"

static void an_event_survives_the_line(void **state)
{
	struct buf b = {0};
	struct err err;
	json_t *ev = event_begin("log");

	(void)state;
	json_object_set_new(ev, "text", event_string("a\nb\0c", 5));
	json_object_set_new(ev, "line", json_integer(INT64_MAX));
	event_encode(ev, &b);
	assert_int_equal(buf_data(&b)[b.len - 1], '\n');
	assert_null(memchr(buf_data(&b), '\n', b.len - 1));

	json_t *back = event_decode((char *)buf_data(&b), b.len - 1, &err);
	assert_non_null(back);
	assert_int_equal(json_integer_value(json_object_get(back, "line")),
			 INT64_MAX);
	assert_int_equal(json_string_length(json_object_get(back, "text")), 5);
	double age =
	    (double)time(NULL) - json_real_value(json_object_get(back, "time"));
	assert_true(age > -2 && age < 60);
	json_decref(back);
	json_decref(ev);
	buf_done(&b);
}

static void numbers_have_the_digits_that_tell_them(void **state)
{
	static const double all[] = {0.1, 0.1 + 0.2, 1e22, 9007199254740994.};
	struct buf b = {0};
	json_t *ev = event_begin("log"), *list = json_array();
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		json_array_append_new(list, json_real(all[i]));
	json_object_set_new(ev, "list", list);
	event_encode(ev, &b);
	json_t *back = event_decode((char *)buf_data(&b), b.len - 1, &err);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const json_t *v =
		    json_array_get(json_object_get(back, "list"), i);

		assert_true(json_real_value(v) == all[i]);
	}
	buf_append(&b, "", 1);
	assert_non_null(strstr((char *)buf_data(&b),
			       "[0.1,0.30000000000000004,1e+22,"
			       "9007199254740994.0]"));
	json_decref(back);
	json_decref(ev);
	buf_done(&b);
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
	json_t *s = event_string("a\xff\xc3\xa4\xc3", 5);

	(void)state;
	assert_string_equal(json_string_value(s),
			    "a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd");
	json_decref(s);
}

static void a_long_string_is_cut_with_a_note(void **state)
{
	size_t n = EVENT_STRING_MAX + 100;
	char *s = mem_alloc(n);

	(void)state;
	memset(s, 'x', n);
	json_t *js = event_string(s, n);
	assert_in_range(json_string_length(js), EVENT_STRING_MAX,
			EVENT_STRING_MAX + 40);
	assert_non_null(strstr(json_string_value(js), "[100 more bytes]"));
	json_decref(js);
	free(s);
}

static void an_event_too_large_keeps_what_it_is_about(void **state)
{
	char *s = mem_alloc(EVENT_STRING_MAX);
	json_t *ev = event_begin("test_end");
	json_t *console = json_array();
	struct buf b = {0};
	struct err err;

	(void)state;
	memset(s, 'x', EVENT_STRING_MAX);
	for (int i = 0; i < 9; i++)
		json_array_append_new(console,
				      event_string(s, EVENT_STRING_MAX));
	json_object_set_new(ev, "console", console);
	json_object_set_new(ev, "test", event_string(s, EVENT_STRING_MAX));
	json_object_set_new(ev, "status", json_string("failed"));
	event_encode(ev, &b);
	assert_true(b.len < EVENT_LINE_MAX);
	json_t *back = event_decode((char *)buf_data(&b), b.len, &err);
	assert_non_null(back);
	assert_string_equal(json_string_value(json_object_get(back, "status")),
			    "failed");
	assert_non_null(json_object_get(back, "message"));
	assert_null(json_object_get(back, "console"));
	json_decref(back);
	json_decref(ev);
	buf_done(&b);
	free(s);
}

static void what_is_no_event_is_an_error(void **state)
{
	static const char *const bad[] = {"",
					  "{",
					  "[]",
					  "null",
					  "{}",
					  "{\"event\":1}",
					  "{\"event\":\"a\"} x",
					  "\xff",
					  "{\"event\":\"a\",\"event\":\"b\"}"};
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&err);
		assert_null(event_decode(bad[i], strlen(bad[i]), &err));
		assert_int_equal(err.code, -EBADMSG);
		assert_non_null(strstr(err.text, "not an event"));
	}
}

static void a_line_over_the_limit_is_an_error(void **state)
{
	size_t n = EVENT_LINE_MAX + 1;
	char *s = mem_alloc(n);
	struct err err = {0};

	(void)state;
	memset(s, ' ', n);
	assert_null(event_decode(s, n, &err));
	assert_int_equal(err.code, -EMSGSIZE);
	free(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_event_survives_the_line),
	    cmocka_unit_test(numbers_have_the_digits_that_tell_them),
	    cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
	    cmocka_unit_test(a_long_string_is_cut_with_a_note),
	    cmocka_unit_test(an_event_too_large_keeps_what_it_is_about),
	    cmocka_unit_test(what_is_no_event_is_an_error),
	    cmocka_unit_test(a_line_over_the_limit_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
