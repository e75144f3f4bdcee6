/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/ops/ops.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "cmd/provium-agent/ops/proc.h"

#define ARGS_MAX 65536 /* entries of argv or env */

/* NULL, after the answer, when the handle names no process. */
static struct proc *req_proc(const struct req *r, uint64_t id)
{
	struct proc *p = proc_find(server_handles(r->srv), id);

	if (!p)
		req_error(r, EBADF, "process handle %" PRIu64, id);
	return p;
}

/* --- spawn ---------------------------------------------------------------- */

/* The items as C strings; -EINVAL when one has a NUL inside, or too many. */
static int list_strings(struct msg_list list, struct strvec *sv)
{
	struct msg_bytes item;

	if (list.count > ARGS_MAX)
		return -EINVAL;
	while (msg_list_next(&list, &item)) {
		if (memchr(item.p, '\0', item.n))
			return -EINVAL;
		strvec_add(sv, (const char *)item.p);
	}
	return 0;
}

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=") + 1;

	return !strncmp(a, b, n);
}

/* The agent's own environment, but what env defines anew. */
static void inherit_env(struct strvec *sv, const struct strvec *env)
{
	for (char **e = environ; e && *e; e++) {
		size_t i = 0;

		while (i < env->n && !same_name(env->v[i], *e))
			i++;
		if (i == env->n)
			strvec_add(sv, *e);
	}
}

/* argv and envp of a SPAWN; -EINVAL when they make no sense. */
static int spawn_vectors(const struct msg_spawn *q, struct strvec *argv,
			 struct strvec *envp)
{
	struct strvec env = {0};
	int rc = list_strings(q->argv, argv);

	if (!rc)
		rc = list_strings(q->env, &env);
	if (!rc && (!argv->n || !*argv->v[0]))
		rc = -EINVAL;
	for (size_t i = 0; !rc && i < env.n; i++)
		if (!strchr(env.v[i], '='))
			rc = -EINVAL;
	if (!rc && !(q->flags & MSG_SPAWN_ENV_CLEAR))
		inherit_env(envp, &env);
	for (size_t i = 0; i < env.n; i++)
		strvec_add(envp, env.v[i]);
	strvec_done(&env);
	return rc;
}

static void spawn_proc(const struct req *r, const struct strvec *argv,
		       const struct strvec *envp)
{
	static char *const no_env[] = {NULL};
	const struct msg_spawn *q = &r->m->spawn;
	struct msg m = {.type = MSG_ERROR};
	const char *home = server_guest(r->srv)->is_worker ? NULL : "/";
	struct err err;
	struct proc *p = proc_new(
	    r->srv, q->handle, argv->v, envp->v ? envp->v : no_env,
	    *q->cwd ? q->cwd : home, q->flags & MSG_SPAWN_STDIN_PIPE, &err);

	if (p && q->flags & MSG_SPAWN_READ) {
		spool_await_reader(&p->out[0]);
		spool_await_reader(&p->out[1]);
	}
	if (p) {
		req_done(r, p->pid);
		return;
	}
	m.error.errnum = -err.code;
	m.error.text = err.text;
	req_reply(r, &m);
}

void op_spawn(const struct req *r)
{
	const struct msg_spawn *q = &r->m->spawn;
	const uint32_t flags =
	    MSG_SPAWN_ENV_CLEAR | MSG_SPAWN_STDIN_PIPE | MSG_SPAWN_READ;
	struct strvec argv = {0}, envp = {0};
	int rc = handle_check(server_handles(r->srv), q->handle);

	if (!rc && q->flags & ~flags)
		rc = -EINVAL;
	if (!rc)
		rc = spawn_vectors(q, &argv, &envp);
	if (rc < 0)
		req_error(r, -rc, "spawn as handle %" PRIu64, q->handle);
	else
		spawn_proc(r, &argv, &envp);
	strvec_done(&argv);
	strvec_done(&envp);
}

/* --- output --------------------------------------------------------------- */

static void on_reader_gone(void *ctx)
{
	proc_unref(ctx);
}

void op_proc_output(const struct req *r)
{
	const struct msg_proc_output *q = &r->m->proc_output;
	struct proc *p = req_proc(r, q->handle);
	const uint8_t flags = MSG_OUTPUT_UNTIL_EXIT | MSG_OUTPUT_HELD;
	struct spool *sp;

	if (!p)
		return;
	if (q->fd < 1 || q->fd > 2 || q->flags & ~flags) {
		req_error(r, EINVAL, "output fd %u of process %d", q->fd,
			  (int)p->pid);
		return;
	}
	sp = &p->out[q->fd - 1];
	if (sp->base && !(q->flags & MSG_OUTPUT_HELD)) {
		req_error(r, ENODATA,
			  "output fd %u of process %d: its first %" PRIu64
			  " bytes were dropped, the newest %" PRIu64
			  " are kept",
			  q->fd, (int)p->pid, sp->base, sp->end - sp->base);
		return;
	}
	proc_ref(p);
	spool_add_reader(sp, r, q->flags & MSG_OUTPUT_UNTIL_EXIT,
			 on_reader_gone, p);
}

/* --- wait, status, signal ------------------------------------------------- */

struct proc_wait {
	struct task t;
	TAILQ_ENTRY(proc_wait) link;
	struct proc *p;
};

static struct msg exited_msg(const struct proc *p)
{
	struct msg m = {.type = MSG_EXITED};

	m.exited.signalled = p->signalled;
	m.exited.status = p->status;
	m.exited.duration_ns = p->duration_ns;
	return m;
}

static void wait_stop(struct task *t)
{
	struct proc_wait *wt = CONTAINER_OF(t, struct proc_wait, t);
	struct proc *p = wt->p;

	TAILQ_REMOVE(&p->waiters, wt, link);
	free(wt);
	proc_unref(p);
}

static const struct task_ops wait_ops = {.stop = wait_stop};

void proc_tell_exit(struct proc *p)
{
	struct msg m = exited_msg(p);
	struct proc_wait *wt;

	while ((wt = TAILQ_FIRST(&p->waiters)))
		task_end_reply(&wt->t, &m);
}

void op_proc_wait(const struct req *r)
{
	struct proc *p = req_proc(r, r->m->proc_wait.handle);
	struct proc_wait *wt;

	if (!p)
		return;
	if (p->exited) {
		struct msg m = exited_msg(p);
		req_reply(r, &m);
		return;
	}
	wt = mem_zalloc(sizeof(*wt));
	wt->p = p;
	proc_ref(p);
	TAILQ_INSERT_TAIL(&p->waiters, wt, link);
	task_start(&wt->t, r, &wait_ops);
}

void op_proc_status(const struct req *r)
{
	struct proc *p = req_proc(r, r->m->proc_status.handle);

	if (p)
		req_done(r, !p->exited);
}

void op_proc_signal(const struct req *r)
{
	const struct msg_proc_signal *q = &r->m->proc_signal;
	struct proc *p = req_proc(r, q->handle);

	if (!p)
		return;
	if (p->exited)
		errno = ESRCH; /* the pid may be another's by now */
	else if (kill(q->group ? -p->pid : p->pid, q->signo) == 0)
		errno = 0;
	if (errno)
		req_error(r, errno, "signal %d to process %d", q->signo,
			  (int)p->pid);
	else
		req_done(r, 0);
}
