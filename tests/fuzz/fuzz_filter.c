/* SPDX-License-Identifier: MIT */
/* Any text as the filter of a capture: no name in it is looked up. What libc
 * has for that is replaced here, for libpcap too. */
#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <netinet/ether.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "streams/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int getaddrinfo(const char *node, const char *service,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	struct in6_addr ip;

	(void)service;
	(void)hints;
	(void)ret;
	/* A port is looked for in a file; an address needs no look-up. */
	assert(!node || inet_pton(AF_INET6, node, &ip) == 1);
	return EAI_NONAME;
}

struct netent *getnetbyname(const char *name)
{
	(void)name;
	abort();
}

int ether_hostton(const char *name, struct ether_addr *ret)
{
	(void)name;
	(void)ret;
	abort();
}

static bool find(void *ctx, const char *name, struct filter_host *ret)
{
	(void)ctx;
	*ret = (struct filter_host){
	    .ip = 0x0a4d010a, .has_mac = true, .has_ip6 = *name == 'b'};
	return *name == 'a' || *name == 'b';
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct filter_scope scope = {.netmask = 0xffffff00, .find = find};
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
	char *text = mem_strndup((const char *)p, n);
	struct bpf_program code;
	struct err err = {0};

	if (filter_compile(pcap, text, &scope, &code, &err) == 0)
		pcap_freecode(&code);
	else
		assert(err.code < 0 && *err.text);
	pcap_close(pcap);
	free(text);
	return 0;
}
