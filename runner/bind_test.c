/* SPDX-License-Identifier: MIT */
/*
 * Owns the globals test, todo and wait_until, and the test context. The
 * assertions are written in Lua (lua/context.lua); here is what they stand on.
 */
#include "runner/bind_test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "runner/artifacts.h"
#include "runner/bind.h"
#include "runner/evidence.h"
#include "runner/rundir.h"
#include "runner/worker.h"

static const char context_key; /* registry: makes a `t` */
static const char running_key; /* registry: the running test's `t` */
static const char skip_key;    /* the error value that t:skip() raises */

static void bind_test_push_key(lua_State *L, const char *key)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)key);
}

static struct suite *suite_of(lua_State *L)
{
	return &worker_of(L)->suite;
}

static int bind_test_core_fail(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);

	suite_mark(suite_of(L), L, text, n);
	bind_fail_text(L, NULL, 1);
}

static int core_raise(lua_State *L)
{
	bind_fail_text(L, NULL, 1);
}

static int bind_test_core_type_name(lua_State *L)
{
	lua_pushstring(L, arg_type_name(L, 1));
	return 1;
}

static int core_is_marked(lua_State *L)
{
	lua_pushboolean(L, suite_of(L)->failure.message != NULL);
	return 1;
}

static int core_unmark(lua_State *L)
{
	suite_unmark(suite_of(L));
	return 0;
}

static int core_skip(lua_State *L)
{
	struct suite *s = suite_of(L);
	size_t n;
	const char *reason = luaL_checklstring(L, 1, &n);

	json_decref(s->skipped);
	s->skipped = event_string(reason, n);
	bind_test_push_key(L, &skip_key);
	return lua_error(L);
}

static int core_is_skip(lua_State *L)
{
	lua_pushboolean(L, lua_touserdata(L, 1) == &skip_key);
	return 1;
}

static int core_check_running(lua_State *L)
{
	bind_test_push_key(L, &running_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	if (lua_rawequal(L, 1, -1))
		return 0;
	bind_fail(L, "t:%s: this context's test is over",
		  luaL_checkstring(L, 2));
}

static int bind_test_core_check_expired(lua_State *L)
{
	await_check_expired(L, luaL_checkstring(L, 1));
	return 0;
}

static int core_log(lua_State *L)
{
	struct worker *w = worker_of(L);
	const char *test = suite_running_name(&w->suite);
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);
	json_t *ev = event_begin("log");

	if (test)
		json_object_set_new(ev, "test",
				    event_string(test, strlen(test)));
	json_object_set_new(ev, "text", event_string(text, n));
	worker_emit(w, ev);
	return 0;
}

/* attach(test, name, bytes) */
static int bind_test_core_attach(lua_State *L)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	const char *test = luaL_checkstring(L, 1);
	const char *name = arg_path(L, "t:attach", 2, "name");
	size_t n, name_n = strlen(name);
	char *path;
	const char *bytes = arg_bytes(L, "t:attach", 3, "bytes", &n);
	struct err err;

	if (name_n > ATTACHMENT_NAME_MAX || strspn(name, allowed) != name_n)
		bind_fail_arg(L, "t:attach",
			      "bad name '%s': use up to %d letters, digits, "
			      "'_', '-' and '.'",
			      name, ATTACHMENT_NAME_MAX);
	if (artifacts_attach(worker_of(L)->job->run_dir, test, name, bytes, n,
			     &path, &err) < 0)
		bind_fail_err(L, "t:attach", &err);
	evidence_add_file(worker_of(L), path);
	free(path);
	return 0;
}

/* duration(method, name, value, default): seconds. */
static int core_duration(lua_State *L)
{
	int64_t ns = arg_duration(L, luaL_checkstring(L, 1), 3,
				  luaL_checkstring(L, 2), -1);

	if (ns >= 0)
		lua_pushnumber(L, (double)ns / (double)NS_PER_SEC);
	return 1; /* else the default, which is on top */
}

static int core_now(lua_State *L)
{
	lua_pushnumber(L, (double)clock_now_ns() / (double)NS_PER_SEC);
	return 1;
}

void bind_test_push_context(lua_State *L, const char *name, int meta)
{
	bind_test_push_key(L, &context_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_pushstring(L, name);
	if (meta == LUA_NOREF)
		lua_pushnil(L);
	else
		lua_rawgeti(L, LUA_REGISTRYINDEX, meta);
	lua_call(L, 2, 1);
	bind_test_push_key(L, &running_key);
	lua_pushvalue(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

void bind_test_pop_context(lua_State *L)
{
	bind_test_push_key(L, &running_key);
	lua_pushnil(L);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

void bind_test_push_running(lua_State *L)
{
	bind_test_push_key(L, &running_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
}

void bind_test_push_show(lua_State *L)
{
	lua_state_run_blob(L, "runner/lua/show.lua", 0);
	lua_getfield(L, -1, "show");
	lua_remove(L, -2);
}

/* --- t:tmpdir() --- */

struct tmpdir_object {
	struct object obj;
	char *path; /* owned */
};

static void tmpdir_close(void *p)
{
	struct tmpdir_object *d = p;

	if (d->path)
		rundir_remove(d->path);
	free(d->path);
	d->path = NULL;
}

/* Behind all else: what is closed earlier may still write there. */
static const struct object_class tmpdir_class = {
    .name = "tmpdir",
    .rank = RANK_LAB,
    .size = sizeof(struct tmpdir_object),
    .close = tmpdir_close,
};

static int core_tmpdir(lua_State *L)
{
	struct tmpdir_object *d = object_new(L, &tmpdir_class, 0);
	char *path = mem_printf("%s/tmp-XXXXXX", worker_of(L)->job->run_dir);

	if (!mkdtemp(path)) {
		int code = errno;

		free(path);
		bind_fail(L, "t:tmpdir: cannot make a directory in '%s': %s",
			  worker_of(L)->job->run_dir, strerror(code));
	}
	d->path = path;
	lua_pushstring(L, path);
	return 1;
}

static const struct bind_function core[] = {
    {"fail", bind_test_core_fail},
    {"raise", core_raise},
    {"arg_error", bind_l_fail},
    {"type_name", bind_test_core_type_name},
    {"is_marked", core_is_marked},
    {"unmark", core_unmark},
    {"skip", core_skip},
    {"is_skip", core_is_skip},
    {"check_running", core_check_running},
    {"check_expired", bind_test_core_check_expired},
    {"log", core_log},
    {"attach", bind_test_core_attach},
    {"duration", core_duration},
    {"now", core_now},
    {"tmpdir", core_tmpdir},
    {"sleep", await_l_sleep},
    {"tells_awaited", await_l_tells_awaited},
    {NULL, NULL},
};

static const struct bind_method globals[] = {
    {"test", suite_l_test, 3},
    {"todo", suite_l_todo, 1},
    {NULL, NULL, 0},
};

void bind_test_register(lua_State *L)
{
	bind_class(L, &tmpdir_class);
	lua_pushvalue(L, LUA_GLOBALSINDEX);
	bind_methods(L, globals, "");
	lua_pop(L, 1);

	bind_test_push_key(L, &context_key);
	lua_newtable(L);
	bind_functions(L, core);
	lua_state_run_blob(L, "runner/lua/show.lua", 0);
	lua_state_run_blob(L, "runner/lua/diff.lua", 1);
	bind_push_limits(L);
	lua_state_run_blob(L, "runner/lua/context.lua", 3);
	lua_rawset(L, LUA_REGISTRYINDEX);
}
