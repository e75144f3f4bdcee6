/* SPDX-License-Identifier: MIT */
/* The type lab, and the global `provium`, which is the root of labs. */
#ifndef RUNNER_BIND_LAB_H
#define RUNNER_BIND_LAB_H

#include <lua.h>

#include "agent-proto/err.h"
#include "runner/bind.h"

extern const struct object_class lab_class;

/* For what else a lab makes. Raises unless there is an open lab at 1. */
struct lab_object *bind_lab_check(lua_State *L, const char *method);
/* The same for Lua parts: (lab, method). */
int bind_lab_l_check(lua_State *L);
/* The name at idx of a thing in a lab, or raises. */
const char *bind_lab_check_name(lua_State *L, const char *method, int idx);
/* Raises where lab.<name>, of the lab at 1, is something else already. */
void bind_lab_check_not_reserved(lua_State *L, const char *method,
				 const char *name);

/* Pushes a lab; owner_idx: as for object_new(). */
void bind_lab_new(lua_State *L, const char *name, int owner_idx);
/* Borrowed; "" of the root. */
const char *bind_lab_name(const struct lab_object *lab);

void bind_lab_register(lua_State *L);
/* bind_members.c: lab:include, :remove, :members. */
void bind_members_register(lua_State *L);
/* Makes `provium`, once the file's scope is there. Where tests are only
 * listed, an inert object takes its place. */
int bind_lab_install(lua_State *L, struct err *err);

#endif
