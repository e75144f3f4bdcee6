/* SPDX-License-Identifier: MIT */
/* From the rules to the kernel: kernel_bridge.c has the theory. */
#include <errno.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/net/kernel_private.h"
#include "vmm/net/kernel_run.h"
#include "vmm/net/shaper.h"

static bool kernel_apply_is_same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len &&
	       (!a->len || !memcmp(buf_data(a), buf_data(b), a->len));
}

static int set_ifb(const struct kernel_bridge *k, bool is_there,
		   struct err *err)
{
	CLEANUP(buf_done) struct buf ip = {0};

	if (is_there)
		buf_printf(&ip,
			   "link add name %s type ifb\n"
			   "link set dev %s addrgenmode none\n"
			   "link set dev %s up\n",
			   k->ifb, k->ifb, k->ifb);
	else
		buf_printf(&ip, "link delete dev %s\n", k->ifb);
	return kernel_run(KERNEL_IP, &ip, err);
}

/* Leads the kernel there; -errno: somewhere between. */
static int lead(const struct kernel_bridge *k, const struct kernel_plan *from,
		const struct kernel_plan *to, struct err *err)
{
	CLEANUP(buf_done) struct buf tc = {0};
	int r = 0;

	if (to->has_ifb && !from->has_ifb)
		r = set_ifb(k, true, err);
	kernel_plan_diff(from, to, &tc);
	if (r == 0)
		r = kernel_run(KERNEL_TC, &tc, err);
	if (r == 0 && !kernel_apply_is_same(&from->nft, &to->nft))
		r = kernel_run(KERNEL_NFT, &to->nft, err);
	if (r == 0 && from->has_ifb && !to->has_ifb)
		r = set_ifb(k, false, err);
	return r;
}

/* From wherever it is back to the plan that it had. */
static void lead_back(struct kernel_bridge *k, const struct kernel_view *view)
{
	CLEANUP(buf_done) struct buf tc = {0}, ip = {0};
	struct kernel_plan nothing = {0};

	for (size_t i = 0; i < view->n_ports; i++)
		buf_printf(&tc,
			   "qdisc delete dev %s root\n"
			   "qdisc delete dev %s ingress\n",
			   view->ports[i].tap, view->ports[i].tap);
	kernel_run_all(KERNEL_TC, &tc);
	buf_printf(&ip, "link delete dev %s\n", k->ifb);
	kernel_run_all(KERNEL_IP, &ip);
	lead(k, &nothing, &k->plan, NULL);
}

/* What helps, where what the kernel said is known. */
static int kernel_apply_explain(const struct kernel_plan *p, struct err *err)
{
	if (p->has_netem && strstr(err->text, "qdisc kind is unknown"))
		return err_set(err, -ENOTSUP,
			       "this kernel has no netem (sch_netem), by which "
			       "it would delay, duplicate, reorder and "
			       "corrupt frames: load that module, or make the "
			       "bridge with network = \"user\"");
	if (p->has_duplicates && strstr(err->text, "netem"))
		return err_wrap(err,
				"this kernel duplicates frames only where all "
				"frames to a guest are under the same rules "
				"(network = \"user\" does it everywhere)");
	return err->code;
}

static int kernel_apply_apply(struct bridge *b, const struct kernel_view *view,
			      struct err *err)
{
	struct impair_table *rules = shaper_rules(vswitch_shaper(b->sw));
	struct kernel_bridge *k = b->kernel;
	struct kernel_plan plan;
	struct err why = {0};

	kernel_plan_make(&plan, view, rules);
	if (lead(k, &k->plan, &plan, &why) == 0) {
		kernel_plan_done(&k->plan);
		k->plan = plan;
		impair_copy(&k->rules, rules);
		return 0;
	}
	lead_back(k, view);
	impair_copy(rules, &k->rules);
	shaper_changed(vswitch_shaper(b->sw));
	kernel_apply_explain(&plan, &why);
	kernel_plan_done(&plan);
	return err_set(err, why.code, "bridge '%s': %s", b->name, why.text);
}

static void make_view(const struct bridge *b, struct kernel_port *ports,
		      struct kernel_view *ret)
{
	*ret = (struct kernel_view){
	    .name = b->kernel->name,
	    .ifb = b->kernel->ifb,
	    .gateway_mac = b->gateway.mac,
	    .ports = ports,
	};
	for (size_t i = 0; i < PORTS_MAX; i++) {
		const struct port *p = b->ports[i];

		if (p && p->place.tap.fd >= 0)
			ports[ret->n_ports++] = (struct kernel_port){
			    .swport = &p->swport,
			    .tap = p->place.tap.name,
			    .slot = p->slot,
			    .mac = p->mac,
			};
	}
}

int kernel_bridge_apply(struct bridge *b, struct err *err)
{
	struct kernel_port ports[PORTS_MAX];
	struct kernel_view view;

	make_view(b, ports, &view);
	return kernel_apply_apply(b, &view, err);
}

void kernel_bridge_forget(struct bridge *b, const struct swport *swport,
			  const char *tap)
{
	impair_forget(&b->kernel->rules, swport);
	kernel_plan_forget(&b->kernel->plan, tap);
	if (!b->kernel->is_closing)
		kernel_bridge_apply(b, NULL);
}
