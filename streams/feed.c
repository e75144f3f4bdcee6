/* SPDX-License-Identifier: MIT */
/* A feed: a channel whose owner is told what comes as it comes. */
#include <errno.h>
#include <stdlib.h>

#include "agent-proto/mem.h"
#include "streams/client_impl.h"

struct feed {
	struct client_user user;
	enum msg_type request;
	const struct feed_ops *ops;
	void *ctx;
	bool has_reply;
	bool is_refused;      /* err is what the agent said */
	struct timer *doomed; /* to tell err of a feed that never was open */
	struct err err;
};

static const struct client_user_ops feed_user_ops;

static struct feed *feed_of(struct client_user *u)
{
	return CONTAINER_OF(u, struct feed, user);
}

/* The last word: f may be gone afterwards. */
static void feed_fail(struct client_user *u, const struct err *err)
{
	struct feed *f = feed_of(u);

	f->ops->fail(f->ctx, err);
}

/* The owner may close f and look at err then. */
static void tell_fail(struct feed *f)
{
	struct err err = f->err;

	f->ops->fail(f->ctx, &err);
}

static void feed_give_up(struct feed *f)
{
	client_user_leave(&f->user, true);
	tell_fail(f);
}

static void feed_give_up_broken(struct feed *f, const char *what)
{
	reply_broken(&f->err, f->request, what);
	feed_give_up(f);
}

static void feed_message(struct client_user *u, const uint8_t *p, size_t n)
{
	struct feed *f = feed_of(u);
	struct msg m;

	if (f->is_refused) {
		feed_give_up_broken(f, "was answered again after its ERROR");
		return;
	}
	if (reply_decode(f->request, p, n, &m, &f->err) < 0) {
		feed_give_up(f);
		return;
	}
	if (m.type == MSG_ERROR) {
		f->is_refused = true;
		return;
	}
	if (f->has_reply) {
		feed_give_up_broken(f, "was answered twice");
		return;
	}
	f->has_reply = true;
	f->ops->reply(f->ctx, &m);
}

static void feed_data(struct client_user *u, const uint8_t *p, size_t n,
		      bool more)
{
	struct feed *f = feed_of(u);

	if (!f->has_reply || f->is_refused) {
		feed_give_up_broken(f, "got data where none belongs");
		return;
	}
	f->ops->data(f->ctx, p, n, more);
}

static void feed_finished(struct client_user *u)
{
	struct feed *f = feed_of(u);

	if (!f->has_reply && !f->is_refused) {
		feed_give_up_broken(f, "was not answered");
		return;
	}
	client_user_leave(u, false);
	if (f->is_refused)
		tell_fail(f);
	else
		f->ops->fin(f->ctx);
}

static void feed_on_doomed(void *ctx)
{
	struct feed *f = ctx;

	f->doomed = timer_free(f->doomed);
	tell_fail(f);
}

struct feed *feed_open(struct client *c, const struct msg *req,
		       const struct feed_ops *ops, void *ctx)
{
	struct feed *f = mem_zalloc(sizeof(*f));

	f->user.ops = &feed_user_ops;
	f->request = req->type;
	f->ops = ops;
	f->ctx = ctx;
	if (client_user_open(c, &f->user, req, true, &f->err) < 0) {
		f->doomed = timer_new(c->loop, feed_on_doomed, f);
		timer_set(f->doomed, 0);
	}
	return f;
}

void feed_consumed(struct feed *f, size_t n)
{
	if (!f->user.chan)
		return;
	chan_consumed(f->user.chan, n);
	link_kick(f->user.client);
}

struct feed *feed_close(struct feed *f)
{
	if (!f)
		return NULL;
	client_user_leave(&f->user, true);
	timer_free(f->doomed);
	free(f);
	return NULL;
}

/* All is said with the request, so nothing ever waits to be writable. */
static const struct client_user_ops feed_user_ops = {
    .message = feed_message,
    .data = feed_data,
    .finished = feed_finished,
    .fail = feed_fail,
};
