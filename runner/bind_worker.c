/* SPDX-License-Identifier: MIT */
/*
 * Owns vm:spawn_worker and the type worker: a process in the guest, of one
 * thread, with a session of its own. What it shares with a VM (run, open_file,
 * syscall, ...) is written there, for both; see bind_guest.h.
 *
 * The worker is spawned, linked and greeted in one round trip.
 */
#include "runner/bind_worker.h"

#include <errno.h>
#include <signal.h>

#include "agent-proto/clock.h"
#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_guest.h"
#include "runner/bind_process.h"
#include "runner/bind_vm.h"

struct worker_object {
	struct object obj;
	struct guest_handle handle; /* of the process, in the VM */
	struct client *client;	    /* owned; NULL: closed */
	int64_t pid;
};

static void on_lost(void *ctx, const struct err *err)
{
	struct err why = *err;

	if (why.code == -ESRCH)
		err_set(&why, -ESRCH,
			"the worker is gone: worker:join() tells how it ended");
	client_fail(*(struct client **)ctx, &why);
}

static void worker_object_close(void *p)
{
	struct worker_object *w = p;

	w->client = client_free(w->client);
	guest_handle_release(&w->handle);
}

static struct worker_object *worker_check(lua_State *L, const char *method)
{
	struct worker_object *w =
	    object_check(L, 1, &guest_worker_class, method);

	if (object_is_closed(&w->obj))
		bind_fail_closed(L, method, &w->obj, "the worker");
	return w;
}

/* --- spawn_worker --- */

struct spawn_call {
	struct call *call;
	struct client *client;
	struct op hello;
	bool is_greeting;
	struct guest_handle handle; /* until an object has it */
	int64_t pid;
};

static void bind_worker_spawn_release(void *p)
{
	struct spawn_call *s = p;

	if (s->is_greeting)
		op_done(&s->hello);
	client_free(s->client);
	call_free(s->call);
	guest_handle_release(&s->handle);
}

/* 1: the VM. */
static int hello_finish(lua_State *L, void *p)
{
	static const char method[] = "vm:spawn_worker";
	struct spawn_call *s = p;

	if (s->hello.result < 0)
		bind_fail_err(L, method, &s->hello.err);
	if (object_is_closed(s->handle.guest))
		bind_fail_arg(L, method, "the VM was closed");
	struct worker_object *w = object_new(L, &guest_worker_class, 1);
	w->handle = s->handle;
	s->handle.id = 0;
	w->pid = s->pid;
	w->client = s->client;
	client_set_owner(w->client, on_lost, &w->client);
	s->client = NULL;
	return 1;
}

static int bind_worker_spawn_finish(lua_State *L, void *p)
{
	struct spawn_call *s = p;

	if (s->call->op.result < 0)
		bind_fail_err(L, "vm:spawn_worker", &s->call->op.err);
	s->pid = s->call->reply.done.value;
	return await_again(L, p, &s->hello, hello_finish);
}

static int vm_spawn_worker(lua_State *L)
{
	static const char method[] = "vm:spawn_worker";
	struct client *c = vm_check_client(L, 1, method);
	struct msg m = {.type = MSG_WORKER_SPAWN};
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct spawn_call *s =
	    await_new(L, method, sizeof(*s), bind_worker_spawn_release);

	await_keep(L, lua_gettop(L), 1);
	s->handle = guest_handle_new(lua_touserdata(L, 1));
	m.worker_spawn.handle = s->handle.id;
	s->call = call_new(c);
	call_start(s->call, &m, NULL, 0, deadline);
	s->client = client_new_worker(c, s->handle.id, on_lost, &s->client);
	s->is_greeting = true;
	client_hello(s->client, &s->hello, deadline);
	return await(L, s, &s->call->op, bind_worker_spawn_finish);
}

/* --- after a restore of its VM --- */

bool worker_object_is_current(const struct object *o)
{
	return guest_handle_is_current(
	    &((const struct worker_object *)o)->handle);
}

struct relink_call {
	struct op hello;
	bool is_greeting;
};

static void relink_release(void *p)
{
	struct relink_call *c = p;

	if (c->is_greeting)
		op_done(&c->hello);
}

/* One that had ended in the snapshot says so when it is used. */
static int relink_finish(lua_State *L, void *p)
{
	(void)L;
	(void)p;
	return 0;
}

int worker_l_relink(lua_State *L)
{
	static const char method[] = "vm:restore";
	struct worker_object *w =
	    object_check(L, 1, &guest_worker_class, method);

	if (object_is_closed(&w->obj))
		return 0;
	struct client *c = guest_handle_client(L, &w->handle, "worker", method);
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct relink_call *r =
	    await_new(L, method, sizeof(*r), relink_release);

	await_keep(L, lua_gettop(L), 1);
	client_free(w->client);
	w->client = client_new_worker(c, w->handle.id, on_lost, &w->client);
	r->is_greeting = true;
	client_hello(w->client, &r->hello, deadline);
	return await(L, r, &r->hello, relink_finish);
}

/* --- its end --- */

static int signal_it(lua_State *L, const char *method, int signo,
		     await_cb finish)
{
	struct worker_object *w = worker_check(L, method);
	struct msg m = {.type = MSG_PROC_SIGNAL};

	m.proc_signal.handle = w->handle.id;
	m.proc_signal.signo = signo;
	struct client *c = guest_handle_client(L, &w->handle, "worker", method);
	return guest_ask(L, method, c, &m, 0, finish);
}

static int bind_worker_l_kill(lua_State *L)
{
	static const char method[] = "worker:kill";

	worker_check(L, method);
	return signal_it(L, method, process_arg_signal(L, method, 2, SIGKILL),
			 guest_finish_kill);
}

/* Ends the call that it blocks in, with EINTR. */
static int l_interrupt(lua_State *L)
{
	return signal_it(L, "worker:interrupt", MSG_SIGNAL_INTERRUPT,
			 guest_finish_nothing);
}

/* Behind what it was asked before; its answer is that it exits. */
static int l_join(lua_State *L)
{
	static const char method[] = "worker:join";
	struct worker_object *w = worker_check(L, method);
	int64_t span = arg_duration(L, method, 2, "timeout", CLOCK_NEVER);
	struct client *c = guest_handle_client(L, &w->handle, "worker", method);
	struct msg m = {.type = MSG_SHUTDOWN};

	client_post(w->client, &m);
	return process_await_exit(L, method, c, NULL, w->handle.id, "worker",
				  span);
}

/* --- facts --- */

static int bind_worker_l_handle(lua_State *L)
{
	bind_push_u64(L, worker_check(L, "worker:handle")->handle.id);
	return 1;
}

static int bind_worker_l_pid(lua_State *L)
{
	bind_push_i64(L, worker_check(L, "worker:pid")->pid);
	return 1;
}

/* --- as a guest --- */

static struct client *
bind_worker_client_of(lua_State *L, const struct object *g, const char *method)
{
	const struct worker_object *w = (const struct worker_object *)g;

	if (object_is_closed(g))
		bind_fail_closed(L, method, g, "its worker");
	guest_handle_client(L, &w->handle, "worker", method);
	return w->client;
}

static struct client *bind_worker_live_client_of(const struct object *g)
{
	return ((const struct worker_object *)g)->client;
}

static const struct object *vm_of(const struct object *g)
{
	return ((const struct worker_object *)g)->handle.guest;
}

static unsigned bind_worker_epoch_of(const struct object *g)
{
	const struct object *vm = vm_of(g);

	return vm->class->guest->epoch(vm);
}

static struct client *bind_worker_numbers_of(const struct object *g)
{
	const struct object *vm = vm_of(g);

	return vm->class->guest->numbers(vm);
}

static bool bind_worker_has(const struct object *g, unsigned epoch,
			    uint64_t handle)
{
	const struct object *vm = vm_of(g);

	/* Of a worker that is gone, that is the better thing to say. */
	return !worker_object_is_current(g) ||
	       vm->class->guest->has(vm, epoch, handle);
}

static struct stream_list *bind_worker_streams_of(const struct object *g)
{
	return guest_streams(((const struct worker_object *)g)->handle.guest);
}

static void bind_worker_describe(const struct object *g, struct buf *out)
{
	buf_printf(out, "worker %lld",
		   (long long)((const struct worker_object *)g)->pid);
}

static const struct guest_ops guest_ops = {
    .describe = bind_worker_describe,
    .client = bind_worker_client_of,
    .client_if_live = bind_worker_live_client_of,
    .epoch = bind_worker_epoch_of,
    .has = bind_worker_has,
    .numbers = bind_worker_numbers_of,
    .streams = bind_worker_streams_of,
};

static const struct bind_method methods[] = {
    {"kill", bind_worker_l_kill, 1},
    {"interrupt", l_interrupt, 0},
    {"join", l_join, 1},
    {"handle", bind_worker_l_handle, 0},
    {"pid", bind_worker_l_pid, 0},
    {NULL, NULL, 0},
};

const struct object_class guest_worker_class = {
    .name = "worker",
    .rank = RANK_WORKER,
    .size = sizeof(struct worker_object),
    .close = worker_object_close,
    .methods = methods,
    .guest = &guest_ops,
};

void bind_worker_register(lua_State *L)
{
	static const struct bind_method vm_methods[] = {
	    {"spawn_worker", vm_spawn_worker, 0},
	    {NULL, NULL, 0},
	};

	bind_class(L, &guest_worker_class);
	bind_class_extend(L, &guest_worker_class, worker_run_methods);
	bind_class_extend(L, &guest_worker_class, worker_file_methods);
	bind_class_extend(L, &guest_worker_class, worker_syscall_methods);
	bind_class_extend(L, &vm_class, vm_methods);
}
