/* SPDX-License-Identifier: MIT */
/* Owns the fields of RunResult; its methods are lua/result.lua. */
#include "runner/bind_result.h"

#include <signal.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/bind.h"
#include "runner/worker.h"
#include "streams/stream.h"

#define EXIT_SIGNALLED (-1)
#define EXIT_TIMED_OUT (-2)
/* Bytes of stderr in a note. */
#define NOTE_LINE 100

static const char result_key; /* registry: {metatable, describe, outputs} */

static void push_result_item(lua_State *L, int i)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&result_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_rawgeti(L, -1, i);
	lua_remove(L, -2);
}

static void bind_result_push_buf(lua_State *L, const struct buf *b)
{
	lua_pushlstring(L, b->len ? (const char *)buf_data(b) : "", b->len);
}

static void set_buf(lua_State *L, const char *key, const struct buf *b)
{
	bind_result_push_buf(L, b);
	lua_setfield(L, -2, key);
}

static void set_string(lua_State *L, const char *key, const char *s)
{
	lua_pushstring(L, s);
	lua_setfield(L, -2, key);
}

void bind_result_push(lua_State *L, const struct run_outcome *o)
{
	int code = o->timed_out	  ? EXIT_TIMED_OUT
		   : o->signalled ? EXIT_SIGNALLED
				  : o->status;

	lua_createtable(L, 0, 10);
	set_string(L, "command", o->command);
	set_buf(L, "stdout", o->out);
	set_buf(L, "stderr", o->err_out);
	lua_pushinteger(L, code);
	lua_setfield(L, -2, "exit_code");
	lua_pushboolean(L, o->timed_out);
	lua_setfield(L, -2, "timed_out");
	lua_pushboolean(L, o->is_cut);
	lua_setfield(L, -2, "truncated");
	lua_pushnumber(L, (double)o->duration_ns / (double)NS_PER_SEC);
	lua_setfield(L, -2, "duration");
	set_string(L, "status",
		   o->timed_out	  ? "timed_out"
		   : o->signalled ? "signalled"
				  : "exited");
	if (o->signalled && !o->timed_out) {
		lua_pushinteger(L, o->status);
		lua_setfield(L, -2, "signal");
	}
	push_result_item(L, 1);
	lua_setmetatable(L, -2);
}

char *bind_result_note(const struct run_outcome *o)
{
	CLEANUP(buf_done) struct buf b = {0};
	const uint8_t *text = buf_data(o->err_out);
	const uint8_t *end =
	    o->err_out->len ? memchr(text, '\n', o->err_out->len) : NULL;
	size_t n = end ? (size_t)(end - text) : o->err_out->len;

	buf_append(&b, "`", 1);
	stream_escape_tail(&b, o->command, strlen(o->command), SIZE_MAX);
	if (o->timed_out)
		buf_printf(&b, "` timed out");
	else if (o->signalled)
		buf_printf(&b, "` was killed by signal %d", o->status);
	else
		buf_printf(&b, "` exited with %d", o->status);
	if (n) {
		buf_printf(&b, ": ");
		stream_escape_tail(&b, text, n < NOTE_LINE ? n : NOTE_LINE,
				   NOTE_LINE);
	}
	return mem_strndup((char *)buf_data(&b), b.len);
}

void bind_result_push_outputs(lua_State *L, const struct buf *out,
			      const struct buf *err_out)
{
	push_result_item(L, 3);
	bind_result_push_buf(L, out);
	bind_result_push_buf(L, err_out);
	lua_call(L, 2, 1);
}

void bind_result_push_text(lua_State *L)
{
	push_result_item(L, 2);
	lua_pushvalue(L, -2);
	lua_call(L, 1, 1);
}

void bind_result_check(lua_State *L, const char *method)
{
	bind_result_push_text(L);
	if (!lua_isnil(L, -1))
		bind_fail_text(L, method, lua_gettop(L));
	lua_pop(L, 1);
}

/* signal_name(number): "SIGKILL", or "signal 99". */
static int l_signal_name(lua_State *L)
{
	int signo = (int)luaL_checkinteger(L, 1);
	const char *name = sigabbrev_np(signo);

	if (name)
		lua_pushfstring(L, "SIG%s", name);
	else
		lua_pushfstring(L, "signal %d", signo);
	return 1;
}

/* fail_self(value, method) */
static int l_fail_self(lua_State *L)
{
	const char *method = luaL_checkstring(L, 2);

	bind_fail_arg(L, method,
		      "must be called on a result, as %s(...), got %s", method,
		      arg_type_name(L, 1));
}

static int l_fail(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);

	suite_mark(&worker_of(L)->suite, L, text, n);
	bind_fail_text(L, NULL, 1);
}

void bind_result_register(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&result_key);
	lua_pushcfunction(L, l_fail);
	lua_pushcfunction(L, l_signal_name);
	lua_pushcfunction(L, l_fail_self);
	bind_push_limits(L);
	lua_state_run_blob(L, "runner/lua/result.lua", 4);
	lua_rawset(L, LUA_REGISTRYINDEX);
}
