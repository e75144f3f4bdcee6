/* SPDX-License-Identifier: MIT */
/* The evaluation of a config file; private to config.c. */
#ifndef RUNNER_CONFIG_LUA_H
#define RUNNER_CONFIG_LUA_H

#include <lua.h>

#include "runner/config.h"

#define CONFIG_MEMORY_DEFAULT (UINT64_C(256) << 20)

/* Appends a profile with its defaults; valid until the next call. */
struct config_profile *config_add_profile(struct config *c, const char *name);

/* Evaluates c->path and fills what it says, verbatim. */
int config_read(struct config *c, struct err *err);

/* Reads the table on the top of the stack; see config_table.c. */
int config_read_table(lua_State *L, struct config *c, struct err *err);

#endif
