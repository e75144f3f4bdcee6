/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/config.h"

static uint64_t size_of(const char *s)
{
	uint64_t v = 0;

	assert_int_equal(parse_size(s, &v), 0);
	return v;
}

static int64_t duration_of(const char *s)
{
	int64_t v = 0;

	assert_int_equal(parse_duration(s, &v), 0);
	return v;
}

static void sizes_are_powers_of_1024(void **state)
{
	(void)state;
	assert_int_equal(size_of("0"), 0);
	assert_int_equal(size_of("4096"), 4096);
	assert_int_equal(size_of("3K"), 3 * 1024);
	assert_int_equal(size_of("256M"), 256 * 1024 * 1024);
	assert_int_equal(size_of("1.5G"), UINT64_C(3) << 29);
	assert_int_equal(size_of("2T"), UINT64_C(2) << 40);
	assert_int_equal(size_of("18446744073709551615"), UINT64_MAX);
}

static void malformed_sizes_are_errors(void **state)
{
	static const char *const bad[] = {
	    "",		 "M",	 "-1",	"+1",
	    " 1",	 "1 ",	 "1KB", "256m",
	    "0x10",	 "1e3",	 ".5G", "5.G",
	    "1.5",	 "nan",	 "inf", "18446744073709551616",
	    "16777216T", "1..5G"};
	uint64_t v = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_size(bad[i], &v), -EINVAL);
	assert_int_equal(v, 77);
}

static void durations_have_units(void **state)
{
	(void)state;
	assert_int_equal(duration_of("0s"), 0);
	assert_int_equal(duration_of("500ms"), 500 * NS_PER_MS);
	assert_int_equal(duration_of("1.5s"), 1500 * NS_PER_MS);
	assert_int_equal(duration_of("0.1s"), 100 * NS_PER_MS);
	assert_int_equal(duration_of("2m"), 120 * NS_PER_SEC);
	assert_int_equal(duration_of("1h"), 3600 * NS_PER_SEC);
}

static void malformed_durations_are_errors(void **state)
{
	static const char *const bad[] = {"",
					  "s",
					  "1",
					  "1.5",
					  "-1s",
					  "1S",
					  "1 s",
					  "1sec",
					  "nans",
					  "infs",
					  "1e3s",
					  "1.s",
					  ".1s",
					  "9223372037s",
					  "99999999999999999999s",
					  "9223372036854775807h"};
	int64_t v = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_duration(bad[i], &v), -EINVAL);
	assert_int_equal(v, 77);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sizes_are_powers_of_1024),
	    cmocka_unit_test(malformed_sizes_are_errors),
	    cmocka_unit_test(durations_have_units),
	    cmocka_unit_test(malformed_durations_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
