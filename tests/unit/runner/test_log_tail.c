/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/buf.h"
#include "runner/log_tail.h"

static void add(struct log_tail *t, const char *s)
{
	log_tail_add(t, s, strlen(s));
}

static void check(const struct log_tail *t, size_t max_lines, size_t max_bytes,
		  const char *want)
{
	struct buf out = {0};

	log_tail_write(t, max_lines, max_bytes, &out);
	buf_append(&out, "", 1);
	assert_string_equal((char *)buf_data(&out), want);
	buf_done(&out);
}

static void a_short_log_is_shown_whole(void **state)
{
	struct log_tail t = {0};

	(void)state;
	check(&t, 10, 100, "");
	add(&t, "one");
	add(&t, "two\n");
	add(&t, "");
	add(&t, "three\nfour");
	check(&t, 10, 100, "one\ntwo\n\nthree\nfour\n");
	log_tail_done(&t);
}

static void a_long_log_shows_its_last_lines_and_counts_the_others(void **state)
{
	struct log_tail t = {0};
	char line[32];

	(void)state;
	for (int i = 1; i <= 1000; i++) {
		snprintf(line, sizeof(line), "line %d", i);
		add(&t, line);
	}
	check(&t, 2, 100, "[998 lines before this]\nline 999\nline 1000\n");
	check(&t, 10, 20, "[998 lines before this]\nline 999\nline 1000\n");
	check(&t, 10, 18, "[999 lines before this]\nline 1000\n");
	log_tail_done(&t);
}

static void one_line_before_is_said_in_the_singular(void **state)
{
	struct log_tail t = {0};

	(void)state;
	add(&t, "a\nb\n");
	check(&t, 1, 100, "[1 line before this]\nb\n");
	log_tail_done(&t);
}

static void memory_is_bounded_and_the_count_is_exact(void **state)
{
	struct log_tail t = {0};
	char line[100];
	size_t n, before;

	(void)state;
	for (int i = 1; i <= 100000; i++) {
		snprintf(line, sizeof(line), "number %d of many lines", i);
		add(&t, line);
		assert_true(t.text.len <= 2 * LOG_TAIL_MAX);
	}
	const char *s = log_tail_last(&t, 1, 100, &n, &before);
	assert_int_equal(before, 99999);
	assert_memory_equal(s, "number 100000 of many lines\n", n);
	log_tail_done(&t);
}

static void a_line_that_does_not_fit_shows_its_end(void **state)
{
	struct log_tail t = {0};
	static char line[3 * LOG_TAIL_MAX];

	(void)state;
	memset(line, 'x', sizeof(line));
	add(&t, "before");
	line[sizeof(line) - 1] = 'z';
	log_tail_add(&t, line, sizeof(line));
	assert_int_equal(t.text.len, LOG_TAIL_MAX);
	check(&t, 200, 4, "[1 line before this]\nxxz\n");
	add(&t, "after");
	check(&t, 200, 6, "[2 lines before this]\nafter\n");
	log_tail_done(&t);
}

static void bytes_of_any_value_are_kept(void **state)
{
	struct log_tail t = {0};
	size_t n, before;

	(void)state;
	log_tail_add(&t, "a\0b\n\xff", 5);
	const char *s = log_tail_last(&t, 9, 99, &n, &before);
	assert_int_equal(n, 6);
	assert_memory_equal(s, "a\0b\n\xff\n", 6);
	assert_int_equal(before, 0);
	log_tail_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_short_log_is_shown_whole),
	    cmocka_unit_test(
		a_long_log_shows_its_last_lines_and_counts_the_others),
	    cmocka_unit_test(one_line_before_is_said_in_the_singular),
	    cmocka_unit_test(memory_is_bounded_and_the_count_is_exact),
	    cmocka_unit_test(a_line_that_does_not_fit_shows_its_end),
	    cmocka_unit_test(bytes_of_any_value_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
