/* SPDX-License-Identifier: MIT */
/*
 * Impairs the frames between ports: on a clock that comes with each call, and
 * by chances that come from a seed. No file descriptors, no timers.
 *
 * Where the network of a pair is cut, a frame is gone. Else it goes through
 *
 *	bandwidth	pipes with a bounded queue; a frame that finds it full
 *			is dropped
 *	loss		what is lost has taken its bandwidth
 *	corruption	one bit behind the Ethernet header is flipped
 *	latency		plus or minus a jitter, evenly spread; which changes no
 *			order
 *	reordering	a frame waits until the next of its direction has
 *			passed it, or SHAPER_HOLD_NS
 *	duplication	the copy follows at once
 *
 * The n-th frame of a direction has the same fate for the same seed, whatever
 * other directions carry meanwhile and whatever other rules there are.
 */
#ifndef VMM_NET_SHAPER_H
#define VMM_NET_SHAPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/clock.h"
#include "vmm/net/impair.h"
#include "vmm/net/switch.h"

/* A pipe's queue: as long as this, and always room for a few frames. */
#define SHAPER_QUEUE_NS	   (100 * NS_PER_MS)
#define SHAPER_QUEUE_BYTES (24u << 10)
/* How long a frame waits for one that overtakes it. */
#define SHAPER_HOLD_NS (20 * NS_PER_MS)
/* On their way at a time, of one direction and of all, each frame with what it
 * costs beside its bytes; more are dropped. */
#define SHAPER_FRAME_COST     96u
#define SHAPER_LANE_BYTES_MAX (16u << 20)
#define SHAPER_BYTES_MAX      (128u << 20)

struct shaper;

/* A frame arrives. May call anything of the shaper but shaper_run(). */
typedef void (*shaper_arrive_cb)(void *ctx, struct swport *from,
				 struct swport *to, const struct frame *f);

struct shaper *shaper_new(shaper_arrive_cb arrive, void *ctx);
/* Frames on their way are gone. */
struct shaper *shaper_free(struct shaper *s);

/* The rules; whoever changes one says so with shaper_changed(). */
struct impair_table *shaper_rules(struct shaper *s);
/* What is on its way where the network is cut now is dropped. */
void shaper_changed(struct shaper *s);
/* No rules any more. What is on its way arrives as it would have. */
void shaper_reset(struct shaper *s);
/* Counting of frames begins anew. */
void shaper_seed(struct shaper *s, uint64_t seed);
uint64_t shaper_get_seed(const struct shaper *s);

/* The frame may arrive before this returns. */
void shaper_pass(struct shaper *s, struct swport *from, struct swport *to,
		 const struct frame *f);
/* When shaper_run() has something to do; CLOCK_NEVER: nothing. */
int64_t shaper_due(const struct shaper *s);
/* What is due arrives. */
void shaper_run(struct shaper *s, int64_t now_ns);

/* What is on its way from and to p is gone. */
void shaper_drop(struct shaper *s, const struct swport *p);
/* And the rules that name it: p is going. */
void shaper_forget(struct shaper *s, const struct swport *p);

struct shaper_counters {
	uint64_t cut, lost, overflowed, corrupted, duplicated, reordered;
};
void shaper_counters(const struct shaper *s, struct shaper_counters *ret);

#endif
