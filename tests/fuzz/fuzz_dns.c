/* SPDX-License-Identifier: MIT */
/* Any bytes from a DNS client: a response is one to that query, and is whole:
 * its sections hold what its counts say and nothing else. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/net/dns.h"
#include "vmm/net/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool on_address(void *ctx, const char *name, uint32_t *ret_ip)
{
	(void)ctx;
	assert(strlen(name) < DNS_NAME_MAX);
	*ret_ip = 0x0a4d010a;
	return dns_name_equal(name, "a") || dns_name_equal(name, "a.lan");
}

static bool on_name(void *ctx, uint32_t ip, char ret[DNS_NAME_MAX])
{
	(void)ctx;
	memset(ret, 'x', DNS_NAME_MAX);
	for (unsigned i = 63; i < DNS_NAME_MAX; i += 64)
		ret[i] = '.';
	ret[DNS_NAME_MAX - 2] = '\0';
	return ip >> 24 == 10;
}

static bool on_is_foreign(void *ctx, const char *name)
{
	(void)ctx;
	return *name == 'f';
}

static void check_response(const uint8_t *q, const uint8_t *r, size_t n)
{
	unsigned records = be_get16(r + 6) + be_get16(r + 8) + be_get16(r + 10);
	char name[DNS_NAME_MAX];
	size_t at = 12;

	assert(n >= 12 && n <= DNS_REPLY_MAX);
	assert(!memcmp(q, r, 2) && r[2] & 0x80);
	if (be_get16(r + 4)) {
		assert(dns_name_decode(r, n, &at, name) && n - at >= 4);
		at += 4;
		assert(!memcmp(q + 12, r + 12, at - 12));
	}
	while (records--) {
		assert(dns_name_skip(r, n, &at) && n - at >= 10);
		at += 10u + be_get16(r + at + 8);
	}
	assert(at == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct dns_directory d = {.address = on_address,
					       .name = on_name,
					       .is_foreign = on_is_foreign};
	uint8_t reply[DNS_REPLY_MAX];
	size_t len = dns_answer(p, n, &d, reply);

	if (len && len != DNS_FOREIGN)
		check_response(p, reply, len);
	return 0;
}
