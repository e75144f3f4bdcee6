/* SPDX-License-Identifier: MIT */
/* Inside the client: what its files share. Nobody else includes this. */
#ifndef STREAMS_CLIENT_IMPL_H
#define STREAMS_CLIENT_IMPL_H

#include "streams/client.h"

enum client_state {
	CLIENT_IDLE,   /* no session was asked for */
	CLIENT_HELLO,  /* HELLO is on its way */
	CLIENT_OPEN,   /* requests may be made */
	CLIENT_LOST,   /* the owner was told, and will say why */
	CLIENT_FAILED, /* by client_fail() */
	CLIENT_DEAD,   /* freed, but a caller up the stack may look at it */
};

/* What a channel's user is told. fail: it was taken out already. */
struct client_user_ops {
	/* An interrupt came; NULL: it means nothing to such a user. */
	void (*interrupt)(struct client_user *u, const struct err *err);
	void (*message)(struct client_user *u, const uint8_t *p, size_t n);
	void (*data)(struct client_user *u, const uint8_t *p, size_t n,
		     bool more);
	void (*writable)(struct client_user *u);
	void (*finished)(struct client_user *u);
	void (*fail)(struct client_user *u, const struct err *err);
};

TAILQ_HEAD(client_users, client_user);

struct tunnel;

struct client {
	struct loop *loop;
	enum client_state state;
	struct err err; /* LOST, FAILED, DEAD: why */
	client_lost_cb on_lost;
	void *ctx;

	struct session *session;
	struct op *hello; /* borrowed while it runs */
	uint64_t nonce;
	uint64_t instance;
	uint64_t handle;

	struct client_users users; /* have a channel, or wait for a failure */
	struct client_users postponed; /* have no channel yet */
	bool postpones;		       /* later requests join postponed */
	bool passes;		       /* requests made now are sent at once */
	struct err idle_err;	       /* IDLE: why; code 0: not started yet */
	unsigned interrupts;	       /* how often they were interrupted */
	struct buf scratch;	       /* a message being encoded */

	/* link.c */
	int fd;
	struct watch *watch;
	struct tunnel *tunnel; /* in place of fd and watch */
	struct loop_hook flush_hook;
	struct buf out;
	bool is_blocked; /* waits until fd is writable */
	int write_error; /* negative errno */
};

/* client.c */

/* Without a byte stream yet: link_open(), or tunnel.c, gives it one. */
struct client *client_new_unlinked(struct loop *l, client_lost_cb on_lost,
				   void *ctx);

/* Opens a channel for u with req; fin: no body follows. Returns 0, or a
 * negative errno with err filled; u is then nobody's. */
int client_user_open(struct client *c, struct client_user *u,
		     const struct msg *req, bool fin, struct err *err);
/* Out of the client, for good; the channel is reset unless all was said. */
void client_user_leave(struct client_user *u, bool reset);
/* The byte stream is of no use any more. */
void client_lose(struct client *c, const struct err *err);
static inline bool client_is_live(const struct client *c)
{
	return c->state <= CLIENT_OPEN;
}

/* link.c */

void link_init(struct client *c);
void link_open(struct client *c, int take_fd);
void link_close(struct client *c);
/* There may be something to send. */
void link_kick(struct client *c);

/* tunnel.c */

/* What the session has to say goes into outer's channel; false: no room. */
bool tunnel_flush(struct client *c);
/* Tells the agent that the call of that channel is given up: the worker may
 * sit in it, and read nothing. */
void tunnel_abandon(struct client *c, const struct chan *ch);
void tunnel_close(struct client *c);

/* reply.c */

/*
 * Decodes a message that answers request. Returns 0, or -EPROTO for what is no
 * answer to that. The agent's ERROR is a success of this function: ret->type
 * is MSG_ERROR, and err says what the agent did, code included.
 */
int reply_decode(enum msg_type request, const uint8_t *p, size_t n,
		 struct msg *ret, struct err *err);
/* The errors of a conversation that went wrong. */
void reply_broken(struct err *err, enum msg_type request, const char *what);

/* call.c: for those who hold a call inside of something else. */

void call_init(struct call *call, struct client *c);
void call_done(struct call *call);

#endif
