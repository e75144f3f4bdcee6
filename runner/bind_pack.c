/* SPDX-License-Identifier: MIT */
/*
 * Owns how Lua values become bytes and back, by the formats of pack.h.
 * Integers are exact in all 64 bits: beyond 2^53 they are cdata.
 */
#include "runner/bind_pack.h"

#include <string.h>

#include "agent-proto/buf.h"
#include "runner/bind.h"
#include "runner/lua_state.h"
#include "runner/pack.h"

/* How far the results may reach: unpack pushes a value an option. */
#define VALUES_MAX 5000

static int next_item(lua_State *L, const char *method, struct pack_format *f,
		     size_t total, struct pack_item *item)
{
	struct err err = {0};
	int rc = pack_next(f, total, item, &err);

	if (rc < 0)
		bind_fail_err(L, method, &err);
	return rc;
}

/* --- packing --- */

struct packer {
	const char *method;
	struct pack_format f;
	struct buf *out;
	int arg; /* index of the next value */
	int n;	 /* counted from 1, for messages */
};

static void put_zeros(struct buf *out, size_t n)
{
	memset(buf_room(out, n), 0, n);
	buf_commit(out, n);
}

/* v, sign-extended by `fill`, in size bytes. */
static void put_int(struct buf *out, uint64_t v, uint8_t fill, size_t size,
		    bool is_big_endian)
{
	uint8_t *p = buf_room(out, size);

	for (size_t i = 0; i < size; i++) {
		uint8_t b = i < 8 ? (uint8_t)(v >> (8 * i)) : fill;

		p[is_big_endian ? size - 1 - i : i] = b;
	}
	buf_commit(out, size);
}

static void value_name(const struct packer *p, char out[32])
{
	snprintf(out, 32, "value %d", p->n);
}

static void pack_signed(lua_State *L, struct packer *p, size_t size)
{
	int64_t max =
	    size >= 8 ? INT64_MAX : (INT64_C(1) << (size * 8 - 1)) - 1;
	char name[32];

	value_name(p, name);
	int64_t v = arg_int(L, p->method, p->arg, name, -max - 1, max);
	put_int(p->out, (uint64_t)v, v < 0 ? 0xff : 0, size,
		p->f.is_big_endian);
}

static void pack_unsigned(lua_State *L, struct packer *p, size_t size)
{
	char name[32];

	value_name(p, name);
	uint64_t v = arg_u64(L, p->method, p->arg, name);
	if (size < 8 && v >> (size * 8))
		bind_fail_arg(L, p->method,
			      "%s does not fit %zu bytes without a sign", name,
			      size);
	put_int(p->out, v, 0, size, p->f.is_big_endian);
}

static void pack_number(lua_State *L, struct packer *p, size_t size)
{
	uint64_t bits = 0;
	uint32_t bits32;

	if (lua_type(L, p->arg) != LUA_TNUMBER)
		bind_fail_arg(L, p->method, "value %d must be a number, got %s",
			      p->n, arg_type_name(L, p->arg));
	double d = lua_tonumber(L, p->arg);
	float f = (float)d;
	if (size == sizeof(f)) {
		memcpy(&bits32, &f, sizeof(f));
		bits = bits32;
	} else {
		memcpy(&bits, &d, sizeof(d));
	}
	put_int(p->out, bits, 0, size, p->f.is_big_endian);
}

static void pack_string(lua_State *L, struct packer *p,
			const struct pack_item *item)
{
	char name[32];
	size_t n;

	value_name(p, name);
	const char *s = arg_bytes(L, p->method, p->arg, name, &n);
	if (item->kind == PACK_FIXED && n > item->size)
		bind_fail_arg(L, p->method, "%s is longer than %zu bytes", name,
			      item->size);
	if (item->kind == PACK_ZERO && memchr(s, 0, n))
		bind_fail_arg(L, p->method, "%s holds a NUL byte", name);
	if (item->kind == PACK_PREFIX && item->size < 8 &&
	    (uint64_t)n >> (item->size * 8))
		bind_fail_arg(L, p->method,
			      "the length of %s does not fit %zu bytes", name,
			      item->size);
	if (item->kind == PACK_PREFIX)
		put_int(p->out, n, 0, item->size, p->f.is_big_endian);
	buf_append(p->out, s, n);
	if (item->kind == PACK_FIXED)
		put_zeros(p->out, item->size - n);
	if (item->kind == PACK_ZERO)
		put_zeros(p->out, 1);
}

static void pack_item(lua_State *L, struct packer *p,
		      const struct pack_item *item)
{
	put_zeros(p->out, item->padding);
	switch (item->kind) {
	case PACK_SIGNED:
		pack_signed(L, p, item->size);
		break;
	case PACK_UNSIGNED:
		pack_unsigned(L, p, item->size);
		break;
	case PACK_FLOAT:
	case PACK_DOUBLE:
		pack_number(L, p, item->size);
		break;
	case PACK_FIXED:
	case PACK_PREFIX:
	case PACK_ZERO:
		pack_string(L, p, item);
		break;
	case PACK_PAD:
		put_zeros(p->out, 1);
		return;
	case PACK_ALIGN:
		return;
	}
	p->arg++;
	p->n++;
}

/* The format is at fmt, the values behind it. */
static int pack(lua_State *L, const char *method, int fmt)
{
	struct packer p = {.method = method, .arg = fmt + 1, .n = 1};
	struct pack_item item;
	size_t n;

	const char *text = arg_bytes(L, method, fmt, "format", &n);
	int last = lua_gettop(L);
	pack_format_init(&p.f, text, n);
	p.out = bind_push_buf(L);
	while (next_item(L, method, &p.f, p.out->len, &item)) {
		if (p.arg > last && item.kind < PACK_PAD)
			bind_fail_arg(L, method, "value %d is missing", p.n);
		pack_item(L, &p, &item);
	}
	lua_pushlstring(L, p.out->len ? (char *)buf_data(p.out) : "",
			p.out->len);
	buf_done(p.out);
	return 1;
}

static int bind_pack_l_pack(lua_State *L)
{
	return pack(L, "string.pack", 1);
}

int bind_pack_lab_pack(lua_State *L)
{
	return pack(L, "lab:pack", 2);
}

static int l_packsize(lua_State *L)
{
	static const char method[] = "string.packsize";
	struct pack_format f;
	struct pack_item item;
	size_t total = 0;
	size_t n;

	const char *text = arg_bytes(L, method, 1, "format", &n);
	pack_format_init(&f, text, n);
	while (next_item(L, method, &f, total, &item)) {
		if (item.kind == PACK_PREFIX || item.kind == PACK_ZERO)
			bind_fail_arg(L, method,
				      "the format has a string of variable "
				      "length");
		total += item.padding + item.size;
	}
	lua_pushnumber(L, (lua_Number)total);
	return 1;
}

/* --- unpacking --- */

struct unpacker {
	const char *method;
	struct pack_format f;
	const uint8_t *p;
	size_t n;
	size_t at;
};

static void need(lua_State *L, const struct unpacker *u, size_t n)
{
	if (n > u->n - u->at)
		bind_fail_arg(L, u->method,
			      "the data is too short: %zu bytes from position "
			      "%zu on, %zu needed",
			      u->n - u->at, u->at + 1, n);
}

/* An integer at the position. Bytes beyond eight must repeat the sign. */
static uint64_t get_int(lua_State *L, struct unpacker *u, size_t size,
			bool is_signed)
{
	const uint8_t *p = u->p + u->at;
	uint64_t v = 0;

	need(L, u, size);
	for (size_t i = size; i--;) {
		uint8_t b = p[u->f.is_big_endian ? size - 1 - i : i];

		if (i < 8)
			v = v << 8 | b;
	}
	if (is_signed && size > 0 && size < 8) {
		uint64_t sign = UINT64_C(1) << (size * 8 - 1);

		v = (v ^ sign) - sign;
	}
	uint8_t fill = is_signed && v >> 63 ? 0xff : 0;
	for (size_t i = 8; i < size; i++)
		if (p[u->f.is_big_endian ? size - 1 - i : i] != fill)
			bind_fail_arg(L, u->method,
				      "the integer at position %zu does not "
				      "fit 64 bits",
				      u->at + 1);
	u->at += size;
	return v;
}

static void unpack_number(lua_State *L, struct unpacker *u, size_t size)
{
	uint64_t bits = get_int(L, u, size, false);
	uint32_t bits32 = (uint32_t)bits;
	double d;
	float f;

	if (size == sizeof(f)) {
		memcpy(&f, &bits32, sizeof(f));
		d = f;
	} else {
		memcpy(&d, &bits, sizeof(d));
	}
	lua_pushnumber(L, d);
}

static void unpack_bytes(lua_State *L, struct unpacker *u, size_t n)
{
	need(L, u, n);
	lua_pushlstring(L, (const char *)u->p + u->at, n);
	u->at += n;
}

static void unpack_zero(lua_State *L, struct unpacker *u)
{
	const char *s = (const char *)u->p + u->at;
	size_t n = strnlen(s, u->n - u->at);

	if (n == u->n - u->at)
		bind_fail_arg(L, u->method,
			      "the string at position %zu has no end",
			      u->at + 1);
	unpack_bytes(L, u, n);
	u->at++;
}

/* Returns how many values were pushed. */
static int unpack_item(lua_State *L, struct unpacker *u,
		       const struct pack_item *item)
{
	need(L, u, item->padding);
	u->at += item->padding;
	switch (item->kind) {
	case PACK_SIGNED:
		bind_push_i64(L, (int64_t)get_int(L, u, item->size, true));
		return 1;
	case PACK_UNSIGNED:
		bind_push_u64(L, get_int(L, u, item->size, false));
		return 1;
	case PACK_FLOAT:
	case PACK_DOUBLE:
		unpack_number(L, u, item->size);
		return 1;
	case PACK_FIXED:
		unpack_bytes(L, u, item->size);
		return 1;
	case PACK_PREFIX:
		unpack_bytes(L, u, get_int(L, u, item->size, false));
		return 1;
	case PACK_ZERO:
		unpack_zero(L, u);
		return 1;
	case PACK_PAD:
		need(L, u, 1);
		u->at++;
		return 0;
	case PACK_ALIGN:
		return 0;
	}
	return 0;
}

/* Where to begin: 1-based, negative from the end, default 1. */
static size_t start_of(lua_State *L, const char *method, int idx, size_t n)
{
	int64_t pos = 1;

	if (!lua_isnoneornil(L, idx))
		pos = arg_int(L, method, idx, "position", -(int64_t)n,
			      (int64_t)n + 1);
	if (!pos)
		bind_fail_arg(L, method, "position 0 is not in the data");
	return pos > 0 ? (size_t)pos - 1 : n - (size_t)-pos;
}

static int unpack(lua_State *L, const char *method, int fmt)
{
	struct unpacker u = {.method = method};
	struct pack_item item;
	size_t n;
	int pushed = 0;

	const char *text = arg_bytes(L, method, fmt, "format", &n);
	u.p = (const uint8_t *)arg_bytes(L, method, fmt + 1, "data", &u.n);
	u.at = start_of(L, method, fmt + 2, u.n);
	pack_format_init(&u.f, text, n);
	while (next_item(L, method, &u.f, u.at, &item)) {
		if (pushed == VALUES_MAX || !lua_checkstack(L, 4))
			bind_fail_arg(L, method, "more than %d values",
				      VALUES_MAX);
		pushed += unpack_item(L, &u, &item);
	}
	lua_pushnumber(L, (lua_Number)u.at + 1);
	return pushed + 1;
}

static int bind_pack_l_unpack(lua_State *L)
{
	return unpack(L, "string.unpack", 1);
}

int bind_pack_lab_unpack(lua_State *L)
{
	return unpack(L, "lab:unpack", 2);
}

static const struct bind_function functions[] = {
    {"pack", bind_pack_l_pack},
    {"unpack", bind_pack_l_unpack},
    {"packsize", l_packsize},
    {NULL, NULL},
};

void bind_pack_register(lua_State *L)
{
	lua_getglobal(L, "string");
	bind_functions(L, functions);
	lua_pop(L, 1);
	lua_state_run_blob(L, "runner/lua/compat.lua", 0);
	lua_pop(L, 1);
}
