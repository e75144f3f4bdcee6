/* SPDX-License-Identifier: MIT */
/*
 * Ends Lua code that never waits: at a deadline, a signal handler plants a
 * hook that raises in whatever Lua runs then. A C function that does not return
 * looks at no hook; that, the parent of the worker ends.
 */
#ifndef RUNNER_INTERRUPT_H
#define RUNNER_INTERRUPT_H

#include <lua.h>
#include <stdint.h>

/* Makes code that LuaJIT compiles from now on look at hooks, too. */
void interrupt_init(lua_State *L);
/* One at a time. Fires a little after the deadline, so that waiting calls
 * report it by themselves. */
void interrupt_arm(lua_State *L, int64_t deadline_ns);
void interrupt_disarm(void);
/* At once, whatever the time is: to answer who asks what runs (park.h). May be
 * called from a signal handler. */
void interrupt_poke(lua_State *L);

#endif
