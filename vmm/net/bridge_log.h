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
#include "vmm/net/bridge.h"

#define BRIDGE_LOG_MAX (8u << 20)

/* From now until the bridge is freed. dir exists; it is copied. */
int bridge_log(struct bridge *b, const char *dir, struct err *err);

#endif
