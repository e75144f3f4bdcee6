/* SPDX-License-Identifier: MIT */
/* A guest's place on a bridge: its port of the switch, and the wire to the
 * QEMU that runs now, if any. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/net/bridge_private.h"
#include "vmm/net/packet6.h"

static void port_on_frame(void *ctx, const uint8_t *p, size_t n, int64_t now_ns)
{
	struct port *port = ctx;
	struct frame f = {p, n, now_ns};

	if (port->is_down)
		return;
	if (port->bridge->kernel) {
		tap_write(&port->place.tap, p, n);
		return;
	}
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

static const struct wire_events wire_events = {port_on_frame, on_bad};

bool port_receive(struct port *port, const uint8_t *data, size_t n)
{
	if (port->is_down)
		return false;
	switch (wire_send(&port->wire, data, n)) {
	case WIRE_SENT:
		port->counters.rx_frames++;
		port->counters.rx_bytes += n;
		return true;
	case WIRE_FULL:
		port->counters.dropped++;
		return false;
	case WIRE_GONE:
		return false;
	}
	return false;
}

static bool port_on_deliver(void *ctx, struct swport *from,
			    const struct frame *f)
{
	struct port *port = ctx;

	if (!port->bridge->kernel)
		return port_receive(port, f->data, f->len);
	/* The kernel has brought the frames of guests. */
	if (port->is_down || !kernel_bridge_is_ours(port->bridge, from))
		return false;
	kernel_bridge_send(port->bridge, f->data, f->len);
	return true;
}

static void port_destroy(void *ctx)
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
	leases_forget(p->bridge, p);
	p->bridge->ports[p->slot] = NULL;
	if (p->bridge->kernel)
		kernel_place_close(p);
	/* A frame may be on its way through here. */
	loop_defer_free(p->bridge->loop, p, port_destroy);
	return NULL;
}

struct port *port_new(struct bridge *b, unsigned slot, const char *guest,
		      struct err *err)
{
	struct port *p = mem_zalloc(sizeof(*p));

	p->bridge = b;
	p->guest = mem_strdup(guest);
	p->slot = slot;
	bridge_host(b, HOST_FIRST + slot, p->mac, &p->ip);
	wire_init(&p->wire, b->loop, &b->net->arena, &wire_events, p);
	p->place.tap.fd = -1;
	vswitch_add(b->sw, &p->swport, port_on_deliver, p);
	p->swport.is_quiet = b->kernel;
	b->ports[slot] = p;
	if (b->kernel && kernel_place_open(p, err) < 0) {
		err_wrap(err, "attaching '%s' to bridge '%s'", guest, b->name);
		return port_free(p);
	}
	return p;
}

/* What was on its way goes with the cable. */
static void let_go(struct port *p)
{
	wire_drain(&p->wire);
	vswitch_forget(&p->swport);
	leases_forget(p->bridge, p);
	p->has_lease = p->has_ip6 = false;
}

void port_restarted(struct port *p)
{
	leases_forget(p->bridge, p);
	p->has_lease = false;
}

int port_plug(struct port *p, int *ret_theirs, struct err *err)
{
	uint32_t ip;
	int r;

	port_unplug(p);
	bridge_host(p->bridge, HOST_FIRST + p->slot, p->mac, &ip);
	if (p->bridge->kernel) {
		r = kernel_place_plug(p);
		*ret_theirs = r;
		if (r < 0)
			err_set(err, r, "cannot copy a TAP: %s", strerror(-r));
	} else {
		r = wire_open(&p->wire, ret_theirs, err);
	}
	if (r < 0)
		return err_wrap(err, "plugging '%s' into bridge '%s'", p->guest,
				p->bridge->name);
	return 0;
}

bool port_is_tap(const struct port *p)
{
	return p->place.is_qemus;
}

void port_unplug(struct port *p)
{
	/* Its last words first. */
	let_go(p);
	wire_close(&p->wire);
	if (p->bridge->kernel)
		kernel_place_unplug(p);
}

void port_take(struct port *p, struct wire_socket *ret)
{
	let_go(p);
	if (port_is_tap(p)) {
		*ret = (struct wire_socket){.fd = kernel_place_take(p)};
		return;
	}
	if (p->bridge->kernel)
		kernel_place_unplug(p);
	wire_take(&p->wire, ret);
}

static bool is_socket(int fd)
{
	int type;
	socklen_t n = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0;
}

int port_give(struct port *p, struct wire_socket *take,
	      const uint8_t mac[MAC_LEN], struct err *err)
{
	bool is_wire = is_socket(take->fd);
	int r;

	if (!is_wire && !p->bridge->kernel)
		return err_set(err, -EBUSY,
			       "the NIC of '%s' has a TAP, from a bridge with "
			       "network \"kernel\": until the next boot it "
			       "takes only a place on another such bridge",
			       p->guest);
	memcpy(p->mac, mac, MAC_LEN);
	if (!is_wire)
		return kernel_place_adopt(p, TAKE_FD(take->fd), err);
	wire_give(&p->wire, take);
	if (!p->bridge->kernel)
		return 0;
	/* The rules go by its MAC, too. */
	r = kernel_bridge_apply(p->bridge, err);
	if (r == 0)
		kernel_place_join(p);
	return r;
}

bool port_is_home_mac(const struct port *p, const uint8_t mac[MAC_LEN])
{
	uint8_t home[MAC_LEN];
	uint32_t ip;

	bridge_host(p->bridge, HOST_FIRST + p->slot, home, &ip);
	return !memcmp(home, mac, MAC_LEN);
}

bool port_is_home(const struct port *p)
{
	return port_is_home_mac(p, p->mac);
}

void port_set_link(struct port *p, bool is_up)
{
	if (!is_up && !p->is_down)
		vswitch_forget(&p->swport);
	p->is_down = !is_up;
	if (p->bridge->kernel && p->place.tap.fd >= 0)
		kernel_place_settle(p);
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
	if (p->bridge->kernel)
		kernel_place_counters(p, ret);
	else
		*ret = p->counters;
}
