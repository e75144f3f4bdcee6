/* SPDX-License-Identifier: MIT */
/* What all tails share: one inotify instance, one timer. */
#ifndef AGENT_TAIL_H
#define AGENT_TAIL_H

#include "cmd/provium-agent/core/server.h"

extern const struct service tails_service;

#endif
