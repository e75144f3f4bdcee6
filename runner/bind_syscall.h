/* SPDX-License-Identifier: MIT */
/* Raw system calls in Lua: what syscall, syscall_async and ioctl share. */
#ifndef RUNNER_BIND_SYSCALL_H
#define RUNNER_BIND_SYSCALL_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/msg.h"
#include "streams/client.h"

/* The request, in a userdata: reading the arguments may raise. */
struct syscall_args {
	struct msg m;
	struct buf items;
	struct buf nested;
	uint8_t ptrs[MSG_SYSCALL_BUFS];
};

/* Pushes an empty one. */
struct syscall_args *syscall_args_new(lua_State *L);
/* (nr, a1..a6) or (nr, {...}) from idx on; pushes the request. */
struct syscall_args *syscall_args_read(lua_State *L, const char *method,
				       int idx);
/* Adds the strings of the list at idx to its buffers. */
void syscall_args_bufs(lua_State *L, const char *method, int idx,
		       struct syscall_args *a);
/* Buffers are counted from 0 here. */
void syscall_args_nest(struct syscall_args *a, uint32_t parent, uint32_t child,
		       uint64_t offset);

/* Pushes {ret, result, errno, out_bufs}; has_data: the first buffer is
 * out_data, and out_bufs are the others. */
void syscall_push_outcome(lua_State *L, const struct msg_syscall_done *d,
			  bool has_data);

/* For `return`: makes the call and answers its outcome. */
int syscall_await(lua_State *L, const char *method, struct client *c,
		  const struct syscall_args *a, bool has_data);

/* bind_ioctl.c: ioctl, read_mem; bind_call.c: syscall_async. */
void bind_ioctl_register(lua_State *L);
void bind_call_register(lua_State *L);

#endif
