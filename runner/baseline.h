/* SPDX-License-Identifier: MIT */
/*
 * provium.reset_between_tests: what the file's chunk has made is kept in
 * snapshots before the first test, and each later test begins with it again.
 */
#ifndef RUNNER_BASELINE_H
#define RUNNER_BASELINE_H

#include <lua.h>

#include "runner/lua_state.h"

struct worker;

/* A stream that is open would be torn by the snapshots: the file fails. 0, or
 * -1 with what is open, and where it was opened. */
int baseline_check(struct worker *w, struct failure *f);
/* Once, before the first test. 0 or -1. */
int baseline_take(struct worker *w, struct failure *f);
/* Before each later one. 0 or -1. */
int baseline_restore(struct worker *w, struct failure *f);

/* (take, restore): the Lua functions that do it; kept. */
int baseline_l_set(lua_State *L);

#endif
