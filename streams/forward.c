/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 *	peer <-- fd --> connection <-- channel (DIAL) --> agent --> guest's port
 *
 * What comes from the peer goes into the channel as far as there is credit,
 * the rest waits in `up` and the fd is not read meanwhile. What comes from the
 * guest waits in `down` until the peer takes it, and its credit is given back
 * then: so each side is slowed down by the other, at a bounded cost.
 */
#include "streams/forward.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/client_impl.h"

#define READ_SIZE 65536u

struct connection {
	struct client_user user;
	struct forward *f;
	int fd;
	struct watch *watch;
	bool is_open;	     /* the guest has taken it */
	bool peer_has_ended; /* and the channel was told */
	bool guest_has_ended;
	struct buf up, down;
	LIST_ENTRY(connection) link;
};

struct forward {
	struct loop *loop;
	forward_client_cb client;
	void *ctx;
	uint16_t port, guest_port;
	int fd;
	struct watch *watch;
	LIST_HEAD(connections, connection) connections;
	size_t n;
};

static struct connection *connection_of(struct client_user *u)
{
	return CONTAINER_OF(u, struct connection, user);
}

/* --- the end of a connection ---------------------------------------------- */

static void forward_release(void *p)
{
	struct connection *c = p;

	buf_done(&c->up);
	buf_done(&c->down);
	free(c);
}

/* The user is nobody's any more. */
static void forward_hang_up(struct connection *c, bool is_reset)
{
	const struct linger at_once = {.l_onoff = 1};

	watch_free(c->watch);
	if (is_reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once,
			   sizeof(at_once));
	close(c->fd);
	LIST_REMOVE(c, link);
	c->f->n--;
	/* A callback of it may be on the stack. */
	loop_defer_free(c->f->loop, c, forward_release);
}

static void forward_end(struct connection *c, bool is_reset)
{
	client_user_leave(&c->user, is_reset);
	forward_hang_up(c, is_reset);
}

/* --- bytes ---------------------------------------------------------------- */

static void watch_for_more(struct connection *c)
{
	unsigned events = 0;

	if (c->is_open && !c->peer_has_ended && !c->up.len)
		events |= LOOP_READ;
	if (c->down.len)
		events |= LOOP_WRITE;
	watch_set(c->watch, events);
}

static void send_up(struct connection *c)
{
	size_t n = chan_write(c->user.chan, buf_data(&c->up), c->up.len, false);

	buf_consume(&c->up, n);
	link_kick(c->user.client);
}

/* Returns false when the connection has ended. */
static bool read_peer(struct connection *c)
{
	ssize_t n = read(c->fd, buf_room(&c->up, READ_SIZE), READ_SIZE);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n < 0) {
		forward_end(c, true);
		return false;
	}
	if (n > 0) {
		buf_commit(&c->up, (size_t)n);
		send_up(c);
		return true;
	}
	c->peer_has_ended = true;
	c->user.fin_sent = true;
	chan_write(c->user.chan, NULL, 0, true);
	link_kick(c->user.client);
	return true;
}

static bool write_peer(struct connection *c)
{
	while (c->down.len) {
		ssize_t n =
		    send(c->fd, buf_data(&c->down), c->down.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			forward_end(c, true);
			return false;
		}
		buf_consume(&c->down, (size_t)n);
		if (c->user.chan) {
			chan_consumed(c->user.chan, (size_t)n);
			link_kick(c->user.client);
		}
	}
	return true;
}

/* What follows from a change, once it was made. */
static void forward_settle(struct connection *c)
{
	if (!c->guest_has_ended || c->down.len) {
		watch_for_more(c);
		return;
	}
	if (c->peer_has_ended) {
		forward_end(c, false);
		return;
	}
	shutdown(c->fd, SHUT_WR);
	watch_for_more(c);
}

static void forward_on_ready(void *ctx, int fd, unsigned ready)
{
	struct connection *c = ctx;

	(void)fd;
	if (ready == LOOP_READ ? read_peer(c) : write_peer(c))
		forward_settle(c);
}

/* --- what the channel says -------------------------------------------------
 */

static void forward_on_message(struct client_user *u, const uint8_t *p,
			       size_t n)
{
	struct connection *c = connection_of(u);
	struct err err;
	struct msg m;

	if (reply_decode(MSG_DIAL, p, n, &m, &err) < 0 || m.type == MSG_ERROR ||
	    c->is_open) {
		forward_end(c, true);
		return;
	}
	c->is_open = true;
	forward_settle(c);
}

static void forward_on_data(struct client_user *u, const uint8_t *p, size_t n,
			    bool more)
{
	struct connection *c = connection_of(u);

	(void)more;
	buf_append(&c->down, p, n);
	if (write_peer(c))
		forward_settle(c);
}

static void forward_on_writable(struct client_user *u)
{
	struct connection *c = connection_of(u);

	send_up(c);
	forward_settle(c);
}

static void forward_on_finished(struct client_user *u)
{
	struct connection *c = connection_of(u);

	if (!c->is_open) {
		forward_end(c, true);
		return;
	}
	c->guest_has_ended = true;
	forward_settle(c);
}

static void forward_on_fail(struct client_user *u, const struct err *err)
{
	(void)err;
	forward_hang_up(connection_of(u), true);
}

static const struct client_user_ops user_ops = {
    .message = forward_on_message,
    .data = forward_on_data,
    .writable = forward_on_writable,
    .finished = forward_on_finished,
    .fail = forward_on_fail,
};

/* --- the port --------------------------------------------------------------
 */

static void forward_reset(int take_fd)
{
	const struct linger at_once = {.l_onoff = 1};

	setsockopt(take_fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(take_fd);
}

static void on_connection(void *ctx, int listener, unsigned ready)
{
	struct forward *f = ctx;
	struct msg req = {.type = MSG_DIAL, .dial.port = f->guest_port};
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *client;
	struct connection *c;

	(void)ready;
	if (fd < 0)
		return; /* it went again */
	client = f->client(f->ctx);
	if (!client || f->n == FORWARD_CONNECTIONS_MAX) {
		forward_reset(fd);
		return;
	}
	c = mem_zalloc(sizeof(*c));
	c->user.ops = &user_ops;
	if (client_user_open(client, &c->user, &req, false, NULL) < 0) {
		free(c);
		forward_reset(fd);
		return;
	}
	c->f = f;
	c->fd = fd;
	c->watch = watch_new(f->loop, fd, forward_on_ready, c);
	LIST_INSERT_HEAD(&f->connections, c, link);
	f->n++;
}

static int listen_anywhere(uint16_t *ret_port, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t n = sizeof(at);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) < 0 ||
	    listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return err_set(err, -errno, "cannot listen on 127.0.0.1: %s",
			       strerror(errno));
	*ret_port = ntohs(at.sin_port);
	return TAKE_FD(fd);
}

struct forward *forward_new(struct loop *l, uint16_t guest_port,
			    forward_client_cb client, void *ctx,
			    struct err *err)
{
	uint16_t port = 0;
	int fd = listen_anywhere(&port, err);
	struct forward *f;

	if (fd < 0)
		return NULL;
	f = mem_zalloc(sizeof(*f));
	f->loop = l;
	f->client = client;
	f->ctx = ctx;
	f->port = port;
	f->guest_port = guest_port;
	f->fd = fd;
	LIST_INIT(&f->connections);
	f->watch = watch_new(l, fd, on_connection, f);
	watch_set(f->watch, LOOP_READ);
	return f;
}

struct forward *forward_free(struct forward *f)
{
	if (!f)
		return NULL;
	while (!LIST_EMPTY(&f->connections))
		forward_end(LIST_FIRST(&f->connections), true);
	watch_free(f->watch);
	close(f->fd);
	free(f);
	return NULL;
}

uint16_t forward_port(const struct forward *f)
{
	return f->port;
}

uint16_t forward_guest_port(const struct forward *f)
{
	return f->guest_port;
}

size_t forward_connections(const struct forward *f)
{
	return f->n;
}

size_t forward_pending(const struct forward *f)
{
	const struct connection *c;
	size_t n = 0;

	LIST_FOREACH (c, &f->connections, link)
		n += c->up.len + c->down.len;
	return n;
}
