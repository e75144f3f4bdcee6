/* SPDX-License-Identifier: MIT */
/*
 * Owns how the text of authors' files becomes chunks. Owns no state.
 */
#include "runner/load.h"

#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "runner/bind.h"
#include "runner/bind_fixture.h"
#include "runner/lua_state.h"
#include "vmm/store.h"

/* More than that is no test, but a mistake. */
#define SOURCE_MAX (64u << 20)

struct hint {
	const char *text; /* in the source line */
	const char *say;
};

/* Longer operators first: the first that occurs in the line is named. */
static const struct hint hints[] = {
    {"//", "`//` is not in LuaJIT: write math.floor(a / b)"},
    {"<const>", "`<const>` is not in LuaJIT: write a plain local"},
    {"<close>", "`<close>` is not in LuaJIT: call :close(), or leave it to "
		"the end of the test"},
    {"<<", "`<<` is not in LuaJIT: write bit.lshift(a, n)"},
    {">>", "`>>` is not in LuaJIT: write bit.rshift(a, n)"},
    {"&", "`&` is not in LuaJIT: write bit.band(a, b)"},
    {"|", "`|` is not in LuaJIT: write bit.bor(a, b)"},
    {"~", "binary `~` is not in LuaJIT: write bit.bxor(a, b) or bit.bnot(a)"
	  "; not equal is `~=`"},
    {NULL, NULL},
};

const char *load_display(const char *path, char *out, size_t n)
{
	char cwd[PATH_MAX];
	const char *p = path;

	if (getcwd(cwd, sizeof(cwd))) {
		size_t len = strlen(cwd);

		if (!strncmp(path, cwd, len) && path[len] == '/')
			p = path + len + 1;
	}
	snprintf(out, n, "%s", p);
	return out;
}

/* A place in the source, and its line. */
struct scan {
	const char *p, *end;
	int line;
};

static void load_step(struct scan *s)
{
	s->line += *s->p++ == '\n';
}

/* At "[[", "[=[", ...: how long that is, else 0. */
static size_t long_bracket(const struct scan *s, char bracket)
{
	const char *p = s->p;

	if (p == s->end || *p++ != bracket)
		return 0;
	while (p < s->end && *p == '=')
		p++;
	return p < s->end && *p == bracket ? (size_t)(p + 1 - s->p) : 0;
}

/* Behind the long string or comment that opens here with n characters. */
static void skip_long(struct scan *s, size_t n)
{
	s->p += n;
	while (s->p < s->end && long_bracket(s, ']') != n)
		load_step(s);
	s->p += s->p < s->end ? n : 0;
}

/* Behind the string in quotes; one that is not closed ends with its line. */
static void skip_quoted(struct scan *s)
{
	char quote = *s->p++;

	while (s->p < s->end && *s->p != quote && *s->p != '\n') {
		if (*s->p == '\\' && s->p + 1 < s->end)
			s->p++;
		load_step(s);
	}
	s->p += s->p < s->end && *s->p == quote;
}

/* Whether something was skipped that holds no syntax. */
static bool skip_text(struct scan *s)
{
	size_t n = long_bracket(s, '[');

	if (n) {
		skip_long(s, n);
	} else if (*s->p == '"' || *s->p == '\'') {
		skip_quoted(s);
	} else if (s->end - s->p >= 2 && !memcmp(s->p, "--", 2)) {
		s->p += 2;
		n = long_bracket(s, '[');
		if (n)
			skip_long(s, n);
		while (!n && s->p < s->end && *s->p != '\n')
			s->p++;
	} else if (s->end - s->p >= 2 && !memcmp(s->p, "~=", 2)) {
		s->p += 2; /* of all Luas; ~ alone is not */
	} else {
		return false;
	}
	return true;
}

/* What is on that line, counted from 1, without strings and comments: what is
 * left is syntax. */
static void syntax_of_line(const struct buf *text, int line, char *out,
			   size_t size)
{
	const char *p = (const char *)buf_data(text);
	struct scan s = {.p = p, .end = p + text->len, .line = 1};
	size_t n = 0;

	while (s.p < s.end && s.line <= line && n + 1 < size) {
		if (skip_text(&s))
			continue;
		if (s.line == line)
			out[n++] = *s.p;
		load_step(&s);
	}
	out[n] = '\0';
}

static const char *find_hint(const char *line)
{
	for (const struct hint *h = hints; h->text; h++)
		if (strstr(line, h->text))
			return h->say;
	return NULL;
}

/* msg is "chunk:12: what"; the chunk's name may be shortened. */
static const char *split_position(const char *msg, int *ret_line)
{
	for (const char *p = strchr(msg, ':'); p; p = strchr(p + 1, ':')) {
		char *end;
		long line = strtol(p + 1, &end, 10);

		if (!isdigit((unsigned char)p[1]) || strncmp(end, ": ", 2) != 0)
			continue;
		*ret_line = (int)line;
		return end + 2;
	}
	*ret_line = 0;
	return msg;
}

static void explain_syntax(const struct buf *text, const char *msg,
			   const char *display, struct failure *f)
{
	char line[512];
	const char *what = split_position(msg, &f->site.line);

	snprintf(f->site.file, sizeof(f->site.file), "%s", display);
	syntax_of_line(text, f->site.line, line, sizeof(line));
	const char *hint = find_hint(line);
	CLEANUP(free_ptr)
	char *message =
	    hint ? mem_printf("%s (%s)", what, hint) : mem_strdup(what);
	failure_set_text(f, message);
	f->trace = mem_strdup("");
}

int lua_state_load_file(lua_State *L, const char *path, const char *display,
			struct failure *f)
{
	struct buf text = {0};
	struct err err = {0};

	if (store_read(path, SOURCE_MAX, &text, &err)) {
		buf_done(&text);
		failure_set_text(f, err.text);
		f->trace = mem_strdup("");
		snprintf(f->site.file, sizeof(f->site.file), "%s", display);
		return -EIO;
	}
	const char *p = text.len ? (const char *)buf_data(&text) : "";
	size_t n = text.len;
	/* A #! line is not Lua; its line break stays, lines keep count. */
	if (n && *p == '#') {
		const char *nl = memchr(p, '\n', n);

		n = nl ? n - (size_t)(nl - p) : 0;
		p = nl ? nl : p;
	}
	char *name = mem_printf("@%s", display);
	int status = luaL_loadbuffer(L, p, n, name);
	free(name);
	if (status) {
		explain_syntax(&text, lua_tostring(L, -1), display, f);
		lua_pop(L, 1);
	}
	buf_done(&text);
	return status ? -EINVAL : 0;
}

/* package.loaders[2]: the module's name at 1. */
static int load_search(lua_State *L)
{
	char display[SITE_FILE_MAX];
	struct failure f = {0};

	lua_getglobal(L, "package");
	lua_getfield(L, -1, "searchpath");
	lua_pushvalue(L, 1);
	lua_getfield(L, -3, "path");
	lua_call(L, 2, 2);
	if (lua_isnil(L, -2))
		return 1;
	lua_pop(L, 1);
	const char *path = lua_tostring(L, -1);
	load_display(path, display, sizeof(display));
	bind_fixture_used_file(L, path);
	if (!lua_state_load_file(L, path, display, &f))
		return 1;
	lua_pushfstring(L, "%s:%d: %s", f.site.file, f.site.line, f.message);
	lua_state_take_origin(L, &f);
	return lua_error(L);
}

void load_install(lua_State *L)
{
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "loaders");
	lua_pushcfunction(L, load_search);
	lua_rawseti(L, -2, 2);
	lua_pop(L, 2);
}

void load_set_path(lua_State *L, const struct strvec *roots, const char *dir)
{
	luaL_Buffer b;

	lua_getglobal(L, "package");
	luaL_buffinit(L, &b);
	for (size_t i = 0; i <= roots->n; i++) {
		const char *d = i < roots->n ? roots->v[i] : dir;

		luaL_addstring(&b, d);
		luaL_addstring(&b, "/?.lua;");
		luaL_addstring(&b, d);
		luaL_addstring(&b, "/?/init.lua");
		if (i < roots->n)
			luaL_addchar(&b, ';');
	}
	luaL_pushresult(&b);
	lua_setfield(L, -2, "path");
	lua_pop(L, 1);
}
