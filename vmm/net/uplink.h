/* SPDX-License-Identifier: MIT */
/*
 * A way out of a bridge, to whatever the host reaches: NAT in user space by
 * libslirp, without root. TCP and UDP flows of guests become sockets of this
 * process; an echo request becomes one where the host lets users ping
 * (net.ipv4.ping_group_range). IPv4. Nobody outside can begin a flow.
 *
 * It is fed frames and makes frames; what port of which switch they come from
 * is its owner's business.
 */
#ifndef VMM_NET_UPLINK_H
#define VMM_NET_UPLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "streams/loop.h"
#include "vmm/net/addr.h"

struct uplink;

struct uplink_spec {
	/* Guests that send there reach the host's loopback. Host byte order,
	 * as all below. */
	uint32_t host_ip;
	/* What is sent to its port 53 goes to the host's name server. In the
	 * same /30 as host_ip. */
	uint32_t dns_ip;
	uint32_t mtu; /* of packets, bytes */
};

struct uplink_owner {
	/* A frame for a guest; borrowed, and may be changed. */
	void (*send)(void *ctx, uint8_t *frame, size_t n);
	/* The MAC of the guest with that address; false: there is none. */
	bool (*find)(void *ctx, uint32_t ip, uint8_t ret_mac[MAC_LEN]);
};

/* owner and ctx are borrowed. NULL with err: no memory, no descriptors. */
struct uplink *uplink_new(struct loop *l, const struct uplink_spec *spec,
			  const struct uplink_owner *owner, void *ctx,
			  struct err *err);
/* Its flows end. */
struct uplink *uplink_free(struct uplink *u);

/* A frame of a guest that is for the world outside; what is no whole packet of
 * IPv4 is dropped, fragments among it.
 * owner->send() may be called before this returns. */
void uplink_input(struct uplink *u, const uint8_t *frame, size_t n);

/* Descriptors that it waits for: those of open flows. */
size_t uplink_flows(const struct uplink *u);

#endif
