/* SPDX-License-Identifier: MIT */
/* What a frame from the peer means for its channel. */
#include <assert.h>
#include <errno.h>

#include "agent-proto/le.h"
#include "agent-proto/mem.h"
#include "agent-proto/session_impl.h"

static int session_in_refuse(const struct session *s, struct err *err,
			     const struct frame *f, const char *what)
{
	return err_set(err, -EPROTO,
		       "the %s broke the protocol: %s (channel %u, %u bytes)",
		       s->role == SESSION_HOST ? "agent" : "host", what,
		       (unsigned)f->channel, (unsigned)f->length);
}

/*
 * NULL for a frame that comes late: its channel was closed here while it was
 * on the way. A channel that the agent cannot know of yet counts as none.
 */
static struct chan *find_known(const struct session *s, uint32_t id)
{
	struct chan *ch = chan_find(s, id);

	if (ch && s->role == SESSION_HOST && !ch->announced)
		return NULL;
	return ch;
}

static void note_fin(struct chan *ch, const struct frame *f)
{
	if (!(f->flags & FRAME_FIN))
		return;
	ch->fin_received = true;
	/* No more data, no need for credit. */
	if (ch->owes)
		TAILQ_REMOVE(&ch->s->credits, ch, credit_link);
	ch->owes = false;
}

static void tell_fin(struct session *s, struct chan *ch)
{
	if (s->active != ch || !ch->fin_received)
		return;
	if (s->ops->finished)
		s->ops->finished(s->ctx, ch);
	if (s->active == ch && !ch->dead && ch->fin_sent)
		chan_kill(ch, 0);
}

/*
 * Each callback may reset the channel or begin a new session: s->active is
 * then no longer ch, and ch is gone or none of our business.
 */
static void tell_message(struct session *s, struct chan *ch, const uint8_t *p,
			 size_t n)
{
	s->active = ch;
	if (!ch->announced) {
		ch->announced = true;
		if (s->ops->opened)
			s->ops->opened(s->ctx, ch);
	}
	if (s->active == ch && s->ops->message)
		s->ops->message(s->ctx, ch, p, n);
	tell_fin(s, ch);
	s->active = NULL;
}

/* A piece of a message; its last one makes it whole. */
static int add_piece(struct session *s, struct chan *ch, const struct frame *f,
		     const uint8_t *p, struct err *err)
{
	if (f->length > MSG_MAX - ch->partial.len)
		return session_in_refuse(s, err, f, "a message is too long");
	if (f->length > SESSION_PARTIAL_MAX - s->partial)
		return session_in_refuse(s, err, f,
					 "too many half-sent messages");
	buf_append(&ch->partial, p, f->length);
	s->partial += f->length;
	if (f->flags & FRAME_MORE) {
		ch->in_progress = FRAME_MSG;
		return 0;
	}
	/* The channel may go in the callback; the message must not. */
	struct buf whole = ch->partial;
	s->partial -= whole.len;
	ch->partial = (struct buf){0};
	ch->in_progress = 0;
	tell_message(s, ch, buf_data(&whole), whole.len);
	buf_done(&whole);
	return 0;
}

static int on_msg(struct session *s, const struct frame *f, const uint8_t *p,
		  struct err *err)
{
	struct chan *ch = find_known(s, f->channel);

	if (f->flags & FRAME_OPEN) {
		if (s->role == SESSION_HOST)
			return session_in_refuse(s, err, f,
						 "it opens a channel");
		if (ch)
			return session_in_refuse(s, err, f,
						 "a channel is opened twice");
		if (s->n_chans >= CHANNELS_MAX)
			return session_in_refuse(s, err, f,
						 "too many channels");
		ch = chan_new(s, f->channel);
	}
	if (!ch)
		return 0;
	if (ch->fin_received)
		return session_in_refuse(s, err, f, "a message after the end");
	if (ch->in_progress == FRAME_DATA)
		return session_in_refuse(s, err, f, "a message inside of data");
	note_fin(ch, f);
	if (ch->in_progress || f->flags & FRAME_MORE)
		return add_piece(s, ch, f, p, err);
	tell_message(s, ch, p, f->length);
	return 0;
}

static int session_in_on_data(struct session *s, const struct frame *f,
			      const uint8_t *p, struct err *err)
{
	struct chan *ch = find_known(s, f->channel);

	if (!ch)
		return 0;
	if (ch->fin_received)
		return session_in_refuse(s, err, f, "data after the end");
	if (ch->in_progress == FRAME_MSG)
		return session_in_refuse(s, err, f, "data inside of a message");
	if (f->length > ch->allowed)
		return session_in_refuse(s, err, f,
					 "more data than it has credit for");
	ch->allowed -= f->length;
	ch->held += f->length;
	ch->in_progress = f->flags & FRAME_MORE ? FRAME_DATA : 0;
	note_fin(ch, f);
	s->active = ch;
	if (f->length && s->ops->data)
		s->ops->data(s->ctx, ch, p, f->length, f->flags & FRAME_MORE);
	tell_fin(s, ch);
	s->active = NULL;
	return 0;
}

static int on_credit(struct session *s, const struct frame *f, const uint8_t *p,
		     struct err *err)
{
	struct chan *ch = find_known(s, f->channel);
	uint32_t n = le_get32(p);

	if (!ch)
		return 0;
	/* It can only give back what was sent. */
	if (!n || n > s->window - ch->room)
		return session_in_refuse(s, err, f, "credit that nobody used");
	ch->room += n;
	if (!ch->starved || ch->fin_queued)
		return 0;
	ch->starved = false;
	s->active = ch;
	if (s->ops->writable)
		s->ops->writable(s->ctx, ch);
	s->active = NULL;
	return 0;
}

static int session_in_on_reset(struct session *s, const struct frame *f,
			       const uint8_t *p, struct err *err)
{
	struct chan *ch = find_known(s, f->channel);

	(void)p;
	(void)err;
	if (ch && ch->announced)
		chan_kill(ch, -ECANCELED);
	else if (ch)
		chan_destroy(ch);
	return 0;
}

typedef int (*frame_handler)(struct session *s, const struct frame *f,
			     const uint8_t *p, struct err *err);

static const frame_handler handlers[] = {
    [FRAME_MSG] = on_msg,
    [FRAME_DATA] = session_in_on_data,
    [FRAME_CREDIT] = on_credit,
    [FRAME_RESET] = session_in_on_reset,
};

int session_dispatch(struct session *s, const struct frame *f, const uint8_t *p,
		     struct err *err)
{
	assert(f->kind < ARRAY_LEN(handlers) && handlers[f->kind]);
	int ret = handlers[f->kind](s, f, p, err);
	session_reap(s);
	return ret;
}
