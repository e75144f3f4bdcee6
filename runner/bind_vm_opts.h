/* SPDX-License-Identifier: MIT */
/*
 * The options of lab:vm and vm:boot: checked when they are given, kept with
 * the VM, and put together at each boot, where the latter win.
 */
#ifndef RUNNER_BIND_VM_OPTS_H
#define RUNNER_BIND_VM_OPTS_H

#include <lua.h>

#include "runner/vm_factory.h"

/* Raises, by name, what is wrong with the table at opts_idx; 0: none. */
void vm_opts_check(lua_State *L, const char *method, int opts_idx);
/* Has the VM at vm_idx keep the table as its declaration. */
void vm_opts_keep(lua_State *L, int vm_idx, int opts_idx);
/* One more disk, described as in the option disks by the table at disk_idx. */
void vm_opts_attach_disk(lua_State *L, const char *method, int vm_idx,
			 int disk_idx);
/* The declaration's plain values; zero where nothing was said. */
struct vm_request vm_opts_sizes(lua_State *L, const char *method, int vm_idx);
/* The declaration, and over it those at opts_idx (0: none). What it borrows is
 * left on the stack. Without name and profile. */
struct vm_request vm_opts_request(lua_State *L, const char *method, int vm_idx,
				  int opts_idx);

#endif
