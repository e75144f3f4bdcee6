/* SPDX-License-Identifier: MIT */
/*
 * The bridge's own port on its switch: it answers ARP and ICMP echo for its
 * address, DHCP and DNS over UDP, and nothing else; and for IPv6 what
 * gateway6.c says. It puts fragments together (reassembly.h), and then answers
 * in fragments. What is for another network is its owner's to forward (RFC
 * 1812), or answered by what is wrong with it.
 */
#ifndef VMM_NET_GATEWAY_H
#define VMM_NET_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/net/dhcp.h"
#include "vmm/net/dns_name.h"
#include "vmm/net/packet.h"
#include "vmm/net/reassembly.h"
#include "vmm/net/switch.h"

/* What the gateway must be told. from: the port through which the guest
 * asks. */
struct gateway_owner {
	/* The lease for that client; false: no answer. */
	bool (*lease)(void *ctx, const struct swport *from,
		      const struct dhcp_client *client, struct dhcp_lease *ret);
	void (*leased)(void *ctx, const struct swport *from,
		       const struct dhcp_client *client, bool is_leased);
	/* As struct dns_directory. */
	bool (*address)(void *ctx, const struct swport *from, const char *name,
			uint32_t *ret_ip);
	bool (*name)(void *ctx, const struct swport *from, uint32_t ip,
		     char ret[DNS_NAME_MAX]);
	/* As address and name, of IPv6. */
	bool (*address6)(void *ctx, const struct swport *from, const char *name,
			 uint8_t ret_ip[IPV6_LEN]);
	bool (*name6)(void *ctx, const struct swport *from,
		      const uint8_t ip[IPV6_LEN], char ret[DNS_NAME_MAX]);
	/* The guest speaks IPv6, and takes that address of the bridge's
	 * prefix; NULL: it did not say which. */
	void (*seen6)(void *ctx, const struct swport *from, const uint8_t *ip);
	/* As forward, but with codes of ICMP6_UNREACHABLE. */
	int (*forward6)(void *ctx, struct swport *from, const struct frame *f,
			const uint8_t ip[IPV6_LEN]);
	/* Another name server may know the name, of which address and name
	 * above say nothing. NULL: none. */
	bool (*is_foreign)(void *ctx, const struct swport *from,
			   const char *name);
	/* A packet that still may make a hop goes on to ip. Negative: it does;
	 * else a code of ICMP_UNREACHABLE. NULL: nothing is forwarded, nor
	 * answered. */
	int (*forward)(void *ctx, struct swport *from, const struct frame *f,
		       uint32_t ip);
	/* A question to the gateway's name server that is not for it. */
	void (*send_out)(void *ctx, struct swport *from, const struct frame *f);
};

struct gateway {
	struct swport port;
	uint8_t mac[MAC_LEN];
	uint32_t ip;
	uint32_t mask;
	bool has_no_dhcp;      /* whether it ignores DHCP clients */
	bool has_ip6;	       /* else it does not speak it */
	uint8_t ip6[IPV6_LEN]; /* its /64 is the bridge's */
	uint8_t link_local[IPV6_LEN];
	uint32_t mtu; /* that it tells of */
	/* Another host in its network that is behind it, or 0. */
	uint32_t uplink_ip;
	const struct gateway_owner *owner; /* borrowed, as is... */
	void *ctx;			   /* ...this */
	struct reassembly *fragments;	   /* NULL: none came so far */
	uint32_t last_id;		   /* of what it sent in fragments */
	bool is_cut; /* the reply is to leave in fragments of its MTU */
	uint8_t reply[FRAME_MAX];
};

/* Puts the gateway on the switch: mac, ip, mask, those of IPv6, owner and ctx
 * are set, the rest is zero. */
void gateway_join(struct gateway *g, struct vswitch *sw);
void gateway_leave(struct gateway *g);
/* For a gateway that was never on a switch; gateway_leave() calls it. */
void gateway_done(struct gateway *g);

/* The core, without a switch. Returns the length of the frame in g->reply, 0:
 * there is none. The frame is whole, even if is_cut. */
size_t gateway_answer(struct gateway *g, struct swport *from,
		      const struct frame *f);

#endif
