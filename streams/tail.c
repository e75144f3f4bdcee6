/* SPDX-License-Identifier: MIT */
/*
 * A source lives from the request on; with the agent's answer it gets its
 * stream, which then owns it. Until then the operation does.
 */
#include "streams/tail.h"

#include <errno.h>
#include <stdlib.h>

#include "agent-proto/mem.h"

struct source {
	struct feed *feed;
	struct stream *stream;	/* NULL before the answer */
	struct tail_open *open; /* NULL after it */
	struct loop *loop;
	struct stream_list *list;
	struct stream_label label; /* strings owned */
};

static char *dup_or_null(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

static void source_free(struct source *src)
{
	feed_close(src->feed);
	free((char *)(uintptr_t)src->label.kind);
	free((char *)(uintptr_t)src->label.detail);
	free((char *)(uintptr_t)src->label.file);
	free((char *)(uintptr_t)src->label.test);
	free(src);
}

/* --- of the stream ------------------------------------------------------- */

static void source_consumed(void *ctx, size_t n)
{
	struct source *src = ctx;

	feed_consumed(src->feed, n);
}

static void source_close(void *ctx)
{
	source_free(ctx);
}

static const struct stream_source source_ops = {
    .consumed = source_consumed,
    .close = source_close,
};

/* --- of the feed --------------------------------------------------------- */

static void on_reply(void *ctx, const struct msg *m)
{
	struct source *src = ctx;
	struct tail_open *t = src->open;
	struct err err;

	if (m->type != MSG_DONE) {
		err_set(&err, -EPROTO, "the agent's answer makes no sense");
		t->source = NULL;
		source_free(src);
		op_finish(&t->op, err.code, &err);
		return;
	}
	src->open = NULL;
	src->stream = stream_new(src->loop, STREAM_TAIL, &src->label, src->list,
				 &source_ops, src);
	t->source = NULL;
	t->stream = src->stream;
	t->start = m->done.value;
	op_finish(&t->op, 0, NULL);
}

static void on_data(void *ctx, const uint8_t *p, size_t n, bool more)
{
	struct source *src = ctx;

	stream_deliver(src->stream, p, n, more);
}

static void on_fin(void *ctx)
{
	struct source *src = ctx;

	stream_end(src->stream, NULL);
}

static void on_fail(void *ctx, const struct err *err)
{
	struct source *src = ctx;
	struct tail_open *t = src->open;
	struct err why = *err;

	if (!t) {
		stream_end(src->stream, &why);
		return;
	}
	t->source = NULL;
	source_free(src);
	op_finish(&t->op, why.code, &why);
}

static const struct feed_ops feed_ops = {
    .reply = on_reply,
    .data = on_data,
    .fin = on_fin,
    .fail = on_fail,
};

/* --- opening ------------------------------------------------------------- */

static void open_stop(struct op *op, int reason)
{
	struct tail_open *t = CONTAINER_OF(op, struct tail_open, op);

	(void)reason;
	source_free(t->source);
	t->source = NULL;
}

void tail_open_start(struct tail_open *t, struct loop *l, struct client *c,
		     const struct msg *req, const struct stream_label *label,
		     struct stream_list *list, int64_t deadline_ns)
{
	struct source *src = mem_zalloc(sizeof(*src));

	*t = (struct tail_open){.source = src};
	op_init(&t->op, l, open_stop);
	op_start(&t->op, deadline_ns);
	src->open = t;
	src->loop = l;
	src->list = list;
	src->label = (struct stream_label){
	    .kind = mem_strdup(label->kind),
	    .detail = mem_strdup(label->detail),
	    .file = dup_or_null(label->file),
	    .line = label->line,
	    .test = dup_or_null(label->test),
	};
	src->feed = feed_open(c, req, &feed_ops, src);
}

void tail_open_done(struct tail_open *t)
{
	op_done(&t->op);
	t->stream = stream_free(t->stream);
}
