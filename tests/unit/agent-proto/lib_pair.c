/* SPDX-License-Identifier: MIT */
#include "tests/unit/agent-proto/lib_pair.h"

#include <stdlib.h>

#include "agent-proto/mem.h"
#include "tests/unit/agent-proto/lib_rnd.h"

int pair_setup(void **state)
{
	struct pair *p = mem_zalloc(sizeof(*p));
	struct rnd r;

	end_connect(&p->host, &p->agent);
	p->big = mem_alloc(BIG);
	rnd_init(&r, 1);
	rnd_fill(&r, p->big, BIG);
	*state = p;
	return 0;
}

int pair_teardown(void **state)
{
	struct pair *p = *state;

	end_done(&p->host);
	end_done(&p->agent);
	free(p->big);
	free(p);
	return 0;
}

void pair_pump(struct pair *p)
{
	end_pump(&p->host, &p->agent);
}

struct chan *pair_open(struct pair *p)
{
	struct chan *ch = end_open(&p->host, "hi", false);

	pair_pump(p);
	buf_reset(&p->agent.log);
	return ch;
}

struct chan *pair_agents(struct pair *p, const struct chan *ch)
{
	return p->agent.chans[chan_id(ch) % END_CHANS];
}
