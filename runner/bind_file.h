/* SPDX-License-Identifier: MIT */
/* File in Lua: an open file of the guest's agent. */
#ifndef RUNNER_BIND_FILE_H
#define RUNNER_BIND_FILE_H

#include <lua.h>
#include <stdint.h>

#include "runner/bind.h"

extern const struct object_class file_class;

/* Whether the file is one of the guest that runs now. */
bool file_is_current(const struct object *file);

/* The agent's fd at idx: a number, or a File that is open in that guest; raises
 * on anything else. */
int32_t file_arg_fd(lua_State *L, const char *method, int idx,
		    const struct object *guest);

void bind_file_register(lua_State *L);

#endif
