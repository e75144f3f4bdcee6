/* SPDX-License-Identifier: MIT */
/* Puts the checksums of a frame right, or nothing would ever get past them. */
#ifndef TESTS_FUZZ_MEND_H
#define TESTS_FUZZ_MEND_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/net/packet6.h"

/* The checksums of ICMPv6 and of UDP. */
static inline void mend6(uint8_t *p, size_t n)
{
	struct ipv6_view ip;
	uint32_t sum;
	size_t at;

	if (n < FRAME_MIN || be_get16(p + 12) != ETHER_IPV6 ||
	    !ipv6_parse(&ip, p + FRAME_MIN, n - FRAME_MIN))
		return;
	p += FRAME_MIN + IPV6_HEADER;
	at = ip.next == IPV6_ICMP ? 2 : 6;
	if (ip.len < at + 2)
		return;
	sum = (uint32_t)ip.len + ip.next;
	for (size_t i = 0; i < 2 * IPV6_LEN; i += 2)
		sum += be_get16(ip.src + i);
	be_put16(p + at, 0);
	be_put16(p + at, inet_checksum(sum, p, ip.len));
}

static inline void mend_checksums(uint8_t *p, size_t n)
{
	size_t header;

	mend6(p, n);
	if (n < FRAME_MIN + IPV4_HEADER || be_get16(p + 12) != ETHER_IPV4)
		return;
	p += FRAME_MIN;
	header = (p[0] & 0xfu) * 4u;
	if (header < IPV4_HEADER || header > n - FRAME_MIN)
		return;
	be_put16(p + 10, 0);
	be_put16(p + 10, inet_checksum(0, p, header));
}

#endif
