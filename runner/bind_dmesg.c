/* SPDX-License-Identifier: MIT */
/* What lua/dmesg.lua, vm:dmesg, needs of C. */
#include "runner/bind.h"
#include "runner/bind_vm.h"

static const char method[] = "vm:dmesg";

static int bind_dmesg_core_check(lua_State *L)
{
	vm_check_client(L, 1, method);
	return 0;
}

static int bind_dmesg_core_fail(lua_State *L)
{
	bind_fail_text(L, method, 1);
}

void bind_dmesg_register(lua_State *L)
{
	static const struct bind_function core[] = {
	    {"check", bind_dmesg_core_check},
	    {"fail", bind_dmesg_core_fail},
	    {NULL, NULL},
	};

	bind_class_extend_lua(L, &vm_class, core, "runner/lua/dmesg.lua");
}
