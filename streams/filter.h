/* SPDX-License-Identifier: MIT */
/*
 * A filter of a capture, from pcap-filter(7) to BPF. It differs from libpcap's
 * own compiler in two ways. Names of hosts are those of the network that is
 * captured, and nothing is looked up elsewhere. A filter that asks for metadata
 * of a live interface (`inbound`, `ifindex`) is refused, for no frame has it.
 */
#ifndef STREAMS_FILTER_H
#define STREAMS_FILTER_H

#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/err.h"

/* The addresses of one name; a zero IPv4 address: none. */
struct filter_host {
	uint32_t ip; /* host byte order */
	bool has_ip6, has_mac;
	uint8_t ip6[16];
	uint8_t mac[6];
};

/* The captured network. */
struct filter_scope {
	uint32_t netmask; /* host byte order, for `ip broadcast`; 0: unknown */
	/* False: nobody has that name. NULL: there are no names. */
	bool (*find)(void *ctx, const char *name, struct filter_host *ret);
	void *ctx;
};

/*
 * pcap: an Ethernet handle. scope is borrowed; NULL: a network without names.
 * *ret is for pcap_freecode(). -EINVAL with err: a bad filter, in libpcap's
 * words; a name that nobody has; a word that can match no frame.
 */
int filter_compile(pcap_t *pcap, const char *text,
		   const struct filter_scope *scope, struct bpf_program *ret,
		   struct err *err);

#endif
