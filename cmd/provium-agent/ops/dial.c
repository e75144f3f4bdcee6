/* SPDX-License-Identifier: MIT */
/*
 * DIAL: a TCP connection to a port of the guest's loopback, whose bytes travel
 * in a channel. The two directions end on their own, as those of TCP do.
 *
 * When both have ended the channel is gone, and there may still be bytes that
 * the peer has not taken: then the connection outlives its channel until they
 * are written.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/watch.h"
#include "cmd/provium-agent/ops/ops.h"

struct dial {
	struct task t;
	struct watch w; /* its fd is the connection */
	uint16_t port;
	unsigned tried; /* addresses */
	bool is_open;	/* connected */
	bool has_ended; /* what the peer sends */
	bool host_has_ended;
	bool is_orphan;	    /* the channel is gone */
	struct buf pending; /* for the peer, which does not read */
};

static void dial_hang_up(struct dial *d, bool is_reset)
{
	const struct linger at_once = {.l_onoff = 1};
	int fd = d->w.fd;

	watch_stop(d->t.srv, &d->w);
	if (fd < 0)
		return;
	if (is_reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once,
			   sizeof(at_once));
	close(fd);
}

static void dial_destroy(struct dial *d, bool is_reset)
{
	dial_hang_up(d, is_reset);
	buf_done(&d->pending);
	free(d);
}

/* False: the peer takes nothing any more. */
static bool dial_flush(struct dial *d)
{
	while (d->pending.len) {
		ssize_t n = send(d->w.fd, buf_data(&d->pending), d->pending.len,
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		buf_consume(&d->pending, (size_t)n);
		if (!d->is_orphan)
			chan_consumed(d->t.ch, (size_t)n);
	}
	if (d->host_has_ended)
		shutdown(d->w.fd, SHUT_WR);
	return true;
}

/* What the host sends from now on is for nobody. */
static void give_up_writing(struct dial *d)
{
	chan_consumed(d->t.ch, d->pending.len);
	buf_reset(&d->pending);
}

/* --- connecting ----------------------------------------------------------- */

/* Starts to connect to the next address. 0, or the errno of the last one. */
static int connect_next(struct dial *d)
{
	const struct sockaddr_in v4 = {
	    .sin_family = AF_INET,
	    .sin_port = htons(d->port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct sockaddr_in6 v6 = {
	    .sin6_family = AF_INET6,
	    .sin6_port = htons(d->port),
	    .sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	const struct {
		const void *p;
		socklen_t n;
		int family;
	} to[] = {{&v4, sizeof(v4), AF_INET}, {&v6, sizeof(v6), AF_INET6}};
	int why = ECONNREFUSED;

	while (d->tried < ARRAY_LEN(to)) {
		unsigned i = d->tried++;
		int fd = socket(to[i].family,
				SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		fd = guest_fd_up(fd);
		if (connect(fd, to[i].p, to[i].n) < 0 && errno != EINPROGRESS) {
			why = errno;
			close(fd);
			continue;
		}
		int rc = watch_start(d->t.srv, &d->w, fd,
				     EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
		if (!rc)
			return 0;
		why = -rc;
		close(fd);
	}
	return why;
}

/* The connection is there, or failed; edge-triggered, so EPOLLOUT comes in any
 * case. False: the task has ended. */
static bool dial_on_connected(struct dial *d)
{
	int why = 0;
	socklen_t n = sizeof(why);

	if (getsockopt(d->w.fd, SOL_SOCKET, SO_ERROR, &why, &n) < 0)
		why = errno;
	if (!why) {
		d->is_open = true;
		task_send_done(&d->t, 0);
		return true;
	}
	dial_hang_up(d, false);
	if (connect_next(d))
		task_end_error(&d->t, why, "connecting to port %u", d->port);
	return false;
}

/* --- the task --------------------------------------------------------------
 */

static void dial_on_event(struct watch *w, uint32_t events)
{
	struct dial *d = CONTAINER_OF(w, struct dial, w);
	const uint32_t ends = EPOLLHUP | EPOLLERR | EPOLLRDHUP;

	if (d->is_orphan) {
		if (!dial_flush(d) || !d->pending.len)
			dial_destroy(d, false);
		return;
	}
	if (!d->is_open) {
		if (!(events & (EPOLLOUT | ends)) || !dial_on_connected(d))
			return;
		events |= EPOLLIN;
	}
	if (!dial_flush(d))
		give_up_writing(d);
	if (events & (EPOLLIN | ends) && !d->has_ended)
		task_wake(&d->t);
}

static void dial_data(struct task *t, const uint8_t *p, size_t n, bool more)
{
	struct dial *d = CONTAINER_OF(t, struct dial, t);

	(void)more;
	buf_append(&d->pending, p, n);
	if (d->is_open && !dial_flush(d))
		give_up_writing(d);
}

static void dial_fin(struct task *t)
{
	struct dial *d = CONTAINER_OF(t, struct dial, t);

	d->host_has_ended = true;
	if (d->is_open && !dial_flush(d))
		give_up_writing(d);
}

static void dial_step(struct task *t)
{
	struct dial *d = CONTAINER_OF(t, struct dial, t);
	uint8_t *piece = server_scratch(t->srv);
	ssize_t n = read(d->w.fd, piece, task_room(t));

	if (n > 0) {
		task_write_in_place(t, piece, (size_t)n);
	} else if (n == 0) {
		d->has_ended = true;
		task_write_fin(t);
	} else if (errno == EAGAIN) {
		task_sleep(t);
	} else if (errno != EINTR) {
		task_end_error(t, errno, "the connection to port %u", d->port);
	}
}

static void dial_stop(struct task *t)
{
	struct dial *d = CONTAINER_OF(t, struct dial, t);
	bool is_whole = d->has_ended && d->host_has_ended;

	if (!is_whole || !d->pending.len) {
		dial_destroy(d, !is_whole);
		return;
	}
	d->is_orphan = true;
}

static const struct task_ops dial_ops = {
    .data = dial_data,
    .fin = dial_fin,
    .step = dial_step,
    .stop = dial_stop,
};

void op_dial(const struct req *r)
{
	struct dial *d;
	int why;

	if (!r->m->dial.port || r->m->dial.port > UINT16_MAX) {
		req_error(r, EINVAL, "port %u", r->m->dial.port);
		return;
	}
	d = mem_zalloc(sizeof(*d));
	d->port = (uint16_t)r->m->dial.port;
	watch_init(&d->w, dial_on_event);
	task_start(&d->t, r, &dial_ops);
	why = connect_next(d);
	if (why)
		task_end_error(&d->t, why, "connecting to port %u", d->port);
}
