/* SPDX-License-Identifier: MIT */
#include "runner/json_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "agent-proto/mem.h"

static void expect(const char *want, json_t *take_v, size_t flags)
{
	char *got = json_text(take_v, flags);

	assert_non_null(got);
	assert_string_equal(got, want);
	free(got);
	json_decref(take_v);
}

static void a_real_has_the_digits_that_tell_it(void **state)
{
	static const struct {
		double n;
		const char *want;
	} rows[] = {
	    {0.1, "0.1"},
	    {0.1 + 0.2, "0.30000000000000004"},
	    {0.3, "0.3"},
	    {1, "1.0"},
	    {-2.5e-300, "-2.5e-300"},
	    {1e300, "1e+300"},
	    {9007199254740994., "9007199254740994.0"},
	    {1764495051.123457, "1764495051.123457"},
	    {0.123456789, "0.123456789"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].want, json_real(rows[i].n), JSON_ENCODE_ANY);
}

static void all_but_reals_is_as_it_was(void **state)
{
	(void)state;
	expect("{\"a\":[1,-2,0.5,true,null,\"1.50000 \\\"2.50000\\\\\"],"
	       "\"0.10000\":{}}",
	       json_pack("{s:[i,i,f,b,n,s], s:{}}", "a", 1, -2, 0.5, 1,
			 "1.50000 \"2.50000\\", "0.10000"),
	       JSON_COMPACT);
	expect("[\n 0.1,\n \"\\u00E4\"\n]", json_pack("[f,s]", 0.1, "\xc3\xa4"),
	       JSON_INDENT(1) | JSON_ENSURE_ASCII);
}

static void what_has_no_text_has_none(void **state)
{
	(void)state;
	assert_null(json_text(NULL, 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_real_has_the_digits_that_tell_it),
	    cmocka_unit_test(all_but_reals_is_as_it_was),
	    cmocka_unit_test(what_has_no_text_has_none),
	};

	return cmocka_run_group_tests_name("json_text", tests, NULL, NULL);
}
