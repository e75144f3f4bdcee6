/* SPDX-License-Identifier: MIT */
/* Frames as guests send them, and what is in the answers. */
#ifndef TESTS_LIB_FRAMES_H
#define TESTS_LIB_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/net/packet.h"

#define IP(a, b, c, d)                                                         \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 |      \
	 (uint32_t)(d))

extern const uint8_t frames_everybody[MAC_LEN];

/* Only destination and source, an unknown type and a body of n bytes that say
 * which frame it is. Returns its length. */
size_t frame_plain(uint8_t *ret, const uint8_t *dst, const uint8_t *src,
		   uint8_t id, size_t n);

size_t frame_arp(uint8_t *ret, const uint8_t *src_mac, uint32_t src_ip,
		 uint32_t target_ip);
size_t frame_ping(uint8_t *ret, const struct packet_path *path, uint16_t id,
		  size_t data);
size_t frame_udp(uint8_t *ret, const struct packet_path *path, const void *body,
		 size_t n);

/* --- DHCP: messages of a client ---------------------------------------------
 */

struct dhcp_ask {
	uint8_t type; /* 0: no such option */
	uint8_t mac[MAC_LEN];
	uint32_t xid;
	uint16_t flags;
	uint32_t ciaddr;
	uint32_t requested; /* 0: no such option */
	uint32_t server;    /* 0: no such option */
	const char *id;	    /* of the client; NULL: no such option */
};

enum {
	D_DISCOVER = 1,
	D_OFFER,
	D_REQUEST,
	D_DECLINE,
	D_ACK,
	D_NAK,
	D_RELEASE,
	D_INFORM
};

#define DHCP_ASK_MAX 300
size_t dhcp_ask(uint8_t *ret, const struct dhcp_ask *a);
/* The option's bytes and length in a message, or NULL. */
const uint8_t *dhcp_option(const uint8_t *p, size_t n, uint8_t code,
			   size_t *ret_len);
/* 0: none. */
uint8_t dhcp_type(const uint8_t *p, size_t n);
/* The frame of a client without an address. */
size_t frame_dhcp(uint8_t *ret, const struct dhcp_ask *a);

/* --- DNS --------------------------------------------------------------------
 */

enum { Q_A = 1, Q_PTR = 12, Q_TXT = 16, Q_AAAA = 28, Q_ANY = 255 };

size_t dns_query(uint8_t *ret, uint16_t id, const char *name, uint16_t type);

#endif
