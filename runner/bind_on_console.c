/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: the whole list is checked first, which may raise. The
 * rules are made behind that, which cannot.
 */
#include "runner/bind_on_console.h"

#include <string.h>

#include "runner/bind.h"

static const char method[] = "provium";
#define NAME_MAX_BYTES 64

/* Raises unless the value on top can be the text of a rule. */
static void check_text(lua_State *L, const char *name)
{
	if (lua_type(L, -1) != LUA_TSTRING)
		bind_fail_arg(L, method, "%s must be a string, got %s", name,
			      arg_type_name(L, -1));
	if (!lua_objlen(L, -1))
		bind_fail_arg(L, method, "%s is empty", name);
	if (strlen(lua_tostring(L, -1)) != lua_objlen(L, -1))
		bind_fail_arg(L, method, "%s holds a NUL byte", name);
}

/* Raises unless the value on top can be `except` of the i-th rule. */
static void check_except(lua_State *L, int i)
{
	char name[NAME_MAX_BYTES];
	int list = lua_gettop(L), n;

	snprintf(name, sizeof(name), "on_console[%d].except", i);
	if (!lua_istable(L, list)) {
		check_text(L, name);
		return;
	}
	n = (int)arg_list(L, method, list, name, "a string or a list of them");
	for (int k = 1; k <= n; k++) {
		snprintf(name, sizeof(name), "on_console[%d].except[%d]", i, k);
		lua_rawgeti(L, list, k);
		check_text(L, name);
		lua_pop(L, 1);
	}
}

static _Noreturn void bind_on_console_fail_key(lua_State *L, int i, int key)
{
	bool is_string = lua_type(L, key) == LUA_TSTRING;

	bind_fail_arg(L, method,
		      "on_console[%d] has an unknown key%s%s%s; valid: except",
		      i, is_string ? " '" : ", ",
		      is_string ? arg_shown(L, key) : arg_type_name(L, key),
		      is_string ? "'" : "");
}

/* Raises unless the table on top can be the i-th rule. */
static void check_table(lua_State *L, int i)
{
	char name[NAME_MAX_BYTES];
	int rule = lua_gettop(L);

	snprintf(name, sizeof(name), "on_console[%d]", i);
	if (arg_list_part(L, method, rule, name) != 1)
		bind_fail_arg(L, method,
			      "%s needs one text: {\"WARNING:\", except = "
			      "{\"harmless\"}}",
			      name);
	for (lua_pushnil(L); lua_next(L, rule); lua_pop(L, 1)) {
		int key = lua_gettop(L) - 1;

		if (lua_type(L, key) == LUA_TNUMBER) {
			snprintf(name, sizeof(name), "on_console[%d][1]", i);
			check_text(L, name);
		} else if (arg_is_key(L, key, "except")) {
			check_except(L, i);
		} else {
			bind_on_console_fail_key(L, i, key);
		}
	}
}

/* Adds the value on top, which was checked, to the last rule. */
static void add_excepts(lua_State *L, struct alarm_rules *to)
{
	int n = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;

	if (lua_type(L, -1) == LUA_TSTRING)
		alarm_rules_except(to, lua_tostring(L, -1));
	for (int k = 1; k <= n; k++) {
		lua_rawgeti(L, -1, k);
		alarm_rules_except(to, lua_tostring(L, -1));
		lua_pop(L, 1);
	}
}

/* Adds the value on top, which was checked. */
static void bind_on_console_add_rule(lua_State *L, struct alarm_rules *to)
{
	if (!lua_istable(L, -1)) {
		alarm_rules_add(to, lua_tostring(L, -1));
		return;
	}
	lua_rawgeti(L, -1, 1);
	alarm_rules_add(to, lua_tostring(L, -1));
	lua_pop(L, 1);
	lua_pushliteral(L, "except");
	lua_rawget(L, -2);
	add_excepts(L, to);
	lua_pop(L, 1);
}

void bind_on_console(lua_State *L, int idx, struct alarm_rules *ret)
{
	char name[NAME_MAX_BYTES];
	int n = (int)arg_list(L, method, idx, "on_console",
			      "a list of strings and tables");

	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, idx, i);
		snprintf(name, sizeof(name), "on_console[%d]", i);
		if (lua_istable(L, -1))
			check_table(L, i);
		else
			check_text(L, name);
		lua_pop(L, 1);
	}
	alarm_rules_done(ret);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, idx, i);
		bind_on_console_add_rule(L, ret);
		lua_pop(L, 1);
	}
}
