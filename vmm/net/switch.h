/* SPDX-License-Identifier: MIT */
/*
 * A learning Ethernet switch, frame by frame: no file descriptors, no clock.
 * Time comes with each frame. VLAN tags, and addresses that a bridge of IEEE
 * 802.1D keeps to itself (LLDP, LACP), pass like any other, as on a cable.
 *
 * A frame goes through three places:
 *
 *	vswitch_input()	checked, seen by the taps of the whole switch and of
 *			its port, its sender learned; then for each port that
 *			it goes to
 *	pass()		from this port to that one: the only such place, where a
 *			shaper, if there is one, decides about it
 *	arrive()	delivered, and seen by the taps of that port if it took
 *			the frame
 *
 * Callbacks may remove ports and taps, also their own; what they put in with
 * vswitch_input() is forwarded when the frame at hand is done.
 */
#ifndef VMM_NET_SWITCH_H
#define VMM_NET_SWITCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/clock.h"
#include "vmm/net/addr.h"

/* Addresses remembered of one port; a flood of them costs the port its own
 * oldest ones and no other port anything. */
#define VSWITCH_PORT_MACS_MAX 256u
/* An address that was silent for so long is forgotten (IEEE 802.1D, 7.9.2). */
#define VSWITCH_MAC_AGE_NS (300 * NS_PER_SEC)
/* Frames waiting for the one at hand; more are dropped. */
#define VSWITCH_BACKLOG_MAX 256u

struct vswitch;
struct swport;
struct shaper;
struct mac_entry;

struct frame {
	const uint8_t *data;
	size_t len; /* >= FRAME_MIN */
	int64_t now_ns;
};

/* f is borrowed for the call. False: the frame did not get through, for there
 * is no link, no guest, or no room in its queue. */
typedef bool (*swport_deliver_cb)(void *ctx, struct swport *from,
				  const struct frame *f);

/* A place on the switch; embedded by whoever it is. Its memory must outlive
 * the frame at hand after vswitch_remove(). */
struct swport {
	swport_deliver_cb deliver;
	void *ctx;
	struct vswitch *sw; /* NULL: not on one */
	size_t slot;
	/* The owner's to set: its frames go past the shaper; those that go
	 * everywhere do not come here. */
	bool is_unshaped, is_quiet;
	size_t n_macs;
	TAILQ_HEAD(mac_list, mac_entry) macs; /* the longest silent first */
};

/* Sees frames: those that enter the switch (only NULL), or those from one port
 * and those that it took. The caller's. */
struct vtap {
	void (*seen)(void *ctx, const struct frame *f);
	void *ctx;
	const struct swport *only;
	TAILQ_ENTRY(vtap) link;
};

struct vswitch *vswitch_new(void);
/* Not in a callback; ports and taps are off it. */
struct vswitch *vswitch_free(struct vswitch *sw);

/* Frames that go everywhere visit ports in order of their slots, the lowest
 * that were free. */
void vswitch_add(struct vswitch *sw, struct swport *p,
		 swport_deliver_cb deliver, void *ctx);
/* Idempotent. */
void vswitch_remove(struct swport *p);
/* Forgets the addresses behind p, pinned ones too, and what is on its way from
 * and to it. */
void vswitch_forget(struct swport *p);
/* mac is behind p for good, whatever frames from elsewhere claim. */
void vswitch_pin(struct swport *p, const uint8_t mac[MAC_LEN]);

/* A frame from p. False when it is none: too short, or its sender's address
 * is of a group or zero. */
bool vswitch_input(struct swport *p, const struct frame *f);
/* A frame from one port to another as if the switch had found the way; in a
 * callback of it. */
void vswitch_send(struct swport *from, struct swport *to,
		  const struct frame *f);
/* A callback of this switch is on the stack. */
bool vswitch_is_busy(const struct vswitch *sw);

void vswitch_tap(struct vswitch *sw, struct vtap *t);
void vswitch_untap(struct vswitch *sw, struct vtap *t);

/* The switch's own, made with the first call: what it holds back arrives by
 * vswitch_input() and vswitch_run(). */
struct shaper *vswitch_shaper(struct vswitch *sw);
/* When vswitch_run() has something to do; CLOCK_NEVER: nothing. */
int64_t vswitch_due(const struct vswitch *sw);
/* Not in a callback of this switch. */
void vswitch_run(struct vswitch *sw, int64_t now_ns);

/* Frames that the backlog had no room for. */
uint64_t vswitch_dropped(const struct vswitch *sw);

#endif
