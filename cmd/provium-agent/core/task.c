/* SPDX-License-Identifier: MIT */
/* Answers, and the tasks that give them later. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <errno.h>

#include "agent-proto/err.h"
#include "cmd/provium-agent/core/server_impl.h"

#define WORDS_MAX 1024 /* of an error: the host puts its own before them */
#define CUT	  "..."

static void send_msg(struct server *s, struct chan *ch, const struct msg *m,
		     bool fin)
{
	struct msg big = {.type = MSG_ERROR};

	buf_reset(&s->enc);
	if (msg_encode(m, &s->enc) < 0) {
		big.error.errnum = EMSGSIZE;
		big.error.text = "the answer is larger than a message may be";
		fin = true;
		if (msg_encode(&big, &s->enc) < 0)
			return;
	}
	chan_send(ch, buf_data(&s->enc), s->enc.len, fin);
	s->queued += s->enc.len;
}

static void send_error(struct server *s, struct chan *ch, int errnum,
		       const char *text)
{
	struct msg m = {.type = MSG_ERROR};

	m.error.errnum = errnum;
	m.error.text = text;
	send_msg(s, ch, &m, true);
}

/* What the errno says comes last, and is never what a long path cuts off. */
static void format_error(char text[WORDS_MAX], int errnum, const char *fmt,
			 va_list ap)
{
	const char *words = strerror(errnum);
	size_t room = WORDS_MAX - strlen(words) - strlen(CUT ": ");
	int n = vsnprintf(text, room, fmt, ap);
	bool is_cut = n >= 0 && (size_t)n >= room;
	size_t at = n < 0 ? 0 : is_cut ? room - 1 : (size_t)n;

	snprintf(text + at, WORDS_MAX - at, "%s: %s", is_cut ? CUT : "", words);
}

void req_reply(const struct req *r, const struct msg *m)
{
	send_msg(r->srv, r->ch, m, true);
}

void req_done(const struct req *r, int64_t value)
{
	struct msg m = {.type = MSG_DONE, .done.value = value};

	req_reply(r, &m);
}

void req_error(const struct req *r, int errnum, const char *fmt, ...)
{
	char text[WORDS_MAX];
	va_list ap;

	va_start(ap, fmt);
	format_error(text, errnum, fmt, ap);
	va_end(ap);
	send_error(r->srv, r->ch, errnum, text);
}

void req_failed(const struct req *r, const struct err *err)
{
	send_error(r->srv, r->ch, -err->code, err->text);
}

/* --- tasks ----------------------------------------------------------------*/

void task_start(struct task *t, const struct req *r, const struct task_ops *ops)
{
	t->ops = ops;
	t->srv = r->srv;
	t->ch = r->ch;
	t->awake = false;
	LIST_INSERT_HEAD(&r->srv->tasks, t, all);
	chan_set_ctx(r->ch, t);
}

void task_wake(struct task *t)
{
	if (t->awake)
		return;
	t->awake = true;
	TAILQ_INSERT_TAIL(&t->srv->awake, t, link);
}

void task_sleep(struct task *t)
{
	if (!t->awake)
		return;
	t->awake = false;
	TAILQ_REMOVE(&t->srv->awake, t, link);
}

size_t task_room(const struct task *t)
{
	size_t room = chan_room(t->ch);

	return room < PIECE_MAX ? room : PIECE_MAX;
}

void task_write(struct task *t, const void *p, size_t n)
{
	size_t taken = chan_write(t->ch, p, n, false);

	assert(taken == n);
	t->srv->queued += taken;
}

void task_write_in_place(struct task *t, uint8_t *p, size_t n)
{
	struct server *s = t->srv;
	uint8_t *header = p - FRAME_HEADER;
	uint8_t kept[FRAME_HEADER];
	size_t taken;

	if (!n || !server_may_send_now(s)) {
		task_write(t, p, n);
		return;
	}
	memcpy(kept, header, sizeof(kept));
	taken = chan_write_now(t->ch, p, n, header);
	if (taken)
		server_send_now(s, header, FRAME_HEADER + taken);
	memcpy(header, kept, sizeof(kept));
	s->queued += taken;
	if (taken < n)
		task_write(t, p + taken, n - taken);
}

void task_write_fin(struct task *t)
{
	task_sleep(t);
	t->srv->queued += chan_write(t->ch, NULL, 0, true) + 1;
}

void task_send_done(struct task *t, int64_t value)
{
	struct msg m = {.type = MSG_DONE, .done.value = value};

	send_msg(t->srv, t->ch, &m, false);
}

/* The channel goes on without us; what else arrives there is dropped. */
struct chan *task_detach(struct task *t)
{
	struct chan *ch = t->ch;

	task_sleep(t);
	LIST_REMOVE(t, all);
	chan_set_ctx(ch, NULL);
	t->ch = NULL;
	return ch;
}

void task_end_write(struct task *t, const void *p, size_t n)
{
	struct chan *ch = task_detach(t);

	t->srv->queued += chan_write(ch, p, n, true) + 1;
	t->ops->stop(t);
}

void task_end_fin(struct task *t)
{
	task_end_write(t, NULL, 0);
}

void task_end_reply(struct task *t, const struct msg *m)
{
	struct chan *ch = task_detach(t);

	send_msg(t->srv, ch, m, true);
	t->ops->stop(t);
}

void task_end_done(struct task *t, int64_t value)
{
	struct msg m = {.type = MSG_DONE, .done.value = value};

	task_end_reply(t, &m);
}

void task_end_error(struct task *t, int errnum, const char *fmt, ...)
{
	struct chan *ch = task_detach(t);
	char text[WORDS_MAX];
	va_list ap;

	va_start(ap, fmt);
	format_error(text, errnum, fmt, ap);
	va_end(ap);
	send_error(t->srv, ch, errnum, text);
	t->ops->stop(t);
}

void task_end_failed(struct task *t, const struct err *err)
{
	struct chan *ch = task_detach(t);

	send_error(t->srv, ch, -err->code, err->text);
	t->ops->stop(t);
}
