/* SPDX-License-Identifier: MIT */
#include "vmm/net/packet.h"

#include <assert.h>
#include <string.h>

#define ARP_LEN	      28u
#define ARP_ETHERNET  1u
#define IPV4_TTL      64u
#define IPV4_DONT     0x4000u /* fragment */
#define IPV4_MORE     0x2000u /* fragments follow */
#define IPV4_OFFSET   0x1fffu /* in units of 8 bytes */
#define IPV4_FRAGMENT (IPV4_MORE | IPV4_OFFSET)

/* --- checksums ----------------------------------------------------------- */

/* Without the fold: at most 65550 bytes, so the sum does not overflow. */
static uint32_t sum_bytes(uint32_t sum, const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i + 1 < n; i += 2)
		sum += be_get16(p + i);
	if (i < n)
		sum += (uint32_t)p[i] << 8;
	return sum;
}

uint16_t inet_checksum(uint32_t sum, const uint8_t *p, size_t n)
{
	sum = sum_bytes(sum, p, n);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* RFC 768: addresses, protocol and length are summed too. */
static uint32_t pseudo_header(uint32_t src, uint32_t dst, uint8_t protocol,
			      size_t n)
{
	return (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff) +
	       protocol + (uint32_t)n;
}

/* --- views --------------------------------------------------------------- */

bool eth_parse(struct eth_view *ret, const uint8_t *p, size_t n)
{
	if (n < FRAME_MIN)
		return false;
	ret->dst = p;
	ret->src = p + MAC_LEN;
	ret->type = be_get16(p + 12);
	ret->body = p + FRAME_MIN;
	ret->len = n - FRAME_MIN;
	return true;
}

bool arp_parse(struct arp_view *ret, const uint8_t *p, size_t n)
{
	if (n < ARP_LEN || be_get16(p) != ARP_ETHERNET ||
	    be_get16(p + 2) != ETHER_IPV4 || p[4] != MAC_LEN || p[5] != 4)
		return false;
	ret->op = be_get16(p + 6);
	ret->sender_mac = p + 8;
	ret->sender_ip = be_get32(p + 14);
	ret->target_ip = be_get32(p + 24);
	return true;
}

bool ipv4_parse(struct ipv4_view *ret, const uint8_t *p, size_t n)
{
	size_t header, total;

	if (n < IPV4_HEADER || p[0] >> 4 != 4)
		return false;
	header = (p[0] & 0xfu) * 4u;
	total = be_get16(p + 2);
	if (header < IPV4_HEADER || total < header || total > n ||
	    inet_checksum(0, p, header))
		return false;
	ret->is_fragment = be_get16(p + 6) & IPV4_FRAGMENT;
	ret->id = be_get16(p + 4);
	ret->offset = (be_get16(p + 6) & IPV4_OFFSET) * 8u;
	ret->has_more = be_get16(p + 6) & IPV4_MORE;
	ret->ttl = p[8];
	ret->protocol = p[9];
	ret->src = be_get32(p + 12);
	ret->dst = be_get32(p + 16);
	ret->body = p + header;
	ret->len = total - header;
	return true;
}

void ipv4_age(uint8_t *frame)
{
	uint8_t *p = frame + FRAME_MIN;

	p[8]--;
	be_put16(p + 10, 0);
	be_put16(p + 10, inet_checksum(0, p, (p[0] & 0xfu) * 4u));
}

bool icmp_parse(struct icmp_view *ret, const struct ipv4_view *ip)
{
	if (ip->protocol != IPV4_ICMP || ip->len < ICMP_HEADER ||
	    inet_checksum(0, ip->body, ip->len))
		return false;
	ret->type = ip->body[0];
	ret->code = ip->body[1];
	ret->rest = ip->body + 4;
	ret->len = ip->len - 4;
	return true;
}

bool udp_parse(struct udp_view *ret, const struct ipv4_view *ip)
{
	const uint8_t *p = ip->body;
	size_t n;

	if (ip->protocol != IPV4_UDP || ip->len < UDP_HEADER)
		return false;
	n = be_get16(p + 4);
	if (n < UDP_HEADER || n > ip->len)
		return false;
	/* 0: the sender made none. */
	if (be_get16(p + 6) &&
	    inet_checksum(pseudo_header(ip->src, ip->dst, IPV4_UDP, n), p, n))
		return false;
	ret->sport = be_get16(p);
	ret->dport = be_get16(p + 2);
	ret->body = p + UDP_HEADER;
	ret->len = n - UDP_HEADER;
	return true;
}

uint16_t tcp_dport(const struct ipv4_view *ip)
{
	return ip->protocol == IPV4_TCP && ip->len >= TCP_HEADER
		   ? be_get16(ip->body + 2)
		   : 0;
}

/* --- builders ------------------------------------------------------------ */

static void eth_put(uint8_t *frame, const struct packet_path *path,
		    uint16_t type)
{
	memcpy(frame, path->dst_mac, MAC_LEN);
	memcpy(frame + MAC_LEN, path->src_mac, MAC_LEN);
	be_put16(frame + 12, type);
}

/* Returns the length of the frame. */
static size_t ipv4_put(uint8_t *frame, const struct packet_path *path,
		       uint8_t protocol, size_t body)
{
	uint8_t *p = frame + FRAME_MIN;
	size_t total = IPV4_HEADER + body;

	assert(total <= UINT16_MAX);
	eth_put(frame, path, ETHER_IPV4);
	memset(p, 0, IPV4_HEADER);
	p[0] = 0x45;
	be_put16(p + 2, (uint16_t)total);
	be_put16(p + 6, IPV4_DONT);
	p[8] = IPV4_TTL;
	p[9] = protocol;
	be_put32(p + 12, path->src_ip);
	be_put32(p + 16, path->dst_ip);
	be_put16(p + 10, inet_checksum(0, p, IPV4_HEADER));
	return FRAME_MIN + total;
}

size_t icmp_finish(uint8_t *frame, const struct packet_path *path, uint8_t type,
		   uint8_t code, size_t n)
{
	uint8_t *p = frame + FRAME_MIN + IPV4_HEADER;

	p[0] = type;
	p[1] = code;
	be_put16(p + 2, 0);
	be_put16(p + 2, inet_checksum(0, p, 4 + n));
	return ipv4_put(frame, path, IPV4_ICMP, 4 + n);
}

size_t udp_finish(uint8_t *frame, const struct packet_path *path, size_t n)
{
	uint8_t *p = frame + FRAME_MIN + IPV4_HEADER;
	size_t len = UDP_HEADER + n;
	uint16_t sum;

	assert(n <= UDP_PAYLOAD_MAX);
	be_put16(p, path->sport);
	be_put16(p + 2, path->dport);
	be_put16(p + 4, (uint16_t)len);
	be_put16(p + 6, 0);
	sum = inet_checksum(
	    pseudo_header(path->src_ip, path->dst_ip, IPV4_UDP, len), p, len);
	/* 0 would say that there is none; this is the same sum. */
	be_put16(p + 6, sum ? sum : 0xffff);
	return ipv4_put(frame, path, IPV4_UDP, len);
}

size_t ipv4_fragment(uint8_t *ret, const uint8_t *frame, size_t n, size_t mtu,
		     uint32_t id, size_t *offset)
{
	const size_t head = FRAME_MIN + IPV4_HEADER;
	size_t left = n - head - *offset, most = (mtu - IPV4_HEADER) & ~7u;
	size_t len = left < most ? left : most;
	uint8_t *p = ret + FRAME_MIN;

	if (!len)
		return 0;
	memcpy(ret, frame, head);
	memcpy(ret + head, frame + head + *offset, len);
	be_put16(p + 2, (uint16_t)(IPV4_HEADER + len));
	be_put16(p + 4, (uint16_t)id);
	be_put16(p + 6, (uint16_t)((len < left ? IPV4_MORE : 0) | *offset / 8));
	be_put16(p + 10, 0);
	be_put16(p + 10, inet_checksum(0, p, IPV4_HEADER));
	*offset += len;
	return head + len;
}

size_t arp_build(uint8_t *frame, const struct packet_path *path, uint16_t op)
{
	uint8_t *p = frame + FRAME_MIN;

	eth_put(frame, path, ETHER_ARP);
	be_put16(p, ARP_ETHERNET);
	be_put16(p + 2, ETHER_IPV4);
	p[4] = MAC_LEN;
	p[5] = 4;
	be_put16(p + 6, op);
	memcpy(p + 8, path->src_mac, MAC_LEN);
	be_put32(p + 14, path->src_ip);
	memcpy(p + 18, path->dst_mac, MAC_LEN);
	be_put32(p + 24, path->dst_ip);
	return FRAME_MIN + ARP_LEN;
}
