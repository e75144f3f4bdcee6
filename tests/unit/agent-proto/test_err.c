/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "agent-proto/err.h"

static void set_fills_and_returns_the_code(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(err_set(&err, -ENOENT, "no '%s'", "x"), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	assert_string_equal(err.text, "no 'x'");
}

static void set_without_err_returns_the_code(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, -EIO, "nobody reads %d", 1), -EIO);
	assert_int_equal(err_wrap(NULL, "nobody"), 0);
}

static void wrap_puts_context_in_front(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, -EIO, "inner");
	assert_int_equal(err_wrap(&err, "middle %d", 1), -EIO);
	assert_int_equal(err_wrap(&err, "outer"), -EIO);
	assert_string_equal(err.text, "outer: middle 1: inner");
	assert_int_equal(err.code, -EIO);
}

static void long_texts_are_cut_and_stay_strings(void **state)
{
	char big[2 * ERR_TEXT_MAX];
	struct err err;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&err, -EIO, "%s", big);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	err_wrap(&err, "context");
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_memory_equal(err.text, "context: xxx", 12);
	err_wrap(&err, "%s", big);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
}

static void clear_makes_it_no_error(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, -EIO, "x");
	err_clear(&err);
	assert_int_equal(err.code, 0);
	assert_string_equal(err.text, "");
}

static void deadlines_saturate_at_never(void **state)
{
	int64_t now = clock_now_ns();

	(void)state;
	assert_true(clock_now_ns() >= now);
	assert_true(clock_deadline_ns(CLOCK_NEVER) == CLOCK_NEVER);
	assert_true(clock_deadline_ns(CLOCK_NEVER - 1) == CLOCK_NEVER);
	assert_true(clock_deadline_ns(-5) >= now);
	assert_true(clock_deadline_ns(-5) <= clock_now_ns());
	assert_true(clock_deadline_ns(NS_PER_SEC) >= now + NS_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(set_fills_and_returns_the_code),
	    cmocka_unit_test(set_without_err_returns_the_code),
	    cmocka_unit_test(wrap_puts_context_in_front),
	    cmocka_unit_test(long_texts_are_cut_and_stay_strings),
	    cmocka_unit_test(clear_makes_it_no_error),
	    cmocka_unit_test(deadlines_saturate_at_never),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
