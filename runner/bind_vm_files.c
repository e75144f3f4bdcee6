/* SPDX-License-Identifier: MIT */
/*
 * Owns the operations on a guest's files by path. Each is one request; the
 * guest's own words are the error. Open files are bind_file.c, what goes
 * between files of host and guest is bind_transfer.c.
 */
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/clock.h"
#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_guest.h"
#include "runner/bind_transfer.h"
#include "runner/bind_vm.h"
#include "runner/bind_worker.h"

#define PERM_MAX 07777

/* --- contents --- */

static int bind_vm_files_read_file(lua_State *L, const struct guest_method *gm)
{
	struct client *c = guest_client(L, guest_check(L, gm), gm->name);
	struct msg m = {.type = MSG_READ_FILE};

	m.read_file.path = arg_path(L, gm->name, 2, "path");
	return guest_ask(L, gm->name, c, &m, 0, guest_finish_data);
}

static int bind_vm_files_l_vm_read_file(lua_State *L)
{
	static const struct guest_method m = {&vm_class, "vm:read_file"};

	return bind_vm_files_read_file(L, &m);
}

static int bind_vm_files_l_worker_read_file(lua_State *L)
{
	static const struct guest_method m = {&guest_worker_class,
					      "worker:read_file"};

	return bind_vm_files_read_file(L, &m);
}

struct mode_opts {
	int64_t mode;
};

static const struct opt mode_options[] = {
    {"mode", OPT_INT, offsetof(struct mode_opts, mode)},
    {NULL, 0, 0},
};

uint32_t vm_file_read_mode(lua_State *L, const char *method, int idx,
			   uint32_t otherwise)
{
	struct mode_opts o = {.mode = -1};
	int table = arg_opt_table(L, method, idx, "options");

	bind_options(L, method, table, mode_options, &o);
	if (o.mode == -1)
		return otherwise;
	if (o.mode < 0 || o.mode > PERM_MAX)
		bind_fail_arg(L, method,
			      "mode must be permission bits, 0 to 07777 "
			      "(octal), got %lld",
			      (long long)o.mode);
	return (uint32_t)o.mode;
}

static int bind_vm_files_write_file(lua_State *L, const struct guest_method *gm)
{
	const char *method = gm->name;
	struct client *c = guest_client(L, guest_check(L, gm), method);
	struct msg m = {.type = MSG_WRITE_FILE};
	size_t n;

	m.write_file.path = arg_path(L, method, 2, "path");
	arg_bytes(L, method, 3, "data", &n);
	m.write_file.perm = vm_file_read_mode(L, method, 4, MSG_PERM_DEFAULT);
	return guest_ask(L, method, c, &m, 3, guest_finish_nothing);
}

static int bind_vm_files_l_vm_write_file(lua_State *L)
{
	static const struct guest_method m = {&vm_class, "vm:write_file"};

	return bind_vm_files_write_file(L, &m);
}

static int bind_vm_files_l_worker_write_file(lua_State *L)
{
	static const struct guest_method m = {&guest_worker_class,
					      "worker:write_file"};

	return bind_vm_files_write_file(L, &m);
}

/* --- the tree --- */

static const char *entry_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFBLK:
		return "block_device";
	case S_IFCHR:
		return "char_device";
	default:
		return "other";
	}
}

static int finish_stat(lua_State *L, void *p)
{
	const struct guest_call *gc = p;

	guest_call_check(L, gc);
	if (gc->call->reply.type != MSG_FILE_STATUS)
		bind_fail(L, "%s: the agent's answer is no file status",
			  gc->method);
	const struct msg_file_status *s = &gc->call->reply.file_status;
	lua_createtable(L, 0, 8);
	bind_push_u64(L, s->size);
	lua_setfield(L, -2, "size");
	bind_push_i64(L, s->mtime_sec);
	lua_setfield(L, -2, "mtime");
	bind_push_i64(
	    L, (int64_t)((uint64_t)s->mtime_sec * NS_PER_SEC + s->mtime_nsec));
	lua_setfield(L, -2, "mtime_ns");
	lua_pushinteger(L, s->mode & PERM_MAX);
	lua_setfield(L, -2, "perm");
	lua_pushnumber(L, s->uid);
	lua_setfield(L, -2, "uid");
	lua_pushnumber(L, s->gid);
	lua_setfield(L, -2, "gid");
	bind_push_u64(L, s->nlink);
	lua_setfield(L, -2, "nlink");
	lua_pushstring(L, entry_type(s->mode));
	lua_setfield(L, -2, "entry_type");
	return 1;
}

static int vm_stat(lua_State *L)
{
	static const char method[] = "vm:stat";
	struct client *c = vm_check_client(L, 1, method);
	/* A link is told as one: "symlink" is among the types. */
	struct msg m = {.type = MSG_STAT, .stat = {.nofollow = 1}};

	m.stat.path = arg_path(L, method, 2, "path");
	return guest_ask(L, method, c, &m, 0, finish_stat);
}

/* Tests make paths of the host with it, so what no directory can hold does not
 * get that far. */
static bool is_entry_name(const char *s, size_t n)
{
	return n && !memchr(s, '/', n) && strcmp(s, ".") != 0 &&
	       strcmp(s, "..") != 0;
}

/* The names, each ended by NUL, sorted. */
static int finish_listdir(lua_State *L, void *p)
{
	const struct guest_call *gc = p;
	const struct buf *d = &gc->call->data;

	guest_call_check(L, gc);
	const char *at = d->len ? (const char *)buf_data(d) : NULL;
	const char *end = at ? at + d->len : NULL;
	lua_newtable(L);
	for (int i = 1; at < end; i++) {
		size_t n = strnlen(at, (size_t)(end - at));

		if (at + n == end || !is_entry_name(at, n))
			bind_fail(L,
				  "%s: the agent broke the protocol: "
				  "LISTDIR was answered with a name that no "
				  "file can have",
				  gc->method);
		lua_pushlstring(L, at, n);
		lua_rawseti(L, -2, i);
		at += n + 1;
	}
	int list = lua_gettop(L);
	lua_getglobal(L, "table");
	lua_getfield(L, -1, "sort");
	lua_pushvalue(L, list);
	lua_call(L, 1, 0);
	lua_settop(L, list);
	return 1;
}

static int vm_listdir(lua_State *L)
{
	static const char method[] = "vm:listdir";
	struct client *c = vm_check_client(L, 1, method);
	struct msg m = {.type = MSG_LISTDIR};

	m.listdir.path = arg_path(L, method, 2, "path");
	return guest_ask(L, method, c, &m, 0, finish_listdir);
}

struct mkdir_opts {
	bool parents;
	int64_t perm;
};

static const struct opt mkdir_options[] = {
    {"parents", OPT_BOOL, offsetof(struct mkdir_opts, parents)},
    {"perm", OPT_INT, offsetof(struct mkdir_opts, perm)},
    {NULL, 0, 0},
};

static int vm_mkdir(lua_State *L)
{
	static const char method[] = "vm:mkdir";
	struct client *c = vm_check_client(L, 1, method);
	struct mkdir_opts o = {.perm = 0755};
	struct msg m = {.type = MSG_MKDIR};

	m.mkdir.path = arg_path(L, method, 2, "path");
	bind_options(L, method, arg_opt_table(L, method, 3, "options"),
		     mkdir_options, &o);
	if (o.perm < 0 || o.perm > PERM_MAX)
		bind_fail_arg(L, method,
			      "perm must be permission bits, 0 to 07777 "
			      "(octal), got %lld",
			      (long long)o.perm);
	m.mkdir.perm = (uint32_t)o.perm;
	m.mkdir.parents = o.parents;
	return guest_ask(L, method, c, &m, 0, guest_finish_nothing);
}

static int vm_unlink(lua_State *L)
{
	static const char method[] = "vm:unlink";
	struct client *c = vm_check_client(L, 1, method);
	struct msg m = {.type = MSG_UNLINK};

	m.unlink.path = arg_path(L, method, 2, "path");
	return guest_ask(L, method, c, &m, 0, guest_finish_nothing);
}

static int vm_rename(lua_State *L)
{
	static const char method[] = "vm:rename";
	struct client *c = vm_check_client(L, 1, method);
	struct msg m = {.type = MSG_RENAME};

	m.rename.from = arg_path(L, method, 2, "from");
	m.rename.to = arg_path(L, method, 3, "to");
	return guest_ask(L, method, c, &m, 0, guest_finish_nothing);
}

const struct bind_method vm_file_methods[] = {
    {"read_file", bind_vm_files_l_vm_read_file, 1},
    {"write_file", bind_vm_files_l_vm_write_file, 3},
    {"stat", vm_stat, 1},
    {"listdir", vm_listdir, 1},
    {"mkdir", vm_mkdir, 2},
    {"unlink", vm_unlink, 1},
    {"rename", vm_rename, 2},
    {NULL, NULL, 0},
};

const struct bind_method worker_file_methods[] = {
    {"read_file", bind_vm_files_l_worker_read_file, 1},
    {"write_file", bind_vm_files_l_worker_write_file, 3},
    {NULL, NULL, 0},
};
