/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: the client moves bytes between the fd and the session,
 * and hands what the session says to the port whose channel it is about.
 *
 * Output is written by a hook that runs when the loop is about to wait: all
 * that was asked for in one go leaves in one write, and nothing waits a turn
 * for it. Only when the fd is full is write readiness watched.
 *
 * Lost and failed are two steps. When the byte stream ends, the owner is told
 * (on_lost), and finds out why: a QEMU that exited is noticed a moment after
 * its socket closed. Until it calls client_fail(), calls stay in flight, so
 * that they end with the better reason.
 *
 * Callbacks may free the client. As the session cannot be freed under its own
 * feet, its memory then goes when the input is over.
 */
#include "streams/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "streams/client_impl.h"

#define READS_PER_TURN 4
#define ERRNO_MAX      4095 /* of Linux: include/linux/err.h */

TAILQ_HEAD(port_list, port);

struct client {
	struct loop *loop; /* borrowed */
	int fd;		   /* owned; -1 once failed */
	struct watch *watch;
	struct timer *loss; /* tells the owner, from the loop */
	struct loop_hook hook;
	struct session *session;
	struct port_list ports;
	client_lost_cb on_lost;
	void *ctx;
	struct op *hello; /* the caller's, while it runs */
	uint64_t instance;
	uint64_t next_handle;
	struct buf out;
	struct err failure; /* why calls fail; code 0: they do not */
	struct err lost;    /* what on_lost is told */
	bool is_lost;
	bool is_freed;
	bool in_input;
};

/* --- ports --------------------------------------------------------------- */

static void port_unlist(struct port *p)
{
	if (p->is_listed)
		TAILQ_REMOVE(&p->client->ports, p, link);
	p->is_listed = false;
}

void port_forget(struct port *p)
{
	if (p->chan)
		chan_set_ctx(p->chan, NULL);
	p->chan = NULL;
	port_unlist(p);
}

void port_close(struct port *p)
{
	struct chan *ch = p->chan;

	port_forget(p);
	if (!ch)
		return;
	chan_reset(ch);
	client_kick(p->client);
}

static int port_send_open(struct port *p, const struct msg *req, bool fin,
			  struct err *err)
{
	struct client *c = p->client;
	struct buf bytes = {0};
	int r = msg_encode(req, &bytes);

	if (r < 0) {
		buf_done(&bytes);
		return err_set(err, r, "the request is larger than %u bytes",
			       MSG_MAX);
	}
	p->chan = chan_open(c->session, buf_data(&bytes), bytes.len, fin, p);
	buf_done(&bytes);
	if (p->chan)
		return 0;
	if (!session_is_established(c->session))
		return err_set(err, -ENOTCONN,
			       "the agent has not answered yet");
	return err_set(err, -EBUSY, "more than %d calls in flight",
		       CHANNELS_MAX);
}

int port_open(struct port *p, struct client *c, const struct port_ops *ops,
	      const struct msg *req, bool fin, struct err *err)
{
	p->client = c;
	p->ops = ops;
	p->chan = NULL;
	if (c->failure.code) {
		*err = c->failure;
		return err->code;
	}
	if (!c->is_lost) {
		int r = port_send_open(p, req, fin, err);

		if (r < 0)
			return r;
		client_kick(c);
	}
	TAILQ_INSERT_TAIL(&c->ports, p, link);
	p->is_listed = true;
	return 0;
}

static void ports_lose(struct client *c, const struct err *err)
{
	struct port *p;

	while ((p = TAILQ_FIRST(&c->ports))) {
		port_forget(p);
		p->ops->lost(p, err);
	}
}

/* --- what the session says ----------------------------------------------- */

static void on_established(void *ctx, const struct hello *peer)
{
	struct client *c = ctx;
	struct op *op = c->hello;

	c->instance = peer->instance;
	c->hello = NULL;
	if (op)
		op_finish(op, 0, NULL);
}

static void on_message(void *ctx, struct chan *ch, const uint8_t *msg, size_t n)
{
	struct port *p = chan_ctx(ch);

	(void)ctx;
	if (p)
		p->ops->message(p, msg, n);
}

static void on_data(void *ctx, struct chan *ch, const uint8_t *bytes, size_t n,
		    bool more)
{
	struct port *p = chan_ctx(ch);

	(void)ctx;
	if (p)
		p->ops->data(p, bytes, n, more);
}

static void on_writable(void *ctx, struct chan *ch)
{
	struct port *p = chan_ctx(ch);

	(void)ctx;
	if (p)
		p->ops->writable(p);
}

static void on_finished(void *ctx, struct chan *ch)
{
	struct port *p = chan_ctx(ch);

	(void)ctx;
	if (p)
		p->ops->finished(p);
}

static void on_closed(void *ctx, struct chan *ch, int reason)
{
	struct port *p = chan_ctx(ch);
	struct err err;

	(void)ctx;
	if (!p)
		return;
	p->chan = NULL;
	port_unlist(p);
	err_set(&err, reason < 0 ? reason : -EPROTO, "%s",
		reason == -ECONNRESET ? "the session with the guest was "
					"started anew"
				      : "the agent gave the call up");
	p->ops->lost(p, &err);
}

static const struct session_ops session_ops = {
    .established = on_established,
    .message = on_message,
    .data = on_data,
    .writable = on_writable,
    .finished = on_finished,
    .closed = on_closed,
};

/* --- bytes --------------------------------------------------------------- */

static void stop_io(struct client *c)
{
	loop_hook_cancel(c->loop, &c->hook);
	c->watch = watch_free(c->watch);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* The byte stream is over. The owner hears of it from the loop. */
static void lose(struct client *c, const struct err *err)
{
	if (c->is_lost || c->failure.code)
		return;
	c->is_lost = true;
	c->lost = *err;
	watch_set(c->watch, 0);
	timer_set(c->loss, 0);
}

static void on_loss(void *ctx)
{
	struct client *c = ctx;

	if (c->on_lost)
		c->on_lost(c->ctx, &c->lost);
}

/* Whether there is more to write than the fd took. */
static bool flush(struct client *c)
{
	while (c->out.len ||
	       session_output(c->session, &c->out, FRAME_PAYLOAD_MAX)) {
		ssize_t n = write(c->fd, buf_data(&c->out), c->out.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			struct err err;

			err_set(&err, -errno, "cannot write to the agent: %s",
				strerror(errno));
			lose(c, &err);
			return false;
		}
		buf_consume(&c->out, (size_t)n);
	}
	return false;
}

static void before_wait(void *ctx)
{
	struct client *c = ctx;

	if (c->fd < 0 || c->is_lost)
		return;
	bool is_full = flush(c);
	if (!c->is_lost)
		watch_set(c->watch, LOOP_READ | (is_full ? LOOP_WRITE : 0));
}

void client_kick(struct client *c)
{
	if (c->fd >= 0 && !c->is_lost)
		loop_before_wait(c->loop, &c->hook);
}

/* One read; whether there may be more. */
static bool read_some(struct client *c)
{
	struct err err;
	size_t room;
	uint8_t *p = session_input_room(c->session, &room);
	ssize_t n = read(c->fd, p, room);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		if (n == 0)
			err_set(&err, -EPIPE,
				"the connection to the agent ended");
		else
			err_set(&err, -errno, "cannot read from the agent: %s",
				strerror(errno));
		lose(c, &err);
		return false;
	}
	if (session_input(c->session, (size_t)n, &err) < 0)
		lose(c, &err);
	return (size_t)n == room;
}

static void client_destroy(void *ptr)
{
	struct client *c = ptr;

	session_free(c->session);
	buf_done(&c->out);
	free(c);
}

static void on_ready(void *ctx, int fd, unsigned ready)
{
	struct client *c = ctx;

	(void)fd;
	if (ready == LOOP_WRITE) {
		client_kick(c);
		return;
	}
	c->in_input = true;
	for (int i = 0; i < READS_PER_TURN; i++)
		if (c->fd < 0 || c->is_lost || !read_some(c))
			break;
	c->in_input = false;
	if (c->is_freed)
		client_destroy(c);
	else if (session_has_output(c->session))
		client_kick(c);
}

/* --- answers ------------------------------------------------------------- */

int client_decode_reply(struct msg *m, const uint8_t *bytes, size_t n,
			struct err *err)
{
	if (msg_decode(m, bytes, n) < 0 || msg_is_request(m->type))
		return err_set(err, -EPROTO,
			       "the agent's answer makes no sense");
	if (m->type != MSG_ERROR)
		return 0;
	int code = m->error.errnum;
	if (code < 1 || code > ERRNO_MAX)
		code = EPROTO;
	err_set(err, -code, "%s", m->error.text);
	/* The guest's text goes into messages: no control bytes. */
	for (char *s = err->text; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	return -code;
}

/* --- the client ---------------------------------------------------------- */

static uint64_t random_u64(void)
{
	uint64_t n;

	/* Up to 256 bytes never fail (getrandom(2)), but before the pool is
	 * initialised it may be interrupted. */
	while (getrandom(&n, sizeof(n), 0) != sizeof(n))
		assert(errno == EINTR);
	return n;
}

struct client *client_new(struct loop *l, int take_fd, client_lost_cb on_lost,
			  void *ctx)
{
	struct client *c = mem_zalloc(sizeof(*c));

	c->loop = l;
	c->fd = take_fd;
	c->on_lost = on_lost;
	c->ctx = ctx;
	c->hook = (struct loop_hook){.cb = before_wait, .ctx = c};
	TAILQ_INIT(&c->ports);
	c->session = session_new(SESSION_HOST, 0, &session_ops, c);
	/* The upper half tells clients apart: an agent that was restored
	 * still has the handles of the client before. */
	c->next_handle = random_u64() << 32;
	c->loss = timer_new(l, on_loss, c);
	c->watch = watch_new(l, take_fd, on_ready, c);
	watch_set(c->watch, LOOP_READ);
	return c;
}

void client_fail(struct client *c, const struct err *err)
{
	struct op *hello = c->hello;

	if (c->failure.code)
		return;
	c->failure = *err;
	timer_set(c->loss, CLOCK_NEVER);
	stop_io(c);
	c->hello = NULL;
	if (hello)
		op_finish(hello, err->code, err);
	ports_lose(c, err);
}

struct client *client_free(struct client *c)
{
	struct err err;

	if (!c)
		return NULL;
	err_set(&err, -ECANCELED, "the connection to the agent was closed");
	client_fail(c, &err);
	c->loss = timer_free(c->loss);
	c->is_freed = true;
	if (!c->in_input)
		client_destroy(c);
	return NULL;
}

static void hello_stop(struct op *op, int reason)
{
	struct client *c = op->owner;

	if (reason == -ETIMEDOUT)
		err_set(&op->err, reason, "the agent did not answer");
	c->hello = NULL;
}

void client_hello(struct client *c, struct op *op, int64_t deadline_ns)
{
	struct err err;

	op_init(op, c->loop, hello_stop);
	op->owner = c;
	op_start(op, deadline_ns);
	if (c->failure.code) {
		op_finish(op, c->failure.code, &c->failure);
		return;
	}
	if (c->hello)
		op_cancel(c->hello);
	c->hello = op;
	err_set(&err, -ECONNRESET,
		"the session with the guest was started anew");
	ports_lose(c, &err);
	session_hello(c->session, random_u64());
	client_kick(c);
}

uint64_t client_instance(const struct client *c)
{
	return c->instance;
}

uint64_t client_new_handle(struct client *c)
{
	return ++c->next_handle;
}

struct loop *client_loop(const struct client *c)
{
	return c->loop;
}
