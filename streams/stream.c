/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * All that a stream knows is in terms of offsets, counted from its first
 * byte; each only ever grows:
 *
 *	begin <= scan <= end	taken by the reader, searched, delivered
 *	begin <= credit <= end	paid for to the source
 *
 * begin, scan and end are those of the pending queue. A wait never takes
 * anything before it succeeds, so giving one up (deadline, cancel) is nothing
 * but forgetting it. Whatever may decide a wait (its start, bytes, the end)
 * calls its mode's progress(), which either finishes it or pays for what the
 * wait wants to see more of.
 *
 * A wait that holds stays the waiter after it has finished, and takes what it
 * found when it is accepted. Until then the queue is as if it still waited:
 * others only add to it.
 *
 * Finishing may run the reader's code, which may close and free the stream,
 * so it is the last thing that a function here does. Paying may deliver when
 * it does not come from inside a delivery, so by then a consistent state has
 * been reached, and nothing is touched after it either (finish() has taken
 * the waiter off by then).
 */
#include "streams/stream.h"

#include <errno.h>
#include <stdlib.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "agent-proto/msg.h"
#include "agent-proto/session.h"
#include "streams/stream_private.h"

/* --- the source's side -----------------------------------------------------
 */

void stream_deliver(struct stream *s, const void *p, size_t n, bool more)
{
	if (s->is_ended || s->is_closed)
		return;
	pending_add(&s->q, p, n, more);
	stream_progress(s);
}

void stream_end(struct stream *s, const struct err *err)
{
	if (s->is_ended || s->is_closed)
		return;
	s->is_ended = true;
	pending_seal(&s->q);
	if (err)
		s->broken = *err;
	if (err && stream_is_waited(s))
		stream_fail_waiter(s);
	else
		stream_progress(s);
}

/* --- making and closing ------------------------------------------------ */

static char *dup_or_null(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

struct stream *stream_new(struct loop *l, enum stream_type type,
			  const struct stream_label *label,
			  struct stream_list *list,
			  const struct stream_source *source, void *source_ctx)
{
	struct stream *s = mem_zalloc(sizeof(*s));

	s->loop = l;
	s->type = type;
	s->list = list;
	s->source = source;
	s->source_ctx = source_ctx;
	s->label = (struct stream_label){
	    .kind = mem_strdup(label->kind),
	    .detail = mem_strdup(label->detail),
	    .file = dup_or_null(label->file),
	    .line = label->line,
	    .test = dup_or_null(label->test),
	    .process = label->process,
	};
	if (list)
		TAILQ_INSERT_TAIL(list, s, link);
	return s;
}

static void free_label(struct stream_label *label)
{
	free_ptr(&label->kind);
	free_ptr(&label->detail);
	free_ptr(&label->file);
	free_ptr(&label->test);
}

/* Everything but telling the waiter, which is returned. */
static struct stream_wait *shut(struct stream *s)
{
	struct stream_wait *w = s->waiter;

	if (s->is_closed)
		return NULL;
	s->is_closed = true;
	/* It was over before the stream is. */
	if (w && w->is_held) {
		stream_settle(s, w);
		w = NULL;
	}
	s->waiter = NULL;
	if (s->list)
		TAILQ_REMOVE(s->list, s, link);
	s->source->close(s->source_ctx);
	pending_clear(&s->q);
	return w;
}

void stream_close(struct stream *s)
{
	struct stream_wait *w = shut(s);

	if (w)
		stream_finish_closed(s, w);
}

struct stream *stream_free(struct stream *s)
{
	if (!s)
		return NULL;
	struct stream_wait *w = shut(s);

	pending_done(&s->q);
	free_label(&s->label);
	free(s);
	if (w) {
		w->stream = NULL;
		op_cancel(&w->op);
	}
	return NULL;
}

bool stream_is_closed(const struct stream *s)
{
	return s->is_closed;
}

/* Bytes: when so many wait for a reader, the guest's end of the stream may wait
 * for it, too. Half a window, as credit is returned in parts. */
#define HELD_UP_MIN (CHAN_WINDOW / 2)

static bool is_held_up(const struct stream *s)
{
	return !s->waiter && !s->is_ended &&
	       s->q.end - s->credit >= HELD_UP_MIN;
}

void stream_list_tell_held_up(const struct stream_list *list, uint64_t process,
			      struct buf *out)
{
	const struct stream *s;

	if (!list || !process)
		return;
	TAILQ_FOREACH (s, list, link) {
		if (s->label.process != process || !is_held_up(s))
			continue;
		buf_printf(out, "; nobody reads its %s", s->label.kind);
		if (s->label.file)
			buf_printf(out, ", opened at %s:%d", s->label.file,
				   s->label.line);
		buf_printf(out,
			   ": %llu bytes wait there, and the process stands "
			   "still when the guest holds %u MiB more",
			   (unsigned long long)(s->q.end - s->credit),
			   MSG_OUTPUT_KEPT_MAX >> 20);
	}
}

void stream_tell_held_up(const struct stream *s, struct buf *out)
{
	stream_list_tell_held_up(s->is_closed ? NULL : s->list,
				 s->label.process, out);
}

bool stream_is_busy(const struct stream *s)
{
	return s->waiter != NULL;
}

bool stream_eof(const struct stream *s)
{
	return s->is_closed || (s->is_ended && !pending_size(&s->q));
}

bool stream_is_cut(const struct stream *s)
{
	return s->q.is_cut;
}

uint64_t stream_bytes(const struct stream *s)
{
	return s->q.end;
}

uint64_t stream_taken(const struct stream *s)
{
	return s->taken;
}

uint64_t stream_work(const struct stream *s)
{
	return s->work;
}

enum stream_type stream_type(const struct stream *s)
{
	return s->type;
}

const struct stream_label *stream_label(const struct stream *s)
{
	return &s->label;
}

struct stream *stream_list_next(const struct stream *s)
{
	return TAILQ_NEXT(s, link);
}
