/* SPDX-License-Identifier: MIT */
/*
 * Of two connected datagram sockets, each may hold what the sender's SO_SNDBUF
 * allows (unix(7)); net.unix.max_dgram_qlen does not bind such a pair on
 * Linux, and nothing here depends on that: a full socket says EAGAIN, frames
 * then queue up and a watch waits for room.
 *
 * A datagram socket does not tell that its peer closed. Sending does
 * (ECONNREFUSED, later ENOTCONN), and the owner knows when a guest went.
 */
#include "vmm/net/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"

/* A slot is a byte longer than a frame, so that longer ones show. */
#define SLOT (FRAME_MAX + 1u)

struct queued {
	uint32_t len;
};

void wire_arena_init(struct wire_arena *a)
{
	*a = (struct wire_arena){.mem = mem_alloc((size_t)WIRE_BATCH * SLOT)};
}

void wire_arena_done(struct wire_arena *a)
{
	assert(!a->is_busy);
	free(a->mem);
	*a = (struct wire_arena){0};
}

void wire_init(struct wire *w, struct loop *l, struct wire_arena *arena,
	       const struct wire_events *events, void *ctx)
{
	*w = (struct wire){
	    .loop = l, .arena = arena, .events = events, .ctx = ctx, .fd = -1};
}

void wire_close(struct wire *w)
{
	int fd = wire_take(w);

	if (fd >= 0)
		close(fd);
}

bool wire_is_open(const struct wire *w)
{
	return w->fd >= 0;
}

/* --- in ------------------------------------------------------------------ */

/* One batch into the arena. Returns their number, 0: nothing there or the
 * wire is closed. */
static unsigned read_batch(struct wire *w, struct mmsghdr *msgs)
{
	struct iovec iov[WIRE_BATCH];
	int n;

	for (unsigned i = 0; i < WIRE_BATCH; i++) {
		iov[i].iov_base = w->arena->mem + (size_t)i * SLOT;
		iov[i].iov_len = SLOT;
		msgs[i] = (struct mmsghdr){
		    .msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	do
		n = recvmmsg(w->fd, msgs, WIRE_BATCH, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (unsigned)n;
	/* ECONNRESET is told once, of a peer that left something unread; what
	 * it sent is still there, and level-triggered. */
	if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ECONNRESET &&
	    errno != ENOMEM && errno != ENOBUFS)
		wire_close(w);
	return 0;
}

static void hand_over(struct wire *w, const struct mmsghdr *msgs, unsigned n)
{
	uint64_t opened = w->opened;
	int64_t now_ns = clock_now_ns();

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p = w->arena->mem + (size_t)i * SLOT;
		size_t len = msgs[i].msg_len;

		if (len < FRAME_MIN || len > FRAME_MAX)
			w->events->bad(w->ctx);
		else
			w->events->frame(w->ctx, p, len, now_ns);
		if (w->fd < 0 || w->opened != opened)
			return;
	}
}

static unsigned read_frames(struct wire *w)
{
	struct mmsghdr msgs[WIRE_BATCH];
	unsigned n;

	assert(!w->arena->is_busy);
	n = read_batch(w, msgs);
	w->arena->is_busy = true;
	hand_over(w, msgs, n);
	w->arena->is_busy = false;
	return n;
}

void wire_drain(struct wire *w)
{
	unsigned n, sum = 0;

	if (w->fd < 0 || w->arena->is_busy)
		return;
	do {
		n = read_frames(w);
		sum += n;
	} while (w->fd >= 0 && n == WIRE_BATCH && sum < WIRE_DRAIN_MAX);
}

/* --- out ----------------------------------------------------------------- */

/* 0, -EAGAIN or -EPIPE: gone. */
static int send_now(struct wire *w, const void *p, size_t n)
{
	ssize_t r;

	do
		r = send(w->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r >= 0)
		return 0;
	/* ENOBUFS: no memory for it right now; no event would say when. */
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return -EAGAIN;
	return errno == ENOBUFS || errno == ENOMEM ? -ENOBUFS : -EPIPE;
}

static enum wire_sent enqueue(struct wire *w, const void *p, size_t n)
{
	struct queued q = {(uint32_t)n};

	if (sizeof(q) + n > WIRE_QUEUE_MAX - w->queue.len)
		return WIRE_FULL;
	buf_append(&w->queue, &q, sizeof(q));
	buf_append(&w->queue, p, n);
	watch_set(w->watch, LOOP_READ | LOOP_WRITE);
	return WIRE_SENT;
}

enum wire_sent wire_send(struct wire *w, const void *p, size_t n)
{
	/* An empty datagram is QEMU's end of file. */
	assert(n >= FRAME_MIN && n <= FRAME_MAX);
	if (w->fd < 0)
		return WIRE_GONE;
	if (w->queue.len)
		return enqueue(w, p, n);
	switch (send_now(w, p, n)) {
	case 0:
		return WIRE_SENT;
	case -EAGAIN:
		return enqueue(w, p, n);
	case -ENOBUFS:
		return WIRE_FULL;
	default:
		wire_close(w);
		return WIRE_GONE;
	}
}

static void flush(struct wire *w)
{
	struct queued q;

	while (w->queue.len) {
		memcpy(&q, buf_data(&w->queue), sizeof(q));
		int r = send_now(w, buf_data(&w->queue) + sizeof(q), q.len);

		if (r == -EAGAIN)
			return;
		if (r == -EPIPE) {
			wire_close(w);
			return;
		}
		buf_consume(&w->queue, sizeof(q) + q.len);
	}
	watch_set(w->watch, LOOP_READ);
}

/* --- the socket ---------------------------------------------------------- */

static void on_ready(void *ctx, int fd, unsigned ready)
{
	struct wire *w = ctx;

	(void)fd;
	if (ready & LOOP_READ)
		read_frames(w);
	else
		flush(w);
}

int wire_pair(int ret[2], struct err *err)
{
	int size = WIRE_SOCKET_BYTES;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       ret) < 0)
		return err_set(err, -errno,
			       "cannot make a socket for a network card: %s",
			       strerror(errno));
	for (int i = 0; i < 2; i++)
		setsockopt(ret[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

void wire_give(struct wire *w, int take_fd)
{
	wire_close(w);
	w->fd = take_fd;
	w->opened++;
	w->watch = watch_new(w->loop, w->fd, on_ready, w);
	watch_set(w->watch, LOOP_READ);
}

int wire_take(struct wire *w)
{
	int fd = w->fd;

	if (fd < 0)
		return -1;
	w->watch = watch_free(w->watch);
	w->fd = -1;
	buf_done(&w->queue);
	return fd;
}

int wire_open(struct wire *w, int *ret_theirs, struct err *err)
{
	int fd[2];

	wire_close(w);
	if (wire_pair(fd, err) < 0)
		return err->code;
	wire_give(w, fd[0]);
	*ret_theirs = fd[1];
	return 0;
}
