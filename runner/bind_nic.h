/* SPDX-License-Identifier: MIT */
/* The type nic: what a VM has on one bridge. */
#ifndef RUNNER_BIND_NIC_H
#define RUNNER_BIND_NIC_H

#include <lua.h>

#include "runner/bind_bridge.h"
#include "runner/bind_vm.h"

extern const struct object_class nic_class;

/* Pushes a nic of the VM and the bridge at these indexes. */
void nic_push(lua_State *L, int vm_idx, int bridge_idx);

/* Also vm:nic(). */
void bind_nic_register(lua_State *L);

#endif
