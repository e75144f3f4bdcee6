/* SPDX-License-Identifier: MIT */
/*
 * Owns syscall, of VMs and workers. Positions in `bufs` are counted from 1, as
 * Lua does; slots of arguments from 0, as the kernel's documentation does. A
 * failed system call is an outcome, not an error.
 */
#include <string.h>

#include "agent-proto/clock.h"
#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_guest.h"
#include "runner/bind_syscall.h"
#include "runner/bind_vm.h"
#include "runner/bind_worker.h"

#define SLOTS	   6
#define NESTED_MAX 1024

static int args_gc(lua_State *L)
{
	struct syscall_args *a = lua_touserdata(L, 1);

	buf_done(&a->items);
	buf_done(&a->nested);
	return 0;
}

static const char args_meta; /* registry: metatable of syscall_args */

struct syscall_args *syscall_args_new(lua_State *L)
{
	struct syscall_args *a = lua_newuserdata(L, sizeof(*a));

	memset(a, 0, sizeof(*a));
	memset(a->ptrs, MSG_PTR_NONE, sizeof(a->ptrs));
	lua_pushlightuserdata(L, (void *)(uintptr_t)&args_meta);
	lua_rawget(L, LUA_REGISTRYINDEX);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_createtable(L, 0, 1);
		lua_pushcfunction(L, args_gc);
		lua_setfield(L, -2, "__gc");
		lua_pushlightuserdata(L, (void *)(uintptr_t)&args_meta);
		lua_pushvalue(L, -2);
		lua_rawset(L, LUA_REGISTRYINDEX);
	}
	lua_setmetatable(L, -2);
	return a;
}

static uint64_t *slot(struct syscall_args *a, int i)
{
	struct msg_syscall *s = &a->m.syscall;
	uint64_t *const slots[SLOTS] = {&s->a0, &s->a1, &s->a2,
					&s->a3, &s->a4, &s->a5};

	return slots[i];
}

struct syscall_opts {
	int args; /* stack indexes; 0: absent */
	int bufs;
	int ptrs;
	int nested;
};

static const struct opt syscall_options[] = {
    {"args", OPT_TABLE, offsetof(struct syscall_opts, args)},
    {"bufs", OPT_TABLE, offsetof(struct syscall_opts, bufs)},
    {"ptrs", OPT_TABLE, offsetof(struct syscall_opts, ptrs)},
    {"nested", OPT_TABLE, offsetof(struct syscall_opts, nested)},
    {NULL, 0, 0},
};

static _Noreturn void fail_count(lua_State *L, const char *method, int n)
{
	bind_fail_arg(L, method,
		      "%d arguments were given, a system call takes up to %d",
		      n, SLOTS);
}

static void read_list_args(lua_State *L, const char *method, int idx,
			   struct syscall_args *a)
{
	int n = (int)arg_list(L, method, idx, "args", "a list of integers");

	if (n > SLOTS)
		fail_count(L, method, n);
	for (int i = 0; i < n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "args[%d]", i + 1);
		lua_rawgeti(L, idx, i + 1);
		*slot(a, i) = arg_u64(L, method, lua_gettop(L), name);
		lua_pop(L, 1);
	}
}

void syscall_args_bufs(lua_State *L, const char *method, int idx,
		       struct syscall_args *a)
{
	int n = (int)arg_list(L, method, idx, "bufs", "a list of strings");
	uint32_t count = a->m.syscall.bufs.count;

	if (n + (int)count > MSG_SYSCALL_BUFS)
		bind_fail_arg(L, method, "%d bufs were given, %d at the most",
			      n, MSG_SYSCALL_BUFS - (int)count);
	for (int i = 1; i <= n; i++) {
		char name[32];
		size_t size;

		snprintf(name, sizeof(name), "bufs[%d]", i);
		lua_rawgeti(L, idx, i);
		const char *p =
		    arg_bytes(L, method, lua_gettop(L), name, &size);
		if (a->items.len + size > MSG_MAX / 2)
			bind_fail_arg(L, method,
				      "bufs are larger than %u bytes together",
				      MSG_MAX / 2);
		msg_list_add(&a->items, &count, p, size);
		lua_pop(L, 1);
	}
	a->m.syscall.bufs = msg_list_of(&a->items, count);
}

static void check_slot_is_free(lua_State *L, const char *method,
			       const struct syscall_args *a, int i, uint8_t at)
{
	for (uint32_t k = 0; k < a->m.syscall.bufs.count; k++)
		if (a->ptrs[k] == at)
			bind_fail_arg(L, method,
				      "ptrs[%u] and ptrs[%d] are both argument "
				      "%u",
				      k + 1, i, at);
}

static void read_ptrs(lua_State *L, const char *method, int idx,
		      struct syscall_args *a)
{
	int n_bufs = (int)a->m.syscall.bufs.count;

	lua_pushnil(L);
	while (lua_next(L, idx)) {
		int i = (int)arg_int(L, method, lua_gettop(L) - 1,
				     "an index of ptrs", 1, n_bufs);
		char name[32];

		snprintf(name, sizeof(name), "ptrs[%d]", i);
		uint8_t at = (uint8_t)arg_int(L, method, lua_gettop(L), name, 0,
					      SLOTS - 1);
		check_slot_is_free(L, method, a, i, at);
		a->ptrs[i - 1] = at;
		lua_pop(L, 1);
	}
	a->m.syscall.ptrs =
	    (struct msg_bytes){.p = a->ptrs, .n = (uint32_t)n_bufs};
}

struct nested_opts {
	int64_t parent;
	int64_t child;
	int64_t offset;
};

static const struct opt nested_options[] = {
    {"parent", OPT_INT, offsetof(struct nested_opts, parent)},
    {"child", OPT_INT, offsetof(struct nested_opts, child)},
    {"offset", OPT_INT, offsetof(struct nested_opts, offset)},
    {NULL, 0, 0},
};

static void put_le(struct buf *b, uint64_t v, size_t bytes)
{
	uint8_t *p = buf_room(b, bytes);

	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	buf_commit(b, bytes);
}

void syscall_args_nest(struct syscall_args *a, uint32_t parent, uint32_t child,
		       uint64_t offset)
{
	put_le(&a->nested, parent, 4);
	put_le(&a->nested, child, 4);
	put_le(&a->nested, offset, 8);
	a->m.syscall.nested = (struct msg_bytes){.p = buf_data(&a->nested),
						 .n = (uint32_t)a->nested.len};
}

static void check_buffer(lua_State *L, const char *method, int i,
			 const char *key, int64_t v, int64_t n_bufs)
{
	if (v < 1 || v > n_bufs)
		bind_fail_arg(L, method,
			      "nested[%d].%s must be the position of one of "
			      "the %lld bufs, got %lld",
			      i, key, (long long)n_bufs, (long long)v);
}

static void read_nested(lua_State *L, const char *method, int idx,
			struct syscall_args *a)
{
	int n = (int)arg_list(L, method, idx, "nested", "a list of tables");
	int64_t n_bufs = a->m.syscall.bufs.count;

	if (n > NESTED_MAX)
		bind_fail_arg(L, method, "%d nested pointers, %d at the most",
			      n, NESTED_MAX);
	for (int i = 1; i <= n; i++) {
		struct nested_opts o = {0};

		lua_rawgeti(L, idx, i);
		if (!lua_istable(L, -1))
			bind_fail_arg(L, method,
				      "nested[%d] must be a table, got %s", i,
				      arg_type_name(L, -1));
		bind_options(L, method, lua_gettop(L), nested_options, &o);
		check_buffer(L, method, i, "parent", o.parent, n_bufs);
		check_buffer(L, method, i, "child", o.child, n_bufs);
		if (o.offset < 0)
			bind_fail_arg(L, method,
				      "nested[%d].offset is negative", i);
		syscall_args_nest(a, (uint32_t)o.parent - 1,
				  (uint32_t)o.child - 1, (uint64_t)o.offset);
		lua_pop(L, 1);
	}
}

struct syscall_args *syscall_args_read(lua_State *L, const char *method,
				       int idx)
{
	/* What is not given is nil, not the next thing that is pushed. */
	if (lua_gettop(L) < idx)
		lua_settop(L, idx);
	int last = lua_gettop(L);
	struct syscall_args *a = syscall_args_new(L);

	luaL_checkstack(L, LUA_MINSTACK, method);
	a->m.type = MSG_SYSCALL;
	a->m.syscall.nr = arg_int(L, method, idx, "nr", INT32_MIN, INT32_MAX);
	if (!lua_istable(L, idx + 1)) {
		if (last - idx > SLOTS)
			fail_count(L, method, last - idx);
		for (int i = idx + 1; i <= last; i++) {
			char name[32];

			snprintf(name, sizeof(name), "argument %d", i - idx);
			*slot(a, i - idx - 1) = arg_u64(L, method, i, name);
		}
		return a;
	}
	struct syscall_opts o = {0};
	int a_idx = lua_gettop(L);
	if (last > idx + 1)
		bind_fail_arg(L, method,
			      "nothing may follow the table of options");
	bind_options(L, method, idx + 1, syscall_options, &o);
	if (o.args)
		read_list_args(L, method, o.args, a);
	if (o.bufs)
		syscall_args_bufs(L, method, o.bufs, a);
	if (o.ptrs)
		read_ptrs(L, method, o.ptrs, a);
	if (o.nested)
		read_nested(L, method, o.nested, a);
	lua_settop(L, a_idx);
	return a;
}

void syscall_push_outcome(lua_State *L, const struct msg_syscall_done *d,
			  bool has_data)
{
	struct msg_list bufs = d->bufs;
	struct msg_bytes item;

	lua_createtable(L, 0, 5);
	bind_push_i64(L, d->ret);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "ret");
	lua_setfield(L, -2, "result");
	lua_pushinteger(L, d->errnum);
	lua_setfield(L, -2, "errno");
	if (has_data && msg_list_next(&bufs, &item)) {
		lua_pushlstring(L, (const char *)item.p, item.n);
		lua_setfield(L, -2, "out_data");
	}
	lua_newtable(L);
	for (int i = 1; msg_list_next(&bufs, &item); i++) {
		lua_pushlstring(L, (const char *)item.p, item.n);
		lua_rawseti(L, -2, i);
	}
	lua_setfield(L, -2, "out_bufs");
}

struct syscall_call {
	struct call *call;
	const char *method;
	bool has_data;
};

static void syscall_release(void *p)
{
	struct syscall_call *s = p;

	call_free(s->call);
}

static int syscall_finish(lua_State *L, void *p)
{
	const struct syscall_call *s = p;

	if (s->call->op.result < 0)
		bind_fail_err(L, s->method, &s->call->op.err);
	syscall_push_outcome(L, &s->call->reply.syscall_done, s->has_data);
	return 1;
}

int syscall_await(lua_State *L, const char *method, struct client *c,
		  const struct syscall_args *a, bool has_data)
{
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct syscall_call *s =
	    await_new(L, method, sizeof(*s), syscall_release);

	s->method = method;
	s->has_data = has_data;
	s->call = call_new(c);
	call_start(s->call, &a->m, NULL, 0, deadline);
	return await(L, s, &s->call->op, syscall_finish);
}

static int do_syscall(lua_State *L, const struct guest_method *m)
{
	struct client *c = guest_client(L, guest_check(L, m), m->name);

	return syscall_await(L, m->name, c, syscall_args_read(L, m->name, 2),
			     false);
}

static int vm_syscall(lua_State *L)
{
	static const struct guest_method m = {&vm_class, "vm:syscall"};

	return do_syscall(L, &m);
}

static int worker_syscall(lua_State *L)
{
	static const struct guest_method m = {&guest_worker_class,
					      "worker:syscall"};

	return do_syscall(L, &m);
}

const struct bind_method vm_syscall_methods[] = {
    {"syscall", vm_syscall, BIND_ANY},
    {NULL, NULL, 0},
};
const struct bind_method worker_syscall_methods[] = {
    {"syscall", worker_syscall, BIND_ANY},
    {NULL, NULL, 0},
};
