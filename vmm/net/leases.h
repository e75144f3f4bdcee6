/* SPDX-License-Identifier: MIT */
/*
 * Which client behind a port has which address. The first that asks after the
 * guest's start has the port's own. Others, as those of macvlan interfaces,
 * have addresses of no port, from the end of the network. Clients are told
 * apart by their client identifier (RFC 2132, 9.14), or by their MAC address
 * where they send none. The MAC address of the NIC is one client, whatever it
 * sends: a guest that boots in stages says something else in each.
 */
#ifndef VMM_NET_LEASES_H
#define VMM_NET_LEASES_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/net/addr.h"
#include "vmm/net/dhcp.h"

/* Clients of a bridge, and of one port; more get no answer. */
#define LEASES_MAX	128u
#define LEASES_PORT_MAX 16u

struct bridge;
struct port;

struct bridge_lease {
	const struct port *port; /* NULL: the place is free */
	uint32_t ip;
	uint8_t mac[MAC_LEN];
	uint8_t id_len;
	uint8_t id[DHCP_CLIENT_ID_MAX];
};

/* The client's address; 0: there is none for it. One that has none gets one if
 * it is asking for it. */
uint32_t leases_give(struct bridge *b, const struct port *p,
		     const struct dhcp_client *c);
/* It has returned that. */
void leases_return(struct bridge *b, const struct port *p,
		   const struct dhcp_client *c);
/* The guest of the port goes. */
void leases_forget(struct bridge *b, const struct port *p);
/* A client has the address. */
bool leases_has(const struct bridge *b, uint32_t ip);
/* The port behind which that host is, and its MAC address; NULL: nobody. */
const struct port *leases_find_host(const struct bridge *b, uint32_t ip,
				    uint8_t ret_mac[MAC_LEN]);

#endif
