/* SPDX-License-Identifier: MIT */
#include "vmm/net/packet_text.h"

#include "agent-proto/mem.h"
#include "vmm/net/packet.h"
#include "vmm/net/packet6.h"

/* RFC 9293, 3.1: offsets in a TCP header. */
#define TCP_OFFSET_AT 12u
#define TCP_FLAGS_AT  13u

struct text_name {
	unsigned value;
	const char *name;
};

/* The name of a value, or NULL. */
static const char *text_name(const struct text_name *names, size_t n,
			     unsigned value)
{
	for (size_t i = 0; i < n; i++)
		if (names[i].value == value)
			return names[i].name;
	return NULL;
}

static void text_put_tcp(struct buf *out, const uint8_t *p, size_t n)
{
	/* In the order of the bits, the lowest first. */
	static const char *const flags[] = {"FIN", "SYN", "RST", "PSH",
					    "ACK", "URG", "ECE", "CWR"};
	size_t header = n < TCP_HEADER ? 0 : 4u * (p[TCP_OFFSET_AT] >> 4);

	if (header < TCP_HEADER || header > n) {
		buf_printf(out, "TCP, cut off");
		return;
	}
	buf_printf(out, "TCP %u > %u", be_get16(p), be_get16(p + 2));
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (p[TCP_FLAGS_AT] & 1u << i)
			buf_printf(out, " %s", flags[i]);
	buf_printf(out, " seq %u, %zu bytes of data", be_get32(p + 4),
		   n - header);
}

static void text_put_udp(struct buf *out, const struct udp_view *udp)
{
	static const struct text_name names[] = {
	    {53, " DNS"},     {67, " DHCP"},	{68, " DHCP"},
	    {546, " DHCPv6"}, {547, " DHCPv6"}, {5353, " mDNS"},
	};
	const char *name = text_name(names, ARRAY_LEN(names), udp->dport);

	if (!name)
		name = text_name(names, ARRAY_LEN(names), udp->sport);
	buf_printf(out, "UDP %u > %u%s, %zu bytes of data", udp->sport,
		   udp->dport, name ? name : "", udp->len);
}

static void text_put_icmp(struct buf *out, const struct icmp_view *icmp)
{
	static const struct text_name names[] = {
	    {ICMP_ECHO_REPLY, "echo reply"},
	    {ICMP_UNREACHABLE, "unreachable"},
	    {ICMP_ECHO_REQUEST, "echo request"},
	    {ICMP_TIME_EXCEEDED, "time exceeded"},
	};
	const char *name = text_name(names, ARRAY_LEN(names), icmp->type);

	if (name)
		buf_printf(out, "ICMP %s", name);
	else
		buf_printf(out, "ICMP type %u", icmp->type);
	if (icmp->type == ICMP_UNREACHABLE)
		buf_printf(out, ", code %u", icmp->code);
	else if (icmp->type != ICMP_TIME_EXCEEDED && name && icmp->len >= 4)
		buf_printf(out, ", sequence number %u",
			   be_get16(icmp->rest + 2));
}

static void text_put_icmp6(struct buf *out, const struct icmp_view *icmp)
{
	static const struct text_name names[] = {
	    {ICMP6_UNREACHABLE, "unreachable"},
	    {ICMP6_TIME_EXCEEDED, "time exceeded"},
	    {ICMP6_ECHO_REQUEST, "echo request"},
	    {ICMP6_ECHO_REPLY, "echo reply"},
	    {ICMP6_ROUTER_SOLICIT, "router solicitation"},
	    {ICMP6_ROUTER_ADVERT, "router advertisement"},
	    {ICMP6_NEIGHBOUR_SOLICIT, "neighbour solicitation"},
	    {ICMP6_NEIGHBOUR_ADVERT, "neighbour advertisement"},
	};
	const char *name = text_name(names, ARRAY_LEN(names), icmp->type);

	if (name)
		buf_printf(out, "ICMPv6 %s", name);
	else
		buf_printf(out, "ICMPv6 type %u", icmp->type);
	if (icmp->type == ICMP6_UNREACHABLE)
		buf_printf(out, ", code %u", icmp->code);
}

static void text_put_ipv4(struct buf *out, const struct eth_view *eth)
{
	char src[IPV4_TEXT_MAX], dst[IPV4_TEXT_MAX];
	struct ipv4_view ip;
	struct icmp_view icmp;
	struct udp_view udp;

	if (!ipv4_parse(&ip, eth->body, eth->len)) {
		buf_printf(out, "IPv4, damaged");
		return;
	}
	ipv4_format(ip.src, src);
	ipv4_format(ip.dst, dst);
	buf_printf(out, "%s > %s ", src, dst);
	if (ip.is_fragment)
		buf_printf(out, "fragment at %zu of protocol %u", ip.offset,
			   ip.protocol);
	else if (ip.protocol == IPV4_TCP)
		text_put_tcp(out, ip.body, ip.len);
	else if (udp_parse(&udp, &ip))
		text_put_udp(out, &udp);
	else if (icmp_parse(&icmp, &ip))
		text_put_icmp(out, &icmp);
	else
		buf_printf(out, "protocol %u", ip.protocol);
}

static void text_put_ipv6(struct buf *out, const struct eth_view *eth)
{
	char src[IPV6_TEXT_MAX], dst[IPV6_TEXT_MAX];
	struct ipv6_view ip;
	struct icmp_view icmp;
	struct udp_view udp;

	if (!ipv6_parse(&ip, eth->body, eth->len)) {
		buf_printf(out, "IPv6, damaged");
		return;
	}
	ipv6_format(ip.src, src);
	ipv6_format(ip.dst, dst);
	buf_printf(out, "%s > %s ", src, dst);
	if (ip.next == IPV4_TCP)
		text_put_tcp(out, ip.body, ip.len);
	else if (udp6_parse(&udp, &ip))
		text_put_udp(out, &udp);
	else if (icmp6_parse(&icmp, &ip))
		text_put_icmp6(out, &icmp);
	else
		buf_printf(out, "next header %u", ip.next);
}

static void text_put_arp(struct buf *out, const struct eth_view *eth)
{
	char target[IPV4_TEXT_MAX], sender[IPV4_TEXT_MAX], mac[MAC_TEXT_MAX];
	struct arp_view arp;

	if (!arp_parse(&arp, eth->body, eth->len)) {
		buf_printf(out, "ARP, damaged");
		return;
	}
	ipv4_format(arp.target_ip, target);
	ipv4_format(arp.sender_ip, sender);
	mac_format(arp.sender_mac, mac);
	if (arp.op == ARP_REQUEST)
		buf_printf(out, "ARP %s asks who has %s", sender, target);
	else
		buf_printf(out, "ARP %s is at %s", sender, mac);
}

void packet_text(struct buf *out, const uint8_t *frame, size_t n)
{
	char src[MAC_TEXT_MAX], dst[MAC_TEXT_MAX];
	struct eth_view eth;

	if (!eth_parse(&eth, frame, n)) {
		buf_printf(out, "no Ethernet frame, %zu bytes", n);
		return;
	}
	if (eth.type == ETHER_IPV4) {
		text_put_ipv4(out, &eth);
	} else if (eth.type == ETHER_IPV6) {
		text_put_ipv6(out, &eth);
	} else if (eth.type == ETHER_ARP) {
		text_put_arp(out, &eth);
	} else {
		mac_format(eth.src, src);
		mac_format(eth.dst, dst);
		buf_printf(out, "%s > %s type 0x%04x, %zu bytes", src, dst,
			   eth.type, eth.len);
	}
}
