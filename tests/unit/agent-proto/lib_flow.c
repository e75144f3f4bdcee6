/* SPDX-License-Identifier: MIT */
#include "tests/unit/agent-proto/lib_flow.h"

#include <stdlib.h>

#include "agent-proto/mem.h"

void flow_init(struct flow *f)
{
	*f = (struct flow){.fin_sent = false};
	STAILQ_INIT(&f->due);
}

struct record *flow_expect(struct flow *f, enum frame_kind kind, size_t n)
{
	struct record *rec = mem_alloc(sizeof(*rec) + n);

	*rec = (struct record){.kind = kind, .len = n};
	STAILQ_INSERT_TAIL(&f->due, rec, next);
	return rec;
}

void flow_drop(struct flow *f)
{
	struct record *rec = STAILQ_FIRST(&f->due);

	STAILQ_REMOVE_HEAD(&f->due, next);
	free(rec);
}

void flow_done(struct flow *f)
{
	while (!STAILQ_EMPTY(&f->due))
		flow_drop(f);
}
