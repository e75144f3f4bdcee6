/* SPDX-License-Identifier: MIT */
/* What a network does to frames, as reports of failures say it. */
#ifndef RUNNER_BRIDGE_IN_FORCE_H
#define RUNNER_BRIDGE_IN_FORCE_H

#include <jansson.h>

#include "agent-proto/buf.h"

/* Appends "lan: a <-> b partitioned; all drop 10 %; link of c down" for a
 * bridge as saved (vmm/net/bridge_state.h), or nothing where it is perfect. */
void bridge_in_force(const json_t *saved, struct buf *out);

#endif
