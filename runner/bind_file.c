/* SPDX-License-Identifier: MIT */
/*
 * A File is a handle that the agent holds: position and flags live in the
 * guest, so what another process does to the file is seen. Every method is
 * one request.
 */
#include "runner/bind_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind_stream.h"
#include "runner/bind_vm.h"
#include "streams/client.h"

#define FILE_PATH_MAX 256 /* of the path, in messages */

struct file_object {
	struct object obj;
	struct vm_object *vm; /* the owner */
	uint64_t handle;
	int32_t fd;
	unsigned boots; /* of the VM, when it was opened */
	bool is_open;
	char path[FILE_PATH_MAX];
};

static void file_object_close(void *p)
{
	struct file_object *f = p;

	if (!f->is_open)
		return;
	f->is_open = false;
	vm_object_release(f->vm, f->boots, f->handle);
}

static struct file_object *check_open(lua_State *L, int idx, const char *method)
{
	struct file_object *f = object_check(L, idx, &file_class, method);

	if (!f->is_open)
		bind_fail_arg(L, method, "file is closed");
	if (f->boots != f->vm->boots)
		bind_fail_arg(L, method,
			      "the file is gone: the guest was started anew "
			      "since");
	return f;
}

static struct file_object *file_check(lua_State *L, const char *method)
{
	return check_open(L, 1, method);
}

int32_t file_object_fd(lua_State *L, int idx, const struct vm_object *vm,
		       const char *method)
{
	struct file_object *f = check_open(L, idx, method);

	if (f->vm != vm)
		bind_fail_arg(L, method, "the file is open in VM %s, not in %s",
			      f->vm->name, vm->name);
	return f->fd;
}

/* --- open ------------------------------------------------------------------
 */

struct open_call {
	struct call *call;
	struct vm_object *vm;
	uint64_t handle;
	unsigned boots;
	bool is_taken; /* by the object that was made for it */
	char path[FILE_PATH_MAX];
};

static void open_release(void *p)
{
	struct open_call *o = p;

	call_free(o->call);
	if (!o->is_taken && o->handle)
		vm_object_release(o->vm, o->boots, o->handle);
}

/* 1: the VM. */
static int open_finish(lua_State *L, void *p)
{
	struct open_call *o = p;
	struct call *call = o->call;

	if (call->op.result < 0)
		bind_fail_err(L, "vm:open_file", &call->op.err);
	if (object_is_closed(&o->vm->obj))
		bind_fail_arg(L, "vm:open_file", "the VM was closed");
	struct file_object *f = object_new(L, &file_class, 1);
	o->is_taken = true;
	f->boots = o->boots;
	f->vm = o->vm;
	f->handle = o->handle;
	f->fd = (int32_t)call->reply.done.value;
	f->is_open = true;
	memcpy(f->path, o->path, sizeof(f->path));
	return 1;
}

struct open_options {
	bool read;
	bool write;
	bool create;
	bool truncate;
	bool append;
	bool exclusive;
	int64_t perm;
};

static uint32_t open_flags(const struct open_options *o)
{
	return (o->read ? MSG_OPEN_READ : 0) | (o->write ? MSG_OPEN_WRITE : 0) |
	       (o->append ? MSG_OPEN_APPEND : 0) |
	       (o->create ? MSG_OPEN_CREATE : 0) |
	       (o->truncate ? MSG_OPEN_TRUNCATE : 0) |
	       (o->exclusive ? MSG_OPEN_EXCLUSIVE : 0);
}

static int vm_open_file(lua_State *L)
{
	static const char method[] = "vm:open_file";
#define O(key, type)                                                           \
	{                                                                      \
#key, type, offsetof(struct open_options, key)                 \
	}
	static const struct opt opts[] = {
	    O(read, OPT_BOOL),	   O(write, OPT_BOOL),	O(create, OPT_BOOL),
	    O(truncate, OPT_BOOL), O(append, OPT_BOOL), O(exclusive, OPT_BOOL),
	    O(perm, OPT_INT),	   {NULL, OPT_BOOL, 0},
	};
#undef O
	struct vm_object *vm = vm_check(L, 1, method);
	struct open_options o = {.perm = 0644};
	struct msg m = {.type = MSG_FILE_OPEN};

	m.file_open.path = arg_path(L, method, 2, "path");
	bind_options(L, method, arg_opt_table(L, method, 3, "opts"), opts, &o);
	if (!o.read && !o.write && !o.append)
		bind_fail_arg(L, method,
			      "opts: say at least one of read, write, append");
	if (o.perm < 0 || o.perm > 07777)
		bind_fail_arg(L, method, "perm: want 0 to 4095 (octal 7777)");
	struct client *c = vm_object_client(L, vm, method);
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct open_call *oc = await_new(L, method, sizeof(*oc), open_release);
	await_keep(L, lua_gettop(L), 1);
	oc->vm = vm;
	oc->boots = vm->boots;
	oc->handle = client_new_handle(c);
	snprintf(oc->path, sizeof(oc->path), "%s", m.file_open.path);
	m.file_open.handle = oc->handle;
	m.file_open.flags = open_flags(&o);
	m.file_open.perm = (uint32_t)o.perm;
	oc->call = call_new(c);
	call_start(oc->call, &m, NULL, 0, deadline);
	return await(L, oc, &oc->call->op, open_finish);
}

/* --- requests on a handle --------------------------------------------------
 */

struct file_call {
	struct call *call;
	const char *method;
};

static void file_release(void *p)
{
	struct file_call *fc = p;

	call_free(fc->call);
}

static int data_finish(lua_State *L, void *p)
{
	struct file_call *fc = p;

	if (fc->call->op.result < 0)
		bind_fail_err(L, fc->method, &fc->call->op.err);
	lua_pushlstring(L, (const char *)buf_data(&fc->call->data),
			fc->call->data.len);
	return 1;
}

static int value_finish(lua_State *L, void *p)
{
	struct file_call *fc = p;

	if (fc->call->op.result < 0)
		bind_fail_err(L, fc->method, &fc->call->op.err);
	bind_push_i64(L, fc->call->reply.done.value);
	return 1;
}

/* For `return`: one request on the file at 1; kept_idx: a string that is the
 * body, or 0. */
static int file_request(lua_State *L, const char *method, struct file_object *f,
			const struct msg *m, int body_idx, await_cb finish)
{
	struct client *c = vm_object_client(L, f->vm, method);
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct file_call *fc = await_new(L, method, sizeof(*fc), file_release);
	const char *body = NULL;
	size_t n = 0;

	await_keep(L, lua_gettop(L), 1);
	if (body_idx) {
		body = lua_tolstring(L, body_idx, &n);
		await_keep(L, lua_gettop(L), body_idx);
	}
	fc->method = method;
	fc->call = call_new(c);
	call_start(fc->call, m, body, n, deadline);
	return await(L, fc, &fc->call->op, finish);
}

static int l_read(lua_State *L)
{
	static const char method[] = "file:read";
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_FILE_READ};

	m.file_read.handle = f->handle;
	m.file_read.count =
	    (uint64_t)arg_int(L, method, 2, "count", 0, (int64_t)CALL_DATA_MAX);
	return file_request(L, method, f, &m, 0, data_finish);
}

static int l_read_all(lua_State *L)
{
	static const char method[] = "file:read_all";
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_FILE_READ};

	m.file_read.handle = f->handle;
	m.file_read.count = UINT64_MAX;
	return file_request(L, method, f, &m, 0, data_finish);
}

static int l_write(lua_State *L)
{
	static const char method[] = "file:write";
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_FILE_WRITE};
	size_t n;

	arg_bytes(L, method, 2, "data", &n);
	m.file_write.handle = f->handle;
	return file_request(L, method, f, &m, 2, value_finish);
}

static int l_seek(lua_State *L)
{
	static const char method[] = "file:seek";
	static const char *const whences[] = {"set", "cur", "end", NULL};
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_FILE_SEEK};

	m.file_seek.handle = f->handle;
	m.file_seek.offset =
	    arg_int(L, method, 2, "offset", INT64_MIN, INT64_MAX);
	if (!lua_isnoneornil(L, 3))
		m.file_seek.whence =
		    (uint8_t)arg_enum(L, method, 3, "whence", whences);
	return file_request(L, method, f, &m, 0, value_finish);
}

static int l_tell(lua_State *L)
{
	static const char method[] = "file:tell";
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_FILE_SEEK};

	m.file_seek.handle = f->handle;
	m.file_seek.whence = 1;
	return file_request(L, method, f, &m, 0, value_finish);
}

static int l_fd(lua_State *L)
{
	lua_pushinteger(L, file_check(L, "file:fd")->fd);
	return 1;
}

static int l_tail_stream(lua_State *L)
{
	static const char method[] = "file:tail_stream";
	struct tail_options {
		int start;
	} o = {0};
	static const struct opt opts[] = {
	    {"start", OPT_VALUE, offsetof(struct tail_options, start)},
	    {NULL, OPT_BOOL, 0},
	};
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_TAIL_HANDLE};

	bind_options(L, method, arg_opt_table(L, method, 2, "opts"), opts, &o);
	stream_check_start(L, method, o.start, &m.tail_handle.whence,
			   &m.tail_handle.offset);
	m.tail_handle.handle = f->handle;
	return stream_open_tail(
	    L, method, 1, vm_object_client(L, f->vm, method),
	    vm_streams(f->vm->vm), &m, "file_tail_stream", f->path);
}

static const struct bind_method file_methods[] = {
    {"read", l_read},
    {"read_all", l_read_all},
    {"write", l_write},
    {"seek", l_seek},
    {"tell", l_tell},
    {"fd", l_fd},
    {"tail_stream", l_tail_stream},
    {NULL, NULL},
};

const struct object_class file_class = {
    .name = "file",
    .rank = RANK_FILE,
    .size = sizeof(struct file_object),
    .close = file_object_close,
    .methods = file_methods,
};

void bind_file_register(lua_State *L)
{
	static const struct bind_method vm_methods[] = {
	    {"open_file", vm_open_file},
	    {NULL, NULL},
	};

	bind_class(L, &file_class);
	bind_class_extend(L, &vm_class, vm_methods);
}
