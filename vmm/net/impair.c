/* SPDX-License-Identifier: MIT */
#include "vmm/net/impair.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

void impair_init(struct impair_table *t)
{
	TAILQ_INIT(&t->rules);
}

static void drop_rule(struct impair_table *t, struct impair_rule *r)
{
	TAILQ_REMOVE(&t->rules, r, link);
	free(r);
}

void impair_done(struct impair_table *t)
{
	struct impair_rule *r, *next;

	for (r = TAILQ_FIRST(&t->rules); r; r = next) {
		next = TAILQ_NEXT(r, link);
		free(r);
	}
	TAILQ_INIT(&t->rules);
}

struct impair_rule *impair_find(const struct impair_table *t,
				const struct swport *from,
				const struct swport *to)
{
	struct impair_rule *r;

	TAILQ_FOREACH (r, &t->rules, link)
		if (r->from == from && r->to == to)
			return r;
	return NULL;
}

struct impair_rule *impair_rule(struct impair_table *t,
				const struct swport *from,
				const struct swport *to)
{
	struct impair_rule *r = impair_find(t, from, to);

	if (!r) {
		r = mem_zalloc(sizeof(*r));
		r->from = from;
		r->to = to;
		TAILQ_INSERT_TAIL(&t->rules, r, link);
	}
	return r;
}

void impair_forget(struct impair_table *t, const struct swport *p)
{
	struct impair_rule *r, *next;

	for (r = TAILQ_FIRST(&t->rules); r; r = next) {
		next = TAILQ_NEXT(r, link);
		if (r->from == p || r->to == p)
			drop_rule(t, r);
	}
}

void impair_copy(struct impair_table *to, const struct impair_table *from)
{
	const struct impair_rule *r;

	impair_done(to);
	TAILQ_FOREACH (r, &from->rules, link) {
		struct impair_rule *copy = mem_dup(r, sizeof(*r));

		TAILQ_INSERT_TAIL(&to->rules, copy, link);
	}
}

static void impair_add(struct impair_path *path, struct impair_rule *r)
{
	struct impairment *all = &path->all;

	all->cuts |= r->set.cuts;
	all->latency_ns += r->set.latency_ns;
	all->jitter_ns += r->set.jitter_ns;
	for (size_t i = 0; i < CHANCES; i++)
		all->chance[i] =
		    1 - (1 - all->chance[i]) * (1 - r->set.chance[i]);
	if (!r->set.bps)
		return;
	if (!all->bps || r->set.bps < all->bps)
		all->bps = r->set.bps;
	path->pipes[path->n_pipes++] = r;
}

void impair_compose(const struct impair_table *t, const struct swport *from,
		    const struct swport *to, struct impair_path *ret)
{
	struct impair_rule *r;

	memset(ret, 0, sizeof(*ret));
	TAILQ_FOREACH (r, &t->rules, link) {
		bool is_from = !r->from || r->from == from;
		bool is_to = !r->to || r->to == to;

		if (is_from && is_to)
			impair_add(ret, r);
	}
}
