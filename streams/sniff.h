/* SPDX-License-Identifier: MIT */
/*
 * The packets of a network interface, live, by libpcap: each as soon as the
 * kernel has seen it, copied into a ring that this process shares with it.
 */
#ifndef STREAMS_SNIFF_H
#define STREAMS_SNIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "streams/loop.h"

#define SNIFF_SNAPLEN 65535
/* The ring: some 20000 frames of 1500 bytes. */
#define SNIFF_RING_BYTES (32 << 20)
/* Packets handed over in a turn of the loop. */
#define SNIFF_BATCH 64u

struct sniff;

struct sniff_events {
	/* Each may close the sniff. p is valid for the call. */
	void (*packet)(void *ctx, int64_t realtime_ns, const void *p, size_t n);
	/* No more will come: the interface is gone, or packets were lost, for
	 * the ring was full. */
	void (*broken)(void *ctx, const struct err *err);
};

/* From when it returns every packet of the interface is handed over, and none
 * before; with is_promiscuous those for others, too. NULL with err. events and
 * ctx are borrowed. */
struct sniff *sniff_open(struct loop *l, const char *interface,
			 bool is_promiscuous, const struct sniff_events *events,
			 void *ctx, struct err *err);
struct sniff *sniff_close(struct sniff *s);
/* Hands over what is there now, up to a ring of it. No effect inside of
 * packet(). */
void sniff_poll(struct sniff *s);

#endif
