/* SPDX-License-Identifier: MIT */
/* vm:push_file, vm:pull_file: files and directories between host and guest. */
#ifndef RUNNER_BIND_TRANSFER_H
#define RUNNER_BIND_TRANSFER_H

#include <lua.h>
#include <stdint.h>

#include "runner/bind.h"

/* {mode=} at idx, permission bits; otherwise when it is not given. */
uint32_t vm_file_read_mode(lua_State *L, const char *method, int idx,
			   uint32_t otherwise);

extern const struct bind_method vm_transfer_methods[];

#endif
