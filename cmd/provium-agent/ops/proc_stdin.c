/* SPDX-License-Identifier: MIT */
/* PROC_STDIN: what goes into a process, one request after the other. */
#include "cmd/provium-agent/ops/proc.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/server.h"
#include "cmd/provium-agent/ops/ops.h"

struct proc_stdin {
	struct task t;
	TAILQ_ENTRY(proc_stdin) link;
	struct proc *p;
	struct buf pending; /* bounded by the channel's credit */
	bool fin;
	bool close;
	int64_t written;
};

/* Writes of the first in the queue. Returns false when it has to wait. */
static bool proc_stdin_write_some(struct proc *p, struct proc_stdin *in)
{
	ssize_t n;

	bool only_closes = in->close && !in->pending.len;

	if (p->stdin_fd < 0 && !only_closes) {
		chan_consumed(in->t.ch, in->pending.len);
		task_end_error(&in->t, EPIPE, "stdin of process %d",
			       (int)p->pid);
		return true;
	}
	if (!in->pending.len) {
		if (!in->fin)
			return false;
		if (in->close)
			proc_stdin_close(p);
		task_end_done(&in->t, in->written);
		return true;
	}
	n = write(p->stdin_fd, buf_data(&in->pending), in->pending.len);
	if (n >= 0) {
		buf_consume(&in->pending, (size_t)n);
		chan_consumed(in->t.ch, (size_t)n);
		in->written += n;
		return true;
	}
	if (errno == EAGAIN) {
		watch_start(p->srv, &p->stdin_w, p->stdin_fd, EPOLLOUT);
		return false;
	}
	if (errno != EINTR) /* EPIPE: nobody reads it any more */
		proc_stdin_close(p);
	return true;
}

static void pump(struct proc *p)
{
	struct proc_stdin *in;

	if (p->stdin_pumping || p->stdin_w.fd >= 0)
		return; /* the outer one goes on; the pipe is full */
	proc_ref(p);
	p->stdin_pumping = true;
	while ((in = TAILQ_FIRST(&p->stdin_queue)) &&
	       proc_stdin_write_some(p, in))
		;
	p->stdin_pumping = false;
	proc_unref(p);
}

static void on_stdin_writable(struct watch *w, uint32_t events)
{
	struct proc *p = CONTAINER_OF(w, struct proc, stdin_w);

	(void)events;
	watch_stop(p->srv, w);
	pump(p);
}

void proc_stdin_init(struct proc *p)
{
	TAILQ_INIT(&p->stdin_queue);
	watch_init(&p->stdin_w, on_stdin_writable);
}

void proc_stdin_close(struct proc *p)
{
	watch_stop(p->srv, &p->stdin_w);
	fd_closep(&p->stdin_fd);
}

void proc_stdin_exited(struct proc *p)
{
	struct pollfd pfd = {.fd = p->stdin_fd};

	/* POLLERR: no reader is left (poll(2)). A request that is writing gets
	 * the error from its own write. */
	if (p->stdin_fd >= 0 && TAILQ_EMPTY(&p->stdin_queue) &&
	    poll(&pfd, 1, 0) > 0 && pfd.revents & POLLERR)
		proc_stdin_close(p);
}

static void stdin_data(struct task *t, const uint8_t *bytes, size_t n,
		       bool more)
{
	struct proc_stdin *in = CONTAINER_OF(t, struct proc_stdin, t);

	(void)more;
	buf_append(&in->pending, bytes, n);
	pump(in->p);
}

static void stdin_fin(struct task *t)
{
	struct proc_stdin *in = CONTAINER_OF(t, struct proc_stdin, t);

	in->fin = true;
	pump(in->p);
}

static void stdin_stop(struct task *t)
{
	struct proc_stdin *in = CONTAINER_OF(t, struct proc_stdin, t);
	struct proc *p = in->p;

	TAILQ_REMOVE(&p->stdin_queue, in, link);
	buf_done(&in->pending);
	free(in);
	pump(p);
	proc_unref(p);
}

static const struct task_ops stdin_ops = {
    .data = stdin_data,
    .fin = stdin_fin,
    .stop = stdin_stop,
};

void op_proc_stdin(const struct req *r)
{
	const struct msg_proc_stdin *q = &r->m->proc_stdin;
	struct proc *p = proc_find(server_handles(r->srv), q->handle);
	struct proc_stdin *in;

	if (!p) {
		req_error(r, EBADF, "process handle %" PRIu64, q->handle);
		return;
	}
	in = mem_zalloc(sizeof(*in));
	in->p = p;
	in->close = q->close;
	proc_ref(p);
	TAILQ_INSERT_TAIL(&p->stdin_queue, in, link);
	task_start(&in->t, r, &stdin_ops);
	pump(p);
}
