/* SPDX-License-Identifier: MIT */
/*
 * The agent's one loop: it moves bytes between the port and the session,
 * hands requests to its kind, and turns what serves a request
 * for longer than one call, a task.
 */
#ifndef AGENT_SERVER_H
#define AGENT_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/err.h"
#include "agent-proto/msg.h"
#include "agent-proto/session.h"
#include "cmd/provium-agent/guest.h"

struct server;
struct req;
struct handle_table;

/* --- watches: an fd of ours in the loop ---------------------------------- */

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

/* --- tasks: what serves a channel until it ends --------------------------- */

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

/* --- the server ----------------------------------------------------------- */

enum server_eof {
	EOF_EXITS,  /* the port is a socket that somebody gave us */
	EOF_WAITS,  /* a virtio port: the host may come back */
	EOF_LISTENS /* a connection: the next one replaces it */
};

/* State of a group of requests, from the server's start to its end. */
struct service {
	void *(*new)(struct server *s);
	void (*free)(void *state);
};

#define SERVICES_MAX 4

/* What a server serves. */
struct server_kind {
	/* Ends the request, or starts a task. */
	void (*dispatch)(const struct req *r);
	const struct service *services[SERVICES_MAX]; /* NULL: no more */
};

/* Both are borrowed. */
struct server *server_new(const struct server_kind *kind, struct guest *guest);
struct server *server_free(struct server *s);

/* Serves fd, which is made non-blocking; closes the port it had. */
void server_set_port(struct server *s, int take_fd, enum server_eof eof);
/* Accepts connections, each replacing the one before. */
void server_set_listener(struct server *s, int take_fd);
/* Until the port ends (EOF_EXITS) or server_shutdown(). Returns the
 * MSG_SHUTDOWN value asked for, or -1. */
int server_run(struct server *s);
/* What was queued is still sent, then server_run() returns. */
void server_shutdown(struct server *s, int how);

struct handle_table *server_handles(struct server *s);
struct guest *server_guest(struct server *s);
/* PIECE_MAX bytes for use within one call, with FRAME_HEADER more before. */
uint8_t *server_scratch(struct server *s);
/* That of one of the kind's services. */
void *server_state(struct server *s, const struct service *service);
const struct server_kind *server_kind(const struct server *s);

#endif
