/* SPDX-License-Identifier: MIT */
/* A guest's place on a bridge: its port of the switch, and the wire to the
 * QEMU that runs now, if any. */
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/net/bridge_private.h"
#include "vmm/net/packet6.h"

static void on_frame(void *ctx, const uint8_t *p, size_t n, int64_t now_ns)
{
	struct port *port = ctx;
	struct frame f = {p, n, now_ns};

	if (port->is_down)
		return;
	if (!vswitch_input(&port->swport, &f)) {
		port->counters.errors++;
		return;
	}
	port->counters.tx_frames++;
	port->counters.tx_bytes += n;
	bridge_arm(port->bridge);
}

static void on_bad(void *ctx)
{
	struct port *port = ctx;

	port->counters.errors++;
}

static const struct wire_events wire_events = {on_frame, on_bad};

static void on_deliver(void *ctx, struct swport *from, const struct frame *f)
{
	struct port *port = ctx;

	(void)from;
	if (port->is_down)
		return;
	switch (wire_send(&port->wire, f->data, f->len)) {
	case WIRE_SENT:
		port->counters.rx_frames++;
		port->counters.rx_bytes += f->len;
		break;
	case WIRE_FULL:
		port->counters.dropped++;
		break;
	case WIRE_GONE:
		break;
	}
}

struct port *port_new(struct bridge *b, unsigned slot, const char *guest)
{
	struct port *p = mem_zalloc(sizeof(*p));

	p->bridge = b;
	p->guest = mem_strdup(guest);
	p->slot = slot;
	bridge_host(b, HOST_FIRST + slot, p->mac, &p->ip);
	wire_init(&p->wire, b->loop, &b->net->arena, &wire_events, p);
	vswitch_add(b->sw, &p->swport, on_deliver, p);
	return p;
}

static void destroy(void *ctx)
{
	struct port *p = ctx;

	free(p->guest);
	free(p);
}

struct port *port_free(struct port *p)
{
	if (!p)
		return NULL;
	wire_close(&p->wire);
	bridge_end_captures(p->bridge, p);
	vswitch_remove(&p->swport);
	p->bridge->ports[p->slot] = NULL;
	/* A frame may be on its way through here. */
	loop_defer_free(p->bridge->loop, p, destroy);
	return NULL;
}

/* What was on its way goes with the cable. */
static void let_go(struct port *p)
{
	wire_drain(&p->wire);
	vswitch_forget(&p->swport);
	p->has_lease = p->has_ip6 = false;
}

int port_plug(struct port *p, int *ret_theirs, struct err *err)
{
	uint32_t ip;

	port_unplug(p);
	bridge_host(p->bridge, HOST_FIRST + p->slot, p->mac, &ip);
	if (wire_open(&p->wire, ret_theirs, err) < 0)
		return err_wrap(err, "plugging '%s' into bridge '%s'", p->guest,
				p->bridge->name);
	return 0;
}

void port_unplug(struct port *p)
{
	/* Its last words first. */
	let_go(p);
	wire_close(&p->wire);
}

void port_take(struct port *p, struct wire_socket *ret)
{
	let_go(p);
	wire_take(&p->wire, ret);
}

void port_give(struct port *p, struct wire_socket *take,
	       const uint8_t mac[MAC_LEN])
{
	memcpy(p->mac, mac, MAC_LEN);
	wire_give(&p->wire, take);
}

bool port_is_home(const struct port *p)
{
	uint8_t mac[MAC_LEN];
	uint32_t ip;

	bridge_host(p->bridge, HOST_FIRST + p->slot, mac, &ip);
	return !memcmp(mac, p->mac, MAC_LEN);
}

void port_set_link(struct port *p, bool is_up)
{
	if (!is_up && !p->is_down)
		vswitch_forget(&p->swport);
	p->is_down = !is_up;
}

bool port_has_link(const struct port *p)
{
	return !p->is_down;
}

struct bridge *port_bridge(const struct port *p)
{
	return p->bridge;
}

const char *port_guest(const struct port *p)
{
	return p->guest;
}

const uint8_t *port_mac(const struct port *p)
{
	return p->mac;
}

uint32_t port_ip(const struct port *p)
{
	return p->ip;
}

void port_make_ip6(const struct port *p, uint8_t ret[IPV6_LEN])
{
	bridge_prefix6(p->bridge, ret);
	ipv6_set_host(ret, p->mac);
}

/* A guest may take several; the first is the one by which it is known. */
void port_seen6(struct port *p, const uint8_t *ip)
{
	uint8_t made[IPV6_LEN];

	port_make_ip6(p, made);
	if (!bridge_has_ipv6(p->bridge) ||
	    (p->has_ip6 && (!ip || !p->is_ip6_guessed)))
		return;
	memcpy(p->ip6, ip ? ip : made, IPV6_LEN);
	p->has_ip6 = true;
	p->is_ip6_guessed = !ip;
}

void port_gave_ip6(struct port *p)
{
	port_seen6(p, NULL);
}

bool port_ip6(const struct port *p, uint8_t ret[IPV6_LEN])
{
	if (p->has_ip6)
		memcpy(ret, p->ip6, IPV6_LEN);
	return p->has_ip6;
}

bool port_has_lease(const struct port *p)
{
	return p->has_lease;
}

void port_counters(const struct port *p, struct port_counters *ret)
{
	*ret = p->counters;
}
