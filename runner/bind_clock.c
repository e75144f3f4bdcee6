/* SPDX-License-Identifier: MIT */
/* What lua/clock.lua, vm:clock, needs of C. */
#include "agent-proto/clock.h"
#include "runner/bind.h"
#include "runner/bind_snapshot.h"
#include "runner/bind_syscall.h"
#include "runner/bind_vm.h"

static int bind_clock_core_check(lua_State *L)
{
	vm_check(L, 1, "vm:clock");
	return 0;
}

static int64_t check_ns(lua_State *L)
{
	const char *method = luaL_checkstring(L, 1);
	const char *name = luaL_checkstring(L, 2);
	int64_t ns = arg_duration(L, method, 3, name, -1);

	if (ns < 0)
		bind_fail_arg(L, method, "%s must be a duration, got nothing",
			      name);
	if (ns == CLOCK_NEVER)
		bind_fail_arg(L, method, "%s is beyond what a clock can hold",
			      name);
	return ns;
}

/* duration_ns(method, name, value) */
static int core_duration_ns(lua_State *L)
{
	bind_push_i64(L, check_ns(L));
	return 1;
}

/* The same, and a negative number or "-2s" is one. */
static int core_signed_ns(lua_State *L)
{
	bool is_negative = false;

	if (lua_type(L, 3) == LUA_TNUMBER) {
		is_negative = lua_tonumber(L, 3) < 0;
		if (is_negative)
			lua_pushnumber(L, -lua_tonumber(L, 3));
	} else if (lua_type(L, 3) == LUA_TSTRING) {
		size_t n;
		const char *s = lua_tolstring(L, 3, &n);

		is_negative = *s == '-';
		if (is_negative)
			lua_pushlstring(L, s + 1, n - 1);
	}
	if (is_negative)
		lua_replace(L, 3);
	int64_t ns = check_ns(L);
	bind_push_i64(L, is_negative ? -ns : ns);
	return 1;
}

/* ns(method, name, value): an integer of 0 or more. */
static int core_ns(lua_State *L)
{
	bind_push_i64(L, arg_int(L, luaL_checkstring(L, 1), 3,
				 luaL_checkstring(L, 2), 0, INT64_MAX));
	return 1;
}

/* syscall(method, vm, is_async, nr, options): on a thread of its own where it
 * may block. The method is a literal of clock.lua, and lives as long as it. */
static int core_syscall(lua_State *L)
{
	const char *method = luaL_checkstring(L, 1);
	struct client *c = vm_check_client(L, 2, method);
	struct syscall_args *a = syscall_args_read(L, method, 4);

	if (lua_toboolean(L, 3))
		a->m.syscall.flags = MSG_SYSCALL_THREAD;
	return syscall_await(L, method, c, a, false);
}

struct resume_opts {
	const char *clock;
};

/* sets_clock(vm, options): whether vm:resume() is to set the guest's clock. */
static int core_sets_clock(lua_State *L)
{
	static const char method[] = "vm:resume";
	static const struct opt opts[] = {
	    {"clock", OPT_STRING, offsetof(struct resume_opts, clock)},
	    {NULL, 0, 0},
	};
	struct resume_opts o = {0};

	vm_check(L, 1, method);
	lua_settop(L, 2);
	bind_options(L, method, arg_opt_table(L, method, 2, "options"), opts,
		     &o);
	lua_pushboolean(L, restore_arg_clock(L, method, o.clock));
	return 1;
}

/* host_ns(): CLOCK_REALTIME of the host. */
static int core_host_ns(lua_State *L)
{
	bind_push_i64(L, clock_realtime_ns());
	return 1;
}

void bind_clock_register(lua_State *L)
{
	static const struct bind_function core[] = {
	    {"check", bind_clock_core_check},
	    {"fail", bind_l_fail},
	    {"duration_ns", core_duration_ns},
	    {"signed_ns", core_signed_ns},
	    {"ns", core_ns},
	    {"syscall", core_syscall},
	    {"sets_clock", core_sets_clock},
	    {"host_ns", core_host_ns},
	    {"resume", vm_l_resume},
	    {NULL, NULL},
	};

	bind_class_extend_lua(L, &vm_class, core, "runner/lua/clock.lua");
}
