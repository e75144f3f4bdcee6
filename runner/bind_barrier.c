/* SPDX-License-Identifier: MIT */
/*
 * lab:barrier(name, count, timeout): tasks meet. A barrier is those who wait
 * at it: the first one makes it, and it is gone when they go on, so that the
 * same name may be met at again. Each waits in an operation of its own, with
 * its own deadline; one that gives up is not counted any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind_barrier.h"
#include "runner/bind_lab.h"
#include "runner/worker.h"

#define DEFAULT_NS (60 * NS_PER_SEC)
/* More than there can be tasks. */
#define COUNT_MAX 1000000

static const char method[] = "lab:barrier";

struct waiter {
	struct op op;
	struct barrier *b; /* NULL: not there any more */
	TAILQ_ENTRY(waiter) link;
};

struct barrier {
	const struct lab_object *lab;
	char *name; /* owned */
	int64_t count;
	int64_t n; /* who wait */
	TAILQ_HEAD(waiters, waiter) waiters;
	LIST_ENTRY(barrier) link;
};

static struct barrier *bind_barrier_find(struct worker *w,
					 const struct lab_object *lab,
					 const char *name)
{
	struct barrier *b;

	LIST_FOREACH (b, &w->barriers, link)
		if (b->lab == lab && !strcmp(b->name, name))
			return b;
	return NULL;
}

static struct barrier *make(struct worker *w, const struct lab_object *lab,
			    const char *name, int64_t count)
{
	struct barrier *b = mem_zalloc(sizeof(*b));

	b->lab = lab;
	b->name = mem_strdup(name);
	b->count = count;
	TAILQ_INIT(&b->waiters);
	LIST_INSERT_HEAD(&w->barriers, b, link);
	return b;
}

/* The last one takes the barrier with it. */
static void leave(struct waiter *me)
{
	struct barrier *b = me->b;

	if (!b)
		return;
	me->b = NULL;
	TAILQ_REMOVE(&b->waiters, me, link);
	if (--b->n)
		return;
	LIST_REMOVE(b, link);
	free(b->name);
	free(b);
}

static void meet(struct barrier *b)
{
	struct waiter *next = TAILQ_FIRST(&b->waiters);

	for (int64_t n = b->n; n > 0; n--) {
		struct waiter *each = next;

		next = TAILQ_NEXT(each, link);
		leave(each);
		op_finish(&each->op, 0, NULL);
	}
}

static void waiter_release(void *p)
{
	struct waiter *me = p;

	leave(me);
	op_done(&me->op);
}

static int waiter_finish(lua_State *L, void *p)
{
	const struct waiter *me = p;

	lua_pushboolean(L, me->op.result == 0);
	return 1;
}

/* By a deadline: whoever comes later meets the others. */
static void bind_barrier_on_stop(struct op *op, int reason)
{
	(void)reason;
	leave(CONTAINER_OF(op, struct waiter, op));
}

int bind_barrier_l_wait(lua_State *L)
{
	const struct lab_object *lab = bind_lab_check(L, method);
	const char *name = bind_lab_check_name(L, method, 2);
	int64_t count = arg_int(L, method, 3, "count", 1, COUNT_MAX);
	int64_t span = arg_duration(L, method, 4, "timeout", DEFAULT_NS);
	int64_t deadline = await_deadline(L, method, span);
	struct worker *w = worker_of(L);
	struct barrier *b = bind_barrier_find(w, lab, name);

	if (b && b->count != count)
		bind_fail_arg(L, method,
			      "count is %lld, but those who wait at '%s' said "
			      "%lld",
			      (long long)count, name, (long long)b->count);
	struct waiter *me = await_new(L, method, sizeof(*me), waiter_release);
	await_keep(L, lua_gettop(L), 1);
	await_passive(me);
	op_init(&me->op, w->loop, bind_barrier_on_stop);
	op_start(&me->op, deadline);
	me->b = b ? b : make(w, lab, name, count);
	TAILQ_INSERT_TAIL(&me->b->waiters, me, link);
	if (++me->b->n == count)
		meet(me->b);
	return await(L, me, &me->op, waiter_finish);
}
