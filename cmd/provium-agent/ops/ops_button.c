/* SPDX-License-Identifier: MIT */
/* Whether a press of the power button would be heard: a press before its
 * driver is loaded is lost (Linux clears the event when it enables it). */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/guest.h"
#include "cmd/provium-agent/core/watch.h"
#include "cmd/provium-agent/ops/ops.h"

struct button_wait {
	struct task t;
	struct watch w;
};

static void ops_button_on_event(struct watch *w, uint32_t events)
{
	struct button_wait *b = CONTAINER_OF(w, struct button_wait, w);

	(void)events;
	task_end_done(&b->t, 0);
}

static void ops_button_stop(struct task *t)
{
	struct button_wait *b = CONTAINER_OF(t, struct button_wait, t);
	int fd = b->w.fd;

	watch_stop(t->srv, &b->w);
	if (fd >= 0)
		close(fd);
	free(b);
}

static const struct task_ops wait_ops = {.stop = ops_button_stop};

void op_button_ready(const struct req *r)
{
	/* An fd has one watch: each request has an fd of its own. */
	int fd = server_guest(r->srv)->button_fd;
	struct button_wait *b;

	if (r->m->button_ready.button != MSG_BUTTON_POWER) {
		req_error(r, EINVAL, "button %u", r->m->button_ready.button);
		return;
	}
	fd = fd < 0 ? -1 : guest_fd_up(dup(fd));
	if (fd < 0) {
		req_done(r, 0);
		return;
	}
	b = mem_zalloc(sizeof(*b));
	watch_init(&b->w, ops_button_on_event);
	task_start(&b->t, r, &wait_ops);
	if (watch_start(r->srv, &b->w, fd, EPOLLIN) < 0) {
		close(fd);
		task_end_done(&b->t, 0);
	}
}
