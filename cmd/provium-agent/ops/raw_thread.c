/* SPDX-License-Identifier: MIT */
/*
 * System calls on threads: one that blocks leaves the loop alone. A thread
 * runs one call and tells so by writing the call's address into a pipe that
 * the loop watches; whoever reads it there owns the call.
 *
 * A request that is given up interrupts its call, by one signal, whose handler
 * leaves the call: so it makes no difference whether the thread was about to
 * enter it or sat in it. Where a test had the signal blocked, the thread lives
 * until its call returns, counted, and nobody waits.
 *
 * A worker has one thread, and sits in the call itself: the agent, which is
 * told of what is given up, says so in memory that both share, and interrupts.
 *
 * The threads exist only while their calls do: between them the agent has one
 * thread, as some system calls of tests demand.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/watch.h"
#include "cmd/provium-agent/ops/raw_call.h"

/* A system call and its wrapper need little. */
#define STACK_SIZE (64u << 10)
#define GIVEN_UP   1u

/* A way out of a call, which is given up when *slot holds mark. */
struct exit_way {
	sigjmp_buf env;
	const _Atomic uint32_t *slot;
	uint32_t mark;
};

struct raw_thread {
	struct task t;
	struct raw_call call;
	pthread_t thread;
	int done_fd;
	_Atomic uint32_t abandoned; /* GIVEN_UP: the request is over */
	struct exit_way way;
};

struct raw_threads {
	struct server *srv;
	struct watch w;
	int done_rd;
	int done_wr;
	unsigned n;
};

/* Of the call that the thread that looks at it is running. */
static _Thread_local struct exit_way *_Atomic running;

static bool is_given_up(const struct exit_way *way)
{
	return *way->slot == way->mark;
}

static void raw_thread_on_interrupt(int signo)
{
	struct exit_way *way = running;

	(void)signo;
	if (way && is_given_up(way))
		siglongjmp(way->env, 1);
}

/* An interrupt that came before running was set is seen in the slot, one that
 * comes later by the handler. */
static void run_call(struct raw_call *c, struct exit_way *way)
{
	if (sigsetjmp(way->env, 1) == 0) {
		running = way;
		if (!is_given_up(way))
			raw_call_run(c);
	}
	running = NULL;
}

bool raw_call_run_for(struct raw_call *c, const struct guest *g,
		      uint32_t channel)
{
	struct exit_way way = {.mark = channel};

	if (!g->abandoned) {
		raw_call_run(c);
		return true;
	}
	way.slot = &g->abandoned[channel % GUEST_ABANDONED];
	run_call(c, &way);
	return !is_given_up(&way);
}

static void *raw_thread_run_thread(void *arg)
{
	struct raw_thread *rt = arg;
	int fd = rt->done_fd;
	ssize_t n;

	run_call(&rt->call, &rt->way);
	/* A pointer at a time is atomic, and the pipe holds all there are. */
	do
		n = write(fd, &rt, sizeof(rt));
	while (n < 0 && errno == EINTR);
	return NULL;
}

static void free_thread(struct raw_thread *rt)
{
	free(rt->call.block);
	free(rt);
}

static void thread_done(struct raw_threads *rts, struct raw_thread *rt)
{
	struct buf items = {0};

	pthread_join(rt->thread, NULL);
	rts->n--;
	if (rt->abandoned) {
		free_thread(rt);
		return;
	}
	rt->abandoned = GIVEN_UP; /* stop() frees it */
	struct msg m = raw_call_reply(&rt->call, &items);
	task_end_reply(&rt->t, &m);
	buf_done(&items);
	free_thread(rt);
}

static void on_done(struct watch *w, uint32_t events)
{
	struct raw_threads *rts = CONTAINER_OF(w, struct raw_threads, w);
	struct raw_thread *rt;

	(void)events;
	while (read(rts->done_rd, &rt, sizeof(rt)) == (ssize_t)sizeof(rt))
		thread_done(rts, rt);
}

/* The request is over, the thread may not be. */
static void thread_stop(struct task *t)
{
	struct raw_thread *rt = CONTAINER_OF(t, struct raw_thread, t);

	if (rt->abandoned)
		return;
	rt->abandoned = GIVEN_UP;
	pthread_kill(rt->thread, MSG_SIGNAL_INTERRUPT);
}

static const struct task_ops thread_ops = {.stop = thread_stop};

static int raw_thread_start(struct raw_thread *rt)
{
	pthread_attr_t attr;
	int rc = pthread_attr_init(&attr);

	if (rc)
		return rc;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	rc = pthread_create(&rt->thread, &attr, raw_thread_run_thread, rt);
	pthread_attr_destroy(&attr);
	return rc;
}

void raw_call_start(const struct req *r, struct raw_call *c)
{
	struct raw_threads *rts = server_state(r->srv, &raw_threads_service);
	struct raw_thread *rt;
	int rc;

	if (rts->n == RAW_THREADS_MAX) {
		req_error(r, EAGAIN, "syscall %ld: %u are running", c->nr,
			  RAW_THREADS_MAX);
		return;
	}
	rt = mem_zalloc(sizeof(*rt));
	rt->call = *c;
	rt->done_fd = rts->done_wr;
	rt->way.slot = &rt->abandoned;
	rt->way.mark = GIVEN_UP;
	c->block = NULL;
	rc = raw_thread_start(rt);
	if (rc) {
		req_error(r, rc, "syscall %ld: thread", c->nr);
		free_thread(rt);
		return;
	}
	rts->n++;
	task_start(&rt->t, r, &thread_ops);
}

static void *raw_threads_new(struct server *s)
{
	/* Without SA_RESTART: a call that is not given up ends with EINTR. */
	const struct sigaction interrupt = {.sa_handler =
						raw_thread_on_interrupt};
	struct raw_threads *rts = mem_zalloc(sizeof(*rts));
	int fds[2] = {-1, -1};

	rts->srv = s;
	sigaction(MSG_SIGNAL_INTERRUPT, &interrupt, NULL);
	watch_init(&rts->w, on_done);
	if (pipe2(fds, O_CLOEXEC) == 0) {
		rts->done_rd = guest_fd_up(fds[0]);
		rts->done_wr = guest_fd_up(fds[1]);
		fcntl(rts->done_rd, F_SETFL, O_RDONLY | O_NONBLOCK);
		watch_start(s, &rts->w, rts->done_rd, EPOLLIN);
	} else {
		rts->done_rd = rts->done_wr = -1;
	}
	return rts;
}

/* What their threads still use stays: the process is about to end. */
static void raw_threads_free(void *state)
{
	struct raw_threads *rts = state;

	on_done(&rts->w, 0);
	watch_stop(rts->srv, &rts->w);
	if (!rts->n) {
		fd_closep(&rts->done_rd);
		fd_closep(&rts->done_wr);
	}
	free(rts);
}

const struct service raw_threads_service = {raw_threads_new, raw_threads_free};
