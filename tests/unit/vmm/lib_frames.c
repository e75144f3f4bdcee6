/* SPDX-License-Identifier: MIT */
#include "tests/unit/vmm/lib_frames.h"

#include <string.h>

#include "vmm/net/dns_name.h"

const uint8_t frames_everybody[MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

size_t frame_plain(uint8_t *ret, const uint8_t *dst, const uint8_t *src,
		   uint8_t id, size_t n)
{
	memcpy(ret, dst, MAC_LEN);
	memcpy(ret + MAC_LEN, src, MAC_LEN);
	be_put16(ret + 12, 0x88b5); /* IEEE: for local experiments */
	memset(ret + FRAME_MIN, id, n);
	return FRAME_MIN + n;
}

size_t frame_arp(uint8_t *ret, const uint8_t *src_mac, uint32_t src_ip,
		 uint32_t target_ip)
{
	struct packet_path path = {.src_ip = src_ip, .dst_ip = target_ip};
	size_t n;

	memcpy(path.src_mac, src_mac, MAC_LEN);
	n = arp_build(ret, &path, ARP_REQUEST);
	memset(ret, 0xff, MAC_LEN);
	return n;
}

size_t frame_ping(uint8_t *ret, const struct packet_path *path, uint16_t id,
		  size_t data)
{
	uint8_t *p = ICMP_PAYLOAD(ret);

	be_put16(p, id);
	be_put16(p + 2, 1);
	for (size_t i = 0; i < data; i++)
		p[4 + i] = (uint8_t)(i * 7);
	return icmp_finish(ret, path, ICMP_ECHO_REQUEST, 0, 4 + data);
}

size_t frame_udp(uint8_t *ret, const struct packet_path *path, const void *body,
		 size_t n)
{
	memcpy(UDP_PAYLOAD(ret), body, n);
	return udp_finish(ret, path, n);
}

/* --- DHCP ------------------------------------------------------------------
 */

static uint8_t *put_option32(uint8_t *p, uint8_t code, uint32_t v)
{
	if (!v)
		return p;
	p[0] = code;
	p[1] = 4;
	be_put32(p + 2, v);
	return p + 6;
}

size_t dhcp_ask(uint8_t *ret, const struct dhcp_ask *a)
{
	uint8_t *p = ret + 240;

	memset(ret, 0, DHCP_ASK_MAX);
	ret[0] = ret[1] = 1;
	ret[2] = MAC_LEN;
	be_put32(ret + 4, a->xid);
	be_put16(ret + 10, a->flags);
	be_put32(ret + 12, a->ciaddr);
	memcpy(ret + 28, a->mac, MAC_LEN);
	be_put32(ret + 236, 0x63825363);
	if (a->type) {
		memcpy(p, (uint8_t[]){53, 1, a->type}, 3);
		p += 3;
	}
	p = put_option32(p, 50, a->requested);
	p = put_option32(p, 54, a->server);
	if (a->id) {
		*p++ = 61;
		*p++ = (uint8_t)strlen(a->id);
		memcpy(p, a->id, strlen(a->id));
		p += strlen(a->id);
	}
	*p = 255;
	return DHCP_ASK_MAX;
}

const uint8_t *dhcp_option(const uint8_t *p, size_t n, uint8_t code,
			   size_t *ret_len)
{
	for (size_t i = 240; i + 1 < n && p[i] != 255; i += 2u + p[i + 1]) {
		if (p[i] != code)
			continue;
		*ret_len = p[i + 1];
		return p + i + 2;
	}
	return NULL;
}

uint8_t dhcp_type(const uint8_t *p, size_t n)
{
	size_t len;
	const uint8_t *type = dhcp_option(p, n, 53, &len);

	return type && len == 1 ? *type : 0;
}

size_t frame_dhcp(uint8_t *ret, const struct dhcp_ask *a)
{
	struct packet_path path = {
	    .dst_ip = IPV4_BROADCAST, .sport = 68, .dport = 67};
	uint8_t body[DHCP_ASK_MAX];

	memcpy(path.src_mac, a->mac, MAC_LEN);
	memset(path.dst_mac, 0xff, MAC_LEN);
	return frame_udp(ret, &path, body, dhcp_ask(body, a));
}

/* --- DNS -------------------------------------------------------------------
 */

size_t dns_query(uint8_t *ret, uint16_t id, const char *name, uint16_t type)
{
	size_t n;

	memset(ret, 0, 12);
	be_put16(ret, id);
	be_put16(ret + 2, 0x0100); /* recursion desired */
	be_put16(ret + 4, 1);
	n = dns_name_encode(name, ret + 12);
	be_put16(ret + 12 + n, type);
	be_put16(ret + 14 + n, 1);
	return 16 + n;
}
