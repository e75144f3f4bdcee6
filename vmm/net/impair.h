/* SPDX-License-Identifier: MIT */
/*
 * What a network does to frames, and to which: a table of rules, each for a
 * direction. A direction is a pair of ports, of which either may be "any", so
 * the frames of a pair are under four rules at the most:
 *
 *	from a to b, from a to any, from any to b, from any to any
 *
 * They compose as if a frame went through one network after the other: cuts
 * add up, latencies and jitters are added, chances are those of independent
 * events; the bandwidths are pipes, each shared by all that its rule is for,
 * and the fullest one decides.
 */
#ifndef VMM_NET_IMPAIR_H
#define VMM_NET_IMPAIR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct swport;

/* Why nothing passes; any of them is enough. */
#define CUT_PARTITION 1u
#define CUT_ISOLATION 2u

enum chance {
	CHANCE_DROP,
	CHANCE_DUPLICATE,
	CHANCE_REORDER,
	CHANCE_CORRUPT,
	CHANCES
};

/* All zero: a perfect network. */
struct impairment {
	unsigned cuts; /* CUT_ bits */
	int64_t latency_ns, jitter_ns;
	double chance[CHANCES]; /* 0 to 1 */
	uint64_t bps;		/* bits of frames a second; 0: no limit */
};

struct impair_rule {
	const struct swport *from, *to; /* NULL: any */
	struct impairment set;
	int64_t busy_ns; /* its pipe is taken until then */
	TAILQ_ENTRY(impair_rule) link;
};

#define IMPAIR_RULES_OF_PAIR 4

/* What a pair's frames go through. */
struct impair_path {
	struct impairment all; /* composed; bps: the narrowest */
	struct impair_rule *pipes[IMPAIR_RULES_OF_PAIR]; /* with a bps */
	size_t n_pipes;
};

struct impair_table {
	TAILQ_HEAD(impair_rules, impair_rule) rules;
};

void impair_init(struct impair_table *t);
/* Every rule goes. */
void impair_done(struct impair_table *t);
/* The rule of exactly this direction; made if there is none. The table's. */
struct impair_rule *impair_rule(struct impair_table *t,
				const struct swport *from,
				const struct swport *to);
/* The same, or NULL. */
struct impair_rule *impair_find(const struct impair_table *t,
				const struct swport *from,
				const struct swport *to);
/* The rules that name p go. */
void impair_forget(struct impair_table *t, const struct swport *p);
/* Makes to, which may hold rules, the same as from; its rules are others in
 * memory. */
void impair_copy(struct impair_table *to, const struct impair_table *from);
void impair_compose(const struct impair_table *t, const struct swport *from,
		    const struct swport *to, struct impair_path *ret);

#endif
