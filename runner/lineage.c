/* SPDX-License-Identifier: MIT */
#include "runner/lineage.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

void lineage_done(struct lineage *l)
{
	free(l->ancestors);
	*l = (struct lineage){0};
}

static void copy_and_room(struct lineage *to, const struct lineage *from,
			  size_t room)
{
	struct ancestor *new =
	    mem_realloc_array(NULL, from->n + room + 1, sizeof(*new));

	if (from->n)
		memcpy(new, from->ancestors, from->n * sizeof(*new));
	free(to->ancestors);
	to->ancestors = new;
	to->n = from->n;
}

void lineage_copy(struct lineage *to, const struct lineage *from)
{
	copy_and_room(to, from, 0);
}

void lineage_descend(struct lineage *to, const struct lineage *from,
		     unsigned epoch, uint64_t next_handle)
{
	copy_and_room(to, from, 1);
	to->ancestors[to->n++] = (struct ancestor){epoch, next_handle};
}

bool lineage_has(const struct lineage *l, unsigned epoch, uint64_t handle)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->ancestors[i].epoch == epoch &&
		    handle < l->ancestors[i].next_handle)
			return true;
	return false;
}
