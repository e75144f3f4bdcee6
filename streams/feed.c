/* SPDX-License-Identifier: MIT */
/*
 * A feed: one request that is answered by data without end in sight. Its
 * owner returns credit as it likes, and is told of the end exactly once.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent-proto/mem.h"
#include "streams/client_impl.h"

struct feed {
	struct port port;
	const struct feed_ops *ops;
	void *ctx;
	bool has_reply;
	struct timer *refused; /* tells the owner, from the loop */
	struct err err;
};

static struct feed *feed_of(struct port *p)
{
	return CONTAINER_OF(p, struct feed, port);
}

static void feed_fail(struct feed *f, const struct err *err)
{
	port_close(&f->port);
	f->ops->fail(f->ctx, err);
}

static void feed_message(struct port *p, const uint8_t *bytes, size_t n)
{
	struct feed *f = feed_of(p);
	struct msg m;
	struct err err;

	if (client_decode_reply(&m, bytes, n, &err) < 0) {
		feed_fail(f, &err);
		return;
	}
	if (f->has_reply) {
		err_set(&err, -EPROTO, "the agent answered twice");
		feed_fail(f, &err);
		return;
	}
	f->has_reply = true;
	f->ops->reply(f->ctx, &m);
}

static void feed_data(struct port *p, const uint8_t *bytes, size_t n, bool more)
{
	struct feed *f = feed_of(p);
	struct err err;

	if (f->has_reply) {
		f->ops->data(f->ctx, bytes, n, more);
		return;
	}
	err_set(&err, -EPROTO, "the agent sent data before its answer");
	feed_fail(f, &err);
}

static void feed_writable(struct port *p)
{
	(void)p;
}

static void feed_finished(struct port *p)
{
	struct feed *f = feed_of(p);
	struct err err;

	if (f->has_reply) {
		port_forget(p);
		f->ops->fin(f->ctx);
		return;
	}
	err_set(&err, -EPROTO, "the agent ended without an answer");
	feed_fail(f, &err);
}

static void feed_lost(struct port *p, const struct err *err)
{
	struct feed *f = feed_of(p);

	f->ops->fail(f->ctx, err);
}

static const struct port_ops feed_port_ops = {
    .message = feed_message,
    .data = feed_data,
    .writable = feed_writable,
    .finished = feed_finished,
    .lost = feed_lost,
};

static void on_refused(void *ctx)
{
	struct feed *f = ctx;

	f->ops->fail(f->ctx, &f->err);
}

struct feed *feed_open(struct client *c, const struct msg *req,
		       const struct feed_ops *ops, void *ctx)
{
	struct feed *f = mem_zalloc(sizeof(*f));

	f->ops = ops;
	f->ctx = ctx;
	if (port_open(&f->port, c, &feed_port_ops, req, true, &f->err) < 0) {
		f->refused = timer_new(client_loop(c), on_refused, f);
		timer_set(f->refused, 0);
	}
	return f;
}

void feed_consumed(struct feed *f, size_t n)
{
	if (!f->port.chan)
		return;
	chan_consumed(f->port.chan, n);
	client_kick(f->port.client);
}

struct feed *feed_close(struct feed *f)
{
	if (!f)
		return NULL;
	port_close(&f->port);
	timer_free(f->refused);
	free(f);
	return NULL;
}
