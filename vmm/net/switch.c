/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * One frame at a time. What a callback puts in while a frame is being
 * forwarded (the gateway answers at once) is copied to the backlog and follows
 * when the frame is done: so every port and tap sees a question before its
 * answer, and the stack does not grow with what guests make each other say.
 * Taps of a port come after its delivery, which tells whether the frame got
 * through.
 *
 * Ports are an array of slots with holes, so that a port may go while a frame
 * is on its way round. Taps are a list, of which next_tap is the one that the
 * walk goes on with: a tap may go while they are being called.
 */
#include "vmm/net/switch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/net/mactable.h"
#include "vmm/net/packet.h"
#include "vmm/net/shaper.h"

struct waiting {
	struct swport *from;
	int64_t now_ns;
	STAILQ_ENTRY(waiting) link;
	size_t len;
	uint8_t data[];
};

struct vswitch {
	struct swport **ports; /* holes are NULL */
	size_t n_ports;
	struct mactable *macs;
	struct shaper *shaper; /* NULL: the network is perfect */
	TAILQ_HEAD(tap_list, vtap) taps;
	struct vtap *next_tap;
	STAILQ_HEAD(waiting_list, waiting) backlog;
	size_t n_backlog;
	uint64_t dropped;
	bool is_busy;
};

struct vswitch *vswitch_new(void)
{
	struct vswitch *sw = mem_zalloc(sizeof(*sw));

	sw->macs = mactable_new();
	TAILQ_INIT(&sw->taps);
	STAILQ_INIT(&sw->backlog);
	return sw;
}

struct vswitch *vswitch_free(struct vswitch *sw)
{
	if (!sw)
		return NULL;
	assert(!sw->is_busy && TAILQ_EMPTY(&sw->taps));
	for (size_t i = 0; i < sw->n_ports; i++)
		assert(!sw->ports[i]);
	assert(STAILQ_EMPTY(&sw->backlog));
	shaper_free(sw->shaper);
	mactable_free(sw->macs);
	free(sw->ports);
	free(sw);
	return NULL;
}

/* --- ports --------------------------------------------------------------- */

void vswitch_add(struct vswitch *sw, struct swport *p,
		 swport_deliver_cb deliver, void *ctx)
{
	size_t i = 0;

	while (i < sw->n_ports && sw->ports[i])
		i++;
	if (i == sw->n_ports) {
		sw->n_ports++;
		sw->ports = mem_realloc_array(sw->ports, sw->n_ports,
					      sizeof(struct swport *));
	}
	sw->ports[i] = p;
	*p = (struct swport){
	    .deliver = deliver, .ctx = ctx, .sw = sw, .slot = i};
	TAILQ_INIT(&p->macs);
}

static void drop_waiting(struct vswitch *sw, struct waiting *w)
{
	STAILQ_REMOVE(&sw->backlog, w, waiting, link);
	sw->n_backlog--;
	free(w);
}

void vswitch_remove(struct swport *p)
{
	struct vswitch *sw = p->sw;
	struct waiting *w, *next;

	if (!sw)
		return;
	for (w = STAILQ_FIRST(&sw->backlog); w; w = next) {
		next = STAILQ_NEXT(w, link);
		if (w->from == p)
			drop_waiting(sw, w);
	}
	vswitch_forget(p);
	if (sw->shaper)
		shaper_forget(sw->shaper, p);
	sw->ports[p->slot] = NULL;
	p->sw = NULL;
}

void vswitch_forget(struct swport *p)
{
	if (p->sw->shaper)
		shaper_drop(p->sw->shaper, p);
	mactable_forget(p->sw->macs, p);
}

void vswitch_pin(struct swport *p, const uint8_t mac[MAC_LEN])
{
	mactable_pin(p->sw->macs, p, mac);
}

/* --- taps ---------------------------------------------------------------- */

void vswitch_tap(struct vswitch *sw, struct vtap *t)
{
	TAILQ_INSERT_TAIL(&sw->taps, t, link);
}

void vswitch_untap(struct vswitch *sw, struct vtap *t)
{
	if (sw->next_tap == t)
		sw->next_tap = TAILQ_NEXT(t, link);
	TAILQ_REMOVE(&sw->taps, t, link);
}

/* Tells the taps of only, and with is_ingress those of the whole switch. */
static void tell_taps(struct vswitch *sw, const struct swport *only,
		      bool is_ingress, const struct frame *f)
{
	struct vtap *t;

	sw->next_tap = TAILQ_FIRST(&sw->taps);
	while ((t = sw->next_tap)) {
		sw->next_tap = TAILQ_NEXT(t, link);
		if (t->only == only || (is_ingress && !t->only))
			t->seen(t->ctx, f);
	}
}

/* --- the way of a frame -------------------------------------------------- */

static void arrive(void *ctx, struct swport *from, struct swport *to,
		   const struct frame *f)
{
	struct vswitch *sw = ctx;

	if (to->sw == sw && to->deliver(to->ctx, from, f))
		tell_taps(sw, to, false, f);
}

/*
 * The one way from a port to another. What a network does to frames between
 * two ports happens here, so that the taps of the sender see what it sent and
 * those of the receiver what came.
 */
static void pass(struct vswitch *sw, struct swport *from, struct swport *to,
		 const struct frame *f)
{
	if (!sw->shaper || from->is_unshaped || to->is_unshaped)
		arrive(sw, from, to, f);
	else if (from->sw) /* else it went while its frame goes round */
		shaper_pass(sw->shaper, from, to, f);
}

static void flood(struct vswitch *sw, struct swport *from,
		  const struct frame *f)
{
	for (size_t i = 0; i < sw->n_ports; i++)
		if (sw->ports[i] && sw->ports[i] != from &&
		    !sw->ports[i]->is_quiet)
			pass(sw, from, sw->ports[i], f);
}

static void switch_forward(struct vswitch *sw, struct swport *from,
			   const struct frame *f)
{
	const uint8_t *dst = f->data;
	struct swport *to = NULL;

	tell_taps(sw, from, true, f);
	if (!from->sw)
		return;
	mactable_learn(sw->macs, from, f->data + MAC_LEN, f->now_ns);
	if (!mac_is_group(dst))
		to = mactable_find(sw->macs, dst, f->now_ns);
	if (!to)
		flood(sw, from, f);
	else if (to != from)
		pass(sw, from, to, f);
}

static void keep_waiting(struct vswitch *sw, struct swport *from,
			 const struct frame *f)
{
	struct waiting *w;

	if (sw->n_backlog == VSWITCH_BACKLOG_MAX) {
		sw->dropped++;
		return;
	}
	w = mem_alloc(sizeof(*w) + f->len);
	w->from = from;
	w->now_ns = f->now_ns;
	w->len = f->len;
	memcpy(w->data, f->data, f->len);
	STAILQ_INSERT_TAIL(&sw->backlog, w, link);
	sw->n_backlog++;
}

static bool is_frame(const struct frame *f)
{
	static const uint8_t zero[MAC_LEN];

	return f->len >= FRAME_MIN && !mac_is_group(f->data + MAC_LEN) &&
	       memcmp(f->data + MAC_LEN, zero, MAC_LEN) != 0;
}

static void run_shaper(struct vswitch *sw, int64_t now_ns)
{
	if (sw->shaper)
		shaper_run(sw->shaper, now_ns);
}

/* What waits for the frame at hand, and what is due then. */
static void switch_finish(struct vswitch *sw, int64_t now_ns)
{
	struct waiting *w;

	run_shaper(sw, now_ns);
	while ((w = STAILQ_FIRST(&sw->backlog))) {
		struct frame next = {w->data, w->len, w->now_ns};

		STAILQ_REMOVE_HEAD(&sw->backlog, link);
		sw->n_backlog--;
		switch_forward(sw, w->from, &next);
		free(w);
		run_shaper(sw, now_ns);
	}
	sw->is_busy = false;
}

bool vswitch_input(struct swport *p, const struct frame *f)
{
	struct vswitch *sw = p->sw;

	if (!is_frame(f))
		return false;
	if (sw->is_busy) {
		keep_waiting(sw, p, f);
		return true;
	}
	sw->is_busy = true;
	run_shaper(sw, f->now_ns);
	if (p->sw)
		switch_forward(sw, p, f);
	switch_finish(sw, f->now_ns);
	return true;
}

/* --- the shaper ---------------------------------------------------------- */

struct shaper *vswitch_shaper(struct vswitch *sw)
{
	if (!sw->shaper)
		sw->shaper = shaper_new(arrive, sw);
	return sw->shaper;
}

int64_t vswitch_due(const struct vswitch *sw)
{
	return sw->shaper ? shaper_due(sw->shaper) : CLOCK_NEVER;
}

void vswitch_run(struct vswitch *sw, int64_t now_ns)
{
	assert(!sw->is_busy);
	sw->is_busy = true;
	switch_finish(sw, now_ns);
}

void vswitch_send(struct swport *from, struct swport *to, const struct frame *f)
{
	if (!from->sw) /* it went while its frame goes round */
		return;
	assert(from->sw->is_busy && from->sw == to->sw);
	pass(from->sw, from, to, f);
}

bool vswitch_is_busy(const struct vswitch *sw)
{
	return sw->is_busy;
}

uint64_t vswitch_dropped(const struct vswitch *sw)
{
	return sw->dropped;
}
