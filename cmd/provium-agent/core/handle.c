/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/core/handle.h"

#include <errno.h>
#include <stddef.h>

struct handle *handle_find(const struct handle_table *t, uint64_t id)
{
	struct handle *h;

	LIST_FOREACH (h, &t->buckets[id % HANDLE_BUCKETS], link)
		if (h->id == id)
			return h;
	return NULL;
}

int handle_check(const struct handle_table *t, uint64_t id)
{
	if (handle_find(t, id))
		return -EEXIST;
	return t->n >= HANDLES_MAX ? -EMFILE : 0;
}

void handle_add(struct handle_table *t, struct handle *h, uint64_t id,
		void (*release)(struct handle *h))
{
	h->id = id;
	h->release = release;
	LIST_INSERT_HEAD(&t->buckets[id % HANDLE_BUCKETS], h, link);
	t->n++;
}

struct handle *handle_any(const struct handle_table *t)
{
	for (int i = 0; i < HANDLE_BUCKETS; i++)
		if (!LIST_EMPTY(&t->buckets[i]))
			return LIST_FIRST(&t->buckets[i]);
	return NULL;
}

void handle_release(struct handle_table *t, struct handle *h)
{
	LIST_REMOVE(h, link);
	t->n--;
	h->release(h);
}
