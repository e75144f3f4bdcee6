/* SPDX-License-Identifier: MIT */
/*
 * The client's byte stream: moves bytes between the fd and the session.
 *
 * Output is taken from the session a frame or two at a time, as what was taken
 * cannot be overtaken by a more urgent message any more. It is flushed when
 * the loop is about to wait, so that requests made together leave together.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "streams/client_impl.h"

/* Of each, before others in the loop get their turn. */
#define READS_MAX  4
#define WRITES_MAX 16

static void link_watch(struct client *c)
{
	bool out = c->is_blocked || c->write_error;

	watch_set(c->watch, out ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static void link_flush(struct client *c)
{
	c->is_blocked = false;
	for (int i = 0; c->write_error == 0; i++) {
		if (!session_output(c->session, &c->out, FRAME_PAYLOAD_MAX))
			break;
		c->is_blocked = i == WRITES_MAX;
		if (c->is_blocked)
			break;
		ssize_t n =
		    send(c->fd, buf_data(&c->out), c->out.len, MSG_NOSIGNAL);
		if (n >= 0) {
			buf_consume(&c->out, (size_t)n);
			continue;
		}
		if (errno == EINTR)
			continue;
		c->is_blocked = errno == EAGAIN;
		if (c->is_blocked)
			break;
		/* Not a loss yet: the agent's last words may be unread. */
		c->write_error = -errno;
	}
	link_watch(c);
}

static void link_on_before_wait(void *ctx)
{
	struct client *c = ctx;

	if (c->is_blocked)
		return;
	if (c->tunnel)
		c->is_blocked = !tunnel_flush(c);
	else if (c->watch)
		link_flush(c);
}

void link_kick(struct client *c)
{
	if ((c->watch || c->tunnel) && !c->is_blocked && !c->write_error)
		loop_before_wait(c->loop, &c->flush_hook);
}

static void link_lose_errno(struct client *c, const char *what, int code)
{
	struct err err;

	err_set(&err, code, "cannot %s the agent: %s", what, strerror(-code));
	client_lose(c, &err);
}

/* Returns whether there may be more to read. */
static bool read_once(struct client *c)
{
	struct err err;
	size_t room;
	uint8_t *p = session_input_room(c->session, &room);
	ssize_t n = read(c->fd, p, room);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			link_lose_errno(c, "read from", -errno);
		return false;
	}
	if (!n) {
		err_set(&err, -EPIPE, "the agent closed the connection");
		client_lose(c, &err);
		return false;
	}
	if (session_input(c->session, (size_t)n, &err) < 0)
		client_lose(c, &err);
	return c->watch && (size_t)n == room;
}

static void link_on_ready(void *ctx, int fd, unsigned ready)
{
	struct client *c = ctx;

	(void)fd;
	if (ready == LOOP_READ) {
		for (int i = 0; i < READS_MAX && read_once(c); i++)
			;
		link_kick(c);
		return;
	}
	if (!c->write_error) {
		link_flush(c);
		return;
	}
	/* All that came before the error is read first. */
	if (!read_once(c) && c->watch)
		link_lose_errno(c, "write to", c->write_error);
}

void link_init(struct client *c)
{
	c->fd = -1;
	c->flush_hook = (struct loop_hook){.cb = link_on_before_wait, .ctx = c};
}

void link_open(struct client *c, int take_fd)
{
	c->fd = take_fd;
	fcntl(take_fd, F_SETFL, fcntl(take_fd, F_GETFL) | O_NONBLOCK);
	c->watch = watch_new(c->loop, take_fd, link_on_ready, c);
	watch_set(c->watch, LOOP_READ);
}

void link_close(struct client *c)
{
	loop_hook_cancel(c->loop, &c->flush_hook);
	tunnel_close(c);
	c->watch = watch_free(c->watch);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_done(&c->out);
}
