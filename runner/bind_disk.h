/* SPDX-License-Identifier: MIT */
/* The type disk: vm:disk(id). */
#ifndef RUNNER_BIND_DISK_H
#define RUNNER_BIND_DISK_H

#include <lua.h>

void bind_disk_register(lua_State *L);

#endif
