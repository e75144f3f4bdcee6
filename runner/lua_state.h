/* SPDX-License-Identifier: MIT */
/*
 * The LuaJIT state of a worker: its libraries, how files are loaded, where
 * errors point to. A frame is the author's when its chunk came from a file;
 * provium's own Lua is loaded with other chunk names and never blamed.
 */
#ifndef RUNNER_LUA_STATE_H
#define RUNNER_LUA_STATE_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

struct worker;

#define SITE_FILE_MAX 512

/* A line in an author's file. */
struct site {
	char file[SITE_FILE_MAX]; /* "": none known */
	int line;
};

/* Why a protected call failed. Strings are owned. */
struct failure {
	char *message;	  /* any bytes, and a NUL behind them; NULL: none */
	size_t message_n; /* bytes of message */
	char *trace;	  /* a frame a line */
	struct site site;
	size_t rest; /* offset in message behind a place; only of an origin */
};
void failure_done(struct failure *f);
/* Replaces the message by a copy of the n bytes at text. */
void failure_set_message(struct failure *f, const char *text, size_t n);
/* The same for a C string. */
void failure_set_text(struct failure *f, const char *text);

/* All that does not depend on a worker: once for the workers of a run, which
 * are forked with it. NULL with err. lua_close() it. */
lua_State *lua_state_new(struct err *err);
/* Before anything is called in it: whose it is, borrowed. */
void lua_state_give(lua_State *L, struct worker *w);

/* Nearest author's frame of L; false, and an empty site, without one. */
bool lua_state_site(lua_State *L, struct site *ret);
/* Nearest frame in a *.test.lua or *.fixture.lua: what creation sites name. */
bool lua_state_test_site(lua_State *L, struct site *ret);
/* Of a frame for which lua_getinfo() has filled "Sln": it is in a file of an
 * author's; in a *.test.lua or *.fixture.lua. */
bool lua_state_is_author_frame(const lua_Debug *ar);
bool lua_state_is_test_frame(const lua_Debug *ar);
/* Appends "x.test.lua:12: in function at line 9". */
void lua_state_frame_text(const lua_Debug *ar, struct buf *out);
/* Appends the author's frames and the C functions that they called. */
void lua_state_trace(lua_State *L, struct buf *out);

/*
 * Pushes the chunk of a file, or fills f with file, line and, for syntax of
 * later Luas, what LuaJIT offers instead. display names it in messages.
 */
int lua_state_load_file(lua_State *L, const char *path, const char *display,
			struct failure *f);

/* lua_pcall() with a handler that fills f. Returns 0 or -EIO; then nothing is
 * pushed. f must be zeroed. */
int lua_state_call(lua_State *L, int n_args, int n_results, struct failure *f);

/* Remembers where the error text on top of the thread co was raised: the text
 * passes on to another thread, whose lua_state_call() tells that place and that
 * trace. L is the thread that runs. LuaJIT does not know the line of the
 * innermost frame of a thread that is dead: an error handler in co can. */
void lua_state_keep_origin(lua_State *L, lua_State *co);
/* The text on top says more now, behind its first line's place. */
void lua_state_rename_origin(lua_State *co);
/* As lua_state_keep_origin(), for a text on top that ends in take->message:
 * take has the place and the trace, and is emptied. */
void lua_state_take_origin(lua_State *L, struct failure *take);

/* Runs an embedded file of runner/lua, with the n_args values on the stack,
 * and pushes the one value it returns. An error in it is our bug. */
void lua_state_run_blob(lua_State *L, const char *name, int n_args);

/* "30s", "1.5s", "500ms". */
#define DURATION_TEXT_MAX 32
const char *duration_text(int64_t ns, char out[DURATION_TEXT_MAX]);

#endif
