/* SPDX-License-Identifier: MIT */
/* Any bytes from a DHCP client: a reply is one, to the client, with the one
 * address there is; its options are well formed. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/net/dhcp.h"
#include "vmm/net/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_reply(const uint8_t *p, const struct dhcp_reply *r,
			const struct dhcp_lease *l)
{
	uint32_t yiaddr = be_get32(r->bytes + 16);
	size_t at = 240;

	assert(r->len >= 300 && r->len <= DHCP_REPLY_MAX);
	assert(r->bytes[0] == 2);
	assert(!memcmp(r->bytes + 4, p + 4, 4));
	assert(!memcmp(r->bytes + 28, p + 28, 16));
	assert(!memcmp(r->to_mac, p + 28, MAC_LEN));
	assert(!yiaddr || yiaddr == l->ip);
	assert(r->event != DHCP_GRANTED || yiaddr == l->ip);
	assert(r->event != DHCP_RETURNED);
	while (r->bytes[at] != 255) {
		at += 2u + r->bytes[at + 1];
		assert(at < r->len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct dhcp_lease lease = {
	    .ip = 0x0a4d010a,
	    .mask = 0xffffff00,
	    .server = 0x0a4d0101,
	    .mtu = 1500,
	    .host = "guest",
	    .domain = "lan",
	};
	struct dhcp_reply r;

	memset(&r, 0xff, sizeof(r));
	dhcp_answer(p, n, &lease, &r);
	if (r.len)
		check_reply(p, &r, &lease);
	return 0;
}
