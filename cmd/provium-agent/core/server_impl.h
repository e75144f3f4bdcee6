/* SPDX-License-Identifier: MIT */
/* The server as server.c, task.c and watch.c share it. Nobody else includes
 * this. */
#ifndef AGENT_SERVER_IMPL_H
#define AGENT_SERVER_IMPL_H

#include <sys/epoll.h>

#include "agent-proto/buf.h"
#include "cmd/provium-agent/core/handle.h"
#include "cmd/provium-agent/core/server.h"
#include "cmd/provium-agent/core/task.h"
#include "cmd/provium-agent/core/watch.h"

#define EVENTS_MAX 32

struct server {
	const struct server_kind *kind;
	struct guest *guest;
	struct session *session;
	int epoll_fd;
	struct watch port;
	struct watch listener;
	enum server_eof eof;
	bool rx_ready; /* a read may give something */
	bool tx_ready;
	bool ended;
	bool shutting_down;
	int shutdown_how;
	bool sent_now;	/* a step has written to the port by itself */
	struct buf out; /* taken from the session, not yet written */
	size_t queued;	/* put into the session since it was empty */
	struct buf enc; /* for one message */
	TAILQ_HEAD(task_queue, task) awake;
	LIST_HEAD(task_list, task) tasks;
	struct handle_table handles;
	void *states[SERVICES_MAX]; /* one for each service of the kind */
	struct epoll_event events[EVENTS_MAX];
	int n_events;
	uint8_t header[FRAME_HEADER]; /* task_write_in_place() of scratch */
	uint8_t scratch[PIECE_MAX];
};

/* server.c: whether the port takes bytes, and none wait for it. */
bool server_may_send_now(const struct server *s);
/* Writes to the port, and keeps what it does not take. */
void server_send_now(struct server *s, const uint8_t *p, size_t n);

/* task.c: takes the task off its channel, which it returns; the owner is
 * still to be told (ops->stop). */
struct chan *task_detach(struct task *t);

#endif
