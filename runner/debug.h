/* SPDX-License-Identifier: MIT */
/*
 * --debug-on-failure, in the worker: a test that failed is held as it is, with
 * its VMs, and lines from the parent are run as Lua, until there are no more.
 * To the parent go events "debug" with text to print, "prompt" (true: it is to
 * send a line, {"said": "..."}, or null for none) and "over".
 */
#ifndef RUNNER_DEBUG_H
#define RUNNER_DEBUG_H

#include <stdint.h>

#include "runner/lua_state.h"

struct worker;

/* Holds the running test. Returns for how long, in ns. */
int64_t debug_hold(struct worker *w, const char *test, const struct failure *f);

#endif
