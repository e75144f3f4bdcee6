/* SPDX-License-Identifier: MIT */
/*
 * Captures of a bridge: what its switch sees, or for a bridge of the kernel's
 * what the kernel shows of an interface. A tap feeds each until it is ended, by
 * its stream's close, by the end of what it looks at, or by the bridge's. Its
 * stream may live on with what is still to be read, and is in the bridge's list
 * for so long: so it holds the bridge's memory.
 */
#include <assert.h>
#include <stdlib.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "streams/sniff.h"
#include "vmm/net/bridge_private.h"

struct bridge_tap {
	struct bridge *bridge;
	struct capture *capture;
	struct vtap tap;
	struct sniff *sniff; /* of the kernel's; or NULL */
	bool is_on;	     /* the switch, and in the bridge's list */
	TAILQ_ENTRY(bridge_tap) link;
};

static void bridge_capture_on_seen(void *ctx, const struct frame *f)
{
	struct bridge_tap *t = ctx;

	/* May close the stream, and so free t. */
	capture_packet(t->capture, clock_realtime_ns(), f->data, f->len);
}

static void take_off(struct bridge_tap *t)
{
	if (!t->is_on)
		return;
	t->is_on = false;
	if (t->sniff)
		t->sniff = sniff_close(t->sniff);
	else
		vswitch_untap(t->bridge->sw, &t->tap);
	TAILQ_REMOVE(&t->bridge->taps, t, link);
}

static void bridge_capture_on_closed(void *ctx, struct capture *c)
{
	struct bridge_tap *t = ctx;

	(void)c;
	take_off(t);
	bridge_release(t->bridge);
	free(t);
}

static void bridge_capture_on_packet(void *ctx, int64_t realtime_ns,
				     const void *p, size_t n)
{
	struct bridge_tap *t = ctx;

	/* May close the stream, and so free t. */
	capture_packet(t->capture, realtime_ns, p, n);
}

static void bridge_capture_on_broken(void *ctx, const struct err *err)
{
	struct bridge_tap *t = ctx;
	struct capture *c = t->capture;

	take_off(t);
	capture_break(c, err);
}

static const struct sniff_events sniff_events = {bridge_capture_on_packet,
						 bridge_capture_on_broken};

static void on_look(void *ctx)
{
	struct bridge_tap *t = ctx;

	if (t->sniff)
		sniff_poll(t->sniff);
}

/* Of the bridge's interface, which sees each frame once, on its way in. */
static int start_sniff(struct bridge_tap *t, const struct port *only,
		       struct err *err)
{
	const char *name =
	    only ? only->place.tap.name : kernel_bridge_interface(t->bridge);

	t->sniff =
	    sniff_open(t->bridge->loop, name, !only, &sniff_events, t, err);
	return t->sniff ? 0 : err->code;
}

/* As filter_scope's find. */
static bool bridge_capture_find_host(void *ctx, const char *name,
				     struct filter_host *ret)
{
	return names_find_host(ctx, name, ret);
}

struct stream *bridge_capture(struct bridge *b, struct port *only,
			      const struct capture_options *o,
			      const struct stream_label *label, struct err *err)
{
	struct bridge_tap *t = mem_zalloc(sizeof(*t));
	const struct filter_scope scope = {
	    .netmask = NET_MASK, .find = bridge_capture_find_host, .ctx = b};
	struct capture_options options = *o;
	struct stream *s;

	t->bridge = b;
	t->tap = (struct vtap){.seen = bridge_capture_on_seen,
			       .ctx = t,
			       .only = only ? &only->swport : NULL};
	options.scope = &scope;
	s = capture_new(b->loop, &options, b->net->spool_dir, label,
			&b->captures, bridge_capture_on_closed, t, &t->capture,
			err);
	if (!s) {
		free(t);
		return NULL;
	}
	/* What guests sent before this call is not in it. */
	for (size_t i = 0; i < PORTS_MAX; i++)
		if (b->ports[i])
			wire_drain(&b->ports[i]->wire);
	bridge_hold(b);
	if (b->kernel && start_sniff(t, only, err) < 0)
		return stream_free(s);
	if (t->sniff)
		capture_on_look(t->capture, on_look);
	else
		vswitch_tap(b->sw, &t->tap);
	TAILQ_INSERT_TAIL(&b->taps, t, link);
	t->is_on = true;
	return s;
}

static struct bridge_tap *bridge_capture_find(struct bridge *b,
					      const struct port *only)
{
	struct bridge_tap *t;

	TAILQ_FOREACH (t, &b->taps, link)
		if (!only || t->tap.only == &only->swport)
			return t;
	return NULL;
}

void bridge_end_captures(struct bridge *b, const struct port *only)
{
	struct bridge_tap *t;

	while ((t = bridge_capture_find(b, only))) {
		struct capture *c = t->capture;

		on_look(t);
		/* A reader of that may have closed it. */
		if (bridge_capture_find(b, only) != t)
			continue;
		take_off(t);
		/* May close the stream, and so free t. */
		capture_end(c);
	}
}
