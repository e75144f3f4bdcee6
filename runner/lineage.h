/* SPDX-License-Identifier: MIT */
/*
 * Which handles a guest has. Each start of a guest is an epoch; what was opened
 * in it is gone with the next. But a guest that is restored has what the
 * snapshot had: the handles of its epoch up to the number that was next then,
 * and likewise of the epochs before, where that guest was itself restored.
 */
#ifndef RUNNER_LINEAGE_H
#define RUNNER_LINEAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lineage {
	struct ancestor {
		unsigned epoch;
		uint64_t next_handle; /* those below were there */
	} * ancestors;		      /* owned */
	size_t n;
};

/* What a snapshot of a guest with this lineage, in this epoch, has: *to is
 * replaced. */
void lineage_descend(struct lineage *to, const struct lineage *from,
		     unsigned epoch, uint64_t next_handle);
void lineage_copy(struct lineage *to, const struct lineage *from);
/* Whether it has the handle of an earlier epoch. */
bool lineage_has(const struct lineage *l, unsigned epoch, uint64_t handle);
void lineage_done(struct lineage *l);

#endif
