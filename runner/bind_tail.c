/* SPDX-License-Identifier: MIT */
/*
 * Opening Tails: vm:tail_file, vm:fd_stream, and what files and processes
 * share with them.
 */
#include <math.h>
#include <string.h>

#include "runner/await.h"
#include "runner/bind_file.h"
#include "runner/bind_stream.h"
#include "runner/bind_vm.h"
#include "streams/tail.h"

struct tail_call {
	struct tail_open open;
	const char *method;
	bool tells_start; /* where the stream starts is the second result */
};

static void tail_release(void *p)
{
	struct tail_call *t = p;

	tail_open_done(&t->open);
}

/* 1: the owner. */
static int tail_finish(lua_State *L, void *p)
{
	struct tail_call *t = p;

	if (t->open.op.result < 0)
		bind_fail_err(L, t->method, &t->open.op.err);
	struct stream *s = t->open.stream;
	t->open.stream = NULL;
	stream_push(L, s, 1);
	if (!t->tells_start)
		return 1;
	bind_push_i64(L, t->open.start);
	return 2;
}

int stream_open_tail(lua_State *L, const char *method, int owner_idx,
		     struct client *c, struct stream_list *list,
		     const struct msg *req, const char *kind,
		     const char *detail)
{
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct tail_call *t = await_new(L, method, sizeof(*t), tail_release);
	struct stream_label label;
	struct site site;

	t->method = method;
	stream_label_here(L, kind, detail, &site, &label);
	if (req->type == MSG_PROC_OUTPUT) {
		label.process = req->proc_output.handle;
		t->tells_start = req->proc_output.flags & MSG_OUTPUT_HELD;
	}
	tail_open_start(&t->open, c, req, &label, list, deadline);
	await_keep(L, lua_gettop(L), owner_idx);
	return await(L, t, &t->open.op, tail_finish);
}

void stream_check_start(lua_State *L, const char *method, int idx,
			uint8_t *ret_whence, int64_t *ret_offset)
{
	*ret_whence = MSG_TAIL_END;
	*ret_offset = 0;
	if (!idx || lua_isnil(L, idx))
		return;
	if (lua_type(L, idx) == LUA_TSTRING) {
		const char *s = arg_string(L, method, idx, "start");

		if (!strcmp(s, "end"))
			return;
		if (strcmp(s, "beginning") != 0 && strcmp(s, "start") != 0)
			bind_fail_arg(
			    L, method,
			    "start: got \"%s\", want "
			    "\"end\", \"beginning\", \"start\" or a number",
			    s);
		*ret_whence = MSG_TAIL_START;
		return;
	}
	if (lua_type(L, idx) != LUA_TNUMBER)
		bind_fail_arg(L, method,
			      "start: got %s, want \"end\", "
			      "\"beginning\", \"start\" or a number",
			      arg_type_name(L, idx));
	double n = trunc(lua_tonumber(L, idx));
	if (!(fabs(n) < 9007199254740992.0))
		bind_fail_arg(L, method, "start: not an offset of a file");
	*ret_whence = n < 0 ? MSG_TAIL_BEFORE : MSG_TAIL_START;
	*ret_offset = (int64_t)fabs(n);
}

static int vm_tail_file(lua_State *L)
{
	static const char method[] = "vm:tail_file";
	struct tail_options {
		int start;
	} o = {0};
	static const struct opt opts[] = {
	    {"start", OPT_VALUE, offsetof(struct tail_options, start)},
	    {NULL, OPT_BOOL, 0},
	};
	struct vm_object *vm = vm_check(L, 1, method);
	const char *path = arg_path(L, method, 2, "path");
	struct msg req = {.type = MSG_TAIL};

	bind_options(L, method, arg_opt_table(L, method, 3, "options"), opts,
		     &o);
	stream_check_start(L, method, o.start, &req.tail.whence,
			   &req.tail.offset);
	req.tail.path = path;
	return stream_open_tail(L, method, 1, vm_object_client(L, vm, method),
				vm_streams(vm->vm), &req, "tail_file", path);
}

static int vm_fd_stream(lua_State *L)
{
	static const char method[] = "vm:fd_stream";
	struct vm_object *vm = vm_check(L, 1, method);
	struct msg req = {.type = MSG_FD_STREAM};
	char detail[32];

	req.fd_stream.fd = file_arg_fd(L, method, 2, &vm->obj);
	snprintf(detail, sizeof(detail), "fd %d", (int)req.fd_stream.fd);
	return stream_open_tail(L, method, 1, vm_object_client(L, vm, method),
				vm_streams(vm->vm), &req, "fd_stream", detail);
}

static const struct bind_method vm_stream_methods[] = {
    {"tail_file", vm_tail_file, 2},
    {"fd_stream", vm_fd_stream, 1},
    {NULL, NULL, 0},
};

void bind_tail_extend(lua_State *L)
{
	bind_class_extend(L, &vm_class, vm_stream_methods);
}
