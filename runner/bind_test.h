/* SPDX-License-Identifier: MIT */
/* The test context `t`, and what lua/context.lua needs of C. */
#ifndef RUNNER_BIND_TEST_H
#define RUNNER_BIND_TEST_H

#include <lua.h>

/* Pushes a new `t`; meta: registry reference, or LUA_NOREF. */
void bind_test_push_context(lua_State *L, const char *name, int meta);
/* Pushes the running test's. */
void bind_test_push_running(lua_State *L);
/* Pushes the function that shows a value as text. */
void bind_test_push_show(lua_State *L);
/* The test is over: its `t` refuses to be used from here on. */
void bind_test_pop_context(lua_State *L);

void bind_test_register(lua_State *L);

#endif
