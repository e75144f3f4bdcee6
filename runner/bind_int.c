/* SPDX-License-Identifier: MIT */
/*
 * Integers of 64 bits. A Lua number holds them exactly up to 2^53; beyond,
 * they cross as int64_t or uint64_t cdata of LuaJIT's ffi. The C API cannot
 * make or classify cdata: two functions of lua/int64.lua do, and the payload
 * is read and written here through lua_topointer().
 */
#include "runner/bind.h"

#include <string.h>

#include "runner/lua_state.h"

#define EXACT_MAX  (INT64_C(1) << 53)
#define TYPE_CDATA 10 /* LUA_TCDATA of LuaJIT, lj_obj.h: not in lua.h */

enum { KIND_NONE, KIND_SIGNED, KIND_UNSIGNED };

static const char functions_key; /* registry: {new_i64, new_u64, kind} */

static void push_function(lua_State *L, int i)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&functions_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_rawgeti(L, -1, i);
	lua_remove(L, -2);
}

static void push_cdata(lua_State *L, int function, const void *payload)
{
	push_function(L, function);
	lua_call(L, 0, 1);
	memcpy((void *)(uintptr_t)lua_topointer(L, -1), payload, 8);
}

void bind_push_i64(lua_State *L, int64_t n)
{
	if (n >= -EXACT_MAX && n <= EXACT_MAX)
		lua_pushnumber(L, (lua_Number)n);
	else
		push_cdata(L, 1, &n);
}

void bind_push_u64(lua_State *L, uint64_t n)
{
	if (n <= EXACT_MAX)
		lua_pushnumber(L, (lua_Number)n);
	else
		push_cdata(L, 2, &n);
}

bool bind_is_int64(lua_State *L, int idx, uint64_t *ret_n, bool *ret_is_signed)
{
	if (lua_type(L, idx) != TYPE_CDATA)
		return false;
	lua_pushvalue(L, idx);
	push_function(L, 3);
	lua_insert(L, -2);
	lua_call(L, 1, 1);
	int kind = (int)lua_tointeger(L, -1);
	lua_pop(L, 1);
	if (kind == KIND_NONE)
		return false;
	memcpy(ret_n, lua_topointer(L, idx), 8);
	*ret_is_signed = kind == KIND_SIGNED;
	return true;
}

void bind_int_register(lua_State *L);
void bind_int_register(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&functions_key);
	lua_state_run_blob(L, "runner/lua/int64.lua", 0);
	lua_rawset(L, LUA_REGISTRYINDEX);
}
