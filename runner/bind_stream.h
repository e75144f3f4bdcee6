/* SPDX-License-Identifier: MIT */
/*
 * Streams in Lua: Tail, Capture and ConsoleStream share one class and one set
 * of methods; who opens them differs.
 */
#ifndef RUNNER_BIND_STREAM_H
#define RUNNER_BIND_STREAM_H

#include <lua.h>

#include "agent-proto/msg.h"
#include "runner/bind.h"
#include "streams/client.h"
#include "streams/stream.h"

extern const struct object_class stream_class;

/*
 * For `return`: opens a Tail with req, which the callee encodes before it
 * returns, on the VM or process object at owner_idx, and answers the stream.
 * kind is static; detail is copied. An output of a process that may begin with
 * the oldest byte kept (MSG_OUTPUT_HELD) has a second result: the number of
 * bytes dropped before it.
 */
int stream_open_tail(lua_State *L, const char *method, int owner_idx,
		     struct client *c, struct stream_list *list,
		     const struct msg *req, const char *kind,
		     const char *detail);

/* The label of a stream that the running Lua code opens; *site backs it. */
void stream_label_here(lua_State *L, const char *kind, const char *detail,
		       struct site *site, struct stream_label *ret);

/* The stream of the object at 1 for a call that takes bytes, NULL when it is
 * closed, and its type. Raises while it is written to a file. */
struct stream *stream_object_check(lua_State *L, const char *method,
				   enum stream_type *ret_type);

/* For await_tell(), of calls that keep the stream's object first: pushes what
 * is pending, as a text. */
void stream_tell_pending(lua_State *L, void *p);

/* What a trail says of a call that waits for the pattern; owned. */
char *bind_stream_pattern_note(const void *p, size_t n);

/* Appends "proc_stdout_stream of yes, opened at x.test.lua:3". */
void stream_object_describe(const struct object *o, struct buf *out);

/* Pushes an object for a stream, which it takes. */
void stream_push(lua_State *L, struct stream *take_s, int owner_idx);

/* The start option of a tail: whence and offset of MSG_TAIL. idx: the value's
 * stack index, 0 for none. */
void stream_check_start(lua_State *L, const char *method, int idx,
			uint8_t *ret_whence, int64_t *ret_offset);

void bind_stream_register(lua_State *L);
/* The VM's methods that open Tails; bind_stream_register() calls it. */
void bind_tail_extend(lua_State *L);

#endif
