/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/core/watch.h"

#include <assert.h>
#include <errno.h>

#include "cmd/provium-agent/core/server_impl.h"

void watch_init(struct watch *w,
		void (*on_event)(struct watch *w, uint32_t events))
{
	w->fd = -1;
	w->on_event = on_event;
}

int watch_start(struct server *s, struct watch *w, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};
	int op = w->fd == fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	assert(w->fd < 0 || w->fd == fd);
	if (epoll_ctl(s->epoll_fd, op, fd, &ev) < 0)
		return -errno;
	w->fd = fd;
	return 0;
}

void watch_stop(struct server *s, struct watch *w)
{
	if (w->fd < 0)
		return;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
	for (int i = 0; i < s->n_events; i++)
		if (s->events[i].data.ptr == w)
			s->events[i].data.ptr = NULL;
}
