/* SPDX-License-Identifier: MIT */
/* Process in Lua: what vm:run_async() answers. */
#ifndef RUNNER_BIND_PROCESS_H
#define RUNNER_BIND_PROCESS_H

#include <lua.h>

#include "runner/bind.h"

extern const struct object_class process_class;

void bind_process_register(lua_State *L);

#endif
