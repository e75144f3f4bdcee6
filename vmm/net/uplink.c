/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. libslirp is written for poll(2): before each wait it
 * tells which descriptors it wants, for what, and how long it may sleep; after
 * it, it asks for each what is ready. Here a watch of the loop stands for each
 * descriptor and a timer for the sleep; whichever fires, service() polls all
 * of them at once without waiting, and asks anew.
 *
 * It does not know who the guests are, and asks by ARP before it sends to one
 * (and has forgotten it when there were 16 others since). The owner knows, so
 * the question never reaches the bridge: it is answered on the spot.
 */
#include "vmm/net/uplink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/net/packet.h"

/* disable_dhcp is of version 4. */
#define CONFIG_VERSION 4u
#define UPLINK_MASK    UINT32_C(0xfffffffc)
/* libslirp asks to be called again within a second even where nothing is due;
 * within less, something is. */
#define NOTHING_DUE_MS 1000u
#define ARP_FRAME      64u

struct poller {
	struct uplink *uplink;
	int fd;
	struct watch *watch;
	LIST_ENTRY(poller) link;
};

struct uplink {
	Slirp *slirp;
	struct loop *loop;
	const struct uplink_owner *owner;
	void *ctx;
	LIST_HEAD(poller_list, poller) pollers;
	size_t n_pollers;
	/* What it asked for last, in its order. */
	struct pollfd *polled;
	size_t n_polled, cap_polled;
	struct timer *timer;
	struct loop_hook hook; /* to ask it anew before the loop waits */
	bool is_stalled;       /* a packet waits for an answer that it has */
};

static void service(struct uplink *u);

/* --- what it wants -------------------------------------------------------- */

static short poll_events(int slirp_events)
{
	short events = 0;

	if (slirp_events & SLIRP_POLL_IN)
		events |= POLLIN;
	if (slirp_events & SLIRP_POLL_OUT)
		events |= POLLOUT;
	if (slirp_events & SLIRP_POLL_PRI)
		events |= POLLPRI;
	return events;
}

static int slirp_events(short revents)
{
	int events = 0;

	if (revents & POLLIN)
		events |= SLIRP_POLL_IN;
	if (revents & POLLOUT)
		events |= SLIRP_POLL_OUT;
	if (revents & POLLPRI)
		events |= SLIRP_POLL_PRI;
	if (revents & (POLLERR | POLLNVAL))
		events |= SLIRP_POLL_ERR;
	if (revents & POLLHUP)
		events |= SLIRP_POLL_HUP;
	return events;
}

static int on_add_poll(int fd, int events, void *opaque)
{
	struct uplink *u = opaque;

	if (u->n_polled == u->cap_polled) {
		u->cap_polled = u->cap_polled ? 2 * u->cap_polled : 16;
		u->polled = mem_realloc_array(u->polled, u->cap_polled,
					      sizeof(*u->polled));
	}
	u->polled[u->n_polled] =
	    (struct pollfd){.fd = fd, .events = poll_events(events)};
	return (int)u->n_polled++;
}

static int on_get_revents(int i, void *opaque)
{
	struct uplink *u = opaque;

	return i >= 0 && (size_t)i < u->n_polled
		   ? slirp_events(u->polled[i].revents)
		   : 0;
}

static short wanted(const struct uplink *u, int fd)
{
	short events = 0;

	for (size_t i = 0; i < u->n_polled; i++)
		if (u->polled[i].fd == fd)
			events |= u->polled[i].events;
	return events;
}

static void ask(struct uplink *u)
{
	uint32_t ms = UINT32_MAX;
	struct poller *p;

	u->n_polled = 0;
	slirp_pollfds_fill(u->slirp, &ms, on_add_poll, u);
	LIST_FOREACH (p, &u->pollers, link) {
		short events = wanted(u, p->fd);

		watch_set(p->watch,
			  (events & (POLLIN | POLLPRI) ? LOOP_READ : 0) |
			      (events & POLLOUT ? LOOP_WRITE : 0));
	}
	timer_set(u->timer, ms >= NOTHING_DUE_MS
				? CLOCK_NEVER
				: clock_deadline_ns(ms * NS_PER_MS));
}

static void uplink_on_before_wait(void *ctx)
{
	ask(ctx);
}

static void ask_soon(struct uplink *u)
{
	loop_before_wait(u->loop, &u->hook);
}

static void service(struct uplink *u)
{
	int n_ready;

	do {
		u->is_stalled = false;
		u->n_polled = 0;
		uint32_t ms = 0;
		slirp_pollfds_fill(u->slirp, &ms, on_add_poll, u);
		n_ready = poll(u->polled, u->n_polled, 0);
		slirp_pollfds_poll(u->slirp, n_ready < 0, on_get_revents, u);
	} while (u->is_stalled);
	ask_soon(u);
}

static void uplink_on_ready(void *ctx, int fd, unsigned ready)
{
	struct poller *p = ctx;

	(void)fd;
	(void)ready;
	service(p->uplink);
}

static void uplink_on_timer(void *ctx)
{
	service(ctx);
}

/* --- what it calls -------------------------------------------------------- */

/* A question of its own; false: it is none. */
static bool answer_arp(struct uplink *u, const uint8_t *frame, size_t n)
{
	struct packet_path path = {0};
	uint8_t reply[ARP_FRAME];
	struct eth_view eth;
	struct arp_view arp;

	if (!eth_parse(&eth, frame, n) || eth.type != ETHER_ARP)
		return false;
	if (!arp_parse(&arp, eth.body, eth.len) || arp.op != ARP_REQUEST ||
	    !u->owner->find(u->ctx, arp.target_ip, path.src_mac))
		return true;
	path.src_ip = arp.target_ip;
	path.dst_ip = arp.sender_ip;
	memcpy(path.dst_mac, arp.sender_mac, MAC_LEN);
	slirp_input(u->slirp, reply, (int)arp_build(reply, &path, ARP_REPLY));
	u->is_stalled = true;
	return true;
}

static ssize_t uplink_on_packet(const void *p, size_t n, void *opaque)
{
	struct uplink *u = opaque;

	if (n < FRAME_MIN || n > FRAME_MAX || answer_arp(u, p, n))
		return (ssize_t)n;
	uint8_t *copy = mem_dup(p, n);
	u->owner->send(u->ctx, copy, n);
	free(copy);
	return (ssize_t)n;
}

static void on_guest_error(const char *text, void *opaque)
{
	(void)text; /* it is the guest's affair what it sends */
	(void)opaque;
}

static int64_t on_clock(void *opaque)
{
	(void)opaque;
	return clock_now_ns();
}

/* Timers are for what IPv6 routers say by themselves: there are none. */
static void *on_timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
	(void)cb;
	(void)cb_opaque;
	return opaque;
}

static void on_timer_free(void *t, void *opaque)
{
	(void)t;
	(void)opaque;
}

static void on_timer_mod(void *t, int64_t expire_ms, void *opaque)
{
	(void)t;
	(void)expire_ms;
	(void)opaque;
}

static void on_register(int fd, void *opaque)
{
	struct uplink *u = opaque;
	struct poller *p = mem_zalloc(sizeof(*p));

	p->uplink = u;
	p->fd = fd;
	p->watch = watch_new(u->loop, fd, uplink_on_ready, p);
	LIST_INSERT_HEAD(&u->pollers, p, link);
	u->n_pollers++;
	ask_soon(u);
}

static void free_poller(void *ptr)
{
	free(ptr);
}

/* Before the descriptor is closed; perhaps in its own callback. */
static void on_unregister(int fd, void *opaque)
{
	struct uplink *u = opaque;
	struct poller *p;

	LIST_FOREACH (p, &u->pollers, link)
		if (p->fd == fd)
			break;
	if (!p)
		return;
	LIST_REMOVE(p, link);
	u->n_pollers--;
	p->watch = watch_free(p->watch);
	loop_defer_free(u->loop, p, free_poller);
	ask_soon(u);
}

static void on_notify(void *opaque)
{
	ask_soon(opaque);
}

static const SlirpCb callbacks = {
    .send_packet = uplink_on_packet,
    .guest_error = on_guest_error,
    .clock_get_ns = on_clock,
    .timer_new = on_timer_new,
    .timer_free = on_timer_free,
    .timer_mod = on_timer_mod,
    .register_poll_fd = on_register,
    .unregister_poll_fd = on_unregister,
    .notify = on_notify,
};

/* --- the uplink ----------------------------------------------------------- */

struct uplink *uplink_new(struct loop *l, const struct uplink_spec *spec,
			  const struct uplink_owner *owner, void *ctx,
			  struct err *err)
{
	struct uplink *u = mem_zalloc(sizeof(*u));
	SlirpConfig config = {
	    .version = CONFIG_VERSION,
	    .in_enabled = true,
	    .vnetwork.s_addr = htonl(spec->host_ip & UPLINK_MASK),
	    .vnetmask.s_addr = htonl(UPLINK_MASK),
	    .vhost.s_addr = htonl(spec->host_ip),
	    .vnameserver.s_addr = htonl(spec->dns_ip),
	    .if_mtu = spec->mtu,
	    .if_mru = spec->mtu,
	    .disable_dhcp = true,
	};

	u->loop = l;
	u->owner = owner;
	u->ctx = ctx;
	LIST_INIT(&u->pollers);
	u->hook = (struct loop_hook){.cb = uplink_on_before_wait, .ctx = u};
	u->timer = timer_new(l, uplink_on_timer, u);
	u->slirp = slirp_new(&config, &callbacks, u);
	if (!u->slirp) {
		err_set(err, -EINVAL, "libslirp %s refuses its configuration",
			slirp_version_string());
		return uplink_free(u);
	}
	return u;
}

static void uplink_destroy(void *ptr)
{
	struct uplink *u = ptr;

	free(u->polled);
	free(u);
}

struct uplink *uplink_free(struct uplink *u)
{
	if (!u)
		return NULL;
	if (u->slirp)
		slirp_cleanup(u->slirp);
	loop_hook_cancel(u->loop, &u->hook);
	timer_free(u->timer);
	/* Some that it closed without a word. */
	while (!LIST_EMPTY(&u->pollers)) {
		struct poller *p = LIST_FIRST(&u->pollers);

		LIST_REMOVE(p, link);
		watch_free(p->watch);
		free(p);
	}
	loop_defer_free(u->loop, u, uplink_destroy);
	return NULL;
}

/*
 * Not fragments: libslirp 4.7.0 loses its way in memory when one that is not
 * the beginning of its packet is the first to come.
 */
static bool is_fit(const uint8_t *frame, size_t n)
{
	struct eth_view eth;
	struct ipv4_view ip;

	return eth_parse(&eth, frame, n) && eth.type == ETHER_IPV4 &&
	       ipv4_parse(&ip, eth.body, eth.len) && !ip.is_fragment;
}

void uplink_input(struct uplink *u, const uint8_t *frame, size_t n)
{
	if (!is_fit(frame, n))
		return;
	slirp_input(u->slirp, frame, (int)n);
	if (u->is_stalled)
		service(u);
	else
		ask_soon(u);
}

size_t uplink_flows(const struct uplink *u)
{
	return u->n_pollers;
}
