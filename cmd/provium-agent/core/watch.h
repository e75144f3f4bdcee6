/* SPDX-License-Identifier: MIT */
/* Watches: file descriptors of the agent in the server's loop. */
#ifndef AGENT_WATCH_H
#define AGENT_WATCH_H

#include <stdint.h>

struct server;

struct watch {
	int fd; /* borrowed while watched, else -1 */
	void (*on_event)(struct watch *w, uint32_t events);
};

void watch_init(struct watch *w,
		void (*on_event)(struct watch *w, uint32_t events));
/* Adds fd, or changes the events of the one watched. 0 or -errno: -EPERM for
 * a file that is always ready. An fd may have one watch. */
int watch_start(struct server *s, struct watch *w, int fd, uint32_t events);
/* No callback afterwards, not even of an event already fetched. */
void watch_stop(struct server *s, struct watch *w);

#endif
