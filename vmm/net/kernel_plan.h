/* SPDX-License-Identifier: MIT */
/*
 * What the kernel has to be told so that it does to frames between guests what
 * a table of rules says (impair.h). No I/O: a plan is text, and so is the way
 * from one plan to the next.
 *
 * Of frames from TAP a to TAP b:
 *
 *	cut		dropped in nftables' forward hook, by the set `cut`
 *	loss		the same, by a random number, in the chain `loss`
 *	bandwidth	of (a, any) and (any, any): on the way in, where a's TAP
 *			redirects to the bridge's IFB, whose HTB has a class for
 *			each sender
 *			of (a, b) and (any, b): on the way out, by b's HTB, with
 *			a class for each sender, which the map `class` of the
 *			forward hook has chosen (HTB looks at the priority of a
 *			frame)
 *	the rest	a netem in that class
 *
 * The gateway's frames come by a TAP that no rule names: they pass HTB by its
 * direct queue. Frames for the gateway are not redirected to the IFB. Where no
 * rule wants it, there is no IFB, and no qdisc.
 */
#ifndef VMM_NET_KERNEL_PLAN_H
#define VMM_NET_KERNEL_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/buf.h"
#include "agent-proto/clock.h"
#include "vmm/net/addr.h"
#include "vmm/net/impair.h"

/* netem reorders by sending some frames at once while the others wait for their
 * latency: where they have none, they get this. */
#define KERNEL_REORDER_NS (10 * NS_PER_MS)
/* Frames that a netem holds at the most. */
#define KERNEL_NETEM_LIMIT 20000u

/* A guest's port, by slots that are the same in every run. */
struct kernel_port {
	const struct swport *swport;
	const char *tap;
	unsigned slot;
	const uint8_t *mac;
};

/* All borrowed. */
struct kernel_view {
	const char *name; /* of the bridge, and of its tables */
	const char *ifb;
	const uint8_t *gateway_mac;
	const struct kernel_port *ports;
	size_t n_ports;
};

/* Something that tc makes. */
struct kernel_item {
	const char *object; /* "qdisc", "class", "filter"; static */
	char *dev;
	char *place; /* where, and what it is called */
	char *what;
};

struct kernel_plan {
	struct kernel_item *items; /* each behind what it needs */
	size_t n_items;
	struct buf nft; /* fills set, map and chain, whatever is in them */
	bool has_ifb;
	bool has_netem, has_duplicates;
};

void kernel_plan_make(struct kernel_plan *ret, const struct kernel_view *view,
		      const struct impair_table *rules);
/* Leaves an empty one. */
void kernel_plan_done(struct kernel_plan *p);
/* That interface is gone, and what was on it. */
void kernel_plan_forget(struct kernel_plan *p, const char *dev);

/* Appends the batch for tc that leads from one to the other. What is the same
 * in both is left alone, with the frames that are in it. */
void kernel_plan_diff(const struct kernel_plan *from,
		      const struct kernel_plan *to, struct buf *ret_tc);

/* Appends what nft makes a bridge's tables of, empty; and what removes them. */
void kernel_tables_make(const struct kernel_view *view, struct buf *ret_nft);
void kernel_tables_remove(const char *name, struct buf *ret_nft);

#endif
