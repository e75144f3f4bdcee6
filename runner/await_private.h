/* SPDX-License-Identifier: MIT */
/* What await.c shares with park.c. */
#ifndef RUNNER_AWAIT_PRIVATE_H
#define RUNNER_AWAIT_PRIVATE_H

#include "runner/await.h"

struct block {
	const char *method;
	char *note; /* of the trail, see await_note(); or NULL */
	void (*release)(void *p);
	struct op *op;
	await_cb finish;
	await_tell_cb tell; /* or NULL */
	await_ask_cb ask;   /* or NULL */
	int64_t lingers_ns;
	int64_t began_ns;  /* when its first operation did; 0: not over */
	struct task *task; /* that waits for it; NULL: none */
	lua_State *L;	   /* of the caller, while it waits */
	LIST_ENTRY(block) link;
	int n_kept;
	bool is_again;	 /* finish asked for another round */
	bool is_cut_off; /* by the test's timeout; the block still asks */
	bool is_released;
	bool is_waiting; /* in await.blocks */
	bool is_passive; /* it does nothing by itself: await_passive() */
	bool is_stopped; /* its deadline is suspended */
	int64_t payload[];
};

#endif
