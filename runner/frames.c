/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: an error handler still has the stack of what failed. It
 * copies the values of local variables. A local that a function of the frames
 * shares as an upvalue is kept as that function and the upvalue's number, so
 * that the prompt and the function see one variable. Lua does not tell whether
 * an upvalue and a local are one variable: the local gets a value that nothing
 * else has, and the upvalue is asked for it.
 */
#include "runner/frames.h"

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

#include "runner/bind.h"
#include "runner/lua_state.h"
#include "runner/worker.h"

#define FRAMES_MAX  50	/* frames that are kept, the innermost */
#define SLOTS	    16	/* of the Lua stack, at the most in use at once */
#define TEMPORARIES '(' /* how the names of unnamed locals begin */

static const char keys[FRAMES_OF_N]; /* registry: the lists of frames */
static const char probe;	     /* its address is like no other value */

/* One capture: indexes are of L. */
struct capture {
	lua_State *L;
	lua_State *of; /* whose frames are read */
	int frames;    /* the list that grows */
	int functions; /* of all frames so far, and their local ones */
	int vars;      /* of the frame at ar */
	int n_frames;
	lua_Debug ar;
};

static void *frames_key_of(enum frames_of whose)
{
	return (void *)(uintptr_t)&keys[whose];
}

/* Adds the value on top to the list at idx, and pops it. */
static void frames_add_to(lua_State *L, int idx)
{
	lua_rawseti(L, idx, (int)lua_objlen(L, idx) + 1);
}

/* The value on top is the field's. */
static void set_value(lua_State *L, int idx, const char *field)
{
	lua_pushstring(L, field);
	lua_insert(L, -2);
	lua_rawset(L, idx);
}

/* Pushes a variable of a name. */
static void push_var(lua_State *L, const char *name)
{
	lua_createtable(L, 0, 3);
	lua_pushstring(L, name);
	set_value(L, lua_gettop(L) - 1, "name");
}

/* Has the variable at idx be the upvalue of the function at fn. */
static void set_upvalue(lua_State *L, int idx, int fn, int index)
{
	lua_pushvalue(L, fn);
	set_value(L, idx, "fn");
	lua_pushinteger(L, index);
	set_value(L, idx, "index");
}

/* Adds the upvalues of the frame's function, and the function to those. */
static void add_upvalues(struct capture *c)
{
	lua_State *L = c->L;
	const char *name;

	lua_getinfo(c->of, "f", &c->ar);
	lua_xmove(c->of, L, 1);
	int fn = lua_gettop(L);
	for (int i = 1; (name = lua_getupvalue(L, fn, i)); i++) {
		lua_pop(L, 1);
		push_var(L, name);
		set_upvalue(L, fn + 1, fn, i);
		frames_add_to(L, c->vars);
	}
	frames_add_to(L, c->functions);
}

/* Whether the local variable is the upvalue `index` of the function on top. */
static bool is_shared(struct capture *c, int local, int index)
{
	lua_State *L = c->L;

	lua_getlocal(c->of, &c->ar, local);
	lua_xmove(c->of, L, 1); /* the value to be put back */
	lua_pushlightuserdata(c->of, (void *)(uintptr_t)&probe);
	lua_setlocal(c->of, &c->ar, local);
	lua_getupvalue(L, -2, index);
	bool is_same = lua_touserdata(L, -1) == &probe;
	lua_pop(L, 1);
	lua_xmove(L, c->of, 1);
	lua_setlocal(c->of, &c->ar, local);
	return is_same;
}

/* Looks for the local variable, which is at var, among the upvalues of the
 * function on top. */
static bool share_with(struct capture *c, int var, int local, const char *name)
{
	lua_State *L = c->L;
	const char *up;

	for (int i = 1; (up = lua_getupvalue(L, -1, i)); i++) {
		lua_pop(L, 1);
		if (strcmp(up, name) != 0 || !is_shared(c, local, i))
			continue;
		set_upvalue(L, var, lua_gettop(L), i);
		return true;
	}
	return false;
}

/* Adds a local variable, whose value is on top, and pops that. */
static void add_local(struct capture *c, int local, const char *name)
{
	lua_State *L = c->L;
	int value = lua_gettop(L), var = value + 1;
	bool is_found = false;

	push_var(L, name);
	for (int i = 1; !is_found; i++) {
		lua_rawgeti(L, c->functions, i);
		if (lua_isnil(L, -1))
			break;
		is_found = share_with(c, var, local, name);
		lua_settop(L, var);
	}
	lua_settop(L, var);
	if (!is_found) {
		lua_pushvalue(L, value);
		set_value(L, var, "value");
	}
	frames_add_to(L, c->vars);
	lua_settop(L, value - 1);
}

/* For each local variable that the author has named: its value is on top of L,
 * and each pops it. */
static void each_local(struct capture *c,
		       void (*each)(struct capture *c, int local,
				    const char *name))
{
	const char *name;

	for (int i = 1; (name = lua_getlocal(c->of, &c->ar, i)); i++) {
		lua_xmove(c->of, c->L, 1);
		if (*name == TEMPORARIES)
			lua_pop(c->L, 1);
		else
			each(c, i, name);
	}
}

static void add_function(struct capture *c, int local, const char *name)
{
	(void)local;
	(void)name;
	if (lua_isfunction(c->L, -1) && !lua_iscfunction(c->L, -1))
		frames_add_to(c->L, c->functions);
	else
		lua_pop(c->L, 1);
}

/* Adds the frame at c->ar. */
static void add_frame(struct capture *c)
{
	lua_State *L = c->L;
	int top = lua_gettop(L), frame = top + 2;
	struct buf *text = bind_push_buf(L);

	lua_createtable(L, 0, 3);
	lua_state_frame_text(&c->ar, text);
	lua_pushlstring(L, (char *)buf_data(text), text->len);
	set_value(L, frame, "text");
	lua_pushboolean(L, lua_state_is_test_frame(&c->ar));
	set_value(L, frame, "is_test");
	lua_newtable(L);
	c->vars = lua_gettop(L);
	add_upvalues(c);
	each_local(c, add_function);
	each_local(c, add_local);
	set_value(L, frame, "vars");
	frames_add_to(L, c->frames);
	lua_settop(L, top);
	c->n_frames++;
}

static void add_thread(struct capture *c, lua_State *of)
{
	c->of = of;
	for (int level = 0;
	     c->n_frames < FRAMES_MAX && lua_getstack(of, level, &c->ar);
	     level++) {
		lua_getinfo(of, "Sln", &c->ar);
		if (lua_state_is_author_frame(&c->ar))
			add_frame(c);
	}
}

static bool will_be_held(const struct worker *w)
{
	return w->job->is_debug && w->suite.running && w->suite.is_last_attempt;
}

void frames_keep(lua_State *L, lua_State *of, enum frames_of whose)
{
	struct worker *w = worker_of(L);
	struct capture c = {.L = L};

	if (!will_be_held(w) || !lua_checkstack(L, SLOTS))
		return;
	lua_pushlightuserdata(L, frames_key_of(whose));
	lua_newtable(L);
	c.frames = lua_gettop(L);
	lua_newtable(L);
	c.functions = lua_gettop(L);
	add_thread(&c, of);
	if (of != w->L)
		add_thread(&c, w->L);
	lua_settop(L, c.frames);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

void frames_move(lua_State *L, enum frames_of from, enum frames_of to)
{
	lua_pushlightuserdata(L, frames_key_of(to));
	frames_push(L, from);
	lua_rawset(L, LUA_REGISTRYINDEX);
	frames_drop(L, from);
}

void frames_drop(lua_State *L, enum frames_of whose)
{
	lua_pushlightuserdata(L, frames_key_of(whose));
	lua_pushnil(L);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

void frames_push(lua_State *L, enum frames_of whose)
{
	lua_pushlightuserdata(L, frames_key_of(whose));
	lua_rawget(L, LUA_REGISTRYINDEX);
}
