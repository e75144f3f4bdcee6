/* SPDX-License-Identifier: MIT */
/*
 * A DHCP server for one client at a time (RFC 2131, 2132), without I/O or
 * state: the bytes of a request and the lease that is meant for who asks give
 * the bytes of a reply. The address is fixed, whatever the client claims.
 *
 *	DISCOVER          -> OFFER
 *	REQUEST, selecting another server              -> nothing
 *	REQUEST, for the address of the lease          -> ACK, granted
 *	REQUEST, for any other                         -> NAK
 *	INFORM            -> ACK without a lease
 *	DECLINE, RELEASE  -> nothing, not granted any more
 */
#ifndef VMM_NET_DHCP_H
#define VMM_NET_DHCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/net/addr.h"

#define DHCP_SERVER_PORT 67u
#define DHCP_CLIENT_PORT 68u
/* Every client takes a message of this size (RFC 2131, 2). */
#define DHCP_REPLY_MAX 548u
/* As long as an option can be. */
#define DHCP_CLIENT_ID_MAX 255u

/* Addresses in host byte order. A lease never ends: a snapshot that is
 * restored after any time still has it. */
struct dhcp_lease {
	uint32_t ip;
	uint32_t mask;
	uint32_t server; /* also router and name server */
	uint16_t mtu;
	const char *host;   /* left out when it is no host name, as is... */
	const char *domain; /* ...this */
};

enum dhcp_event { DHCP_NOTHING, DHCP_GRANTED, DHCP_RETURNED };

struct dhcp_reply {
	size_t len;	   /* 0: none */
	bool is_broadcast; /* else to_mac and to_ip */
	uint8_t to_mac[MAC_LEN];
	uint32_t to_ip;
	enum dhcp_event event;
	uint8_t bytes[DHCP_REPLY_MAX];
};

/* Who asks, and for what. */
struct dhcp_client {
	uint8_t mac[MAC_LEN];
	size_t id_len; /* 0: it has no identifier */
	uint8_t id[DHCP_CLIENT_ID_MAX];
	uint32_t wanted; /* an address; 0: none */
	bool is_asking;	 /* for a lease: DISCOVER or REQUEST */
};

/* False when it is no request of a client on an Ethernet that is asking us
 * directly. */
bool dhcp_client(const uint8_t *p, size_t n, struct dhcp_client *ret);
void dhcp_answer(const uint8_t *p, size_t n, const struct dhcp_lease *lease,
		 struct dhcp_reply *ret);

#endif
