/* SPDX-License-Identifier: MIT */
/*
 * Owns ioctl and read_mem, of VMs and workers. An ioctl is a raw system call
 * with a third argument that is a number, or a buffer with pointers in it.
 */
#include <errno.h>
#include <sys/syscall.h>

#include "agent-proto/clock.h"
#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_file.h"
#include "runner/bind_guest.h"
#include "runner/bind_syscall.h"

#define ARG_SLOT 2 /* of ioctl(2)'s third argument, from 0 */

struct ioctl_opts {
	int bufs; /* stack indexes; 0: absent */
	int ptr_offsets;
};

static const struct opt ioctl_options[] = {
    {"bufs", OPT_TABLE, offsetof(struct ioctl_opts, bufs)},
    {"ptr_offsets", OPT_TABLE, offsetof(struct ioctl_opts, ptr_offsets)},
    {NULL, 0, 0},
};

/* The data at idx becomes buffer 0, whose address is the argument. */
static void read_data(lua_State *L, const char *method, int idx,
		      struct syscall_args *a)
{
	uint32_t count = 0;
	size_t n;
	const char *p = arg_bytes(L, method, idx, "data", &n);

	if (n > MSG_MAX / 2)
		bind_fail_arg(L, method, "data is larger than %u bytes",
			      MSG_MAX / 2);
	msg_list_add(&a->items, &count, p, n);
	a->ptrs[0] = ARG_SLOT;
	a->m.syscall.bufs = msg_list_of(&a->items, count);
	a->m.syscall.ptrs = (struct msg_bytes){.p = a->ptrs, .n = 1};
}

static void read_pointers(lua_State *L, const char *method, int idx,
			  int64_t data_n, struct syscall_args *a)
{
	int n_bufs = (int)a->m.syscall.bufs.count - 1;

	lua_pushnil(L);
	while (lua_next(L, idx)) {
		int i = (int)arg_int(L, method, lua_gettop(L) - 1,
				     "an index of ptr_offsets", 1, n_bufs);
		int64_t last = data_n - (int64_t)sizeof(uint64_t);

		if (last < 0)
			bind_fail_arg(L, method,
				      "data has no room for a pointer");
		int64_t at = arg_int(L, method, lua_gettop(L),
				     "a value of ptr_offsets", 0, last);
		syscall_args_nest(a, 0, (uint32_t)i, (uint64_t)at);
		lua_pop(L, 1);
	}
}

static int do_ioctl(lua_State *L, const struct guest_method *m)
{
	struct object *g = guest_check(L, m);
	struct client *c = guest_client(L, g, m->name);
	struct ioctl_opts o = {0};
	bool has_data = lua_type(L, 4) == LUA_TSTRING;

	lua_settop(L, 5);
	int opts = arg_opt_table(L, m->name, 5, "options");
	bind_options(L, m->name, opts, ioctl_options, &o);
	struct syscall_args *a = syscall_args_new(L);
	a->m.type = MSG_SYSCALL;
	a->m.syscall.nr = SYS_ioctl;
	a->m.syscall.a0 = (uint64_t)file_arg_fd(L, m->name, 2, g);
	a->m.syscall.a1 =
	    (uint64_t)arg_int(L, m->name, 3, "cmd", 0, UINT32_MAX);
	if (has_data)
		read_data(L, m->name, 4, a);
	else if (!lua_isnil(L, 4))
		a->m.syscall.a2 = arg_u64(L, m->name, 4, "data");
	if ((o.bufs || o.ptr_offsets) && !has_data)
		bind_fail_arg(
		    L, m->name,
		    "bufs and ptr_offsets need data that is a string");
	if (o.bufs)
		syscall_args_bufs(L, m->name, o.bufs, a);
	if (o.ptr_offsets)
		read_pointers(L, m->name, o.ptr_offsets,
			      (int64_t)lua_objlen(L, 4), a);
	return syscall_await(L, m->name, c, a, has_data);
}

static int vm_ioctl(lua_State *L)
{
	static const struct guest_method m = {&vm_class, "vm:ioctl"};

	return do_ioctl(L, &m);
}

static int worker_ioctl(lua_State *L)
{
	static const struct guest_method m = {&guest_worker_class,
					      "worker:ioctl"};

	return do_ioctl(L, &m);
}

/* --- memory --- */

/* An address that is not there is an outcome: nil, errno. */
static int mem_finish(lua_State *L, void *p)
{
	const struct guest_call *gc = p;

	if (gc->call->op.result != -EFAULT)
		return guest_finish_data(L, p);
	lua_pushnil(L);
	lua_pushinteger(L, EFAULT);
	return 2;
}

static int read_mem(lua_State *L, const struct guest_method *gm)
{
	struct client *c = guest_client(L, guest_check(L, gm), gm->name);
	struct msg m = {.type = MSG_READ_MEM};

	m.read_mem.address = arg_u64(L, gm->name, 2, "address");
	m.read_mem.n =
	    (uint64_t)arg_int(L, gm->name, 3, "n", 0, MSG_READ_MEM_MAX);
	return guest_ask(L, gm->name, c, &m, 0, mem_finish);
}

static int bind_ioctl_l_vm_read_mem(lua_State *L)
{
	static const struct guest_method m = {&vm_class, "vm:read_mem"};

	return read_mem(L, &m);
}

static int bind_ioctl_l_worker_read_mem(lua_State *L)
{
	static const struct guest_method m = {&guest_worker_class,
					      "worker:read_mem"};

	return read_mem(L, &m);
}

void bind_ioctl_register(lua_State *L)
{
	static const struct bind_method vm_methods[] = {
	    {"ioctl", vm_ioctl, 4},
	    {"read_mem", bind_ioctl_l_vm_read_mem, 2},
	    {NULL, NULL, 0},
	};
	static const struct bind_method worker_methods[] = {
	    {"ioctl", worker_ioctl, 4},
	    {"read_mem", bind_ioctl_l_worker_read_mem, 2},
	    {NULL, NULL, 0},
	};

	bind_class_extend(L, &vm_class, vm_methods);
	bind_class_extend(L, &guest_worker_class, worker_methods);
}
