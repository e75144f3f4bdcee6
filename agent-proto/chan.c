/* SPDX-License-Identifier: MIT */
/* A channel: its life in the session, and the sender's half of it. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "agent-proto/session_impl.h"

static struct chan **chan_slot(struct session *s, uint32_t id)
{
	struct chan **at = &s->chans[id % CHAN_BUCKETS];

	while (*at && (*at)->id != id)
		at = &(*at)->hash_next;
	return at;
}

struct chan *chan_find(const struct session *s, uint32_t id)
{
	struct chan *ch = s->chans[id % CHAN_BUCKETS];

	while (ch && ch->id != id)
		ch = ch->hash_next;
	return ch;
}

struct chan *chan_new(struct session *s, uint32_t id)
{
	struct chan *ch = mem_zalloc(sizeof(*ch));
	struct chan **at = chan_slot(s, id);

	assert(!*at);
	*at = ch;
	s->n_chans++;
	ch->s = s;
	ch->id = id;
	ch->room = s->window;
	ch->allowed = CHAN_WINDOW;
	STAILQ_INIT(&ch->items);
	return ch;
}

void chan_dequeue(struct chan *ch)
{
	if (ch->queue)
		TAILQ_REMOVE(ch->queue, ch, queue_link);
	ch->queue = NULL;
}

static bool opens_are_queued(const struct session *s)
{
	const struct chan *ch;

	TAILQ_FOREACH (ch, &s->big, queue_link)
		if (STAILQ_FIRST(&ch->items)->open)
			return true;
	return false;
}

void chan_enqueue(struct chan *ch, bool at_front)
{
	struct session *s = ch->s;
	const struct item *it = STAILQ_FIRST(&ch->items);

	chan_dequeue(ch);
	if (!it)
		return;
	if (it->kind == FRAME_DATA)
		ch->queue = &s->bulk;
	else if (it->len <= FRAME_PAYLOAD_MAX &&
		 !(it->open && opens_are_queued(s)))
		ch->queue = &s->small;
	else
		ch->queue = &s->big;
	if (at_front)
		TAILQ_INSERT_HEAD(ch->queue, ch, queue_link);
	else
		TAILQ_INSERT_TAIL(ch->queue, ch, queue_link);
}

void chan_drop_item(struct chan *ch)
{
	struct item *it = STAILQ_FIRST(&ch->items);

	STAILQ_REMOVE_HEAD(&ch->items, next);
	free(it);
}

/* Out of every list and table of the session. */
static void chan_unlink(struct chan *ch)
{
	struct session *s = ch->s;

	chan_dequeue(ch);
	if (ch->owes)
		TAILQ_REMOVE(&s->credits, ch, credit_link);
	ch->owes = false;
	s->partial -= ch->partial.len;
	buf_done(&ch->partial);
	while (!STAILQ_EMPTY(&ch->items))
		chan_drop_item(ch);
	if (ch->dead)
		return;
	*chan_slot(s, ch->id) = ch->hash_next;
	s->n_chans--;
}

void chan_destroy(struct chan *ch)
{
	if (ch->s->active == ch)
		ch->s->active = NULL;
	chan_unlink(ch);
	free(ch);
}

void chan_kill(struct chan *ch, int reason)
{
	assert(!ch->dead);
	chan_unlink(ch);
	ch->dead = true;
	ch->reason = reason;
	ch->room = 0;
	ch->queue = &ch->s->dead;
	TAILQ_INSERT_TAIL(ch->queue, ch, queue_link);
}

static void chan_put(struct chan *ch, enum frame_kind kind, const void *p,
		     size_t n, unsigned flags)
{
	struct item *it = mem_alloc(sizeof(*it) + n);
	bool was_empty = STAILQ_EMPTY(&ch->items);

	*it = (struct item){
	    .len = (uint32_t)n,
	    .kind = kind,
	    .fin = flags & FRAME_FIN,
	    .open = flags & FRAME_OPEN,
	};
	if (n)
		memcpy(it->bytes, p, n);
	STAILQ_INSERT_TAIL(&ch->items, it, next);
	ch->fin_queued |= it->fin;
	if (was_empty)
		chan_enqueue(ch, false);
}

/* An id that is not in use. Ids go round: one comes back after 16 million
 * others, when all that was on its way for its last owner has arrived. */
static uint32_t next_id(struct session *s)
{
	uint32_t id;

	do {
		id = s->next_id++ & FRAME_CHANNEL_MAX;
	} while (chan_find(s, id));
	return id;
}

struct chan *chan_open(struct session *s, const void *msg, size_t n, bool fin,
		       void *ctx)
{
	assert(s->role == SESSION_HOST && n && n <= MSG_MAX);
	if (s->state != SESSION_OPEN || s->n_chans >= CHANNELS_MAX)
		return NULL;
	struct chan *ch = chan_new(s, next_id(s));
	ch->ctx = ctx;
	chan_put(ch, FRAME_MSG, msg, n, FRAME_OPEN | (fin ? FRAME_FIN : 0));
	return ch;
}

void chan_set_ctx(struct chan *ch, void *ctx)
{
	ch->ctx = ctx;
}

void *chan_ctx(const struct chan *ch)
{
	return ch->ctx;
}

uint32_t chan_id(const struct chan *ch)
{
	return ch->id;
}

struct session *chan_session(const struct chan *ch)
{
	return ch->s;
}

void chan_send(struct chan *ch, const void *msg, size_t n, bool fin)
{
	assert(n && n <= MSG_MAX);
	if (ch->dead)
		return;
	assert(!ch->fin_queued);
	chan_put(ch, FRAME_MSG, msg, n, fin ? FRAME_FIN : 0);
}

size_t chan_room(const struct chan *ch)
{
	return ch->room;
}

size_t chan_write(struct chan *ch, const void *p, size_t n, bool fin)
{
	size_t take = n < ch->room ? n : ch->room;

	if (ch->dead)
		return 0;
	assert(!ch->fin_queued);
	if (take < n) {
		ch->starved = true;
		fin = false;
	}
	if (take || fin)
		chan_put(ch, FRAME_DATA, p, take, fin ? FRAME_FIN : 0);
	ch->room -= take;
	return take;
}

void chan_consumed(struct chan *ch, size_t n)
{
	assert(n <= ch->held);
	ch->held -= n;
	if (ch->dead || ch->fin_received)
		return;
	ch->owed += n;
	if (ch->owed < CREDIT_MIN || ch->owes)
		return;
	ch->owes = true;
	TAILQ_INSERT_TAIL(&ch->s->credits, ch, credit_link);
}

void chan_reset(struct chan *ch)
{
	assert(!ch->dead || ch->queue); /* not in its own closed() */
	/* A peer that has not heard of it needs not be told. */
	if (!ch->dead && (ch->announced || ch->s->role == SESSION_AGENT))
		control_reset(ch->s, ch->id);
	chan_destroy(ch);
}
