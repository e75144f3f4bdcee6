/* SPDX-License-Identifier: MIT */
/* The type bridge: a network of guests. */
#ifndef RUNNER_BIND_BRIDGE_H
#define RUNNER_BIND_BRIDGE_H

#include <jansson.h>
#include <lua.h>

#include "runner/attachment.h"
#include "runner/bind.h"
#include "vmm/net/bridge.h"

struct bridge_object {
	struct object obj;
	struct bridge *bridge; /* owned; NULL: closed */
	char *name;	       /* owned */
	struct worker *worker; /* borrowed */
	struct attachment_list attachments;
};

extern const struct object_class bridge_class;

/* The open bridge at 1; raises. */
struct bridge_object *bridge_check(lua_State *L, const char *method);
/* The open VM at idx, the argument called name; raises. */
struct vm_object *bridge_check_vm(lua_State *L, const char *method, int idx,
				  const char *name);
/* What the VM at idx, the argument called name, has on b; raises. */
struct attachment *bridge_check_attached(lua_State *L, const char *method,
					 const struct bridge_object *b, int idx,
					 const char *name);

/* Pushes the bridge of that name in the lab at 1; where there is none, a new
 * one as saved (vmm/net/bridge_state.h). False with err. */
bool bridge_object_restore(lua_State *L, const char *name, const json_t *saved,
			   struct err *err);

/* Also lab:bridge() and lab:bridge_names(). */
void bind_bridge_register(lua_State *L);

#endif
