/* SPDX-License-Identifier: MIT */
/* What runner/lua/lab_snapshot.lua needs, and the type that it makes. */
#ifndef RUNNER_BIND_LAB_SNAPSHOT_H
#define RUNNER_BIND_LAB_SNAPSHOT_H

#include <lua.h>

/* After the classes lab, vm and bridge. */
void bind_lab_snapshot_register(lua_State *L);

#endif
