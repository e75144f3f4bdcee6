/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. What a client is charged is the larger of its claim and
 * of what it has, for memory and vCPUs each. An ask fits if the charges of all
 * clients with it are within the budget.
 *
 * Asks stand in one queue, and the head is granted when it fits. So nobody
 * starves, but two things could stop the queue for ever, both only when every
 * client that is charged anything is parked (else one of them may yet give
 * something back):
 *
 *   - the head does not fit, while an ask behind it, of a client that holds
 *     something, would: that one is granted. It cannot go on for ever, as
 *     those who hold nothing never pass the head;
 *   - no ask of those who hold something fits: a deadlock. The last that
 *     came is refused, with the names of all who are in it. Its file fails a
 *     test, gives back what it had for it, and the others go on.
 *
 * A parked client whose every ask is beyond the budget with what it holds
 * itself waits for nobody but itself, and is refused whatever others do.
 */
#include "runner/pool.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"

struct ask {
	TAILQ_ENTRY(ask) link;
	unsigned client;
	uint64_t id;
	enum pool_kind kind;
	struct pool_amount amount;
	char *what;
	char *place;
};
TAILQ_HEAD(ask_list, ask);

struct client {
	char *name; /* NULL: the number is free */
	struct pool_amount used;
	struct pool_amount claim;
	unsigned n_asks;
	bool has_claim; /* or asked for one */
	bool is_parked;
};

struct pool {
	struct pool_budget budget;
	struct client *clients; /* owned array */
	unsigned n_clients;
	struct ask_list queue;
	unsigned n_queued;
	unsigned pressed; /* looks at the host, under pressure, with a queue */
	bool is_pressed;
};

/* --- amounts --------------------------------------------------------------*/

static uint64_t add_sat(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static struct pool_amount sum(struct pool_amount a, struct pool_amount b)
{
	return (struct pool_amount){add_sat(a.memory, b.memory),
				    add_sat(a.cpus, b.cpus)};
}

static struct pool_amount largest(struct pool_amount a, struct pool_amount b)
{
	return (struct pool_amount){a.memory > b.memory ? a.memory : b.memory,
				    a.cpus > b.cpus ? a.cpus : b.cpus};
}

static bool is_within(struct pool_amount a, struct pool_amount of)
{
	return a.memory <= of.memory && a.cpus <= of.cpus;
}

static bool pool_is_none(struct pool_amount a)
{
	return !a.memory && !a.cpus;
}

const char *pool_size_text(uint64_t bytes, char out[POOL_SIZE_TEXT])
{
	static const char units[] = "KMGT";
	int unit = -1;
	double n = (double)bytes;

	while (n >= 1024 && unit + 1 < (int)sizeof(units) - 1) {
		n /= 1024;
		unit++;
	}
	char suffix[] = {unit < 0 ? '\0' : units[unit], '\0'};
	/* The tenth that it has at least: a limit is not rounded up. */
	double tenths = (double)(uint64_t)(n * 10) / 10;
	bool is_whole = tenths == (double)(uint64_t)tenths;
	snprintf(out, POOL_SIZE_TEXT, "%.*f%s", is_whole ? 0 : 1, tenths,
		 suffix);
	return out;
}

/* "1G of memory", "2 vCPUs", "1G of memory and 2 vCPUs". */
static void pool_put_amount(struct buf *b, struct pool_amount a)
{
	char size[POOL_SIZE_TEXT];

	if (a.memory)
		buf_printf(b, "%s of memory", pool_size_text(a.memory, size));
	if (a.memory && a.cpus)
		buf_printf(b, " and ");
	if (a.cpus || !a.memory)
		buf_printf(b, "%llu vCPU%s", (unsigned long long)a.cpus,
			   a.cpus == 1 ? "" : "s");
}

/* --- clients --------------------------------------------------------------*/

struct pool *pool_new(const struct pool_budget *budget)
{
	struct pool *p = mem_zalloc(sizeof(*p));

	p->budget = *budget;
	TAILQ_INIT(&p->queue);
	return p;
}

static void pool_drop(struct pool *p, struct ask *a)
{
	TAILQ_REMOVE(&p->queue, a, link);
	p->n_queued--;
	p->clients[a->client].n_asks--;
	free(a->what);
	free(a->place);
	free(a);
}

struct pool *pool_free(struct pool *p)
{
	if (!p)
		return NULL;
	for (struct ask *a = TAILQ_FIRST(&p->queue), *next; a; a = next) {
		next = TAILQ_NEXT(a, link);
		pool_drop(p, a);
	}
	for (unsigned i = 0; i < p->n_clients; i++)
		free(p->clients[i].name);
	free(p->clients);
	free(p);
	return NULL;
}

static struct client *client_at(const struct pool *p, unsigned client)
{
	assert(client < p->n_clients && p->clients[client].name);
	return &p->clients[client];
}

unsigned pool_enter(struct pool *p, const char *name)
{
	unsigned i = 0;

	while (i < p->n_clients && p->clients[i].name)
		i++;
	if (i == p->n_clients)
		p->clients = mem_realloc_array(p->clients, ++p->n_clients,
					       sizeof(*p->clients));
	p->clients[i] = (struct client){.name = mem_strdup(name)};
	return i;
}

void pool_leave(struct pool *p, unsigned client)
{
	struct client *c = client_at(p, client);
	struct ask *a = TAILQ_FIRST(&p->queue);

	while (a) {
		struct ask *next = TAILQ_NEXT(a, link);

		if (a->client == client)
			pool_drop(p, a);
		a = next;
	}
	free(c->name);
	*c = (struct client){0};
}

static struct pool_amount charge(const struct client *c)
{
	return c->name ? largest(c->claim, c->used) : (struct pool_amount){0};
}

/* What the client would be charged with the ask granted. */
static struct pool_amount charge_with(const struct client *c,
				      const struct ask *a)
{
	if (a->kind == POOL_CLAIM)
		return largest(a->amount, c->used);
	return largest(c->claim, sum(c->used, a->amount));
}

struct pool_amount pool_used(const struct pool *p)
{
	struct pool_amount all = {0};

	for (unsigned i = 0; i < p->n_clients; i++)
		all = sum(all, charge(&p->clients[i]));
	return all;
}

unsigned pool_waiting(const struct pool *p)
{
	return p->n_queued;
}

bool pool_is_parked(const struct pool *p, unsigned client)
{
	return client_at(p, client)->is_parked;
}

void pool_park(struct pool *p, unsigned client, unsigned n)
{
	struct client *c = client_at(p, client);

	if (!n)
		c->is_parked = false;
	else if (n == c->n_asks)
		c->is_parked = true;
}

void pool_set_pressure(struct pool *p, bool is_high)
{
	p->is_pressed = is_high;
	p->pressed = is_high && p->n_queued ? p->pressed + 1 : 0;
}

/* --- asks -----------------------------------------------------------------*/

static struct ask *pool_find(const struct pool *p, unsigned client, uint64_t id)
{
	struct ask *a;

	TAILQ_FOREACH (a, &p->queue, link)
		if (a->client == client && a->id == id)
			return a;
	return NULL;
}

bool pool_has(const struct pool *p, unsigned client, uint64_t id)
{
	return pool_find(p, client, id) != NULL;
}

int pool_ask(struct pool *p, unsigned client, const struct pool_request *r,
	     struct err *err)
{
	struct client *c = client_at(p, client);
	struct ask *a;

	if (r->kind == POOL_CLAIM && c->has_claim)
		return err_set(err, -EBADMSG, "a second claim");
	if (pool_find(p, client, r->id))
		return err_set(err, -EBADMSG, "one ask twice");
	a = mem_zalloc(sizeof(*a));
	a->client = client;
	a->id = r->id;
	a->kind = r->kind;
	a->amount = r->amount;
	a->what = mem_strdup(r->what);
	a->place = mem_strdup(r->place);
	TAILQ_INSERT_TAIL(&p->queue, a, link);
	p->n_queued++;
	c->n_asks++;
	c->is_parked = false;
	c->has_claim |= r->kind == POOL_CLAIM;
	return 0;
}

void pool_withdraw(struct pool *p, unsigned client, uint64_t id)
{
	struct ask *a = pool_find(p, client, id);

	if (!a)
		return;
	struct client *c = client_at(p, client);
	if (a->kind == POOL_CLAIM)
		c->has_claim = false;
	c->is_parked = false;
	pool_drop(p, a);
}

int pool_give_back(struct pool *p, unsigned client,
		   const struct pool_amount *amount, struct err *err)
{
	struct client *c = client_at(p, client);

	if (!is_within(*amount, c->used))
		return err_set(err, -EBADMSG,
			       "more resources back than it was given");
	c->used.memory -= amount->memory;
	c->used.cpus -= amount->cpus;
	return 0;
}

/* --- answers --------------------------------------------------------------*/

static bool fits(const struct pool *p, const struct ask *a)
{
	struct pool_amount all = {0};

	for (unsigned i = 0; i < p->n_clients; i++)
		all = sum(all, i == a->client ? charge_with(&p->clients[i], a)
					      : charge(&p->clients[i]));
	return is_within(all, p->budget.amount);
}

static bool is_covered(const struct pool *p, const struct ask *a)
{
	const struct client *c = &p->clients[a->client];

	return is_within(charge_with(c, a), charge(c));
}

/* Whether someone who has something runs on, and may give of it back. */
static bool may_free_up(const struct pool *p, unsigned but_client)
{
	for (unsigned i = 0; i < p->n_clients; i++)
		if (i != but_client && !pool_is_none(charge(&p->clients[i])) &&
		    !p->clients[i].is_parked)
			return true;
	return false;
}

/* A busy host gets no more guests while those of another client run. Where it
 * stays busy, as other programs may make it, that delays each ask a while. */
static bool is_delayed(const struct pool *p, const struct ask *head)
{
	return p->is_pressed && p->pressed <= POOL_PRESSED_MAX &&
	       may_free_up(p, head->client);
}

static bool pool_answer(struct pool *p, struct ask *a, char *take_refusal,
			struct pool_answer *ret)
{
	struct client *c = &p->clients[a->client];

	ret->client = a->client;
	ret->id = a->id;
	ret->refusal = take_refusal;
	c->is_parked = false;
	if (take_refusal && a->kind == POOL_CLAIM)
		c->has_claim = false;
	else if (!take_refusal && a->kind == POOL_CLAIM)
		c->claim = a->amount;
	else if (!take_refusal)
		c->used = sum(c->used, a->amount);
	pool_drop(p, a);
	return true;
}

static char *pool_text_of(struct buf *b)
{
	char *s = mem_strndup((char *)buf_data(b), b->len);

	buf_done(b);
	return s;
}

static void put_holding(struct buf *b, const struct client *c)
{
	if (pool_is_none(charge(c)))
		return;
	buf_printf(b, " and holds ");
	pool_put_amount(b, charge(c));
}

/* The arithmetic of an ask that is too large, with what its client has. */
static char *arithmetic(const struct pool *p, const struct ask *a)
{
	const struct client *c = &p->clients[a->client];
	const struct pool_amount *of = &p->budget.amount;
	bool is_memory = charge_with(c, a).memory > of->memory;
	bool is_cpus = charge_with(c, a).cpus > of->cpus;
	char size[POOL_SIZE_TEXT];
	struct buf b = {0};

	buf_printf(&b, "wants ");
	pool_put_amount(&b,
			(struct pool_amount){is_memory ? a->amount.memory : 0,
					     is_cpus ? a->amount.cpus : 0});
	buf_printf(&b, " for %s", a->what);
	put_holding(&b, c);
	buf_printf(&b, ", the budget is ");
	if (is_memory)
		buf_printf(&b, "%s%s", pool_size_text(of->memory, size),
			   p->budget.memory_note);
	if (is_memory && is_cpus)
		buf_printf(&b, ", and ");
	if (is_cpus)
		buf_printf(&b, "%llu%s", (unsigned long long)of->cpus,
			   p->budget.cpus_note);
	return pool_text_of(&b);
}

static void put_party(struct buf *b, const struct pool *p, const struct ask *a)
{
	const struct client *c = &p->clients[a->client];

	buf_printf(b, "\n  %s wants ", *a->place ? a->place : c->name);
	pool_put_amount(b, a->amount);
	buf_printf(b, " for %s", a->what);
	put_holding(b, c);
}

static char *deadlock(const struct pool *p)
{
	char size[POOL_SIZE_TEXT];
	struct buf b = {0};
	const struct ask *a;

	buf_printf(&b, "deadlock: each of these files holds something and "
		       "waits for more:");
	TAILQ_FOREACH (a, &p->queue, link)
		if (!pool_is_none(charge(&p->clients[a->client])))
			put_party(&b, p, a);
	buf_printf(&b,
		   "\nThe budget is %s of memory and %llu vCPUs. Boot at once "
		   "what is needed at once (lab:boot), or reserve it first "
		   "(lab:claim)",
		   pool_size_text(p->budget.amount.memory, size),
		   (unsigned long long)p->budget.amount.cpus);
	return pool_text_of(&b);
}

/* An ask that can never be granted, whatever others do. */
static struct ask *find_impossible(const struct pool *p)
{
	struct pool_amount of = p->budget.amount;
	struct ask *a;

	TAILQ_FOREACH (a, &p->queue, link)
		if (!is_within(a->amount, of))
			return a;
	/* The last first: what came before it may still be enough. */
	TAILQ_FOREACH_REVERSE(a, &p->queue, ask_list, link)
	{
		const struct client *c = &p->clients[a->client];
		bool is_stuck = c->is_parked;
		const struct ask *b;

		TAILQ_FOREACH (b, &p->queue, link)
			if (b->client == a->client &&
			    is_within(charge_with(c, b), of))
				is_stuck = false;
		if (is_stuck)
			return a;
	}
	return NULL;
}

/* Nobody but who waits could give something back. */
static bool break_standstill(struct pool *p, struct pool_answer *ret)
{
	struct ask *last = NULL;
	struct ask *a;

	TAILQ_FOREACH (a, &p->queue, link) {
		if (pool_is_none(charge(&p->clients[a->client])))
			continue;
		if (fits(p, a))
			return pool_answer(p, a, NULL, ret);
		last = a;
	}
	return last && pool_answer(p, last, deadlock(p), ret);
}

bool pool_next(struct pool *p, struct pool_answer *ret)
{
	struct ask *head = TAILQ_FIRST(&p->queue);
	struct ask *a;

	if (!head)
		return false;
	TAILQ_FOREACH (a, &p->queue, link)
		if (is_covered(p, a))
			return pool_answer(p, a, NULL, ret);
	a = find_impossible(p);
	if (a)
		return pool_answer(p, a, arithmetic(p, a), ret);
	if (fits(p, head) && !is_delayed(p, head)) {
		p->pressed = 0;
		return pool_answer(p, head, NULL, ret);
	}
	return !may_free_up(p, UINT_MAX) && break_standstill(p, ret);
}
