/* SPDX-License-Identifier: MIT */
/*
 * Capture: a stream whose source is the packets of a network, as a standard
 * pcap file: the global header once, then a record for each packet, with
 * microsecond times; the bytes that `tcpdump -U -w - -s SNAPLEN` would give.
 * libpcap writes the format and compiles the filters.
 *
 * A frame of the stream is one record (the first one also holds the header).
 * A network cannot be stopped for a slow reader, and nothing may be lost: what
 * the reader has not taken yet is kept up to CAPTURE_MEMORY in memory and from
 * there on in an unlinked file. It is brought back in steps of bounded work: a
 * reader that gives no time (a drain of 0 s) gets the first 64 MiB of it.
 */
#ifndef STREAMS_CAPTURE_H
#define STREAMS_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "streams/filter.h"
#include "streams/loop.h"
#include "streams/stream.h"

#define CAPTURE_SNAPLEN 65535u
/* Bytes kept in memory for a reader that is behind. */
#define CAPTURE_MEMORY ((size_t)1 << 20)
/* Bytes kept on disk for it; then the stream breaks with -ENOSPC, saying so. */
#define CAPTURE_SPOOL_MAX ((uint64_t)16 << 30)

struct capture;

struct capture_options {
	const char *filter; /* pcap-filter(7); NULL: everything */
	uint32_t snaplen;   /* bytes kept of each packet; 0: CAPTURE_SNAPLEN */
	/* The names in the filter (streams/filter.h); borrowed for the call;
	 * NULL: nobody has one. */
	const struct filter_scope *scope;
};

/* The stream was closed: forget c, which is freed when this returns. Comes
 * once, also after capture_end(), and may come from inside capture_packet(). */
typedef void (*capture_closed_cb)(void *ctx, struct capture *c);

/*
 * A stream of type STREAM_CAPTURE, the caller's; NULL with err: a bad filter
 * (-EINVAL, libpcap's own text), or a snaplen over CAPTURE_SNAPLEN. The
 * capture lives as long as the stream is open. spool_dir is copied.
 */
struct stream *capture_new(struct loop *l, const struct capture_options *o,
			   const char *spool_dir,
			   const struct stream_label *label,
			   struct stream_list *list,
			   capture_closed_cb on_closed, void *ctx,
			   struct capture **ret, struct err *err);

/* One Ethernet frame at that time (CLOCK_REALTIME); copied when the filter
 * lets it through. */
void capture_packet(struct capture *c, int64_t realtime_ns, const void *frame,
		    size_t n);

/* The network is gone: end of file once everything is read. */
void capture_end(struct capture *c);
/* The same, but it breaks there, with this reason. */
void capture_break(struct capture *c, const struct err *err);
/* look(ctx), with the ctx of on_closed, whenever a reader begins to wait: it
 * may give the packets that are there, but were not read yet. */
void capture_on_look(struct capture *c, void (*look)(void *ctx));

#endif
