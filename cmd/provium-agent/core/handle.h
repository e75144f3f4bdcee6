/* SPDX-License-Identifier: MIT */
/*
 * The table of handles: what the host has named and the agent keeps, whatever
 * becomes of the session. The table borrows its entries; each is embedded in
 * the object it names.
 */
#ifndef AGENT_HANDLE_H
#define AGENT_HANDLE_H

#include <stdint.h>
#include <sys/queue.h>

#define HANDLES_MAX    65536
#define HANDLE_BUCKETS 4096

struct handle {
	LIST_ENTRY(handle) link;
	uint64_t id;
	/* Its kind: the call once no handle names the object. */
	void (*release)(struct handle *h);
};

/* Zeroed is empty. */
struct handle_table {
	LIST_HEAD(handle_list, handle) buckets[HANDLE_BUCKETS];
	unsigned n;
};

/* 0, -EEXIST for an id in use, -EMFILE when HANDLES_MAX are. */
int handle_check(const struct handle_table *t, uint64_t id);
/* After handle_check(). */
void handle_add(struct handle_table *t, struct handle *h, uint64_t id,
		void (*release)(struct handle *h));
/* Takes it out of the table, and releases its object. */
void handle_release(struct handle_table *t, struct handle *h);
/* NULL when there is none. */
struct handle *handle_find(const struct handle_table *t, uint64_t id);
/* Any one; NULL when the table is empty. */
struct handle *handle_any(const struct handle_table *t);

#endif
