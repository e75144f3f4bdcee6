/* SPDX-License-Identifier: MIT */
/*
 * Owns json.encode and json.decode. A table is an array when its keys are
 * positive integers (holes become null), else an object; an empty table is an
 * array, unless it came from decoding an object.
 */
#include "runner/bind_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runner/bind.h"
#include "runner/json_mark.h"
#include "runner/json_read.h"

#define DECODE	  "json.decode"
#define DEPTH_MAX 512
/* An array whose last index is beyond this is a mistake, not a list. */
#define ARRAY_MAX 10000000

/*
 * Encoding raises in the midst of things: what was built so far hangs on a
 * root that a userdata owns.
 */
struct root {
	json_t *json;
};

static const char root_meta;   /* registry: metatable of struct root */
static const char object_meta; /* registry: marks empty decoded objects */

static void bind_json_push_key(lua_State *L, const char *key)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)key);
}

struct encoder {
	const char *method;
	const struct json_mark *mark; /* NULL: numbers as jansson has them */
	json_t *root;		      /* keeps everything alive */
};

static json_t *encode_value(lua_State *L, const struct encoder *e, int idx,
			    int depth);

/* root keeps everything alive: an array that values are put in first. */
static json_t *track(json_t *root, json_t *take_v)
{
	json_array_append_new(root, take_v);
	return take_v;
}

static bool is_marked_object(lua_State *L, int idx)
{
	if (!lua_getmetatable(L, idx))
		return false;
	bind_json_push_key(L, &object_meta);
	lua_rawget(L, LUA_REGISTRYINDEX);
	bool is = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return is;
}

/* Largest index of an array, or -1 for an object. */
static lua_Number array_size(lua_State *L, const char *method, int idx)
{
	lua_Number max = 0;
	bool has_names = false;

	lua_pushnil(L);
	while (lua_next(L, idx)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TSTRING) {
			has_names = true;
			continue;
		}
		lua_Number n = lua_tonumber(L, -1);
		if (lua_type(L, -1) != LUA_TNUMBER || n < 1 || n != floor(n))
			bind_fail_arg(
			    L, method,
			    "a key must be a string or a positive integer, "
			    "got %s",
			    arg_type_name(L, -1));
		if (n > max)
			max = n;
	}
	if (has_names && max > 0)
		bind_fail_arg(L, method,
			      "a table has both names and positions as keys");
	if (max > ARRAY_MAX)
		bind_fail_arg(L, method, "an array's index is %.0f", max);
	return has_names ? -1 : max;
}

static const char *utf8_check(lua_State *L, const char *method, int idx,
			      size_t *ret_n)
{
	const char *s = lua_tolstring(L, idx, ret_n);
	json_t *probe = json_stringn(s, *ret_n);

	if (!probe)
		bind_fail_arg(L, method, "a string is not UTF-8");
	json_decref(probe);
	return s;
}

static json_t *encode_array(lua_State *L, const struct encoder *e, int idx,
			    int size, int depth)
{
	json_t *out = track(e->root, json_array());

	for (int i = 1; i <= size; i++) {
		lua_rawgeti(L, idx, i);
		json_array_append(out,
				  encode_value(L, e, lua_gettop(L), depth + 1));
		lua_pop(L, 1);
	}
	return out;
}

static json_t *encode_object(lua_State *L, const struct encoder *e, int idx,
			     int depth)
{
	json_t *out = track(e->root, json_object());

	lua_pushnil(L);
	while (lua_next(L, idx)) {
		size_t n;
		const char *key = utf8_check(L, e->method, -2, &n);
		/* An event with such a key could not be read back. */
		if (!e->mark && memchr(key, '\0', n))
			bind_fail_arg(L, e->method, "a key holds a NUL byte");
		json_t *v = encode_value(L, e, lua_gettop(L), depth + 1);

		json_object_setn(out, key, n, v);
		lua_pop(L, 1);
	}
	return out;
}

static json_t *encode_table(lua_State *L, const struct encoder *e, int idx,
			    int depth)
{
	if (depth > DEPTH_MAX)
		bind_fail_arg(L, e->method,
			      "tables are nested deeper than %d: a cycle?",
			      DEPTH_MAX);
	luaL_checkstack(L, 6, e->method);
	lua_Number size = array_size(L, e->method, idx);
	if (size < 0 || (size == 0 && is_marked_object(L, idx)))
		return encode_object(L, e, idx, depth);
	return encode_array(L, e, idx, (int)size, depth);
}

static json_t *encode_number(lua_State *L, const struct encoder *e, int idx)
{
	lua_Number n = lua_tonumber(L, idx);

	if (isnan(n) || isinf(n))
		bind_fail_arg(L, e->method, "%s is not a JSON number",
			      lua_tostring(L, idx));
	if (n == floor(n) && fabs(n) <= 9007199254740992.0)
		return track(e->root, json_integer((json_int_t)n));
	return track(e->root,
		     e->mark ? json_mark_real(e->mark, n) : json_real(n));
}

static json_t *encode_cdata(lua_State *L, const struct encoder *e, int idx)
{
	uint64_t n;
	bool is_signed;

	if (!bind_is_int64(L, idx, &n, &is_signed))
		bind_fail_arg(L, e->method, "%s has no JSON form",
			      arg_type_name(L, idx));
	if (!is_signed && n > INT64_MAX && e->mark)
		return track(e->root, json_mark_u64(e->mark, n));
	if (!is_signed && n > INT64_MAX)
		bind_fail_arg(
		    L, e->method,
		    "the uint64_t %llu is beyond what JSON integers hold here",
		    (unsigned long long)n);
	return track(e->root, json_integer((json_int_t)n));
}

/* A reference that root owns. */
static json_t *encode_value(lua_State *L, const struct encoder *e, int idx,
			    int depth)
{
	size_t n;
	const char *s;

	switch (lua_type(L, idx)) {
	case LUA_TNIL:
		return track(e->root, json_null());
	case LUA_TBOOLEAN:
		return track(e->root, json_boolean(lua_toboolean(L, idx)));
	case LUA_TNUMBER:
		return encode_number(L, e, idx);
	case LUA_TSTRING:
		s = utf8_check(L, e->method, idx, &n);
		return track(e->root, json_stringn(s, n));
	case LUA_TTABLE:
		return encode_table(L, e, idx, depth);
	case LUA_TFUNCTION:
	case LUA_TUSERDATA:
	case LUA_TLIGHTUSERDATA:
	case LUA_TTHREAD:
		bind_fail_arg(L, e->method, "%s has no JSON form",
			      arg_type_name(L, idx));
	default:
		return encode_cdata(L, e, idx);
	}
}

static int root_gc(lua_State *L)
{
	struct root *r = lua_touserdata(L, 1);

	json_decref(r->json);
	r->json = NULL;
	return 0;
}

/* Pushes a root that is released when Lua forgets it. */
static struct root *push_root(lua_State *L)
{
	struct root *r = lua_newuserdata(L, sizeof(*r));

	r->json = NULL;
	bind_json_push_key(L, &root_meta);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_setmetatable(L, -2);
	return r;
}

static json_t *bind_json_value_of(lua_State *L, const char *method,
				  const struct json_mark *mark, int idx)
{
	struct root *r = push_root(L);
	struct encoder e = {.method = method, .mark = mark};

	e.root = r->json = json_array();
	json_t *v = json_incref(encode_value(L, &e, idx, 0));
	json_decref(r->json);
	r->json = NULL;
	lua_pop(L, 1);
	return v;
}

json_t *bind_json_value(lua_State *L, const char *method, int idx)
{
	return bind_json_value_of(L, method, NULL, idx);
}

static int json_l_encode(lua_State *L)
{
	struct json_mark mark;

	luaL_checkany(L, 1);
	lua_settop(L, 1);
	json_mark_init(&mark);
	struct root *r = push_root(L);
	struct buf *out = bind_push_buf(L);
	r->json = bind_json_value_of(L, "json.encode", &mark, 1);
	char *text = json_dumps(r->json, JSON_ENCODE_ANY | JSON_COMPACT |
					     JSON_SORT_KEYS);
	if (!text)
		bind_fail_arg(L, "json.encode", "the value has no JSON form");
	json_mark_resolve(&mark, text, out);
	free(text);
	lua_pushlstring(L, (const char *)buf_data(out), out->len);
	json_decref(r->json);
	r->json = NULL;
	return 1;
}

/* --- decoding -------------------------------------------------------------*/

static void push_token(lua_State *L, struct json_reader *r,
		       enum json_token token);

static enum json_token next_token(lua_State *L, struct json_reader *r)
{
	enum json_token token = json_read_next(r);
	struct err err = {0};

	if (token == JSON_TOKEN_ERROR) {
		json_read_error(r, &err);
		bind_fail_err(L, DECODE, &err);
	}
	return token;
}

static void push_string(lua_State *L, const struct json_reader *r)
{
	size_t n = r->string->len;

	lua_pushlstring(L, n ? (const char *)buf_data(r->string) : "", n);
}

static void push_array(lua_State *L, struct json_reader *r)
{
	enum json_token token;

	lua_newtable(L);
	for (int i = 1; (token = next_token(L, r)) != JSON_TOKEN_ARRAY_END;
	     i++) {
		push_token(L, r, token);
		lua_rawseti(L, -2, i);
	}
}

/* Of a key that is there twice, the last value counts. */
static void push_object(lua_State *L, struct json_reader *r)
{
	lua_newtable(L);
	bind_json_push_key(L, &object_meta);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_setmetatable(L, -2);
	while (next_token(L, r) != JSON_TOKEN_OBJECT_END) {
		push_string(L, r);
		push_token(L, r, next_token(L, r));
		lua_rawset(L, -3);
	}
}

/* The value that begins with the token. */
static void push_token(lua_State *L, struct json_reader *r,
		       enum json_token token)
{
	luaL_checkstack(L, 6, DECODE);
	switch (token) {
	case JSON_TOKEN_FALSE:
	case JSON_TOKEN_TRUE:
		lua_pushboolean(L, token == JSON_TOKEN_TRUE);
		return;
	case JSON_TOKEN_INTEGER:
		bind_push_i64(L, r->integer);
		return;
	case JSON_TOKEN_UNSIGNED:
		bind_push_u64(L, r->large);
		return;
	case JSON_TOKEN_REAL:
		lua_pushnumber(L, r->real);
		return;
	case JSON_TOKEN_STRING:
		push_string(L, r);
		return;
	case JSON_TOKEN_ARRAY:
		push_array(L, r);
		return;
	case JSON_TOKEN_OBJECT:
		push_object(L, r);
		return;
	default:
		lua_pushnil(L);
	}
}

static int json_l_decode(lua_State *L)
{
	struct json_reader reader;
	size_t n;
	const char *s = arg_bytes(L, DECODE, 1, "text", &n);

	lua_settop(L, 1);
	json_read_init(&reader, s, n, bind_push_buf(L));
	push_token(L, &reader, next_token(L, &reader));
	/* What follows is an error, or the end. */
	next_token(L, &reader);
	return 1;
}

static const struct bind_method functions[] = {
    {"encode", json_l_encode, 1},
    {"decode", json_l_decode, 1},
    {NULL, NULL, 0},
};

void bind_json_register(lua_State *L)
{
	bind_json_push_key(L, &root_meta);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, root_gc);
	lua_setfield(L, -2, "__gc");
	lua_rawset(L, LUA_REGISTRYINDEX);
	bind_json_push_key(L, &object_meta);
	lua_newtable(L);
	lua_rawset(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	bind_methods(L, functions, "json.");
	lua_setglobal(L, "json");
}
