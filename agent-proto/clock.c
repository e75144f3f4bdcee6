/* SPDX-License-Identifier: MIT */
#include "agent-proto/clock.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t clock_now_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_realtime_ns(void)
{
	return read_ns(CLOCK_REALTIME);
}

int64_t clock_deadline_ns(int64_t span_ns)
{
	int64_t now = clock_now_ns();

	if (span_ns < 0)
		span_ns = 0;
	return span_ns >= CLOCK_NEVER - now ? CLOCK_NEVER : now + span_ns;
}
