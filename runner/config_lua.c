/* SPDX-License-Identifier: MIT */
/*
 * provium.lua, evaluated in a Lua state of its own that can reach nothing but
 * os.getenv, string, table, math and the harmless part of the base library.
 * There is no pcall, so that the limit on instructions cannot be caught; the
 * JIT is off, since compiled code does not see hooks.
 */
#include "runner/config_lua.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "vmm/store.h"

#define CONFIG_TEXT_MAX	    (1u << 20)
#define CONFIG_INSTRUCTIONS 50000000 /* about a second */

static void on_too_long(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	luaL_error(L, "the config ran for %d instructions: an endless loop?",
		   CONFIG_INSTRUCTIONS);
}

/* __index of the globals: a plain "nil value" would not tell why. */
static int on_unknown_global(lua_State *L)
{
	return luaL_error(
	    L,
	    "'%s' is not known here: a config has os.getenv, string, table "
	    "and math",
	    luaL_optstring(L, 2, "?"));
}

static void open_lib(lua_State *L, lua_CFunction open, const char *name)
{
	lua_pushcfunction(L, open);
	lua_pushstring(L, name);
	lua_call(L, 1, 0);
}

/* Leaves a table with the fields of `from` (a global) that are named. */
static void push_subset(lua_State *L, const char *from, const char *const *v)
{
	lua_newtable(L);
	lua_getglobal(L, from);
	for (; *v; v++) {
		lua_getfield(L, -1, *v);
		lua_setfield(L, -3, *v);
	}
	lua_pop(L, 1);
}

/* Leaves the environment that the chunk runs in. */
static void push_sandbox(lua_State *L)
{
	static const char *const base[] = {
	    "assert",	"error",  "ipairs", "next",	"pairs",
	    "select",	"string", "table",  "math",	"tonumber",
	    "tostring", "type",	  "unpack", "_VERSION", NULL};
	static const char *const os[] = {"getenv", NULL};

	open_lib(L, luaopen_base, "");
	open_lib(L, luaopen_string, LUA_STRLIBNAME);
	open_lib(L, luaopen_table, LUA_TABLIBNAME);
	open_lib(L, luaopen_math, LUA_MATHLIBNAME);
	open_lib(L, luaopen_os, LUA_OSLIBNAME);
	push_subset(L, "_G", base);
	push_subset(L, "os", os);
	lua_setfield(L, -2, "os");
	lua_newtable(L);
	lua_pushcfunction(L, on_unknown_global);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
}

struct source {
	const char *name;
	const struct buf *text;
};

/* Protected: loads and runs the chunk, leaves its one result. */
static int evaluate(lua_State *L)
{
	const struct source *src = lua_touserdata(L, 1);

	luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
	if (luaL_loadbufferx(L, (const char *)buf_data(src->text),
			     src->text->len, src->name, "t"))
		return lua_error(L);
	push_sandbox(L);
	lua_setfenv(L, -2);
	lua_sethook(L, on_too_long, LUA_MASKCOUNT, CONFIG_INSTRUCTIONS);
	lua_call(L, 0, 1);
	lua_sethook(L, NULL, 0, 0);
	return 1;
}

static int read_text(const char *path, struct buf *out, struct err *err)
{
	struct stat st;

	/* A FIFO would be waited for. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "config '%s' is not a file", path);
	if (store_read(path, CONFIG_TEXT_MAX, out, err))
		return err_wrap(err, "config");
	return 0;
}

/* Lua names the chunk by its last component; make that the whole path. */
static int lua_failed(lua_State *L, const struct config *c, struct err *err)
{
	const char *base = strrchr(c->path, '/') + 1;
	const char *s = lua_tostring(L, -1);

	if (!s)
		return err_set(err, -EINVAL, "%s: error without a text",
			       c->path);
	if (!strncmp(s, base, strlen(base)) && s[strlen(base)] == ':')
		return err_set(err, -EINVAL, "%s%s", c->path, s + strlen(base));
	return err_set(err, -EINVAL, "%s: %s", c->path, s);
}

static int read_config(lua_State *L, struct config *c, struct err *err)
{
	const char *base = strrchr(c->path, '/') + 1;
	CLEANUP(buf_done) struct buf text = {0};
	CLEANUP(free_ptr) char *name = mem_printf("@%s", base);
	struct source src = {.name = name, .text = &text};
	int r = read_text(c->path, &text, err);

	if (r < 0)
		return r;
	buf_room(&text, 1); /* so that an empty file has an address */
	lua_pushcfunction(L, evaluate);
	lua_pushlightuserdata(L, &src);
	if (lua_pcall(L, 1, 1, 0))
		return lua_failed(L, c, err);
	if (!lua_istable(L, -1))
		return err_set(
		    err, -EINVAL,
		    "%s: a config returns a table, this one returned %s",
		    c->path, luaL_typename(L, -1));
	return config_read_table(L, c, err);
}

int config_read(struct config *c, struct err *err)
{
	lua_State *L = luaL_newstate();
	int r;

	if (!L)
		return err_set(err, -ENOMEM, "no memory for a Lua state");
	r = read_config(L, c, err);
	lua_close(L);
	return r;
}
