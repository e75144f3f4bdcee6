/* SPDX-License-Identifier: MIT */
/* Lua values as JSON, and back. */
#ifndef RUNNER_BIND_JSON_H
#define RUNNER_BIND_JSON_H

#include <jansson.h>
#include <lua.h>

/* The value at idx; owned by the caller. Raises on functions, cycles, strings
 * that are not UTF-8, NaN, and tables with keys of both kinds. */
json_t *bind_json_value(lua_State *L, const char *method, int idx);

void bind_json_register(lua_State *L);

#endif
