/* SPDX-License-Identifier: MIT */
/* Console in Lua: what vm:console() answers. */
#ifndef RUNNER_BIND_CONSOLE_H
#define RUNNER_BIND_CONSOLE_H

#include <lua.h>

#include "runner/bind.h"

extern const struct object_class console_class;

void bind_console_register(lua_State *L);

#endif
