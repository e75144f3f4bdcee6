/* SPDX-License-Identifier: MIT */
/*
 * The gateway's IPv6: it answers router solicitations with the bridge's prefix,
 * of which guests make addresses by themselves (SLAAC: RFC 4862), neighbour
 * solicitations for its own addresses (RFC 4861), echo, and DNS over UDP; it
 * forwards what is for another network. It never speaks unasked: what it says
 * holds for longer than any test.
 */
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/net/dns.h"
#include "vmm/net/gateway_private.h"

/* Lifetimes in seconds: of a default router at most so long (RFC 4861, 6.2.1),
 * of what it tells without end. */
#define ROUTER_LIFETIME 9000u
#define FOR_EVER	0xffffffffu

/* RFC 4861, 4.6; RFC 8106, 5. Lengths are in units of 8 bytes. */
enum {
	OPT_SOURCE_MAC = 1,
	OPT_TARGET_MAC = 2,
	OPT_PREFIX = 3,
	OPT_MTU = 5,
	OPT_DNS_SERVER = 25
};
enum { PREFIX_ON_LINK = 0x80, PREFIX_AUTONOMOUS = 0x40 };
enum { NA_ROUTER = 0x80, NA_SOLICITED = 0x40, NA_OVERRIDE = 0x20 };

static const uint8_t all_nodes[IPV6_LEN] = {0xff, 0x02, [15] = 1};
static const uint8_t all_nodes_mac[MAC_LEN] = {0x33, 0x33, 0, 0, 0, 1};

struct asked6 {
	struct gateway *g;
	struct swport *from;
	const struct frame *frame;
	const uint8_t *src_mac;
	struct ipv6_view ip;
	bool is_assembled;
};

static bool gateway6_is_ours(const struct gateway *g, const uint8_t *ip)
{
	return !memcmp(ip, g->ip6, IPV6_LEN) ||
	       !memcmp(ip, g->link_local, IPV6_LEN);
}

/* Back to who asked, from src; who has no address yet is among all. */
static struct packet_path6 path_back(const struct asked6 *a, const uint8_t *src,
				     uint8_t hops)
{
	bool is_nobody = ipv6_is_unspecified(a->ip.src);
	struct packet_path6 path = {.hops = hops};

	memcpy(path.src_mac, a->g->mac, MAC_LEN);
	memcpy(path.dst_mac, is_nobody ? all_nodes_mac : a->src_mac, MAC_LEN);
	memcpy(path.src, src, IPV6_LEN);
	memcpy(path.dst, is_nobody ? all_nodes : a->ip.src, IPV6_LEN);
	return path;
}

/* --- neighbour discovery -------------------------------------------------- */

static uint8_t *gateway6_put_mac(uint8_t *p, uint8_t type, const uint8_t *mac)
{
	p[0] = type;
	p[1] = 1;
	memcpy(p + 2, mac, MAC_LEN);
	return p + 8;
}

static uint8_t *put_prefix(uint8_t *p, const struct gateway *g)
{
	memset(p, 0, 32);
	p[0] = OPT_PREFIX;
	p[1] = 4;
	p[2] = 64;
	p[3] = PREFIX_ON_LINK | PREFIX_AUTONOMOUS;
	be_put32(p + 4, FOR_EVER);
	be_put32(p + 8, FOR_EVER);
	memcpy(p + 16, g->ip6, 8);
	return p + 32;
}

static uint8_t *put_mtu(uint8_t *p, const struct gateway *g)
{
	be_put32(p, (uint32_t)OPT_MTU << 24 | UINT32_C(1) << 16);
	be_put32(p + 4, g->mtu);
	return p + 8;
}

static uint8_t *put_dns_server(uint8_t *p, const struct gateway *g)
{
	be_put32(p, (uint32_t)OPT_DNS_SERVER << 24 | UINT32_C(3) << 16);
	be_put32(p + 4, FOR_EVER);
	memcpy(p + 8, g->ip6, IPV6_LEN);
	return p + 24;
}

static size_t on_router_solicit(struct asked6 *a, const struct icmp_view *icmp)
{
	struct gateway *g = a->g;
	struct packet_path6 path = path_back(a, g->link_local, IPV6_HOPS_NEAR);
	uint8_t *body = ICMP6_PAYLOAD(g->reply), *p = body;

	if (icmp->len < 4)
		return 0;
	g->owner->seen6(g->ctx, a->from, NULL);
	/* Hop limit, flags, lifetime; reachable time and retransmissions are
	 * the guest's choice. */
	memset(p, 0, 12);
	p[0] = IPV6_HOPS;
	be_put16(p + 2, ROUTER_LIFETIME);
	p = gateway6_put_mac(p + 12, OPT_SOURCE_MAC, g->mac);
	p = put_mtu(p, g);
	p = put_prefix(p, g);
	p = put_dns_server(p, g);
	return icmp6_finish(g->reply, &path, ICMP6_ROUTER_ADVERT, 0,
			    (size_t)(p - body));
}

/* It wants to know who has the target; or, without an address of its own,
 * whether anybody has what it is about to take (RFC 4862, 5.4.2). */
static size_t on_neighbour_solicit(struct asked6 *a,
				   const struct icmp_view *icmp)
{
	struct gateway *g = a->g;
	const uint8_t *target = icmp->rest + 4;
	bool is_nobody = ipv6_is_unspecified(a->ip.src);
	uint8_t *p = ICMP6_PAYLOAD(g->reply);

	if (icmp->len < 4 + IPV6_LEN)
		return 0;
	if (!gateway6_is_ours(g, target)) {
		if (is_nobody && !memcmp(target, g->ip6, 8))
			g->owner->seen6(g->ctx, a->from, target);
		return 0;
	}
	struct packet_path6 path = path_back(a, target, IPV6_HOPS_NEAR);
	memset(p, 0, 4);
	p[0] =
	    (uint8_t)(NA_ROUTER | NA_OVERRIDE | (is_nobody ? 0 : NA_SOLICITED));
	memcpy(p + 4, target, IPV6_LEN);
	gateway6_put_mac(p + 4 + IPV6_LEN, OPT_TARGET_MAC, g->mac);
	return icmp6_finish(g->reply, &path, ICMP6_NEIGHBOUR_ADVERT, 0,
			    4 + IPV6_LEN + 8);
}

static size_t on_near(struct asked6 *a, const struct icmp_view *icmp)
{
	/* RFC 6980: these are never in fragments. */
	if (a->ip.hops != IPV6_HOPS_NEAR || icmp->code || a->is_assembled)
		return 0;
	return icmp->type == ICMP6_ROUTER_SOLICIT
		   ? on_router_solicit(a, icmp)
		   : on_neighbour_solicit(a, icmp);
}

/* --- what is for the gateway ---------------------------------------------- */

static size_t on_echo(struct asked6 *a, const struct icmp_view *icmp)
{
	struct gateway *g = a->g;
	struct packet_path6 path;

	if (!gateway6_is_ours(g, a->ip.dst) || ipv6_is_unspecified(a->ip.src))
		return 0;
	path = path_back(a, a->ip.dst, IPV6_HOPS);
	memcpy(ICMP6_PAYLOAD(g->reply), icmp->rest, icmp->len);
	return icmp6_finish(g->reply, &path, ICMP6_ECHO_REPLY, 0, icmp->len);
}

static size_t on_icmp6(struct asked6 *a)
{
	struct icmp_view icmp;

	if (!icmp6_parse(&icmp, &a->ip))
		return 0;
	switch (icmp.type) {
	case ICMP6_ROUTER_SOLICIT:
	case ICMP6_NEIGHBOUR_SOLICIT:
		return on_near(a, &icmp);
	case ICMP6_ECHO_REQUEST:
		return on_echo(a, &icmp);
	default:
		return 0;
	}
}

static size_t on_udp6(struct asked6 *a)
{
	struct gateway *g = a->g;
	struct udp_view udp;
	size_t n;

	if (!gateway6_is_ours(g, a->ip.dst) || ipv6_is_unspecified(a->ip.src) ||
	    !udp6_parse(&udp, &a->ip) || udp.dport != DNS_PORT)
		return 0;
	n = gateway_resolve(g, a->from, &udp, UDP6_PAYLOAD(g->reply));
	/* The uplink is of IPv4: its names are asked for there. */
	if (!n || n == DNS_FOREIGN)
		return 0;
	struct packet_path6 path = path_back(a, a->ip.dst, IPV6_HOPS);
	path.sport = DNS_PORT;
	path.dport = udp.sport;
	return udp6_finish(g->reply, &path, n);
}

/* --- what is for another network ------------------------------------------ */

static bool is_elsewhere(const struct gateway *g, const uint8_t *ip)
{
	return !ipv6_is_multicast(ip) && !ipv6_is_link_local(ip) &&
	       !ipv6_is_unspecified(ip) && memcmp(ip, g->ip6, 8) != 0;
}

/* With as much of the packet as fits the least of MTUs (RFC 4443, 2.4); but not
 * of an error. */
static size_t gateway6_complain(struct asked6 *a, uint8_t type, uint8_t code)
{
	struct gateway *g = a->g;
	uint8_t *p = ICMP6_PAYLOAD(g->reply);
	size_t most = 1280 - IPV6_HEADER - 8;
	size_t n = IPV6_HEADER + a->ip.len;
	struct packet_path6 path = path_back(a, g->ip6, IPV6_HOPS);

	if (a->ip.next == IPV6_ICMP && a->ip.len && a->ip.body[0] < 128)
		return 0;
	if (n > most)
		n = most;
	memset(p, 0, 4);
	memcpy(p + 4, a->ip.body - IPV6_HEADER, n);
	return icmp6_finish(g->reply, &path, type, code, 4 + n);
}

static size_t gateway6_forward(struct asked6 *a)
{
	struct gateway *g = a->g;
	int code;

	if (ipv6_is_unspecified(a->ip.src) || ipv6_is_link_local(a->ip.src))
		return 0;
	if (a->ip.hops <= 1)
		return gateway6_complain(a, ICMP6_TIME_EXCEEDED, 0);
	code = g->owner->forward6(g->ctx, a->from, a->frame, a->ip.dst);
	return code < 0
		   ? 0
		   : gateway6_complain(a, ICMP6_UNREACHABLE, (uint8_t)code);
}

/* False: the datagram is not whole yet, or not for us. */
static bool gateway6_assemble(struct asked6 *a)
{
	struct ipv6_fragment_view v;

	if (!gateway6_is_ours(a->g, a->ip.dst) ||
	    !ipv6_parse_fragment(&v, &a->ip))
		return false;
	struct fragment f = {
	    .from = a->from,
	    .id = v.id,
	    .version = 6,
	    .protocol = v.next,
	    .offset = v.offset,
	    .has_more = v.has_more,
	    .body = v.body,
	    .len = v.len,
	    .now_ns = a->frame->now_ns,
	};
	memcpy(f.src, a->ip.src, IPV6_LEN);
	memcpy(f.dst, a->ip.dst, IPV6_LEN);
	a->ip.next = v.next;
	a->ip.body =
	    gateway_assemble(a->g, &f, UINT16_MAX - IPV6_HEADER, &a->ip.len);
	a->is_assembled = true;
	return a->ip.body;
}

size_t gateway6_answer(struct gateway *g, struct swport *from,
		       const struct frame *f, const struct eth_view *eth)
{
	struct asked6 a = {
	    .g = g, .from = from, .frame = f, .src_mac = eth->src};

	if (!g->has_ip6 || !ipv6_parse(&a.ip, eth->body, eth->len) ||
	    ipv6_is_multicast(a.ip.src))
		return 0;
	if (!mac_is_group(eth->dst) && is_elsewhere(g, a.ip.dst))
		return gateway6_forward(&a);
	if (a.ip.next == IPV6_FRAGMENT && !gateway6_assemble(&a))
		return 0;
	switch (a.ip.next) {
	case IPV6_ICMP:
		return on_icmp6(&a);
	case IPV4_UDP:
		return on_udp6(&a);
	default:
		return 0;
	}
}
