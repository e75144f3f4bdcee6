/* SPDX-License-Identifier: MIT */
#include "tests/unit/streams/lib_fake_agent.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/mem.h"

static void flush(struct fake_agent *a)
{
	bool more = false;

	while (a->fd >= 0 && !a->is_mute &&
	       session_output(a->session, &a->out, FRAME_PAYLOAD_MAX)) {
		ssize_t n =
		    send(a->fd, buf_data(&a->out), a->out.len, MSG_NOSIGNAL);
		if (n < 0) {
			more = errno == EAGAIN;
			break;
		}
		buf_consume(&a->out, (size_t)n);
	}
	if (a->watch)
		watch_set(a->watch, more ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* What is read goes out with it; else when the loop comes to it. */
static void flush_soon(struct fake_agent *a)
{
	if (a->watch && !a->is_reading)
		watch_set(a->watch, LOOP_READ | LOOP_WRITE);
}

static void drop(struct fake_agent *a)
{
	a->watch = watch_free(a->watch);
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

static void on_ready(void *ctx, int fd, unsigned ready)
{
	struct fake_agent *a = ctx;
	size_t room;

	if (ready == LOOP_READ) {
		uint8_t *p = session_input_room(a->session, &room);
		ssize_t n = read(fd, p, room);
		if (n <= 0) {
			drop(a);
			return;
		}
		a->reads++;
		a->raw_bytes += (uint64_t)n;
		a->is_reading = true;
		session_input(a->session, (size_t)n, NULL);
		a->is_reading = false;
	}
	flush(a);
}

static void on_established(void *ctx, const struct hello *peer)
{
	struct fake_agent *a = ctx;

	(void)peer;
	a->hellos++;
}

static void on_message(void *ctx, struct chan *ch, const uint8_t *p, size_t n)
{
	struct fake_agent *a = ctx;
	struct msg m;

	if (msg_decode(&m, p, n) < 0)
		abort();
	a->requests++;
	a->last = m.type;
	if (a->script->request)
		a->script->request(a, ch, &m);
}

static void on_data(void *ctx, struct chan *ch, const uint8_t *p, size_t n,
		    bool more)
{
	struct fake_agent *a = ctx;

	(void)more;
	a->data_bytes += n;
	if (a->script->data)
		a->script->data(a, ch, p, n);
	else
		chan_consumed(ch, n);
}

static void on_writable(void *ctx, struct chan *ch)
{
	struct fake_agent *a = ctx;

	if (a->script->writable)
		a->script->writable(a, ch);
}

static void on_finished(void *ctx, struct chan *ch)
{
	struct fake_agent *a = ctx;

	if (a->script->finished)
		a->script->finished(a, ch);
}

static void on_closed(void *ctx, struct chan *ch, int reason)
{
	struct fake_agent *a = ctx;

	a->resets += reason == -ECANCELED;
	if (a->script->closed)
		a->script->closed(a, ch, reason);
}

static const struct session_ops ops = {
    .established = on_established,
    .message = on_message,
    .data = on_data,
    .writable = on_writable,
    .finished = on_finished,
    .closed = on_closed,
};

static struct fake_agent *agent_on(struct loop *l, int take_fd,
				   const struct fake_script *script, void *ctx)
{
	struct fake_agent *a = mem_zalloc(sizeof(*a));

	a->loop = l;
	a->fd = take_fd;
	a->script = script;
	a->ctx = ctx;
	a->session = session_new(SESSION_AGENT, FAKE_INSTANCE, &ops, a);
	a->watch = watch_new(l, take_fd, on_ready, a);
	watch_set(a->watch, LOOP_READ);
	return a;
}

static void make_pair(int fd[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		       fd) < 0)
		abort();
}

struct fake_agent *fake_agent_new(struct loop *l,
				  const struct fake_script *script, void *ctx,
				  int *ret_fd)
{
	int fd[2];

	make_pair(fd);
	*ret_fd = fd[0];
	return agent_on(l, fd[1], script, ctx);
}

struct fake_agent *fake_agent_free(struct fake_agent *a)
{
	if (!a)
		return NULL;
	drop(a);
	session_free(a->session);
	buf_done(&a->out);
	free(a);
	return NULL;
}

pid_t fake_agent_fork(const struct fake_script *script, void *ctx, int *ret_fd)
{
	int fd[2];

	make_pair(fd);
	*ret_fd = fd[0];
	pid_t pid = fork();
	if (pid) {
		close(fd[1]);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(fd[0]);
	struct loop *l = loop_new(NULL);
	struct fake_agent *a = agent_on(l, fd[1], script, ctx);
	while (a->watch)
		loop_turn(l);
	_exit(0);
}

void fake_reply(struct fake_agent *a, struct chan *ch, const struct msg *m,
		bool fin)
{
	struct buf b = {0};

	if (msg_encode(m, &b) < 0)
		abort();
	chan_send(ch, buf_data(&b), b.len, fin);
	buf_done(&b);
	flush_soon(a);
}

void fake_done(struct fake_agent *a, struct chan *ch, int64_t value, bool fin)
{
	const struct msg m = {.type = MSG_DONE, .done.value = value};

	fake_reply(a, ch, &m, fin);
}

void fake_error(struct fake_agent *a, struct chan *ch, int errnum,
		const char *text)
{
	const struct msg m = {.type = MSG_ERROR,
			      .error = {.errnum = errnum, .text = text}};

	fake_reply(a, ch, &m, true);
}

size_t fake_data(struct fake_agent *a, struct chan *ch, const void *p, size_t n,
		 bool fin)
{
	size_t taken = chan_write(ch, p, n, fin);

	flush_soon(a);
	return taken;
}

void fake_consumed(struct fake_agent *a, struct chan *ch, size_t n)
{
	chan_consumed(ch, n);
	flush_soon(a);
}

void fake_raw(struct fake_agent *a, const void *p, size_t n)
{
	flush(a);
	if (send(a->fd, p, n, MSG_NOSIGNAL) != (ssize_t)n)
		abort();
}

void fake_hang_up(struct fake_agent *a)
{
	flush(a);
	drop(a);
}
