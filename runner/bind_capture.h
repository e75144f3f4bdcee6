/* SPDX-License-Identifier: MIT */
/*
 * What a capture has in Lua besides what every stream has: its options, and
 * cap:packets().
 */
#ifndef RUNNER_BIND_CAPTURE_H
#define RUNNER_BIND_CAPTURE_H

#include <lua.h>

#include "streams/capture.h"

/*
 * The options {filter, snaplen} of `method`, from the table at idx (nil or
 * none: the defaults); raises on what is not valid. The filter is borrowed
 * from the table, and not compiled here: capture_new() says what is wrong with
 * it.
 */
void capture_check_options(lua_State *L, const char *method, int idx,
			   struct capture_options *ret);

/* Gives the stream class its packets(). */
void bind_capture_extend(lua_State *L);

#endif
