/* SPDX-License-Identifier: MIT */
/*
 * A client whose byte stream is a channel of another client: the session with
 * a worker. No bytes are moved but from one session's frames into the other's,
 * and all is flushed in the same turn, with what outer itself has to say.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/client_impl.h"

struct tunnel {
	struct client_user user; /* of the outer client */
	struct client *inner;
	uint64_t handle;      /* the worker's */
	bool is_refused;      /* err: why */
	struct timer *doomed; /* to tell err of a link that never was open */
	struct err err;
};

static struct tunnel *tunnel_of(struct client_user *u)
{
	return CONTAINER_OF(u, struct tunnel, user);
}

bool tunnel_flush(struct client *c)
{
	struct client_user *u = &c->tunnel->user;

	if (!u->chan)
		return false;
	while (session_output(c->session, &c->out, FRAME_PAYLOAD_MAX)) {
		size_t n =
		    chan_write(u->chan, buf_data(&c->out), c->out.len, false);

		buf_consume(&c->out, n);
		link_kick(u->client);
		if (c->out.len)
			return false;
	}
	return true;
}

void tunnel_abandon(struct client *c, const struct chan *ch)
{
	struct client *outer = c->tunnel->user.client;
	struct msg m = {.type = MSG_WORKER_ABANDON};

	if (!outer)
		return;
	m.worker_abandon.handle = c->tunnel->handle;
	m.worker_abandon.channel = chan_id(ch);
	client_post(outer, &m);
}

void tunnel_close(struct client *c)
{
	struct tunnel *t = TAKE(c->tunnel);

	if (!t)
		return;
	client_user_leave(&t->user, true);
	timer_free(t->doomed);
	free(t);
}

/* The tunnel is gone before the owner hears of it, and t->err with it. */
static void tunnel_lose(struct tunnel *t, const struct err *why)
{
	struct err err = *why;

	client_lose(t->inner, &err);
}

static void tunnel_on_message(struct client_user *u, const uint8_t *p, size_t n)
{
	struct tunnel *t = tunnel_of(u);
	struct msg m;

	if (reply_decode(MSG_WORKER_LINK, p, n, &m, &t->err) < 0)
		tunnel_lose(t, &t->err);
	else
		t->is_refused = m.type == MSG_ERROR;
}

/* Stops where the inner client was closed on the way. */
static void feed_inner(struct client *c, const uint8_t *p, size_t n)
{
	struct err err;
	size_t room;

	while (n && c->tunnel) {
		uint8_t *to = session_input_room(c->session, &room);

		if (room > n)
			room = n;
		memcpy(to, p, room);
		p += room;
		n -= room;
		if (session_input(c->session, room, &err) < 0)
			client_lose(c, &err);
	}
	link_kick(c);
}

static void tunnel_on_data(struct client_user *u, const uint8_t *p, size_t n,
			   bool more)
{
	struct client *c = tunnel_of(u)->inner;

	(void)more;
	chan_consumed(u->chan, n);
	link_kick(u->client);
	feed_inner(c, p, n);
}

static void tunnel_on_writable(struct client_user *u)
{
	struct client *c = tunnel_of(u)->inner;

	c->is_blocked = !tunnel_flush(c);
}

static void tunnel_on_fail(struct client_user *u, const struct err *err)
{
	tunnel_lose(tunnel_of(u), err);
}

static void tunnel_on_finished(struct client_user *u)
{
	struct tunnel *t = tunnel_of(u);
	struct err err;

	err_set(&err, -ESRCH, "the worker is gone");
	tunnel_lose(t, t->is_refused ? &t->err : &err);
}

static void tunnel_on_doomed(void *ctx)
{
	struct tunnel *t = ctx;

	tunnel_lose(t, &t->err);
}

static void tunnel_on_interrupt(struct client_user *u, const struct err *err)
{
	client_interrupt(tunnel_of(u)->inner, err);
}

static const struct client_user_ops tunnel_user_ops = {
    .interrupt = tunnel_on_interrupt,
    .message = tunnel_on_message,
    .data = tunnel_on_data,
    .writable = tunnel_on_writable,
    .finished = tunnel_on_finished,
    .fail = tunnel_on_fail,
};

struct client *client_new_worker(struct client *outer, uint64_t handle,
				 client_lost_cb on_lost, void *ctx)
{
	struct client *c = client_new_unlinked(outer->loop, on_lost, ctx);
	struct tunnel *t = mem_zalloc(sizeof(*t));
	struct msg req = {.type = MSG_WORKER_LINK};

	req.worker_link.handle = handle;
	t->inner = c;
	t->handle = handle;
	t->user.ops = &tunnel_user_ops;
	c->tunnel = t;
	if (client_user_open(outer, &t->user, &req, false, &t->err) < 0) {
		t->doomed = timer_new(c->loop, tunnel_on_doomed, t);
		timer_set(t->doomed, 0);
	}
	return c;
}
