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
#include "runner/bind_guest.h"
#include "runner/bind_stream.h"
#include "runner/bind_vm.h"
#include "streams/client.h"

#define FILE_PATH_MAX 256 /* of the path, in messages */

struct file_object {
	struct object obj;
	struct guest_handle handle;
	int32_t fd;
	bool is_open;
	char path[FILE_PATH_MAX];
};

static void file_object_close(void *p)
{
	struct file_object *f = p;

	if (!f->is_open)
		return;
	f->is_open = false;
	guest_handle_release(&f->handle);
}

bool file_is_current(const struct object *file)
{
	return guest_handle_is_current(
	    &((const struct file_object *)file)->handle);
}

static struct file_object *bind_file_check_open(lua_State *L, int idx,
						const char *method)
{
	struct file_object *f = object_check(L, idx, &file_class, method);

	if (!f->is_open)
		bind_fail_closed(L, method, &f->obj, "file");
	guest_handle_client(L, &f->handle, "file", method);
	return f;
}

static struct file_object *file_check(lua_State *L, const char *method)
{
	return bind_file_check_open(L, 1, method);
}

int32_t file_arg_fd(lua_State *L, const char *method, int idx,
		    const struct object *guest)
{
	if (!object_test(L, idx, &file_class))
		return (int32_t)arg_int(L, method, idx, "fd", 0, INT32_MAX);
	struct file_object *f = bind_file_check_open(L, idx, method);
	if (f->handle.guest == guest)
		return f->fd;
	struct buf *text = bind_push_buf(L);
	buf_printf(text, "the file is open in ");
	f->handle.guest->class->guest->describe(f->handle.guest, text);
	buf_printf(text, ", not in ");
	guest->class->guest->describe(guest, text);
	bind_fail_arg(L, method, "%.*s", (int)text->len,
		      (const char *)buf_data(text));
}

/* --- open ------------------------------------------------------------------
 */

struct open_call {
	struct call *call;
	const char *method;
	struct guest_handle handle; /* until an object has it */
	char path[FILE_PATH_MAX];
};

static void open_release(void *p)
{
	struct open_call *o = p;

	call_free(o->call);
	guest_handle_release(&o->handle);
}

/* 1: the guest. */
static int open_finish(lua_State *L, void *p)
{
	struct open_call *o = p;
	struct call *call = o->call;

	if (call->op.result < 0)
		bind_fail_err(L, o->method, &call->op.err);
	if (object_is_closed(o->handle.guest))
		bind_fail_arg(L, o->method, "its guest was closed");
	struct file_object *f = object_new(L, &file_class, 1);
	f->handle = o->handle;
	o->handle.id = 0;
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

static uint32_t bind_file_open_flags(const struct open_options *o)
{
	return (o->read ? MSG_OPEN_READ : 0) | (o->write ? MSG_OPEN_WRITE : 0) |
	       (o->append ? MSG_OPEN_APPEND : 0) |
	       (o->create ? MSG_OPEN_CREATE : 0) |
	       (o->truncate ? MSG_OPEN_TRUNCATE : 0) |
	       (o->exclusive ? MSG_OPEN_EXCLUSIVE : 0);
}

static int bind_file_open_file(lua_State *L, const struct guest_method *gm)
{
	const char *method = gm->name;
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
	struct object *g = guest_check(L, gm);
	struct open_options o = {.perm = 0644};
	struct msg m = {.type = MSG_FILE_OPEN};

	m.file_open.path = arg_path(L, method, 2, "path");
	bind_options(L, method, arg_opt_table(L, method, 3, "options"), opts,
		     &o);
	if (!o.read && !o.write && !o.append)
		bind_fail_arg(
		    L, method,
		    "options must have at least one of read, write, append, "
		    "got %s",
		    lua_isnoneornil(L, 3) ? "nothing" : "none of them");
	if (o.perm < 0 || o.perm > 07777)
		bind_fail_arg(L, method,
			      "perm must be permission bits, 0 to 07777 "
			      "(octal), got %lld",
			      (long long)o.perm);
	struct client *c = guest_client(L, g, method);
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct open_call *oc = await_new(L, method, sizeof(*oc), open_release);
	await_keep(L, lua_gettop(L), 1);
	oc->method = method;
	oc->handle = guest_handle_new(g);
	snprintf(oc->path, sizeof(oc->path), "%s", m.file_open.path);
	m.file_open.handle = oc->handle.id;
	m.file_open.flags = bind_file_open_flags(&o);
	m.file_open.perm = (uint32_t)o.perm;
	oc->call = call_new(c);
	call_start(oc->call, &m, NULL, 0, deadline);
	return await(L, oc, &oc->call->op, open_finish);
}

static int bind_file_l_vm_open_file(lua_State *L)
{
	static const struct guest_method m = {&vm_class, "vm:open_file"};

	return bind_file_open_file(L, &m);
}

static int bind_file_l_worker_open_file(lua_State *L)
{
	static const struct guest_method m = {&guest_worker_class,
					      "worker:open_file"};

	return bind_file_open_file(L, &m);
}

/* --- requests on a handle --------------------------------------------------
 */

/* For `return`: one request on the file at 1. body_idx: a string, or 0. */
static int file_request(lua_State *L, const char *method, struct file_object *f,
			const struct msg *m, int body_idx, await_cb finish)
{
	return guest_ask(L, method, guest_client(L, f->handle.guest, method), m,
			 body_idx, finish);
}

static int bind_file_l_read(lua_State *L)
{
	static const char method[] = "file:read";
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_FILE_READ};

	m.file_read.handle = f->handle.id;
	m.file_read.count =
	    (uint64_t)arg_int(L, method, 2, "count", 0, (int64_t)CALL_DATA_MAX);
	return file_request(L, method, f, &m, 0, guest_finish_data);
}

static int l_read_all(lua_State *L)
{
	static const char method[] = "file:read_all";
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_FILE_READ};

	m.file_read.handle = f->handle.id;
	m.file_read.count = UINT64_MAX;
	return file_request(L, method, f, &m, 0, guest_finish_data);
}

static int bind_file_l_write(lua_State *L)
{
	static const char method[] = "file:write";
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_FILE_WRITE};
	size_t n;

	arg_bytes(L, method, 2, "data", &n);
	m.file_write.handle = f->handle.id;
	return file_request(L, method, f, &m, 2, guest_finish_value);
}

static int l_seek(lua_State *L)
{
	static const char method[] = "file:seek";
	static const char *const whences[] = {"set", "cur", "end", NULL};
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_FILE_SEEK};

	m.file_seek.handle = f->handle.id;
	m.file_seek.offset =
	    arg_int(L, method, 2, "offset", INT64_MIN, INT64_MAX);
	if (!lua_isnoneornil(L, 3))
		m.file_seek.whence =
		    (uint8_t)arg_enum(L, method, 3, "whence", whences);
	return file_request(L, method, f, &m, 0, guest_finish_value);
}

static int l_tell(lua_State *L)
{
	static const char method[] = "file:tell";
	struct file_object *f = file_check(L, method);
	struct msg m = {.type = MSG_FILE_SEEK};

	m.file_seek.handle = f->handle.id;
	m.file_seek.whence = 1;
	return file_request(L, method, f, &m, 0, guest_finish_value);
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

	bind_options(L, method, arg_opt_table(L, method, 2, "options"), opts,
		     &o);
	stream_check_start(L, method, o.start, &m.tail_handle.whence,
			   &m.tail_handle.offset);
	m.tail_handle.handle = f->handle.id;
	return stream_open_tail(
	    L, method, 1, guest_client(L, f->handle.guest, method),
	    guest_streams(f->handle.guest), &m, "file_tail_stream", f->path);
}

static const struct bind_method file_methods[] = {
    {"read", bind_file_l_read, 1},
    {"read_all", l_read_all, 0},
    {"write", bind_file_l_write, 1},
    {"seek", l_seek, 2},
    {"tell", l_tell, 0},
    {"fd", l_fd, 0},
    {"tail_stream", l_tail_stream, 1},
    {NULL, NULL, 0},
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
	    {"open_file", bind_file_l_vm_open_file, 2},
	    {NULL, NULL, 0},
	};
	static const struct bind_method worker_methods[] = {
	    {"open_file", bind_file_l_worker_open_file, 2},
	    {NULL, NULL, 0},
	};

	bind_class(L, &file_class);
	bind_class_extend(L, &vm_class, vm_methods);
	bind_class_extend(L, &guest_worker_class, worker_methods);
}
