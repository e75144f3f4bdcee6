/* SPDX-License-Identifier: MIT */
/* What a baseline is made of is runner/lua/lab_snapshot.lua's; here is when. */
#include "runner/baseline.h"

#include <lauxlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/clock.h"
#include "runner/bind_stream.h"
#include "runner/worker.h"

/* Of all the file's VMs together. */
#define BASELINE_TIMEOUT_NS (300 * NS_PER_SEC)

static const char take_key, restore_key, kept_key;

static void baseline_set(lua_State *L, const void *key)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)key);
	lua_insert(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

static void baseline_get(lua_State *L, const void *key)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)key);
	lua_rawget(L, LUA_REGISTRYINDEX);
}

int baseline_l_set(lua_State *L)
{
	lua_settop(L, 2);
	baseline_set(L, &restore_key);
	baseline_set(L, &take_key);
	return 0;
}

int baseline_check(struct worker *w, struct failure *f)
{
	const struct object *o =
	    TAILQ_FIRST(&w->file_scope->objects[RANK_STREAM]);
	struct buf text = {0};

	if (!o)
		return 0;
	buf_printf(&text, "reset_between_tests: ");
	stream_object_describe(o, &text);
	buf_printf(&text, " is open at the end of the file's chunk: close it, "
			  "or open it in the tests");
	failure_set_message(f, (char *)buf_data(&text), text.len);
	f->trace = mem_strdup("");
	f->site = o->site;
	buf_done(&text);
	return -1;
}

static int call(struct worker *w, const void *fn, int n_args, int n_results,
		struct failure *f)
{
	int status;

	baseline_get(w->L, fn);
	lua_insert(w->L, -n_args - 1);
	await_set_timeout(&w->await, BASELINE_TIMEOUT_NS);
	status = lua_state_call(w->L, n_args, n_results, f);
	await_set_timeout(&w->await, CLOCK_NEVER);
	if (status) {
		struct buf text = {0};

		buf_printf(&text, "reset_between_tests: ");
		buf_append(&text, f->message, f->message_n);
		failure_set_message(f, (char *)buf_data(&text), text.len);
		buf_done(&text);
	}
	return status ? -1 : 0;
}

int baseline_take(struct worker *w, struct failure *f)
{
	if (call(w, &take_key, 0, 1, f))
		return -1;
	baseline_set(w->L, &kept_key);
	return 0;
}

int baseline_restore(struct worker *w, struct failure *f)
{
	baseline_get(w->L, &kept_key);
	return call(w, &restore_key, 1, 0, f);
}
