/* SPDX-License-Identifier: MIT */
/*
 * Loading authors' files: package.path, require, and what is said about
 * syntax that LuaJIT does not have.
 */
#ifndef RUNNER_LOAD_H
#define RUNNER_LOAD_H

#include <lua.h>

#include "agent-proto/mem.h"

/* Puts the searcher for Lua files in place of Lua's own: it names chunks as
 * reports show them. */
void load_install(lua_State *L);
/* package.path: every root, then dir. */
void load_set_path(lua_State *L, const struct strvec *roots, const char *dir);

/* path without the current directory in front; into out. */
const char *load_display(const char *path, char *out, size_t n);

#endif
