/* SPDX-License-Identifier: MIT */
#include "vmm/net/packet6.h"

#include <assert.h>
#include <string.h>

bool ipv6_parse(struct ipv6_view *ret, const uint8_t *p, size_t n)
{
	if (n < IPV6_HEADER || p[0] >> 4 != 6)
		return false;
	size_t len = be_get16(p + 4);
	if (len > n - IPV6_HEADER)
		return false;
	*ret = (struct ipv6_view){
	    .src = p + 8,
	    .dst = p + 24,
	    .hops = p[7],
	    .next = p[6],
	    .body = p + IPV6_HEADER,
	    .len = len,
	};
	return true;
}

#define FRAGMENT_MORE 1u

bool ipv6_parse_fragment(struct ipv6_fragment_view *ret,
			 const struct ipv6_view *ip)
{
	const uint8_t *p = ip->body;

	if (ip->next != IPV6_FRAGMENT || ip->len < IPV6_FRAGMENT_HEADER)
		return false;
	*ret = (struct ipv6_fragment_view){
	    .next = p[0],
	    .offset = be_get16(p + 2) & ~7u,
	    .has_more = be_get16(p + 2) & FRAGMENT_MORE,
	    .id = be_get32(p + 4),
	    .body = p + IPV6_FRAGMENT_HEADER,
	    .len = ip->len - IPV6_FRAGMENT_HEADER,
	};
	return true;
}

/* Of addresses, length and protocol: what inet_checksum() begins with. */
static uint32_t pseudo_sum(const uint8_t *src, const uint8_t *dst, size_t n,
			   uint8_t next)
{
	uint32_t sum = (uint32_t)n + next;

	for (size_t i = 0; i < IPV6_LEN; i += 2)
		sum += (uint32_t)be_get16(src + i) + be_get16(dst + i);
	return sum;
}

static bool is_sound(const struct ipv6_view *ip)
{
	uint32_t sum = pseudo_sum(ip->src, ip->dst, ip->len, ip->next);

	return inet_checksum(sum, ip->body, ip->len) == 0;
}

bool icmp6_parse(struct icmp_view *ret, const struct ipv6_view *ip)
{
	if (ip->next != IPV6_ICMP || ip->len < 4 || !is_sound(ip))
		return false;
	*ret = (struct icmp_view){
	    .type = ip->body[0],
	    .code = ip->body[1],
	    .rest = ip->body + 4,
	    .len = ip->len - 4,
	};
	return true;
}

bool udp6_parse(struct udp_view *ret, const struct ipv6_view *ip)
{
	if (ip->next != IPV4_UDP || ip->len < UDP_HEADER)
		return false;
	size_t len = be_get16(ip->body + 4);
	/* RFC 8200, 8.1: no checksum is no datagram. */
	if (len < UDP_HEADER || len != ip->len || !be_get16(ip->body + 6) ||
	    !is_sound(ip))
		return false;
	*ret = (struct udp_view){
	    .sport = be_get16(ip->body),
	    .dport = be_get16(ip->body + 2),
	    .body = ip->body + UDP_HEADER,
	    .len = len - UDP_HEADER,
	};
	return true;
}

/* The headers around n bytes; returns the length of the frame. */
static size_t ipv6_put(uint8_t *frame, const struct packet_path6 *path,
		       uint8_t next, size_t n)
{
	uint8_t *p = frame + FRAME_MIN;

	memcpy(frame, path->dst_mac, MAC_LEN);
	memcpy(frame + MAC_LEN, path->src_mac, MAC_LEN);
	be_put16(frame + 12, ETHER_IPV6);
	be_put32(p, UINT32_C(6) << 28);
	be_put16(p + 4, (uint16_t)n);
	p[6] = next;
	p[7] = path->hops;
	memcpy(p + 8, path->src, IPV6_LEN);
	memcpy(p + 24, path->dst, IPV6_LEN);
	return FRAME_MIN + IPV6_HEADER + n;
}

size_t icmp6_finish(uint8_t *frame, const struct packet_path6 *path,
		    uint8_t type, uint8_t code, size_t n)
{
	uint8_t *p = frame + FRAME_MIN + IPV6_HEADER;
	size_t len = 4 + n;

	assert(n <= ICMP6_PAYLOAD_MAX);
	p[0] = type;
	p[1] = code;
	be_put16(p + 2, 0);
	be_put16(p + 2,
		 inet_checksum(pseudo_sum(path->src, path->dst, len, IPV6_ICMP),
			       p, len));
	return ipv6_put(frame, path, IPV6_ICMP, len);
}

size_t udp6_finish(uint8_t *frame, const struct packet_path6 *path, size_t n)
{
	uint8_t *p = frame + FRAME_MIN + IPV6_HEADER;
	size_t len = UDP_HEADER + n;
	uint16_t sum;

	assert(n <= UDP6_PAYLOAD_MAX);
	be_put16(p, path->sport);
	be_put16(p + 2, path->dport);
	be_put16(p + 4, (uint16_t)len);
	be_put16(p + 6, 0);
	sum = inet_checksum(pseudo_sum(path->src, path->dst, len, IPV4_UDP), p,
			    len);
	be_put16(p + 6, sum ? sum : 0xffff);
	return ipv6_put(frame, path, IPV4_UDP, len);
}

size_t ipv6_fragment(uint8_t *ret, const uint8_t *frame, size_t n, size_t mtu,
		     uint32_t id, size_t *offset)
{
	const size_t head = FRAME_MIN + IPV6_HEADER;
	size_t most = (mtu - IPV6_HEADER - IPV6_FRAGMENT_HEADER) & ~7u;
	size_t left = n - head - *offset, len = left < most ? left : most;
	uint8_t *p = ret + FRAME_MIN, *h = ret + head;

	if (!len)
		return 0;
	memcpy(ret, frame, head);
	be_put16(p + 4, (uint16_t)(IPV6_FRAGMENT_HEADER + len));
	h[0] = p[6];
	h[1] = 0;
	p[6] = IPV6_FRAGMENT;
	be_put16(h + 2, (uint16_t)(*offset | (len < left ? FRAGMENT_MORE : 0)));
	be_put32(h + 4, id);
	memcpy(h + IPV6_FRAGMENT_HEADER, frame + head + *offset, len);
	*offset += len;
	return head + IPV6_FRAGMENT_HEADER + len;
}

void ipv6_age(uint8_t *frame)
{
	frame[FRAME_MIN + 7]--;
}

bool ipv6_is_unspecified(const uint8_t ip[IPV6_LEN])
{
	static const uint8_t none[IPV6_LEN];

	return !memcmp(ip, none, IPV6_LEN);
}

void ipv6_set_host(uint8_t ip[IPV6_LEN], const uint8_t mac[MAC_LEN])
{
	const uint8_t host[8] = {mac[0] ^ 2, mac[1], mac[2], 0xff,
				 0xfe,	     mac[3], mac[4], mac[5]};

	memcpy(ip + 8, host, sizeof(host));
}
