/* SPDX-License-Identifier: MIT */
/*
 * Captures of a bridge. A tap feeds each until it is ended, by its stream's
 * close, by the end of what it looks at, or by the bridge's. Its stream may
 * live on with what is still to be read, and is in the bridge's list for so
 * long: so it holds the bridge's memory.
 */
#include <assert.h>
#include <stdlib.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/net/bridge_private.h"

struct bridge_tap {
	struct bridge *bridge;
	struct capture *capture;
	struct vtap tap;
	bool is_on; /* the switch, and in the bridge's list */
	TAILQ_ENTRY(bridge_tap) link;
};

static void on_seen(void *ctx, const struct frame *f)
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
	vswitch_untap(t->bridge->sw, &t->tap);
	TAILQ_REMOVE(&t->bridge->taps, t, link);
}

static void on_closed(void *ctx, struct capture *c)
{
	struct bridge_tap *t = ctx;

	(void)c;
	take_off(t);
	bridge_release(t->bridge);
	free(t);
}

struct stream *bridge_capture(struct bridge *b, struct port *only,
			      const struct capture_options *o,
			      const struct stream_label *label, struct err *err)
{
	struct bridge_tap *t = mem_zalloc(sizeof(*t));
	struct stream *s;

	t->bridge = b;
	t->tap = (struct vtap){
	    .seen = on_seen, .ctx = t, .only = only ? &only->swport : NULL};
	s = capture_new(b->loop, o, b->net->spool_dir, label, &b->captures,
			on_closed, t, &t->capture, err);
	if (!s) {
		free(t);
		return NULL;
	}
	/* What guests sent before this call is not in it. */
	for (size_t i = 0; i < PORTS_MAX; i++)
		if (b->ports[i])
			wire_drain(&b->ports[i]->wire);
	vswitch_tap(b->sw, &t->tap);
	TAILQ_INSERT_TAIL(&b->taps, t, link);
	t->is_on = true;
	bridge_hold(b);
	return s;
}

static struct bridge_tap *find(struct bridge *b, const struct port *only)
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

	while ((t = find(b, only))) {
		take_off(t);
		/* May close the stream, and so free t. */
		capture_end(t->capture);
	}
}
