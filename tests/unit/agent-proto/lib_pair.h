/* SPDX-License-Identifier: MIT */
/* A fixture: host and agent with a session between them. */
#ifndef TESTS_LIB_PAIR_H
#define TESTS_LIB_PAIR_H

#include "tests/unit/agent-proto/lib_end.h"

#define BIG (1u << 20)

struct pair {
	struct end host;
	struct end agent;
	uint8_t *big; /* BIG bytes */
};

/* For cmocka; *state is the pair. */
int pair_setup(void **state);
int pair_teardown(void **state);

#define PAIR_TEST(name)                                                        \
	cmocka_unit_test_setup_teardown(name, pair_setup, pair_teardown)

void pair_pump(struct pair *p);
/* Opened by the host with "hi"; nothing written down is left. */
struct chan *pair_open(struct pair *p);
/* The agent's end of the host's channel. */
struct chan *pair_agents(struct pair *p, const struct chan *ch);

#endif
