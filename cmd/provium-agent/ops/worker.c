/* SPDX-License-Identifier: MIT */
/*
 * Workers: forks of the agent, each of which serves a session of its own in
 * its one thread, over a socketpair. The bytes of that session travel in a
 * channel of ours, which a link task moves both ways without looking at them.
 *
 * A worker that sits in a system call reads nothing: its socket fills, then
 * the link returns no credit, and the host's requests wait, for this worker
 * only. A worker outlives its link, and a new one begins in the middle of
 * anything; the HELLO with which a session starts sorts that out.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/watch.h"
#include "cmd/provium-agent/ops/ops.h"
#include "cmd/provium-agent/ops/proc.h"

/* --- the worker's side ---------------------------------------------------- */

struct start {
	int sock;
	_Atomic uint32_t *abandoned;
};

/* Our caller's server is a copy that nobody serves. */
static void run_worker(struct server *parent, void *ctx)
{
	struct guest g = *server_guest(parent);
	const struct start *from = ctx;
	struct server *s;

	/* In a call that blocks it would not see that its socket has ended. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	guest_become_worker(&g, from->sock);
	g.abandoned = from->abandoned;
	s = server_new(server_kind(parent), &g);
	server_set_port(s, from->sock, EOF_EXITS);
	server_run(s);
	_exit(EXIT_SUCCESS);
}

void op_worker_spawn(const struct req *r)
{
	uint64_t handle = r->m->worker_spawn.handle;
	int rc = handle_check(server_handles(r->srv), handle);
	CLEANUP(fd_closep) int ours = -1;
	CLEANUP(fd_closep) int theirs = -1;
	int pair[2] = {-1, -1};
	struct start from;
	struct err err;
	struct proc *p;

	if (!rc && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		rc = -errno;
	if (rc < 0) {
		req_error(r, -rc, "worker as handle %" PRIu64, handle);
		return;
	}
	ours = guest_fd_up(pair[0]);
	theirs = guest_fd_up(pair[1]);
	from.sock = theirs;
	from.abandoned = mmap(NULL, ABANDONED_SIZE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (from.abandoned == MAP_FAILED) {
		req_error(r, errno, "worker");
		return;
	}
	p = proc_fork(r->srv, handle, run_worker, &from, &err);
	if (!p) {
		munmap(from.abandoned, ABANDONED_SIZE);
		req_error(r, -err.code, "worker");
		return;
	}
	fcntl(ours, F_SETFL, O_RDWR | O_NONBLOCK);
	p->worker_fd = TAKE_FD(ours);
	p->abandoned = from.abandoned;
	req_done(r, p->pid);
}

void op_worker_abandon(const struct req *r)
{
	const struct msg_worker_abandon *q = &r->m->worker_abandon;
	struct proc *p = proc_find(server_handles(r->srv), q->handle);

	if (!p || !p->abandoned) {
		req_error(r, EBADF, "worker handle %" PRIu64, q->handle);
		return;
	}
	p->abandoned[q->channel % GUEST_ABANDONED] = q->channel;
	if (!p->exited)
		kill(p->pid, MSG_SIGNAL_INTERRUPT);
	req_done(r, 0);
}

/* --- the link ------------------------------------------------------------- */

struct worker_link {
	struct task t;
	struct watch w;
	struct proc *p;
	struct buf pending; /* for the worker, which does not read */
};

static void worker_flush(struct worker_link *l)
{
	while (l->pending.len) {
		ssize_t n = send(l->p->worker_fd, buf_data(&l->pending),
				 l->pending.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) /* it is gone, as reading will tell */
			n = (ssize_t)l->pending.len;
		buf_consume(&l->pending, (size_t)n);
		chan_consumed(l->t.ch, (size_t)n);
	}
}

static void link_data(struct task *t, const uint8_t *p, size_t n, bool more)
{
	struct worker_link *l = CONTAINER_OF(t, struct worker_link, t);

	(void)more;
	buf_append(&l->pending, p, n);
	worker_flush(l);
}

static void link_step(struct task *t)
{
	struct worker_link *l = CONTAINER_OF(t, struct worker_link, t);
	uint8_t *piece = server_scratch(t->srv);
	ssize_t n = read(l->p->worker_fd, piece, task_room(t));

	if (n > 0)
		task_write_in_place(t, piece, (size_t)n);
	else if (n < 0 && errno == EAGAIN)
		task_sleep(t);
	else if (n == 0 || errno != EINTR)
		task_end_fin(t);
}

/* Edge-triggered: step reads until there is nothing. */
static void link_on_event(struct watch *w, uint32_t events)
{
	struct worker_link *l = CONTAINER_OF(w, struct worker_link, w);

	if (events & EPOLLOUT)
		worker_flush(l);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		task_wake(&l->t);
}

static void link_stop(struct task *t)
{
	struct worker_link *l = CONTAINER_OF(t, struct worker_link, t);
	struct proc *p = l->p;

	watch_stop(t->srv, &l->w);
	p->link_task = NULL;
	buf_done(&l->pending);
	free(l);
	proc_unref(p);
}

static const struct task_ops link_ops = {
    .data = link_data,
    .step = link_step,
    .stop = link_stop,
};

void op_worker_link(const struct req *r)
{
	uint64_t handle = r->m->worker_link.handle;
	struct proc *p = proc_find(server_handles(r->srv), handle);
	struct worker_link *l;
	int rc;

	if (!p || p->worker_fd < 0) {
		req_error(r, EBADF, "worker handle %" PRIu64, handle);
		return;
	}
	if (p->link_task)
		task_end_error(&p->link_task->t, ECONNRESET, "worker %d",
			       (int)p->pid);
	l = mem_zalloc(sizeof(*l));
	l->p = p;
	p->link_task = l;
	proc_ref(p);
	watch_init(&l->w, link_on_event);
	task_start(&l->t, r, &link_ops);
	task_send_done(&l->t, p->pid);
	rc = watch_start(r->srv, &l->w, p->worker_fd,
			 EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	if (rc < 0)
		task_end_error(&l->t, -rc, "worker %d", (int)p->pid);
	else
		task_wake(&l->t);
}
