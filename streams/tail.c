/* SPDX-License-Identifier: MIT */
#include "streams/tail.h"

#include <errno.h>
#include <stdlib.h>

#include "agent-proto/mem.h"

/* The source of a Tail's stream. */
struct tail {
	struct feed *feed;
	struct stream *stream;	/* whose source this is */
	struct tail_open *open; /* borrowed; NULL: answered or given up */
};

/* The opening has failed: nothing is left of the stream. */
static void tail_refuse(struct tail *tail, const struct err *err)
{
	struct tail_open *t = tail->open;
	struct err why = *err; /* err goes with the feed */

	tail->open = NULL;
	t->source = NULL;
	t->stream = stream_free(t->stream);
	op_finish(&t->op, why.code, &why);
}

static void refuse_protocol(struct tail *tail)
{
	struct err err;

	err_set(&err, -EPROTO, "the agent did not say where the stream starts");
	tail_refuse(tail, &err);
}

static void on_reply(void *ctx, const struct msg *m)
{
	struct tail *tail = ctx;
	struct tail_open *t = tail->open;

	if (m->type != MSG_DONE) {
		refuse_protocol(tail);
		return;
	}
	tail->open = NULL;
	t->source = NULL;
	t->start = m->done.value;
	op_finish(&t->op, 0, NULL);
}

static void tail_on_data(void *ctx, const uint8_t *p, size_t n, bool more)
{
	struct tail *tail = ctx;

	stream_deliver(tail->stream, p, n, more);
}

static void on_fin(void *ctx)
{
	struct tail *tail = ctx;

	if (tail->open)
		refuse_protocol(tail);
	else
		stream_end(tail->stream, NULL);
}

static void tail_on_fail(void *ctx, const struct err *err)
{
	struct tail *tail = ctx;

	if (tail->open)
		tail_refuse(tail, err);
	else
		stream_end(tail->stream, err);
}

static void tail_consumed(void *ctx, size_t n)
{
	struct tail *tail = ctx;

	feed_consumed(tail->feed, n);
}

static void tail_close(void *ctx)
{
	struct tail *tail = ctx;

	feed_close(tail->feed);
	free(tail);
}

static const struct feed_ops feed_ops = {
    .reply = on_reply,
    .data = tail_on_data,
    .fin = on_fin,
    .fail = tail_on_fail,
};

static const struct stream_source tail_source = {
    .consumed = tail_consumed,
    .close = tail_close,
};

static void on_open_stop(struct op *op, int reason)
{
	struct tail_open *t = CONTAINER_OF(op, struct tail_open, op);
	struct tail *tail = t->source;

	if (!tail)
		return;
	if (reason == -ETIMEDOUT)
		err_set(&op->err, reason,
			"opening %s '%s' timed out: no answer from the guest",
			stream_label(t->stream)->kind,
			stream_label(t->stream)->detail);
	tail->open = NULL;
	t->source = NULL;
	t->stream = stream_free(t->stream);
}

void tail_open_start(struct tail_open *t, struct client *c,
		     const struct msg *req, const struct stream_label *label,
		     struct stream_list *list, int64_t deadline_ns)
{
	struct tail *tail = mem_zalloc(sizeof(*tail));
	struct loop *l = client_loop(c);

	*t = (struct tail_open){.source = tail};
	tail->open = t;
	op_init(&t->op, l, on_open_stop);
	op_start(&t->op, deadline_ns);
	t->stream = tail->stream =
	    stream_new(l, STREAM_TAIL, label, list, &tail_source, tail);
	tail->feed = feed_open(c, req, &feed_ops, tail);
}

void tail_open_done(struct tail_open *t)
{
	op_done(&t->op);
	t->stream = stream_free(t->stream);
}
