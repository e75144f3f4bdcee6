/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: the list is checked first, which raises; then the rules
 * are made, which does not.
 */
#include "runner/bind_on_console.h"

#include <string.h>

#include "runner/bind.h"

static const char method[] = "provium";
#define NAME_MAX_BYTES 64

/* The value on top is a text for a rule. */
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

/* The value on top is `except` of the i-th rule. */
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

/* The value on top is the i-th rule, a table. */
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
		if (lua_type(L, -2) != LUA_TSTRING) {
			snprintf(name, sizeof(name), "on_console[%d][1]", i);
			check_text(L, name);
		} else if (strcmp(lua_tostring(L, -2), "except") == 0) {
			check_except(L, i);
		} else {
			bind_fail_arg(L, method,
				      "on_console[%d] has an unknown key '%s'; "
				      "valid: except",
				      i, lua_tostring(L, -2));
		}
	}
}

/* What was checked: the value on top. */
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

static void add_rule(lua_State *L, struct alarm_rules *to)
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
		add_rule(L, ret);
		lua_pop(L, 1);
	}
}
