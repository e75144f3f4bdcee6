/* SPDX-License-Identifier: MIT */
/*
 * The agent's one loop: it moves bytes between the port and the session, hands
 * each request to its kind, and gives the tasks (task.h) their turns.
 */
#ifndef AGENT_SERVER_H
#define AGENT_SERVER_H

#include <stdint.h>

#include "cmd/provium-agent/core/guest.h"

struct server;
struct req;
struct handle_table;

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
/* The state of a service that the server's kind has. */
void *server_state(struct server *s, const struct service *service);
const struct server_kind *server_kind(const struct server *s);

#endif
