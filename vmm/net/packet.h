/* SPDX-License-Identifier: MIT */
/*
 * Bounds-checked views of Ethernet, ARP, IPv4, ICMP and UDP, and builders of
 * the few that the gateway sends (RFC 826, 791, 792, 768; checksums: 1071).
 *
 * A parser returns false for bytes that are not a whole and sound packet of
 * its kind. Views borrow the bytes they were made from. Addresses of IPv4 are
 * in host byte order everywhere but on the wire.
 */
#ifndef VMM_NET_PACKET_H
#define VMM_NET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/net/addr.h"

/* An Ethernet header; and the longest frame taken: an IPv4 packet of 65535
 * bytes in it fits. */
#define FRAME_MIN      14u
#define FRAME_MAX      65550u

#define ETHER_IPV4     0x0800u
#define ETHER_ARP      0x0806u

#define IPV4_HEADER    20u
#define UDP_HEADER     8u
#define ICMP_HEADER    8u
#define TCP_HEADER     20u

#define IPV4_BROADCAST 0xffffffffu

enum { ARP_REQUEST = 1, ARP_REPLY = 2 };
enum { IPV4_ICMP = 1, IPV4_TCP = 6, IPV4_UDP = 17 };
enum {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11
};
/* Codes of ICMP_UNREACHABLE. */
enum { ICMP_NO_NETWORK = 0, ICMP_NO_HOST = 1 };

static inline uint16_t be_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be_get32(const uint8_t *p)
{
	return (uint32_t)be_get16(p) << 16 | be_get16(p + 2);
}

static inline void be_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void be_put32(uint8_t *p, uint32_t v)
{
	be_put16(p, (uint16_t)(v >> 16));
	be_put16(p + 2, (uint16_t)v);
}

/* Of a group: multicast or broadcast (IEEE 802, the I/G bit). */
static inline bool mac_is_group(const uint8_t *mac)
{
	return mac[0] & 1;
}

struct eth_view {
	const uint8_t *dst;
	const uint8_t *src;
	uint16_t type;
	const uint8_t *body;
	size_t len;
};
bool eth_parse(struct eth_view *ret, const uint8_t *p, size_t n);

struct arp_view {
	uint16_t op;
	const uint8_t *sender_mac;
	uint32_t sender_ip;
	uint32_t target_ip;
};
/* Of IPv4 over Ethernet. */
bool arp_parse(struct arp_view *ret, const uint8_t *p, size_t n);

struct ipv4_view {
	uint32_t src;
	uint32_t dst;
	uint8_t ttl;
	uint8_t protocol;
	bool is_fragment;
	/* Of a fragment: the number of its datagram, the offset of its body
	 * there in bytes, and whether others follow. */
	uint16_t id;
	size_t offset;
	bool has_more;
	const uint8_t *body; /* behind the options */
	size_t len;	     /* without padding of the frame */
};
bool ipv4_parse(struct ipv4_view *ret, const uint8_t *p, size_t n);

struct icmp_view {
	uint8_t type;
	uint8_t code;
	const uint8_t *rest; /* behind the checksum: for an echo, identifier,
			      * sequence number and data */
	size_t len;
};
bool icmp_parse(struct icmp_view *ret, const struct ipv4_view *ip);

struct udp_view {
	uint16_t sport;
	uint16_t dport;
	const uint8_t *body;
	size_t len;
};
bool udp_parse(struct udp_view *ret, const struct ipv4_view *ip);

/* The port that a TCP segment is for; 0: it is none. */
uint16_t tcp_dport(const struct ipv4_view *ip);

/* From whom to whom a packet goes. */
struct packet_path {
	uint8_t src_mac[MAC_LEN];
	uint8_t dst_mac[MAC_LEN];
	uint32_t src_ip;
	uint32_t dst_ip;
	uint16_t sport; /* UDP's */
	uint16_t dport;
};

/* Where the payload of a packet goes in frame, a buffer of FRAME_MAX bytes;
 * *_finish() then writes all headers around its n bytes and returns the length
 * of the frame. */
#define ICMP_PAYLOAD(frame) ((frame) + FRAME_MIN + IPV4_HEADER + 4u)
#define UDP_PAYLOAD(frame)  ((frame) + FRAME_MIN + IPV4_HEADER + UDP_HEADER)
#define ICMP_PAYLOAD_MAX    (65535u - IPV4_HEADER - 4u)
#define UDP_PAYLOAD_MAX	    (65535u - IPV4_HEADER - UDP_HEADER)

size_t icmp_finish(uint8_t *frame, const struct packet_path *path, uint8_t type,
		   uint8_t code, size_t n);
size_t udp_finish(uint8_t *frame, const struct packet_path *path, size_t n);
/* A whole ARP packet, with the path's addresses as sender and target. */
size_t arp_build(uint8_t *frame, const struct packet_path *path, uint16_t op);

/*
 * Cuts a frame that *_finish() has built, for a link of that MTU: writes the
 * fragment whose body begins at *offset, at first 0, and moves *offset behind
 * it. ret has room for mtu bytes behind the Ethernet header. Returns its
 * length; 0: that was the last.
 */
size_t ipv4_fragment(uint8_t *ret, const uint8_t *frame, size_t n, size_t mtu,
		     uint32_t id, size_t *offset);

/* One hop less, in a frame whose packet ipv4_parse() has taken. */
void ipv4_age(uint8_t *frame);

/* The Internet checksum of n bytes, on top of sum: 0 over what holds a right
 * one. */
uint16_t inet_checksum(uint32_t sum, const uint8_t *p, size_t n);

#endif
