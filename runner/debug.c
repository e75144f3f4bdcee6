/* SPDX-License-Identifier: MIT */
#include "runner/debug.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/bind_test.h"
#include "runner/claims.h"
#include "runner/event.h"
#include "runner/worker.h"

static const char line_key; /* registry: debug.lua's function */

struct held {
	char *line; /* owned; NULL: there will be none */
	bool is_said;
};

static void say(struct worker *w, const char *text, size_t n)
{
	json_t *ev = event_new("debug");

	json_object_set_new(ev, "text", event_string(text, n));
	worker_emit(w, ev);
}

static void tell(struct worker *w, const char *what)
{
	json_t *ev = event_new("debug");

	json_object_set_new(ev, what, json_true());
	worker_emit(w, ev);
}

static int core_say(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);

	say(worker_of(L), text, n);
	return 0;
}

static void on_said(void *ctx, const char *line)
{
	struct held *h = ctx;

	h->line = line ? mem_strdup(line) : NULL;
	h->is_said = true;
}

/* The next line, owned; NULL: there is none. The guests go on meanwhile. */
static char *next_line(struct worker *w, struct held *h)
{
	h->is_said = false;
	tell(w, "prompt");
	while (!h->is_said)
		loop_turn(w->loop);
	return TAKE(h->line);
}

/* Pushes the function that runs lines. */
static void push_runner(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&line_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	if (!lua_isnil(L, -1))
		return;
	lua_pop(L, 1);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, core_say);
	lua_setfield(L, -2, "say");
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
		       "provium.NAME:run(\"...\"); ^D ends.\n");
	say(w, (char *)buf_data(&b), b.len);
	buf_done(&b);
}

void debug_hold(struct worker *w, const char *test, const struct failure *f)
{
	lua_State *L = w->L;
	int t = lua_gettop(L);
	struct held h = {0};
	char *line;

	claims_on_said(w->claims, on_said, &h);
	introduce(w, test, f);
	while ((line = next_line(w, &h))) {
		struct failure none = {0};

		push_runner(L);
		lua_pushstring(L, line);
		lua_pushvalue(L, t);
		lua_state_call(L, 2, 0, &none);
		failure_done(&none);
		lua_settop(L, t);
		free(line);
	}
	claims_on_said(w->claims, NULL, NULL);
	tell(w, "over");
}
