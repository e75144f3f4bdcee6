/* SPDX-License-Identifier: MIT */
#include "runner/share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "agent-proto/buf.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/budget.h"

/* The kernel tells when pressure rises, not when it is over: it is looked at
 * again so often, while someone waits. */
#define PRESSURE_SPAN_NS NS_PER_SEC

struct member {
	LIST_ENTRY(member) link;
	struct share *share;
	struct share_ops ops;
	void *ctx;
	unsigned client;
	bool is_parked;
};

struct share {
	struct loop *loop;
	struct pool *pool;
	struct timer *timer;
	const char *pressure;
	int64_t looked_ns; /* when pressure was read; 0: never */
	bool is_pressed;
	struct event_sink *sink; /* or NULL */
	struct pool_amount total;
	struct pool_amount told; /* what was given out in the last event */
	unsigned told_waiting;
	LIST_HEAD(, member) members;
};

struct share_handler {
	const char *event;
	int (*handle)(struct member *m, const json_t *ev, struct err *err);
};

static void share_settle(struct share *s);

/* --- pressure -------------------------------------------------------------*/

static void look(struct share *s)
{
	int64_t now_ns = clock_now_ns();

	if (s->looked_ns && now_ns - s->looked_ns < PRESSURE_SPAN_NS)
		return;
	s->looked_ns = now_ns;
	s->is_pressed = budget_is_pressed(s->pressure);
	pool_set_pressure(s->pool, s->is_pressed);
}

static void share_on_timer(void *ctx)
{
	share_settle(ctx);
}

bool share_is_pressed(struct share *s)
{
	look(s);
	if (s->is_pressed)
		timer_set(s->timer, s->looked_ns + PRESSURE_SPAN_NS);
	return s->is_pressed;
}

/* --- answers --------------------------------------------------------------*/

static void send_answer(struct member *m, const struct pool_answer *a)
{
	json_t *o = json_object();
	struct buf line = {0};

	json_object_set_new(o, "answer", json_integer((json_int_t)a->id));
	if (a->refusal)
		json_object_set_new(o, "refusal", json_string(a->refusal));
	char *text = json_dumps(o, JSON_COMPACT);
	buf_printf(&line, "%s\n", text);
	m->ops.send(m->ctx, (char *)buf_data(&line), line.len);
	buf_done(&line);
	free(text);
	json_decref(o);
}

/* So that it need not wait at the spot for the answer. */
static void send_queued(struct member *m, uint64_t id)
{
	struct buf line = {0};

	buf_printf(&line, "{\"queued\":%llu}\n", (unsigned long long)id);
	m->ops.send(m->ctx, (char *)buf_data(&line), line.len);
	buf_done(&line);
}

static void share_answer(struct share *s, struct pool_answer *a)
{
	struct member *m;

	LIST_FOREACH (m, &s->members, link)
		if (m->client == a->client)
			send_answer(m, a);
	free(a->refusal);
}

static void set_whole(json_t *ev, const char *key, uint64_t n)
{
	json_object_set_new(ev, key, json_integer((json_int_t)n));
}

static void share_tell(struct share *s)
{
	struct pool_amount used = pool_used(s->pool);
	unsigned waiting = pool_waiting(s->pool);

	if (!s->sink ||
	    (used.memory == s->told.memory && used.cpus == s->told.cpus &&
	     waiting == s->told_waiting))
		return;
	s->told = used;
	s->told_waiting = waiting;
	json_t *ev = event_begin("pool");
	set_whole(ev, "memory", used.memory);
	set_whole(ev, "memory_total", s->total.memory);
	set_whole(ev, "cpus", used.cpus);
	set_whole(ev, "cpus_total", s->total.cpus);
	set_whole(ev, "waiting", waiting);
	s->sink->event(s->sink, ev);
	json_decref(ev);
}

static void share_settle(struct share *s)
{
	struct pool_answer a;
	struct member *m;

	if (pool_waiting(s->pool))
		look(s);
	while (pool_next(s->pool, &a))
		share_answer(s, &a);
	LIST_FOREACH (m, &s->members, link) {
		bool is = pool_is_parked(s->pool, m->client);

		if (is != m->is_parked)
			m->ops.parked(m->ctx, is);
		m->is_parked = is;
	}
	timer_set(s->timer, s->is_pressed && pool_waiting(s->pool)
				? s->looked_ns + PRESSURE_SPAN_NS
				: CLOCK_NEVER);
	share_tell(s);
}

/* --- events ---------------------------------------------------------------*/

static bool share_read_whole(const json_t *ev, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(ev, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

static int malformed(const json_t *ev, struct err *err)
{
	return err_set(err, -EBADMSG, "a malformed %s event",
		       json_string_value(json_object_get(ev, "event")));
}

static bool read_amount(const json_t *ev, struct pool_amount *ret)
{
	return share_read_whole(ev, "memory", &ret->memory) &&
	       share_read_whole(ev, "cpus", &ret->cpus);
}

static int on_ask(struct member *m, const json_t *ev, struct err *err)
{
	const char *kind = json_string_value(json_object_get(ev, "kind"));
	struct pool_request r = {
	    .what = json_string_value(json_object_get(ev, "what")),
	    .place = json_string_value(json_object_get(ev, "place")),
	};

	if (!share_read_whole(ev, "id", &r.id) || !read_amount(ev, &r.amount) ||
	    !kind || !r.what || !r.place)
		return malformed(ev, err);
	r.kind = strcmp(kind, "claim") ? POOL_VMS : POOL_CLAIM;
	int rc = pool_ask(m->share->pool, m->client, &r, err);
	if (rc < 0)
		return rc;
	share_settle(m->share);
	if (pool_has(m->share->pool, m->client, r.id))
		send_queued(m, r.id);
	return 0;
}

static int on_withdraw(struct member *m, const json_t *ev, struct err *err)
{
	uint64_t id;

	if (!share_read_whole(ev, "id", &id))
		return malformed(ev, err);
	pool_withdraw(m->share->pool, m->client, id);
	return 0;
}

static int on_give_back(struct member *m, const json_t *ev, struct err *err)
{
	struct pool_amount amount;

	if (!read_amount(ev, &amount))
		return malformed(ev, err);
	return pool_give_back(m->share->pool, m->client, &amount, err);
}

static int share_on_parked(struct member *m, const json_t *ev, struct err *err)
{
	uint64_t n;

	if (!share_read_whole(ev, "asks", &n) || n > UINT32_MAX)
		return malformed(ev, err);
	pool_park(m->share->pool, m->client, (unsigned)n);
	return 0;
}

static const struct share_handler handlers[] = {
    {"ask", on_ask},
    {"withdraw", on_withdraw},
    {"give_back", on_give_back},
    {"parked", share_on_parked},
};

int share_event(struct member *m, const json_t *ev, struct err *err)
{
	const char *name = json_string_value(json_object_get(ev, "event"));

	for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
		if (strcmp(handlers[i].event, name) != 0)
			continue;
		int r = handlers[i].handle(m, ev, err);
		if (r < 0)
			return r;
		share_settle(m->share);
		return 1;
	}
	return 0;
}

/* --- members --------------------------------------------------------------*/

struct member *share_join(struct share *s, const char *name,
			  const struct share_ops *ops, void *ctx)
{
	struct member *m = mem_zalloc(sizeof(*m));

	m->share = s;
	m->ops = *ops;
	m->ctx = ctx;
	m->client = pool_enter(s->pool, name);
	LIST_INSERT_HEAD(&s->members, m, link);
	return m;
}

struct member *share_leave(struct member *m)
{
	if (!m)
		return NULL;
	LIST_REMOVE(m, link);
	pool_leave(m->share->pool, m->client);
	share_settle(m->share);
	free(m);
	return NULL;
}

struct share *share_new(struct loop *l, const struct pool_budget *budget,
			const char *pressure)
{
	struct share *s = mem_zalloc(sizeof(*s));

	s->loop = l;
	s->pool = pool_new(budget);
	s->total = budget->amount;
	s->pressure = pressure;
	s->timer = timer_new(l, share_on_timer, s);
	LIST_INIT(&s->members);
	return s;
}

void share_report(struct share *s, struct event_sink *sink)
{
	s->sink = sink;
}

struct share *share_free(struct share *s)
{
	if (!s)
		return NULL;
	pool_free(s->pool);
	timer_free(s->timer);
	free(s);
	return NULL;
}
