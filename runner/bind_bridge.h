/* SPDX-License-Identifier: MIT */
/* The type bridge: a network of guests. */
#ifndef RUNNER_BIND_BRIDGE_H
#define RUNNER_BIND_BRIDGE_H

#include <lua.h>

#include "runner/attachment.h"
#include "runner/bind.h"
#include "vmm/net/bridge.h"

struct bridge_object {
	struct object obj;
	struct bridge *bridge; /* owned; NULL: closed */
	char *name;	       /* owned */
	struct attachment_list attachments;
};

extern const struct object_class bridge_class;

/* Also lab:bridge() and lab:bridge_names(). */
void bind_bridge_register(lua_State *L);

#endif
