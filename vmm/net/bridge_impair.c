/* SPDX-License-Identifier: MIT */
/* A bridge's rules for its shaper, and the timer for what that holds back. */
#include <errno.h>

#include "agent-proto/clock.h"
#include "vmm/net/bridge_private.h"
#include "vmm/net/shaper.h"

static void on_due(void *ctx)
{
	struct bridge *b = ctx;

	b->armed_ns = CLOCK_NEVER;
	vswitch_run(b->sw, clock_now_ns());
	bridge_arm(b);
}

void bridge_arm(struct bridge *b)
{
	int64_t due_ns = vswitch_due(b->sw);

	/* Freed, in what the frame at hand brought about. */
	if (!b->net || due_ns == b->armed_ns)
		return;
	if (!b->timer)
		b->timer = timer_new(b->loop, on_due, b);
	timer_set(b->timer, due_ns);
	b->armed_ns = due_ns;
}

void bridge_disarm(struct bridge *b)
{
	b->timer = timer_free(b->timer);
}

static const struct swport *swport_of(const struct port *p)
{
	return p ? &p->swport : NULL;
}

struct impairment *bridge_impairment(struct bridge *b, const struct port *from,
				     const struct port *to)
{
	struct impair_table *rules = shaper_rules(vswitch_shaper(b->sw));

	return &impair_rule(rules, swport_of(from), swport_of(to))->set;
}

struct impairment bridge_get_impairment(const struct bridge *b,
					const struct port *from,
					const struct port *to)
{
	const struct impair_table *rules = shaper_rules(vswitch_shaper(b->sw));
	const struct impair_rule *r =
	    impair_find(rules, swport_of(from), swport_of(to));

	return r ? r->set : (struct impairment){0};
}

int bridge_impaired(struct bridge *b, struct err *err)
{
	int r = b->kernel ? kernel_bridge_apply(b, err) : 0;

	shaper_changed(vswitch_shaper(b->sw));
	bridge_arm(b);
	return r;
}

int bridge_reset_impairments(struct bridge *b, struct err *err)
{
	int r;

	shaper_reset(vswitch_shaper(b->sw));
	r = b->kernel ? kernel_bridge_apply(b, err) : 0;
	bridge_arm(b);
	return r;
}

int bridge_seed(struct bridge *b, uint64_t seed, struct err *err)
{
	if (b->kernel)
		return err_set(
		    err, -ENOTSUP,
		    "bridge '%s' has network \"kernel\", whose netem "
		    "takes no seed: make it with network = \"user\"",
		    b->name);
	shaper_seed(vswitch_shaper(b->sw), seed);
	return 0;
}

void bridge_shaper_counters(const struct bridge *b, struct shaper_counters *ret)
{
	shaper_counters(vswitch_shaper(b->sw), ret);
}
