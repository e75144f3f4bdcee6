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

/*
 * Pushes the stream of a new capture of the bridge, or of one port only (else
 * NULL), with the options that are argument 2 of method. It has no owner: when
 * the bridge goes, it ends, and what came before can still be read. kind is
 * static; detail is copied.
 */
void nic_push_capture(lua_State *L, const char *method, const char *kind,
		      struct bridge_object *b, struct port *only,
		      const char *detail);

/* nic, method -> its bridge and its VM, which is on it; raises. */
int nic_l_ends(lua_State *L);

/* Also vm:nic(). */
void bind_nic_register(lua_State *L);

#endif
