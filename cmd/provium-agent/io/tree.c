/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/io/tree.h"

#include <stdlib.h>

#include "agent-proto/mem.h"
#include "agent-proto/tree_read.h"
#include "agent-proto/tree_write.h"
#include "cmd/provium-agent/core/server.h"

/* --- from the guest ------------------------------------------------------- */

struct sender {
	struct task t;
	struct tree_reader *reader;
	struct buf bytes; /* read, not yet sent */
	bool at_end;	  /* nothing comes behind bytes */
};

static void sender_step(struct task *t)
{
	struct sender *s = CONTAINER_OF(t, struct sender, t);
	size_t n = task_room(t);
	struct err err;
	int more;

	if (!s->at_end && s->bytes.len < n) {
		more = tree_reader_next(s->reader, &s->bytes, PIECE_MAX, &err);
		if (more < 0) {
			task_end_failed(t, &err);
			return;
		}
		s->at_end = !more;
	}
	if (n > s->bytes.len)
		n = s->bytes.len;
	if (s->at_end && n == s->bytes.len) {
		task_end_write(t, buf_data(&s->bytes), n);
		return;
	}
	task_write(t, buf_data(&s->bytes), n);
	buf_consume(&s->bytes, n);
}

static void sender_stop(struct task *t)
{
	struct sender *s = CONTAINER_OF(t, struct sender, t);

	tree_reader_free(s->reader);
	buf_done(&s->bytes);
	free(s);
}

static const struct task_ops sender_ops = {
    .step = sender_step,
    .stop = sender_stop,
};

void tree_send(const struct req *r, int take_fd, mode_t mode, const char *path)
{
	struct sender *s = mem_zalloc(sizeof(*s));

	s->reader = tree_reader_new(take_fd, path, "");
	task_start(&s->t, r, &sender_ops);
	task_send_done(&s->t, (int64_t)mode);
	task_wake(&s->t);
}

/* --- to the guest --------------------------------------------------------- */

struct receiver {
	struct task t;
	struct tree_writer *writer;
};

static void receiver_data(struct task *t, const uint8_t *p, size_t n, bool more)
{
	struct receiver *rc = CONTAINER_OF(t, struct receiver, t);
	struct err err;
	int failed = tree_writer_put(rc->writer, p, n, &err);

	(void)more;
	chan_consumed(t->ch, n);
	if (failed < 0)
		task_end_failed(t, &err);
}

static void receiver_fin(struct task *t)
{
	struct receiver *rc = CONTAINER_OF(t, struct receiver, t);
	struct err err;

	if (tree_writer_finish(rc->writer, &err) < 0)
		task_end_failed(t, &err);
	else
		task_end_done(t, (int64_t)tree_writer_bytes(rc->writer));
}

static void receiver_stop(struct task *t)
{
	struct receiver *rc = CONTAINER_OF(t, struct receiver, t);

	tree_writer_free(rc->writer);
	free(rc);
}

static const struct task_ops receiver_ops = {
    .data = receiver_data,
    .fin = receiver_fin,
    .stop = receiver_stop,
};

void tree_receive(const struct req *r, const char *path)
{
	struct err err;
	struct tree_writer *writer = tree_writer_new(path, "", &err);
	struct receiver *rc;

	if (!writer) {
		req_failed(r, &err);
		return;
	}
	rc = mem_zalloc(sizeof(*rc));
	rc->writer = writer;
	task_start(&rc->t, r, &receiver_ops);
}
