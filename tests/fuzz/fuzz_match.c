/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as patterns (a length byte and so many bytes each, up to a length
 * of 0) and then as a stream, cut into pieces: the match is the one that ends
 * first, as by looking everywhere.
 */
#include <assert.h>
#include <string.h>

#include "streams/match.h"

#define PATTERNS 8

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Whether a pattern ends at end: the first listed. */
static bool ends_at(const struct stream_pattern *all, size_t count,
		    const uint8_t *p, size_t end, size_t *ret_index)
{
	for (size_t i = 0; i < count; i++) {
		if (all[i].n > end ||
		    memcmp(p + end - all[i].n, all[i].p, all[i].n) != 0)
			continue;
		*ret_index = i;
		return true;
	}
	return false;
}

static void check(const struct stream_pattern *all, size_t count,
		  const uint8_t *p, size_t n, size_t piece)
{
	struct match *m = match_new(all, count);
	struct match_hit hit = {0};
	size_t want_end = 1, want_index = 0, at = 0;
	bool found = false;

	while (want_end <= n && !ends_at(all, count, p, want_end, &want_index))
		want_end++;
	while (!found && at < n) {
		size_t k = n - at < piece ? n - at : piece;
		found = match_feed(m, p + at, k, &hit);
		if (!found)
			at += k;
	}
	assert(found == (want_end <= n));
	if (found)
		assert(at + hit.end == want_end && hit.index == want_index);
	match_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct stream_pattern all[PATTERNS];
	size_t count = 0;
	size_t piece;

	while (count < PATTERNS && n && *p && *p < n) {
		all[count++] = (struct stream_pattern){p + 1, *p};
		n -= 1 + (size_t)*p;
		p += 1 + *p;
	}
	if (!count || n < 2)
		return 0;
	piece = 1 + (size_t)p[1] % 64;
	check(all, count, p + 2, n - 2, piece);
	check(all, count, p + 2, n - 2, n);
	return 0;
}
