/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * An HTB class that may borrow is bound by its parent's ceiling, but what it
 * was promised (rate) it sends whatever the parent says. So below a pipe that
 * many share each has an equal part of it as its rate, and all of it as its
 * ceiling.
 *
 * Classes have numbers by slots: 0x10 + the slot of the sender, in the handle
 * 1: of a TAP and 2: of the IFB; what is below such a class has its number as
 * handle. Newer kernels take a netem that duplicates only as the one netem of a
 * device: senders with equal rules of which one is to duplicate share a class.
 *
 * netem puts a copy in at the root of its device, from where it goes the same
 * way. A loss of netem's would be drawn for each of the two, and a frame that
 * it both duplicates and loses passes once. So nftables loses frames, before
 * the device is chosen: copies do not come by there.
 *
 * A pipe's queue is as long as the shaper's (shaper.h). Below a netem it begins
 * when the latency is over, so the order is another one than the shaper's, and
 * the outcome the same.
 */
#include "vmm/net/kernel_plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/net/shaper.h"
#include "vmm/net/switch.h"

#define CLASS_FIRST 0x10u
#define CLASS_ALL   0x1u
/* Of the IFB, where all share a pipe: of frames from addresses that are no
 * guest's. HTB lets what has no class pass. */
#define CLASS_OTHERS 0xfu
/* The queue below a netem has its class's number plus this. */
#define HANDLE_INNER 0x1000u
/* No limit, for HTB and for netem; that of a `rate` keeps frames in order under
 * jitter, for it lets each wait for the one before. */
#define RATE_NONE "100gbit"
/* So much of a class before it is the next one's turn: two frames. */
#define QUANTUM 3028u
/* Out of so many random numbers. */
#define LOSS_SURE (UINT64_C(1) << 32)
/* The least that HTB takes. */
#define BPS_MIN UINT64_C(8)

struct planner {
	struct kernel_plan *plan;
	const struct kernel_view *view;
	const struct impair_table *rules;
	struct buf cut, map; /* elements for nft */
	struct loss_plan *losses;
	size_t n_losses;
};

/* The pairs whose frames are lost by the same chance. */
struct loss_plan {
	uint64_t below; /* of 2^32: the frame is lost */
	struct buf pairs;
};

static void add_item(struct kernel_plan *p, const char *object, const char *dev,
		     char *take_place, char *take_what)
{
	p->items =
	    mem_realloc_array(p->items, p->n_items + 1, sizeof(*p->items));
	struct kernel_item *i = &p->items[p->n_items++];
	i->object = object;
	i->dev = mem_strdup(dev);
	i->place = take_place;
	i->what = take_what;
}

static uint64_t bps_of(const struct planner *pl, const struct swport *from,
		       const struct swport *to)
{
	const struct impair_rule *r = impair_find(pl->rules, from, to);

	return r ? r->set.bps : 0;
}

/* --- pipes ---------------------------------------------------------------- */

static uint64_t queue_bytes(uint64_t bps)
{
	uint64_t n = bps / 8 / (NS_PER_SEC / SHAPER_QUEUE_NS);

	if (n > SHAPER_LANE_BYTES_MAX)
		n = SHAPER_LANE_BYTES_MAX;
	return n > SHAPER_QUEUE_BYTES ? n : SHAPER_QUEUE_BYTES;
}

static char *rate_text(uint64_t bps)
{
	return bps ? mem_printf("%" PRIu64 "bit", bps < BPS_MIN ? BPS_MIN : bps)
		   : mem_strdup(RATE_NONE);
}

/* rate and ceil in bits a second, 0: no limit. */
static void add_class(struct kernel_plan *p, const char *dev, char *take_place,
		      uint64_t rate, uint64_t ceil)
{
	CLEANUP(free_ptr) char *rate_arg = rate_text(rate);
	CLEANUP(free_ptr) char *ceil_arg = rate_text(ceil);

	add_item(p, "class", dev, take_place,
		 mem_printf("htb rate %s ceil %s quantum %u", rate_arg,
			    ceil_arg, QUANTUM));
}

/* An HTB, and the class of it that all others are below: bps 0: no limit. */
static void add_htb(struct kernel_plan *p, const char *dev, unsigned handle,
		    uint64_t bps)
{
	add_item(p, "qdisc", dev, mem_printf("root handle %u:", handle),
		 mem_printf("htb default 0x%x", CLASS_OTHERS));
	add_class(
	    p, dev,
	    mem_printf("parent %u: classid %u:%x", handle, handle, CLASS_ALL),
	    bps, bps);
}

static void add_queue(struct kernel_plan *p, const char *dev, unsigned major,
		      unsigned parent, unsigned handle, uint64_t bps)
{
	add_item(p, "qdisc", dev,
		 mem_printf("parent %x:%x handle %x:", major, parent, handle),
		 mem_printf("bfifo limit %" PRIu64, queue_bytes(bps)));
}

/* The smaller one that is a limit. */
static uint64_t narrower(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* The class of one of n senders, of what they share; each may be 0. */
static void add_sender(struct kernel_plan *p, const char *dev, unsigned handle,
		       unsigned minor, uint64_t own, uint64_t shared, size_t n)
{
	assert(n);
	uint64_t part = shared ? shared / n + !(shared / n) : 0;

	add_class(p, dev,
		  mem_printf("parent %u:%x classid %u:%x", handle, CLASS_ALL,
			     handle, minor),
		  narrower(own, part), narrower(own, shared));
}

/* --- what is no pipe ------------------------------------------------------ */

static bool is_netem(const struct impairment *i)
{
	bool is = i->latency_ns || i->jitter_ns;

	for (size_t c = 0; c < CHANCES; c++)
		is = is || (c != CHANCE_DROP && i->chance[c] > 0);
	return is;
}

/* NULL: none is wanted. It says all that it can: a netem that is changed keeps
 * some of what is not said, and forgets the rest. */
static char *netem_text(const struct impairment *i)
{
	CLEANUP(buf_done) struct buf b = {0};
	double reorder = i->chance[CHANCE_REORDER];
	int64_t latency_ns = i->latency_ns;

	if (!is_netem(i))
		return NULL;
	if (reorder > 0 && !latency_ns)
		latency_ns = KERNEL_REORDER_NS;
	buf_printf(&b, "netem limit %u", KERNEL_NETEM_LIMIT);
	buf_printf(&b, " delay %.3fus %.3fus", (double)latency_ns / 1e3,
		   (double)i->jitter_ns / 1e3);
	buf_printf(&b, " duplicate %.7g%%", i->chance[CHANCE_DUPLICATE] * 100);
	/* Of two of which each may overtake the other one can. */
	buf_printf(&b, " reorder %.7g%%", reorder / (1 + reorder) * 100);
	buf_printf(&b, " corrupt %.7g%%", i->chance[CHANCE_CORRUPT] * 100);
	buf_printf(&b, " rate " RATE_NONE);
	buf_append(&b, "", 1);
	return mem_strdup((const char *)buf_data(&b));
}

/* --- the way out, to one port --------------------------------------------- */

/* What a sender's frames go through on the TAP of another. */
struct lane_plan {
	struct impairment all; /* of the pair */
	uint64_t own;	       /* bps of (from, to) */
	char *netem;	       /* owned, or NULL */
	unsigned minor;	       /* 0: nothing */
	bool is_first;	       /* in its class */
};

/* Newer kernels: one netem a device, where it duplicates. */
static bool may_share(const struct lane_plan *a, const struct lane_plan *b)
{
	return a->netem && b->netem && a->own == b->own &&
	       a->all.chance[CHANCE_DUPLICATE] > 0 &&
	       !strcmp(a->netem, b->netem);
}

static void add_element(struct buf *b, const char *from, const char *to)
{
	buf_printf(b, "%s\"%s\" . \"%s\"", b->len ? ", " : "", from, to);
}

static void add_loss(struct planner *pl, const char *from, const char *to,
		     double p)
{
	uint64_t below = (uint64_t)(p * (double)LOSS_SURE);
	size_t i = 0;

	if (!(p > 0))
		return;
	/* The least chance is one. */
	below = below ? below : 1;
	while (i < pl->n_losses && pl->losses[i].below != below)
		i++;
	if (i == pl->n_losses) {
		pl->losses =
		    mem_realloc_array(pl->losses, i + 1, sizeof(*pl->losses));
		pl->losses[pl->n_losses++] = (struct loss_plan){.below = below};
	}
	add_element(&pl->losses[i].pairs, from, to);
}

static void plan_lane(struct planner *pl, const struct kernel_port *from,
		      const struct kernel_port *to, uint64_t shared,
		      struct lane_plan *ret)
{
	struct impair_path path;

	impair_compose(pl->rules, from->swport, to->swport, &path);
	ret->all = path.all;
	if (path.all.cuts) {
		add_element(&pl->cut, from->tap, to->tap);
		return;
	}
	add_loss(pl, from->tap, to->tap, path.all.chance[CHANCE_DROP]);
	ret->own = bps_of(pl, from->swport, to->swport);
	ret->netem = netem_text(&path.all);
	if (ret->netem || ret->own || shared) {
		ret->minor = CLASS_FIRST + from->slot;
		ret->is_first = true;
	}
}

/* Each sender to a class, their own or one that is there; the number of them.
 */
static size_t plan_lanes(struct planner *pl, const struct kernel_port *to,
			 uint64_t shared, struct lane_plan *lanes)
{
	const struct kernel_view *v = pl->view;
	size_t n = 0;

	for (size_t i = 0; i < v->n_ports; i++) {
		if (&v->ports[i] == to)
			continue;
		plan_lane(pl, &v->ports[i], to, shared, &lanes[i]);
		for (size_t j = 0; j < i && lanes[i].is_first; j++)
			if (lanes[j].is_first &&
			    may_share(&lanes[i], &lanes[j])) {
				lanes[i].minor = lanes[j].minor;
				lanes[i].is_first = false;
			}
		n += lanes[i].is_first;
		if (!lanes[i].minor)
			continue;
		add_element(&pl->map, v->ports[i].tap, to->tap);
		buf_printf(&pl->map, " : 1:%x", lanes[i].minor);
	}
	return n;
}

static void add_lane(struct kernel_plan *p, const char *dev,
		     const struct lane_plan *lane, uint64_t shared, size_t n)
{
	uint64_t bps = narrower(lane->own, shared);
	unsigned minor = lane->minor;

	add_sender(p, dev, 1, minor, lane->own, shared, n);
	if (!lane->netem) {
		add_queue(p, dev, 1, minor, minor, bps);
		return;
	}
	p->has_netem = true;
	if (lane->all.chance[CHANCE_DUPLICATE] > 0)
		p->has_duplicates = true;
	add_item(p, "qdisc", dev,
		 mem_printf("parent 1:%x handle %x:", minor, minor),
		 mem_strdup(lane->netem));
	if (bps)
		add_queue(p, dev, minor, 1, HANDLE_INNER + minor, bps);
}

static void plan_port(struct planner *pl, const struct kernel_port *to)
{
	const struct kernel_view *v = pl->view;
	struct kernel_plan *p = pl->plan;
	uint64_t shared = bps_of(pl, NULL, to->swport);
	CLEANUP(free_ptr)
	struct lane_plan *lanes = mem_zalloc((v->n_ports + 1) * sizeof(*lanes));
	size_t n = plan_lanes(pl, to, shared, lanes);

	if (n)
		add_htb(p, to->tap, 1, shared);
	for (size_t i = 0; i < v->n_ports; i++) {
		if (lanes[i].is_first)
			add_lane(p, to->tap, &lanes[i], shared, n);
		free(lanes[i].netem);
	}
}

/* --- the way in, from one port -------------------------------------------- */

static void add_filter(struct kernel_plan *p, const char *dev,
		       const char *parent, unsigned prio, char *take_what)
{
	add_item(p, "filter", dev,
		 mem_printf("parent %s protocol all prio %u", parent, prio),
		 take_what);
}

static void redirect(struct planner *pl, const struct kernel_port *from)
{
	struct kernel_plan *p = pl->plan;
	char mac[MAC_TEXT_MAX];

	add_item(p, "qdisc", from->tap, mem_strdup("handle ffff: ingress"),
		 mem_strdup(""));
	mac_format(pl->view->gateway_mac, mac);
	add_filter(p, from->tap, "ffff:", 1,
		   mem_printf("u32 match ether dst %s flowid 1:1", mac));
	add_filter(p, from->tap, "ffff:", 2,
		   mem_printf("u32 match u32 0 0 flowid 1:2 "
			      "action mirred egress redirect dev %s",
			      pl->view->ifb));
}

static void plan_sender(struct planner *pl, const struct kernel_port *from,
			uint64_t shared)
{
	const char *ifb = pl->view->ifb;
	uint64_t own = bps_of(pl, from->swport, NULL);
	unsigned minor = CLASS_FIRST + from->slot;
	char mac[MAC_TEXT_MAX];

	if (!own && !shared)
		return;
	add_sender(pl->plan, ifb, 2, minor, own, shared, pl->view->n_ports + 1);
	add_queue(pl->plan, ifb, 2, minor, minor, narrower(own, shared));
	mac_format(from->mac, mac);
	add_filter(
	    pl->plan, ifb, "2:", minor,
	    mem_printf("u32 match ether src %s flowid 2:%x", mac, minor));
	redirect(pl, from);
}

static void plan_ifb(struct planner *pl)
{
	const struct kernel_view *v = pl->view;
	struct kernel_plan *p = pl->plan;
	uint64_t shared = bps_of(pl, NULL, NULL);

	for (size_t i = 0; i < v->n_ports; i++)
		if (shared || bps_of(pl, v->ports[i].swport, NULL))
			p->has_ifb = true;
	if (!p->has_ifb)
		return;
	add_htb(p, v->ifb, 2, shared);
	if (shared) {
		add_sender(p, v->ifb, 2, CLASS_OTHERS, 0, shared,
			   v->n_ports + 1);
		add_queue(p, v->ifb, 2, CLASS_OTHERS, CLASS_OTHERS, shared);
	}
	for (size_t i = 0; i < v->n_ports; i++)
		plan_sender(pl, &v->ports[i], shared);
}

/* --- the plan ------------------------------------------------------------- */

static void kernel_plan_fill(struct buf *nft, const char *kind,
			     const char *table, const char *name,
			     const struct buf *elements)
{
	buf_printf(nft, "flush %s bridge %s %s\n", kind, table, name);
	if (elements->len)
		buf_printf(nft, "add element bridge %s %s { %.*s }\n", table,
			   name, (int)elements->len,
			   (char *)buf_data(elements));
}

static void fill_losses(struct planner *pl)
{
	struct buf *nft = &pl->plan->nft;
	const char *table = pl->view->name;

	buf_printf(nft, "flush chain bridge %s loss\n", table);
	for (size_t i = 0; i < pl->n_losses; i++) {
		struct loss_plan *l = &pl->losses[i];

		buf_printf(nft,
			   "add rule bridge %s loss iifname . oifname "
			   "{ %.*s } ",
			   table, (int)l->pairs.len,
			   (const char *)buf_data(&l->pairs));
		if (l->below < LOSS_SURE)
			buf_printf(nft, "meta random < %" PRIu64 " ", l->below);
		buf_printf(nft, "drop\n");
		buf_done(&l->pairs);
	}
	free(pl->losses);
}

void kernel_plan_make(struct kernel_plan *ret, const struct kernel_view *view,
		      const struct impair_table *rules)
{
	struct planner pl = {.plan = ret, .view = view, .rules = rules};

	*ret = (struct kernel_plan){0};
	if (!TAILQ_EMPTY(&rules->rules)) {
		for (size_t i = 0; i < view->n_ports; i++)
			plan_port(&pl, &view->ports[i]);
		plan_ifb(&pl);
	}
	kernel_plan_fill(&ret->nft, "set", view->name, "cut", &pl.cut);
	kernel_plan_fill(&ret->nft, "map", view->name, "class", &pl.map);
	fill_losses(&pl);
	buf_done(&pl.cut);
	buf_done(&pl.map);
}

static void free_item(struct kernel_item *i)
{
	free(i->dev);
	free(i->place);
	free(i->what);
}

void kernel_plan_done(struct kernel_plan *p)
{
	for (size_t i = 0; i < p->n_items; i++)
		free_item(&p->items[i]);
	free(p->items);
	buf_done(&p->nft);
	*p = (struct kernel_plan){0};
}

void kernel_plan_forget(struct kernel_plan *p, const char *dev)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_items; i++) {
		if (strcmp(p->items[i].dev, dev) != 0)
			p->items[n++] = p->items[i];
		else
			free_item(&p->items[i]);
	}
	p->n_items = n;
}

void kernel_tables_make(const struct kernel_view *view, struct buf *ret_nft)
{
	buf_printf(ret_nft,
		   "table bridge %s {\n"
		   "set cut { type ifname . ifname; }\n"
		   "map class { type ifname . ifname : classid; }\n"
		   "chain loss { }\n"
		   "chain forward {\n"
		   "type filter hook forward priority 0; policy accept;\n"
		   "iifname . oifname @cut drop\n"
		   "jump loss\n"
		   "meta priority set iifname . oifname map @class\n"
		   "}\n"
		   "}\n",
		   view->name);
	/* This host is not on the network: what a capture lets the bridge's own
	 * interface see goes no further. */
	buf_printf(ret_nft,
		   "table netdev %s {\n"
		   "chain host {\n"
		   "type filter hook ingress device \"%s\" priority 0; "
		   "policy drop;\n"
		   "}\n"
		   "}\n",
		   view->name, view->name);
}

void kernel_tables_remove(const char *name, struct buf *ret_nft)
{
	buf_printf(ret_nft,
		   "delete table netdev %s\n"
		   "delete table bridge %s\n",
		   name, name);
}
