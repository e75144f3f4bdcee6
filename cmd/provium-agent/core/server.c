/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * One thread, one epoll loop. Bytes from the port go into the session, which
 * calls back with channels and messages; the first message of a channel is
 * a request and goes to its kind (struct server_kind). Most requests are
 * answered inside that call. The others leave a task on the channel (its ctx),
 * which lives until it says its last word or the channel closes.
 *
 * Sending is pulled, not pushed: a task that has something to send is only
 * put into a queue, and the loop lets the first one write one piece each time
 * the session has little left to send. So what is queued is bounded by a
 * piece or two, whatever the number of channels, and all get their turn. A
 * task whose channel is out of credit leaves the queue until the host has
 * read. Messages are not pulled; when the host does not read its answers,
 * the loop stops reading its requests (QUEUED_HIGH).
 *
 * The port is edge-triggered: a virtio port without a host reports HUP for
 * as long as that lasts, and only its edges are news (drivers/char/
 * virtio_console.c, port_fops_poll(): without a host it is also readable,
 * read() gives 0, and writes give EAGAIN).
 *
 * Ending a channel from our side detaches the task first; whatever the
 * session still says about that channel meets a NULL ctx.
 */
#include "cmd/provium-agent/core/server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/handle.h"
#include "cmd/provium-agent/core/server_impl.h"

#define QUEUED_LOW  (64u << 10) /* below it tasks are asked for more */
#define QUEUED_HIGH (8u << 20)	/* above it requests are not read */
#define LINGER_MS   1000	/* for the last answers to leave */
#define TURNS_MAX   32		/* reads or writes before other fds */

/* The ctx of a channel whose first message is still to come. */
static const char fresh_channel;

/* Lets the first task awake write a piece. False when none is. */
static bool step_one(struct server *s)
{
	struct task *t = TAILQ_FIRST(&s->awake);

	if (!t)
		return false;
	if (!chan_room(t->ch)) {
		/* A refused byte asks for the writable callback. */
		task_sleep(t);
		chan_write(t->ch, "", 1, false);
		return true;
	}
	TAILQ_REMOVE(&s->awake, t, link);
	TAILQ_INSERT_TAIL(&s->awake, t, link);
	t->ops->step(t);
	return true;
}

/* --- what the session says ------------------------------------------------ */

static void on_opened(void *ctx, struct chan *ch)
{
	(void)ctx;
	chan_set_ctx(ch, (void *)(uintptr_t)&fresh_channel);
}

/* The task of a channel, or NULL when it has none (any more, or yet). */
static struct task *chan_task(struct chan *ch)
{
	void *ctx = chan_ctx(ch);

	return ctx == &fresh_channel ? NULL : ctx;
}

static void server_on_message(void *ctx, struct chan *ch, const uint8_t *p,
			      size_t n)
{
	struct server *s = ctx;
	struct req r = {.srv = s, .ch = ch};
	struct task *t = chan_task(ch);
	struct msg m;

	if (t) {
		task_end_error(t, EBADMSG, "a second message on a channel");
		return;
	}
	if (!chan_ctx(ch))
		return;
	chan_set_ctx(ch, NULL);
	r.m = &m;
	if (n >= 2 && !msg_is_request(p[0] | (unsigned)p[1] << 8))
		req_error(&r, ENOSYS, "request %u", p[0] | (unsigned)p[1] << 8);
	else if (msg_decode(&m, p, n) < 0)
		req_error(&r, EBADMSG, "cannot decode a request of %zu bytes",
			  n);
	else
		s->kind->dispatch(&r);
}

static void server_on_data(void *ctx, struct chan *ch, const uint8_t *p,
			   size_t n, bool more)
{
	struct task *t = chan_task(ch);

	(void)ctx;
	if (t && t->ops->data)
		t->ops->data(t, p, n, more);
	else
		chan_consumed(ch, n);
}

static void server_on_writable(void *ctx, struct chan *ch)
{
	struct task *t = chan_task(ch);

	(void)ctx;
	if (t && t->ops->step)
		task_wake(t);
}

static void server_on_finished(void *ctx, struct chan *ch)
{
	struct task *t = chan_task(ch);

	(void)ctx;
	if (t && t->ops->fin)
		t->ops->fin(t);
}

static void server_on_closed(void *ctx, struct chan *ch, int reason)
{
	struct task *t = chan_task(ch);

	(void)ctx;
	(void)reason;
	if (!t)
		return;
	task_detach(t);
	t->ops->stop(t);
}

/* The numbers of channels begin anew, and what was given up was another's. */
static void server_on_established(void *ctx, const struct hello *peer)
{
	_Atomic uint32_t *abandoned = ((struct server *)ctx)->guest->abandoned;

	(void)peer;
	for (size_t i = 0; abandoned && i < GUEST_ABANDONED; i++)
		abandoned[i] = 0;
}

static const struct session_ops session_ops;

/* --- the port ------------------------------------------------------------- */

static void port_ended(struct server *s)
{
	s->rx_ready = s->tx_ready = false;
	if (s->eof == EOF_WAITS)
		return; /* the next edge tells when the host is back */
	if (s->eof == EOF_EXITS) {
		s->ended = true;
		return;
	}
	int fd = s->port.fd;
	watch_stop(s, &s->port);
	close(fd);
}

static void port_read(struct server *s)
{
	struct err err;
	size_t room;
	uint8_t *p = session_input_room(s->session, &room);
	ssize_t n = read(s->port.fd, p, room);

	if (n < 0 && errno == EINTR)
		return;
	if (n < 0 && errno == EAGAIN) {
		s->rx_ready = false;
		return;
	}
	if (n <= 0) {
		port_ended(s);
		return;
	}
	if (session_input(s->session, (size_t)n, &err) < 0)
		fprintf(stderr, "provium-agent: %s\n", err.text);
}

bool server_may_send_now(const struct server *s)
{
	return s->tx_ready && !s->out.len;
}

/* An error is met again, and dealt with, when the rest is written. */
void server_send_now(struct server *s, const uint8_t *p, size_t n)
{
	s->sent_now = true;
	while (n) {
		/* A virtio port takes up to 32 KiB at a time. */
		ssize_t done = write(s->port.fd, p, n);

		if (done <= 0)
			break;
		p += done;
		n -= (size_t)done;
	}
	buf_append(&s->out, p, n);
}

/* Brings bytes from tasks and session into s->out. */
static void port_fill(struct server *s)
{
	s->sent_now = false;
	while (s->queued < QUEUED_LOW && !s->shutting_down && step_one(s))
		;
	if (!s->out.len)
		session_output(s->session, &s->out, FRAME_PAYLOAD_MAX);
	if (!session_has_output(s->session))
		s->queued = 0;
}

static void port_write(struct server *s)
{
	for (int turn = 0; s->tx_ready && turn < TURNS_MAX; turn++) {
		port_fill(s);
		if (!s->out.len && s->sent_now)
			continue;
		if (!s->out.len)
			return;
		ssize_t n = write(s->port.fd, buf_data(&s->out), s->out.len);
		if (n >= 0) {
			buf_consume(&s->out, (size_t)n);
			continue;
		}
		if (errno == EAGAIN)
			s->tx_ready = false;
		else if (errno != EINTR)
			port_ended(s);
	}
}

static bool may_read(const struct server *s)
{
	return s->rx_ready && !s->shutting_down &&
	       (s->tx_ready || s->queued < QUEUED_HIGH);
}

static bool has_output(const struct server *s)
{
	return s->out.len || session_has_output(s->session) ||
	       (!s->shutting_down && !TAILQ_EMPTY(&s->awake));
}

/* Answers go out before the next bytes are read: one round trip is one read
 * and one write. */
static void port_turn(struct server *s)
{
	port_write(s);
	for (int turn = 0; turn < TURNS_MAX && may_read(s); turn++) {
		port_read(s);
		port_write(s);
	}
}

static void server_on_port(struct watch *w, uint32_t events)
{
	struct server *s = CONTAINER_OF(w, struct server, port);

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		s->rx_ready = true;
	if (events & (EPOLLOUT | EPOLLERR))
		s->tx_ready = true;
}

void server_set_port(struct server *s, int take_fd, enum server_eof eof)
{
	int old = s->port.fd;
	int fd = guest_fd_up(take_fd);
	int flags = fcntl(fd, F_GETFL);

	if (old >= 0) {
		watch_stop(s, &s->port);
		close(old);
	}
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	s->eof = eof;
	s->rx_ready = s->tx_ready = true;
	/* The tail of a frame for the old peer; a HELLO sorts out the rest. */
	buf_reset(&s->out);
	if (watch_start(s, &s->port, fd,
			EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
		close(fd);
		port_ended(s);
	}
}

static void server_on_listener(struct watch *w, uint32_t events)
{
	struct server *s = CONTAINER_OF(w, struct server, listener);
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		server_set_port(s, fd, EOF_LISTENS);
}

void server_set_listener(struct server *s, int take_fd)
{
	int fd = guest_fd_up(take_fd);

	if (watch_start(s, &s->listener, fd, EPOLLIN) < 0) {
		close(fd);
		s->ended = true;
	}
}

/* --- life ------------------------------------------------------------------*/

static uint64_t random_instance(void)
{
	uint64_t v = 0;

	/* Early boot has no entropy yet: the clock is better than waiting. */
	if (getrandom(&v, sizeof(v), GRND_NONBLOCK) != sizeof(v))
		v = (uint64_t)clock_now_ns() << 20 ^ (uint64_t)getpid();
	return v ? v : 1;
}

struct server *server_new(const struct server_kind *kind, struct guest *guest)
{
	struct server *s = mem_zalloc(sizeof(*s));

	s->kind = kind;
	s->guest = guest;
	TAILQ_INIT(&s->awake);
	watch_init(&s->port, server_on_port);
	watch_init(&s->listener, server_on_listener);
	s->shutdown_how = -1;
	s->epoll_fd = guest_fd_up(epoll_create1(EPOLL_CLOEXEC));
	s->session =
	    session_new(SESSION_AGENT, random_instance(), &session_ops, s);
	for (int i = 0; i < SERVICES_MAX && kind->services[i]; i++)
		s->states[i] = kind->services[i]->new (s);
	return s;
}

struct server *server_free(struct server *s)
{
	struct handle *h;
	struct task *t;

	if (!s)
		return NULL;
	while ((t = LIST_FIRST(&s->tasks))) {
		task_detach(t);
		t->ops->stop(t);
	}
	while ((h = handle_any(&s->handles)))
		handle_release(&s->handles, h);
	for (int i = 0; i < SERVICES_MAX && s->kind->services[i]; i++)
		s->kind->services[i]->free(s->states[i]);
	session_free(s->session);
	fd_closep(&s->port.fd);
	fd_closep(&s->listener.fd);
	fd_closep(&s->epoll_fd);
	buf_done(&s->out);
	buf_done(&s->enc);
	free(s);
	return NULL;
}

static bool is_over(const struct server *s)
{
	return s->ended || (s->shutting_down && !has_output(s));
}

int server_run(struct server *s)
{
	while (!is_over(s)) {
		bool busy = may_read(s) || (s->tx_ready && has_output(s));
		int n = epoll_wait(s->epoll_fd, s->events, EVENTS_MAX,
				   busy		      ? 0
				   : s->shutting_down ? LINGER_MS
						      : -1);

		if (!n && !busy)
			break; /* nobody reads the last answers */
		s->n_events = n < 0 ? 0 : n;
		for (int i = 0; i < s->n_events; i++) {
			struct watch *w = s->events[i].data.ptr;
			if (w)
				w->on_event(w, s->events[i].events);
		}
		s->n_events = 0;
		if (s->port.fd >= 0)
			port_turn(s);
	}
	return s->shutdown_how;
}

void server_shutdown(struct server *s, int how)
{
	s->shutting_down = true;
	s->shutdown_how = how;
}

struct handle_table *server_handles(struct server *s)
{
	return &s->handles;
}

struct guest *server_guest(struct server *s)
{
	return s->guest;
}

uint8_t *server_scratch(struct server *s)
{
	return s->scratch;
}

void *server_state(struct server *s, const struct service *service)
{
	for (int i = 0; i < SERVICES_MAX; i++)
		if (s->kind->services[i] == service)
			return s->states[i];
	return NULL;
}

const struct server_kind *server_kind(const struct server *s)
{
	return s->kind;
}

static const struct session_ops session_ops = {
    .established = server_on_established,
    .opened = on_opened,
    .message = server_on_message,
    .data = server_on_data,
    .writable = server_on_writable,
    .finished = server_on_finished,
    .closed = server_on_closed,
};
