/* SPDX-License-Identifier: MIT */
#include "vmm/net/bridge_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/vmm/lan_fixture.h"

/* Replaces the bridge by one that is made of the JSON; takes that. */
static void restore(struct lan *l, json_t *saved)
{
	struct err err;

	assert_non_null(saved);
	l->b = bridge_free(l->b);
	l->b = bridge_new_saved(l->net, "lan", saved, &err);
	assert_non_null(l->b);
	json_decref(saved);
}

static void a_bridge_with_dhcp_has_it_again(void **state)
{
	struct lan *l = *state;

	assert_true(bridge_has_dhcp(l->b));
	restore(l, bridge_save(l->b));
	assert_true(bridge_has_dhcp(l->b));
}

static void a_bridge_without_dhcp_stays_without(void **state)
{
	struct lan *l = *state;

	bridge_disable_dhcp(l->b);
	restore(l, bridge_save(l->b));
	assert_false(bridge_has_dhcp(l->b));
}

static void a_snapshot_that_does_not_say_has_dhcp(void **state)
{
	struct lan *l = *state;
	json_t *saved = bridge_save(l->b);

	json_object_del(saved, "dhcp");
	restore(l, saved);
	assert_true(bridge_has_dhcp(l->b));
}

#define T(f) cmocka_unit_test_setup_teardown(f, lan_setup, lan_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(a_bridge_with_dhcp_has_it_again),
	    T(a_bridge_without_dhcp_stays_without),
	    T(a_snapshot_that_does_not_say_has_dhcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
