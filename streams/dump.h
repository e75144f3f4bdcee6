/* SPDX-License-Identifier: MIT */
/*
 * Packets as the bytes of a pcap file, by libpcap: it writes the file header
 * and each record, and compiles and runs the filter. Nothing here reaches a
 * file: what libpcap writes is handed out, record by record, without a system
 * call.
 */
#ifndef STREAMS_DUMP_H
#define STREAMS_DUMP_H

#include <pcap/pcap.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "streams/filter.h"

struct dump {
	pcap_t *pcap;
	pcap_dumper_t *dumper;
	struct bpf_program filter;
	bool has_filter;
	uint32_t snaplen;
	struct buf out; /* what libpcap wrote since it was emptied */
};

/*
 * filter and scope are those of filter_compile(); filter NULL: everything.
 * snaplen is the most that is kept of a packet. d stays where it is until
 * dump_done(), which also follows an error: -EINVAL, the filter is bad. Then
 * out holds the file header.
 */
int dump_init(struct dump *d, const char *filter,
	      const struct filter_scope *scope, uint32_t snaplen,
	      struct err *err);
void dump_done(struct dump *d);

/* One Ethernet frame, at a time of CLOCK_REALTIME: then out holds its record.
 * False: the filter keeps it away. */
bool dump_packet(struct dump *d, int64_t realtime_ns, const void *frame,
		 size_t n);

#endif
