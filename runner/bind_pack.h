/* SPDX-License-Identifier: MIT */
/* string.pack, string.unpack, string.packsize; lab:pack and lab:unpack. */
#ifndef RUNNER_BIND_PACK_H
#define RUNNER_BIND_PACK_H

#include <lua.h>

void bind_pack_register(lua_State *L);
int bind_pack_lab_pack(lua_State *L);
int bind_pack_lab_unpack(lua_State *L);

#endif
