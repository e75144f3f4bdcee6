/* SPDX-License-Identifier: MIT */
/*
 * A bridge of the kernel's in the place of our switch. Frames from guest to
 * guest never come here:
 *
 *	guest a -- TAP --.                .-- TAP -- guest b
 *	                  \_Linux bridge_/
 *	                       |    `-- the bridge's own interface (captures)
 *	                     trunk, a TAP
 *	                       |
 *	          our switch: gateway, router
 *
 * The switch still stands between guests and gateway: a frame from the trunk
 * enters it by the port of the guest with that address, and what gateway and
 * router send to a guest, or to all, leaves by the trunk, once.
 */
#ifndef VMM_NET_KERNEL_BRIDGE_H
#define VMM_NET_KERNEL_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "vmm/net/bridge.h"
#include "vmm/net/tap.h"

struct kernel_net; /* of all bridges of a net */
struct kernel_bridge;

/* What a port has on it. */
struct kernel_place {
	struct tap tap;		 /* from attach to detach */
	struct tap_stats before; /* that do not count */
	bool is_plugged;	 /* a guest is behind it */
	bool is_qemus;		 /* which has the TAP itself */
};

struct kernel_net *kernel_net_free(struct kernel_net *n);

/* Its ports go now, one by one, and then it is removed. Both are of no effect
 * for a bridge that has none. */
void kernel_bridge_begin_free(struct bridge *b);
void kernel_bridge_free(struct bridge *b);
/* The interface that every frame enters. */
const char *kernel_bridge_interface(const struct bridge *b);
/* Does to frames what the rules say; where the kernel refuses that, they are as
 * they were the last time. 0 or -errno. */
int kernel_bridge_apply(struct bridge *b, struct err *err);
/* A frame of the gateway's or the router's, for one guest or all. */
void kernel_bridge_send(struct bridge *b, const uint8_t *p, size_t n);
/* The gateway or the router. */
bool kernel_bridge_is_ours(const struct bridge *b, const struct swport *from);

/* --- kernel_place.c --------------------------------------------------------
 */

/* p is in its bridge's table. 0 or -errno; then there is nothing to close. */
int kernel_place_open(struct port *p, struct err *err);
/* p is in no table any more. */
void kernel_place_close(struct port *p);
/* A copy of the TAP for QEMU, or -errno. */
int kernel_place_plug(struct port *p);
/* A guest that has a socket, or nobody. */
void kernel_place_join(struct port *p);
void kernel_place_unplug(struct port *p);
/* QEMU's TAP, which has left the bridge; and one that another port let go. */
int kernel_place_take(struct port *p);
int kernel_place_adopt(struct port *p, int take_fd, struct err *err);
/* The link has changed. */
void kernel_place_settle(struct port *p);
void kernel_place_counters(const struct port *p, struct port_counters *ret);

#endif
