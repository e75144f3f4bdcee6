/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: there is one thread and one loop, and whoever waits at
 * the top turns it. A call's state lives in a block, a userdata: outside
 * tasks the C function that made it stays on the C stack and turns the loop
 * until the operation is done. Inside a task it yields the coroutine; the
 * operation's on_done marks the task ready, and the wait at the top resumes
 * it after the turn. settle.lua then calls await_l_settle() in the task, so
 * finish runs, and raises, where the author's call stands.
 *
 * A wait nested in a task (a plain coroutine of the author's inside it) turns
 * the loop too, but resumes nobody: a resumed task could not return before
 * the nested one. So tasks never wait on each other's C stacks.
 *
 * finish runs protected, so that the block is released before anything that
 * it borrows (a client of a VM that is closed later) can go away.
 */
#include "runner/await.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "runner/await_private.h"
#include "runner/bind.h"
#include "runner/park.h"
#include "runner/task.h"
#include "runner/worker.h"

/* Bytes that tasks tell at the most, and what one call tells. */
#define TOLD_MAX 16384

static const char block_meta;  /* registry key of the metatable */
static const char awaited_key; /* registry: the function of wait_until() */

static struct block *block_of(void *p)
{
	return CONTAINER_OF(p, struct block, payload);
}

void await_init(struct await *a)
{
	*a = (struct await){.deadline_ns = CLOCK_NEVER,
			    .timeout_ns = CLOCK_NEVER};
	TAILQ_INIT(&a->tasks);
	LIST_INIT(&a->blocks);
}

void await_done(struct await *a)
{
	buf_done(&a->told);
}

void await_set_timeout(struct await *a, int64_t timeout_ns)
{
	buf_done(&a->told);
	a->timeout_ns = timeout_ns;
	a->deadline_ns = timeout_ns == CLOCK_NEVER
			     ? CLOCK_NEVER
			     : clock_deadline_ns(timeout_ns);
}

bool await_is_expired(const struct await *a)
{
	return a->deadline_ns != CLOCK_NEVER &&
	       clock_now_ns() >= a->deadline_ns;
}

int await_l_tells_awaited(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&awaited_key);
	lua_pushvalue(L, 1);
	lua_rawset(L, LUA_REGISTRYINDEX);
	return 0;
}

/* Pushes the local variable `awaited` of a frame's function; false: it has none
 * that is a string, and nothing is pushed. */
static bool push_awaited(lua_State *L, lua_Debug *frame)
{
	const char *name;

	for (int i = 1; (name = lua_getlocal(L, frame, i)); i++) {
		if (!strcmp(name, "awaited") && lua_type(L, -1) == LUA_TSTRING)
			return true;
		lua_pop(L, 1);
	}
	return false;
}

/* Adds to the text on top for what the innermost wait_until() of L waits. */
static void add_awaited(lua_State *L)
{
	lua_Debug frame;

	for (int level = 0; lua_getstack(L, level, &frame); level++) {
		lua_getinfo(L, "f", &frame);
		lua_pushlightuserdata(L, (void *)(uintptr_t)&awaited_key);
		lua_rawget(L, LUA_REGISTRYINDEX);
		bool is_it = lua_rawequal(L, -1, -2);
		lua_pop(L, 2);
		if (!is_it)
			continue;
		if (push_awaited(L, &frame)) {
			lua_pushliteral(L, ", while waiting for: ");
			lua_insert(L, -2);
			lua_concat(L, 3);
		}
		return;
	}
}

/* Pushes "timed out after 30s in vm:run at x.test.lua:12", or without a method
 * "timed out after 30s: it computes in Lua at x.test.lua:12"; in a wait_until()
 * also ", while waiting for: " and its desc. */
static void push_expired(lua_State *L, const char *method)
{
	char span[DURATION_TEXT_MAX];
	struct site at;

	duration_text(worker_of(L)->await.timeout_ns, span);
	if (method)
		lua_pushfstring(L, "timed out after %s in %s", span, method);
	else
		lua_pushfstring(L, "timed out after %s: it computes in Lua",
				span);
	if (lua_state_site(L, &at)) {
		lua_pushfstring(L, " at %s:%d", at.file, at.line);
		lua_concat(L, 2);
	}
	add_awaited(L);
}

/* The text on top is of a task: it is told when those of the others are. */
static void keep_told(lua_State *L, struct await *a)
{
	size_t n;
	const char *text = lua_tolstring(L, -1, &n);

	if (a->told.len > TOLD_MAX)
		return;
	buf_append(&a->told, "\n", 1);
	buf_append(&a->told, text, n);
}

/* Raises the text on top as the test's time-out. Outside of tasks, what those
 * were waiting for follows. */
static _Noreturn void raise_expired(lua_State *L)
{
	struct worker *w = worker_of(L);
	struct task *t = task_of(w, L);
	size_t n;

	if (t) {
		task_cut_off(t);
		keep_told(L, &w->await);
	} else if (w->await.told.len) {
		lua_pushlstring(L, (char *)buf_data(&w->await.told),
				w->await.told.len);
		buf_done(&w->await.told);
		lua_concat(L, 2);
	}
	const char *text = lua_tolstring(L, -1, &n);
	suite_mark_timeout(&w->suite, L, text, n, t != NULL);
	lua_error(L);
	abort();
}

void await_check_expired(lua_State *L, const char *method)
{
	if (!await_is_expired(&worker_of(L)->await))
		return;
	push_expired(L, method);
	raise_expired(L);
}

/* Raises the test's time-out in the call of b. */
static _Noreturn void raise_cut_off(lua_State *L, struct block *b)
{
	int top = lua_gettop(L);

	if (b->tell)
		b->tell(L, b->payload);
	else if (b->op->result < 0 && strcmp(b->op->err.text, "timed out") != 0)
		lua_pushstring(L, b->op->err.text);
	bool has_more = lua_gettop(L) > top;
	push_expired(L, b->method);
	if (has_more) {
		lua_pushliteral(L, ": ");
		lua_pushvalue(L, top + 1);
		lua_concat(L, 3);
	}
	raise_expired(L);
}

void await_check_expired_call(lua_State *L, void *p)
{
	if (await_is_expired(&worker_of(L)->await))
		raise_cut_off(L, block_of(p));
}

int64_t await_deadline(lua_State *L, const char *method, int64_t span_ns)
{
	struct worker *w = worker_of(L);
	struct await *a = &w->await;

	await_check_expired(L, method);
	if (!w->suite.running && w->suite.early.message)
		bind_fail_bytes(L, method, w->suite.early.message,
				w->suite.early.message_n);
	if (span_ns == CLOCK_NEVER)
		return a->deadline_ns;
	int64_t d = clock_deadline_ns(span_ns);
	return d < a->deadline_ns ? d : a->deadline_ns;
}

void await_passive(void *p)
{
	block_of(p)->is_passive = true;
}

void await_take_note(void *p, char *take_note)
{
	struct block *b = block_of(p);

	free(b->note);
	b->note = take_note;
}

void await_note(void *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	await_take_note(p, mem_vprintf(fmt, ap));
	va_end(ap);
}

void await_tell(void *p, await_tell_cb tell)
{
	block_of(p)->tell = tell;
}

void await_ask(void *p, await_ask_cb ask)
{
	block_of(p)->ask = ask;
}

void await_lingers(void *p, int64_t span_ns)
{
	block_of(p)->lingers_ns = span_ns;
}

static void block_wait(struct block *b, lua_State *L)
{
	b->L = L;
	b->is_waiting = true;
	LIST_INSERT_HEAD(&worker_of(L)->await.blocks, b, link);
}

static void block_wait_over(struct block *b)
{
	if (b->is_waiting)
		LIST_REMOVE(b, link);
	b->is_waiting = false;
}

static void block_release(struct block *b)
{
	block_wait_over(b);
	if (b->is_released)
		return;
	b->is_released = true;
	if (b->release)
		b->release(b->payload);
	free(b->note);
	b->note = NULL;
}

static int block_gc(lua_State *L)
{
	block_release(lua_touserdata(L, 1));
	return 0;
}

void *await_new(lua_State *L, const char *method, size_t size,
		void (*release)(void *p))
{
	size_t all = sizeof(struct block) + size;
	struct block *b = lua_newuserdata(L, all);

	memset(b, 0, all);
	b->method = method;
	lua_pushlightuserdata(L, (void *)(uintptr_t)&block_meta);
	lua_rawget(L, LUA_REGISTRYINDEX);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_createtable(L, 0, 1);
		lua_pushcfunction(L, block_gc);
		lua_setfield(L, -2, "__gc");
		lua_pushlightuserdata(L, (void *)(uintptr_t)&block_meta);
		lua_pushvalue(L, -2);
		lua_rawset(L, LUA_REGISTRYINDEX);
	}
	lua_setmetatable(L, -2);
	b->release = release;
	return b->payload;
}

void await_keep(lua_State *L, int block_idx, int idx)
{
	struct block *b = lua_touserdata(L, block_idx);

	if (!b->n_kept) {
		lua_createtable(L, 2, 0);
		lua_pushvalue(L, -1);
		lua_setfenv(L, block_idx);
	} else {
		lua_getfenv(L, block_idx);
	}
	lua_pushvalue(L, idx);
	lua_rawseti(L, -2, ++b->n_kept);
	lua_pop(L, 1);
}

/* The test's time-out is over in the call of b: what it is to tell may have to
 * be waited for. */
static int cut_off(lua_State *L, struct block *b)
{
	struct op *asked = b->ask ? b->ask(L, b->payload) : NULL;

	if (!asked)
		raise_cut_off(L, b);
	b->op = asked;
	b->is_cut_off = b->is_again = true;
	return 0;
}

/* 1: the block. */
static int call_finish(lua_State *L)
{
	struct block *b = lua_touserdata(L, 1);

	if (b->n_kept) {
		lua_getfenv(L, 1);
		for (int i = 1; i <= b->n_kept; i++)
			lua_rawgeti(L, 2, i);
		lua_remove(L, 2);
	}
	/* Kept values from 1; the block is alive through its caller. */
	lua_remove(L, 1);
	if (b->is_cut_off ||
	    (b->op->is_timed_out && await_is_expired(&worker_of(L)->await)))
		return cut_off(L, b);
	int n = b->finish(L, b->payload);
	return b->is_again ? 0 : n;
}

/* The operation of the block at idx is over. Returns the number of results,
 * or -1 when it goes on with another one. */
static int block_finish(lua_State *L, int idx)
{
	struct block *b = lua_touserdata(L, idx);
	int base = lua_gettop(L);

	int64_t started_ns = b->op->started_ns;

	lua_pushcfunction(L, call_finish);
	lua_pushvalue(L, idx);
	b->is_again = false;
	int status = lua_pcall(L, 1, LUA_MULTRET, 0);
	bool is_part = b->is_passive || (!status && b->is_again);
	if (!b->began_ns)
		b->began_ns = started_ns;
	if (!is_part && b->began_ns)
		call_log_add(&worker_of(L)->suite.calls, L, b->method,
			     b->began_ns, b->note);
	trail_call_over(&worker_of(L)->await.trail, L, b->method, started_ns,
			b->note, is_part);
	if (!status && b->is_again)
		return -1;
	block_release(b);
	if (status)
		lua_error(L);
	return lua_gettop(L) - base;
}

int await_again(lua_State *L, void *p, struct op *op, await_cb finish)
{
	struct block *b = block_of(p);

	(void)L;
	b->op = op;
	b->finish = finish;
	b->is_again = true;
	return 0;
}

/* Stack index of the block of p: it was pushed by this C function. */
static int block_index(lua_State *L, const struct block *b)
{
	int i = lua_gettop(L);

	while (i > 0 && lua_touserdata(L, i) != b)
		i--;
	assert(i > 0);
	return i;
}

static void turn_until_done(struct worker *w, struct op *op)
{
	struct await *a = &w->await;

	a->depth++;
	while (!op_is_done(op)) {
		park_check(w);
		suite_tell_mark(&w->suite);
		/* A task that yields by itself is ready again at once: the
		 * loop must have its turn all the same. */
		if (a->depth == 1 && !a->running && task_resume_ready(w))
			loop_poll(w->loop);
		else
			loop_turn(w->loop);
	}
	park_end(w);
	a->depth--;
}

static void on_task_op_done(struct op *op, void *ctx)
{
	struct block *b = ctx;

	(void)op;
	task_wake(b->task);
}

static int wait_block(lua_State *L, int idx)
{
	struct block *b = lua_touserdata(L, idx);
	struct worker *w = worker_of(L);

	for (;;) {
		if (!op_is_done(b->op)) {
			struct task *t = task_of(w, L);

			if (t && !lua_isyieldable(L)) {
				/* Nothing is set up yet that a yield refused
				 * by LuaJIT would leave behind. */
				block_release(b);
				bind_fail_arg(L, b->method,
					      "attempt to yield across C-call "
					      "boundary: a task cannot wait "
					      "inside a callback of "
					      "string.gsub, table.sort and "
					      "the like");
			}
			if (t) {
				b->task = t;
				b->op->on_done = on_task_op_done;
				b->op->done_ctx = b;
				task_wait(t, L, idx);
				block_wait(b, L);
				return lua_yield(L, 0);
			}
			block_wait(b, L);
			turn_until_done(w, b->op);
			block_wait_over(b);
		}
		int n = block_finish(L, idx);
		if (n >= 0)
			return n;
	}
}

int await(lua_State *L, void *p, struct op *op, await_cb finish)
{
	struct block *b = block_of(p);

	b->op = op;
	b->finish = finish;
	return wait_block(L, block_index(L, b));
}

/* 1: a block whose operation is over, in the task that waited for it. */
int await_l_settle(lua_State *L)
{
	struct block *b = lua_touserdata(L, 1);

	b->task = NULL;
	block_wait_over(b);
	return wait_block(L, 1);
}

void await_abandon(lua_State *L, int idx)
{
	struct block *b = lua_touserdata(L, idx);

	b->op->on_done = NULL;
	block_release(b);
}

struct sleep_call {
	struct op op;
};

static void sleep_stop(struct op *op, int reason)
{
	(void)op;
	(void)reason;
}

static void sleep_release(void *p)
{
	struct sleep_call *s = p;

	op_done(&s->op);
}

static int sleep_finish(lua_State *L, void *p)
{
	(void)L;
	(void)p;
	return 0;
}

int await_l_sleep(lua_State *L)
{
	int64_t span = arg_duration(L, "wait_until", 1, "interval", 0);
	int64_t deadline = await_deadline(L, "wait_until", span);
	struct sleep_call *s =
	    await_new(L, "wait_until", sizeof(*s), sleep_release);

	if (lua_isstring(L, 2))
		await_note(s, "for %s", lua_tostring(L, 2));
	op_init(&s->op, worker_of(L)->loop, sleep_stop);
	op_start(&s->op, deadline);
	return await(L, s, &s->op, sleep_finish);
}
