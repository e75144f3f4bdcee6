/* SPDX-License-Identifier: MIT */
/* bridge:attach, bridge:detach, nic:disconnect, nic:reconnect. */
#ifndef RUNNER_BIND_CABLE_H
#define RUNNER_BIND_CABLE_H

#include <lua.h>

/* The classes bridge and nic are registered. */
void bind_cable_register(lua_State *L);

#endif
