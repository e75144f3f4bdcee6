/* SPDX-License-Identifier: MIT */
/*
 * Owns how arguments are read from the Lua stack, and what is said about
 * wrong ones. What an argument's value means is the binding's business.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/clock.h"
#include "runner/bind.h"
#include "runner/config.h"
#include "runner/text.h"

#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0
/* Beyond it a double of seconds does not fit int64_t nanoseconds. */
#define SECONDS_MAX 9.0e9

const char *arg_type_name(lua_State *L, int idx)
{
	static const char *const names[] = {
	    "nil",	  "a boolean", "a light userdata",
	    "a number",	  "a string",  "a table",
	    "a function", "an object", "a coroutine"};
	int type = lua_type(L, idx);

	if (type == LUA_TNONE)
		return "nothing";
	if (type >= 0 && (size_t)type < ARRAY_LEN(names))
		return names[type];
	return "cdata";
}

const char *arg_shown(lua_State *L, int idx)
{
	size_t n;

	lua_pushvalue(L, idx);
	const char *s = lua_tolstring(L, -1, &n);
	char *shown = text_c_string(s, n);

	lua_pushstring(L, shown);
	free(shown);
	return lua_tostring(L, -1);
}

bool arg_is_key(lua_State *L, int idx, const char *key)
{
	size_t n;
	const char *s =
	    lua_type(L, idx) == LUA_TSTRING ? lua_tolstring(L, idx, &n) : NULL;

	return s && n == strlen(key) && !memcmp(s, key, n);
}

static _Noreturn void fail_type(lua_State *L, const char *method, int idx,
				const char *name, const char *want)
{
	bind_fail_arg(L, method, "%s must be %s, got %s", name, want,
		      arg_type_name(L, idx));
}

const char *arg_bytes(lua_State *L, const char *method, int idx,
		      const char *name, size_t *ret_n)
{
	/* Not what only converts to one: the result would be collected. */
	if (lua_type(L, idx) != LUA_TSTRING)
		fail_type(L, method, idx, name, "a string");
	return lua_tolstring(L, idx, ret_n);
}

const char *arg_string(lua_State *L, const char *method, int idx,
		       const char *name)
{
	size_t n;
	const char *s = arg_bytes(L, method, idx, name, &n);

	if (strlen(s) != n)
		bind_fail_arg(L, method, "%s holds a NUL byte", name);
	return s;
}

const char *arg_path(lua_State *L, const char *method, int idx,
		     const char *name)
{
	const char *s = arg_string(L, method, idx, name);

	if (!*s)
		bind_fail_arg(L, method, "%s is empty", name);
	return s;
}

bool arg_bool(lua_State *L, const char *method, int idx, const char *name,
	      bool otherwise)
{
	if (lua_isnoneornil(L, idx))
		return otherwise;
	if (!lua_isboolean(L, idx))
		fail_type(L, method, idx, name, "a boolean");
	return lua_toboolean(L, idx);
}

/* The integer at idx, split into magnitude and sign. */
static bool get_integer(lua_State *L, int idx, bool *ret_negative,
			uint64_t *ret_abs)
{
	uint64_t n;
	bool is_signed;

	if (lua_type(L, idx) == LUA_TNUMBER) {
		lua_Number d = lua_tonumber(L, idx);

		if (d != floor(d) || d < -TWO_63 || d >= TWO_64)
			return false; /* NaN too */
		*ret_negative = d < 0;
		*ret_abs = (uint64_t)(d < 0 ? -d : d);
		return true;
	}
	if (!bind_is_int64(L, idx, &n, &is_signed))
		return false;
	*ret_negative = is_signed && (int64_t)n < 0;
	*ret_abs = *ret_negative ? -n : n;
	return true;
}

static bool is_integer_like(lua_State *L, int idx)
{
	uint64_t n;
	bool is_signed;

	return lua_type(L, idx) == LUA_TNUMBER ||
	       bind_is_int64(L, idx, &n, &is_signed);
}

int64_t arg_int(lua_State *L, const char *method, int idx, const char *name,
		int64_t min, int64_t max)
{
	bool negative;
	uint64_t n;

	if (!is_integer_like(L, idx))
		fail_type(L, method, idx, name, "an integer");
	if (!get_integer(L, idx, &negative, &n) ||
	    n > (uint64_t)INT64_MAX + negative)
		bind_fail_arg(L, method, "%s must be an integer, got %s", name,
			      lua_isnumber(L, idx)
				  ? lua_tostring(L, idx)
				  : "one of more than 63 bits");
	int64_t v = negative ? (int64_t)-n : (int64_t)n;
	if (v < min || v > max)
		bind_fail_arg(L, method, "%s must be %lld to %lld, got %lld",
			      name, (long long)min, (long long)max,
			      (long long)v);
	return v;
}

uint64_t arg_u64(lua_State *L, const char *method, int idx, const char *name)
{
	bool negative;
	uint64_t n;

	if (!is_integer_like(L, idx))
		fail_type(L, method, idx, name, "an integer");
	if (!get_integer(L, idx, &negative, &n))
		bind_fail_arg(L, method,
			      "%s must be an integer of 64 bits, got %s", name,
			      lua_tostring(L, idx));
	return negative ? -n : n;
}

int64_t arg_duration(lua_State *L, const char *method, int idx,
		     const char *name, int64_t otherwise_ns)
{
	int64_t ns;

	if (lua_isnoneornil(L, idx))
		return otherwise_ns;
	if (lua_type(L, idx) == LUA_TSTRING) {
		const char *s = arg_string(L, method, idx, name);

		if (parse_duration(s, &ns))
			bind_fail_arg(
			    L, method,
			    "%s '%s' is no duration: write seconds, or a "
			    "string like \"500ms\", \"1.5s\", \"2m\"",
			    name, s);
		return ns;
	}
	if (lua_type(L, idx) != LUA_TNUMBER)
		fail_type(L, method, idx, name,
			  "a duration (seconds, or \"500ms\")");
	lua_Number s = lua_tonumber(L, idx);
	if (isnan(s) || isinf(s) || s < 0)
		bind_fail_arg(
		    L, method,
		    "%s must be a finite duration of 0 or more, got %s", name,
		    lua_tostring(L, idx));
	if (s > SECONDS_MAX)
		return CLOCK_NEVER;
	return (int64_t)(s * (lua_Number)NS_PER_SEC);
}

uint64_t arg_size(lua_State *L, const char *method, int idx, const char *name)
{
	uint64_t n;

	if (lua_type(L, idx) == LUA_TSTRING) {
		const char *s = arg_string(L, method, idx, name);

		if (parse_size(s, &n))
			bind_fail_arg(
			    L, method,
			    "%s '%s' is no size: write bytes, or a string like "
			    "\"64K\", \"256M\", \"1G\"",
			    name, s);
		return n;
	}
	if (!is_integer_like(L, idx))
		fail_type(L, method, idx, name, "a size (bytes, or \"256M\")");
	return (uint64_t)arg_int(L, method, idx, name, 0, INT64_MAX);
}

int arg_opt_table(lua_State *L, const char *method, int idx, const char *name)
{
	if (lua_isnoneornil(L, idx))
		return 0;
	if (!lua_istable(L, idx))
		fail_type(L, method, idx, name, "a table");
	return idx;
}

int arg_enum(lua_State *L, const char *method, int idx, const char *name,
	     const char *const *names)
{
	const char *s = arg_string(L, method, idx, name);
	luaL_Buffer b;

	for (int i = 0; names[i]; i++)
		if (!strcmp(s, names[i]))
			return i;
	luaL_buffinit(L, &b);
	for (int i = 0; names[i]; i++) {
		luaL_addstring(&b, i ? ", " : "");
		luaL_addstring(&b, names[i]);
	}
	luaL_pushresult(&b);
	bind_fail_arg(L, method, "unknown %s '%s'; valid: %s", name, s,
		      lua_tostring(L, -1));
}

static _Noreturn void fail_list_key(lua_State *L, const char *method,
				    const char *name, int key_idx)
{
	bool is_string = lua_type(L, key_idx) == LUA_TSTRING;

	if (!is_string && lua_type(L, key_idx) != LUA_TNUMBER)
		bind_fail_arg(
		    L, method,
		    "%s must be a list without holes, it has %s as a key", name,
		    arg_type_name(L, key_idx));
	bind_fail_arg(L, method,
		      "%s must be a list without holes, it has the key %s%s%s",
		      name, is_string ? "'" : "", arg_shown(L, key_idx),
		      is_string ? "'" : "");
}

/* Raises for the first position of the table at idx that holds nil; last is one
 * that does not. */
static _Noreturn void fail_hole(lua_State *L, const char *method, int idx,
				const char *name, int last)
{
	int hole = 1;

	for (;; hole++) {
		lua_rawgeti(L, idx, hole);
		bool is_nil = lua_isnil(L, -1);
		lua_pop(L, 1);
		if (is_nil)
			break;
	}
	bind_fail_arg(L, method,
		      "%s must be a list without holes, it has the key %d but "
		      "nothing at %d",
		      name, last, hole);
}

/* Whether the key at the top may be a list's; else it is one of another kind,
 * or one that no list reaches. */
static bool is_position(lua_State *L)
{
	lua_Number k = lua_tonumber(L, -1);

	return lua_type(L, -1) == LUA_TNUMBER && k >= 1 &&
	       k <= (lua_Number)INT_MAX && k == floor(k);
}

static size_t bind_args_measure(lua_State *L, const char *method, int idx,
				const char *name, bool may_have_names)
{
	int n = 0, last = 0;

	lua_pushnil(L);
	while (lua_next(L, idx)) {
		lua_pop(L, 1);
		if (is_position(L)) {
			int k = (int)lua_tointeger(L, -1);

			n++;
			last = k > last ? k : last;
		} else if (!may_have_names || lua_type(L, -1) == LUA_TNUMBER) {
			fail_list_key(L, method, name, lua_gettop(L));
		}
	}
	if (n != last)
		fail_hole(L, method, idx, name, last);
	return (size_t)n;
}

size_t arg_list(lua_State *L, const char *method, int idx, const char *name,
		const char *what)
{
	if (!lua_istable(L, idx))
		fail_type(L, method, idx, name, what);
	return bind_args_measure(L, method, idx, name, false);
}

size_t arg_list_part(lua_State *L, const char *method, int idx,
		     const char *name)
{
	return bind_args_measure(L, method, idx, name, true);
}

void arg_strings(lua_State *L, const char *method, int idx, const char *name,
		 struct strvec *sv)
{
	arg_list(L, method, idx, name, "a list of strings");
	arg_strings_part(L, method, idx, name, sv);
}

void arg_strings_part(lua_State *L, const char *method, int idx,
		      const char *name, struct strvec *sv)
{
	int n = (int)arg_list_part(L, method, idx, name);

	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, idx, i);
		if (!lua_isstring(L, -1))
			bind_fail_arg(L, method,
				      "%s[%d] must be a string, got %s", name,
				      i, arg_type_name(L, -1));
		const char *s = lua_tostring(L, -1);
		if (strlen(s) != lua_objlen(L, -1))
			bind_fail_arg(L, method, "%s[%d] holds a NUL byte",
				      name, i);
		strvec_add(sv, s);
		lua_pop(L, 1);
	}
}

static _Noreturn void bind_args_fail_key(lua_State *L, const char *method,
					 const struct opt *opts, int key_idx)
{
	luaL_Buffer b;

	if (lua_type(L, key_idx) != LUA_TSTRING)
		bind_fail_arg(
		    L, method,
		    "options must have names as keys, got %s as a key",
		    arg_type_name(L, key_idx));
	const char *key = arg_shown(L, key_idx);
	luaL_buffinit(L, &b);
	for (const struct opt *o = opts; o->key; o++) {
		luaL_addstring(&b, o == opts ? "" : ", ");
		luaL_addstring(&b, o->key);
	}
	luaL_pushresult(&b);
	if (!opts->key)
		bind_fail_arg(L, method,
			      "unknown option '%s': there are none yet", key);
	bind_fail_arg(L, method, "unknown option '%s'; valid: %s", key,
		      lua_tostring(L, -1));
}

/* The value on top into the member. Returns whether it must stay there. */
static bool bind_args_read_option(lua_State *L, const char *method,
				  const struct opt *o, void *member)
{
	int idx = lua_gettop(L);
	struct opt_bytes *bytes = member;

	switch (o->type) {
	case OPT_BOOL:
		*(bool *)member = arg_bool(L, method, idx, o->key, false);
		return false;
	case OPT_INT:
		*(int64_t *)member =
		    arg_int(L, method, idx, o->key, INT64_MIN, INT64_MAX);
		return false;
	case OPT_STRING:
		*(const char **)member = arg_string(L, method, idx, o->key);
		return false;
	case OPT_BYTES:
		bytes->p = arg_bytes(L, method, idx, o->key, &bytes->n);
		return false;
	case OPT_DURATION:
		*(int64_t *)member = arg_duration(L, method, idx, o->key, 0);
		return false;
	case OPT_SIZE:
		*(uint64_t *)member = arg_size(L, method, idx, o->key);
		return false;
	case OPT_TABLE:
		arg_opt_table(L, method, idx, o->key);
		*(int *)member = idx;
		return true;
	case OPT_VALUE:
		*(int *)member = idx;
		return true;
	}
	return false;
}

static void bind_args_check_keys(lua_State *L, const char *method, int idx,
				 const struct opt *opts)
{
	lua_pushnil(L);
	while (lua_next(L, idx)) {
		const struct opt *o = opts;

		lua_pop(L, 1);
		while (o->key && !arg_is_key(L, lua_gettop(L), o->key))
			o++;
		if (!o->key)
			bind_args_fail_key(L, method, opts, lua_gettop(L));
	}
}

void bind_options(lua_State *L, const char *method, int idx,
		  const struct opt *opts, void *out)
{
	if (!idx)
		return;
	bind_args_check_keys(L, method, idx, opts);
	for (const struct opt *o = opts; o->key; o++) {
		luaL_checkstack(L, 4, method);
		lua_getfield(L, idx, o->key);
		if (lua_isnil(L, -1) ||
		    !bind_args_read_option(L, method, o,
					   (char *)out + o->offset))
			lua_pop(L, 1);
	}
}

char *bind_host_path(lua_State *L, const char *path)
{
	struct site at;

	if (path[0] == '/' || !lua_state_site(L, &at))
		return mem_strdup(path);
	const char *slash = strrchr(at.file, '/');
	if (!slash)
		return mem_strdup(path);
	return mem_printf("%.*s/%s", (int)(slash - at.file), at.file, path);
}
