/* SPDX-License-Identifier: MIT */
/* A network with one bridge, "lan", for tests that carry no frames. */
#ifndef LAN_FIXTURE_H
#define LAN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "vmm/net/bridge.h"

struct lan {
	struct loop *loop;
	struct net *net;
	struct bridge *b; /* 10.77.1.0/24 */
};

static inline int lan_setup(void **state)
{
	struct lan *l = mem_zalloc(sizeof(*l));
	struct err err;

	l->loop = loop_new(&err);
	assert_non_null(l->loop);
	l->net = net_new(l->loop, "/nonexistent");
	l->b = bridge_new(l->net, "lan", &err);
	assert_non_null(l->b);
	*state = l;
	return 0;
}

static inline int lan_teardown(void **state)
{
	struct lan *l = *state;

	bridge_free(l->b);
	net_free(l->net);
	loop_free(l->loop);
	free(l);
	return 0;
}

#endif
