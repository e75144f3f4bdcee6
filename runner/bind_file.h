/* SPDX-License-Identifier: MIT */
/* File in Lua: an open file of the guest's agent. */
#ifndef RUNNER_BIND_FILE_H
#define RUNNER_BIND_FILE_H

#include <lua.h>
#include <stdint.h>

#include "runner/bind.h"

extern const struct object_class file_class;

struct vm_object;

/* The agent's fd of the open file at idx; raises when it is closed, or not a
 * file of vm. */
int32_t file_object_fd(lua_State *L, int idx, const struct vm_object *vm,
		       const char *method);

void bind_file_register(lua_State *L);

#endif
