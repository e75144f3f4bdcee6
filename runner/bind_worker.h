/* SPDX-License-Identifier: MIT */
/* Workers in Lua: what vm:spawn_worker() answers. */
#ifndef RUNNER_BIND_WORKER_H
#define RUNNER_BIND_WORKER_H

#include <lua.h>

#include "runner/bind.h"

/* Methods that a worker shares with VMs; each ends with NULL. */
extern const struct bind_method worker_run_methods[];
extern const struct bind_method worker_file_methods[];
extern const struct bind_method worker_syscall_methods[];

/* The guest has it: see guest_handle_is_current(). */
bool worker_object_is_current(const struct object *worker);
/* (worker): begins a new session with it. */
int worker_l_relink(lua_State *L);

/* Before other types extend the class worker. */
void bind_worker_register(lua_State *L);

#endif
