/* SPDX-License-Identifier: MIT */
#include "vmm/net/reassembly.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

/* The unit of offsets. */
#define BLOCK	   8u
#define BLOCKS_MAX (DATAGRAM_MAX / BLOCK + 1)

struct datagram {
	struct fragment first; /* whose it is; body is not used */
	uint8_t *bytes;	       /* DATAGRAM_MAX; NULL: the slot is free */
	size_t total;	       /* 0: the last fragment has not come */
	size_t end;	       /* of the furthest byte that came */
	size_t n_blocks;       /* that came */
	uint8_t came[BLOCKS_MAX / 8 + 1];
};

struct reassembly {
	struct datagram slots[REASSEMBLY_MAX];
	uint8_t *whole; /* the datagram that the last call returned, or NULL */
};

struct reassembly *reassembly_new(void)
{
	return mem_zalloc(sizeof(struct reassembly));
}

static void reassembly_drop(struct datagram *d)
{
	free(d->bytes);
	memset(d, 0, sizeof(*d));
}

struct reassembly *reassembly_free(struct reassembly *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < REASSEMBLY_MAX; i++)
		reassembly_drop(&r->slots[i]);
	free(r->whole);
	free(r);
	return NULL;
}

/* --- whose fragment it is --------------------------------------------------
 */

static bool reassembly_is_of(const struct datagram *d, const struct fragment *f)
{
	const struct fragment *k = &d->first;

	return d->bytes && k->from == f->from && k->id == f->id &&
	       k->version == f->version && k->protocol == f->protocol &&
	       !memcmp(k->src, f->src, IPV6_LEN) &&
	       !memcmp(k->dst, f->dst, IPV6_LEN);
}

static bool is_older(const struct datagram *a, const struct datagram *b)
{
	return !b || a->first.now_ns < b->first.now_ns;
}

/* Room for one more: of the port's own where it has its share, else a free
 * slot, else the oldest. */
static struct datagram *reassembly_make_room(struct reassembly *r,
					     const struct swport *from)
{
	struct datagram *unused = NULL, *own = NULL, *oldest = NULL;
	size_t n_own = 0;

	for (size_t i = 0; i < REASSEMBLY_MAX; i++) {
		struct datagram *d = &r->slots[i];

		if (!d->bytes) {
			unused = d;
			continue;
		}
		if (is_older(d, oldest))
			oldest = d;
		if (d->first.from != from)
			continue;
		n_own++;
		if (is_older(d, own))
			own = d;
	}
	if (n_own >= REASSEMBLY_PORT_MAX)
		return own;
	return unused ? unused : oldest;
}

static struct datagram *reassembly_find(struct reassembly *r,
					const struct fragment *f)
{
	struct datagram *d;

	for (size_t i = 0; i < REASSEMBLY_MAX; i++) {
		d = &r->slots[i];
		if (d->bytes && f->now_ns - d->first.now_ns > REASSEMBLY_NS)
			reassembly_drop(d);
	}
	for (size_t i = 0; i < REASSEMBLY_MAX; i++)
		if (reassembly_is_of(&r->slots[i], f))
			return &r->slots[i];
	d = reassembly_make_room(r, f->from);
	reassembly_drop(d);
	d->first = *f;
	d->first.body = NULL;
	d->bytes = mem_alloc(DATAGRAM_MAX);
	return d;
}

/* --- its place -------------------------------------------------------------
 */

static bool has_block(const struct datagram *d, size_t i)
{
	return d->came[i / 8] >> i % 8 & 1;
}

static size_t count_blocks(const struct datagram *d, size_t from, size_t to)
{
	size_t n = 0;

	for (size_t i = from; i < to; i++)
		n += has_block(d, i);
	return n;
}

/* Whether the fragment contradicts the end that is known. */
static bool is_beyond(const struct datagram *d, const struct fragment *f)
{
	size_t end = f->offset + f->len;

	if (!f->has_more)
		return end < d->end || (d->total && end != d->total);
	return d->total && end >= d->total;
}

/* False: the datagram is void. */
static bool reassembly_put(struct datagram *d, const struct fragment *f)
{
	size_t end = f->offset + f->len, from = f->offset / BLOCK,
	       to = (end + BLOCK - 1) / BLOCK;
	size_t n = count_blocks(d, from, to);

	if (n == to - from && end <= d->end)
		return true;
	if (n || is_beyond(d, f))
		return false;
	for (size_t i = from; i < to; i++)
		d->came[i / 8] |= (uint8_t)(1u << i % 8);
	d->n_blocks += to - from;
	memcpy(d->bytes + f->offset, f->body, f->len);
	if (!f->has_more)
		d->total = end;
	if (end > d->end)
		d->end = end;
	return true;
}

const uint8_t *reassembly_add(struct reassembly *r, const struct fragment *f,
			      size_t *ret_len)
{
	struct datagram *d;

	if (!f->len || f->offset % BLOCK || f->len > DATAGRAM_MAX ||
	    f->offset > DATAGRAM_MAX - f->len ||
	    (f->has_more && f->len % BLOCK))
		return NULL;
	d = reassembly_find(r, f);
	if (!reassembly_put(d, f)) {
		reassembly_drop(d);
		return NULL;
	}
	if (!d->total || d->n_blocks != (d->total + BLOCK - 1) / BLOCK)
		return NULL;
	*ret_len = d->total;
	free(r->whole);
	r->whole = d->bytes;
	d->bytes = NULL;
	reassembly_drop(d);
	return r->whole;
}
