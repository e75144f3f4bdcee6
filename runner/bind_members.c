/* SPDX-License-Identifier: MIT */
/*
 * Owns lab:include, :remove and :members: a thing may be in several labs. A
 * member is known by its name and is closed by the scope that made it, not by
 * the lab; a membership ends with the scope in which it began.
 */
#include <string.h>

#include "runner/bind_bridge.h"
#include "runner/bind_lab.h"
#include "runner/bind_vm.h"
#include "runner/worker.h"

/* In the order in which lab.<name> looks. */
static const struct object_class *const kinds[] = {&vm_class, &bridge_class,
						   &lab_class};

static const char *bind_members_name_of(const struct object *o)
{
	if (o->class == &vm_class)
		return ((const struct vm_object *)o)->name;
	if (o->class == &bridge_class)
		return ((const struct bridge_object *)o)->name;
	return bind_lab_name((const struct lab_object *)o);
}

/* What can be a member; name: as messages say it. */
static struct object *check_thing(lua_State *L, const char *method, int idx,
				  const char *name)
{
	struct object *o = NULL;

	for (size_t i = 0; !o && i < ARRAY_LEN(kinds); i++)
		o = object_test(L, idx, kinds[i]);
	if (!o)
		bind_fail_arg(L, method,
			      "%s must be a VM, a bridge or a lab, got %s",
			      name, arg_type_name(L, idx));
	if (o && object_is_closed(o))
		bind_fail_arg(L, method, "%s is a %s that is closed", name,
			      o->class->name);
	return o;
}

/* --- include --- */

static void check_may_join(lua_State *L, const struct object *o)
{
	static const char method[] = "lab:include";
	const char *name = bind_members_name_of(o);

	if (o == lua_touserdata(L, 1) || !*name)
		bind_fail_arg(L, method, "%s",
			      *name ? "a lab cannot be in itself"
				    : "provium is in no lab");
	bind_lab_check_not_reserved(L, method, name);
	scope_find(worker_of(L)->scope, L, 1, o->class, name);
	const struct object *has = lua_touserdata(L, -1);
	if (has == o)
		bind_fail_arg(L, method, "%s '%s' is in the lab already",
			      o->class->name, name);
	if (has)
		bind_fail_arg(
		    L, method, "the lab has another %s '%s', made at %s:%d",
		    o->class->name, name,
		    has->site.file[0] ? has->site.file : "?", has->site.line);
	lua_pop(L, 1);
}

/* How many things there are at 2: a list's items, or itself. */
static size_t count_given(lua_State *L, const char *method)
{
	return lua_istable(L, 2)
		   ? arg_list(L, method, 2, "members",
			      "a VM, a bridge, a lab or a list of them")
		   : 1;
}

/* Pushes the i-th of them. */
static struct object *push_given(lua_State *L, size_t i)
{
	char name[32] = "member";

	if (lua_istable(L, 2)) {
		snprintf(name, sizeof(name), "members[%zu]", i);
		lua_rawgeti(L, 2, (int)i);
	} else {
		lua_pushvalue(L, 2);
	}
	return check_thing(L, "lab:include", lua_gettop(L), name);
}

/* Two of a kind and of one name cannot come in at once either. */
static void check_differs(lua_State *L, const struct object *o, size_t i)
{
	const struct object *before;

	for (size_t k = 1; k < i; k++) {
		before = push_given(L, k);
		if (before->class == o->class &&
		    !strcmp(bind_members_name_of(before),
			    bind_members_name_of(o)))
			bind_fail_arg(L, "lab:include",
				      "members[%zu] and members[%zu] are both "
				      "%s '%s'",
				      k, i, o->class->name,
				      bind_members_name_of(o));
		lua_pop(L, 1);
	}
}

/* All of them or, where one cannot be, none. */
static int l_include(lua_State *L)
{
	static const char method[] = "lab:include";
	struct object *o;

	bind_lab_check(L, method);
	lua_settop(L, 2);
	size_t n = count_given(L, method);
	for (size_t i = 1; i <= n; i++) {
		o = push_given(L, i);
		check_may_join(L, o);
		check_differs(L, o, i);
		lua_settop(L, 2);
	}
	for (size_t i = 1; i <= n; i++) {
		o = push_given(L, i);
		scope_name(worker_of(L)->scope, L, 1, bind_members_name_of(o),
			   3);
		lua_settop(L, 2);
	}
	lua_settop(L, 1);
	return 1;
}

/* --- remove --- */

/* Pushes what lab.<name> is. */
static struct object *find_named(lua_State *L, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		scope_find(worker_of(L)->scope, L, 1, kinds[i], name);
		if (!lua_isnil(L, -1))
			return lua_touserdata(L, -1);
		lua_pop(L, 1);
	}
	return NULL;
}

static int l_remove(lua_State *L)
{
	static const char method[] = "lab:remove";
	struct lab_object *lab = bind_lab_check(L, method);
	struct object *o;

	lua_settop(L, 2);
	if (lua_type(L, 2) == LUA_TSTRING) {
		const char *name = bind_lab_check_name(L, method, 2);

		o = find_named(L, name);
		if (!o)
			bind_fail_arg(L, method,
				      "nothing in the lab is named "
				      "'%s'",
				      name);
	} else {
		o = check_thing(L, method, 2, "member (or its name)");
	}
	if (!scope_unname(worker_of(L)->scope, L, 1, o))
		bind_fail_arg(L, method, "%s '%s' is not in %s", o->class->name,
			      bind_members_name_of(o),
			      *bind_lab_name(lab) ? bind_lab_name(lab)
						  : "provium");
	lua_settop(L, 1);
	return 1;
}

/* --- members --- */

static void append_kind(lua_State *L, int out, const struct object_class *kind)
{
	struct scope *s = worker_of(L)->scope;

	scope_list_names(s, L, 1, kind);
	int names = lua_gettop(L);
	int n = (int)lua_objlen(L, names);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, names, i);
		scope_find(s, L, 1, kind, lua_tostring(L, -1));
		lua_rawseti(L, out, (int)lua_objlen(L, out) + 1);
		lua_pop(L, 1);
	}
	lua_settop(L, out);
}

static int bind_members_l_members(lua_State *L)
{
	bind_lab_check(L, "lab:members");
	lua_settop(L, 1);
	lua_newtable(L);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		append_kind(L, 2, kinds[i]);
	return 1;
}

void bind_members_register(lua_State *L)
{
	static const struct bind_method methods[] = {
	    {"include", l_include, 1},
	    {"remove", l_remove, 1},
	    {"members", bind_members_l_members, 0},
	    {NULL, NULL, 0},
	};

	bind_class_extend(L, &lab_class, methods);
}
