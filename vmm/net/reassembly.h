/* SPDX-License-Identifier: MIT */
/*
 * Puts datagrams together from their fragments (RFC 791, 3.2; RFC 8200, 4.5):
 * a bounded number at a time, for a bounded time. Fragments of one datagram
 * that overlap make it void (RFC 5722). A fragment that came before is ignored.
 */
#ifndef VMM_NET_REASSEMBLY_H
#define VMM_NET_REASSEMBLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/clock.h"
#include "vmm/net/addr.h"

/* Datagrams at a time, of all ports and of one; the oldest makes room. */
#define REASSEMBLY_MAX	    16u
#define REASSEMBLY_PORT_MAX 4u
/* From its first fragment to its last. */
#define REASSEMBLY_NS (30 * NS_PER_SEC)
/* Bytes behind the IP header. */
#define DATAGRAM_MAX 65535u

struct reassembly;
struct swport;

struct fragment {
	const struct swport *from; /* the port that it came by */
	uint8_t src[IPV6_LEN], dst[IPV6_LEN];
	uint32_t id;
	uint8_t version, protocol;
	size_t offset; /* in bytes */
	bool has_more;
	const uint8_t *body;
	size_t len;
	int64_t now_ns;
};

struct reassembly *reassembly_new(void);
/* Returns NULL. */
struct reassembly *reassembly_free(struct reassembly *r);
/* Adds a fragment. Returns the datagram that is whole now, valid until the next
 * call; NULL: it is not whole, or void. */
const uint8_t *reassembly_add(struct reassembly *r, const struct fragment *f,
			      size_t *ret_len);

#endif
