/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * The Linux bridge is made by ip(8) and bridge(8), which are given a batch and
 * end: nothing of it needs this process, and all of it is found by its name
 * when this process is no more (kernel_sweep.h). It has no address of the
 * host's, and answers to nothing: the host is not on the network.
 *
 * The gateway's address is pinned to the trunk (sticky): no guest can take it.
 * Which guest a frame from the trunk is of, its source address says: what comes
 * from an address that is no guest's gets no answer.
 *
 * The rules of impairments stay where they are for every bridge, in the
 * shaper. From them a plan is made (kernel_plan.h), and the kernel is led from
 * the plan that it has to the new one. Where it refuses, it is led back, by way
 * of nothing, and so are the rules: the caller's change has not happened. What
 * the router gets and sends is shaped here, as ever; it has pipes of its own.
 */
#include "vmm/net/kernel_bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/net/kernel_host.h"
#include "vmm/net/kernel_private.h"
#include "vmm/net/kernel_run.h"
#include "vmm/net/kernel_sweep.h"
#include "vmm/net/shaper.h"

/* --- of all bridges ------------------------------------------------------- */

static struct kernel_net *kernel_net_new(struct err *err)
{
	struct kernel_net *n;

	struct err why;

	if (kernel_host_check(&why) < 0) {
		err_set(err, why.code,
			"%s: run it as root, or in a namespace of its own "
			"(unshare -rn), and see provium doctor; network = "
			"\"user\" needs no rights",
			why.text);
		return NULL;
	}
	n = mem_zalloc(sizeof(*n));
	if (kernel_tag_take(&n->tag, err) < 0) {
		free(n);
		return NULL;
	}
	kernel_sweep();
	return n;
}

struct kernel_net *kernel_net_free(struct kernel_net *n)
{
	if (!n)
		return NULL;
	kernel_tag_done(&n->tag);
	free(n);
	return NULL;
}

int kernel_next_tap(struct kernel_net *n, char ret[IF_NAMESIZE],
		    struct err *err)
{
	if (n->n_taps == KERNEL_NUMBER_MAX)
		return err_set(err, -ENOSPC, "%u TAPs were made already",
			       KERNEL_NUMBER_MAX);
	kernel_name(&n->tag, KERNEL_TAP, ++n->n_taps, ret);
	return 0;
}

/* --- the trunk ------------------------------------------------------------ */

bool kernel_bridge_is_ours(const struct bridge *b, const struct swport *from)
{
	return from == &b->gateway.port || from == &b->router;
}

void kernel_bridge_send(struct bridge *b, const uint8_t *p, size_t n)
{
	tap_write(&b->kernel->trunk, p, n);
}

/* For everybody, or for an address that no port has. */
static bool kernel_bridge_on_deliver(void *ctx, struct swport *from,
				     const struct frame *f)
{
	struct bridge *b = ctx;

	if (from == &b->gateway.port)
		kernel_bridge_send(b, f->data, f->len);
	return true;
}

static struct port *find_sender(const struct bridge *b, const uint8_t *mac)
{
	for (size_t i = 0; i < PORTS_MAX; i++) {
		struct port *p = b->ports[i];

		if (p && p->place.is_plugged && !p->is_down &&
		    !memcmp(p->mac, mac, MAC_LEN))
			return p;
	}
	return NULL;
}

static void kernel_bridge_on_frame(void *ctx, const uint8_t *p, size_t n,
				   int64_t now_ns)
{
	struct bridge *b = ctx;
	struct port *from = find_sender(b, p + MAC_LEN);
	struct frame f = {p, n, now_ns};

	if (!from)
		return;
	vswitch_input(&from->swport, &f);
	bridge_arm(b);
}

/* --- making it ------------------------------------------------------------ */

/*
 * addrgenmode before up: else the host would say things of IPv6. arp off: or
 * answer for its own addresses. group_fwd_mask: of the addresses that a bridge
 * keeps to itself the most that the kernel lets pass.
 */
static void add_interfaces(const struct kernel_bridge *k, struct buf *ip)
{
	buf_printf(ip,
		   "link add name %s type bridge stp_state 0 forward_delay 0 "
		   "mcast_snooping 0 group_fwd_mask 65528\n"
		   "link set dev %s addrgenmode none\n"
		   "link set dev %s arp off up\n",
		   k->name, k->name, k->name);
	buf_printf(ip,
		   "link set dev %s addrgenmode none\n"
		   "link set dev %s master %s\n"
		   "link set dev %s up\n",
		   k->trunk.name, k->trunk.name, k->name, k->trunk.name);
}

static int kernel_bridge_set_up(struct bridge *b, struct err *err)
{
	CLEANUP(buf_done) struct buf ip = {0}, fdb = {0}, nft = {0};
	struct kernel_bridge *k = b->kernel;
	struct kernel_view view = {.name = k->name};
	char mac[MAC_TEXT_MAX];
	int r;

	mac_format(b->gateway.mac, mac);
	add_interfaces(k, &ip);
	buf_printf(&fdb, "fdb replace %s dev %s master static sticky\n", mac,
		   k->trunk.name);
	kernel_tables_make(&view, &nft);
	r = kernel_run(KERNEL_IP, &ip, err);
	if (r == 0)
		r = kernel_run(KERNEL_FDB, &fdb, err);
	if (r == 0)
		r = kernel_run(KERNEL_NFT, &nft, err);
	return r;
}

static int use_kernel(struct bridge *b, struct err *err)
{
	struct kernel_bridge *k;
	char trunk[IF_NAMESIZE];
	int r;

	if (!b->net->kernel)
		b->net->kernel = kernel_net_new(err);
	if (!b->net->kernel)
		return err->code;
	r = kernel_next_tap(b->net->kernel, trunk, err);
	if (r < 0)
		return r;
	k = b->kernel = mem_zalloc(sizeof(*k));
	kernel_name(&b->net->kernel->tag, KERNEL_BRIDGE, b->number, k->name);
	kernel_name(&b->net->kernel->tag, KERNEL_IFB, b->number, k->ifb);
	impair_init(&k->rules);
	vswitch_add(b->sw, &k->swport, kernel_bridge_on_deliver, b);
	k->swport.is_unshaped = true;
	r = tap_open(&k->trunk, trunk, b->loop, &b->net->arena,
		     kernel_bridge_on_frame, b, err);
	if (r == 0)
		r = kernel_bridge_set_up(b, err);
	if (r == 0)
		r = kernel_bridge_apply(b, err);
	if (r == 0)
		tap_read(&k->trunk, true);
	return r;
}

int bridge_use_kernel(struct bridge *b, struct err *err)
{
	if (use_kernel(b, err) < 0)
		return err_wrap(err, "cannot make bridge '%s' in the kernel",
				b->name);
	return 0;
}

bool bridge_is_kernel(const struct bridge *b)
{
	return b->kernel;
}

const char *kernel_bridge_interface(const struct bridge *b)
{
	return b->kernel->name;
}

void kernel_bridge_begin_free(struct bridge *b)
{
	if (b->kernel)
		b->kernel->is_closing = true;
}

void kernel_bridge_free(struct bridge *b)
{
	CLEANUP(buf_done) struct buf ip = {0}, nft = {0};
	struct kernel_bridge *k = b->kernel;

	if (!k)
		return;
	vswitch_remove(&k->swport);
	tap_close(&k->trunk);
	kernel_tables_remove(k->name, &nft);
	kernel_run_all(KERNEL_NFT, &nft);
	buf_printf(&ip, "link delete dev %s\n", k->name);
	if (k->plan.has_ifb)
		buf_printf(&ip, "link delete dev %s\n", k->ifb);
	kernel_run_all(KERNEL_IP, &ip);
	kernel_plan_done(&k->plan);
	impair_done(&k->rules);
	b->kernel = NULL;
	/* A frame of the trunk's may be on its way through the switch. */
	loop_defer_free(b->loop, k, free);
}
