/* SPDX-License-Identifier: MIT */
/*
 * A bridge as JSON: what a snapshot keeps of it, and how it is made again. Its
 * captures, and frames on their way, are no part of that.
 *
 *	{"name", "number", "ipv6", "dhcp"?, "kernel", "uplink", "seed",
 *	 "routes": [bridge...], "ports": [{"guest", "slot", "link"}...],
 *	 "rules": [{"from"?, "to"?, "cuts", "latency_ns", ...}...]}
 */
#ifndef VMM_NET_BRIDGE_STATE_H
#define VMM_NET_BRIDGE_STATE_H

#include <jansson.h>

#include "vmm/net/bridge.h"

/* The caller's. */
json_t *bridge_save(const struct bridge *b);
/* With the number that it had, and so the addresses, where that is free. */
struct bridge *bridge_new_saved(struct net *n, const char *name,
				const json_t *saved, struct err *err);
/* The same of a guest's place. */
struct port *bridge_attach_at(struct bridge *b, const char *guest,
			      unsigned slot, struct err *err);
/* Impairments, seed, links and uplink become what was saved; routes and ports
 * are the caller's. Rules of guests that are not here are left out. */
int bridge_load(struct bridge *b, const json_t *saved, struct err *err);

#endif
