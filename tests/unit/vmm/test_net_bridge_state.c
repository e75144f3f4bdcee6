/* SPDX-License-Identifier: MIT */
#include "vmm/net/bridge_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fix {
	struct loop *loop;
	struct net *net;
	struct bridge *b;
};

static int setup(void **state)
{
	static struct fix f;
	struct err err;

	f.loop = loop_new(&err);
	assert_non_null(f.loop);
	f.net = net_new(f.loop, "/nonexistent");
	f.b = bridge_new(f.net, "lan", &err);
	assert_non_null(f.b);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	bridge_free(f->b);
	net_free(f->net);
	loop_free(f->loop);
	return 0;
}

/* Replaces the bridge by one that is made of the JSON; takes that. */
static void restore(struct fix *f, json_t *saved)
{
	struct err err;

	assert_non_null(saved);
	f->b = bridge_free(f->b);
	f->b = bridge_new_saved(f->net, "lan", saved, &err);
	assert_non_null(f->b);
	json_decref(saved);
}

static void a_bridge_with_dhcp_has_it_again(void **state)
{
	struct fix *f = *state;

	assert_true(bridge_has_dhcp(f->b));
	restore(f, bridge_save(f->b));
	assert_true(bridge_has_dhcp(f->b));
}

static void a_bridge_without_dhcp_stays_without(void **state)
{
	struct fix *f = *state;

	bridge_disable_dhcp(f->b);
	restore(f, bridge_save(f->b));
	assert_false(bridge_has_dhcp(f->b));
}

static void a_snapshot_that_does_not_say_has_dhcp(void **state)
{
	struct fix *f = *state;
	json_t *saved = bridge_save(f->b);

	json_object_del(saved, "dhcp");
	restore(f, saved);
	assert_true(bridge_has_dhcp(f->b));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(a_bridge_with_dhcp_has_it_again),
	    T(a_bridge_without_dhcp_stays_without),
	    T(a_snapshot_that_does_not_say_has_dhcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
