/* SPDX-License-Identifier: MIT */
#include "vmm/net/leases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/net/bridge_private.h"

struct fix {
	struct loop *loop;
	struct net *net;
	struct bridge *b; /* "lan", 10.77.1.0/24 */
	struct port *p[PORTS_MAX];
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

static void attach(struct fix *f, size_t n)
{
	struct err err;

	for (size_t i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%zu", i);
		f->p[i] = bridge_attach(f->b, name, &err);
		assert_non_null(f->p[i]);
	}
}

/* What the port's own client is given. id NULL: it has no identifier. */
static uint32_t ask_own(struct fix *f, size_t port, const char *id)
{
	struct dhcp_client c = {.is_asking = true};

	memcpy(c.mac, port_mac(f->p[port]), MAC_LEN);
	if (id) {
		c.id_len = strlen(id);
		memcpy(c.id, id, c.id_len);
	}
	return leases_give(f->b, f->p[port], &c);
}

/* The same of one that is behind it. */
static uint32_t ask_behind(struct fix *f, size_t port, uint8_t mac,
			   const char *id)
{
	struct dhcp_client c = {.is_asking = true,
				.mac = {2, 0, 0, 0, (uint8_t)port, mac}};

	if (id) {
		c.id_len = strlen(id);
		memcpy(c.id, id, c.id_len);
	}
	return leases_give(f->b, f->p[port], &c);
}

static void each_guest_of_a_full_bridge_has_its_address(void **state)
{
	struct fix *f = *state;

	attach(f, PORTS_MAX);
	for (size_t i = 0; i < PORTS_MAX; i++)
		assert_int_equal(ask_own(f, i, NULL), port_ip(f->p[i]));
}

static void guests_that_take_many_leave_the_others_theirs(void **state)
{
	enum { GUESTS = 100 };
	struct fix *f = *state;
	unsigned given = 0;

	attach(f, GUESTS);
	for (size_t i = 0; i < GUESTS / 2; i++)
		for (uint8_t mac = 0; mac < 2 * LEASES_PORT_MAX; mac++)
			given += ask_behind(f, i, mac, NULL) != 0;
	assert_true(given > GUESTS);
	for (size_t i = GUESTS / 2; i < GUESTS; i++)
		assert_int_equal(ask_own(f, i, NULL), port_ip(f->p[i]));
}

/* As where a guest gives all its interfaces the identifier of the machine. */
static void the_nic_is_a_client_of_its_own_whatever_identifier(void **state)
{
	struct fix *f = *state;
	uint32_t other;

	attach(f, 1);
	assert_int_equal(ask_own(f, 0, "machine"), port_ip(f->p[0]));
	other = ask_behind(f, 0, 7, "machine");
	assert_int_not_equal(other, 0);
	assert_int_not_equal(other, port_ip(f->p[0]));
	assert_int_equal(ask_own(f, 0, "machine"), port_ip(f->p[0]));
	assert_int_equal(ask_behind(f, 0, 7, "machine"), other);
	/* Whose MAC address changed is the same one. */
	assert_int_equal(ask_behind(f, 0, 8, "machine"), other);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(each_guest_of_a_full_bridge_has_its_address),
	    T(guests_that_take_many_leave_the_others_theirs),
	    T(the_nic_is_a_client_of_its_own_whatever_identifier),
	};

	return cmocka_run_group_tests_name("leases", tests, NULL, NULL);
}
