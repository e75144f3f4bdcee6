/* SPDX-License-Identifier: MIT */
/* lab:barrier, where tasks meet. */
#ifndef RUNNER_BIND_BARRIER_H
#define RUNNER_BIND_BARRIER_H

#include <lua.h>
#include <sys/queue.h>

struct barrier;
LIST_HEAD(barrier_list, barrier);

/* lab:barrier(name, count, timeout?) */
int bind_barrier_l_wait(lua_State *L);

#endif
