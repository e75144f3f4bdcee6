/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: a piece is read from the stream, and files are made of
 * it in slices; `at` says how far. A turn of the loop takes slices for TURN_NS,
 * as thousands of small files may be in one piece: others have their turn, and
 * deadlines hold, in between. The source is paid when it hands the piece over,
 * so a slow disk holds up the guest.
 */
#include "streams/spool_tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "agent-proto/mem.h"
#include "agent-proto/tree_write.h"

#define PIECE_MAX ((size_t)64 << 10)
#define SLICE_MAX ((size_t)4 << 10)
#define TURN_NS	  (10 * NS_PER_MS)

struct spool_tree {
	struct loop *loop; /* borrowed */
	struct tree_writer *writer;
	struct stream *stream; /* borrowed */
	struct stream_wait w;
	size_t at;	    /* of w.bytes */
	struct timer *next; /* the piece that was read is taken */
	struct op *waiter;  /* borrowed */
	bool is_over;
	bool is_complete;
	struct err err; /* code 0: none */
};

static void spool_tree_tell(struct spool_tree *sp)
{
	struct op *op = sp->waiter;

	sp->waiter = NULL;
	if (!op)
		return;
	if (sp->err.code)
		op_finish(op, sp->err.code, &sp->err);
	else
		op_finish(op, sp->is_complete, NULL);
}

static void spool_tree_end(struct spool_tree *sp)
{
	sp->w.op.on_done = NULL;
	op_cancel(&sp->w.op);
	timer_set(sp->next, CLOCK_NEVER);
	sp->is_over = true;
	spool_tree_tell(sp);
}

static void spool_tree_on_bytes(struct op *op, void *ctx)
{
	struct spool_tree *sp = ctx;

	(void)op;
	timer_set(sp->next, 0);
}

static void spool_tree_read_on(struct spool_tree *sp)
{
	struct op *op = &sp->w.op;

	sp->at = 0;
	stream_read(&sp->w, PIECE_MAX, CLOCK_NEVER);
	if (op_is_done(op)) {
		timer_set(sp->next, 0);
		return;
	}
	op->on_done = spool_tree_on_bytes;
	op->done_ctx = sp;
}

/* The agent's bytes are no tree. */
static void blame_agent(struct err *err)
{
	if (err->code == -EPROTO)
		err_wrap(err, "the agent broke the protocol");
}

/* The read has brought no bytes: the stream has ended, broke, or was closed. */
static void spool_tree_finish(struct spool_tree *sp)
{
	const struct op *op = &sp->w.op;

	if (op->result < 0 && op->result != -ECANCELED) {
		sp->err = op->err;
	} else if (!op->result && !stream_is_closed(sp->stream)) {
		sp->is_complete = tree_writer_finish(sp->writer, &sp->err) == 0;
		blame_agent(&sp->err);
	}
	spool_tree_end(sp);
}

/* Makes files of what was read, for one turn. 0 or the error. */
static int take_slices(struct spool_tree *sp)
{
	const struct buf *b = &sp->w.bytes;
	int64_t until = clock_deadline_ns(TURN_NS);
	size_t n;

	do {
		n = b->len - sp->at < SLICE_MAX ? b->len - sp->at : SLICE_MAX;
		if (tree_writer_put(sp->writer, buf_data(b) + sp->at, n,
				    &sp->err) < 0)
			return sp->err.code;
		sp->at += n;
	} while (sp->at < b->len && clock_now_ns() < until);
	return 0;
}

static void spool_tree_on_next(void *ctx)
{
	struct spool_tree *sp = ctx;

	if (sp->w.op.result <= 0) {
		spool_tree_finish(sp);
	} else if (take_slices(sp) < 0) {
		blame_agent(&sp->err);
		spool_tree_end(sp);
	} else if (sp->at < sp->w.bytes.len) {
		timer_set(sp->next, 0);
	} else {
		spool_tree_read_on(sp);
	}
}

struct spool_tree *spool_tree_new(struct loop *l, struct stream *s,
				  const char *path, struct err *err)
{
	if (stream_is_busy(s)) {
		err_set(err, -EBUSY, "another call is waiting on this stream");
		return NULL;
	}
	struct tree_writer *writer = tree_writer_new(path, " on the host", err);
	if (!writer)
		return NULL;

	struct spool_tree *sp = mem_zalloc(sizeof(*sp));

	sp->loop = l;
	sp->writer = writer;
	sp->stream = s;
	sp->next = timer_new(l, spool_tree_on_next, sp);
	stream_wait_init(&sp->w, s);
	spool_tree_read_on(sp);
	return sp;
}

struct spool_tree *spool_tree_free(struct spool_tree *sp)
{
	if (!sp)
		return NULL;
	if (sp->waiter)
		op_cancel(sp->waiter);
	stream_wait_done(&sp->w);
	timer_free(sp->next);
	tree_writer_free(sp->writer);
	free(sp);
	return NULL;
}

static void spool_tree_on_wait_stop(struct op *op, int reason)
{
	struct spool_tree *sp = op->owner;

	if (sp->waiter != op)
		return;
	sp->waiter = NULL;
	if (reason == -ETIMEDOUT)
		op->result = 0;
}

void spool_tree_wait(struct spool_tree *sp, struct op *op, int64_t deadline_ns)
{
	assert(!sp->waiter);
	op_init(op, sp->loop, spool_tree_on_wait_stop);
	op->owner = sp;
	op_start(op, deadline_ns);
	sp->waiter = op;
	if (sp->is_over)
		spool_tree_tell(sp);
}
