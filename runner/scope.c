/* SPDX-License-Identifier: MIT */
/*
 * Owns the lists of objects by the scope that made them, and their names.
 * Does not know any class: each closes itself.
 */
#include "runner/scope.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "runner/bind.h"

static int new_table_ref(lua_State *L)
{
	lua_newtable(L);
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

struct scope *scope_new(lua_State *L, struct scope *parent)
{
	struct scope *s = mem_zalloc(sizeof(*s));

	s->L = L;
	s->parent = parent;
	if (parent)
		parent->child = s;
	for (int i = 0; i < RANKS; i++)
		TAILQ_INIT(&s->objects[i]);
	s->anchors = new_table_ref(L);
	s->names = new_table_ref(L);
	return s;
}

struct scope *scope_free(struct scope *s)
{
	struct object *o;

	if (!s)
		return NULL;
	s->is_ending = true;
	for (int i = 0; i < RANKS; i++)
		while ((o = TAILQ_LAST(&s->objects[i], object_list)))
			object_close(o);
	luaL_unref(s->L, LUA_REGISTRYINDEX, s->anchors);
	luaL_unref(s->L, LUA_REGISTRYINDEX, s->names);
	if (s->parent)
		s->parent->child = NULL;
	free(s);
	return NULL;
}

struct object *scope_next(const struct scope *s, const struct object *o)
{
	int rank = o ? (int)o->class->rank : 0;
	struct object *next =
	    o ? TAILQ_NEXT(o, link) : TAILQ_FIRST(&s->objects[rank]);

	while (!next && ++rank < RANKS)
		next = TAILQ_FIRST(&s->objects[rank]);
	return next;
}

void scope_add(struct scope *s, lua_State *L, int idx)
{
	struct object *o = lua_touserdata(L, idx);

	lua_rawgeti(L, LUA_REGISTRYINDEX, s->anchors);
	lua_pushlightuserdata(L, o);
	lua_pushvalue(L, idx);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	o->scope = s;
	TAILQ_INSERT_TAIL(&s->objects[o->class->rank], o, link);
}

void object_push(lua_State *L, const struct object *o)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, o->scope->anchors);
	lua_pushlightuserdata(L, (void *)(uintptr_t)o);
	lua_rawget(L, -2);
	lua_remove(L, -2);
}

static struct object *find_owned(const struct scope *s,
				 const struct object *owner)
{
	struct object *o;

	for (int i = 0; i < RANKS; i++)
		TAILQ_FOREACH_REVERSE(o, &s->objects[i], object_list, link)
	if (o->owner == owner)
		return o;
	return NULL;
}

static void drop_anchor(struct scope *s, struct object *o)
{
	lua_State *L = s->L;

	lua_rawgeti(L, LUA_REGISTRYINDEX, s->anchors);
	lua_pushlightuserdata(L, o);
	lua_pushnil(L);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

void object_close_owned(struct object *o)
{
	struct object *owned;

	/* What hangs on it is in the same scope or in a test's inside. */
	for (struct scope *in = o->scope; in; in = in->child)
		while ((owned = find_owned(in, o)))
			object_close(owned);
}

void object_close(struct object *o)
{
	struct scope *s = o->scope;

	if (!s)
		return;
	object_close_owned(o);
	o->ended_with_test = s->is_ending && s->parent;
	o->scope = NULL;
	TAILQ_REMOVE(&s->objects[o->class->rank], o, link);
	if (o->class->close)
		o->class->close(o);
	/* Last: from here on Lua may collect it. */
	drop_anchor(s, o);
}

/* Pushes the table of names of the lab at lab_idx in s, or nil. */
static void push_names(struct scope *s, lua_State *L, int lab_idx)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, s->names);
	lua_pushvalue(L, lab_idx);
	lua_rawget(L, -2);
	lua_remove(L, -2);
}

static void push_name_key(lua_State *L, const struct object_class *class,
			  const char *name)
{
	lua_pushfstring(L, "%s:%s", class->name, name);
}

void scope_find(struct scope *s, lua_State *L, int lab_idx,
		const struct object_class *class, const char *name)
{
	for (; s; s = s->parent) {
		push_names(s, L, lab_idx);
		if (!lua_isnil(L, -1)) {
			push_name_key(L, class, name);
			lua_rawget(L, -2);
			lua_remove(L, -2);
			const struct object *o = lua_touserdata(L, -1);
			if (o && !object_is_closed(o))
				return;
		}
		lua_pop(L, 1);
	}
	lua_pushnil(L);
}

void scope_name(struct scope *s, lua_State *L, int lab_idx, const char *name,
		int idx)
{
	const struct object *o = lua_touserdata(L, idx);

	push_names(s, L, lab_idx);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_rawgeti(L, LUA_REGISTRYINDEX, s->names);
		lua_pushvalue(L, lab_idx);
		lua_pushvalue(L, -3);
		lua_rawset(L, -3);
		lua_pop(L, 1);
	}
	push_name_key(L, o->class, name);
	lua_pushvalue(L, idx);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

/* In that scope alone. */
static bool unname(struct scope *s, lua_State *L, int lab_idx,
		   const struct object *o)
{
	bool has = false;

	push_names(s, L, lab_idx);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		return false;
	}
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		bool is_it = lua_touserdata(L, -1) == o;

		lua_pop(L, 1);
		if (!is_it)
			continue;
		/* A field may be cleared while its table is traversed. */
		lua_pushvalue(L, -1);
		lua_pushnil(L);
		lua_rawset(L, -4);
		has = true;
	}
	lua_pop(L, 1);
	return has;
}

bool scope_unname(struct scope *s, lua_State *L, int lab_idx,
		  const struct object *o)
{
	bool has = false;

	for (; s; s = s->parent)
		has |= unname(s, L, lab_idx, o);
	return has;
}

/* Appends to the list at out. */
static void scope_add_names(struct scope *s, lua_State *L, int lab_idx, int out,
			    const struct object_class *class)
{
	push_names(s, L, lab_idx);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		return;
	}
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		const struct object *o = object_test(L, -1, class);

		if (o && !object_is_closed(o)) {
			lua_pushstring(L, strchr(lua_tostring(L, -2), ':') + 1);
			lua_rawseti(L, out, (int)lua_objlen(L, out) + 1);
		}
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

void scope_list_names(struct scope *s, lua_State *L, int lab_idx,
		      const struct object_class *class)
{
	lua_newtable(L);
	int out = lua_gettop(L);

	for (; s; s = s->parent)
		scope_add_names(s, L, lab_idx, out, class);
	lua_getglobal(L, "table");
	lua_getfield(L, -1, "sort");
	lua_pushvalue(L, out);
	lua_call(L, 1, 0);
	lua_settop(L, out);
}
