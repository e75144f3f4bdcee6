/* SPDX-License-Identifier: MIT */
#include "tests/unit/runner/lib_stream.h"

#include <errno.h>
#include <lauxlib.h>

#include "runner/bind_stream.h"
#include "runner/bind_stream_object.h"
#include "runner/worker.h"

static void on_consumed(void *ctx, size_t n)
{
	(void)ctx;
	(void)n;
}

static void on_close(void *ctx)
{
	(void)ctx;
}

static int l_stream(lua_State *L)
{
	static const struct stream_source source = {.consumed = on_consumed,
						    .close = on_close};
	static const char *const types[] = {
	    [STREAM_TAIL] = "tail",
	    [STREAM_CAPTURE] = "capture",
	    [STREAM_CONSOLE] = "console",
	    [STREAM_TYPES] = NULL,
	};
	int type = luaL_checkoption(L, 1, "tail", types);
	struct stream_label label;
	struct site site;

	stream_label_here(L, "tail_file", "x", &site, &label);
	stream_push(L,
		    stream_new(worker_of(L)->loop, (enum stream_type)type,
			       &label, NULL, &source, NULL),
		    0);
	return 1;
}

static struct stream *stream_at(lua_State *L)
{
	struct stream_object *so =
	    object_check(L, 1, &stream_class, "lib_stream");

	if (!so->stream)
		luaL_error(L, "the stream is closed");
	return so->stream;
}

static int l_put(lua_State *L)
{
	size_t n;
	const char *p = luaL_checklstring(L, 2, &n);

	stream_deliver(stream_at(L), p, n, lua_toboolean(L, 3));
	return 0;
}

static int l_finish(lua_State *L)
{
	struct err err;

	if (lua_isnoneornil(L, 2)) {
		stream_end(stream_at(L), NULL);
		return 0;
	}
	err_set(&err, -EIO, "%s", luaL_checkstring(L, 2));
	stream_end(stream_at(L), &err);
	return 0;
}

void lib_stream_install(lua_State *L)
{
	lua_register(L, "stream", l_stream);
	lua_register(L, "put", l_put);
	lua_register(L, "finish", l_finish);
}
