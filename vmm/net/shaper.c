/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * A lane is the way from one port to another: it counts its frames, which is
 * what their fates are drawn from, and keeps the composed rules of its pair
 * until a rule changes. When a frame comes, all of its fate is decided at
 * once, down to the time at which it arrives; then it waits in the one queue
 * of the shaper, or arrives at once when there is nothing to wait for.
 *
 * Several pipes take a frame at the same time and it leaves when the last of
 * them has, so they need no queues: only the time until which each is busy.
 */
#include "vmm/net/shaper.h"

#include <assert.h>
#include <stdlib.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/net/flight.h"
#include "vmm/net/packet.h"

#define LANE_BUCKETS 256u

struct lane {
	struct swport *from, *to;
	uint64_t key;	     /* of what is drawn for it */
	uint64_t n;	     /* frames so far */
	unsigned generation; /* of path */
	struct impair_path path;
	int64_t last_due_ns; /* frames keep their order */
	size_t bytes;	     /* on their way */
	struct flight *held; /* to be overtaken by the next one; or NULL */
	LIST_ENTRY(lane) link;
};

struct shaper {
	shaper_arrive_cb arrive;
	void *ctx;
	struct impair_table rules;
	unsigned generation; /* of the rules */
	uint64_t seed;
	LIST_HEAD(lane_bucket, lane) lanes[LANE_BUCKETS];
	struct flightq flights;
	size_t bytes;
	struct shaper_counters counters;
};

struct shaper *shaper_new(shaper_arrive_cb arrive, void *ctx)
{
	struct shaper *s = mem_zalloc(sizeof(*s));

	s->arrive = arrive;
	s->ctx = ctx;
	s->generation = 1;
	impair_init(&s->rules);
	for (size_t i = 0; i < LANE_BUCKETS; i++)
		LIST_INIT(&s->lanes[i]);
	return s;
}

struct shaper *shaper_free(struct shaper *s)
{
	struct lane *lane, *next;

	if (!s)
		return NULL;
	flightq_done(&s->flights);
	for (size_t i = 0; i < LANE_BUCKETS; i++)
		for (lane = LIST_FIRST(&s->lanes[i]); lane; lane = next) {
			next = LIST_NEXT(lane, link);
			free(lane);
		}
	impair_done(&s->rules);
	free(s);
	return NULL;
}

/* --- chance --------------------------------------------------------------- */

/* What is drawn for each frame, whether it is needed or not. */
enum draw { DRAW_CHANCE, DRAW_JITTER = DRAW_CHANCE + CHANCES, DRAW_BIT, DRAWS };

/* The finisher of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
 * Number Generators, OOPSLA 2014): every bit depends on every other. */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t shaper_draw(const struct lane *lane, unsigned what)
{
	return mix(lane->key ^ mix(lane->n * DRAWS + what));
}

/* 0 <= x < 1, from the 53 bits that a double has. */
static double draw_unit(const struct lane *lane, unsigned what)
{
	return (double)(shaper_draw(lane, what) >> 11) * 0x1p-53;
}

static bool happens(const struct lane *lane, enum chance c)
{
	double p = lane->path.all.chance[c];

	return p > 0 && draw_unit(lane, DRAW_CHANCE + c) < p;
}

/* --- lanes ---------------------------------------------------------------- */

static struct lane_bucket *shaper_bucket_of(struct shaper *s,
					    const struct swport *a,
					    const struct swport *b)
{
	return &s->lanes[mix(a->slot << 16 | b->slot) % LANE_BUCKETS];
}

/* By slots, which are the same in every run. */
static void start_counting(const struct shaper *s, struct lane *lane)
{
	lane->key =
	    mix(mix(s->seed) ^ mix(lane->from->slot << 16) ^ lane->to->slot);
	lane->n = 0;
}

static struct lane *find_lane(struct shaper *s, struct swport *from,
			      struct swport *to)
{
	struct lane_bucket *bucket = shaper_bucket_of(s, from, to);
	struct lane *lane;

	LIST_FOREACH (lane, bucket, link)
		if (lane->from == from && lane->to == to)
			break;
	if (!lane) {
		lane = mem_zalloc(sizeof(*lane));
		lane->from = from;
		lane->to = to;
		start_counting(s, lane);
		LIST_INSERT_HEAD(bucket, lane, link);
	}
	if (lane->generation != s->generation) {
		impair_compose(&s->rules, from, to, &lane->path);
		lane->generation = s->generation;
		lane->last_due_ns = 0;
	}
	return lane;
}

void shaper_seed(struct shaper *s, uint64_t seed)
{
	struct lane *lane;

	s->seed = seed;
	for (size_t i = 0; i < LANE_BUCKETS; i++)
		LIST_FOREACH (lane, &s->lanes[i], link)
			start_counting(s, lane);
}

uint64_t shaper_get_seed(const struct shaper *s)
{
	return s->seed;
}

/* --- frames on their way -------------------------------------------------- */

static_assert(sizeof(struct flight) + 2 * sizeof(void *) <= SHAPER_FRAME_COST,
	      "what it is for");

/* What a frame on its way takes of memory, about. */
static size_t cost(size_t len)
{
	return len + SHAPER_FRAME_COST;
}

static struct flight *depart(struct shaper *s, struct lane *lane,
			     int64_t due_ns, const struct frame *f)
{
	size_t n = cost(f->len);

	if (lane->bytes + n > SHAPER_LANE_BYTES_MAX ||
	    s->bytes + n > SHAPER_BYTES_MAX) {
		s->counters.overflowed++;
		return NULL;
	}
	lane->bytes += n;
	s->bytes += n;
	return flightq_put(&s->flights, lane, due_ns, f->data, f->len);
}

/* f leaves the queue. */
static void land(struct shaper *s, const struct flight *f)
{
	f->lane->bytes -= cost(f->len);
	s->bytes -= cost(f->len);
	if (f->lane->held == f)
		f->lane->held = NULL;
}

struct drop {
	struct shaper *s;
	const struct swport *port; /* NULL: where the network is cut */
};

static bool is_dropped(void *ctx, const struct flight *f)
{
	const struct drop *d = ctx;
	struct lane *lane = find_lane(d->s, f->lane->from, f->lane->to);

	if (d->port && lane->from != d->port && lane->to != d->port)
		return false;
	if (!d->port && !lane->path.all.cuts)
		return false;
	d->s->counters.cut += !d->port;
	land(d->s, f);
	return true;
}

static void drop_flights(struct shaper *s, const struct swport *port)
{
	struct drop d = {s, port};

	flightq_sift(&s->flights, is_dropped, &d);
}

int64_t shaper_due(const struct shaper *s)
{
	const struct flight *f = flightq_first(&s->flights);

	return f ? f->due_ns : CLOCK_NEVER;
}

void shaper_run(struct shaper *s, int64_t now_ns)
{
	struct flight *f;

	while ((f = flightq_first(&s->flights)) && f->due_ns <= now_ns) {
		struct lane *lane = f->lane;
		struct frame frame = {f->data, f->len, now_ns};

		flightq_take(&s->flights, f);
		land(s, f);
		s->arrive(s->ctx, lane->from, lane->to, &frame);
		free(f);
	}
}

/* --- the fate of a frame -------------------------------------------------- */

/* How long the pipe takes for n bytes. */
static int64_t pipe_span_ns(const struct impair_rule *r, size_t n)
{
	return (int64_t)((uint64_t)n * 8 * NS_PER_SEC / r->set.bps);
}

static bool shaper_is_full(const struct impair_rule *r, int64_t now_ns)
{
	int64_t room = pipe_span_ns(r, SHAPER_QUEUE_BYTES);

	return r->busy_ns - now_ns >
	       (room > SHAPER_QUEUE_NS ? room : SHAPER_QUEUE_NS);
}

/* When the frame has gone through all pipes; CLOCK_NEVER: one is full. */
static int64_t take_pipes(const struct impair_path *path, const struct frame *f)
{
	int64_t out_ns = f->now_ns;

	for (size_t i = 0; i < path->n_pipes; i++)
		if (shaper_is_full(path->pipes[i], f->now_ns))
			return CLOCK_NEVER;
	for (size_t i = 0; i < path->n_pipes; i++) {
		struct impair_rule *r = path->pipes[i];

		if (r->busy_ns < f->now_ns)
			r->busy_ns = f->now_ns;
		r->busy_ns += pipe_span_ns(r, f->len);
		if (r->busy_ns > out_ns)
			out_ns = r->busy_ns;
	}
	return out_ns;
}

static int64_t delay_ns(const struct lane *lane)
{
	const struct impairment *all = &lane->path.all;
	int64_t ns = all->latency_ns;

	if (all->jitter_ns)
		ns += (int64_t)((2 * draw_unit(lane, DRAW_JITTER) - 1) *
				(double)all->jitter_ns);
	return ns > 0 ? ns : 0;
}

static void flip_bit(const struct lane *lane, uint8_t *data, size_t n)
{
	size_t bits = (n - FRAME_MIN) * 8;

	if (bits) {
		size_t bit = shaper_draw(lane, DRAW_BIT) % bits;

		data[FRAME_MIN + bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* The one that waits for this is passed by it. */
static void release_held(struct shaper *s, struct lane *lane, int64_t due_ns)
{
	struct flight *held = lane->held;

	lane->held = NULL;
	if (held)
		flightq_move(&s->flights, held, due_ns);
}

static void send_on(struct shaper *s, struct lane *lane, int64_t due_ns,
		    const struct frame *f)
{
	bool is_twice = happens(lane, CHANCE_DUPLICATE);

	if (due_ns < lane->last_due_ns)
		due_ns = lane->last_due_ns;
	lane->last_due_ns = due_ns;
	if (!lane->held && happens(lane, CHANCE_REORDER)) {
		s->counters.reordered++;
		lane->held = depart(s, lane, due_ns + SHAPER_HOLD_NS, f);
		return;
	}
	if (due_ns > f->now_ns && !depart(s, lane, due_ns, f))
		return;
	if (is_twice && depart(s, lane, due_ns, f))
		s->counters.duplicated++;
	release_held(s, lane, due_ns);
	/* The last thing: it may change anything. */
	if (due_ns <= f->now_ns)
		s->arrive(s->ctx, lane->from, lane->to, f);
}

static void decide(struct shaper *s, struct lane *lane, const struct frame *f)
{
	CLEANUP(free_ptr) uint8_t *copy = NULL;
	struct frame sent = *f;
	int64_t out_ns;

	if (lane->path.all.cuts) {
		s->counters.cut++;
		return;
	}
	out_ns = take_pipes(&lane->path, f);
	if (out_ns == CLOCK_NEVER) {
		s->counters.overflowed++;
		return;
	}
	if (happens(lane, CHANCE_DROP)) {
		s->counters.lost++;
		return;
	}
	if (happens(lane, CHANCE_CORRUPT)) {
		copy = mem_dup(f->data, f->len);
		flip_bit(lane, copy, f->len);
		sent.data = copy;
		s->counters.corrupted++;
	}
	send_on(s, lane, out_ns + delay_ns(lane), &sent);
}

void shaper_pass(struct shaper *s, struct swport *from, struct swport *to,
		 const struct frame *f)
{
	struct lane *lane = find_lane(s, from, to);

	lane->n++;
	decide(s, lane, f);
}

/* --- changes -------------------------------------------------------------- */

struct impair_table *shaper_rules(struct shaper *s)
{
	return &s->rules;
}

void shaper_changed(struct shaper *s)
{
	s->generation++;
	drop_flights(s, NULL);
}

void shaper_reset(struct shaper *s)
{
	impair_done(&s->rules);
	shaper_changed(s);
}

void shaper_drop(struct shaper *s, const struct swport *p)
{
	drop_flights(s, p);
}

void shaper_forget(struct shaper *s, const struct swport *p)
{
	struct lane *lane, *next;

	drop_flights(s, p);
	impair_forget(&s->rules, p);
	s->generation++;
	for (size_t i = 0; i < LANE_BUCKETS; i++)
		for (lane = LIST_FIRST(&s->lanes[i]); lane; lane = next) {
			next = LIST_NEXT(lane, link);
			if (lane->from == p || lane->to == p) {
				LIST_REMOVE(lane, link);
				free(lane);
			}
		}
}

void shaper_counters(const struct shaper *s, struct shaper_counters *ret)
{
	*ret = s->counters;
}
