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
#include "vmm/net/packet6.h"

/* The bridge whose network ip is in and that b has a route to, or NULL. */
static struct bridge *find_bridge(const struct bridge *b, uint32_t ip)
{
	unsigned number = ip >> 8 & 0xff;

	if ((ip & ~UINT32_C(0xffff)) != NET_PREFIX || !number ||
	    number > BRIDGES_MAX || !b->routes[number - 1])
		return NULL;
	return b->net->bridges[number - 1];
}

int route_forward(void *ctx, struct swport *from, const struct frame *f,
		  uint32_t ip)
{
	struct bridge *b = ctx;
	const struct bridge *to = find_bridge(b, ip);
	uint8_t mac[MAC_LEN];

	if (!to && !bridge_is_outside(b, ip))
		return ICMP_NO_NETWORK;
	if (to && !leases_find_host(to, ip, mac))
		return ICMP_NO_HOST;
	vswitch_send(from, &b->router, f);
	return -1;
}

void route_send_out(void *ctx, struct swport *from, const struct frame *f)
{
	struct bridge *b = ctx;

	vswitch_send(from, &b->router, f);
}

static struct bridge *find_bridge6(const struct bridge *b, const uint8_t *ip)
{
	static const uint8_t prefix[] = NET6_PREFIX;
	unsigned number = be_get16(ip + sizeof(prefix));

	if (memcmp(ip, prefix, sizeof(prefix)) != 0 || !number ||
	    number > BRIDGES_MAX || !b->routes[number - 1])
		return NULL;
	return b->net->bridges[number - 1];
}

int route_forward6(void *ctx, struct swport *from, const struct frame *f,
		   const uint8_t ip[IPV6_LEN])
{
	struct bridge *b = ctx;
	const struct bridge *to = find_bridge6(b, ip);

	if (!to)
		return ICMP6_NO_ROUTE;
	if (!bridge_port_at6(to, ip))
		return ICMP6_NO_HOST;
	vswitch_send(from, &b->router, f);
	return -1;
}

/* To a host behind p of another bridge, a hop older. */
static void route_pass_on(const struct port *p, const uint8_t mac[MAC_LEN],
			  const struct frame *f, void (*age)(uint8_t *frame))
{
	struct bridge *to = p->bridge;
	CLEANUP(free_ptr) uint8_t *copy = mem_dup(f->data, f->len);
	struct frame sent = {copy, f->len, f->now_ns};

	memcpy(copy, mac, MAC_LEN);
	memcpy(copy + MAC_LEN, to->gateway.mac, MAC_LEN);
	age(copy);
	vswitch_input(&to->router, &sent);
	bridge_arm(to);
}

static void route6(struct bridge *b, const struct frame *f,
		   const struct eth_view *eth)
{
	const struct bridge *to;
	const struct port *p;
	struct ipv6_view ip;

	if (!ipv6_parse(&ip, eth->body, eth->len) || ip.hops <= 1)
		return;
	to = find_bridge6(b, ip.dst);
	p = to ? bridge_port_at6(to, ip.dst) : NULL;
	if (p)
		route_pass_on(p, p->mac, f, ipv6_age);
}

static void route4(struct bridge *b, const struct frame *f,
		   const struct eth_view *eth)
{
	const struct bridge *to;
	const struct port *p;
	uint8_t mac[MAC_LEN];
	struct ipv4_view ip;

	if (!ipv4_parse(&ip, eth->body, eth->len) || ip.ttl <= 1)
		return;
	/* What is for the gateway itself was sent on by it. */
	if (b->uplink &&
	    (ip.dst == b->gateway.ip || bridge_is_outside(b, ip.dst))) {
		uplink_input(b->uplink, f->data, f->len);
		return;
	}
	to = find_bridge(b, ip.dst);
	p = to ? leases_find_host(to, ip.dst, mac) : NULL;
	if (p)
		route_pass_on(p, mac, f, ipv4_age);
}

/* A packet has come to the router, maybe long after it was sent, and with a bit
 * flipped on the way. */
static bool route_on_deliver(void *ctx, struct swport *from,
			     const struct frame *f)
{
	struct eth_view eth;

	(void)from;
	if (!eth_parse(&eth, f->data, f->len))
		return true;
	if (eth.type == ETHER_IPV4)
		route4(ctx, f, &eth);
	else if (eth.type == ETHER_IPV6)
		route6(ctx, f, &eth);
	return true;
}

void route_join(struct bridge *b)
{
	vswitch_add(b->sw, &b->router, route_on_deliver, b);
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
