/* SPDX-License-Identifier: MIT */
/*
 * The host's side for tests of the agent: a plain, blocking peer over
 * session.h, which runs the agent program on one end of a socketpair. Every
 * wait has a deadline, after which the test fails.
 */
#ifndef LIB_AGENT_PEER_H
#define LIB_AGENT_PEER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdbool.h>
#include <sys/types.h>

#include "agent-proto/buf.h"
#include "agent-proto/msg.h"
#include "agent-proto/session.h"

#define PEER_WAIT_S 60

struct peer {
	struct session *session;
	int fd;
	pid_t pid;  /* of the agent */
	bool ended; /* the agent closed its end */
	bool established;
	struct hello agent;
	struct buf out;
	uint64_t nonce;
	uint64_t next_handle;
	pid_t groups[64]; /* led by what peer_spawn() started; 0: none */
	unsigned n_groups;
	struct exchange *all; /* freed with the peer */
};

/* One request and all that came back. */
struct exchange {
	struct peer *p;
	struct exchange *next;
	struct chan *chan; /* NULL once closed */
	int replies;	   /* messages that came */
	struct msg reply;  /* the first one */
	struct buf reply_bytes;
	int errnum; /* of an ERROR at any time */
	char text[ERR_TEXT_MAX];
	struct buf data;
	int frames;
	bool fin;
	int reason; /* closed() said */
	bool hold;  /* give no credit back */
	size_t held;
};

/* Runs the agent, says HELLO. */
struct peer *peer_start(void);
/* Wraps an fd that is connected to an agent elsewhere, says HELLO. */
struct peer *peer_wrap(int take_fd);
/* Hangs up; the agent must exit 0. */
void peer_stop(struct peer *p);
void peer_hello(struct peer *p);

/* cmocka fixtures: *state is the peer. */
int peer_setup(void **state);
int peer_teardown(void **state);

/* Moves bytes once, waiting up to the deadline for some to move. */
void peer_turn(struct peer *p);
/* Moves bytes until none have for quiet_ms. */
void peer_settle(struct peer *p, int quiet_ms);

/* A request; without fin, data is to follow. Freed with the peer. */
struct exchange *peer_send(struct peer *p, const struct msg *m, bool fin);
/* Data on it; waits for credit. */
void peer_body(struct exchange *x, const void *bytes, size_t n, bool fin);
/* Until there is a reply; until the agent's fin. */
void peer_wait_reply(struct exchange *x);
void peer_wait_fin(struct exchange *x);
/* Until n bytes of data are there. */
void peer_wait_data(struct exchange *x, size_t n);
/* Gives back the credit held and holds no more. */
void peer_unhold(struct exchange *x);

/* Sends and waits for the end. */
struct exchange *peer_call(struct peer *p, const struct msg *m);
/* The same, with the expected outcome: the DONE value; the ERROR. */
int64_t peer_done(struct peer *p, const struct msg *m);
void peer_fails(struct peer *p, const struct msg *m, int errnum,
		const char *text);

/* SPAWN of argv (NULL-terminated); returns the handle. */
uint64_t peer_spawn(struct peer *p, const char *const *argv, uint32_t flags);
uint64_t peer_sh(struct peer *p, const char *script);
/* Its output, not waited for. */
struct exchange *peer_output(struct peer *p, uint64_t handle, int fd,
			     unsigned flags);
/* Until it has exited: the EXITED message. */
struct msg_exited peer_wait_exit(struct peer *p, uint64_t handle);

/* A directory for the test; "<dir>/<name>" in one of a few static places. */
const char *peer_tmp(const char *name);
void peer_write(const char *path, const char *text, bool append);
void assert_data(const struct exchange *x, const char *want);

#endif
