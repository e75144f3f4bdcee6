/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "streams/match.h"

/* --- helpers ------------------------------------------------------------ */

static struct stream_pattern pat(const char *s)
{
	return (struct stream_pattern){(const uint8_t *)s, strlen(s)};
}

/* What the header promises, by the definition. */
static bool naive(const struct stream_pattern *pats, size_t count,
		  const uint8_t *p, size_t n, struct match_hit *hit)
{
	for (size_t end = 1; end <= n; end++) {
		for (size_t i = 0; i < count; i++) {
			size_t k = pats[i].n;

			if (k > end || memcmp(p + end - k, pats[i].p, k) != 0)
				continue;
			*hit = (struct match_hit){.end = end, .index = i};
			return true;
		}
	}
	return false;
}

/* Feeds p in pieces of at most step bytes, each in an allocation of its own,
 * so that reading past one is seen by a sanitizer. The hit's end is absolute.
 */
static bool feed_by(struct match *m, const uint8_t *p, size_t n, size_t step,
		    struct match_hit *hit)
{
	for (size_t at = 0; at < n; at += step) {
		size_t k = n - at < step ? n - at : step;
		uint8_t *piece = mem_dup(p + at, k);
		bool is_hit = match_feed(m, piece, k, hit);

		free(piece);
		if (is_hit) {
			hit->end += at;
			return true;
		}
	}
	return false;
}

static void check_every_step(const struct stream_pattern *pats, size_t count,
			     const uint8_t *p, size_t n)
{
	struct match *m = match_new(pats, count);
	struct match_hit want = {0}, got = {0};
	bool is_hit = naive(pats, count, p, n, &want);

	for (size_t step = 1; step <= n; step++) {
		match_reset(m);
		assert_int_equal(feed_by(m, p, n, step, &got), is_hit);
		if (!is_hit)
			continue;
		assert_int_equal(got.end, want.end);
		assert_int_equal(got.index, want.index);
	}
	match_free(m);
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void fill(uint8_t *p, size_t n, unsigned letters, uint32_t *seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)('a' + next_random(seed) % letters);
}

/* --- claims --------------------------------------------------------------- */

static void one_pattern_is_found_however_the_stream_is_cut(void **state)
{
	static const char text[] =
	    "aabaabaaaabaabaabaabab abcabcabd xxlogin: xx";
	static const char *const pats[] = {
	    "a",      "aabaabab",
	    "abcabd", "login: ",
	    "x",      " ",
	    "xx",     "nowhere",
	    "aaaa",   "aabaabaaaabaabaabaabab abcabcabd xxlogin: xx"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pats); i++) {
		struct stream_pattern p = pat(pats[i]);

		check_every_step(&p, 1, (const uint8_t *)text,
				 sizeof(text) - 1);
	}
}

static void the_match_that_ends_first_wins(void **state)
{
	const struct stream_pattern pats[] = {pat("a long one"), pat("long")};
	struct match *m = match_new(pats, 2);
	struct match_hit hit;

	(void)state;
	assert_true(
	    feed_by(m, (const uint8_t *)"it is a long one", 16, 3, &hit));
	assert_int_equal(hit.index, 1);
	assert_int_equal(hit.end, 12);
	match_free(m);
}

static void of_matches_that_end_together_the_earlier_listed_wins(void **state)
{
	const struct stream_pattern few[] = {pat("panic"), pat("ic"),
					     pat("panic")};
	const struct stream_pattern many[] = {
	    pat("zzz"), pat("ic"), pat("panic"), pat("nic"),
	    pat("ic"),	pat("y"),  pat("x"),	 pat("panics")};

	(void)state;
	check_every_step(few, 3, (const uint8_t *)"a panic", 7);
	check_every_step(many, 8, (const uint8_t *)"a panic", 7);

	struct match *m = match_new(many, 8);
	struct match_hit hit;
	assert_true(match_feed(m, (const uint8_t *)"a panic", 7, &hit));
	assert_int_equal(hit.index, 1);
	match_free(m);
}

static void every_byte_value_can_be_matched(void **state)
{
	uint8_t text[512];
	struct stream_pattern pats[8];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_LEN(pats); i++)
		pats[i] = (struct stream_pattern){text + 254 - i, 3 + 2 * i};
	check_every_step(pats, 1, text, sizeof(text));
	check_every_step(pats, 4, text, sizeof(text));
	check_every_step(pats, 8, text, sizeof(text));
	pats[4] = (struct stream_pattern){text + 1, 256};
	check_every_step(pats, 8, text, sizeof(text));
}

static void random_cuts_agree_with_the_definition(void **state)
{
	uint32_t seed = 1;
	uint8_t text[900], from[16];

	(void)state;
	for (int round = 0; round < 400; round++) {
		struct stream_pattern pats[12];
		size_t count = 1 + next_random(&seed) % 12;
		unsigned letters = 1 + next_random(&seed) % 3;
		/* Some longer than the blocks that many patterns share. */
		size_t n = round % 20 ? 200 : sizeof(text);

		fill(text, n, letters, &seed);
		fill(from, sizeof(from), letters, &seed);
		for (size_t i = 0; i < count; i++) {
			size_t at = next_random(&seed) % 8;

			pats[i] = (struct stream_pattern){
			    from + at,
			    1 + next_random(&seed) % (sizeof(from) - at)};
		}
		check_every_step(pats, count, text, n);
	}
}

static void patterns_too_large_for_one_table_are_found_too(void **state)
{
	enum { LEN = 5000, N = 8 };
	uint32_t seed = 7;
	uint8_t *bytes = mem_alloc(LEN * N);
	struct stream_pattern pats[N];
	struct match_hit hit;

	(void)state;
	for (size_t i = 0; i < (size_t)LEN * N; i++)
		bytes[i] = (uint8_t)next_random(&seed);
	for (size_t i = 0; i < N; i++)
		pats[i] = (struct stream_pattern){bytes + i * LEN, LEN};
	struct match *m = match_new(pats, N);
	/* All of them, in another order, after a piece of the last. */
	assert_false(feed_by(m, pats[3].p + 1, LEN - 1, 999, &hit));
	assert_true(feed_by(m, pats[2].p, LEN, 777, &hit));
	assert_int_equal(hit.index, 2);
	assert_int_equal(hit.end, LEN);
	match_free(m);
	free(bytes);
}

/* Work a byte, for n bytes of text in pieces of step. */
static double work_per_byte(const struct stream_pattern *pats, size_t count,
			    const uint8_t *text, size_t n, size_t step)
{
	struct match *m = match_new(pats, count);
	struct match_hit hit;

	for (size_t at = 0; at < n; at += step)
		assert_false(match_feed(m, text + at,
					n - at < step ? n - at : step, &hit));
	double work = (double)match_work(m) / (double)n;
	match_free(m);
	return work;
}

static void work_is_linear_whatever_the_cuts(void **state)
{
	static const size_t steps[] = {1,   2,	  7,	63,   64,    100,
				       999, 1000, 1001, 4096, 65536, 1 << 20};
	size_t n = 1 << 20;
	uint8_t *text = mem_alloc(n), *long_one = mem_alloc(1000);
	struct stream_pattern pats[8];

	(void)state;
	/* The worst there is: the text repeats all of the pattern but its
	 * last byte. */
	memset(text, 'a', n);
	memset(long_one, 'a', 1000);
	long_one[999] = 'b';
	for (size_t i = 0; i < 8; i++)
		pats[i] =
		    (struct stream_pattern){long_one + i * 100, 1000 - i * 100};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		assert_true(work_per_byte(pats, 1, text, n, steps[i]) <= 4);
		assert_true(work_per_byte(pats, 3, text, n, steps[i]) <= 12);
		assert_true(work_per_byte(pats, 8, text, n, steps[i]) <= 1);
	}
	free(text);
	free(long_one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_pattern_is_found_however_the_stream_is_cut),
	    cmocka_unit_test(the_match_that_ends_first_wins),
	    cmocka_unit_test(
		of_matches_that_end_together_the_earlier_listed_wins),
	    cmocka_unit_test(every_byte_value_can_be_matched),
	    cmocka_unit_test(random_cuts_agree_with_the_definition),
	    cmocka_unit_test(patterns_too_large_for_one_table_are_found_too),
	    cmocka_unit_test(work_is_linear_whatever_the_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
