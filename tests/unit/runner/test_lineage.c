/* SPDX-License-Identifier: MIT */
#include "runner/lineage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_guest_that_was_booted_has_nothing_of_before(void **state)
{
	struct lineage none = {0};

	(void)state;
	assert_false(lineage_has(&none, 0, 1));
	assert_false(lineage_has(&none, 1, 0));
	lineage_done(&none);
}

static void a_snapshot_has_what_was_opened_before_it(void **state)
{
	struct lineage booted = {0}, snapshot = {0};

	(void)state;
	lineage_descend(&snapshot, &booted, 3, 10);
	assert_true(lineage_has(&snapshot, 3, 1));
	assert_true(lineage_has(&snapshot, 3, 9));
	assert_false(lineage_has(&snapshot, 3, 10));
	assert_false(lineage_has(&snapshot, 2, 1));
	assert_false(lineage_has(&snapshot, 4, 1));
	lineage_done(&snapshot);
}

/* Boot (epoch 1), first snapshot at 10; restored as epoch 2, second at 20;
 * restored from that as epoch 3, third at 30. */
static void each_generation_adds_its_own(void **state)
{
	struct lineage booted = {0}, first = {0}, second = {0}, third = {0};

	(void)state;
	lineage_descend(&first, &booted, 1, 10);
	lineage_descend(&second, &first, 2, 20);
	lineage_descend(&third, &second, 3, 30);
	assert_true(lineage_has(&third, 1, 9));
	assert_false(lineage_has(&third, 1, 10));
	assert_true(lineage_has(&third, 2, 19));
	assert_false(lineage_has(&third, 2, 20));
	assert_true(lineage_has(&third, 3, 29));
	assert_false(lineage_has(&third, 3, 30));
	/* An earlier one is as it was. */
	assert_true(lineage_has(&first, 1, 9));
	assert_false(lineage_has(&first, 2, 1));
	lineage_done(&first);
	lineage_done(&second);
	lineage_done(&third);
}

/* A guest that goes back to the first knows nothing of the second's branch. */
static void branches_do_not_know_each_other(void **state)
{
	struct lineage booted = {0}, first = {0}, left = {0}, right = {0};

	(void)state;
	lineage_descend(&first, &booted, 1, 10);
	lineage_descend(&left, &first, 2, 20);
	lineage_descend(&right, &first, 3, 20);
	assert_true(lineage_has(&left, 2, 15));
	assert_false(lineage_has(&left, 3, 15));
	assert_false(lineage_has(&right, 2, 15));
	assert_true(lineage_has(&right, 3, 15));
	lineage_done(&first);
	lineage_done(&left);
	lineage_done(&right);
}

static void a_copy_replaces_what_was_there(void **state)
{
	struct lineage booted = {0}, a = {0}, b = {0};

	(void)state;
	lineage_descend(&a, &booted, 1, 10);
	lineage_descend(&b, &booted, 2, 10);
	lineage_copy(&b, &a);
	lineage_done(&a);
	assert_true(lineage_has(&b, 1, 5));
	assert_false(lineage_has(&b, 2, 5));
	lineage_copy(&b, &booted);
	assert_false(lineage_has(&b, 1, 5));
	lineage_done(&b);
	lineage_done(&b);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_guest_that_was_booted_has_nothing_of_before),
    cmocka_unit_test(a_snapshot_has_what_was_opened_before_it),
    cmocka_unit_test(each_generation_adds_its_own),
    cmocka_unit_test(branches_do_not_know_each_other),
    cmocka_unit_test(a_copy_replaces_what_was_there),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
