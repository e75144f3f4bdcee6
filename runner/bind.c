/* SPDX-License-Identifier: MIT */
/*
 * Owns classes, objects and the list of registrars. Arguments and options are
 * in bind_args.c, 64-bit integers in bind_int.c.
 */
#include "runner/bind.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runner/await.h"
#include "runner/bind_bridge.h"
#include "runner/bind_cable.h"
#include "runner/bind_console.h"
#include "runner/bind_disk.h"
#include "runner/bind_file.h"
#include "runner/bind_fixture.h"
#include "runner/bind_impair.h"
#include "runner/bind_json.h"
#include "runner/bind_lab.h"
#include "runner/bind_lab_snapshot.h"
#include "runner/bind_nic.h"
#include "runner/bind_pack.h"
#include "runner/bind_process.h"
#include "runner/bind_result.h"
#include "runner/bind_snapshot.h"
#include "runner/bind_stream.h"
#include "runner/bind_syscall.h"
#include "runner/bind_test.h"
#include "runner/bind_vm.h"
#include "runner/bind_worker.h"
#include "runner/lua_state.h"
#include "runner/task.h"
#include "runner/worker.h"

typedef void (*registrar)(lua_State *L);

/* registry: metatables of what Lua releases */
static const char strvec_key;
static const char buf_key;
static const char settle_key; /* registry: the wrapper of settle.lua */
static const char limits_key; /* registry: the functions of limits.lua */

/* --- errors --- */

/* Pushes "file:line: ". */
static void push_site(lua_State *L)
{
	struct site at;

	if (lua_state_site(L, &at))
		lua_pushfstring(L, "%s:%d: ", at.file, at.line);
	else
		lua_pushliteral(L, "");
}

/* Raises the string on top, with position and, if not NULL, method in front.
 */
static _Noreturn void raise_top(lua_State *L, const char *method)
{
	push_site(L);
	if (method)
		lua_pushfstring(L, "%s: ", method);
	else
		lua_pushliteral(L, "");
	lua_pushvalue(L, -3);
	lua_concat(L, 3);
	lua_error(L);
	abort();
}

/* The same with take_text. */
static _Noreturn void raise_text(lua_State *L, const char *method,
				 char *take_text)
{
	lua_pushstring(L, take_text);
	free(take_text);
	raise_top(L, method);
}

void bind_fail_bytes(lua_State *L, const char *method, const char *text,
		     size_t n)
{
	lua_pushlstring(L, text, n);
	raise_top(L, method);
}

void bind_fail_text(lua_State *L, const char *method, int idx)
{
	luaL_checkstring(L, idx);
	lua_pushvalue(L, idx);
	raise_top(L, method);
}

int bind_l_fail(lua_State *L)
{
	bind_fail_text(L, luaL_checkstring(L, 1), 2);
}

void bind_fail(lua_State *L, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	raise_text(L, NULL, text);
}

void bind_fail_arg(lua_State *L, const char *method, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	raise_text(L, method, text);
}

void bind_fail_closed(lua_State *L, const char *method, const struct object *o,
		      const char *what)
{
	bind_fail_arg(L, method, "%s is closed%s", what,
		      o->ended_with_test ? ": the test that made it is over"
					 : "");
}

void bind_fail_err(lua_State *L, const char *method, const struct err *err)
{
	raise_text(L, method, mem_strdup(err->text));
}

/* --- objects --- */

static void bind_push_key(lua_State *L, const void *key)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)key);
}

void *object_test(lua_State *L, int idx, const struct object_class *class)
{
	void *p = lua_touserdata(L, idx);

	if (!p || lua_type(L, idx) != LUA_TUSERDATA ||
	    !lua_getmetatable(L, idx))
		return NULL;
	bind_push_key(L, class);
	lua_rawget(L, LUA_REGISTRYINDEX);
	bool is_it = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return is_it ? p : NULL;
}

void *object_check(lua_State *L, int idx, const struct object_class *class,
		   const char *method)
{
	void *p = object_test(L, idx, class);

	if (!p)
		bind_fail_arg(L, method,
			      "must be called on a %s, as %s(...), got %s",
			      class->name, method, arg_type_name(L, idx));
	return p;
}

void *object_new(lua_State *L, const struct object_class *class, int owner_idx)
{
	if (owner_idx < 0)
		owner_idx += lua_gettop(L) + 1;
	struct object *o = lua_newuserdata(L, class->size);

	memset(o, 0, class->size);
	o->class = class;
	lua_state_test_site(L, &o->site);
	lua_newtable(L);
	if (owner_idx) {
		o->owner = lua_touserdata(L, owner_idx);
		/* Keeps the owner's memory as long as this is there. */
		bind_push_key(L, class);
		lua_pushvalue(L, owner_idx);
		lua_rawset(L, -3);
	}
	lua_setfenv(L, -2);
	bind_push_key(L, class);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_setmetatable(L, -2);
	scope_add(worker_of(L)->scope, L, lua_gettop(L));
	return o;
}

void object_push_fields(lua_State *L, int idx)
{
	lua_getfenv(L, idx);
}

static int object_gc(lua_State *L)
{
	object_close(lua_touserdata(L, 1));
	return 0;
}

/* upvalue 1: the class. */
static int object_l_close(lua_State *L)
{
	const struct object_class *class =
	    lua_touserdata(L, lua_upvalueindex(1));

	lua_settop(L, 1);
	lua_pushfstring(L, "%s:close", class->name);
	object_close(object_check(L, 1, class, lua_tostring(L, -1)));
	return 0;
}

/* upvalue 1: the methods. Then what the author put there. */
static int object_index(lua_State *L)
{
	lua_pushvalue(L, 2);
	lua_rawget(L, lua_upvalueindex(1));
	if (!lua_isnil(L, -1))
		return 1;
	lua_getfenv(L, 1);
	lua_pushvalue(L, 2);
	lua_rawget(L, -2);
	return 1;
}

static int object_newindex(lua_State *L)
{
	lua_getfenv(L, 1);
	lua_replace(L, 1);
	lua_rawset(L, 1);
	return 0;
}

static int object_tostring(lua_State *L)
{
	const struct object *o = lua_touserdata(L, 1);

	lua_pushfstring(L, "%s: %p", o->class->name, (const void *)o);
	return 1;
}

/* Replaces the function on top by its wrapper. */
static void wrap(lua_State *L)
{
	bind_push_key(L, &settle_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_insert(L, -2);
	lua_call(L, 1, 1);
}

/* The same, by one that refuses more than max_args arguments. Messages call it
 * prefix and name. */
static void wrap_limited(lua_State *L, const char *prefix, const char *name,
			 int max_args)
{
	bool has_object = strchr(prefix, ':');

	if (max_args == BIND_ANY) {
		wrap(L);
		return;
	}
	bind_push_key(L, &settle_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_insert(L, -2);
	lua_pushfstring(L, "%s%s", prefix, name);
	lua_pushinteger(L, max_args + has_object);
	lua_call(L, 3, 1);
}

void bind_push_function(lua_State *L, lua_CFunction fn)
{
	lua_pushcfunction(L, fn);
	wrap(L);
}

void bind_functions(lua_State *L, const struct bind_function *fns)
{
	for (; fns->name; fns++) {
		bind_push_function(L, fns->fn);
		lua_setfield(L, -2, fns->name);
	}
}

void bind_methods(lua_State *L, const struct bind_method *fns,
		  const char *prefix)
{
	for (; fns->name; fns++) {
		lua_pushcfunction(L, fns->fn);
		wrap_limited(L, prefix, fns->name, fns->max_args);
		lua_setfield(L, -2, fns->name);
	}
}

/* The same for the methods of a class, into the table on top. */
static void set_methods(lua_State *L, const struct object_class *class,
			const struct bind_method *methods)
{
	const char *prefix = lua_pushfstring(L, "%s:", class->name);

	lua_insert(L, -2);
	bind_methods(L, methods, prefix);
	lua_remove(L, -2);
}

/* surplus(name, max, ...): raises unless of the call's arguments, which follow,
 * those behind the max-th are nil. */
static int l_surplus(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	int max = (int)luaL_checkinteger(L, 2);
	int last = lua_gettop(L), first = max + 3;
	int object = strchr(name, ':') ? 1 : 0;

	while (last >= first && lua_isnil(L, last))
		last--;
	if (last < first)
		return 0;
	while (lua_isnil(L, first))
		first++;
	int takes = max - object, got = last - 2 - object;
	char most[64] = "no argument";

	if (takes)
		snprintf(most, sizeof(most), "%d argument%s at the most", takes,
			 takes == 1 ? "" : "s");
	bind_fail_arg(L, name, "takes %s, got %d: argument %d is %s", most, got,
		      first - 2 - object, arg_type_name(L, first));
}

static void set_function(lua_State *L, const char *name, lua_CFunction fn)
{
	lua_pushcfunction(L, fn);
	lua_setfield(L, -2, name);
}

void bind_class(lua_State *L, const struct object_class *class)
{
	lua_newtable(L); /* the metatable */
	lua_pushvalue(L, -1);
	bind_push_key(L, class);
	lua_insert(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);

	lua_newtable(L); /* the methods */
	lua_pushlightuserdata(L, (void *)(uintptr_t) class);
	lua_pushcclosure(L, object_l_close, 1);
	lua_pushfstring(L, "%s:", class->name);
	lua_insert(L, -2);
	wrap_limited(L, lua_tostring(L, -2), "close", 0);
	lua_remove(L, -2);
	lua_setfield(L, -2, "close");
	if (class->methods)
		set_methods(L, class, class->methods);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "__methods");
	lua_pushcclosure(L, object_index, 1);
	lua_setfield(L, -2, "__index");

	set_function(L, "__newindex", object_newindex);
	set_function(L, "__gc", object_gc);
	set_function(L, "__tostring", object_tostring);
	lua_pushstring(L, class->name);
	lua_setfield(L, -2, "__name");
	for (const struct bind_function *m = class->meta; m && m->name; m++)
		set_function(L, m->name, m->fn);
	/* getmetatable() answers the name: no way to call __gc by hand. */
	lua_pushstring(L, class->name);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

void bind_push_methods(lua_State *L, const struct object_class *class)
{
	bind_push_key(L, class);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_getfield(L, -1, "__methods");
	lua_remove(L, -2);
}

void bind_class_extend(lua_State *L, const struct object_class *class,
		       const struct bind_method *methods)
{
	bind_push_methods(L, class);
	set_methods(L, class, methods);
	lua_pop(L, 1);
}

void bind_push_limits(lua_State *L)
{
	bind_push_key(L, &limits_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
}

void bind_class_limit(lua_State *L, const struct object_class *class)
{
	bind_push_limits(L);
	lua_getfield(L, -1, "limit_all");
	bind_push_methods(L, class);
	lua_pushfstring(L, "%s:", class->name);
	lua_call(L, 2, 0);
	lua_pop(L, 1);
}

void bind_class_extend_lua(lua_State *L, const struct object_class *class,
			   const struct bind_function *core, const char *blob)
{
	bind_push_methods(L, class);
	lua_newtable(L);
	bind_functions(L, core);
	bind_push_limits(L);
	lua_state_run_blob(L, blob, 3);
	lua_pop(L, 1);
	bind_class_limit(L, class);
}

static int strvec_gc(lua_State *L)
{
	strvec_done(lua_touserdata(L, 1));
	return 0;
}

static int buf_gc(lua_State *L)
{
	buf_done(lua_touserdata(L, 1));
	return 0;
}

/* Pushes a zeroed userdata with the metatable registered under key. */
static void *push_owned(lua_State *L, size_t size, const char *key)
{
	void *p = lua_newuserdata(L, size);

	memset(p, 0, size);
	bind_push_key(L, key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_setmetatable(L, -2);
	return p;
}

struct strvec *bind_push_strvec(lua_State *L)
{
	return push_owned(L, sizeof(struct strvec), &strvec_key);
}

struct buf *bind_push_buf(lua_State *L)
{
	return push_owned(L, sizeof(struct buf), &buf_key);
}

void bind_push_strings(lua_State *L, const struct strvec *sv)
{
	lua_createtable(L, (int)sv->n, 0);
	for (size_t i = 0; i < sv->n; i++) {
		lua_pushstring(L, sv->v[i]);
		lua_rawseti(L, -2, (int)i + 1);
	}
}

static void install_owned(lua_State *L, const char *key, lua_CFunction gc)
{
	bind_push_key(L, key);
	lua_createtable(L, 0, 1);
	set_function(L, "__gc", gc);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

static void install_settle(lua_State *L)
{
	bind_push_key(L, &settle_key);
	lua_pushcfunction(L, await_l_settle);
	task_push_pending(L);
	lua_pushcfunction(L, l_surplus);
	lua_state_run_blob(L, "runner/lua/settle.lua", 3);
	lua_rawset(L, LUA_REGISTRYINDEX);
	bind_push_key(L, &limits_key);
	lua_pushcfunction(L, l_surplus);
	lua_state_run_blob(L, "runner/lua/limits.lua", 1);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

/* --- every type --- */

void bind_int_register(lua_State *L);

static const registrar registrars[] = {
    bind_int_register,
    bind_json_register,
    bind_lab_register,
    bind_pack_register,
    bind_result_register,
    bind_test_register,
    bind_vm_register,
    bind_worker_register,
    /* Types whose methods extend lab, vm and worker come behind them. */
    bind_batch_register,
    bind_bridge_register,
    bind_members_register,
    bind_impair_register,
    bind_call_register,
    bind_clock_register,
    bind_disk_register,
    bind_dmesg_register,
    bind_counts_register,
    bind_forward_register,
    bind_ioctl_register,
    bind_console_register,
    bind_file_register,
    bind_nic_register,
    bind_cable_register,
    bind_snapshot_register,
    bind_lab_snapshot_register,
    bind_fixture_register,
    bind_process_register,
    bind_stream_register,
    NULL,
};

void bind_register_all(lua_State *L)
{
	install_settle(L);
	install_owned(L, &strvec_key, strvec_gc);
	install_owned(L, &buf_key, buf_gc);
	for (const registrar *r = registrars; *r; r++)
		(*r)(L);
}
