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
#include "runner/bind_guest.h"
#include "runner/bind_result.h"
#include "runner/bind_run.h"
#include "runner/bind_stream.h"
#include "runner/bind_stream_object.h"
#include "runner/bind_vm.h"
#include "streams/client.h"
#include "streams/exec.h"

#define SIGNALS_MAX 64

struct process_object {
	struct object obj;
	struct guest_handle handle;
	int64_t pid;
	bool is_open;
	char *command; /* owned */
};

static void process_object_close(void *p)
{
	struct process_object *po = p;

	guest_handle_release(&po->handle);
	po->is_open = false;
	free(po->command);
	po->command = NULL;
}

static struct process_object *process_check(lua_State *L, const char *method)
{
	struct process_object *po = object_check(L, 1, &process_class, method);

	if (!po->is_open)
		bind_fail_closed(L, method, &po->obj, "process");
	return po;
}

static struct client *process_client(lua_State *L, struct process_object *po,
				     const char *method)
{
	return guest_handle_client(L, &po->handle, "process", method);
}

/* --- run_async ----------------------------------------------------------- */

struct spawn_call {
	struct call *call;
	struct call *input; /* sends opts.stdin; or NULL */
	const char *method;
	const struct run_args *args;
	struct guest_handle handle; /* until an object has it */
};

static void bind_process_spawn_release(void *p)
{
	struct spawn_call *s = p;

	call_free(s->call);
	call_free(s->input);
	guest_handle_release(&s->handle);
}

/* 1: the guest. */
static int bind_process_spawn_finish(lua_State *L, void *p)
{
	struct spawn_call *s = p;

	if (s->call->op.result < 0)
		bind_fail_err(L, s->method, &s->call->op.err);
	if (object_is_closed(s->handle.guest))
		bind_fail_arg(L, s->method, "its guest was closed");
	struct process_object *po = object_new(L, &process_class, 1);
	po->handle = s->handle;
	s->handle.id = 0;
	po->pid = s->call->reply.done.value;
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
		bind_fail_err(L, s->method, &s->input->op.err);
	return await_again(L, p, &s->call->op, bind_process_spawn_finish);
}

static int run_async(lua_State *L, const struct guest_method *gm)
{
	const char *method = gm->name;
	struct object *g = guest_check(L, gm);
	struct client *c = guest_client(L, g, method);
	const struct run_args *a = run_args_read(L, method, 2, true);
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct spawn_call *s =
	    await_new(L, method, sizeof(*s), bind_process_spawn_release);
	int block = lua_gettop(L);
	struct exec_spec spec = run_args_spec(a);
	struct buf store = {0};
	struct msg m;
	struct err err;

	await_keep(L, block, 1);
	await_keep(L, block, a->idx);
	if (a->stdin_idx)
		await_keep(L, block, a->stdin_idx);
	s->method = method;
	s->args = a;
	s->handle = guest_handle_new(g);
	await_note(s, "`%s`", a->command);
	if (exec_encode_spawn(&spec, s->handle.id, true, &m, &store, &err) <
	    0) {
		buf_done(&store);
		bind_fail_err(L, method, &err);
	}
	s->call = call_new(c);
	call_start(s->call, &m, NULL, 0, deadline);
	buf_done(&store);
	if (!a->stdin_bytes)
		return await(L, s, &s->call->op, bind_process_spawn_finish);
	m = (struct msg){.type = MSG_PROC_STDIN};
	m.proc_stdin.handle = s->handle.id;
	m.proc_stdin.close = 1;
	s->input = call_new(c);
	call_start(s->input, &m, a->stdin_bytes, a->stdin_len, deadline);
	return await(L, s, &s->input->op, input_finish);
}

static int bind_process_l_vm_run_async(lua_State *L)
{
	static const struct guest_method m = {&vm_class, "vm:run_async"};

	return run_async(L, &m);
}

static int bind_process_l_worker_run_async(lua_State *L)
{
	static const struct guest_method m = {&guest_worker_class,
					      "worker:run_async"};

	return run_async(L, &m);
}

/* --- wait ---------------------------------------------------------------- */

struct wait_call {
	struct call *exited;
	struct call *out;
	struct call *err_out;
	const char *method;
	char *command; /* owned: another task may close the process */
	uint64_t handle;
	struct stream_list *streams; /* of its guest, which is kept */
};

static void bind_process_wait_release(void *p)
{
	struct wait_call *w = p;

	call_free(w->exited);
	call_free(w->out);
	call_free(w->err_out);
	free(w->command);
}

/* The output so far; the guest keeps it for the next wait. */
static void wait_tell(lua_State *L, void *p)
{
	struct wait_call *w = p;
	struct buf *why = bind_push_buf(L);
	int why_idx = lua_gettop(L);

	stream_list_tell_held_up(w->streams, w->handle, why);
	lua_pushfstring(L, "`%s` is still running", w->command);
	lua_pushlstring(L, why->len ? (const char *)buf_data(why) : "",
			why->len);
	bind_result_push_outputs(L, &w->out->data, &w->err_out->data);
	lua_concat(L, 3);
	lua_replace(L, why_idx);
}

static int wait_all_done(lua_State *L, void *p)
{
	struct wait_call *w = p;
	struct call *const calls[] = {w->exited, w->out, w->err_out};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (!op_is_done(&calls[i]->op))
			return await_again(L, p, &calls[i]->op, wait_all_done);
		if (calls[i]->op.result == -ETIMEDOUT) {
			wait_tell(L, w);
			bind_fail_text(L, w->method, lua_gettop(L));
		}
		if (calls[i]->op.result < 0)
			bind_fail_err(L, w->method, &calls[i]->op.err);
	}
	const struct msg_exited *e = &w->exited->reply.exited;
	struct run_outcome o = {
	    .command = w->command,
	    .out = &w->out->data,
	    .err_out = &w->err_out->data,
	    .signalled = e->signalled,
	    .status = e->status,
	    .duration_ns = e->duration_ns,
	    .is_cut = w->out->reply.done.value > 0 ||
		      w->err_out->reply.done.value > 0,
	};
	await_take_note(w, bind_result_note(&o));
	bind_result_push(L, &o);
	return 1;
}

struct call *process_start_output(struct client *c, uint64_t handle, uint8_t fd,
				  int64_t deadline_ns)
{
	struct call *call = call_new(c);
	struct msg m = {.type = MSG_PROC_OUTPUT};

	m.proc_output.handle = handle;
	m.proc_output.fd = fd;
	m.proc_output.flags = MSG_OUTPUT_UNTIL_EXIT | MSG_OUTPUT_HELD;
	call_start(call, &m, NULL, 0, deadline_ns);
	return call;
}

int process_await_exit(lua_State *L, const char *method, struct client *c,
		       struct stream_list *streams, uint64_t handle,
		       const char *command, int64_t span_ns)
{
	int64_t deadline = await_deadline(L, method, span_ns);
	struct wait_call *w =
	    await_new(L, method, sizeof(*w), bind_process_wait_release);
	struct msg m = {.type = MSG_PROC_WAIT};

	await_keep(L, lua_gettop(L), 1);
	await_tell(w, wait_tell);
	w->method = method;
	w->command = mem_strdup(command);
	await_note(w, "`%s`", command);
	w->handle = handle;
	w->streams = streams;
	m.proc_wait.handle = handle;
	w->exited = call_new(c);
	call_start(w->exited, &m, NULL, 0, deadline);
	w->out = process_start_output(c, handle, 1, deadline);
	w->err_out = process_start_output(c, handle, 2, deadline);
	return await(L, w, &w->exited->op, wait_all_done);
}

static int l_wait(lua_State *L)
{
	static const char method[] = "process:wait";
	struct process_object *po = process_check(L, method);
	int64_t span = arg_duration(L, method, 2, "timeout", CLOCK_NEVER);
	struct client *c = process_client(L, po, method);

	if (!span)
		bind_fail_arg(L, method,
			      "timeout is 0: to look without waiting, call "
			      "process:status()");
	return process_await_exit(L, method, c, guest_streams(po->handle.guest),
				  po->handle.id, po->command, span);
}

/* --- one request --------------------------------------------------------- */

static int status_finish(lua_State *L, void *p)
{
	const struct guest_call *gc = p;

	guest_call_check(L, gc);
	lua_pushstring(L, gc->call->reply.done.value ? "running" : "exited");
	return 1;
}

/* For `return`. body_idx: a string on the stack, or 0. */
static int request(lua_State *L, const char *method, struct process_object *po,
		   const struct msg *m, int body_idx, await_cb finish)
{
	return guest_ask(L, method, process_client(L, po, method), m, body_idx,
			 finish);
}

int process_arg_signal(lua_State *L, const char *method, int idx, int otherwise)
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
		       bool is_group, await_cb finish)
{
	struct process_object *po = process_check(L, method);
	struct msg m = {.type = MSG_PROC_SIGNAL};

	m.proc_signal.handle = po->handle.id;
	m.proc_signal.signo = signo;
	m.proc_signal.group = is_group;
	return request(L, method, po, &m, 0, finish);
}

static int bind_process_l_kill(lua_State *L)
{
	process_check(L, "process:kill");
	return send_signal(L, "process:kill",
			   process_arg_signal(L, "process:kill", 2, SIGTERM),
			   true, guest_finish_kill);
}

static int l_signal(lua_State *L)
{
	process_check(L, "process:signal");
	int signo = process_arg_signal(L, "process:signal", 2, -1);
	if (signo < 0)
		bind_fail_arg(L, "process:signal",
			      "signal must be a number or a name, got nothing");
	return send_signal(L, "process:signal", signo, false,
			   guest_finish_nothing);
}

static int l_status(lua_State *L)
{
	struct process_object *po = process_check(L, "process:status");
	struct msg m = {.type = MSG_PROC_STATUS};

	m.proc_status.handle = po->handle.id;
	return request(L, "process:status", po, &m, 0, status_finish);
}

static int l_stdin_write(lua_State *L)
{
	static const char method[] = "process:stdin_write";
	struct process_object *po = process_check(L, method);
	struct msg m = {.type = MSG_PROC_STDIN};
	size_t n;

	arg_bytes(L, method, 2, "data", &n);
	m.proc_stdin.handle = po->handle.id;
	return request(L, method, po, &m, 2, guest_finish_nothing);
}

static int l_close_stdin(lua_State *L)
{
	static const char method[] = "process:close_stdin";
	struct process_object *po = process_check(L, method);
	struct msg m = {.type = MSG_PROC_STDIN};

	m.proc_stdin.handle = po->handle.id;
	m.proc_stdin.close = 1;
	return request(L, method, po, &m, 0, guest_finish_nothing);
}

/* --- streams, facts ------------------------------------------------------ */

static int output_stream(lua_State *L, const char *method, uint8_t fd,
			 const char *kind)
{
	struct output_options {
		bool kept;
	} o = {0};
	static const struct opt opts[] = {
	    {"kept", OPT_BOOL, offsetof(struct output_options, kept)},
	    {NULL, OPT_BOOL, 0},
	};
	struct process_object *po = process_check(L, method);
	struct client *c = process_client(L, po, method);
	struct msg m = {.type = MSG_PROC_OUTPUT};

	bind_options(L, method, arg_opt_table(L, method, 2, "options"), opts,
		     &o);
	m.proc_output.handle = po->handle.id;
	m.proc_output.fd = fd;
	m.proc_output.flags = o.kept ? MSG_OUTPUT_HELD : 0;
	return stream_open_tail(L, method, 1, c,
				guest_streams(po->handle.guest), &m, kind,
				po->command);
}

static const char *const output_kinds[] = {NULL, "proc_stdout_stream",
					   "proc_stderr_stream"};

static int l_stdout_stream(lua_State *L)
{
	return output_stream(L, "process:stdout_stream", 1, output_kinds[1]);
}

static int l_stderr_stream(lua_State *L)
{
	return output_stream(L, "process:stderr_stream", 2, output_kinds[2]);
}

bool process_of_stream(lua_State *L, int idx, struct process_ask *ret)
{
	const struct stream_object *so = object_test(L, idx, &stream_class);
	const struct object *owner = so ? so->obj.owner : NULL;

	if (!owner || owner->class != &process_class)
		return false;
	const struct process_object *po = (const void *)owner;
	if (!po->is_open || !guest_handle_is_current(&po->handle))
		return false;
	*ret = (struct process_ask){
	    .client = po->handle.guest->class->guest->client_if_live(
		po->handle.guest),
	    .handle = po->handle.id,
	    .command = po->command,
	    .fd = strcmp(so->kind, output_kinds[2]) == 0 ? 2 : 1,
	};
	return ret->client;
}

static int bind_process_l_pid(lua_State *L)
{
	bind_push_i64(L, process_check(L, "process:pid")->pid);
	return 1;
}

static int bind_process_l_handle(lua_State *L)
{
	bind_push_u64(L, process_check(L, "process:handle")->handle.id);
	return 1;
}

static const struct bind_method process_methods[] = {
    {"wait", l_wait, 1},
    {"kill", bind_process_l_kill, 1},
    {"signal", l_signal, 1},
    {"status", l_status, 0},
    {"stdin_write", l_stdin_write, 1},
    {"close_stdin", l_close_stdin, 0},
    {"stdout_stream", l_stdout_stream, 1},
    {"stderr_stream", l_stderr_stream, 1},
    {"pid", bind_process_l_pid, 0},
    {"handle", bind_process_l_handle, 0},
    {NULL, NULL, 0},
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
	    {"run_async", bind_process_l_vm_run_async, 2},
	    {NULL, NULL, 0},
	};
	static const struct bind_method worker_methods[] = {
	    {"run_async", bind_process_l_worker_run_async, 2},
	    {NULL, NULL, 0},
	};

	bind_class(L, &process_class);
	bind_class_extend(L, &vm_class, vm_methods);
	bind_class_extend(L, &guest_worker_class, worker_methods);
}
