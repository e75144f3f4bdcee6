/* SPDX-License-Identifier: MIT */
/* What lua/batch.lua, vm:batch, needs of C. */
#include <stdlib.h>

#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_vm.h"

static const char method[] = "vm:batch";

static int bind_batch_core_check(lua_State *L)
{
	vm_check_client(L, 1, method);
	return 0;
}

static int bind_batch_core_fail(lua_State *L)
{
	bind_fail_text(L, method, 1);
}

static int bind_batch_core_type_name(lua_State *L)
{
	lua_pushstring(L, arg_type_name(L, 1));
	return 1;
}

static int core_site(lua_State *L)
{
	struct site at;

	if (lua_state_site(L, &at))
		lua_pushfstring(L, "%s:%d: ", at.file, at.line);
	else
		lua_pushliteral(L, "");
	return 1;
}

/* host_path(path): what it means where this is called from. */
static int core_host_path(lua_State *L)
{
	char *path = bind_host_path(L, luaL_checkstring(L, 1));

	lua_pushstring(L, path);
	free(path);
	return 1;
}

static int bind_batch_core_check_expired(lua_State *L)
{
	await_check_expired(L, method);
	return 0;
}

void bind_batch_register(lua_State *L)
{
	static const struct bind_function core[] = {
	    {"all", await_l_all_for},
	    {"check", bind_batch_core_check},
	    {"fail", bind_batch_core_fail},
	    {"type_name", bind_batch_core_type_name},
	    {"site", core_site},
	    {"check_expired", bind_batch_core_check_expired},
	    {"host_path", core_host_path},
	    {NULL, NULL},
	};

	bind_class_extend_lua(L, &vm_class, core, "runner/lua/batch.lua");
}
