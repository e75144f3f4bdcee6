/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/alarm_rules.h"

static void a_rule_excuses_its_own_lines(void **state)
{
	struct alarm_rules r = {0};

	(void)state;
	alarm_rules_add(&r, "BUG:");
	alarm_rules_add(&r, "WARNING:");
	alarm_rules_except(&r, "harmless");
	alarm_rules_except(&r, "known");
	assert_true(alarm_rules_hold(&r, "BUG:", "a harmless BUG: x"));
	assert_true(alarm_rules_hold(&r, "WARNING:", "WARNING: x"));
	assert_false(alarm_rules_hold(&r, "WARNING:", "WARNING: harmless"));
	assert_false(alarm_rules_hold(&r, "WARNING:", "known WARNING: x"));
	assert_false(alarm_rules_hold(&r, "KASAN", "KASAN"));
	alarm_rules_done(&r);
	assert_false(alarm_rules_hold(&r, "BUG:", "BUG:"));
}

/* Each rule has its say. */
static void a_text_may_have_two_rules(void **state)
{
	struct alarm_rules r = {0};

	(void)state;
	alarm_rules_add(&r, "x");
	alarm_rules_except(&r, "one");
	alarm_rules_add(&r, "x");
	alarm_rules_except(&r, "two");
	assert_true(alarm_rules_hold(&r, "x", "x one"));
	assert_true(alarm_rules_hold(&r, "x", "x two"));
	assert_false(alarm_rules_hold(&r, "x", "x one two"));
	alarm_rules_done(&r);
}

/* The line is escaped, the rules are not. */
static void an_excuse_may_have_bytes_that_are_escaped(void **state)
{
	struct alarm_rules r = {0};

	(void)state;
	alarm_rules_add(&r, "x");
	alarm_rules_except(&r, "a\tb");
	alarm_rules_except(&r, "\033[1m");
	assert_false(alarm_rules_hold(&r, "x", "x a\\tb"));
	assert_false(alarm_rules_hold(&r, "x", "x \\x1b[1m"));
	assert_true(alarm_rules_hold(&r, "x", "x a b"));
	alarm_rules_done(&r);
}

static void a_copy_is_its_own(void **state)
{
	struct alarm_rules r = {0}, copy = {0};

	(void)state;
	alarm_rules_add(&r, "x");
	alarm_rules_except(&r, "one");
	alarm_rules_add(&r, "y");
	alarm_rules_copy(&copy, &r);
	alarm_rules_done(&r);
	assert_int_equal(copy.n, 2);
	assert_true(alarm_rules_hold(&copy, "y", "y one"));
	assert_false(alarm_rules_hold(&copy, "x", "x one"));
	alarm_rules_done(&copy);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_rule_excuses_its_own_lines),
	    cmocka_unit_test(a_text_may_have_two_rules),
	    cmocka_unit_test(an_excuse_may_have_bytes_that_are_escaped),
	    cmocka_unit_test(a_copy_is_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
