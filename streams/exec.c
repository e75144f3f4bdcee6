/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: the parts of a run are ordinary calls, made in one go
 * and so sent in one write; the run is over when the wait and both outputs
 * are. The agent answers in any order.
 *
 * At the deadline the process group is killed. Its last output and its exit
 * are still worth having, and are a moment away when the guest is well: so
 * the operation's own deadline is a grace later, and what has come by then is
 * the result.
 */
#include "streams/exec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

enum part { PART_SPAWN, PART_OUT, PART_ERR, PART_WAIT, PART_STDIN, PARTS };

struct exec_priv {
	struct client *client;
	struct timer *deadline;
	uint64_t handle;
	struct call *parts[PARTS]; /* NULL: not asked for */
	bool is_started;	   /* the agent may know the handle */
};

static void post_release(struct exec_priv *p)
{
	struct msg m = {.type = MSG_RELEASE};

	m.release.handle = p->handle;
	if (p->is_started)
		client_post(p->client, &m);
	p->is_started = false;
}

static void free_parts(struct exec_priv *p)
{
	for (int i = 0; i < PARTS; i++)
		p->parts[i] = call_free(p->parts[i]);
}

static void take_bytes(struct buf *to, struct call *from)
{
	if (!from)
		return;
	*to = from->data;
	from->data = (struct buf){0};
}

/* What there is by now is the result. */
static void exec_collect(struct exec *x)
{
	struct exec_priv *p = x->priv;
	struct call *wait = p->parts[PART_WAIT];

	take_bytes(&x->out, p->parts[PART_OUT]);
	take_bytes(&x->err_out, p->parts[PART_ERR]);
	if (wait && op_is_done(&wait->op) && !wait->op.result) {
		x->signalled = wait->reply.exited.signalled;
		x->status = wait->reply.exited.status;
		x->duration_ns = wait->reply.exited.duration_ns;
		if (x->duration_ns < 0)
			x->duration_ns = 0;
	} else {
		x->signalled = true;
		x->status = SIGKILL;
		x->duration_ns = clock_now_ns() - x->op.started_ns;
	}
	timer_set(p->deadline, CLOCK_NEVER);
	post_release(p);
	free_parts(p);
}

static void exec_fail(struct exec *x, const struct err *err)
{
	struct exec_priv *p = x->priv;
	struct err why = *err;

	timer_set(p->deadline, CLOCK_NEVER);
	post_release(p);
	free_parts(p);
	op_finish(&x->op, why.code, &why);
}

/*
 * A child that ends, or closes its stdin, before it has read all of it is
 * nothing unusual.
 */
static bool is_harmless(enum part part, int result)
{
	return part == PART_STDIN && (result == -EPIPE || result == -ESRCH);
}

/* The first in order that failed: what cannot be started makes the others
 * fail for want of a process. */
static const struct call *failed_part(const struct exec_priv *p)
{
	for (int i = 0; i < PARTS; i++) {
		const struct call *call = p->parts[i];

		if (call && op_is_done(&call->op) && call->op.result < 0 &&
		    !is_harmless(i, call->op.result))
			return call;
	}
	return NULL;
}

/* Something is done: all of it? */
static void exec_step(struct exec *x)
{
	struct exec_priv *p = x->priv;
	const struct call *bad = failed_part(p);

	if (bad) {
		struct err err = bad->op.err;

		if (err.code == -EFBIG)
			err_set(&err, -EFBIG,
				"the command wrote more than %zu bytes to its "
				"%s",
				bad->max_data,
				bad == p->parts[PART_OUT] ? "stdout"
							  : "stderr");
		exec_fail(x, &err);
		return;
	}
	for (int i = 0; i < PART_STDIN; i++)
		if (!op_is_done(&p->parts[i]->op))
			return;
	exec_collect(x);
	op_finish(&x->op, 0, NULL);
}

static void on_part(struct op *op, void *ctx)
{
	(void)op;
	exec_step(ctx);
}

static void exec_on_deadline(void *ctx)
{
	struct exec *x = ctx;
	struct exec_priv *p = x->priv;
	struct msg m = {.type = MSG_PROC_SIGNAL};

	x->timed_out = true;
	m.proc_signal.handle = p->handle;
	m.proc_signal.signo = SIGKILL;
	m.proc_signal.group = 1;
	client_post(p->client, &m);
}

static void exec_stop(struct op *op, int reason)
{
	struct exec *x = CONTAINER_OF(op, struct exec, op);
	struct exec_priv *p = x->priv;

	if (reason == -ETIMEDOUT) {
		x->timed_out = true;
		exec_collect(x);
		op->result = 0;
		return;
	}
	timer_set(p->deadline, CLOCK_NEVER);
	post_release(p);
	free_parts(p);
}

struct exec *exec_new(struct client *c)
{
	struct exec *x = mem_zalloc(sizeof(*x));
	struct exec_priv *p = mem_zalloc(sizeof(*p));

	op_init(&x->op, client_loop(c), exec_stop);
	x->priv = p;
	x->max_output = CALL_DATA_MAX;
	p->client = c;
	p->deadline = timer_new(client_loop(c), exec_on_deadline, x);
	return x;
}

struct exec *exec_free(struct exec *x)
{
	struct exec_priv *p;

	if (!x)
		return NULL;
	op_done(&x->op);
	p = x->priv;
	timer_free(p->deadline);
	free(p);
	buf_done(&x->out);
	buf_done(&x->err_out);
	free(x);
	return NULL;
}

/* --- starting ------------------------------------------------------------ */

static void start_part(struct exec *x, enum part part, const struct msg *m,
		       const void *body, size_t n)
{
	struct exec_priv *p = x->priv;
	struct call *call = call_new(p->client);

	p->parts[part] = call;
	call->max_data = x->max_output;
	call_start(call, m, body, n, CLOCK_NEVER);
}

static void start_output(struct exec *x, enum part part, uint8_t fd)
{
	struct exec_priv *p = x->priv;
	struct msg m = {.type = MSG_PROC_OUTPUT};

	m.proc_output.handle = p->handle;
	m.proc_output.fd = fd;
	m.proc_output.flags = MSG_OUTPUT_UNTIL_EXIT;
	start_part(x, part, &m, NULL, 0);
}

static void start_stdin(struct exec *x, const struct exec_spec *spec)
{
	struct exec_priv *p = x->priv;
	struct msg m = {.type = MSG_PROC_STDIN};

	m.proc_stdin.handle = p->handle;
	m.proc_stdin.close = 1;
	start_part(x, PART_STDIN, &m, spec->stdin_bytes, spec->stdin_len);
}

void exec_start(struct exec *x, const struct exec_spec *spec,
		int64_t deadline_ns)
{
	struct exec_priv *p = x->priv;
	struct buf store = {0};
	struct msg m;
	struct err err;

	op_start(&x->op, deadline_ns > CLOCK_NEVER - EXEC_KILL_GRACE_NS
			     ? CLOCK_NEVER
			     : deadline_ns + EXEC_KILL_GRACE_NS);
	p->handle = client_new_handle(p->client);
	if (exec_encode_spawn(spec, p->handle, spec->stdin_bytes, &m, &store,
			      &err) < 0) {
		buf_done(&store);
		op_finish(&x->op, err.code, &err);
		return;
	}
	p->is_started = true;
	m.spawn.flags |= MSG_SPAWN_READ;
	start_part(x, PART_SPAWN, &m, NULL, 0);
	buf_done(&store);
	start_output(x, PART_OUT, 1);
	start_output(x, PART_ERR, 2);
	if (spec->stdin_bytes)
		start_stdin(x, spec);
	m = (struct msg){.type = MSG_PROC_WAIT};
	m.proc_wait.handle = p->handle;
	start_part(x, PART_WAIT, &m, NULL, 0);
	timer_set(p->deadline, deadline_ns);
	for (int i = 0; i < PARTS; i++) {
		if (!p->parts[i])
			continue;
		p->parts[i]->op.on_done = on_part;
		p->parts[i]->op.done_ctx = x;
	}
	/* A part may be refused on the spot: the connection is gone. */
	exec_step(x);
}

static uint32_t add_strings(struct buf *items, const char *const *v)
{
	uint32_t count = 0;

	for (; v && *v; v++)
		msg_list_add(items, &count, *v, strlen(*v));
	return count;
}

int exec_encode_spawn(const struct exec_spec *spec, uint64_t handle,
		      bool stdin_pipe, struct msg *ret_msg,
		      struct buf *ret_store, struct err *err)
{
	struct msg_spawn *m = &ret_msg->spawn;
	struct buf env = {0};

	*ret_msg = (struct msg){.type = MSG_SPAWN};
	m->handle = handle;
	m->flags = (spec->env_clear ? MSG_SPAWN_ENV_CLEAR : 0) |
		   (stdin_pipe ? MSG_SPAWN_STDIN_PIPE : 0);
	m->cwd = spec->cwd;
	/* Both lists in the one store; views are made when it is complete. */
	uint32_t argc = add_strings(ret_store, spec->argv);
	size_t split = ret_store->len;
	uint32_t envc = add_strings(&env, spec->env);
	buf_append(ret_store, buf_data(&env), env.len);
	buf_done(&env);
	if (ret_store->len > MSG_MAX / 2)
		return err_set(err, -E2BIG,
			       "Argument list too long: arguments and "
			       "environment are %zu bytes, %u at the most",
			       ret_store->len, MSG_MAX / 2);
	m->argv = (struct msg_list){
	    .p = buf_data(ret_store), .n = (uint32_t)split, .count = argc};
	m->env = (struct msg_list){.p = buf_data(ret_store) + split,
				   .n = (uint32_t)(ret_store->len - split),
				   .count = envc};
	return 0;
}
