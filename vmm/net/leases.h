/* SPDX-License-Identifier: MIT */
/*
 * Which client behind a port has which address. The first that asks after the
 * guest's start has the port's own. Others, as those of macvlan interfaces,
 * have addresses of no port, from the end of the network. Clients are told
 * apart by their client identifier (RFC 2132, 9.14), or by their MAC address
 * where they send none. The MAC address of the NIC is one client, whatever
 * identifier comes with it: a guest that boots in stages sends another one in
 * each. No other client shares its lease.
 */
#ifndef VMM_NET_LEASES_H
#define VMM_NET_LEASES_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/net/addr.h"
#include "vmm/net/dhcp.h"

/* Clients of a bridge, one for each address that it has; those behind one port.
 * More get no answer. */
#define LEASES_MAX	245u
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

/* The client's address; 0: there is none for it. A client without an address
 * gets one if it asks for it. */
uint32_t leases_give(struct bridge *b, const struct port *p,
		     const struct dhcp_client *c);
/* The client returns its address. */
void leases_return(struct bridge *b, const struct port *p,
		   const struct dhcp_client *c);
/* The guest of the port goes, or restarts: ends the leases of all clients
 * behind it. */
void leases_forget(struct bridge *b, const struct port *p);
/* Whether a client has the address. */
bool leases_has(const struct bridge *b, uint32_t ip);
/* The port behind which the host with that address is, and the host's MAC
 * address; NULL: nobody has the address. */
const struct port *leases_find_host(const struct bridge *b, uint32_t ip,
				    uint8_t ret_mac[MAC_LEN]);

#endif
