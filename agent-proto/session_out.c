/* SPDX-License-Identifier: MIT */
/* What goes out, and in which order. */
#include <assert.h>
#include <string.h>

#include "agent-proto/le.h"
#include "agent-proto/session_impl.h"

#define CREDIT_PAYLOAD 4

void control_hello(struct session *s, uint64_t nonce, uint64_t instance)
{
	struct hello h = {
	    .version = PROTO_VERSION,
	    .nonce = nonce,
	    .instance = instance,
	    .window = CHAN_WINDOW,
	};

	/* A new session: nothing of the old one may follow it. */
	buf_reset(&s->control);
	hello_encode(&h, buf_room(&s->control, HELLO_SIZE));
	buf_commit(&s->control, HELLO_SIZE);
}

void control_reset(struct session *s, uint32_t id)
{
	struct frame f = {.kind = FRAME_RESET, .channel = id};

	frame_encode(&f, buf_room(&s->control, FRAME_HEADER));
	buf_commit(&s->control, FRAME_HEADER);
}

static void put_credit(struct session *s, struct chan *ch, struct buf *out)
{
	struct frame f = {
	    .kind = FRAME_CREDIT,
	    .channel = ch->id,
	    .length = CREDIT_PAYLOAD,
	};
	uint8_t *p = buf_room(out, FRAME_HEADER + CREDIT_PAYLOAD);

	frame_encode(&f, p);
	le_put32(p + FRAME_HEADER, (uint32_t)ch->owed);
	buf_commit(out, FRAME_HEADER + CREDIT_PAYLOAD);
	ch->allowed += ch->owed;
	ch->owed = 0;
	ch->owes = false;
	TAILQ_REMOVE(&s->credits, ch, credit_link);
}

/* The next frame of the channel's first item. Returns whether that is all. */
static bool put_piece(struct item *it, uint32_t id, struct buf *out)
{
	const uint8_t *p = it->bytes + it->sent;
	size_t n = frame_payload_cut(p, it->len - it->sent);
	struct frame f = {.kind = it->kind, .channel = id};

	f.length = (uint32_t)n;
	if (it->open && !it->sent)
		f.flags |= FRAME_OPEN;
	it->sent += f.length;
	bool last = it->sent == it->len;
	if (!last)
		f.flags |= FRAME_MORE;
	else if (it->fin)
		f.flags |= FRAME_FIN;
	uint8_t *at = buf_room(out, FRAME_HEADER + n);
	frame_encode(&f, at);
	memcpy(at + FRAME_HEADER, p, n);
	buf_commit(out, FRAME_HEADER + n);
	return last;
}

/*
 * A message that was begun is finished before the next of its class, so the
 * peer holds one of each class at most in pieces; data takes turns.
 */
static void put_from(struct chan *ch, struct buf *out)
{
	struct item *it = STAILQ_FIRST(&ch->items);
	bool last = put_piece(it, ch->id, out);

	ch->announced = true;
	if (!last) {
		chan_enqueue(ch, it->kind == FRAME_MSG);
		return;
	}
	ch->fin_sent |= it->fin;
	chan_drop_item(ch);
	if (ch->fin_sent && ch->fin_received)
		chan_kill(ch, 0);
	else
		chan_enqueue(ch, false);
}

static struct chan *next_sender(const struct session *s)
{
	struct chan *ch = TAILQ_FIRST(&s->small);

	if (!ch)
		ch = TAILQ_FIRST(&s->big);
	return ch ? ch : TAILQ_FIRST(&s->bulk);
}

bool session_output(struct session *s, struct buf *out, size_t limit)
{
	while (out->len < limit) {
		struct chan *owing = TAILQ_FIRST(&s->credits);
		struct chan *sender = next_sender(s);

		if (s->control.len) {
			buf_append(out, buf_data(&s->control), s->control.len);
			buf_reset(&s->control);
		} else if (owing) {
			put_credit(s, owing, out);
		} else if (sender) {
			put_from(sender, out);
		} else {
			break;
		}
	}
	return out->len > 0;
}

size_t chan_write_now(struct chan *ch, const void *p, size_t n,
		      uint8_t header[FRAME_HEADER])
{
	struct frame f = {.kind = FRAME_DATA, .channel = ch->id};

	assert(n && n <= FRAME_PAYLOAD_MAX);
	if (ch->dead || ch->room < n || session_has_output(ch->s))
		return 0;
	assert(!ch->fin_queued);
	f.length = (uint32_t)frame_payload_cut(p, n);
	if (f.length < n)
		f.flags = FRAME_MORE;
	frame_encode(&f, header);
	ch->room -= f.length;
	ch->announced = true;
	return f.length;
}

bool session_has_output(const struct session *s)
{
	return s->control.len || !TAILQ_EMPTY(&s->credits) || next_sender(s);
}
