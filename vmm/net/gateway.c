/* SPDX-License-Identifier: MIT */
#include "vmm/net/gateway.h"

#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/net/dns.h"
#include "vmm/net/gateway_private.h"

/* A packet for the gateway, and who sent it. */
struct asked {
	struct gateway *g;
	struct swport *from;
	const struct frame *frame;
	const uint8_t *src_mac;
	struct ipv4_view ip;
	struct udp_view udp;
	bool is_assembled; /* of several frames; the last of them is frame */
};

static struct packet_path path_to(const struct gateway *g, const uint8_t *mac,
				  uint32_t ip)
{
	struct packet_path path = {.src_ip = g->ip, .dst_ip = ip};

	memcpy(path.src_mac, g->mac, MAC_LEN);
	memcpy(path.dst_mac, mac, MAC_LEN);
	return path;
}

/* --- ARP (RFC 826) ------------------------------------------------------- */

static size_t on_arp(struct gateway *g, const struct eth_view *eth)
{
	struct arp_view arp;

	if (!arp_parse(&arp, eth->body, eth->len) || arp.op != ARP_REQUEST ||
	    !arp.target_ip ||
	    (arp.target_ip != g->ip && arp.target_ip != g->uplink_ip) ||
	    mac_is_group(arp.sender_mac))
		return 0;
	/* A probe (RFC 5227) has no address yet: it is answered as well. */
	struct packet_path path = path_to(g, arp.sender_mac, arp.sender_ip);
	path.src_ip = arp.target_ip;
	return arp_build(g->reply, &path, ARP_REPLY);
}

/* --- ICMP ---------------------------------------------------------------- */

static size_t on_icmp(struct asked *a)
{
	struct gateway *g = a->g;
	struct icmp_view icmp;

	/* RFC 1122, 3.2.2.6: an echo to a broadcast may be left alone. */
	if (a->ip.dst != g->ip || !icmp_parse(&icmp, &a->ip) ||
	    icmp.type != ICMP_ECHO_REQUEST || icmp.code)
		return 0;
	struct packet_path path = path_to(g, a->src_mac, a->ip.src);
	memcpy(ICMP_PAYLOAD(g->reply), icmp.rest, icmp.len);
	return icmp_finish(g->reply, &path, ICMP_ECHO_REPLY, 0, icmp.len);
}

/* --- DHCP ---------------------------------------------------------------- */

static size_t on_dhcp(struct asked *a)
{
	static const uint8_t everybody[MAC_LEN] = {0xff, 0xff, 0xff,
						   0xff, 0xff, 0xff};
	struct gateway *g = a->g;
	struct dhcp_lease lease;
	struct dhcp_reply reply;
	struct packet_path path;
	struct dhcp_client client;

	if (g->has_no_dhcp || !dhcp_client(a->udp.body, a->udp.len, &client) ||
	    !g->owner->lease(g->ctx, a->from, &client, &lease))
		return 0;
	dhcp_answer(a->udp.body, a->udp.len, &lease, &reply);
	if (reply.event != DHCP_NOTHING)
		g->owner->leased(g->ctx, a->from, &client,
				 reply.event == DHCP_GRANTED);
	if (!reply.len)
		return 0;
	path = reply.is_broadcast ? path_to(g, everybody, IPV4_BROADCAST)
				  : path_to(g, reply.to_mac, reply.to_ip);
	path.sport = DHCP_SERVER_PORT;
	path.dport = DHCP_CLIENT_PORT;
	memcpy(UDP_PAYLOAD(g->reply), reply.bytes, reply.len);
	return udp_finish(g->reply, &path, reply.len);
}

/* --- DNS ----------------------------------------------------------------- */

static bool address_for(void *ctx, const char *name, uint32_t *ret_ip)
{
	struct asked *a = ctx;

	return a->g->owner->address(a->g->ctx, a->from, name, ret_ip);
}

static bool name_for(void *ctx, uint32_t ip, char ret[DNS_NAME_MAX])
{
	struct asked *a = ctx;

	return a->g->owner->name(a->g->ctx, a->from, ip, ret);
}

static bool address6_for(void *ctx, const char *name, uint8_t ret_ip[IPV6_LEN])
{
	struct asked *a = ctx;

	return a->g->owner->address6 &&
	       a->g->owner->address6(a->g->ctx, a->from, name, ret_ip);
}

static bool name6_for(void *ctx, const uint8_t ip[IPV6_LEN],
		      char ret[DNS_NAME_MAX])
{
	struct asked *a = ctx;

	return a->g->owner->name6 &&
	       a->g->owner->name6(a->g->ctx, a->from, ip, ret);
}

static bool is_foreign(void *ctx, const char *name)
{
	struct asked *a = ctx;

	return a->g->owner->is_foreign &&
	       a->g->owner->is_foreign(a->g->ctx, a->from, name);
}

size_t gateway_resolve(struct gateway *g, struct swport *from,
		       const struct udp_view *udp, uint8_t *ret)
{
	struct asked a = {.g = g, .from = from};
	struct dns_directory d = {
	    .address = address_for,
	    .name = name_for,
	    .address6 = address6_for,
	    .name6 = name6_for,
	    .is_foreign = is_foreign,
	    .ctx = &a,
	};

	return dns_answer(udp->body, udp->len, &d, ret);
}

static size_t on_dns(struct asked *a)
{
	struct gateway *g = a->g;
	size_t n;

	if (a->ip.dst != g->ip)
		return 0;
	n = gateway_resolve(g, a->from, &a->udp, UDP_PAYLOAD(g->reply));
	if (n == DNS_FOREIGN && !a->is_assembled)
		g->owner->send_out(g->ctx, a->from, a->frame);
	if (!n || n == DNS_FOREIGN)
		return 0;
	struct packet_path path = path_to(g, a->src_mac, a->ip.src);
	path.sport = DNS_PORT;
	path.dport = a->udp.sport;
	return udp_finish(g->reply, &path, n);
}

/* --- IPv4 ---------------------------------------------------------------- */

static const struct service {
	uint16_t port;
	size_t (*handle)(struct asked *a);
} services[] = {
    {DHCP_SERVER_PORT, on_dhcp},
    {DNS_PORT, on_dns},
};

static size_t on_udp(struct asked *a)
{
	if (!udp_parse(&a->udp, &a->ip))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		if (services[i].port == a->udp.dport)
			return services[i].handle(a);
	return 0;
}

/* The name server that is asked by TCP, for an answer that UDP has no room for,
 * is the other one: ours are short. */
static size_t on_tcp(struct asked *a)
{
	const struct gateway *g = a->g;

	if (!a->is_assembled && g->uplink_ip && a->ip.dst == g->ip &&
	    tcp_dport(&a->ip) == DNS_PORT)
		g->owner->send_out(g->ctx, a->from, a->frame);
	return 0;
}

/* False: the datagram is not whole yet. */
static bool gateway_assemble_asked(struct asked *a)
{
	struct fragment f = {
	    .from = a->from,
	    .id = a->ip.id,
	    .version = 4,
	    .protocol = a->ip.protocol,
	    .offset = a->ip.offset,
	    .has_more = a->ip.has_more,
	    .body = a->ip.body,
	    .len = a->ip.len,
	    .now_ns = a->frame->now_ns,
	};

	be_put32(f.src, a->ip.src);
	be_put32(f.dst, a->ip.dst);
	a->ip.body =
	    gateway_assemble(a->g, &f, UINT16_MAX - IPV4_HEADER, &a->ip.len);
	a->ip.is_fragment = false;
	a->is_assembled = true;
	return a->ip.body;
}

/* Not an address that a single host can have (RFC 1122, 3.2.1.3). */
static bool is_nobody(uint32_t ip)
{
	return ip >> 28 >= 0xe || ip >> 24 == 127;
}

static size_t on_ipv4(struct gateway *g, struct swport *from,
		      const struct frame *f, const struct eth_view *eth)
{
	struct asked a = {
	    .g = g, .from = from, .frame = f, .src_mac = eth->src};

	if (!ipv4_parse(&a.ip, eth->body, eth->len) || is_nobody(a.ip.src))
		return 0;
	if (a.ip.dst != g->ip && a.ip.dst != IPV4_BROADCAST &&
	    a.ip.dst != (g->ip | ~g->mask))
		return 0;
	if (a.ip.is_fragment &&
	    (a.ip.dst != g->ip || !gateway_assemble_asked(&a)))
		return 0;
	switch (a.ip.protocol) {
	case IPV4_ICMP:
		return on_icmp(&a);
	case IPV4_UDP:
		return on_udp(&a);
	case IPV4_TCP:
		return on_tcp(&a);
	default:
		return 0;
	}
}

/* --- packets for other networks ------------------------------------------- */

static bool is_for_elsewhere(const struct gateway *g,
			     const struct eth_view *eth, struct ipv4_view *ret)
{
	return !mac_is_group(eth->dst) &&
	       ipv4_parse(ret, eth->body, eth->len) && ret->src &&
	       !is_nobody(ret->src) && ret->dst && !is_nobody(ret->dst) &&
	       ((ret->dst & g->mask) != (g->ip & g->mask) ||
		ret->dst == g->uplink_ip);
}

/* Says what is wrong with a packet, by its header and the 8 bytes behind it
 * (RFC 792); but not of an error, nor of a fragment (RFC 1122, 3.2.2). */
static size_t gateway_complain(struct gateway *g, const struct eth_view *eth,
			       const struct ipv4_view *ip, uint8_t type,
			       uint8_t code)
{
	uint8_t *rest = ICMP_PAYLOAD(g->reply);
	struct packet_path path = path_to(g, eth->src, ip->src);
	size_t n = (size_t)(ip->body - eth->body);
	bool is_error = ip->protocol == IPV4_ICMP && ip->len &&
			ip->body[0] != ICMP_ECHO_REQUEST &&
			ip->body[0] != ICMP_ECHO_REPLY;

	if (is_error || ip->is_fragment)
		return 0;
	n += ip->len < 8 ? ip->len : 8;
	memset(rest, 0, 4);
	memcpy(rest + 4, eth->body, n);
	return icmp_finish(g->reply, &path, type, code, 4 + n);
}

static size_t gateway_forward(struct gateway *g, struct swport *from,
			      const struct frame *f, const struct eth_view *eth,
			      const struct ipv4_view *ip)
{
	int code;

	if (ip->ttl <= 1)
		return gateway_complain(g, eth, ip, ICMP_TIME_EXCEEDED, 0);
	code = g->owner->forward(g->ctx, from, f, ip->dst);
	return code < 0 ? 0
			: gateway_complain(g, eth, ip, ICMP_UNREACHABLE,
					   (uint8_t)code);
}

size_t gateway_answer(struct gateway *g, struct swport *from,
		      const struct frame *f)
{
	struct eth_view eth;
	struct ipv4_view ip;

	g->is_cut = false;
	if (!eth_parse(&eth, f->data, f->len) || mac_is_group(eth.src) ||
	    (!mac_is_group(eth.dst) && memcmp(eth.dst, g->mac, MAC_LEN) != 0))
		return 0;
	switch (eth.type) {
	case ETHER_ARP:
		return on_arp(g, &eth);
	case ETHER_IPV4:
		if (g->owner->forward && is_for_elsewhere(g, &eth, &ip))
			return gateway_forward(g, from, f, &eth, &ip);
		return on_ipv4(g, from, f, &eth);
	case ETHER_IPV6:
		return gateway6_answer(g, from, f, &eth);
	default:
		return 0;
	}
}

/* --- fragments ----------------------------------------------------------- */

const uint8_t *gateway_assemble(struct gateway *g, const struct fragment *f,
				size_t max, size_t *ret_len)
{
	const uint8_t *p;

	if (!g->fragments)
		g->fragments = reassembly_new();
	p = reassembly_add(g->fragments, f, ret_len);
	/* The reply is as long, and must fit in a packet. */
	if (!p || *ret_len > max)
		return NULL;
	g->is_cut = true;
	return p;
}

/* Sends the reply of n bytes in frames of the MTU. */
static void send_fragments(struct gateway *g, size_t n, int64_t now_ns)
{
	CLEANUP(free_ptr) uint8_t *frame = mem_alloc(FRAME_MIN + g->mtu);
	bool is_ipv4 = be_get16(g->reply + 12) == ETHER_IPV4;
	size_t offset = 0, len;

	g->last_id++;
	do {
		len = (is_ipv4 ? ipv4_fragment : ipv6_fragment)(
		    frame, g->reply, n, g->mtu, g->last_id, &offset);
		if (len)
			vswitch_input(&g->port,
				      &(struct frame){frame, len, now_ns});
	} while (len);
}

void gateway_done(struct gateway *g)
{
	g->fragments = reassembly_free(g->fragments);
}

/* --- on the switch ------------------------------------------------------- */

static bool gateway_on_deliver(void *ctx, struct swport *from,
			       const struct frame *f)
{
	struct gateway *g = ctx;
	size_t n = gateway_answer(g, from, f);
	struct frame reply = {g->reply, n, f->now_ns};

	if (g->is_cut && n > FRAME_MIN + g->mtu)
		send_fragments(g, n, f->now_ns);
	else if (n)
		vswitch_input(&g->port, &reply);
	return true;
}

void gateway_join(struct gateway *g, struct vswitch *sw)
{
	vswitch_add(sw, &g->port, gateway_on_deliver, g);
	vswitch_pin(&g->port, g->mac);
}

void gateway_leave(struct gateway *g)
{
	vswitch_remove(&g->port);
	gateway_done(g);
}
