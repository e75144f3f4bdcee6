/* SPDX-License-Identifier: MIT */
/*
 * A Process is a handle that the agent holds. Its output is spooled in the
 * guest from the start, so that streams opened late, and wait(), get it from
 * the first byte.
 */
#include "runner/bind_process.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind_result.h"
#include "runner/bind_run.h"
#include "runner/bind_stream.h"
#include "runner/bind_vm.h"
#include "streams/client.h"
#include "streams/exec.h"

#define SIGNALS_MAX 64

struct process_object {
	struct object obj;
	struct vm_object *vm; /* the owner */
	uint64_t handle;
	int64_t pid;
	unsigned boots; /* of the VM, when it was started */
	bool is_open;
	char *command; /* owned */
};

static void process_object_close(void *p)
{
	struct process_object *po = p;

	if (po->is_open)
		vm_object_release(po->vm, po->boots, po->handle);
	po->is_open = false;
	free(po->command);
	po->command = NULL;
}

static struct process_object *process_check(lua_State *L, const char *method)
{
	struct process_object *po = object_check(L, 1, &process_class, method);

	if (!po->is_open)
		bind_fail_arg(L, method, "process is closed");
	return po;
}

/* The same, and its guest is the one that it was started in. */
static struct client *process_client(lua_State *L, struct process_object *po,
				     const char *method)
{
	struct client *c = vm_object_client(L, po->vm, method);

	if (po->boots != po->vm->boots)
		bind_fail_arg(L, method,
			      "the process is gone: the guest was started "
			      "anew since");
	return c;
}

/* --- run_async ----------------------------------------------------------- */

struct spawn_call {
	struct call *call;
	struct call *input; /* sends opts.stdin; or NULL */
	const struct run_args *args;
	struct vm_object *vm;
	uint64_t handle;
	unsigned boots;
	bool is_taken; /* by the object that was made for it */
};

static void spawn_release(void *p)
{
	struct spawn_call *s = p;

	call_free(s->call);
	call_free(s->input);
	if (!s->is_taken && s->handle)
		vm_object_release(s->vm, s->boots, s->handle);
}

/* 1: the VM. */
static int spawn_finish(lua_State *L, void *p)
{
	struct spawn_call *s = p;

	if (s->call->op.result < 0)
		bind_fail_err(L, "vm:run_async", &s->call->op.err);
	if (object_is_closed(&s->vm->obj))
		bind_fail_arg(L, "vm:run_async", "the VM was closed");
	struct process_object *po = object_new(L, &process_class, 1);
	s->is_taken = true;
	po->vm = s->vm;
	po->handle = s->handle;
	po->pid = s->call->reply.done.value;
	po->boots = s->boots;
	po->command = mem_strdup(s->args->command);
	po->is_open = true;
	return 1;
}

static int input_finish(lua_State *L, void *p)
{
	struct spawn_call *s = p;

	/* A process that does not read its input is none of our business. */
	if (s->input->op.result < 0 && s->input->op.result != -EPIPE &&
	    s->call->op.result >= 0)
		bind_fail_err(L, "vm:run_async", &s->input->op.err);
	return await_again(L, p, &s->call->op, spawn_finish);
}

static int vm_run_async(lua_State *L)
{
	static const char method[] = "vm:run_async";
	struct vm_object *vm = vm_check(L, 1, method);
	struct client *c = vm_check_client(L, 1, method);
	const struct run_args *a = run_args_read(L, method, 2, true);
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct spawn_call *s = await_new(L, method, sizeof(*s), spawn_release);
	int block = lua_gettop(L);
	struct exec_spec spec = run_args_spec(a);
	struct buf store = {0};
	struct msg m;
	struct err err;

	await_keep(L, block, 1);
	await_keep(L, block, a->idx);
	if (a->stdin_idx)
		await_keep(L, block, a->stdin_idx);
	s->args = a;
	s->vm = vm;
	s->boots = vm->boots;
	s->handle = client_new_handle(c);
	if (exec_encode_spawn(&spec, s->handle, true, &m, &store, &err) < 0) {
		buf_done(&store);
		bind_fail_err(L, method, &err);
	}
	s->call = call_new(c);
	call_start(s->call, &m, NULL, 0, deadline);
	buf_done(&store);
	if (!a->stdin_bytes)
		return await(L, s, &s->call->op, spawn_finish);
	m = (struct msg){.type = MSG_PROC_STDIN};
	m.proc_stdin.handle = s->handle;
	m.proc_stdin.close = 1;
	s->input = call_new(c);
	call_start(s->input, &m, a->stdin_bytes, a->stdin_len, deadline);
	return await(L, s, &s->input->op, input_finish);
}

/* --- wait ---------------------------------------------------------------- */

struct wait_call {
	struct call *exited;
	struct call *out;
	struct call *err_out;
	char *command; /* owned: another task may close the process */
};

static void wait_release(void *p)
{
	struct wait_call *w = p;

	call_free(w->exited);
	call_free(w->out);
	call_free(w->err_out);
	free(w->command);
}

static int wait_all_done(lua_State *L, void *p)
{
	struct wait_call *w = p;
	struct call *const calls[] = {w->exited, w->out, w->err_out};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (!op_is_done(&calls[i]->op))
			return await_again(L, p, &calls[i]->op, wait_all_done);
		if (calls[i]->op.result == -ETIMEDOUT)
			bind_fail_arg(L, "process:wait",
				      "`%s` is still running", w->command);
		if (calls[i]->op.result < 0)
			bind_fail_err(L, "process:wait", &calls[i]->op.err);
	}
	const struct msg_exited *e = &w->exited->reply.exited;
	struct run_outcome o = {
	    .command = w->command,
	    .out = &w->out->data,
	    .err_out = &w->err_out->data,
	    .signalled = e->signalled,
	    .status = e->status,
	    .duration_ns = e->duration_ns,
	};
	bind_result_push(L, &o);
	return 1;
}

static struct call *start_output(struct client *c, uint64_t handle, uint8_t fd,
				 int64_t deadline)
{
	struct call *call = call_new(c);
	struct msg m = {.type = MSG_PROC_OUTPUT};

	m.proc_output.handle = handle;
	m.proc_output.fd = fd;
	m.proc_output.flags = MSG_OUTPUT_UNTIL_EXIT;
	call_start(call, &m, NULL, 0, deadline);
	return call;
}

static int l_wait(lua_State *L)
{
	static const char method[] = "process:wait";
	struct process_object *po = process_check(L, method);
	int64_t span = arg_duration(L, method, 2, "timeout", CLOCK_NEVER);
	struct client *c = process_client(L, po, method);
	struct msg m = {.type = MSG_PROC_WAIT};

	if (!span)
		bind_fail_arg(L, method,
			      "timeout is 0: to look without waiting, call "
			      "process:status()");
	int64_t deadline = await_deadline(L, method, span);
	struct wait_call *w = await_new(L, method, sizeof(*w), wait_release);
	await_keep(L, lua_gettop(L), 1);
	w->command = mem_strdup(po->command);
	m.proc_wait.handle = po->handle;
	w->exited = call_new(c);
	call_start(w->exited, &m, NULL, 0, deadline);
	w->out = start_output(c, po->handle, 1, deadline);
	w->err_out = start_output(c, po->handle, 2, deadline);
	return await(L, w, &w->exited->op, wait_all_done);
}

/* --- one request --------------------------------------------------------- */

struct request {
	struct call *call;
	const char *method;
};

static void request_release(void *p)
{
	struct request *r = p;

	call_free(r->call);
}

static int request_finish(lua_State *L, void *p)
{
	struct request *r = p;

	if (r->call->op.result < 0)
		bind_fail_err(L, r->method, &r->call->op.err);
	return 0;
}

static int status_finish(lua_State *L, void *p)
{
	struct request *r = p;

	request_finish(L, p);
	lua_pushstring(L, r->call->reply.done.value ? "running" : "exited");
	return 1;
}

/* For `return`. body_idx: a string on the stack, or 0. */
static int request(lua_State *L, const char *method, struct process_object *po,
		   const struct msg *m, int body_idx, await_cb finish)
{
	struct client *c = process_client(L, po, method);
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct request *r = await_new(L, method, sizeof(*r), request_release);
	int block = lua_gettop(L);
	const char *body = NULL;
	size_t n = 0;

	await_keep(L, block, 1);
	if (body_idx) {
		await_keep(L, block, body_idx);
		body = lua_tolstring(L, body_idx, &n);
	}
	r->method = method;
	r->call = call_new(c);
	call_start(r->call, m, body, n, deadline);
	return await(L, r, &r->call->op, finish);
}

/* A number, or a name with or without SIG, in any case. */
static int arg_signal(lua_State *L, const char *method, int idx, int otherwise)
{
	if (lua_isnoneornil(L, idx))
		return otherwise;
	if (lua_type(L, idx) == LUA_TNUMBER)
		return (int)arg_int(L, method, idx, "signal", 0, SIGNALS_MAX);
	const char *name = arg_string(L, method, idx, "signal");
	const char *bare = strncasecmp(name, "SIG", 3) ? name : name + 3;
	for (int i = 1; i <= SIGNALS_MAX; i++) {
		const char *known = sigabbrev_np(i);

		if (known && !strcasecmp(known, bare))
			return i;
	}
	bind_fail_arg(L, method, "signal: no signal is named '%s'", name);
}

static int send_signal(lua_State *L, const char *method, int signo,
		       bool is_group)
{
	struct process_object *po = process_check(L, method);
	struct msg m = {.type = MSG_PROC_SIGNAL};

	m.proc_signal.handle = po->handle;
	m.proc_signal.signo = signo;
	m.proc_signal.group = is_group;
	return request(L, method, po, &m, 0, request_finish);
}

static int l_kill(lua_State *L)
{
	process_check(L, "process:kill");
	return send_signal(L, "process:kill",
			   arg_signal(L, "process:kill", 2, SIGTERM), true);
}

static int l_signal(lua_State *L)
{
	process_check(L, "process:signal");
	int signo = arg_signal(L, "process:signal", 2, -1);
	if (signo < 0)
		bind_fail_arg(L, "process:signal", "signal: got nothing");
	return send_signal(L, "process:signal", signo, false);
}

static int l_status(lua_State *L)
{
	struct process_object *po = process_check(L, "process:status");
	struct msg m = {.type = MSG_PROC_STATUS};

	m.proc_status.handle = po->handle;
	return request(L, "process:status", po, &m, 0, status_finish);
}

static int l_stdin_write(lua_State *L)
{
	static const char method[] = "process:stdin_write";
	struct process_object *po = process_check(L, method);
	struct msg m = {.type = MSG_PROC_STDIN};
	size_t n;

	arg_bytes(L, method, 2, "data", &n);
	m.proc_stdin.handle = po->handle;
	return request(L, method, po, &m, 2, request_finish);
}

static int l_close_stdin(lua_State *L)
{
	static const char method[] = "process:close_stdin";
	struct process_object *po = process_check(L, method);
	struct msg m = {.type = MSG_PROC_STDIN};

	m.proc_stdin.handle = po->handle;
	m.proc_stdin.close = 1;
	return request(L, method, po, &m, 0, request_finish);
}

/* --- streams, facts ------------------------------------------------------ */

static int output_stream(lua_State *L, const char *method, uint8_t fd,
			 const char *kind)
{
	struct process_object *po = process_check(L, method);
	struct client *c = process_client(L, po, method);
	struct msg m = {.type = MSG_PROC_OUTPUT};

	m.proc_output.handle = po->handle;
	m.proc_output.fd = fd;
	return stream_open_tail(L, method, 1, c, vm_streams(po->vm->vm), &m,
				kind, po->command);
}

static int l_stdout_stream(lua_State *L)
{
	return output_stream(L, "process:stdout_stream", 1,
			     "proc_stdout_stream");
}

static int l_stderr_stream(lua_State *L)
{
	return output_stream(L, "process:stderr_stream", 2,
			     "proc_stderr_stream");
}

static int l_pid(lua_State *L)
{
	bind_push_i64(L, process_check(L, "process:pid")->pid);
	return 1;
}

static int l_handle(lua_State *L)
{
	bind_push_u64(L, process_check(L, "process:handle")->handle);
	return 1;
}

static const struct bind_method process_methods[] = {
    {"wait", l_wait},
    {"kill", l_kill},
    {"signal", l_signal},
    {"status", l_status},
    {"stdin_write", l_stdin_write},
    {"close_stdin", l_close_stdin},
    {"stdout_stream", l_stdout_stream},
    {"stderr_stream", l_stderr_stream},
    {"pid", l_pid},
    {"handle", l_handle},
    {NULL, NULL},
};

const struct object_class process_class = {
    .name = "process",
    .rank = RANK_PROCESS,
    .size = sizeof(struct process_object),
    .close = process_object_close,
    .methods = process_methods,
};

void bind_process_register(lua_State *L)
{
	static const struct bind_method vm_methods[] = {
	    {"run_async", vm_run_async},
	    {NULL, NULL},
	};

	bind_class(L, &process_class);
	bind_class_extend(L, &vm_class, vm_methods);
}
