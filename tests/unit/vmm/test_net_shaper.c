/* SPDX-License-Identifier: MIT */
#include "vmm/net/shaper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "vmm/net/packet.h"

#define PORTS 3
#define SEEN  20000
#define LEN   1000u /* of most frames: 1 ms at 8 Mbit/s */
#define MBIT  UINT64_C(1000000)

struct seen {
	uint32_t id;
	int64_t at_ns;
	size_t from, to;
	size_t flipped; /* bits */
};

struct fix {
	struct shaper *s;
	struct swport p[PORTS];
	int64_t now_ns;
	size_t n;
	struct seen seen[SEEN];
	void (*act)(struct fix *f); /* in the next arrival */
};

static void fill(uint8_t *p, size_t n, uint32_t id)
{
	memset(p, 0x5a, n);
	memcpy(p, &id, sizeof(id)); /* never corrupted there */
}

static void on_arrive(void *ctx, struct swport *from, struct swport *to,
		      const struct frame *fr)
{
	struct fix *f = ctx;
	struct seen *seen = &f->seen[f->n++];
	void (*act)(struct fix *) = f->act;

	assert_true(f->n < SEEN);
	memcpy(&seen->id, fr->data, sizeof(seen->id));
	seen->at_ns = fr->now_ns;
	seen->from = from->slot;
	seen->to = to->slot;
	seen->flipped = 0;
	for (size_t i = sizeof(seen->id); i < fr->len; i++)
		seen->flipped +=
		    (size_t)__builtin_popcount(fr->data[i] ^ 0x5au);
	f->act = NULL;
	if (act)
		act(f);
}

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));

	f->s = shaper_new(on_arrive, f);
	f->now_ns = NS_PER_SEC;
	for (size_t i = 0; i < PORTS; i++)
		f->p[i].slot = i;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	shaper_free(f->s);
	free(f);
	return 0;
}

/* To write to; -1: any port. Said to be changed when a frame is put in. */
static struct impairment *rule(struct fix *f, int from, int to)
{
	return &impair_rule(shaper_rules(f->s), from < 0 ? NULL : &f->p[from],
			    to < 0 ? NULL : &f->p[to])
		    ->set;
}

static void put_n(struct fix *f, int from, int to, uint32_t id, size_t n)
{
	uint8_t *bytes = mem_alloc(n);
	struct frame fr = {bytes, n, f->now_ns};

	fill(bytes, n, id);
	shaper_run(f->s, f->now_ns);
	shaper_pass(f->s, &f->p[from], &f->p[to], &fr);
	shaper_run(f->s, f->now_ns);
	free(bytes);
}

static void put(struct fix *f, int from, int to, uint32_t id)
{
	put_n(f, from, to, id, LEN);
}

/* The clock goes on until all has arrived, each frame when it is due. */
static void settle(struct fix *f)
{
	int64_t due_ns;

	while ((due_ns = shaper_due(f->s)) != CLOCK_NEVER) {
		if (due_ns > f->now_ns)
			f->now_ns = due_ns;
		shaper_run(f->s, f->now_ns);
	}
}

static struct shaper_counters counters(const struct fix *f)
{
	struct shaper_counters c;

	shaper_counters(f->s, &c);
	return c;
}

/* --- one thing at a time -------------------------------------------------- */

static void a_perfect_network_delays_nothing(void **state)
{
	struct fix *f = *state;

	for (uint32_t i = 0; i < 10; i++)
		put(f, 0, 1, i);
	assert_int_equal(f->n, 10);
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(f->seen[i].id, i);
		assert_int_equal(f->seen[i].at_ns, f->now_ns);
	}
	assert_true(shaper_due(f->s) == CLOCK_NEVER);
}

static void a_cut_is_of_its_direction_alone(void **state)
{
	struct fix *f = *state;

	rule(f, 0, 1)->cuts = CUT_PARTITION;
	shaper_changed(f->s);
	put(f, 0, 1, 1);
	assert_int_equal(f->n, 0);
	put(f, 1, 0, 2);
	put(f, 0, 2, 3);
	assert_int_equal(f->n, 2);
	assert_int_equal(counters(f).cut, 1);
	rule(f, 0, 1)->cuts = 0;
	shaper_changed(f->s);
	put(f, 0, 1, 4);
	assert_int_equal(f->n, 3);
}

static void a_cut_takes_what_is_on_its_way(void **state)
{
	struct fix *f = *state;

	rule(f, -1, -1)->latency_ns = NS_PER_SEC;
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 50; i++) {
		put(f, 0, 1, i);
		put(f, 1, 0, 100 + i);
	}
	rule(f, 0, -1)->cuts = CUT_ISOLATION;
	shaper_changed(f->s);
	settle(f);
	assert_int_equal(f->n, 50);
	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(f->seen[i].id, 100 + i);
	assert_int_equal(counters(f).cut, 50);
}

static void latency_is_exact_to_the_nanosecond(void **state)
{
	struct fix *f = *state;
	int64_t began = f->now_ns;

	rule(f, 0, 1)->latency_ns = 7654321;
	shaper_changed(f->s);
	put(f, 0, 1, 1);
	assert_int_equal(f->n, 0);
	assert_true(shaper_due(f->s) == began + 7654321);
	f->now_ns = began + 7654320;
	shaper_run(f->s, f->now_ns);
	assert_int_equal(f->n, 0);
	f->now_ns++;
	shaper_run(f->s, f->now_ns);
	assert_int_equal(f->n, 1);
}

static void latencies_of_all_rules_add_up(void **state)
{
	struct fix *f = *state;
	int64_t began = f->now_ns;

	rule(f, -1, -1)->latency_ns = 1000;
	rule(f, 0, -1)->latency_ns = 200;
	rule(f, -1, 1)->latency_ns = 30;
	rule(f, 0, 1)->latency_ns = 4;
	rule(f, 1, 0)->latency_ns = 99999;
	shaper_changed(f->s);
	put(f, 0, 1, 1);
	settle(f);
	assert_int_equal(f->seen[0].at_ns - began, 1234);
}

static void jitter_stays_in_its_bounds_and_keeps_the_order(void **state)
{
	struct fix *f = *state;
	int64_t least = INT64_MAX, most = 0, sent[1000];

	rule(f, 0, 1)->latency_ns = 50 * NS_PER_MS;
	rule(f, 0, 1)->jitter_ns = 20 * NS_PER_MS;
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 1000; i++) {
		sent[i] = f->now_ns;
		put(f, 0, 1, i);
		settle(f);
	}
	assert_int_equal(f->n, 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		int64_t took = f->seen[i].at_ns - sent[f->seen[i].id];

		assert_int_equal(f->seen[i].id, i);
		least = took < least ? took : least;
		most = took > most ? took : most;
	}
	/* Both ends of the range are come near to, and none is passed. */
	assert_in_range(least, 30 * NS_PER_MS, 31 * NS_PER_MS);
	assert_in_range(most, 69 * NS_PER_MS, 70 * NS_PER_MS);
	f->n = 0;
	for (uint32_t i = 0; i < 1000; i++)
		put(f, 0, 1, i);
	settle(f);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(f->seen[i].id, i);
}

/* Out of 10,000, within five standard deviations of what is expected. */
static void check_share(size_t got, double p)
{
	double off = (double)got - 10000 * p;

	assert_true(off * off < 5 * 5 * 10000 * p * (1 - p));
}

static void loss_is_as_often_as_asked(void **state)
{
	static const double chance[] = {0.001, 0.01, 0.3, 0.5, 0.99};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(chance); i++) {
		rule(f, 0, 1)->chance[CHANCE_DROP] = chance[i];
		shaper_changed(f->s);
		f->n = 0;
		for (uint32_t k = 0; k < 10000; k++)
			put(f, 0, 1, k);
		check_share(10000 - f->n, chance[i]);
	}
	f->n = 0;
	rule(f, 0, 1)->chance[CHANCE_DROP] = 1;
	shaper_changed(f->s);
	for (uint32_t k = 0; k < 1000; k++)
		put(f, 0, 1, k);
	assert_int_equal(f->n, 0);
}

static void losses_compose_as_independent_ones(void **state)
{
	struct fix *f = *state;

	rule(f, -1, -1)->chance[CHANCE_DROP] = 0.5;
	rule(f, 0, -1)->chance[CHANCE_DROP] = 0.2;
	rule(f, 0, 1)->chance[CHANCE_DROP] = 0.1;
	shaper_changed(f->s);
	for (uint32_t k = 0; k < 10000; k++)
		put(f, 0, 1, k);
	check_share(f->n, 0.5 * 0.8 * 0.9);
	assert_int_equal(counters(f).lost, 10000 - f->n);
}

static void a_copy_follows_its_frame_at_once(void **state)
{
	struct fix *f = *state;

	rule(f, 0, 1)->chance[CHANCE_DUPLICATE] = 1;
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 100; i++) {
		if (i == 50) {
			rule(f, 0, 1)->latency_ns = NS_PER_MS;
			shaper_changed(f->s);
		}
		put(f, 0, 1, i);
	}
	settle(f);
	assert_int_equal(f->n, 200);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(f->seen[i].id, i / 2);
	assert_int_equal(counters(f).duplicated, 100);
}

static void a_frame_is_passed_by_the_next(void **state)
{
	static const uint32_t order[] = {1, 0, 3, 2, 5, 4};
	struct fix *f = *state;

	rule(f, 0, 1)->chance[CHANCE_REORDER] = 1;
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 6; i++)
		put(f, 0, 1, i);
	assert_int_equal(f->n, 6);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(f->seen[i].id, order[i]);
	/* With latency too. */
	f->n = 0;
	rule(f, 0, 1)->latency_ns = NS_PER_MS;
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 6; i++)
		put(f, 0, 1, i);
	settle(f);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(f->seen[i].id, order[i]);
	assert_int_equal(counters(f).reordered, 6);
}

static void a_frame_that_nothing_passes_comes_late(void **state)
{
	struct fix *f = *state;
	int64_t began = f->now_ns;

	rule(f, 0, 1)->chance[CHANCE_REORDER] = 1;
	shaper_changed(f->s);
	put(f, 0, 1, 1);
	put(f, 0, 2, 2); /* another direction */
	settle(f);
	assert_int_equal(f->n, 2);
	assert_int_equal(f->seen[1].id, 1);
	assert_int_equal(f->seen[1].at_ns - began, SHAPER_HOLD_NS);
}

static void corruption_is_one_bit_behind_the_header(void **state)
{
	struct fix *f = *state;
	uint8_t bytes[FRAME_MIN + 4];
	struct frame fr = {bytes, sizeof(bytes), f->now_ns};

	rule(f, 0, 1)->chance[CHANCE_CORRUPT] = 1;
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 1000; i++) {
		fill(bytes, sizeof(bytes), i);
		shaper_pass(f->s, &f->p[0], &f->p[1], &fr);
		for (size_t k = sizeof(i); k < sizeof(bytes); k++)
			assert_int_equal(bytes[k], 0x5a); /* the sender's */
	}
	put_n(f, 0, 1, 1000, FRAME_MIN); /* nothing to corrupt */
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(f->seen[i].id, i);
		assert_int_equal(f->seen[i].flipped, 1);
	}
	assert_int_equal(f->seen[1000].flipped, 0);
}

/* --- bandwidth ------------------------------------------------------------ */

static void a_pipe_spaces_frames_by_their_length(void **state)
{
	struct fix *f = *state;
	int64_t began = f->now_ns;

	rule(f, 0, 1)->bps = 8 * MBIT;
	shaper_changed(f->s);
	put(f, 0, 1, 0);
	put(f, 0, 1, 1);
	put_n(f, 0, 1, 2, 500);
	settle(f);
	assert_int_equal(f->seen[0].at_ns - began, NS_PER_MS);
	assert_int_equal(f->seen[1].at_ns - began, 2 * NS_PER_MS);
	assert_int_equal(f->seen[2].at_ns - began, 5 * NS_PER_MS / 2);
	/* What was not used is not saved up. */
	f->now_ns += NS_PER_SEC;
	began = f->now_ns;
	put(f, 0, 1, 3);
	put(f, 0, 1, 4);
	settle(f);
	assert_int_equal(f->seen[4].at_ns - began, 2 * NS_PER_MS);
}

static void a_full_queue_drops_the_newest(void **state)
{
	struct fix *f = *state;

	rule(f, 0, 1)->bps = 8 * MBIT; /* 100 ms: 100 frames, and the first */
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 500; i++)
		put(f, 0, 1, i);
	settle(f);
	assert_int_equal(f->n, 101);
	for (uint32_t i = 0; i < f->n; i++)
		assert_int_equal(f->seen[i].id, i);
	assert_int_equal(counters(f).overflowed, 500 - f->n);
	/* A slow one has room for some frames all the same. */
	f->n = 0;
	rule(f, 0, 1)->bps = 8000;
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 500; i++)
		put(f, 0, 1, i);
	settle(f);
	assert_int_equal(f->n, SHAPER_QUEUE_BYTES / LEN + 1);
}

static void a_pipe_is_shared_by_all_of_its_rule(void **state)
{
	struct fix *f = *state;
	int64_t began = f->now_ns;

	rule(f, -1, -1)->bps = 8 * MBIT;
	shaper_changed(f->s);
	put(f, 0, 1, 0);
	put(f, 1, 2, 1);
	put(f, 2, 0, 2);
	settle(f);
	assert_int_equal(f->seen[2].at_ns - began, 3 * NS_PER_MS);
}

static void the_narrowest_pipe_decides(void **state)
{
	struct fix *f = *state;
	int64_t began = f->now_ns;

	rule(f, -1, -1)->bps = 80 * MBIT;
	rule(f, 0, -1)->bps = 8 * MBIT;
	rule(f, 0, 1)->bps = 16 * MBIT;
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 10; i++)
		put(f, 0, 1, i);
	settle(f);
	assert_int_equal(f->seen[9].at_ns - began, 10 * NS_PER_MS);
	/* The others are not held up by it. */
	began = f->now_ns;
	put(f, 0, 1, 10);
	put(f, 2, 1, 11);
	settle(f);
	assert_int_equal(f->seen[10].id, 11);
	assert_int_equal(f->seen[10].at_ns - began, 2 * NS_PER_MS / 10);
}

static void latency_comes_after_the_pipe(void **state)
{
	struct fix *f = *state;
	int64_t began = f->now_ns;

	rule(f, 0, 1)->bps = 8 * MBIT;
	rule(f, -1, -1)->latency_ns = 5 * NS_PER_MS;
	shaper_changed(f->s);
	put(f, 0, 1, 0);
	put(f, 0, 1, 1);
	settle(f);
	assert_int_equal(f->seen[0].at_ns - began, 6 * NS_PER_MS);
	assert_int_equal(f->seen[1].at_ns - began, 7 * NS_PER_MS);
}

static void what_is_on_its_way_is_bounded(void **state)
{
	struct fix *f = *state;
	const size_t n = 60000;

	rule(f, 0, -1)->latency_ns = NS_PER_SEC;
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 1000; i++)
		put_n(f, 0, 1, i, n);
	put(f, 0, 2, 7); /* has its own room */
	settle(f);
	assert_int_equal(f->n,
			 SHAPER_LANE_BYTES_MAX / (n + SHAPER_FRAME_COST) + 1);
	assert_int_equal(f->seen[f->n - 1].id, 7);
}

static void tiny_frames_count_with_what_they_cost(void **state)
{
	struct fix *f = *state;
	uint32_t n = 0;

	rule(f, -1, -1)->latency_ns = NS_PER_SEC;
	shaper_changed(f->s);
	while (!counters(f).overflowed)
		put_n(f, 0, 1, n++, FRAME_MIN);
	assert_int_equal(n - 1, SHAPER_LANE_BYTES_MAX /
				    (FRAME_MIN + SHAPER_FRAME_COST));
}

/* --- levels --------------------------------------------------------------- */

/* The pairs (from, to), of three ports, under the rule of each level. */
static const struct level {
	int from, to;
	unsigned pairs; /* bit 3 * from + to */
} levels[] = {
    {-1, -1, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 5 | 1u << 6 | 1u << 7},
    {0, -1, 1u << 1 | 1u << 2},
    {-1, 1, 1u << 1 | 1u << 7},
    {0, 1, 1u << 1},
};

/* Nothing happens to any of a pair's frames. */
static bool is_perfect(struct fix *f, int from, int to)
{
	const uint32_t n = 20;
	int64_t began = f->now_ns;
	bool is = true;

	f->n = 0;
	for (uint32_t i = 0; i < n; i++)
		put(f, from, to, i);
	settle(f);
	for (uint32_t i = 0; i < n && f->n == n; i++)
		is = is && f->seen[i].id == i && !f->seen[i].flipped &&
		     f->seen[i].at_ns == began;
	return is && f->n == n;
}

static void check_levels(struct fix *f, void (*set)(struct impairment *i))
{
	for (size_t l = 0; l < ARRAY_LEN(levels); l++) {
		unsigned hit = 0;

		set(rule(f, levels[l].from, levels[l].to));
		shaper_changed(f->s);
		for (int i = 0; i < PORTS * PORTS; i++)
			if (i / PORTS != i % PORTS &&
			    !is_perfect(f, i / PORTS, i % PORTS))
				hit |= 1u << i;
		assert_int_equal(hit, levels[l].pairs);
		shaper_reset(f->s);
	}
}

static void cut(struct impairment *i)
{
	i->cuts = CUT_PARTITION;
}

static void delay(struct impairment *i)
{
	i->latency_ns = 1;
}

static void jitter(struct impairment *i)
{
	i->jitter_ns = NS_PER_SEC;
}

static void narrow(struct impairment *i)
{
	i->bps = MBIT;
}

static void drop(struct impairment *i)
{
	i->chance[CHANCE_DROP] = 1;
}

static void duplicate(struct impairment *i)
{
	i->chance[CHANCE_DUPLICATE] = 1;
}

static void reorder(struct impairment *i)
{
	i->chance[CHANCE_REORDER] = 1;
}

static void corrupt(struct impairment *i)
{
	i->chance[CHANCE_CORRUPT] = 1;
}

static void everything_is_of_its_level_alone(void **state)
{
	static void (*const sets[])(struct impairment *) = {
	    cut, delay, jitter, narrow, drop, duplicate, reorder, corrupt};

	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		check_levels(*state, sets[i]);
}

/* All four at once, and each of them is one of the factors. */
static void chances_of_all_levels_compose(void **state)
{
	struct fix *f = *state;

	for (size_t l = 0; l < ARRAY_LEN(levels); l++)
		for (size_t c = 0; c < CHANCES; c++)
			if (c != CHANCE_REORDER)
				rule(f, levels[l].from, levels[l].to)
				    ->chance[c] = 0.1 * (double)(l + 1);
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 10000; i++)
		put(f, 0, 1, i);
	settle(f);
	struct shaper_counters c = counters(f);
	double none = 0.9 * 0.8 * 0.7 * 0.6;
	check_share(c.lost, 1 - none);
	check_share(c.corrupted, none * (1 - none));
	check_share(c.duplicated, none * (1 - none));
}

/* Two who always have something to send have the same of it. */
static void a_shared_pipe_is_fair(void **state)
{
	struct fix *f = *state;
	size_t got[PORTS] = {0};
	int64_t end = f->now_ns + 10 * NS_PER_SEC;

	rule(f, -1, 2)->bps = 8 * MBIT;
	shaper_changed(f->s);
	for (uint32_t i = 0; f->now_ns < end; i++, f->now_ns += NS_PER_MS)
		for (unsigned k = 0; k < 4; k++)
			put(f, (int)((i + k) % 2), 2, i);
	for (size_t i = 0; i < f->n; i++)
		got[f->seen[i].from]++;
	/* The rate is kept to, by both together. */
	assert_in_range(got[0] + got[1], 9990, 10000);
	assert_in_range(got[0], 4500, 5500);
}

static void a_held_frame_goes_where_its_pair_is_cut(void **state)
{
	struct fix *f = *state;

	reorder(rule(f, 0, 1));
	shaper_changed(f->s);
	put(f, 0, 1, 1);
	cut(rule(f, -1, -1));
	shaper_changed(f->s);
	assert_int_equal(shaper_due(f->s), CLOCK_NEVER);
	/* The next one is not taken for one that passes it. */
	shaper_reset(f->s);
	put(f, 0, 1, 2);
	assert_int_equal(f->n, 1);
	assert_int_equal(f->seen[0].id, 2);
}

/* --- seeds ---------------------------------------------------------------- */

/* Which of 64 frames from one port to another arrive. */
static uint64_t fates(struct fix *f, int from, int to, bool is_alone)
{
	uint64_t mask = 0;

	f->n = 0;
	for (uint32_t i = 0; i < 64; i++) {
		put(f, from, to, i);
		for (uint32_t k = 0; !is_alone && k < i % 5; k++)
			put(f, to, from, 1000);
	}
	settle(f);
	for (size_t i = 0; i < f->n; i++)
		if (f->seen[i].id < 64)
			mask |= UINT64_C(1) << f->seen[i].id;
	return mask;
}

static void a_seed_repeats_every_fate(void **state)
{
	struct fix *f = *state;

	rule(f, -1, -1)->chance[CHANCE_DROP] = 0.5;
	shaper_changed(f->s);
	uint64_t first = fates(f, 0, 1, true);
	assert_true(fates(f, 0, 1, true) != first);
	shaper_seed(f->s, 0); /* as it is from the start */
	assert_true(fates(f, 0, 1, true) == first);
	shaper_seed(f->s, 7);
	uint64_t seventh = fates(f, 0, 1, true);
	assert_true(seventh != first);
	shaper_seed(f->s, 7);
	assert_true(fates(f, 0, 1, true) == seventh);
}

static void a_fate_depends_on_its_direction_alone(void **state)
{
	struct fix *f = *state;

	rule(f, -1, -1)->chance[CHANCE_DROP] = 0.5;
	shaper_changed(f->s);
	uint64_t first = fates(f, 0, 1, true);
	shaper_seed(f->s, 0);
	assert_true(fates(f, 0, 1, false) == first);
	shaper_seed(f->s, 0);
	assert_true(fates(f, 1, 0, true) != first);
	/* Other rules change when frames come, and nothing of what is lost. */
	rule(f, 0, 1)->jitter_ns = NS_PER_MS;
	rule(f, 0, -1)->chance[CHANCE_CORRUPT] = 0.5;
	rule(f, 0, -1)->chance[CHANCE_REORDER] = 0.5;
	shaper_changed(f->s);
	shaper_seed(f->s, 0);
	assert_true(fates(f, 0, 1, true) == first);
}

/* --- ports that go, rules that change meanwhile ----------------------------
 */

static void what_names_a_port_goes_with_it(void **state)
{
	struct fix *f = *state;

	rule(f, -1, -1)->latency_ns = NS_PER_MS;
	rule(f, 0, 1)->bps = 1;
	rule(f, 1, 0)->cuts = CUT_PARTITION;
	shaper_changed(f->s);
	put(f, 0, 1, 1);
	put(f, 2, 1, 2);
	put(f, 0, 2, 3);
	shaper_forget(f->s, &f->p[1]);
	settle(f);
	assert_int_equal(f->n, 1);
	assert_int_equal(f->seen[0].id, 3);
	put(f, 0, 1, 4);
	put(f, 1, 0, 5);
	settle(f);
	assert_int_equal(f->n, 3);
}

static void drop_all_of_1(struct fix *f)
{
	shaper_drop(f->s, &f->p[1]);
}

static void a_guest_that_is_off_gets_nothing_later(void **state)
{
	struct fix *f = *state;

	rule(f, -1, -1)->latency_ns = NS_PER_MS;
	rule(f, -1, -1)->chance[CHANCE_REORDER] = 0.5;
	shaper_changed(f->s);
	for (uint32_t i = 0; i < 100; i++)
		put(f, 0, 1, i);
	put(f, 2, 0, 1000);
	/* Also while they arrive. */
	f->act = drop_all_of_1;
	settle(f);
	assert_int_equal(f->n, 2);
	put(f, 0, 1, 5);
	put(f, 0, 1, 6);
	settle(f);
	assert_int_equal(f->n, 4);
}

static void forget_0(struct fix *f)
{
	shaper_forget(f->s, &f->p[0]);
}

static void cut_all(struct fix *f)
{
	rule(f, -1, -1)->cuts = CUT_ISOLATION;
	shaper_changed(f->s);
}

static void reset_all(struct fix *f)
{
	shaper_reset(f->s);
}

static void an_arrival_may_change_anything(void **state)
{
	static void (*const acts[])(struct fix *) = {forget_0, cut_all,
						     reset_all};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(acts); i++)
		for (int64_t latency = 0; latency < 2; latency++) {
			rule(f, 0, 1)->bps = latency * MBIT;
			rule(f, -1, 1)->latency_ns = latency;
			rule(f, 0, 1)->chance[CHANCE_DUPLICATE] = 0.5;
			rule(f, 0, -1)->chance[CHANCE_REORDER] = 0.5;
			shaper_changed(f->s);
			for (uint32_t k = 0; k < 20; k++) {
				f->act = k == 10 ? acts[i] : NULL;
				put(f, 0, 1, k);
			}
			settle(f);
			shaper_reset(f->s);
		}
	f->n = 0;
	put(f, 0, 1, 1);
	assert_int_equal(f->n, 1);
}

static void a_reset_is_a_perfect_network(void **state)
{
	struct fix *f = *state;
	int64_t began = f->now_ns;

	rule(f, -1, -1)->latency_ns = NS_PER_SEC;
	rule(f, 0, 1)->bps = 8;
	rule(f, 1, 0)->cuts = CUT_PARTITION;
	shaper_changed(f->s);
	put(f, 0, 2, 1);
	shaper_reset(f->s);
	put(f, 0, 1, 2);
	put(f, 1, 0, 3);
	assert_int_equal(f->n, 2);
	settle(f);
	assert_int_equal(f->n, 3);
	assert_int_equal(f->seen[2].at_ns - began, NS_PER_SEC);
}

/* --- everything at once ----------------------------------------------------
 */

static void change_a_rule(struct fix *f, unsigned r)
{
	struct impairment *i = rule(f, (int)(r % 4) - 1, (int)(r / 4 % 4) - 1);

	*i = (struct impairment){0};
	i->cuts = r % 7 == 0 ? CUT_PARTITION : 0;
	i->latency_ns = r / 16 % 3 * NS_PER_MS;
	i->jitter_ns = r / 48 % 3 * NS_PER_MS;
	i->bps = r % 5 ? 0 : (r % 1000 + 1) * 10000;
	for (size_t k = 0; k < CHANCES; k++)
		i->chance[k] = r >> k & 1 ? (r % 100) / 200.0 : 0;
	shaper_changed(f->s);
}

/* A frame is lost where a counter says so, and nowhere else. */
static void every_frame_is_accounted_for(void **state)
{
	struct fix *f = *state;
	uint64_t in = 0;

	srandom(1);
	for (uint32_t i = 0; i < 15000; i++) {
		unsigned r = (unsigned)random();

		if (r % 50 == 0)
			change_a_rule(f, r / 50);
		f->now_ns += (int64_t)(r % 300) * NS_PER_US;
		put_n(f, (int)(r % 3), (int)((r + 1 + r / 9 % 2) % 3), i,
		      FRAME_MIN + r % 3000);
		in++;
	}
	settle(f);
	struct shaper_counters c = counters(f);
	assert_int_equal(in + c.duplicated,
			 f->n + c.cut + c.lost + c.overflowed);
	assert_true(c.cut && c.lost && c.overflowed && c.duplicated &&
		    c.reordered && c.corrupted);
	assert_true(f->n > 1000);
}

/* The same frames at the same times, with rules that change meanwhile. */
static void play_a_script(struct fix *f, unsigned seed)
{
	shaper_reset(f->s);
	shaper_seed(f->s, seed);
	f->now_ns = (f->now_ns / NS_PER_SEC + 10) * NS_PER_SEC;
	f->n = 0;
	srandom(1);
	for (uint32_t i = 0; i < 5000; i++) {
		unsigned r = (unsigned)random();

		if (r % 100 == 0)
			change_a_rule(f, r / 100);
		f->now_ns += (int64_t)(r % 300) * NS_PER_US;
		put_n(f, (int)(r % 3), (int)((r + 1 + r / 9 % 2) % 3), i,
		      FRAME_MIN + r % 3000);
	}
	settle(f);
}

static bool is_same(const struct seen *a, const struct seen *b, int64_t apart)
{
	return a->id == b->id && a->from == b->from && a->to == b->to &&
	       a->flipped == b->flipped && b->at_ns - a->at_ns == apart;
}

static void a_seed_repeats_a_whole_script(void **state)
{
	struct fix *f = *state;
	struct seen *first;
	size_t n, differ = 0;
	int64_t apart;

	play_a_script(f, 5);
	n = f->n;
	first = mem_dup(f->seen, n * sizeof(*first));
	assert_true(n > 500);
	play_a_script(f, 5);
	assert_int_equal(f->n, n);
	apart = f->seen[0].at_ns - first[0].at_ns;
	for (size_t i = 0; i < n; i++)
		assert_true(is_same(&first[i], &f->seen[i], apart));
	play_a_script(f, 6);
	apart = f->seen[0].at_ns - first[0].at_ns;
	for (size_t i = 0; i < n && i < f->n; i++)
		differ += !is_same(&first[i], &f->seen[i], apart);
	assert_true(differ > 100);
	free(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	    TEST(a_perfect_network_delays_nothing),
	    TEST(a_cut_is_of_its_direction_alone),
	    TEST(a_cut_takes_what_is_on_its_way),
	    TEST(latency_is_exact_to_the_nanosecond),
	    TEST(latencies_of_all_rules_add_up),
	    TEST(jitter_stays_in_its_bounds_and_keeps_the_order),
	    TEST(loss_is_as_often_as_asked),
	    TEST(losses_compose_as_independent_ones),
	    TEST(a_copy_follows_its_frame_at_once),
	    TEST(a_frame_is_passed_by_the_next),
	    TEST(a_frame_that_nothing_passes_comes_late),
	    TEST(corruption_is_one_bit_behind_the_header),
	    TEST(a_pipe_spaces_frames_by_their_length),
	    TEST(a_full_queue_drops_the_newest),
	    TEST(a_pipe_is_shared_by_all_of_its_rule),
	    TEST(the_narrowest_pipe_decides),
	    TEST(latency_comes_after_the_pipe),
	    TEST(what_is_on_its_way_is_bounded),
	    TEST(tiny_frames_count_with_what_they_cost),
	    TEST(everything_is_of_its_level_alone),
	    TEST(chances_of_all_levels_compose),
	    TEST(a_shared_pipe_is_fair),
	    TEST(a_held_frame_goes_where_its_pair_is_cut),
	    TEST(a_seed_repeats_every_fate),
	    TEST(a_fate_depends_on_its_direction_alone),
	    TEST(what_names_a_port_goes_with_it),
	    TEST(a_guest_that_is_off_gets_nothing_later),
	    TEST(an_arrival_may_change_anything),
	    TEST(a_reset_is_a_perfect_network),
	    TEST(every_frame_is_accounted_for),
	    TEST(a_seed_repeats_a_whole_script),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
