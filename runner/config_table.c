/* SPDX-License-Identifier: MIT */
/*
 * The table that a config returned, read by key tables: each key names how
 * its value is read and where it goes. Tables are walked raw; metatables have
 * no say.
 */
#include "runner/config_lua.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "agent-proto/cleanup.h"
#include "runner/text.h"

#define CONFIG_CPUS_MAX	  1024
#define FILE_MODE_DEFAULT 0644

/* A place in the config that is being read. */
struct place {
	lua_State *L;
	const char *file;
	const char *key; /* "profiles.debian.memory" */
	struct err *err;
};

/* Reads the value on the top of the stack into dst. */
typedef int (*read_fn)(const struct place *at, void *dst);

struct key {
	const char *name;
	read_fn read;
	size_t offset;
};

static int read_table(const struct place *at, const struct key *keys,
		      void *base);
static const struct key *keys_of_file(void);
static const struct key *keys_of_profile(void);
static const struct key *keys_of_config(void);

static int config_table_complain(const struct place *at, const char *wanted)
{
	return err_set(at->err, -EINVAL, "%s: %s: expected %s, got %s",
		       at->file, at->key, wanted, luaL_typename(at->L, -1));
}

/* --- values ---------------------------------------------------------------*/

/* The string on the top of the stack; NULL for none, or one with a NUL. */
static const char *top_string(lua_State *L)
{
	size_t n;
	const char *s;

	if (lua_type(L, -1) != LUA_TSTRING)
		return NULL;
	s = lua_tolstring(L, -1, &n);
	return strlen(s) == n ? s : NULL;
}

static int config_table_read_string(const struct place *at, void *dst)
{
	char **s = dst;
	const char *top = top_string(at->L);

	if (!top)
		return config_table_complain(at, "a string");
	*s = mem_strdup(top);
	return 0;
}

static int read_path(const struct place *at, void *dst)
{
	const char *top = top_string(at->L);

	if (!top || !*top)
		return config_table_complain(at, "a path");
	return config_table_read_string(at, dst);
}

static int read_bool(const struct place *at, void *dst)
{
	bool *b = dst;

	if (!lua_isboolean(at->L, -1))
		return config_table_complain(at, "true or false");
	*b = lua_toboolean(at->L, -1);
	return 0;
}

/* A whole number of min..max on the top of the stack, or -EINVAL. */
static int top_integer(lua_State *L, double min, double max, double *ret)
{
	double v;

	if (lua_type(L, -1) != LUA_TNUMBER)
		return -EINVAL;
	v = lua_tonumber(L, -1);
	if (!(v >= min && v <= max) || v != (double)(uint64_t)v)
		return -EINVAL;
	*ret = v;
	return 0;
}

static int read_size(const struct place *at, void *dst)
{
	uint64_t *size = dst;
	const char *s = top_string(at->L);
	double bytes;

	if (!top_integer(at->L, 0, 9007199254740992.0, &bytes)) {
		*size = (uint64_t)bytes;
		return 0;
	}
	if (!s)
		return config_table_complain(at, "a size, such as \"256M\"");
	if (parse_size(s, size) < 0)
		return err_set(
		    at->err, -EINVAL,
		    "%s: %s: '%s' is not a size: say bytes, or a number with "
		    "K, M, G or T, such as \"256M\"",
		    at->file, at->key, s);
	return 0;
}

static int config_table_read_memory(const struct place *at, void *dst)
{
	uint64_t *memory = dst;
	int r = read_size(at, dst);

	if (r < 0)
		return r;
	if (*memory < 1u << 20)
		return err_set(
		    at->err, -EINVAL,
		    "%s: %s: less than 1M; a number without a unit is bytes",
		    at->file, at->key);
	return 0;
}

static int read_cpus(const struct place *at, void *dst)
{
	unsigned *cpus = dst;
	double v;

	if (top_integer(at->L, 1, CONFIG_CPUS_MAX, &v) < 0)
		return err_set(at->err, -EINVAL,
			       "%s: %s: expected a whole number from 1 to %d",
			       at->file, at->key, CONFIG_CPUS_MAX);
	*cpus = (unsigned)v;
	return 0;
}

static int read_accel(const struct place *at, void *dst)
{
	const char *s = top_string(at->L);

	if (!s || accel_parse(s, dst) < 0)
		return config_table_complain(at,
					     "\"auto\", \"kvm\" or \"tcg\"");
	return 0;
}

static int read_transport(const struct place *at, void *dst)
{
	const char *s = top_string(at->L);

	if (!s || transport_parse(s, dst) < 0)
		return config_table_complain(
		    at, "\"auto\", \"vsock\" or \"serial\"");
	return 0;
}

static int read_network(const struct place *at, void *dst)
{
	const char *s = top_string(at->L);

	if (!s || network_parse(s, dst) < 0)
		return config_table_complain(at, "\"user\" or \"kernel\"");
	return 0;
}

/* --- tables ---------------------------------------------------------------*/

/* Reads list[1..n] of the table on the top of the stack, each by read. */
static int read_list(const struct place *at, const char *wanted,
		     int (*read)(const struct place *at, void *ctx), void *ctx)
{
	lua_State *L = at->L;
	size_t n = 0;
	int r = 0;

	if (!lua_istable(L, -1))
		return config_table_complain(at, wanted);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		n++;
	if (n != lua_objlen(L, -1))
		return err_set(
		    at->err, -EINVAL,
		    "%s: %s: expected %s, got a table with other keys",
		    at->file, at->key, wanted);
	for (size_t i = 1; !r && i <= n; i++) {
		CLEANUP(free_ptr)
		char *key = mem_printf("%s[%zu]", at->key, i);
		struct place item = *at;
		item.key = key;
		lua_rawgeti(L, -1, (int)i);
		r = read(&item, ctx);
		lua_pop(L, 1);
	}
	return r;
}

static int read_item_string(const struct place *at, void *ctx)
{
	const char *s = top_string(at->L);

	if (!s || !*s)
		return config_table_complain(at, "a string");
	strvec_add(ctx, s);
	return 0;
}

static int read_strings(const struct place *at, void *dst)
{
	return read_list(at, "a list of strings", read_item_string, dst);
}

static const struct key *find_key(const struct key *keys, const char *name)
{
	while (keys->name && strcmp(keys->name, name) != 0)
		keys++;
	return keys->name ? keys : NULL;
}

static int unknown_key(const struct place *at, const struct key *keys,
		       const char *name)
{
	struct strvec names = {0};
	struct buf list = {0};

	for (const struct key *k = keys; k->name; k++) {
		strvec_add(&names, k->name);
		buf_printf(&list, "%s%s", k == keys ? "" : ", ", k->name);
	}
	const char *near = text_nearest(name, (const char *const *)names.v);
	if (near)
		err_set(at->err, -EINVAL,
			"%s: unknown key '%s%s%s', did you mean '%s'?",
			at->file, at->key, *at->key ? "." : "", name, near);
	else
		err_set(at->err, -EINVAL,
			"%s: unknown key '%s%s%s'; there is: %.*s", at->file,
			at->key, *at->key ? "." : "", name, (int)list.len,
			(char *)buf_data(&list));
	strvec_done(&names);
	buf_done(&list);
	return -EINVAL;
}

/* Every key of the table on the top of the stack must be among keys. */
static int config_table_check_keys(const struct place *at,
				   const struct key *keys)
{
	lua_State *L = at->L;

	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING) {
			lua_pop(L, 1);
			return err_set(
			    at->err, -EINVAL,
			    "%s: %s%sexpected named keys, got a %s as key",
			    at->file, at->key, *at->key ? ": " : "",
			    luaL_typename(L, -1));
		}
		const char *name = lua_tostring(L, -2);
		if (!find_key(keys, name)) {
			int r = unknown_key(at, keys, name);
			lua_pop(L, 2);
			return r;
		}
	}
	return 0;
}

/* The table on the top of the stack into the struct at base. */
static int read_table(const struct place *at, const struct key *keys,
		      void *base)
{
	lua_State *L = at->L;
	int r;

	if (!lua_istable(L, -1))
		return config_table_complain(at, "a table");
	r = config_table_check_keys(at, keys);
	for (const struct key *k = keys; !r && k->name; k++) {
		CLEANUP(free_ptr)
		char *key =
		    mem_printf("%s%s%s", at->key, *at->key ? "." : "", k->name);
		struct place inner = *at;
		inner.key = key;
		lua_pushstring(L, k->name);
		lua_rawget(L, -2);
		if (!lua_isnil(L, -1))
			r = k->read(&inner, (char *)base + k->offset);
		lua_pop(L, 1);
	}
	return r;
}

/* --- files and profiles ---------------------------------------------------*/

static int read_content(const struct place *at, void *dst)
{
	struct config_file *f = CONTAINER_OF(dst, struct config_file, content);
	const char *s;

	if (lua_type(at->L, -1) != LUA_TSTRING)
		return config_table_complain(at, "a string");
	s = lua_tolstring(at->L, -1, &f->n);
	f->content = mem_dup(s, f->n);
	return 0;
}

/* A number, or its octal digits: "0755". */
static int read_mode(const struct place *at, void *dst)
{
	uint32_t *mode = dst;
	const char *s = top_string(at->L);
	char *end = NULL;
	double v;

	if (!top_integer(at->L, 0, 07777, &v)) {
		*mode = (uint32_t)v;
		return 0;
	}
	unsigned long digits =
	    s && *s >= '0' && *s <= '7' ? strtoul(s, &end, 8) : ULONG_MAX;
	if (!end || *end || digits > 07777)
		return config_table_complain(at, "a mode, such as \"0755\"");
	*mode = (uint32_t)digits;
	return 0;
}

static int config_table_read_file(const struct place *at, void *ctx)
{
	struct config_profile *p = ctx;

	p->files =
	    mem_realloc_array(p->files, p->n_files + 1, sizeof(*p->files));
	struct config_file *f = &p->files[p->n_files++];
	*f = (struct config_file){.mode = FILE_MODE_DEFAULT};
	int r = read_table(at, keys_of_file(), f);
	if (r < 0)
		return r;
	if (!f->path || f->path[0] != '/')
		return err_set(
		    at->err, -EINVAL,
		    "%s: %s.path: expected an absolute path in the guest",
		    at->file, at->key);
	if (!f->content)
		return err_set(at->err, -EINVAL, "%s: %s.content is missing",
			       at->file, at->key);
	return 0;
}

static int config_table_read_files(const struct place *at, void *dst)
{
	return read_list(at, "a list of {path=, content=, mode=}",
			 config_table_read_file,
			 CONTAINER_OF(dst, struct config_profile, files));
}

/* {out} needs something that says where that is. */
static int check_profile(const struct place *at, const struct config_profile *p)
{
	const char *const users[] = {p->kernel, p->initrd, p->cmdline_file};

	if (p->build || p->build_out)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		if (users[i] && strstr(users[i], "{out}"))
			return err_set(
			    at->err, -EINVAL,
			    "%s: %s: '%s' needs build or build_out beside it",
			    at->file, at->key, users[i]);
	}
	return 0;
}

static int read_profiles(const struct place *at, void *dst)
{
	struct config *c = CONTAINER_OF(dst, struct config, profiles);
	lua_State *L = at->L;
	int r = 0;

	if (!lua_istable(L, -1))
		return config_table_complain(at, "a table of profiles");
	for (lua_pushnil(L); !r && lua_next(L, -2); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING) {
			r = config_table_complain(
			    at, "named profiles: debian = {...}");
			continue;
		}
		const char *name = lua_tostring(L, -2);
		CLEANUP(free_ptr)
		char *key = mem_printf("%s.%s", at->key, name);
		struct place inner = *at;
		inner.key = key;
		struct config_profile *p = config_add_profile(c, name);
		r = read_table(&inner, keys_of_profile(), p);
		if (!r)
			r = check_profile(&inner, p);
	}
	return r;
}

/* --- the keys -------------------------------------------------------------*/

static const struct key *keys_of_file(void)
{
#define KEY(name, read)                                                        \
	{                                                                      \
#name, read, offsetof(struct config_file, name)                \
	}
	static const struct key keys[] = {
	    KEY(path, read_path),
	    KEY(content, read_content),
	    KEY(mode, read_mode),
	    {0},
	};
#undef KEY
	return keys;
}

static const struct key *keys_of_profile(void)
{
#define KEY(name, read)                                                        \
	{                                                                      \
#name, read, offsetof(struct config_profile, name)             \
	}
	static const struct key keys[] = {
	    KEY(kernel, read_path),
	    KEY(initrd, read_path),
	    KEY(cmdline, config_table_read_string),
	    KEY(cmdline_file, read_path),
	    KEY(modules, read_strings),
	    KEY(disks, read_strings),
	    KEY(files, config_table_read_files),
	    KEY(memory, config_table_read_memory),
	    KEY(cpus, read_cpus),
	    KEY(build, config_table_read_string),
	    KEY(build_out, read_path),
	    KEY(inject_agent, read_bool),
	    KEY(qemu_args, read_strings),
	    KEY(accel, read_accel),
	    KEY(transport, read_transport),
	    {0},
	};
#undef KEY
	return keys;
}

static const struct key *keys_of_config(void)
{
#define KEY(name, read)                                                        \
	{                                                                      \
#name, read, offsetof(struct config, name)                     \
	}
	static const struct key keys[] = {
	    KEY(roots, read_strings),
	    KEY(cache_dir, read_path),
	    KEY(cache_max_size, read_size),
	    KEY(profiles, read_profiles),
	    KEY(default_profile, config_table_read_string),
	    KEY(network, read_network),
	    {0},
	};
#undef KEY
	return keys;
}

int config_read_table(lua_State *L, struct config *c, struct err *err)
{
	struct place top = {.L = L, .file = c->path, .key = "", .err = err};

	return read_table(&top, keys_of_config(), c);
}
