/* SPDX-License-Identifier: MIT */
/*
 * A bridge's way out. What a guest sends to its gateway for the world outside
 * goes to the bridge's router, under the rules for that guest, and from there
 * to the uplink; what comes back enters the bridge there. Networks of other
 * bridges are no part of the world outside: those want a route.
 */
#include <assert.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "vmm/net/bridge_private.h"
#include "vmm/net/packet.h"

static void on_send(void *ctx, uint8_t *frame, size_t n)
{
	struct bridge *b = ctx;
	struct frame f = {frame, n, clock_now_ns()};

	memcpy(frame + MAC_LEN, b->gateway.mac, MAC_LEN);
	vswitch_input(&b->router, &f);
	bridge_arm(b);
}

static bool on_find(void *ctx, uint32_t ip, uint8_t ret_mac[MAC_LEN])
{
	return leases_find_host(ctx, ip, ret_mac);
}

int bridge_enable_uplink(struct bridge *b, struct err *err)
{
	static const struct uplink_owner owner = {on_send, on_find};
	struct uplink_spec spec = {.dns_ip = b->gateway.ip, .mtu = NET_MTU};
	uint8_t mac[MAC_LEN];

	if (b->uplink)
		return 0;
	bridge_host(b, HOST_UPLINK, mac, &spec.host_ip);
	b->uplink = uplink_new(b->loop, &spec, &owner, b, err);
	if (!b->uplink)
		return err_wrap(err, "the uplink of bridge '%s'", b->name);
	b->gateway.uplink_ip = spec.host_ip;
	return 0;
}

void bridge_disable_uplink(struct bridge *b)
{
	b->uplink = uplink_free(b->uplink);
	b->gateway.uplink_ip = 0;
}

bool bridge_has_uplink(const struct bridge *b)
{
	return b->uplink;
}

bool bridge_is_outside(const struct bridge *b, uint32_t ip)
{
	return b->uplink && (ip == b->gateway.uplink_ip ||
			     (ip & ~UINT32_C(0xffff)) != NET_PREFIX);
}
