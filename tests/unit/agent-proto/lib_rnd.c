/* SPDX-License-Identifier: MIT */
#include "tests/unit/agent-proto/lib_rnd.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/frame.h"

void rnd_init(struct rnd *r, uint64_t seed)
{
	r->state = seed;
}

/* SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014. */
uint64_t rnd_u64(struct rnd *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

size_t rnd_below(struct rnd *r, size_t n)
{
	return (size_t)(rnd_u64(r) % n);
}

bool rnd_once_in(struct rnd *r, size_t n)
{
	return rnd_below(r, n) == 0;
}

size_t rnd_size(struct rnd *r, size_t max)
{
	size_t limit = max;

	while (limit > 1 && !rnd_once_in(r, 4))
		limit /= 4;
	return rnd_below(r, limit + 1);
}

void rnd_fill(struct rnd *r, void *p, size_t n)
{
	uint8_t *at = p;
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		v = i % 8 ? v >> 8 : rnd_u64(r);
		at[i] = (uint8_t)v;
	}
}

void rnd_fill_markers(struct rnd *r, uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		size_t from = rnd_once_in(r, 2) ? 0 : rnd_below(r, 16);
		size_t len = rnd_once_in(r, 2) ? 16 : rnd_below(r, 17);

		if (rnd_once_in(r, 4)) {
			p[i++] = (uint8_t)rnd_u64(r);
			continue;
		}
		if (len > HELLO_MARKER - from)
			len = HELLO_MARKER - from;
		if (len > n - i)
			len = n - i;
		memcpy(p + i, hello_marker + from, len);
		i += len;
	}
}

void rnd_fill_any(struct rnd *r, uint8_t *p, size_t n)
{
	if (n < 4000 && rnd_once_in(r, 3))
		rnd_fill_markers(r, p, n);
	else
		rnd_fill(r, p, n);
}

uint64_t env_number(const char *name, uint64_t fallback)
{
	const char *s = getenv(name);

	return s && *s ? strtoull(s, NULL, 0) : fallback;
}
