/* SPDX-License-Identifier: MIT */
/*
 * What passed a bridge last, as pcap files beside the other logs of a test
 * file: <bridge>.pcap, and when that has BRIDGE_LOG_MAX bytes,
 * <bridge>.old.pcap with what was before. Another bridge of the name has a
 * number behind it.
 */
#ifndef VMM_NET_BRIDGE_LOG_H
#define VMM_NET_BRIDGE_LOG_H

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "vmm/net/bridge.h"

#define BRIDGE_LOG_MAX (8u << 20)

/* From now until the bridge is freed. dir exists; it is copied. */
int bridge_log(struct bridge *b, const char *dir, struct err *err);

/* Appends the paths of the files that there are. */
void bridge_log_paths(const struct bridge *b, struct strvec *paths);

/* frame is borrowed for the call; realtime_ns is of CLOCK_REALTIME. */
typedef void (*bridge_log_cb)(void *ctx, int64_t realtime_ns,
			      const uint8_t *frame, size_t n);
/* Reads the files, and tells the last max packets that passed at since_ns
 * (CLOCK_REALTIME) or later, oldest first. Returns the number of those before
 * them, back to since_ns or to the oldest that is kept; 0 without a log. */
uint64_t bridge_log_last(struct bridge *b, int64_t since_ns, uint64_t max,
			 bridge_log_cb tell, void *ctx);

#endif
