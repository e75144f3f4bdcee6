/* SPDX-License-Identifier: MIT */
/*
 * Time is int64_t nanoseconds of CLOCK_MONOTONIC, in variables that end in
 * _ns. A deadline is a point on that clock; CLOCK_NEVER is none.
 */
#ifndef AGENT_PROTO_CLOCK_H
#define AGENT_PROTO_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER INT64_MAX
#define NS_PER_US   INT64_C(1000)
#define NS_PER_MS   INT64_C(1000000)
#define NS_PER_SEC  INT64_C(1000000000)

int64_t clock_now_ns(void);
/* Of CLOCK_REALTIME, since the epoch: for what is told, not for deadlines. */
int64_t clock_realtime_ns(void);

/* now + span_ns, saturating at CLOCK_NEVER; negative spans count as 0. */
int64_t clock_deadline_ns(int64_t span_ns);

#endif
