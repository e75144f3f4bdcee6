/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: a chunk's name says whose it is. Files of authors are
 * loaded as "@" + the path that reports show; the embedded ones as
 * "=[provium]". Walking the stack for the nearest "@" is all that is needed
 * to blame a line. Messages of Lua itself carry a shortened chunk name; the
 * handler of protected calls recognises that prefix in the frame it belongs
 * to, and moves it into the site.
 */
#include "runner/lua_state.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/bind.h"
#include "runner/bind_test.h"
#include "runner/frames.h"
#include "runner/load.h"
#include "runner/lua_blob.h"
#include "runner/task.h"
#include "runner/worker.h"

/* Frames of a deep stack that a trace shows: the newest and the oldest. Each
 * is found by counting from the newest on. */
#define TRACE_TOP    40
#define TRACE_BOTTOM 10

static const char worker_key;

struct worker *worker_of(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&worker_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	struct worker *w = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return w;
}

void failure_done(struct failure *f)
{
	free(f->message);
	free(f->trace);
	*f = (struct failure){0};
}

void failure_set_message(struct failure *f, const char *text, size_t n)
{
	char *copy = mem_alloc(n + 1);

	memcpy(copy, text, n);
	copy[n] = '\0';
	free(f->message);
	f->message = copy;
	f->message_n = n;
}

void failure_set_text(struct failure *f, const char *text)
{
	failure_set_message(f, text, strlen(text));
}

bool lua_state_is_author_frame(const lua_Debug *ar)
{
	return ar->source[0] == '@' && ar->currentline > 0;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s);
	size_t m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

bool lua_state_is_test_frame(const lua_Debug *ar)
{
	return ends_with(ar->source, ".test.lua") ||
	       ends_with(ar->source, ".fixture.lua");
}

static void site_set(struct site *s, const char *file, int line)
{
	snprintf(s->file, sizeof(s->file), "%s", file);
	s->line = line;
}

static bool find_site(lua_State *L, bool only_tests, struct site *ret)
{
	lua_Debug ar;

	for (int level = 0; lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "Sl", &ar);
		if (!lua_state_is_author_frame(&ar))
			continue;
		if (only_tests && !lua_state_is_test_frame(&ar))
			continue;
		site_set(ret, ar.source + 1, ar.currentline);
		return true;
	}
	*ret = (struct site){0};
	return false;
}

bool lua_state_site(lua_State *L, struct site *ret)
{
	return find_site(L, false, ret);
}

bool lua_state_test_site(lua_State *L, struct site *ret)
{
	return find_site(L, true, ret);
}

void lua_state_frame_text(const lua_Debug *ar, struct buf *out)
{
	buf_printf(out, "%s:%d: in ", ar->source + 1, ar->currentline);
	if (!strcmp(ar->what, "main"))
		buf_printf(out, "the file");
	else if (ar->name)
		buf_printf(out, "%s %s",
			   *ar->namewhat ? ar->namewhat : "function", ar->name);
	else
		buf_printf(out, "function at line %d", ar->linedefined);
}

/* Ends the line of a frame that stands *n times in a row; 0: there is none. */
static void end_frame(struct buf *out, int *n)
{
	if (*n > 1)
		buf_printf(out, ", %d times", *n);
	if (*n)
		buf_append(out, "\n", 1);
	*n = 0;
}

static int count_levels(lua_State *L)
{
	lua_Debug ar;
	int below = 0, above = 1;

	while (lua_getstack(L, above, &ar))
		above *= 2;
	while (below < above) {
		int middle = (below + above) / 2;

		if (lua_getstack(L, middle, &ar))
			below = middle + 1;
		else
			above = middle;
	}
	return below;
}

void lua_state_trace(lua_State *L, struct buf *out)
{
	CLEANUP(buf_done) struct buf last = {0};
	CLEANUP(buf_done) struct buf frame = {0};
	int n = count_levels(L), same = 0;
	lua_Debug ar;

	for (int level = 0; level < n && lua_getstack(L, level, &ar); level++) {
		if (level == TRACE_TOP && n > TRACE_TOP + TRACE_BOTTOM) {
			end_frame(out, &same);
			int more = n - TRACE_TOP - TRACE_BOTTOM;

			buf_printf(out, "... %d frame%s more\n", more,
				   more == 1 ? "" : "s");
			level = n - TRACE_BOTTOM - 1;
			continue;
		}
		lua_getinfo(L, "Sln", &ar);
		if (!lua_state_is_author_frame(&ar))
			continue;
		buf_reset(&frame);
		lua_state_frame_text(&ar, &frame);
		if (same && frame.len == last.len &&
		    !memcmp(buf_data(&frame), buf_data(&last), last.len)) {
			same++;
			continue;
		}
		end_frame(out, &same);
		buf_append(out, buf_data(&frame), frame.len);
		buf_reset(&last);
		buf_append(&last, buf_data(&frame), frame.len);
		same = 1;
	}
	end_frame(out, &same);
}

/* If msg begins with the position in an author's frame of the stack, returns
 * what follows, and the site. */
static const char *strip_position(lua_State *L, const char *msg,
				  struct site *ret)
{
	lua_Debug ar;

	for (int level = 0; lua_getstack(L, level, &ar); level++) {
		const char *forms[2];

		lua_getinfo(L, "Sl", &ar);
		if (ar.source[0] != '@')
			continue;
		forms[0] = ar.source + 1;
		forms[1] = ar.short_src;
		for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
			size_t n = strlen(forms[i]);
			char *end;

			if (strncmp(msg, forms[i], n) != 0 || msg[n] != ':')
				continue;
			long line = strtol(msg + n + 1, &end, 10);
			if (end == msg + n + 1 || strncmp(end, ": ", 2) != 0)
				continue;
			site_set(ret, ar.source + 1, (int)line);
			return end + 2;
		}
	}
	return NULL;
}

/* 1: any value. Its text. */
static int show_value(lua_State *L)
{
	if (luaL_callmeta(L, 1, "__tostring") && lua_isstring(L, -1))
		return 1;
	lua_pushfstring(L, "(an error value that is a %s) ",
			luaL_typename(L, 1));
	bind_test_push_show(L);
	lua_pushvalue(L, 1);
	lua_call(L, 1, 1);
	lua_concat(L, 2);
	return 1;
}

static const char *value_text(lua_State *L, size_t *ret_n)
{
	if (lua_isstring(L, 1))
		return lua_tolstring(L, 1, ret_n);
	lua_pushcfunction(L, show_value);
	lua_pushvalue(L, 1);
	/* Where showing it raises, that error is the text. */
	if (lua_pcall(L, 1, 1, 0) && !lua_isstring(L, -1))
		lua_pushfstring(L, "(an error value that is a %s)",
				luaL_typename(L, 1));
	return lua_tolstring(L, -1, ret_n);
}

/* Sets the place and the trace of the error in the thread L. Returns what
 * follows the place in its text. */
static const char *describe_origin(lua_State *L, const char *text,
				   struct failure *f)
{
	CLEANUP(buf_done) struct buf trace = {0};
	const char *rest = strip_position(L, text, &f->site);

	if (!rest)
		lua_state_site(L, &f->site);
	lua_state_trace(L, &trace);
	f->trace =
	    mem_strndup(trace.len ? (char *)buf_data(&trace) : "", trace.len);
	return rest ? rest : text;
}

/* Whether the origin of this error is known: a task that ran no line of the
 * author's has no place, and the thread that waits for it has one. */
static bool is_origin(const struct worker *w, const char *text, size_t n)
{
	const struct failure *origin = &w->origin;

	return origin->message && origin->site.file[0] &&
	       origin->message_n == n && memcmp(origin->message, text, n) == 0;
}

static void keep_origin(lua_State *run, lua_State *L, struct failure *take,
			size_t rest)
{
	struct failure *origin = &worker_of(L)->origin;
	size_t n;
	const char *text = lua_tolstring(L, -1, &n);

	frames_keep(run, L, FRAMES_OF_ORIGIN);
	failure_done(origin);
	*origin = *take;
	*take = (struct failure){0};
	failure_set_message(origin, text, n);
	origin->rest = rest;
}

void lua_state_keep_origin(lua_State *L, lua_State *co)
{
	size_t n;
	const char *text = lua_tolstring(co, -1, &n);
	struct failure f = {0};

	/* A task of the thread raised it, and has more to tell. */
	if (is_origin(worker_of(co), text, n))
		return;
	const char *rest = describe_origin(co, text, &f);
	keep_origin(L, co, &f, (size_t)(rest - text));
}

void lua_state_rename_origin(lua_State *co)
{
	size_t n;
	const char *text = lua_tolstring(co, -1, &n);

	failure_set_message(&worker_of(co)->origin, text, n);
}

void lua_state_take_origin(lua_State *L, struct failure *take)
{
	keep_origin(L, L, take, lua_objlen(L, -1) - take->message_n);
}

/* The handler; upvalue 1 is the struct failure to fill. */
static int on_error(lua_State *L)
{
	struct failure *f = lua_touserdata(L, lua_upvalueindex(1));
	struct failure *origin = &worker_of(L)->origin;
	size_t n;

	if (f->message)
		return 1;
	const char *text = value_text(L, &n);
	if (is_origin(worker_of(L), text, n)) {
		frames_move(L, FRAMES_OF_ORIGIN, FRAMES_OF_RAISED);
		*f = *origin;
		*origin = (struct failure){0};
		failure_set_message(f, text + f->rest, n - f->rest);
	} else {
		const char *rest = describe_origin(L, text, f);

		frames_keep(L, L, FRAMES_OF_RAISED);
		failure_set_message(f, rest, n - (size_t)(rest - text));
	}
	lua_settop(L, 1);
	return 1;
}

int lua_state_call(lua_State *L, int n_args, int n_results, struct failure *f)
{
	int handler = lua_gettop(L) - n_args;

	lua_pushlightuserdata(L, f);
	lua_pushcclosure(L, on_error, 1);
	lua_insert(L, handler);
	int status = lua_pcall(L, n_args, n_results, handler);
	lua_remove(L, handler);
	if (!status)
		return 0;
	if (!f->message) {
		size_t n = 0;
		const char *text = lua_tolstring(L, -1, &n);

		if (text)
			failure_set_message(f, text, n);
		else
			failure_set_text(f, "error in error handling");
	}
	if (!f->trace)
		f->trace = mem_strdup("");
	lua_pop(L, 1);
	return -EIO;
}

void lua_state_run_blob(lua_State *L, const char *name, int n_args)
{
	for (const struct lua_blob *b = lua_blobs; b->name; b++) {
		if (strcmp(b->name, name) != 0)
			continue;
		if (luaL_loadbuffer(L, b->text, strlen(b->text), "=[provium]"))
			lua_error(L);
		lua_insert(L, -1 - n_args);
		lua_call(L, n_args, 1);
		return;
	}
	luaL_error(L, "%s is not embedded", name);
}

/* os.exit would end the worker behind the runner's back. */
static int no_exit(lua_State *L)
{
	bind_fail(L, "os.exit: a test must not end the runner; "
		     "use t:fail(), t:skip() or return");
}

static int print_to_log(lua_State *L)
{
	struct worker *w = worker_of(L);
	const char *test = suite_running_name(&w->suite);
	int n = lua_gettop(L);
	luaL_Buffer b;
	size_t len;

	/* The buffer keeps pieces on the stack: converted ones come first. */
	lua_getglobal(L, "tostring");
	for (int i = 1; i <= n; i++) {
		lua_pushvalue(L, n + 1);
		lua_pushvalue(L, i);
		lua_call(L, 1, 1);
		if (!lua_isstring(L, -1))
			bind_fail(L, "print: 'tostring' must return a string");
		lua_replace(L, i);
	}
	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++) {
		if (i > 1)
			luaL_addchar(&b, '\t');
		lua_pushvalue(L, i);
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	const char *text = lua_tolstring(L, -1, &len);
	/* A finalizer of the state that is being closed: no event may follow,
	 * but the file's output may. */
	if (w->is_over) {
		fwrite(text, 1, len, stdout);
		fputc('\n', stdout);
		fflush(stdout);
		return 0;
	}
	json_t *ev = event_begin("log");
	if (test)
		json_object_set_new(ev, "test",
				    event_string(test, strlen(test)));
	json_object_set_new(ev, "text", event_string(text, len));
	worker_emit(w, ev);
	return 0;
}

static int open_state(lua_State *L)
{
	luaL_openlibs(L);
	lua_pushcfunction(L, print_to_log);
	lua_setglobal(L, "print");
	lua_getglobal(L, "os");
	lua_pushcfunction(L, no_exit);
	lua_setfield(L, -2, "exit");
	lua_pop(L, 1);
	load_install(L);
	task_install(L);
	bind_register_all(L);
	return 0;
}

void lua_state_give(lua_State *L, struct worker *w)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&worker_key);
	lua_pushlightuserdata(L, w);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

lua_State *lua_state_new(struct err *err)
{
	lua_State *L = luaL_newstate();

	if (!L) {
		err_set(err, -ENOMEM, "cannot create a Lua state");
		return NULL;
	}
	if (lua_cpcall(L, open_state, NULL)) {
		err_set(err, -EINVAL, "cannot set up Lua: %s",
			lua_tostring(L, -1));
		lua_close(L);
		return NULL;
	}
	return L;
}

const char *duration_text(int64_t ns, char out[DURATION_TEXT_MAX])
{
	if (ns < NS_PER_SEC && ns % NS_PER_MS == 0)
		snprintf(out, DURATION_TEXT_MAX, "%dms", (int)(ns / NS_PER_MS));
	else
		snprintf(out, DURATION_TEXT_MAX, "%.6gs",
			 (double)ns / (double)NS_PER_SEC);
	return out;
}
