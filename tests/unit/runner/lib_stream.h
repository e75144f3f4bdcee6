/* SPDX-License-Identifier: MIT */
/*
 * Streams in Lua without a guest: globals
 *	stream(type?)		a stream; "tail", "capture", "console"
 *	put(s, bytes, more?)	a frame arrives
 *	finish(s, why?)		the end, or a break
 */
#ifndef TESTS_RUNNER_LIB_STREAM_H
#define TESTS_RUNNER_LIB_STREAM_H

#include <lua.h>

void lib_stream_install(lua_State *L);

#endif
