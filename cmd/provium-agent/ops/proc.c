/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/ops/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/server.h"
#include "cmd/provium-agent/io/spawn.h"

LIST_HEAD(proc_list, proc);

struct procs {
	struct server *srv;
	struct watch w; /* SIGCHLD */
	int signal_fd;
	struct spool_budget budget;
	struct proc_list running;
	struct proc_list exited;
};

static struct procs *procs_of(struct server *s)
{
	return server_state(s, &procs_service);
}

void proc_ref(struct proc *p)
{
	p->refs++;
}

static void proc_free(struct proc *p)
{
	spool_done(&p->out[0]);
	spool_done(&p->out[1]);
	proc_stdin_close(p);
	fd_closep(&p->worker_fd);
	if (p->abandoned)
		munmap(p->abandoned, ABANDONED_SIZE);
	LIST_REMOVE(p, link);
	free(p);
}

void proc_unref(struct proc *p)
{
	if (!--p->refs)
		proc_free(p);
}

/* --- the end of one ------------------------------------------------------- */

static void proc_exited(struct proc *p, int wstatus)
{
	struct procs *ps = procs_of(p->srv);

	p->duration_ns = clock_now_ns() - p->start_ns;
	p->exited = true;
	p->signalled = WIFSIGNALED(wstatus);
	p->status = p->signalled ? WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
	LIST_REMOVE(p, link);
	LIST_INSERT_HEAD(&ps->exited, p, link);
	spool_mark_exit(&p->out[0]);
	spool_mark_exit(&p->out[1]);
	proc_stdin_exited(p);
	proc_tell_exit(p);
	proc_unref(p);
}

/*
 * Only ours are waited for: a test may fork by a raw system call, and wait
 * for that child in the same way. SIGCHLDs coalesce, so all are looked at.
 */
static void on_sigchld(struct watch *w, uint32_t events)
{
	struct procs *ps = CONTAINER_OF(w, struct procs, w);
	struct signalfd_siginfo si[8];
	struct proc *next;
	ssize_t n;

	(void)events;
	do
		n = read(w->fd, si, sizeof(si));
	while (n == (ssize_t)sizeof(si));
	for (struct proc *p = LIST_FIRST(&ps->running); p; p = next) {
		int wstatus = 0;

		next = LIST_NEXT(p, link);
		if (waitpid(p->pid, &wstatus, WNOHANG) != 0)
			proc_exited(p, wstatus);
	}
}

static void on_pipe_eof(struct spool *sp)
{
	struct proc *p = sp->owner;

	proc_unref(p);
}

/* With all it started; a worker that has not run yet leads no group. */
static void kill_group(const struct proc *p)
{
	if (!p->exited && kill(-p->pid, SIGKILL) < 0)
		kill(p->pid, SIGKILL);
}

/* Kills its group if it still runs. */
static void proc_release(struct handle *h)
{
	struct proc *p = CONTAINER_OF(h, struct proc, h);

	kill_group(p);
	spool_abandon(&p->out[0]);
	spool_abandon(&p->out[1]);
	proc_unref(p);
}

struct proc *proc_find(const struct handle_table *t, uint64_t id)
{
	struct handle *h = handle_find(t, id);

	return h && h->release == proc_release ? CONTAINER_OF(h, struct proc, h)
					       : NULL;
}

/* --- the start of one ----------------------------------------------------- */

/* Our end is non-blocking, the child's is not. */
static int proc_make_pipe(int *ours, int *theirs, bool we_write)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ours = fds[we_write];
	*theirs = fds[!we_write];
	fcntl(*ours, F_SETFL, (we_write ? O_WRONLY : O_RDONLY) | O_NONBLOCK);
	return 0;
}

struct pipes {
	int ours[3];
	int theirs[3]; /* theirs[0] may be borrowed: /dev/null */
};

static void pipes_done(struct pipes *pp, int null_fd)
{
	if (pp->theirs[0] == null_fd)
		pp->theirs[0] = -1;
	for (int i = 0; i < 3; i++) {
		fd_closep(&pp->ours[i]);
		fd_closep(&pp->theirs[i]);
	}
}

static int pipes_open(struct pipes *pp, int null_fd, bool stdin_pipe)
{
	int rc = 0;

	*pp = (struct pipes){{-1, -1, -1}, {-1, -1, -1}};
	if (stdin_pipe)
		rc = proc_make_pipe(&pp->ours[0], &pp->theirs[0], true);
	else
		pp->theirs[0] = null_fd;
	for (int i = 1; !rc && i < 3; i++)
		rc = proc_make_pipe(&pp->ours[i], &pp->theirs[i], false);
	return rc;
}

static struct proc *proc_wrap(struct server *s, uint64_t handle,
			      struct pipes *pp)
{
	struct procs *ps = procs_of(s);
	struct proc *p = mem_zalloc(sizeof(*p));

	p->srv = s;
	p->worker_fd = -1;
	p->refs = 4; /* the handle, the process, two pipes */
	TAILQ_INIT(&p->waiters);
	p->stdin_fd = TAKE_FD(pp->ours[0]);
	proc_stdin_init(p);
	for (int i = 0; i < 2; i++) {
		spool_init(&p->out[i], s, &ps->budget, TAKE_FD(pp->ours[i + 1]),
			   on_pipe_eof);
		p->out[i].owner = p;
	}
	LIST_INSERT_HEAD(&ps->running, p, link);
	handle_add(server_handles(s), &p->h, handle, proc_release);
	return p;
}

struct proc *proc_new(struct server *s, uint64_t handle, char *const *argv,
		      char *const *envp, const char *cwd, bool stdin_pipe,
		      struct err *err)
{
	struct guest *g = server_guest(s);
	struct proc *p = NULL;
	struct pipes pp;
	int rc = pipes_open(&pp, g->null_fd, stdin_pipe);

	if (rc < 0) {
		err_set(err, rc, "pipe: %s", strerror(-rc));
	} else {
		struct spawn sp = {
		    .guest = g,
		    .argv = argv,
		    .envp = envp,
		    .cwd = cwd,
		    .fds = {pp.theirs[0], pp.theirs[1], pp.theirs[2]},
		};
		int64_t start_ns = clock_now_ns();
		pid_t pid = spawn_run(&sp, err);
		if (pid > 0) {
			p = proc_wrap(s, handle, &pp);
			p->pid = pid;
			p->start_ns = start_ns;
		}
	}
	pipes_done(&pp, g->null_fd);
	return p;
}

struct proc *proc_fork(struct server *s, uint64_t handle,
		       void (*run)(struct server *s, void *ctx), void *ctx,
		       struct err *err)
{
	struct guest *g = server_guest(s);
	struct proc *p = NULL;
	struct pipes pp;
	int rc = pipes_open(&pp, g->null_fd, false);
	pid_t pid = rc < 0 ? -1 : fork();

	if (pid == 0) {
		for (int i = 0; i < 3; i++)
			dup2(pp.theirs[i], i);
		run(s, ctx);
		_exit(EXIT_FAILURE);
	}
	if (rc < 0) {
		err_set(err, rc, "pipe: %s", strerror(-rc));
	} else if (pid < 0) {
		err_set(err, -errno, "fork: %s", strerror(errno));
	} else {
		p = proc_wrap(s, handle, &pp);
		p->pid = pid;
		p->start_ns = clock_now_ns();
	}
	pipes_done(&pp, g->null_fd);
	return p;
}

/* --- all of them ---------------------------------------------------------- */

static void *procs_new(struct server *s)
{
	struct procs *ps = mem_zalloc(sizeof(*ps));
	sigset_t chld;

	ps->srv = s;
	spool_budget_init(&ps->budget, server_guest(s)->is_worker);
	watch_init(&ps->w, on_sigchld);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	ps->signal_fd =
	    guest_fd_up(signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK));
	if (ps->signal_fd >= 0)
		watch_start(s, &ps->w, ps->signal_fd, EPOLLIN);
	return ps;
}

static void free_list(struct proc *p)
{
	while (p) {
		struct proc *next = LIST_NEXT(p, link);
		kill_group(p);
		proc_free(p);
		p = next;
	}
}

static void procs_free(void *state)
{
	struct procs *ps = state;

	free_list(LIST_FIRST(&ps->running));
	free_list(LIST_FIRST(&ps->exited));
	watch_stop(ps->srv, &ps->w);
	fd_closep(&ps->signal_fd);
	free(ps);
}

const struct service procs_service = {procs_new, procs_free};
