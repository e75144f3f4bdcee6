/* SPDX-License-Identifier: MIT */
/* The type lab, and the global `provium`, which is the root of labs. */
#ifndef RUNNER_BIND_LAB_H
#define RUNNER_BIND_LAB_H

#include <lua.h>

#include "agent-proto/err.h"

void bind_lab_register(lua_State *L);
/* Makes `provium`, once the file's scope is there. Where tests are only
 * listed, an inert object takes its place. */
int bind_lab_install(lua_State *L, struct err *err);

#endif
