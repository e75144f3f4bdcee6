/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: provium.all makes a group, which is one operation, and
 * a task for each function. Whoever waits at the top resumes the tasks that
 * are ready; the group's operation is finished when the last task is (all),
 * when the first is (race), or when one fails. What is left then is
 * cancelled: the block that it waits for is given up, and its coroutine is
 * never resumed. Groups nest: a task that calls provium.all waits for that
 * group as for anything else.
 */
#include "runner/task.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind.h"
#include "runner/worker.h"
#include "streams/exec.h"

#define TASKS_MAX 1024
/* So much later does a group's deadline come than the test's: the calls of its
 * tasks end first, and are told of. */
#define LINGERS_NS                                                             \
	((EXEC_KILL_GRACE_NS > AWAIT_ASK_NS ? EXEC_KILL_GRACE_NS               \
					    : AWAIT_ASK_NS) +                  \
	 10 * NS_PER_MS)

struct group;

struct task {
	struct group *group;
	lua_State *co; /* anchored in the group's block */
	int index;
	bool is_ready;
	bool is_started;
	bool is_over;
	bool is_cut_off; /* by the test's deadline */
	int waits_for;	 /* registry reference of the block, or LUA_NOREF */
	TAILQ_ENTRY(task) link;
};

struct group {
	struct op op;
	struct worker *w;
	const char *method;
	bool is_race;
	int n;
	int n_left;
	int winner;	    /* index of the first that was done, 0: none */
	int results;	    /* registry reference: {[i] = result} */
	bool is_cut_off;    /* the failure is the test's time-out */
	int failure;	    /* registry reference of the error, or LUA_NOREF */
	struct task *tasks; /* owned array */
};

static const char pending_key;
static const char xpcall_key; /* registry: Lua's own */

/* The error handler of a task: its stack still stands. */
static int on_task_error(lua_State *co)
{
	if (lua_type(co, 1) == LUA_TSTRING)
		lua_state_keep_origin(co, co);
	return 1;
}

void task_install(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&xpcall_key);
	lua_getglobal(L, "xpcall");
	lua_rawset(L, LUA_REGISTRYINDEX);
}

/* Has the new thread co, below the function on top of L, begin with
 * xpcall(function, on_task_error). */
static void task_load(lua_State *L, lua_State *co)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&xpcall_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_insert(L, -2);
	lua_pushcfunction(L, on_task_error);
	lua_xmove(L, co, 3);
}

void task_push_pending(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&pending_key);
}

struct task *task_of(struct worker *w, const lua_State *L)
{
	struct task *t;

	TAILQ_FOREACH (t, &w->await.tasks, link)
		if (t->co == L)
			return t;
	return NULL;
}

void task_wait(struct task *t, lua_State *L, int idx)
{
	lua_pushvalue(L, idx);
	t->waits_for = luaL_ref(L, LUA_REGISTRYINDEX);
	t->is_ready = false;
}

void task_cut_off(struct task *t)
{
	t->is_cut_off = true;
}

void task_wake(struct task *t)
{
	t->is_ready = true;
}

static void task_end(struct task *t)
{
	struct group *g = t->group;
	lua_State *L = g->w->L;

	if (t->is_over)
		return;
	t->is_over = true;
	TAILQ_REMOVE(&g->w->await.tasks, t, link);
	if (t->waits_for == LUA_NOREF)
		return;
	lua_rawgeti(L, LUA_REGISTRYINDEX, t->waits_for);
	await_abandon(L, lua_gettop(L));
	lua_pop(L, 1);
	luaL_unref(L, LUA_REGISTRYINDEX, t->waits_for);
	t->waits_for = LUA_NOREF;
}

/* A task is over. Unless that decides, the others go on. The group may be over
 * already, by its deadline. */
static void group_count(struct group *g, bool decides)
{
	g->n_left--;
	if ((!g->n_left || decides) && !op_is_done(&g->op))
		op_finish(&g->op, 0, NULL);
}

/* The function returned: its first result, at 2, is the task's. */
static void task_succeed(struct task *t)
{
	struct group *g = t->group;

	lua_settop(t->co, 2);
	lua_remove(t->co, 1);
	lua_rawgeti(t->co, LUA_REGISTRYINDEX, g->results);
	lua_insert(t->co, 1);
	lua_rawseti(t->co, 1, t->index);
	if (!g->winner)
		g->winner = t->index;
	task_end(t);
	group_count(g, g->is_race);
}

/* The first line of the error, a text, says which task it was. */
static void name_task(const struct task *t)
{
	const char *s, *end;
	size_t n;

	/* Other methods name the VM of the task. */
	if (strncmp(t->group->method, "provium.", strlen("provium.")) != 0)
		return;
	s = lua_tolstring(t->co, -1, &n);
	end = memchr(s, '\n', n);
	if (!end)
		end = s + n;
	lua_pushlstring(t->co, s, (size_t)(end - s));
	lua_pushfstring(t->co, " (task %d of %s)", t->index, t->group->method);
	lua_pushlstring(t->co, end, (size_t)(s + n - end));
	lua_concat(t->co, 3);
}

static void task_fail(struct task *t)
{
	struct group *g = t->group;

	if (lua_type(t->co, -1) == LUA_TSTRING) {
		lua_state_keep_origin(g->w->L, t->co);
		name_task(t);
		lua_state_rename_origin(t->co);
	}
	luaL_unref(t->co, LUA_REGISTRYINDEX, g->failure);
	g->failure = luaL_ref(t->co, LUA_REGISTRYINDEX);
	g->is_cut_off = t->is_cut_off;
	task_end(t);
	/* The calls of the others are cut off too, and are to be told. */
	group_count(g, !g->is_cut_off);
}

static void task_resume(struct task *t)
{
	struct await *a = &t->group->w->await;
	struct task *outer = a->running;
	int n_args = 0;

	t->is_ready = false;
	if (!t->is_started) {
		t->is_started = true;
		n_args = 2;
	} else if (t->waits_for != LUA_NOREF) {
		task_push_pending(t->co);
		lua_rawgeti(t->co, LUA_REGISTRYINDEX, t->waits_for);
		luaL_unref(t->co, LUA_REGISTRYINDEX, t->waits_for);
		t->waits_for = LUA_NOREF;
		n_args = 2;
	}
	a->running = t;
	int status = lua_resume(t->co, n_args);
	a->running = outer;
	if (!status && lua_toboolean(t->co, 1)) {
		task_succeed(t);
	} else if (status != LUA_YIELD) {
		task_fail(t);
	} else if (t->waits_for == LUA_NOREF) {
		/* The author's own yield: its turn comes again. */
		lua_settop(t->co, 0);
		t->is_ready = true;
	}
}

static struct task *first_ready(struct worker *w)
{
	struct task *t;

	TAILQ_FOREACH (t, &w->await.tasks, link)
		if (t->is_ready)
			return t;
	return NULL;
}

bool task_any_ready(struct worker *w)
{
	return first_ready(w) != NULL;
}

bool task_resume_ready(struct worker *w)
{
	struct task *t = first_ready(w);

	if (!t)
		return false;
	/* Behind the others, so that each has its turn. */
	TAILQ_REMOVE(&w->await.tasks, t, link);
	TAILQ_INSERT_TAIL(&w->await.tasks, t, link);
	task_resume(t);
	return true;
}

static void group_stop(struct op *op, int reason)
{
	(void)op;
	(void)reason;
}

static void task_group_release(void *p)
{
	struct group *g = p;

	for (int i = 0; i < g->n; i++)
		task_end(&g->tasks[i]);
	luaL_unref(g->w->L, LUA_REGISTRYINDEX, g->results);
	luaL_unref(g->w->L, LUA_REGISTRYINDEX, g->failure);
	op_done(&g->op);
	free(g->tasks);
}

/* Those whose calls were cut off just now have their turn, to tell of it. */
static void group_tell(lua_State *L, void *p)
{
	struct group *g = p;

	(void)L;
	for (int i = 0; i < g->n; i++) {
		struct task *t = &g->tasks[i];

		if (!t->is_over && t->is_ready && t->waits_for != LUA_NOREF)
			task_resume(t);
	}
}

static int group_finish(lua_State *L, void *p)
{
	struct group *g = p;

	if (g->is_cut_off)
		await_check_expired_call(L, g);
	if (g->failure != LUA_NOREF) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, g->failure);
		return lua_error(L);
	}
	if (g->op.result < 0)
		bind_fail_err(L, g->method, &g->op.err);
	lua_rawgeti(L, LUA_REGISTRYINDEX, g->results);
	if (g->is_race) {
		lua_rawgeti(L, -1, g->winner);
		return 1;
	}
	int results = lua_gettop(L);
	luaL_checkstack(L, g->n, "too many tasks");
	for (int i = 1; i <= g->n; i++)
		lua_rawgeti(L, results, i);
	return g->n;
}

static int64_t group_deadline(lua_State *L, const char *method)
{
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);

	return deadline == CLOCK_NEVER ? CLOCK_NEVER : deadline + LINGERS_NS;
}

static int run_group(lua_State *L, const char *method, bool is_race)
{
	int n = lua_gettop(L);

	if (n > TASKS_MAX)
		bind_fail_arg(L, method, "%d functions, %d at the most", n,
			      TASKS_MAX);
	if (is_race && !n)
		bind_fail_arg(L, method, "needs at least one function");
	for (int i = 1; i <= n; i++)
		if (!lua_isfunction(L, i))
			bind_fail_arg(L, method,
				      "argument %d must be a function, got %s",
				      i, arg_type_name(L, i));
	int64_t deadline = group_deadline(L, method);
	struct worker *w = worker_of(L);
	luaL_checkstack(L, 4, method);
	struct group *g = await_new(L, method, sizeof(*g), task_group_release);
	int block = lua_gettop(L);
	await_passive(g);
	await_lingers(g, LINGERS_NS);
	await_tell(g, group_tell);
	*g = (struct group){.w = w,
			    .method = method,
			    .is_race = is_race,
			    .n_left = n,
			    .failure = LUA_NOREF};
	g->tasks = mem_zalloc((size_t)n * sizeof(*g->tasks));
	op_init(&g->op, w->loop, group_stop);
	op_start(&g->op, deadline);
	lua_newtable(L);
	g->results = luaL_ref(L, LUA_REGISTRYINDEX);
	for (int i = 1; i <= n; i++) {
		struct task *t = &g->tasks[i - 1];

		lua_settop(L, block);
		*t = (struct task){.group = g,
				   .index = i,
				   .is_ready = true,
				   .waits_for = LUA_NOREF,
				   .co = lua_newthread(L)};
		await_keep(L, block, block + 1);
		lua_pushvalue(L, i);
		task_load(L, t->co);
		TAILQ_INSERT_TAIL(&w->await.tasks, t, link);
		g->n++;
	}
	if (!n)
		op_finish(&g->op, 0, NULL);
	return await(L, g, &g->op, group_finish);
}

int await_l_all(lua_State *L)
{
	return run_group(L, "provium.all", false);
}

int await_l_all_for(lua_State *L)
{
	const char *method = luaL_checkstring(L, 1);

	lua_remove(L, 1);
	return run_group(L, method, false);
}

int await_l_race(lua_State *L)
{
	return run_group(L, "provium.race", true);
}
