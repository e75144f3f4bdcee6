/* SPDX-License-Identifier: MIT */
/* What runner/lua/lab_snapshot.lua needs, and the type that it makes. */
#ifndef RUNNER_BIND_LAB_SNAPSHOT_H
#define RUNNER_BIND_LAB_SNAPSHOT_H

#include <lua.h>
#include <stdbool.h>

#include "agent-proto/mem.h"

/* The folders of the VMs' snapshots in a lab's, appended. */
void lab_snapshot_parts(const char *path, struct strvec *ret);
/* The folder of the Snapshot or LabSnapshot at idx; NULL: it is neither. */
const char *snapshot_path_of(lua_State *L, int idx, bool *ret_is_lab);

/* After the classes lab, vm and bridge. */
void bind_lab_snapshot_register(lua_State *L);

#endif
