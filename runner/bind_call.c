/* SPDX-License-Identifier: MIT */
/*
 * Owns syscall_async, of VMs and workers, and the type call that it answers: a
 * system call that goes on by itself, until it is done or closed. A VM runs it
 * on a thread, a worker on its one thread, behind what it was asked before.
 */
#include <errno.h>

#include "agent-proto/clock.h"
#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_guest.h"
#include "runner/bind_syscall.h"

struct call_object {
	struct object obj;
	struct call *call; /* owned; NULL: closed */
	struct op *waiter; /* call:await() in another task, or NULL */
};

extern const struct object_class call_class;

/* Whoever waits, of calls that go on without him. */
struct call_wait {
	struct op op;
	struct call_object *co; /* kept */
	bool is_started;
};

static void bind_call_tell_waiter(struct call_object *co)
{
	struct op *waiter = co->waiter;

	co->waiter = NULL;
	if (waiter)
		op_finish(waiter, 0, NULL);
}

static void on_call_done(struct op *op, void *ctx)
{
	(void)op;
	bind_call_tell_waiter(ctx);
}

static void call_object_close(void *p)
{
	struct call_object *co = p;

	co->call = call_free(co->call);
	bind_call_tell_waiter(co);
}

static int do_syscall_async(lua_State *L, const struct guest_method *m)
{
	struct client *c = guest_client(L, guest_check(L, m), m->name);
	struct syscall_args *a = syscall_args_read(L, m->name, 2);
	struct call_object *co = object_new(L, &call_class, 1);

	a->m.syscall.flags = MSG_SYSCALL_THREAD;
	co->call = call_new(c);
	call_start(co->call, &a->m, NULL, 0, CLOCK_NEVER);
	co->call->op.on_done = on_call_done;
	co->call->op.done_ctx = co;
	return 1;
}

static int vm_syscall_async(lua_State *L)
{
	static const struct guest_method m = {&vm_class, "vm:syscall_async"};

	return do_syscall_async(L, &m);
}

static int worker_syscall_async(lua_State *L)
{
	static const struct guest_method m = {&guest_worker_class,
					      "worker:syscall_async"};

	return do_syscall_async(L, &m);
}

/* --- call:await --- */

static void bind_call_on_wait_stop(struct op *op, int reason)
{
	struct call_wait *w = op->owner;

	(void)reason;
	if (w->co->waiter == op)
		w->co->waiter = NULL;
}

static void bind_call_wait_release(void *p)
{
	struct call_wait *w = p;

	if (w->is_started)
		op_done(&w->op);
}

static int wait_finish(lua_State *L, void *p)
{
	static const char method[] = "call:await";
	const struct call_wait *w = p;
	const struct call *call = w->co->call;

	if (!call)
		bind_fail_arg(L, method, "the call is closed");
	if (!op_is_done(&call->op))
		bind_fail_arg(L, method, "the system call is still running");
	if (call->op.result < 0)
		bind_fail_err(L, method, &call->op.err);
	syscall_push_outcome(L, &call->reply.syscall_done, false);
	return 1;
}

static int l_await(lua_State *L)
{
	static const char method[] = "call:await";
	struct call_object *co = object_check(L, 1, &call_class, method);
	int64_t span = arg_duration(L, method, 2, "timeout", CLOCK_NEVER);

	if (!co->call)
		bind_fail_arg(L, method, "the call is closed");
	if (co->waiter)
		bind_fail_arg(L, method, "another task waits for this call");
	int64_t deadline = await_deadline(L, method, span);
	struct call_wait *w =
	    await_new(L, method, sizeof(*w), bind_call_wait_release);
	await_keep(L, lua_gettop(L), 1);
	w->co = co;
	op_init(&w->op, co->call->op.loop, bind_call_on_wait_stop);
	w->op.owner = w;
	w->is_started = true;
	op_start(&w->op, deadline);
	if (op_is_done(&co->call->op))
		op_finish(&w->op, 0, NULL);
	else
		co->waiter = &w->op;
	return await(L, w, &w->op, wait_finish);
}

static const struct bind_method call_methods[] = {
    {"await", l_await, 1},
    {NULL, NULL, 0},
};

const struct object_class call_class = {
    .name = "call",
    .rank = RANK_PROCESS,
    .size = sizeof(struct call_object),
    .close = call_object_close,
    .methods = call_methods,
};

void bind_call_register(lua_State *L)
{
	static const struct bind_method vm_methods[] = {
	    {"syscall_async", vm_syscall_async, BIND_ANY},
	    {NULL, NULL, 0},
	};
	static const struct bind_method worker_methods[] = {
	    {"syscall_async", worker_syscall_async, BIND_ANY},
	    {NULL, NULL, 0},
	};

	bind_class(L, &call_class);
	bind_class_extend(L, &vm_class, vm_methods);
	bind_class_extend(L, &guest_worker_class, worker_methods);
}
