/* SPDX-License-Identifier: MIT */
#include "vmm/net/mactable.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

#define BUCKETS 1024u /* a power of two */

struct mac_entry {
	uint8_t mac[MAC_LEN];
	bool is_pinned;
	int64_t seen_ns;
	struct swport *port;
	TAILQ_ENTRY(mac_entry) of_port;
	LIST_ENTRY(mac_entry) of_bucket;
};

LIST_HEAD(bucket, mac_entry);

struct mactable {
	struct bucket buckets[BUCKETS];
};

struct mactable *mactable_new(void)
{
	return mem_zalloc(sizeof(struct mactable));
}

struct mactable *mactable_free(struct mactable *t)
{
	free(t);
	return NULL;
}

/* Addresses differ in their last bytes. Somebody who makes them collide
 * makes every look-up walk what ports may hold, which is bounded. */
static struct bucket *mactable_bucket_of(struct mactable *t, const uint8_t *mac)
{
	uint32_t h = (uint32_t)mac[2] << 24 | (uint32_t)mac[3] << 16 |
		     (uint32_t)mac[4] << 8 | mac[5];

	h ^= (uint32_t)mac[0] << 8 | mac[1];
	h *= 0x9e3779b1u; /* 2^32 over the golden ratio */
	return &t->buckets[h >> 22 & (BUCKETS - 1)];
}

static struct mac_entry *mactable_find_entry(struct mactable *t,
					     const uint8_t *mac)
{
	struct mac_entry *e;

	LIST_FOREACH (e, mactable_bucket_of(t, mac), of_bucket)
		if (!memcmp(e->mac, mac, MAC_LEN))
			return e;
	return NULL;
}

static void leave_port(struct mac_entry *e)
{
	TAILQ_REMOVE(&e->port->macs, e, of_port);
	e->port->n_macs--;
}

static void join_port(struct mac_entry *e, struct swport *p)
{
	e->port = p;
	TAILQ_INSERT_TAIL(&p->macs, e, of_port);
	p->n_macs++;
}

static void mactable_drop(struct mac_entry *e)
{
	leave_port(e);
	LIST_REMOVE(e, of_bucket);
	free(e);
}

/* Makes room among p's own; what is pinned stays. */
static void evict(struct swport *p)
{
	struct mac_entry *e;

	if (p->n_macs < VSWITCH_PORT_MACS_MAX)
		return;
	TAILQ_FOREACH (e, &p->macs, of_port)
		if (!e->is_pinned)
			break;
	assert(e);
	mactable_drop(e);
}

static struct mac_entry *mactable_add(struct mactable *t, struct swport *p,
				      const uint8_t *mac)
{
	struct mac_entry *e;

	evict(p);
	e = mem_zalloc(sizeof(*e));
	memcpy(e->mac, mac, MAC_LEN);
	LIST_INSERT_HEAD(mactable_bucket_of(t, mac), e, of_bucket);
	join_port(e, p);
	return e;
}

void mactable_learn(struct mactable *t, struct swport *p,
		    const uint8_t mac[MAC_LEN], int64_t now_ns)
{
	struct mac_entry *e = TAILQ_LAST(&p->macs, mac_list);

	/* Most often the one that spoke last speaks on. */
	if (!e || memcmp(e->mac, mac, MAC_LEN) != 0)
		e = mactable_find_entry(t, mac);
	if (e && e->is_pinned)
		return;
	if (!e) {
		e = mactable_add(t, p, mac);
	} else {
		/* To the end of the list, or to where it has moved. */
		leave_port(e);
		if (e->port != p)
			evict(p);
		join_port(e, p);
	}
	e->seen_ns = now_ns;
}

void mactable_pin(struct mactable *t, struct swport *p,
		  const uint8_t mac[MAC_LEN])
{
	struct mac_entry *e = mactable_find_entry(t, mac);

	if (e)
		mactable_drop(e);
	mactable_add(t, p, mac)->is_pinned = true;
}

struct swport *mactable_find(struct mactable *t, const uint8_t mac[MAC_LEN],
			     int64_t now_ns)
{
	struct mac_entry *e = mactable_find_entry(t, mac);

	if (!e)
		return NULL;
	if (!e->is_pinned && now_ns - e->seen_ns > VSWITCH_MAC_AGE_NS) {
		mactable_drop(e);
		return NULL;
	}
	return e->port;
}

void mactable_forget(struct mactable *t, struct swport *p)
{
	struct mac_entry *e, *next;

	(void)t;
	for (e = TAILQ_FIRST(&p->macs); e; e = next) {
		next = TAILQ_NEXT(e, of_port);
		mactable_drop(e);
	}
}
