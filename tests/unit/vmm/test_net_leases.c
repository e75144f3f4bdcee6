/* SPDX-License-Identifier: MIT */
#include "vmm/net/leases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/vmm/lan_fixture.h"
#include "vmm/net/bridge_private.h"

static void attach(struct lan *l, struct port **ret, size_t n)
{
	struct err err;

	for (size_t i = 0; i < n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "g%zu", i);
		ret[i] = bridge_attach(l->b, name, &err);
		assert_non_null(ret[i]);
	}
}

/* The address that a client behind the port gets. id NULL: it has none. */
static uint32_t ask(struct port *p, const uint8_t mac[MAC_LEN], const char *id)
{
	struct dhcp_client c = {.is_asking = true};

	memcpy(c.mac, mac, MAC_LEN);
	if (id) {
		c.id_len = strlen(id);
		memcpy(c.id, id, c.id_len);
	}
	return leases_give(p->bridge, p, &c);
}

/* The same for the client with the MAC address of the NIC. */
static uint32_t ask_own(struct port *p, const char *id)
{
	return ask(p, port_mac(p), id);
}

/* The same for another client. */
static uint32_t ask_behind(struct port *p, uint8_t last, const char *id)
{
	const uint8_t mac[MAC_LEN] = {2, 0, 0, 0, 0, last};

	return ask(p, mac, id);
}

static void each_guest_of_a_full_bridge_has_its_address(void **state)
{
	struct port *p[PORTS_MAX];

	attach(*state, p, PORTS_MAX);
	for (size_t i = 0; i < PORTS_MAX; i++)
		assert_int_equal(ask_own(p[i], NULL), port_ip(p[i]));
}

static void guests_that_take_many_leave_the_others_theirs(void **state)
{
	enum { GUESTS = 100 };
	struct port *p[PORTS_MAX];
	unsigned given = 0;

	attach(*state, p, GUESTS);
	for (size_t i = 0; i < GUESTS / 2; i++)
		for (uint8_t mac = 0; mac < 2 * LEASES_PORT_MAX; mac++)
			given += ask_behind(p[i], mac, NULL) != 0;
	assert_true(given > GUESTS);
	for (size_t i = GUESTS / 2; i < GUESTS; i++)
		assert_int_equal(ask_own(p[i], NULL), port_ip(p[i]));
}

/* As where a guest gives all its interfaces the identifier of the machine. */
static void the_nic_is_a_client_of_its_own_whatever_identifier(void **state)
{
	struct port *p[PORTS_MAX];
	uint32_t other;

	attach(*state, p, 1);
	assert_int_equal(ask_own(p[0], "machine"), port_ip(p[0]));
	other = ask_behind(p[0], 7, "machine");
	assert_int_not_equal(other, 0);
	assert_int_not_equal(other, port_ip(p[0]));
	assert_int_equal(ask_own(p[0], "machine"), port_ip(p[0]));
	assert_int_equal(ask_behind(p[0], 7, "machine"), other);
	/* Whose MAC address changed is the same one. */
	assert_int_equal(ask_behind(p[0], 8, "machine"), other);
}

/* Its interfaces are other ones then, with other MAC addresses. */
static void a_guest_that_restarts_has_its_places_again(void **state)
{
	struct port *p[PORTS_MAX];
	uint8_t mac;

	attach(*state, p, 1);
	for (mac = 1; mac <= LEASES_PORT_MAX; mac++)
		assert_int_not_equal(ask_behind(p[0], mac, NULL), 0);
	assert_int_equal(ask_behind(p[0], mac, NULL), 0);
	port_restarted(p[0]);
	assert_int_equal(ask_own(p[0], NULL), port_ip(p[0]));
	assert_int_not_equal(ask_behind(p[0], mac, NULL), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, lan_setup, lan_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(each_guest_of_a_full_bridge_has_its_address),
	    T(guests_that_take_many_leave_the_others_theirs),
	    T(the_nic_is_a_client_of_its_own_whatever_identifier),
	    T(a_guest_that_restarts_has_its_places_again),
	};

	return cmocka_run_group_tests_name("leases", tests, NULL, NULL);
}
