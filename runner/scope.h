/* SPDX-License-Identifier: MIT */
/*
 * Scopes: who closes what. The file has one, each test has its own inside it.
 * An object joins the scope in which it was made, is kept alive by it, and is
 * closed with it: by rank, and the newest of a rank first.
 */
#ifndef RUNNER_SCOPE_H
#define RUNNER_SCOPE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "runner/lua_state.h"

/* The order in which a scope closes. */
enum rank {
	RANK_STREAM,
	RANK_PROCESS,
	RANK_FILE,
	RANK_WORKER,
	RANK_VM,
	RANK_BRIDGE,
	RANK_LAB,
	RANKS
};

struct object_class;
struct scope;

/* The first member of every object that Lua holds; see bind.h. */
struct object {
	const struct object_class *class;
	struct scope *scope;  /* NULL: closed */
	struct object *owner; /* borrowed; it closes this one first */
	bool ended_with_test; /* closed with the scope of a test */
	struct site site;     /* where it was made */
	TAILQ_ENTRY(object) link;
};
TAILQ_HEAD(object_list, object);

struct scope {
	lua_State *L;
	struct scope *parent; /* the file's; NULL for the file's own */
	struct scope *child;  /* the running test's; NULL: none */
	bool is_ending;	      /* closes all its objects */
	struct object_list objects[RANKS];
	int anchors; /* registry reference: {[object] = true} */
	int names;   /* registry reference: {[lab] = {[kind:name] = object}} */
};

struct scope *scope_new(lua_State *L, struct scope *parent);
/* Closes all its objects. scope_free(NULL) is a no-op. */
struct scope *scope_free(struct scope *s);

/* The object after o, which is of s, by rank and age; o NULL: the first. NULL
 * at the end. */
struct object *scope_next(const struct scope *s, const struct object *o);

/* The userdata at idx, a struct object, joins s. */
void scope_add(struct scope *s, lua_State *L, int idx);
/* Pushes the userdata of an open object. */
void object_push(lua_State *L, const struct object *o);
/* Closes o, everything that it owns first. Idempotent. */
void object_close(struct object *o);
/* Closes what hangs on o, and leaves o. */
void object_close_owned(struct object *o);
/* Whether o is owner, or hangs on it by way of others. */
static inline bool object_hangs_on(const struct object *o,
				   const struct object *owner)
{
	while (o && o != owner)
		o = o->owner;
	return o;
}
static inline bool object_is_closed(const struct object *o)
{
	return !o->scope;
}

/* Pushes the open object of that class and name in the lab at lab_idx, seen
 * from s (its parents' too), or nil. Indexes are absolute. */
void scope_find(struct scope *s, lua_State *L, int lab_idx,
		const struct object_class *class, const char *name);
/* Names the object at idx. The name must be free (scope_find()). */
void scope_name(struct scope *s, lua_State *L, int lab_idx, const char *name,
		int idx);
/* Takes every name of o in that lab away; whether it had one. */
bool scope_unname(struct scope *s, lua_State *L, int lab_idx,
		  const struct object *o);
/* Pushes the sorted list of the names of the lab's open objects of a class. */
void scope_list_names(struct scope *s, lua_State *L, int lab_idx,
		      const struct object_class *class);

#endif
