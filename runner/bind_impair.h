/* SPDX-License-Identifier: MIT */
/* What a bridge does to its frames: methods of the type bridge. */
#ifndef RUNNER_BIND_IMPAIR_H
#define RUNNER_BIND_IMPAIR_H

#include <lua.h>

/* After bind_bridge_register(). */
void bind_impair_register(lua_State *L);

#endif
