/* SPDX-License-Identifier: MIT */
/* Process in Lua: what vm:run_async() answers. */
#ifndef RUNNER_BIND_PROCESS_H
#define RUNNER_BIND_PROCESS_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "runner/bind.h"
#include "streams/client.h"
#include "streams/stream.h"

extern const struct object_class process_class;

/* For `return`: waits until the process of that handle has exited, and answers
 * its RunResult; a time-out raises and changes nothing. */
int process_await_exit(lua_State *L, const char *method, struct client *c,
		       struct stream_list *streams, uint64_t handle,
		       const char *command, int64_t span_ns);

/* The process whose output a stream is. command is the object's, and so
 * borrowed until it is closed. */
struct process_ask {
	struct client *client;
	uint64_t handle;
	const char *command;
	int fd; /* 1 or 2 */
};
/* False: the stream object at idx is of something else, or its process or guest
 * is gone. */
bool process_of_stream(lua_State *L, int idx, struct process_ask *ret);
/* Asks for an output from its oldest byte kept on, until the process exits or
 * the deadline; owned. */
struct call *process_start_output(struct client *c, uint64_t handle, uint8_t fd,
				  int64_t deadline_ns);

/* A signal: a number, or a name with or without SIG, in any case. */
int process_arg_signal(lua_State *L, const char *method, int idx,
		       int otherwise);

void bind_process_register(lua_State *L);

#endif
