/* SPDX-License-Identifier: MIT */
/* lab:vm_fixture, lab:lab_fixture and lab:depends_on_file. */
#ifndef RUNNER_BIND_FIXTURE_H
#define RUNNER_BIND_FIXTURE_H

#include <lua.h>

/* After the classes lab and vm. */
void bind_fixture_register(lua_State *L);

/* Has Lua's own means of reading noted, too: before a fixture's file is run. */
void bind_fixture_watch_env(lua_State *L);
/* While a fixture is built, notes a file of the host that was read. */
void bind_fixture_used_file(lua_State *L, const char *path);
/* The same of a directory with everything below it. */
void bind_fixture_used_tree(lua_State *L, const char *path);

#endif
