/* SPDX-License-Identifier: MIT */
/*
 * Requests and tasks. A request is answered in one call, or leaves a task. The
 * task serves the channel of the request until the channel ends.
 */
#ifndef AGENT_TASK_H
#define AGENT_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/err.h"
#include "agent-proto/frame.h"
#include "agent-proto/msg.h"
#include "agent-proto/session.h"

struct server;
struct task;

struct task_ops {
	/* Data from the host; NULL: it is dropped. Return its credit with
	 * chan_consumed() when it was used. */
	void (*data)(struct task *t, const uint8_t *p, size_t n, bool more);
	/* The host will send nothing more; may be NULL. */
	void (*fin)(struct task *t);
	/* The task is awake and chan_room() > 0: write one piece at the most;
	 * task_sleep() when there is nothing for now. NULL: never wakes. */
	void (*step)(struct task *t);
	/* The channel is over: release everything and free. */
	void (*stop)(struct task *t);
};

struct task {
	TAILQ_ENTRY(task) link; /* in the queue of those awake */
	LIST_ENTRY(task) all;
	const struct task_ops *ops;
	struct server *srv;
	struct chan *ch;
	bool awake;
};

/* The size of one piece: what server_scratch() holds, and one frame. */
#define PIECE_MAX FRAME_PAYLOAD_MAX

void task_wake(struct task *t);
void task_sleep(struct task *t);
/* How much the next piece may hold. */
size_t task_room(const struct task *t);
/* n <= task_room() bytes. */
void task_write(struct task *t, const void *p, size_t n);
/* The same without a copy, where that can be. The FRAME_HEADER bytes before p
 * are written to, and are afterwards as they were. */
void task_write_in_place(struct task *t, uint8_t *p, size_t n);

/* Nothing more from here; the task goes on for what the host still sends, and
 * is over when that has ended too. */
void task_write_fin(struct task *t);

/* Last words; each ends the task (ops->stop) and invalidates it. */
void task_end_fin(struct task *t);
/* The last n <= task_room() bytes. */
void task_end_write(struct task *t, const void *p, size_t n);
void task_end_reply(struct task *t, const struct msg *m);
void task_end_done(struct task *t, int64_t value);
void task_end_error(struct task *t, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The text is err's, which says what the errno means. */
void task_end_failed(struct task *t, const struct err *err);

/* --- requests: the first message of a channel ----------------------------- */

struct req {
	struct server *srv;
	struct chan *ch;
	const struct msg *m; /* borrows from the session */
};

/* Every request is ended by one of these, or carried on by a task. */
void req_reply(const struct req *r, const struct msg *m);
void req_done(const struct req *r, int64_t value);
/* The text is "<fmt>: <strerror(errnum)>". */
void req_error(const struct req *r, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The text is err's, which says what the errno means. */
void req_failed(const struct req *r, const struct err *err);
/* Takes t on: it is stopped at the end of the channel at the latest. */
void task_start(struct task *t, const struct req *r,
		const struct task_ops *ops);
/* The first answer of a request that goes on with data. */
void task_send_done(struct task *t, int64_t value);

#endif
