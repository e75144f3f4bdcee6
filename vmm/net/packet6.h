/* SPDX-License-Identifier: MIT */
/*
 * The same as vmm/net/packet.h for IPv6, ICMPv6 and UDP over it (RFC 8200,
 * 4443, 4861; checksums with the pseudo-header of 8200, 8.1). Of extension
 * headers only that of a fragment is known, and only where it is the first:
 * what is behind others is of an unknown protocol. Addresses are bytes in
 * network order.
 */
#ifndef VMM_NET_PACKET6_H
#define VMM_NET_PACKET6_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/net/packet.h"

#define ETHER_IPV6  0x86ddu
#define IPV6_HEADER 40u
#define IPV6_HOPS   64u
/* Of neighbour discovery: it has made no hop (RFC 4861, 6.1.1). */
#define IPV6_HOPS_NEAR 255u

enum { IPV6_FRAGMENT = 44, IPV6_ICMP = 58 };
#define IPV6_FRAGMENT_HEADER 8u
enum {
	ICMP6_UNREACHABLE = 1,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_ECHO_REQUEST = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_ROUTER_SOLICIT = 133,
	ICMP6_ROUTER_ADVERT = 134,
	ICMP6_NEIGHBOUR_SOLICIT = 135,
	ICMP6_NEIGHBOUR_ADVERT = 136
};
/* Codes of ICMP6_UNREACHABLE. */
enum { ICMP6_NO_ROUTE = 0, ICMP6_NO_HOST = 3 };

struct ipv6_view {
	const uint8_t *src;
	const uint8_t *dst;
	uint8_t hops;
	uint8_t next; /* header */
	const uint8_t *body;
	size_t len; /* without padding of the frame */
};
bool ipv6_parse(struct ipv6_view *ret, const uint8_t *p, size_t n);

/* RFC 8200, 4.5. */
struct ipv6_fragment_view {
	uint8_t next;  /* header, of the whole datagram */
	size_t offset; /* of body, in bytes */
	bool has_more;
	uint32_t id;
	const uint8_t *body;
	size_t len;
};
/* False: it is no fragment, or one that is cut off. */
bool ipv6_parse_fragment(struct ipv6_fragment_view *ret,
			 const struct ipv6_view *ip);

/* With a right checksum; as icmp_parse() and udp_parse(). */
bool icmp6_parse(struct icmp_view *ret, const struct ipv6_view *ip);
bool udp6_parse(struct udp_view *ret, const struct ipv6_view *ip);

struct packet_path6 {
	uint8_t src_mac[MAC_LEN];
	uint8_t dst_mac[MAC_LEN];
	uint8_t src[IPV6_LEN];
	uint8_t dst[IPV6_LEN];
	uint8_t hops;
	uint16_t sport; /* UDP's */
	uint16_t dport;
};

/* As ICMP_PAYLOAD and so on. */
#define ICMP6_PAYLOAD(frame) ((frame) + FRAME_MIN + IPV6_HEADER + 4u)
#define UDP6_PAYLOAD(frame)  ((frame) + FRAME_MIN + IPV6_HEADER + UDP_HEADER)
#define ICMP6_PAYLOAD_MAX    (65535u - IPV6_HEADER - 4u)
#define UDP6_PAYLOAD_MAX     (65535u - IPV6_HEADER - UDP_HEADER)

size_t icmp6_finish(uint8_t *frame, const struct packet_path6 *path,
		    uint8_t type, uint8_t code, size_t n);
size_t udp6_finish(uint8_t *frame, const struct packet_path6 *path, size_t n);

/* As ipv4_fragment(). */
size_t ipv6_fragment(uint8_t *ret, const uint8_t *frame, size_t n, size_t mtu,
		     uint32_t id, size_t *offset);

/* One hop less, in a frame whose packet ipv6_parse() has taken. */
void ipv6_age(uint8_t *frame);

static inline bool ipv6_is_multicast(const uint8_t *ip)
{
	return ip[0] == 0xff;
}

/* fe80::/10 */
static inline bool ipv6_is_link_local(const uint8_t *ip)
{
	return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

bool ipv6_is_unspecified(const uint8_t ip[IPV6_LEN]);
/* The last 64 bits, of a MAC (modified EUI-64: RFC 4291, appendix A). */
void ipv6_set_host(uint8_t ip[IPV6_LEN], const uint8_t mac[MAC_LEN]);

#endif
