/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 *	QEMU --stream--> wire --> port --> switch --> port --> wire --> QEMU
 *	                                        |`--> taps
 *	                                        `--> gateway
 *
 * A wire (wire.c) moves frames between a socket and its port, a bounded number
 * a turn. The switch (switch.c) decides where a frame goes; it and the gateway
 * (gateway.c and gateway6.c, over dhcp.c and dns.c) know neither sockets nor
 *time and take frames one at a time. This file gives numbers and ties them
 *together.
 *
 * Numbers are the lowest that are free: bridge N has 10.77.N.0/24 and
 * fd77:7072:6f76:N::/64, its gateway is .1 and ::1, and the guest in slot S is
 *.10+S, with MACs that say the same. So a test that makes the same objects in
 *the same order sees the same addresses, whatever ran before it.
 *
 * Memory: a port or bridge may be freed while a frame goes through it (by a
 * callback of a capture's reader, say), so their memory goes when the turn is
 * over; a bridge's also waits for captures that are still open on it.
 */
#include "vmm/net/bridge.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/net/bridge_private.h"
#include "vmm/net/bridge_state.h"
#include "vmm/net/packet6.h"

static_assert(HOST_FIRST + PORTS_MAX <= 255, "hosts of a /24");
static_assert(BRIDGES_MAX <= 255, "the third byte of an address");

/* --- what the gateway asks ----------------------------------------------- */

static struct port *port_at(const struct bridge *b, const struct swport *at)
{
	for (size_t i = 0; i < PORTS_MAX; i++)
		if (b->ports[i] && &b->ports[i]->swport == at)
			return b->ports[i];
	return NULL;
}

static bool has_mac(const struct bridge *b, const struct port *but,
		    const uint8_t mac[MAC_LEN])
{
	for (size_t i = 0; i < PORTS_MAX; i++) {
		const struct port *p = b->ports[i];

		if (p && p != but && !memcmp(p->mac, mac, MAC_LEN))
			return true;
	}
	return false;
}

static bool mac_is_taken(const struct net *n, const struct port *p,
			 const uint8_t mac[MAC_LEN])
{
	for (size_t i = 0; i < BRIDGES_MAX; i++)
		if (n->bridges[i] && has_mac(n->bridges[i], p, mac))
			return true;
	return false;
}

bool port_mac_clashes(const struct port *p, const uint8_t mac[MAC_LEN])
{
	return has_mac(p->bridge, p, mac);
}

bool port_mac_is_taken(const struct port *p, const uint8_t mac[MAC_LEN])
{
	return mac_is_taken(p->bridge->net, p, mac);
}

/* A NIC may have taken the slot's MAC along to another bridge. */
static bool is_free(const struct bridge *b, unsigned slot)
{
	uint8_t mac[MAC_LEN];
	uint32_t ip;

	bridge_host(b, HOST_FIRST + slot, mac, &ip);
	return !b->ports[slot] && !leases_has(b, ip) &&
	       !mac_is_taken(b->net, NULL, mac);
}

/* A guest that bridges two networks lets the requests of others through: only
 * their own gateway is to answer them. The port's own MAC may be another's,
 * too: of a guest that was restored twice. */
static bool on_lease(void *ctx, const struct swport *from,
		     const struct dhcp_client *client, struct dhcp_lease *ret)
{
	struct bridge *b = ctx;
	const struct port *p = port_at(b, from);
	uint32_t ip;

	if (!p || (memcmp(p->mac, client->mac, MAC_LEN) != 0 &&
		   port_mac_is_taken(p, client->mac)))
		return false;
	ip = leases_give(b, p, client);
	/* An INFORM is about the network, whose address ever it has. */
	if (!ip && !client->is_asking)
		ip = p->ip;
	if (!ip)
		return false;
	*ret = (struct dhcp_lease){
	    .ip = ip,
	    .mask = NET_MASK,
	    .server = b->gateway.ip,
	    .mtu = NET_MTU,
	    /* The guest's name is that of its own address. */
	    .host = ip == p->ip ? p->guest : "",
	    .domain = b->name,
	};
	return true;
}

static void on_leased(void *ctx, const struct swport *from,
		      const struct dhcp_client *client, bool is_leased)
{
	struct port *p = port_at(ctx, from);

	if (!p)
		return;
	if (leases_give(ctx, p, client) == p->ip)
		p->has_lease = is_leased;
	if (!is_leased)
		leases_return(ctx, p, client);
}

static bool on_address(void *ctx, const struct swport *from, const char *name,
		       uint32_t *ret_ip)
{
	const struct port *p = port_at(ctx, from);

	return p && names_find_address(p, name, ret_ip);
}

static bool on_name(void *ctx, const struct swport *from, uint32_t ip,
		    char ret[DNS_NAME_MAX])
{
	const struct port *p = port_at(ctx, from);

	return p && names_find_name(p, ip, ret);
}

static bool on_address6(void *ctx, const struct swport *from, const char *name,
			uint8_t ret_ip[IPV6_LEN])
{
	const struct port *p = port_at(ctx, from);

	return p && names_find_address6(p, name, ret_ip);
}

static bool on_name6(void *ctx, const struct swport *from,
		     const uint8_t ip[IPV6_LEN], char ret[DNS_NAME_MAX])
{
	const struct port *p = port_at(ctx, from);

	return p && names_find_name6(p, ip, ret);
}

static void on_seen6(void *ctx, const struct swport *from, const uint8_t *ip)
{
	struct port *p = port_at(ctx, from);

	if (p)
		port_seen6(p, ip);
}

static bool on_is_foreign(void *ctx, const struct swport *from,
			  const char *name)
{
	const struct bridge *b = ctx;
	const struct port *p = port_at(b, from);

	return b->uplink && p && names_is_foreign(p, name);
}

static const struct gateway_owner gateway_owner = {
    .lease = on_lease,
    .leased = on_leased,
    .address = on_address,
    .name = on_name,
    .address6 = on_address6,
    .name6 = on_name6,
    .seen6 = on_seen6,
    .forward6 = route_forward6,
    .is_foreign = on_is_foreign,
    .forward = route_forward,
    .send_out = route_send_out,
};

/* --- the net ------------------------------------------------------------- */

struct net *net_new(struct loop *l, const char *spool_dir)
{
	struct net *n = mem_zalloc(sizeof(*n));

	n->loop = l;
	n->spool_dir = mem_strdup(spool_dir);
	wire_arena_init(&n->arena);
	return n;
}

struct net *net_free(struct net *n)
{
	if (!n)
		return NULL;
	for (size_t i = 0; i < BRIDGES_MAX; i++)
		assert(!n->bridges[i]);
	kernel_net_free(n->kernel);
	wire_arena_done(&n->arena);
	free(n->spool_dir);
	free(n);
	return NULL;
}

/* --- bridges ------------------------------------------------------------- */

void bridge_host(const struct bridge *b, unsigned host,
		 uint8_t ret_mac[MAC_LEN], uint32_t *ret_ip)
{
	const uint8_t mac[MAC_LEN] = {
	    0x52, 0x54, 0x00, 0x00, (uint8_t)b->number, (uint8_t)host};

	memcpy(ret_mac, mac, MAC_LEN);
	*ret_ip = NET_PREFIX | b->number << 8 | host;
}

void bridge_prefix6(const struct bridge *b, uint8_t ret[IPV6_LEN])
{
	static const uint8_t prefix[] = NET6_PREFIX;

	memset(ret, 0, IPV6_LEN);
	memcpy(ret, prefix, sizeof(prefix));
	be_put16(ret + sizeof(prefix), (uint16_t)b->number);
}

struct bridge *bridge_new(struct net *n, const char *name, struct err *err)
{
	return bridge_new_at(n, name, 0, err);
}

struct bridge *bridge_new_at(struct net *n, const char *name, unsigned number,
			     struct err *err)
{
	struct bridge *b;
	unsigned i = number ? number - 1 : 0;

	while (i < BRIDGES_MAX && n->bridges[i])
		i++;
	if (i == BRIDGES_MAX) {
		err_set(err, -ENOSPC,
			"cannot make bridge '%s': there are %u already", name,
			BRIDGES_MAX);
		return NULL;
	}
	b = n->bridges[i] = mem_zalloc(sizeof(*b));
	b->net = n;
	b->loop = n->loop;
	b->name = mem_strdup(name);
	b->number = i + 1;
	TAILQ_INIT(&b->captures);
	TAILQ_INIT(&b->taps);
	b->sw = vswitch_new();
	bridge_host(b, HOST_GATEWAY, b->gateway.mac, &b->gateway.ip);
	b->gateway.mask = NET_MASK;
	b->gateway.mtu = NET_MTU;
	bridge_prefix6(b, b->gateway.ip6);
	b->gateway.ip6[IPV6_LEN - 1] = HOST_GATEWAY;
	b->gateway.link_local[0] = 0xfe;
	b->gateway.link_local[1] = 0x80;
	ipv6_set_host(b->gateway.link_local, b->gateway.mac);
	b->gateway.owner = &gateway_owner;
	b->gateway.ctx = b;
	b->armed_ns = CLOCK_NEVER;
	gateway_join(&b->gateway, b->sw);
	b->gateway.port.is_unshaped = true;
	route_join(b);
	bridge_hold(b);
	return b;
}

static void bridge_destroy(void *ctx)
{
	struct bridge *b = ctx;

	vswitch_free(b->sw);
	free(b->name);
	free(b);
}

void bridge_hold(struct bridge *b)
{
	b->n_holds++;
}

void bridge_release(struct bridge *b)
{
	assert(b->n_holds);
	if (!--b->n_holds)
		loop_defer_free(b->loop, b, bridge_destroy);
}

struct bridge *bridge_free(struct bridge *b)
{
	if (!b)
		return NULL;
	kernel_bridge_begin_free(b);
	for (size_t i = 0; i < PORTS_MAX; i++)
		port_free(b->ports[i]);
	bridge_end_captures(b, NULL);
	b->log = bridge_log_free(b->log, b->sw);
	bridge_disarm(b);
	bridge_disable_uplink(b);
	kernel_bridge_free(b);
	route_leave(b);
	gateway_leave(&b->gateway);
	b->net->bridges[b->number - 1] = NULL;
	b->net = NULL;
	bridge_release(b);
	return NULL;
}

struct port *bridge_port_at(const struct bridge *b, uint32_t ip)
{
	for (size_t i = 0; i < PORTS_MAX; i++)
		if (b->ports[i] && b->ports[i]->ip == ip)
			return b->ports[i];
	return NULL;
}

struct port *bridge_port_at6(const struct bridge *b, const uint8_t ip[IPV6_LEN])
{
	for (size_t i = 0; i < PORTS_MAX; i++)
		if (b->ports[i] && b->ports[i]->has_ip6 &&
		    !memcmp(b->ports[i]->ip6, ip, IPV6_LEN))
			return b->ports[i];
	return NULL;
}

const char *bridge_name(const struct bridge *b)
{
	return b->name;
}

void bridge_enable_ipv6(struct bridge *b)
{
	b->gateway.has_ip6 = true;
}

bool bridge_has_ipv6(const struct bridge *b)
{
	return b->gateway.has_ip6;
}

void bridge_disable_dhcp(struct bridge *b)
{
	b->gateway.has_no_dhcp = true;
}

bool bridge_has_dhcp(const struct bridge *b)
{
	return !b->gateway.has_no_dhcp;
}

void bridge_ip6(const struct bridge *b, uint8_t ret[IPV6_LEN])
{
	memcpy(ret, b->gateway.ip6, IPV6_LEN);
}

uint32_t bridge_ip(const struct bridge *b)
{
	return b->gateway.ip;
}

struct stream_list *bridge_captures(struct bridge *b)
{
	return &b->captures;
}

struct port *bridge_attach(struct bridge *b, const char *guest, struct err *err)
{
	return bridge_attach_at(b, guest, PORTS_MAX, err);
}

struct port *bridge_attach_at(struct bridge *b, const char *guest,
			      unsigned wanted, struct err *err)
{
	unsigned slot = PORTS_MAX;

	for (unsigned i = 0; i < PORTS_MAX; i++) {
		if (slot == PORTS_MAX && is_free(b, i))
			slot = i;
		if (b->ports[i] && !strcmp(b->ports[i]->guest, guest)) {
			err_set(err, -EEXIST, "'%s' is on bridge '%s' already",
				guest, b->name);
			return NULL;
		}
	}
	if (slot == PORTS_MAX) {
		err_set(err, -ENOSPC,
			"no place for '%s' on bridge '%s': it has %u guests",
			guest, b->name, PORTS_MAX);
		return NULL;
	}
	if (wanted < PORTS_MAX && is_free(b, wanted))
		slot = wanted;
	return port_new(b, slot, guest, err);
}
