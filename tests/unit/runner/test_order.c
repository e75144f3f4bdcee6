/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runner/order.h"

/* The file's name is what is known of it: f, failed; s, serial; and a digit,
 * its duration. */
static struct order_hint hint_of(void *ctx, const struct test_file *file)
{
	const char *digit = strpbrk(file->display, "123456789");

	(void)ctx;
	return (struct order_hint){
	    .has_failed = strchr(file->display, 'f') != NULL,
	    .is_serial = strchr(file->display, 's') != NULL,
	    .duration_ns = digit ? *digit - '0' : 0,
	};
}

static void failed_ones_come_first_then_the_slowest(void **state)
{
	char names[][4] = {"1", "f1", "a", "3s", "f3", "b", "3"};
	const char *const want[] = {"f3", "f1", "a", "b", "3s", "3", "1"};
	struct test_file v[7] = {0};
	struct test_files files = {.v = v, .n = 7};

	(void)state;
	for (int i = 0; i < 7; i++)
		v[i].display = names[i];
	order_files(&files, hint_of, NULL);
	for (int i = 0; i < 7; i++) {
		assert_string_equal(v[i].display, want[i]);
		assert_int_equal(v[i].is_serial, i == 4);
	}
	files.n = 0;
	order_files(&files, hint_of, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(failed_ones_come_first_then_the_slowest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
