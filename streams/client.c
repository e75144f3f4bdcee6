/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * A client is a session (agent-proto/session.h) on an fd. Whoever talks to the
 * agent, a call or a feed, is a client_user: it has a channel, whose ctx it
 * is. A user leaves the client before its owner hears the last word, so that
 * the owner may free it, the client, or anything else right then. A channel
 * whose user left has no ctx; what still comes on it is dropped.
 *
 *	IDLE --client_hello()--> HELLO --answer--> OPEN
 *	any of these --end, error, violation--> LOST --client_fail()--> FAILED
 *	any --client_free()--> DEAD
 *
 * A new HELLO is allowed in the first three; client_link() leads from the first
 * four to IDLE. A request in IDLE or HELLO is refused; in LOST it joins those
 * that wait for the reason; in FAILED it fails at once. While the client
 * postpones, requests in the first four states wait until
 * client_send_postponed() sends them.
 *
 * Users are failed one by one from the head of the list, in a state in which
 * none can join it: their owners may do what they like meanwhile.
 *
 * The session calls back while it works through a read. A client that was
 * failed or freed there ignores the rest of it, and its memory goes when the
 * turn is over.
 *
 * Files: client.c (states, users), link.c (bytes), tunnel.c (bytes in a
 * channel of another client), reply.c (what an answer
 * may be), call.c, feed.c.
 */
#include "streams/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/client_impl.h"

static const struct session_ops session_ops;

/* --- the users ------------------------------------------------------------ */

static int client_refuse(const struct client *c, struct err *err)
{
	const struct err *why = client_is_live(c) ? &c->idle_err : &c->err;

	if (why->code) {
		*err = *why;
		return err->code;
	}
	return err_set(err, -ENOTCONN,
		       "there is no session with the guest's agent yet");
}

static void client_join(struct client *c, struct client_user *u)
{
	u->client = c;
	TAILQ_INSERT_TAIL(u->is_postponed ? &c->postponed : &c->users, u, link);
}

/* Opens a channel with the encoded request, and joins the client. */
static int open_chan(struct client *c, struct client_user *u,
		     const struct buf *req, bool fin, struct err *err)
{
	u->chan = chan_open(c->session, buf_data(req), req->len, fin, u);
	if (!u->chan)
		return err_set(err, -EMFILE,
			       "%u requests are in flight already",
			       CHANNELS_MAX);
	u->fin_sent = fin;
	client_join(c, u);
	link_kick(c);
	return 0;
}

/* Into scratch. */
static int encode(struct client *c, const struct msg *req, struct err *err)
{
	buf_reset(&c->scratch);
	if (msg_encode(req, &c->scratch) < 0)
		return err_set(err, -EMSGSIZE,
			       "%s: the request is larger than %u MiB",
			       msg_name(req->type), MSG_MAX >> 20);
	return 0;
}

static bool is_postponing(const struct client *c)
{
	return c->postpones && !c->passes && c->state <= CLIENT_LOST;
}

int client_user_open(struct client *c, struct client_user *u,
		     const struct msg *req, bool fin, struct err *err)
{
	int r;

	u->interrupts = c->interrupts;
	if (c->state == CLIENT_LOST && !c->postpones) {
		client_join(c, u);
		return 0;
	}
	if (c->state != CLIENT_OPEN && !is_postponing(c))
		return client_refuse(c, err);
	r = encode(c, req, err);
	if (r < 0)
		return r;
	if (is_postponing(c)) {
		u->is_postponed = true;
		u->fin_sent = fin;
		buf_append(&u->postponed, buf_data(&c->scratch),
			   c->scratch.len);
		client_join(c, u);
		return 0;
	}
	r = open_chan(c, u, &c->scratch, fin, err);
	if (r < 0)
		err_wrap(err, "%s", msg_name(req->type));
	return r;
}

static void drop_chan(struct client_user *u, bool reset)
{
	if (!u->chan)
		return;
	if (reset || !u->fin_sent)
		chan_reset(u->chan);
	else
		chan_set_ctx(u->chan, NULL);
	u->chan = NULL;
	link_kick(u->client);
}

void client_user_leave(struct client_user *u, bool reset)
{
	struct client *c = u->client;

	if (!c)
		return;
	drop_chan(u, reset);
	TAILQ_REMOVE(u->is_postponed ? &c->postponed : &c->users, u, link);
	u->is_postponed = false;
	buf_done(&u->postponed);
	u->client = NULL;
}

static void fail_user(struct client_user *u, const struct err *err)
{
	client_user_leave(u, true);
	u->ops->fail(u, err);
}

/* In a state in which nobody can join the list. */
static void fail_users(struct client *c, const struct err *err)
{
	struct client_user *u;

	assert(c->state != CLIENT_OPEN && c->state != CLIENT_LOST);
	while ((u = TAILQ_FIRST(&c->users)))
		fail_user(u, err);
}

/* The same, and those that are postponed, which would wait in vain. */
static void fail_all(struct client *c, const struct err *err)
{
	struct client_user *u;

	c->postpones = false;
	fail_users(c, err);
	while ((u = TAILQ_FIRST(&c->postponed)))
		fail_user(u, err);
}

static void fail_hello(struct client *c, const struct err *err)
{
	struct op *hello = TAKE(c->hello);

	if (hello)
		op_finish(hello, err->code, err);
}

/* --- what the session says ------------------------------------------------ */

static void client_on_established(void *ctx, const struct hello *peer)
{
	struct client *c = ctx;
	struct op *hello = TAKE(c->hello);

	if (c->state != CLIENT_HELLO)
		return;
	c->state = CLIENT_OPEN;
	c->instance = peer->instance;
	if (hello)
		op_finish(hello, 0, NULL);
}

/* Whose channel it is, if that is still of interest. */
static struct client_user *user_of(const struct client *c,
				   const struct chan *ch)
{
	return client_is_live(c) ? chan_ctx(ch) : NULL;
}

static void client_on_message(void *ctx, struct chan *ch, const uint8_t *p,
			      size_t n)
{
	struct client_user *u = user_of(ctx, ch);

	if (u)
		u->ops->message(u, p, n);
}

static void client_on_data(void *ctx, struct chan *ch, const uint8_t *p,
			   size_t n, bool more)
{
	struct client_user *u = user_of(ctx, ch);

	if (u)
		u->ops->data(u, p, n, more);
	else
		chan_consumed(ch, n);
}

static void client_on_writable(void *ctx, struct chan *ch)
{
	struct client_user *u = user_of(ctx, ch);

	if (u)
		u->ops->writable(u);
}

static void client_on_finished(void *ctx, struct chan *ch)
{
	struct client_user *u = user_of(ctx, ch);

	if (u)
		u->ops->finished(u);
}

static void client_on_closed(void *ctx, struct chan *ch, int reason)
{
	struct client_user *u = user_of(ctx, ch);
	struct err err;

	if (!u)
		return;
	u->chan = NULL;
	/* Of the other reasons the users are told by who brings them about. */
	if (reason != -ECANCELED)
		return;
	err_set(&err, -EPROTO,
		"the agent broke the protocol: it dropped a request");
	fail_user(u, &err);
}

/* --- its life ------------------------------------------------------------- */

/* Two clients must not choose the same handles: an agent keeps them while its
 * guest is restored into another VM. */
static uint64_t random_start(void)
{
	uint64_t n = (uint64_t)clock_now_ns();
	/* Cannot fail for so few bytes on any kernel since 3.17. */
	ssize_t got = getrandom(&n, sizeof(n), 0);

	(void)got;
	return n;
}

struct client *client_new_unlinked(struct loop *l, client_lost_cb on_lost,
				   void *ctx)
{
	struct client *c = mem_zalloc(sizeof(*c));

	c->loop = l;
	c->on_lost = on_lost;
	c->ctx = ctx;
	c->nonce = random_start();
	c->handle = random_start();
	TAILQ_INIT(&c->users);
	TAILQ_INIT(&c->postponed);
	c->session = session_new(SESSION_HOST, 0, &session_ops, c);
	link_init(c);
	return c;
}

struct client *client_new(struct loop *l, int take_fd, client_lost_cb on_lost,
			  void *ctx)
{
	struct client *c = client_new_unlinked(l, on_lost, ctx);

	if (take_fd >= 0)
		link_open(c, take_fd);
	return c;
}

void client_link(struct client *c, int take_fd)
{
	assert(c->state < CLIENT_FAILED);
	link_close(c);
	c->state = CLIENT_IDLE;
	c->write_error = 0;
	c->is_blocked = false;
	link_open(c, take_fd);
}

void client_set_owner(struct client *c, client_lost_cb on_lost, void *ctx)
{
	c->on_lost = on_lost;
	c->ctx = ctx;
}

static void client_destroy(void *ptr)
{
	struct client *c = ptr;

	session_free(c->session);
	buf_done(&c->scratch);
	free(c);
}

struct client *client_free(struct client *c)
{
	if (!c)
		return NULL;
	assert(c->state != CLIENT_DEAD);
	link_close(c);
	c->state = CLIENT_DEAD;
	err_set(&c->err, -ECANCELED,
		"the connection to the guest was given up");
	fail_all(c, &c->err);
	fail_hello(c, &c->err);
	loop_defer_free(c->loop, c, client_destroy);
	return NULL;
}

void client_fail(struct client *c, const struct err *err)
{
	if (c->state >= CLIENT_FAILED)
		return;
	link_close(c);
	c->state = CLIENT_FAILED;
	c->err = *err;
	fail_all(c, &c->err);
	fail_hello(c, &c->err);
}

void client_end_session(struct client *c, const struct err *err)
{
	assert(client_is_live(c));
	c->state = CLIENT_IDLE;
	c->idle_err = *err;
	fail_all(c, &c->idle_err);
	fail_hello(c, &c->idle_err);
}

/* --- requests that wait for a guest that restarts ------------------------- */

void client_postpone(struct client *c)
{
	c->postpones = true;
}

void client_pass(struct client *c, bool passes)
{
	c->passes = passes;
}

/* A body that cannot be read fails its call, whose owner may do anything. */
static void send_one(struct client *c, struct client_user *u)
{
	CLEANUP(buf_done) struct buf req = u->postponed;
	bool fin = u->fin_sent;
	struct err err;

	TAILQ_REMOVE(&c->postponed, u, link);
	u->is_postponed = false;
	u->postponed = (struct buf){0};
	u->client = NULL;
	if (open_chan(c, u, &req, fin, &err) < 0)
		u->ops->fail(u, &err);
	else if (!fin)
		u->ops->writable(u);
}

void client_send_postponed(struct client *c)
{
	struct client_user *u;

	c->postpones = false;
	while (c->state == CLIENT_OPEN && !c->postpones &&
	       (u = TAILQ_FIRST(&c->postponed)))
		send_one(c, u);
}

/* One that was in flight when the interrupt came. */
static struct client_user *client_next_interrupted(const struct client *c)
{
	struct client_user *u;

	TAILQ_FOREACH (u, &c->users, link)
		if (u->ops->interrupt && u->interrupts != c->interrupts)
			return u;
	TAILQ_FOREACH (u, &c->postponed, link)
		if (u->ops->interrupt && u->interrupts != c->interrupts)
			return u;
	return NULL;
}

/* Those who are told may free the client: then it has no users. */
void client_interrupt(struct client *c, const struct err *err)
{
	const struct err why = *err;
	struct client_user *u;

	c->interrupts++;
	while ((u = client_next_interrupted(c))) {
		u->interrupts = c->interrupts;
		u->ops->interrupt(u, &why);
	}
}

void client_lose(struct client *c, const struct err *err)
{
	if (!client_is_live(c))
		return;
	link_close(c);
	c->state = CLIENT_LOST;
	c->err = *err;
	if (c->on_lost)
		c->on_lost(c->ctx, err);
	else
		client_fail(c, err);
}

static void on_hello_stop(struct op *op, int reason)
{
	struct client *c = op->owner;

	(void)reason;
	if (c->hello == op)
		c->hello = NULL;
}

void client_hello(struct client *c, struct op *op, int64_t deadline_ns)
{
	struct op *old = c->hello;
	struct err err;

	op_init(op, c->loop, on_hello_stop);
	op->owner = c;
	op_start(op, deadline_ns);
	if (!client_is_live(c)) {
		op_finish(op, c->err.code, &c->err);
		return;
	}
	c->hello = op;
	c->state = CLIENT_HELLO;
	c->idle_err.code = 0;
	/* What was not sent yet belongs to the old session. */
	buf_reset(&c->out);
	session_hello(c->session, ++c->nonce);
	link_kick(c);
	/* All is set: those who are told now may do what they like. */
	err_set(
	    &err, -ECONNRESET,
	    "the guest was reset: a new session with its agent was started");
	if (old)
		op_finish(old, err.code, &err);
	fail_users(c, &err);
}

bool client_is_idle(const struct client *c)
{
	return TAILQ_EMPTY(&c->users) && TAILQ_EMPTY(&c->postponed);
}

struct loop *client_loop(const struct client *c)
{
	return c->loop;
}

uint64_t client_instance(const struct client *c)
{
	return c->instance;
}

uint64_t client_new_handle(struct client *c)
{
	return ++c->handle;
}

uint64_t client_next_handle(const struct client *c)
{
	return c->handle + 1;
}

void client_skip_handles(struct client *c, uint64_t next)
{
	if (next > c->handle + 1)
		c->handle = next - 1;
}

void client_post(struct client *c, const struct msg *req)
{
	struct client_user u = {0};
	struct err err;

	if (c->state != CLIENT_OPEN || encode(c, req, &err) < 0 ||
	    open_chan(c, &u, &c->scratch, true, &err) < 0)
		return;
	/* The channel is left to itself: what comes on it is dropped. */
	client_user_leave(&u, false);
}

static const struct session_ops session_ops = {
    .established = client_on_established,
    .message = client_on_message,
    .data = client_on_data,
    .writable = client_on_writable,
    .finished = client_on_finished,
    .closed = client_on_closed,
};
