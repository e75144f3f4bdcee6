/* SPDX-License-Identifier: MIT */
/* The option `disks` of lab:vm and vm:boot. */
#ifndef RUNNER_BIND_DISK_OPTS_H
#define RUNNER_BIND_DISK_OPTS_H

#include <lua.h>

#include "runner/vm_factory.h"

/* Raises, by name, what is wrong with the list, and pushes a table of its paths
 * as the author who calls means them: absolute; false where there is none.
 * list: 0: none. */
void disk_opts_push_paths(lua_State *L, const char *method, int list);
/* The list into an array that is pushed, with the paths of such a table. */
void disk_opts_read(lua_State *L, const char *method, int list, int paths,
		    struct vm_request *req);

#endif
