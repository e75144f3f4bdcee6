/* SPDX-License-Identifier: MIT */
#include "runner/debug.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/bind_test.h"
#include "runner/claims.h"
#include "runner/event.h"
#include "runner/frames.h"
#include "runner/worker.h"

static const char line_key; /* registry: debug.lua's function */

struct held {
	char *line; /* owned; NULL: there will be none */
	bool is_said;
};

static void debug_say(struct worker *w, const char *text, size_t n)
{
	json_t *ev = event_begin("debug");

	json_object_set_new(ev, "text", event_string(text, n));
	worker_emit(w, ev);
}

static void debug_tell(struct worker *w, const char *what)
{
	json_t *ev = event_begin("debug");

	json_object_set_new(ev, what, json_true());
	worker_emit(w, ev);
}

static int core_say(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);

	debug_say(worker_of(L), text, n);
	return 0;
}

static void on_said(void *ctx, const char *line)
{
	struct held *h = ctx;

	h->line = line ? mem_strdup(line) : NULL;
	h->is_said = true;
}

/* The next line, owned; NULL: there is none. The guests go on meanwhile. */
static char *debug_next_line(struct worker *w, struct held *h)
{
	h->is_said = false;
	debug_tell(w, "prompt");
	while (!h->is_said)
		loop_turn(w->loop);
	return TAKE(h->line);
}

/* 1: a function, 2: the number of its upvalue. Its value. */
static int core_upvalue(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	return lua_getupvalue(L, 1, luaL_checkint(L, 2)) ? 1 : 0;
}

/* The same, 3: the value that it shall have. */
static int core_set_upvalue(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 3);
	lua_setupvalue(L, 1, luaL_checkint(L, 2));
	return 0;
}

/* Pushes the function that runs lines. */
static void push_runner(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&line_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	if (!lua_isnil(L, -1))
		return;
	lua_pop(L, 1);
	lua_createtable(L, 0, 3);
	lua_pushcfunction(L, core_say);
	lua_setfield(L, -2, "say");
	lua_pushcfunction(L, core_upvalue);
	lua_setfield(L, -2, "upvalue");
	lua_pushcfunction(L, core_set_upvalue);
	lua_setfield(L, -2, "set_upvalue");
	bind_test_push_show(L);
	lua_state_run_blob(L, "runner/lua/debug.lua", 2);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&line_key);
	lua_pushvalue(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

static void introduce(struct worker *w, const char *test,
		      const struct failure *f)
{
	struct buf b = {0};

	buf_printf(&b, "\n%s: %s failed", w->job->display, test);
	if (f->site.file[0])
		buf_printf(&b, " at %s:%d", f->site.file, f->site.line);
	buf_printf(&b, ":\n");
	buf_append(&b, f->message, f->message_n);
	buf_printf(&b, "\n\nIt is held with its VMs. A line is Lua: t, "
		       "provium.NAME:run(\"...\"), and the test's variables "
		       "by name.\nlocals() lists them, frames() lists the "
		       "calls; ^D ends.\n");
	debug_say(w, (char *)buf_data(&b), b.len);
	buf_done(&b);
}

int64_t debug_hold(struct worker *w, const char *test, const struct failure *f)
{
	lua_State *L = w->L;
	int top = lua_gettop(L);
	int64_t since_ns = clock_now_ns();
	struct held h = {0};
	char *line;

	bind_test_push_running(L);
	frames_push(L, FRAMES_OF_TEST);
	claims_on_said(w->claims, on_said, &h);
	introduce(w, test, f);
	while ((line = debug_next_line(w, &h))) {
		struct failure none = {0};

		push_runner(L);
		lua_pushstring(L, line);
		lua_pushvalue(L, top + 1);
		lua_pushvalue(L, top + 2);
		lua_state_call(L, 3, 0, &none);
		failure_done(&none);
		lua_settop(L, top + 2);
		free(line);
	}
	claims_on_said(w->claims, NULL, NULL);
	debug_tell(w, "over");
	lua_settop(L, top);
	return clock_now_ns() - since_ns;
}
