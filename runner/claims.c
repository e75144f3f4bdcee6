/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. An ask is an "ask" event with an id; the answer is a
 * line {"answer": id} or {"answer": id, "refusal": text}. It comes at once, or
 * {"queued": id} does: the parent runs no test code. So an ask stays for that
 * word; where there is room, a boot has begun when the call that begins it
 * waits for the first time, and a sibling task finds the VM under way. An ask
 * that is withdrawn may have been granted already, with the answer on its way:
 * so it stays known until then, without an op, and is given back when it comes.
 */
#include "runner/claims.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"

#define ANSWER_MAX (1u << 20)
#define READ_SIZE  4096
/* A parent that is stopped, or cannot write its report, is not waited for. */
#define WORD_MS 1000

struct ask {
	LIST_ENTRY(ask) link;
	struct claims *c;
	uint64_t id;
	enum pool_kind kind;
	struct pool_amount amount;
	struct op *op; /* borrowed; NULL: withdrawn */
	bool is_queued;
};

struct claims {
	struct loop *loop;
	struct event_sink *sink;
	int fd;
	struct watch *watch;
	struct buf in;
	LIST_HEAD(, ask) asks;
	uint64_t last_id;
	unsigned n_pending;
	void (*on_said)(void *ctx, const char *line);
	void *said_ctx;
	unsigned n_parked; /* what the parent was told; 0: nothing */
};

static void send_event(struct claims *c, json_t *take_ev)
{
	if (c->fd >= 0)
		c->sink->event(c->sink, take_ev);
	json_decref(take_ev);
}

static json_t *whole(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static void claims_put_amount(json_t *ev, const struct pool_amount *a)
{
	json_object_set_new(ev, "memory", whole(a->memory));
	json_object_set_new(ev, "cpus", whole(a->cpus));
}

void claims_give_back(struct claims *c, const struct pool_amount *amount)
{
	json_t *ev;

	if (!amount->memory && !amount->cpus)
		return;
	ev = event_begin("give_back");
	claims_put_amount(ev, amount);
	send_event(c, ev);
}

void claims_on_said(struct claims *c, void (*cb)(void *ctx, const char *line),
		    void *ctx)
{
	c->on_said = cb;
	c->said_ctx = ctx;
}

/* --- answers --------------------------------------------------------------*/

static void forget(struct ask *a)
{
	LIST_REMOVE(a, link);
	free(a);
}

static struct ask *claims_find(const struct claims *c, uint64_t id)
{
	struct ask *a;

	LIST_FOREACH (a, &c->asks, link)
		if (a->id == id)
			return a;
	return NULL;
}

static void claims_on_answer(struct claims *c, uint64_t id, const char *refusal)
{
	struct ask *a;
	struct err err;

	a = claims_find(c, id);
	if (!a)
		return;
	struct op *op = a->op;
	c->n_parked = 0;
	if (op)
		c->n_pending--;
	else if (!refusal && a->kind == POOL_VMS)
		claims_give_back(c, &a->amount);
	forget(a);
	if (!op)
		return;
	op->owner = NULL;
	if (refusal)
		err_set(&err, -ENOSPC, "%s", refusal);
	op_finish(op, refusal ? -ENOSPC : 0, refusal ? &err : NULL);
}

static void read_answer(struct claims *c, const char *line, size_t n)
{
	json_t *o = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *id = json_object_get(o, "answer");
	const json_t *queued = json_object_get(o, "queued");
	const json_t *said = json_object_get(o, "said");
	struct ask *a = claims_find(c, (uint64_t)json_integer_value(queued));

	if (json_is_integer(id))
		claims_on_answer(
		    c, (uint64_t)json_integer_value(id),
		    json_string_value(json_object_get(o, "refusal")));
	if (a)
		a->is_queued = true;
	if (said && c->on_said)
		c->on_said(c->said_ctx, json_string_value(said));
	json_decref(o);
}

/* False: nothing more will come. */
static bool read_answers(struct claims *c)
{
	ssize_t n =
	    recv(c->fd, buf_room(&c->in, READ_SIZE), READ_SIZE, MSG_DONTWAIT);
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0 || c->in.len > ANSWER_MAX)
		return false;
	buf_commit(&c->in, (size_t)n);
	while (c->in.len && (end = memchr(buf_data(&c->in), '\n', c->in.len))) {
		size_t len = (size_t)(end - (char *)buf_data(&c->in));

		read_answer(c, (char *)buf_data(&c->in), len);
		buf_consume(&c->in, len + 1);
	}
	return true;
}

static void claims_on_readable(void *ctx, int fd, unsigned ready)
{
	struct claims *c = ctx;

	(void)fd;
	(void)ready;
	/* The parent is gone, and with it this process in a moment. */
	if (!read_answers(c))
		watch_set(c->watch, 0);
}

/* Until there is a word on the ask. */
static void stay(struct claims *c, uint64_t id)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	const struct ask *a;

	while ((a = claims_find(c, id)) && !a->is_queued) {
		int n = poll(&p, 1, WORD_MS);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || !read_answers(c))
			return;
	}
}

/* --- asks -----------------------------------------------------------------*/

static void claims_on_stop(struct op *op, int reason)
{
	struct ask *a = op->owner;
	json_t *ev;

	(void)reason;
	if (!a)
		return;
	ev = event_begin("withdraw");
	json_object_set_new(ev, "id", whole(a->id));
	send_event(a->c, ev);
	a->c->n_pending--;
	a->c->n_parked = 0;
	a->op = NULL;
	op->owner = NULL;
}

void claims_ask(struct claims *c, struct op *op, const struct pool_request *r,
		int64_t deadline_ns)
{
	json_t *ev = event_begin("ask");
	struct ask *a;

	op_init(op, c->loop, claims_on_stop);
	op_start(op, deadline_ns);
	if (c->fd < 0) {
		json_decref(ev);
		op_finish(op, 0, NULL);
		return;
	}
	a = mem_zalloc(sizeof(*a));
	a->c = c;
	a->id = ++c->last_id;
	a->kind = r->kind;
	a->amount = r->amount;
	a->op = op;
	op->owner = a;
	LIST_INSERT_HEAD(&c->asks, a, link);
	c->n_pending++;
	c->n_parked = 0;
	json_object_set_new(ev, "id", whole(a->id));
	json_object_set_new(
	    ev, "kind", json_string(r->kind == POOL_CLAIM ? "claim" : "vms"));
	claims_put_amount(ev, &r->amount);
	json_object_set_new(ev, "what", event_string(r->what, strlen(r->what)));
	json_object_set_new(ev, "place",
			    event_string(r->place, strlen(r->place)));
	send_event(c, ev);
	stay(c, a->id);
}

unsigned claims_pending(const struct claims *c)
{
	return c->n_pending;
}

void claims_park(struct claims *c)
{
	json_t *ev;

	if (c->n_parked == c->n_pending)
		return;
	c->n_parked = c->n_pending;
	ev = event_begin("parked");
	json_object_set_new(ev, "asks", whole(c->n_pending));
	send_event(c, ev);
}

struct claims *claims_new(struct loop *l, struct event_sink *sink, int fd)
{
	struct claims *c = mem_zalloc(sizeof(*c));

	c->loop = l;
	c->sink = sink;
	c->fd = fd;
	LIST_INIT(&c->asks);
	if (fd >= 0) {
		c->watch = watch_new(l, fd, claims_on_readable, c);
		watch_set(c->watch, LOOP_READ);
	}
	return c;
}

struct claims *claims_free(struct claims *c)
{
	if (!c)
		return NULL;
	for (struct ask *a = LIST_FIRST(&c->asks), *next; a; a = next) {
		next = LIST_NEXT(a, link);
		if (a->op)
			a->op->owner = NULL;
		forget(a);
	}
	watch_free(c->watch);
	buf_done(&c->in);
	free(c);
	return NULL;
}
