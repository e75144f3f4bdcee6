/* SPDX-License-Identifier: MIT */
/*
 * Owns the type lab: VMs and sub-labs by name (bridges: bind_bridge.c), and on
 * the root, which is the global `provium`, the settings of the file. What acts
 * on all VMs of a lab at once is lua/lab.lua.
 */
#include "runner/bind_lab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_bridge.h"
#include "runner/bind_claim.h"
#include "runner/bind_on_console.h"
#include "runner/bind_pack.h"
#include "runner/bind_vm.h"
#include "runner/vm_factory.h"
#include "runner/worker.h"

#define NAME_MAX_BYTES 64

struct lab_object {
	struct object obj;
	char *name; /* owned; "" for the root */
	unsigned n_anonymous;
	bool is_root;
};

struct lab_object *bind_lab_check(lua_State *L, const char *method)
{
	struct lab_object *lab = object_check(L, 1, &lab_class, method);

	if (object_is_closed(&lab->obj))
		bind_fail_closed(L, method, &lab->obj, "the lab");
	return lab;
}

const char *bind_lab_name(const struct lab_object *lab)
{
	return lab->name;
}

static void lab_close(void *p)
{
	struct lab_object *lab = p;

	free(lab->name);
	lab->name = NULL;
}

/* --- names --- */

/* Pushes the method of that name, or nil. */
static void push_method(lua_State *L, const char *name)
{
	lua_getmetatable(L, 1);
	lua_getfield(L, -1, "__methods");
	lua_getfield(L, -1, name);
	lua_replace(L, -3);
	lua_pop(L, 1);
}

void bind_lab_check_not_reserved(lua_State *L, const char *method,
				 const char *name)
{
	static const char *const reserved[] = {
	    "pack", "unpack", "vm_fixture", "lab_fixture", "all", "race"};
	bool is = false;

	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		is |= !strcmp(name, reserved[i]);
	push_method(L, name);
	if (is || !lua_isnil(L, -1))
		bind_fail_arg(L, method,
			      "'%s' is a reserved name: lab.%s is something "
			      "else",
			      name, name);
	lua_pop(L, 1);
}

const char *bind_lab_check_name(lua_State *L, const char *method, int idx)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	const char *name = arg_path(L, method, idx, "name");
	size_t n = strlen(name);

	if (n > NAME_MAX_BYTES || strspn(name, allowed) != n)
		bind_fail_arg(L, method,
			      "bad name '%s': use up to %d letters, digits, "
			      "'_', '-' and '.'",
			      name, NAME_MAX_BYTES);
	return name;
}

/* Raises when an open object of that class has the name. */
static void check_free(lua_State *L, const char *method,
		       const struct object_class *class, const char *name)
{
	struct scope *s = worker_of(L)->scope;

	scope_find(s, L, 1, class, name);
	const struct object *o = lua_touserdata(L, -1);
	if (!o) {
		lua_pop(L, 1);
		return;
	}
	bind_fail_arg(L, method, "%s '%s' is already declared%s at %s:%d",
		      class->name, name,
		      o->scope == s ? "" : " in the file's scope",
		      o->site.file[0] ? o->site.file : "?", o->site.line);
}

/* --- VMs and sub-labs --- */

static void create_vm(lua_State *L, const char *name, const char *profile,
		      int opts)
{
	struct worker *w = worker_of(L);
	struct err err = {0};

	if (vm_factory_check_profile(worker_vms(w), profile, &err))
		bind_fail_err(L, "lab:vm", &err);
	vm_object_new(L, "lab:vm", name, profile, opts);
	scope_name(w->scope, L, 1, name, lua_gettop(L));
}

static int l_vm(lua_State *L)
{
	int n_args = lua_gettop(L);
	const char *profile = NULL;
	int opts = 0;

	bind_lab_check(L, "lab:vm");
	const char *name = bind_lab_check_name(L, "lab:vm", 2);
	if (n_args <= 2) {
		scope_find(worker_of(L)->scope, L, 1, &vm_class, name);
		if (!lua_isnil(L, -1))
			return 1;
		lua_pop(L, 1);
	}
	bind_lab_check_not_reserved(L, "lab:vm", name);
	check_free(L, "lab:vm", &vm_class, name);
	if (lua_istable(L, 3)) {
		if (!lua_isnoneornil(L, 4))
			bind_fail_arg(L, "lab:vm",
				      "the options come last: lab:vm(name, "
				      "profile, options)");
		opts = 3;
	} else {
		if (!lua_isnoneornil(L, 3))
			profile = arg_path(L, "lab:vm", 3, "profile");
		opts = arg_opt_table(L, "lab:vm", 4, "options");
	}
	create_vm(L, name, profile, opts);
	return 1;
}

void bind_lab_new(lua_State *L, const char *name, int owner_idx)
{
	struct lab_object *lab = object_new(L, &lab_class, owner_idx);

	lab->name = mem_strdup(name);
}

static int l_lab(lua_State *L)
{
	struct lab_object *outer = bind_lab_check(L, "lab:lab");
	struct worker *w = worker_of(L);
	char anonymous[32];
	const char *name = anonymous;

	if (lua_isnoneornil(L, 2)) {
		snprintf(anonymous, sizeof(anonymous), "__lab_%u",
			 outer->n_anonymous++);
	} else {
		name = bind_lab_check_name(L, "lab:lab", 2);
		scope_find(w->scope, L, 1, &lab_class, name);
		if (!lua_isnil(L, -1))
			return 1;
		lua_pop(L, 1);
		bind_lab_check_not_reserved(L, "lab:lab", name);
	}
	bind_lab_new(L, name, 1);
	scope_name(w->scope, L, 1, name, lua_gettop(L));
	return 1;
}

static int bind_lab_l_name(lua_State *L)
{
	lua_pushstring(L, bind_lab_check(L, "lab:name")->name);
	return 1;
}

static int l_vm_names(lua_State *L)
{
	bind_lab_check(L, "lab:vm_names");
	scope_list_names(worker_of(L)->scope, L, 1, &vm_class);
	return 1;
}

static int l_sub_lab_names(lua_State *L)
{
	bind_lab_check(L, "lab:sub_lab_names");
	scope_list_names(worker_of(L)->scope, L, 1, &lab_class);
	return 1;
}

/* --- lab.<name> and the settings --- */

static int l_index(lua_State *L)
{
	static const struct object_class *const named[] = {
	    &vm_class, &bridge_class, &lab_class};
	struct lab_object *lab = lua_touserdata(L, 1);
	struct scope *s = worker_of(L)->scope;
	size_t n = 0;
	const char *key =
	    lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &n) : NULL;

	/* Nothing has a name with a NUL byte in it. */
	if (!key || strlen(key) != n) {
		lua_pushnil(L);
		return 1;
	}
	push_method(L, key);
	if (!lua_isnil(L, -1))
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(named) && !object_is_closed(&lab->obj);
	     i++) {
		scope_find(s, L, 1, named[i], key);
		if (!lua_isnil(L, -1))
			return 1;
	}
	object_push_fields(L, 1);
	lua_pushvalue(L, 2);
	lua_rawget(L, -2);
	return 1;
}

static void set_timeout(lua_State *L, struct worker *w)
{
	int64_t ns = arg_duration(L, "provium", 3, "timeout", 0);

	if (!ns)
		bind_fail_arg(L, "provium", "timeout must be more than 0");
	w->suite.timeout_ns = ns;
}

static void set_on_console(lua_State *L, struct worker *w)
{
	bind_on_console(L, 3, vm_factory_alarms(worker_vms(w)));
}

static void set_reset(lua_State *L, struct worker *w)
{
	w->suite.resets =
	    arg_bool(L, "provium", 3, "reset_between_tests", false);
}

struct setting {
	const char *name;
	void (*set)(lua_State *L, struct worker *w);
};

static const struct setting settings[] = {
    {"timeout", set_timeout},
    {"on_console", set_on_console},
    {"reset_between_tests", set_reset},
};

/* provium.<setting> = value; fields of sub-labs are the author's own. */
static int l_newindex(lua_State *L)
{
	struct lab_object *lab = lua_touserdata(L, 1);
	struct worker *w = worker_of(L);
	const struct setting *found = NULL;

	for (size_t i = 0; lab->is_root && i < ARRAY_LEN(settings); i++)
		if (arg_is_key(L, 2, settings[i].name))
			found = &settings[i];
	if (lab->is_root && !found)
		bind_fail_arg(L, "provium",
			      "unknown setting '%s'; valid: timeout, "
			      "on_console, reset_between_tests",
			      lua_isstring(L, 2) ? arg_shown(L, 2)
						 : arg_type_name(L, 2));
	if (found && w->suite.running)
		bind_fail_arg(L, "provium",
			      "%s is a setting of the file, not of a test",
			      found->name);
	if (found)
		found->set(L, w);
	object_push_fields(L, 1);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, 3);
	lua_rawset(L, -3);
	return 0;
}

static int bind_lab_l_tostring(lua_State *L)
{
	const struct lab_object *lab = lua_touserdata(L, 1);

	if (lab->is_root)
		lua_pushliteral(L, "provium");
	else
		lua_pushfstring(L, "lab '%s': %p", lab->name ? lab->name : "",
				(const void *)lab);
	return 1;
}

static int bind_lab_l_pack(lua_State *L)
{
	bind_lab_check(L, "lab:pack");
	return bind_pack_lab_pack(L);
}

static int bind_lab_l_unpack(lua_State *L)
{
	bind_lab_check(L, "lab:unpack");
	return bind_pack_lab_unpack(L);
}

static int l_claim(lua_State *L)
{
	bind_lab_check(L, "lab:claim");
	return bind_claim_l_claim(L);
}

static const struct bind_method methods[] = {
    {"vm", l_vm, 3},
    {"lab", l_lab, 1},
    {"claim", l_claim, 1},
    {"barrier", bind_barrier_l_wait, 3},
    {"name", bind_lab_l_name, 0},
    {"pack", bind_lab_l_pack, BIND_ANY},
    {"unpack", bind_lab_l_unpack, 3},
    {"vm_names", l_vm_names, 0},
    {"sub_lab_names", l_sub_lab_names, 0},
    {NULL, NULL, 0},
};

static const struct bind_function meta[] = {
    {"__index", l_index},
    {"__newindex", l_newindex},
    {"__tostring", bind_lab_l_tostring},
    {NULL, NULL},
};

const struct object_class lab_class = {
    .name = "lab",
    .rank = RANK_LAB,
    .size = sizeof(struct lab_object),
    .close = lab_close,
    .methods = methods,
    .meta = meta,
};

static const struct bind_method root_functions[] = {
    {"all", await_l_all, BIND_ANY},
    {"race", await_l_race, BIND_ANY},
    {NULL, NULL, 0},
};

int bind_lab_l_check(lua_State *L)
{
	bind_lab_check(L, luaL_checkstring(L, 2));
	return 0;
}

/* What lua/lab.lua needs. */
static const struct bind_function core[] = {
    {"all", await_l_all_for},
    {"check", bind_lab_l_check},
    {"acquire", bind_claim_l_acquire},
    {"release", bind_claim_l_release},
    {NULL, NULL},
};

void bind_lab_register(lua_State *L)
{
	bind_class(L, &lab_class);
}

/* Adds the methods of lua/lab.lua to the class. */
static void add_lua_methods(lua_State *L)
{
	lua_getmetatable(L, -1);
	lua_getfield(L, -1, "__methods");
	lua_newtable(L);
	bind_functions(L, core);
	lua_state_run_blob(L, "runner/lua/lab.lua", 2);
	lua_pop(L, 2);
	bind_class_limit(L, &lab_class);
}

static int bind_lab_l_install(lua_State *L)
{
	if (worker_of(L)->job->list_only) {
		lua_state_run_blob(L, "runner/lua/inert.lua", 0);
		lua_setglobal(L, "provium");
		return 0;
	}
	bind_lab_new(L, "", 0);
	struct lab_object *root = lua_touserdata(L, -1);
	root->is_root = true;
	object_push_fields(L, -1);
	bind_methods(L, root_functions, "provium.");
	lua_pop(L, 1);
	add_lua_methods(L);
	lua_setglobal(L, "provium");
	return 0;
}

int bind_lab_install(lua_State *L, struct err *err)
{
	if (!lua_cpcall(L, bind_lab_l_install, NULL))
		return 0;
	err_set(err, -EINVAL, "cannot set up `provium`: %s",
		lua_tostring(L, -1));
	lua_pop(L, 1);
	return -EINVAL;
}
