/* SPDX-License-Identifier: MIT */
/*
 * Forwarding between bridges. A packet for another network, which a guest sends
 * to its gateway, takes the same way as any frame from that guest: to the
 * bridge's router, under the rules for it. There it changes over to the other
 * bridge, whose router sends it to the guest, under that one's rules. Where a
 * host is needs no ARP: addresses follow from the place on a bridge.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/net/bridge_private.h"
#include "vmm/net/packet.h"

/* The bridge whose network ip is in and that b has a route to, or NULL. */
static struct bridge *find_bridge(const struct bridge *b, uint32_t ip)
{
	unsigned number = ip >> 8 & 0xff;

	if ((ip & ~UINT32_C(0xffff)) != NET_PREFIX || !number ||
	    number > BRIDGES_MAX || !b->routes[number - 1])
		return NULL;
	return b->net->bridges[number - 1];
}

static struct port *find_port(const struct bridge *b, uint32_t ip)
{
	for (size_t i = 0; i < PORTS_MAX; i++)
		if (b->ports[i] && b->ports[i]->ip == ip)
			return b->ports[i];
	return NULL;
}

int route_forward(void *ctx, struct swport *from, const struct frame *f,
		  uint32_t ip)
{
	struct bridge *b = ctx;
	const struct bridge *to = find_bridge(b, ip);

	if (!to)
		return ICMP_NO_NETWORK;
	if (!find_port(to, ip))
		return ICMP_NO_HOST;
	vswitch_send(from, &b->router, f);
	return -1;
}

/* A packet has come to the router, maybe long after it was sent. */
static void on_deliver(void *ctx, struct swport *from, const struct frame *f)
{
	struct bridge *b = ctx;
	struct eth_view eth;
	struct ipv4_view ip;
	struct bridge *to;

	(void)from;
	/* A bit may have been flipped on the way. */
	if (!eth_parse(&eth, f->data, f->len) || eth.type != ETHER_IPV4 ||
	    !ipv4_parse(&ip, eth.body, eth.len) || ip.ttl <= 1)
		return;
	to = find_bridge(b, ip.dst);
	if (!to)
		return;
	const struct port *p = find_port(to, ip.dst);
	if (!p)
		return;
	CLEANUP(free_ptr) uint8_t *copy = mem_dup(f->data, f->len);
	struct frame sent = {copy, f->len, f->now_ns};
	memcpy(copy, p->mac, MAC_LEN);
	memcpy(copy + MAC_LEN, to->gateway.mac, MAC_LEN);
	ipv4_age(copy);
	vswitch_input(&to->router, &sent);
	bridge_arm(to);
}

void route_join(struct bridge *b)
{
	vswitch_add(b->sw, &b->router, on_deliver, b);
	b->router.is_quiet = true;
}

void route_leave(struct bridge *b)
{
	for (size_t i = 0; i < BRIDGES_MAX; i++)
		if (b->net->bridges[i])
			b->net->bridges[i]->routes[b->number - 1] = false;
	vswitch_remove(&b->router);
}

void bridge_route(struct bridge *a, struct bridge *b)
{
	assert(a != b && a->net == b->net);
	a->routes[b->number - 1] = true;
	b->routes[a->number - 1] = true;
}

bool bridge_is_routed(const struct bridge *a, const struct bridge *b)
{
	return a->routes[b->number - 1];
}

const struct bridge *bridge_next_route(const struct bridge *b,
				       const struct bridge *after)
{
	for (size_t i = after ? after->number : 0; i < BRIDGES_MAX; i++)
		if (b->routes[i])
			return b->net->bridges[i];
	return NULL;
}
