/* SPDX-License-Identifier: MIT */
/* The type snapshot, vm:snapshot() and vm:restore(). */
#ifndef RUNNER_BIND_SNAPSHOT_H
#define RUNNER_BIND_SNAPSHOT_H

#include <lua.h>

#include "runner/bind.h"
#include "runner/bind_vm.h"
#include "runner/lineage.h"

/* A folder that holds a snapshot, of a VM or of a lab: what their types have in
 * common. The first member of their objects. */
struct snapshot_folder {
	struct object obj;
	char *path;	   /* owned; NULL: deleted */
	bool is_temporary; /* goes with the scope */
};

/* Of one of the types. */
struct snapshot_kind {
	const struct object_class *class;
	int (*remove)(const char *path, struct err *err);
	uint64_t (*size)(const char *path);
};

/* The folder at idx, open and not deleted; raises. */
struct snapshot_folder *snapshot_folder_check(lua_State *L, int idx,
					      const struct snapshot_kind *k,
					      const char *method);
void snapshot_folder_close(struct snapshot_folder *f,
			   const struct snapshot_kind *k);
/* Methods path, size and delete; and __tostring. */
int snapshot_folder_path(lua_State *L, const struct snapshot_kind *k,
			 const char *method);
int snapshot_folder_size(lua_State *L, const struct snapshot_kind *k,
			 const char *method);
int snapshot_folder_delete(lua_State *L, const struct snapshot_kind *k,
			   const char *method);
int snapshot_folder_l_tostring(lua_State *L);

struct snapshot_object {
	struct snapshot_folder folder;
	struct vm_object *vm; /* whose handles lineage tells of; kept */
	struct lineage lineage;
};

extern const struct object_class snapshot_class;

/* Pushes a snapshot that is in the folder path; copied. */
struct snapshot_object *snapshot_object_push(lua_State *L, const char *path);
/* The path of the snapshot, or the string, at idx: pushed as a string. *ret:
 * the object, or NULL; may be NULL. Raises. */
const char *snapshot_arg(lua_State *L, const char *method, int idx,
			 struct snapshot_object **ret);

/* Raises where a stream of v is open, or a capture that it is in; names them.
 */
void snapshot_check_streams(lua_State *L, const char *method,
			    const struct vm_object *v);

/* Whether the option clock ("continue", "now", NULL: not given) asks to set the
 * guest's clock to the host's time; raises for another. */
bool restore_arg_clock(lua_State *L, const char *as, const char *clock);

/* The parts of vm:snapshot and vm:restore for runner/lua/vm.lua: */
int snapshot_l_take(lua_State *L);    /* (vm, path?) -> Snapshot */
int restore_l_check(lua_State *L);    /* (method, snapshot): raises unless it
				       * is whole */
int restore_l_prepare(lua_State *L);  /* (vm, snapshot, options) */
int restore_l_start(lua_State *L);    /* (vm) */
int restore_l_workers(lua_State *L);  /* (vm) -> those that are alive */
int restore_l_commands(lua_State *L); /* (vm) -> lists of words to run in it */

/* (fn), and () -> fn: the Lua function that does what follows on prepare and
 * the wait for the pool. */
int restore_l_set_finish(lua_State *L);
int restore_l_finish(lua_State *L);

void bind_snapshot_register(lua_State *L);

#endif
