/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * QEMU takes one datagram in each turn of its main loop, but of a stream all
 * the frames that are there: so a stream is what gives a guest many frames with
 * one interrupt. It also has QEMU wait where we are slow, and so the guest's
 * driver, instead of dropping.
 *
 * Whole frames are dropped, never a part of one. A socket may move to another
 * wire while a frame is half way through, in either direction: the rest of one
 * that we send goes with the socket, the rest of one that we read is skipped.
 */
#include "vmm/net/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"

/* The beginning of a frame, and what is read behind it. */
#define ARENA_BYTES (WIRE_HEADER + FRAME_MAX + WIRE_READ_MAX)

void wire_arena_init(struct wire_arena *a)
{
	*a = (struct wire_arena){.mem = mem_alloc(ARENA_BYTES)};
	TAILQ_INIT(&a->dirty);
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
	*w = (struct wire){.loop = l,
			   .arena = arena,
			   .events = events,
			   .ctx = ctx,
			   .s = {.fd = -1}};
}

bool wire_is_open(const struct wire *w)
{
	return w->s.fd >= 0;
}

/* --- out ----------------------------------------------------------------- */

/* n bytes of the queue are sent: finds the end of the frame that is cut. */
static void sent(struct wire_socket *s, size_t n)
{
	while (n) {
		size_t left =
		    s->cut ? s->cut : WIRE_HEADER + be_get32(buf_data(&s->out));
		size_t part = n < left ? n : left;

		buf_consume(&s->out, part);
		s->cut = left - part;
		n -= part;
	}
}

static void wire_set_full(struct wire *w, bool is_full)
{
	if (w->is_full == is_full)
		return;
	w->is_full = is_full;
	watch_set(w->watch, is_full ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* Sends what the socket takes; waits for room where that is not all. */
static void wire_flush(struct wire *w)
{
	struct wire_socket *s = &w->s;

	while (s->out.len) {
		ssize_t n = send(s->fd, buf_data(&s->out), s->out.len,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			sent(s, (size_t)n);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK ||
		    errno == ENOBUFS || errno == ENOMEM)
			break;
		wire_close(w);
		return;
	}
	wire_set_full(w, s->out.len > 0);
}

static void make_clean(struct wire *w)
{
	if (!w->is_dirty)
		return;
	w->is_dirty = false;
	TAILQ_REMOVE(&w->arena->dirty, w, link);
}

static void make_dirty(struct wire *w)
{
	if (w->is_dirty)
		return;
	w->is_dirty = true;
	TAILQ_INSERT_TAIL(&w->arena->dirty, w, link);
}

static void flush_dirty(struct wire_arena *a)
{
	struct wire *w;

	while ((w = TAILQ_FIRST(&a->dirty))) {
		make_clean(w);
		wire_flush(w);
	}
}

void wire_arena_begin(struct wire_arena *a)
{
	assert(!a->is_busy);
	a->is_busy = true;
}

void wire_arena_end(struct wire_arena *a)
{
	a->is_busy = false;
	flush_dirty(a);
}

enum wire_sent wire_send(struct wire *w, const void *p, size_t n)
{
	struct buf *out = &w->s.out;
	uint8_t header[WIRE_HEADER];

	assert(n >= FRAME_MIN && n <= FRAME_MAX);
	if (!wire_is_open(w))
		return WIRE_GONE;
	if (WIRE_HEADER + n > WIRE_QUEUE_MAX - out->len)
		return WIRE_FULL;
	be_put32(header, (uint32_t)n);
	buf_append(out, header, WIRE_HEADER);
	buf_append(out, p, n);
	if (w->is_full)
		return WIRE_SENT;
	if (w->arena->is_busy) {
		make_dirty(w);
		return WIRE_SENT;
	}
	wire_flush(w);
	return wire_is_open(w) ? WIRE_SENT : WIRE_GONE;
}

/* --- in ------------------------------------------------------------------ */

/*
 * Into the arena, behind the beginning that is there already. Returns how many
 * bytes were read, 0: nothing there or the wire is closed.
 */
static size_t read_bytes(struct wire *w, size_t at)
{
	ssize_t n;

	do
		n = recv(w->s.fd, w->arena->mem + at, WIRE_READ_MAX,
			 MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return (size_t)n;
	/* ECONNRESET is told once, of a peer that left something unread; what
	 * it sent is still there, and level-triggered. */
	if (!n || (errno != EAGAIN && errno != EWOULDBLOCK &&
		   errno != ECONNRESET && errno != ENOMEM && errno != ENOBUFS))
		wire_close(w);
	return 0;
}

/* Hands over the first frame of n bytes at p. Returns what it took of them; 0:
 * the frame is not there as a whole. */
static size_t wire_take_frame(struct wire *w, const uint8_t *p, size_t n,
			      int64_t now_ns)
{
	size_t len, all;

	if (n < WIRE_HEADER)
		return 0;
	len = be_get32(p);
	all = WIRE_HEADER + len;
	if (len < FRAME_MIN || len > FRAME_MAX) {
		w->s.skip = len;
		w->events->bad(w->ctx);
		return WIRE_HEADER;
	}
	if (n < all)
		return 0;
	w->events->frame(w->ctx, p + WIRE_HEADER, len, now_ns);
	return all;
}

static size_t skip(struct wire_socket *s, size_t n)
{
	size_t part = n < s->skip ? n : s->skip;

	s->skip -= part;
	return part;
}

static void wire_hand_over(struct wire *w, size_t n)
{
	const uint8_t *p = w->arena->mem;
	uint64_t opened = w->opened;
	int64_t now_ns = clock_now_ns();
	size_t part;

	do {
		part = skip(&w->s, n);
		p += part;
		n -= part;
		part = wire_take_frame(w, p, n, now_ns);
		if (w->opened != opened)
			return;
		p += part;
		n -= part;
	} while (part);
	buf_append(&w->s.in, p, n);
}

/* Returns how many bytes were read. */
static size_t read_frames(struct wire *w)
{
	struct buf *in = &w->s.in;
	size_t at = in->len, n;

	assert(!w->arena->is_busy);
	n = read_bytes(w, at);
	if (!n)
		return 0;
	if (at)
		memcpy(w->arena->mem, buf_data(in), at);
	buf_reset(in);
	wire_arena_begin(w->arena);
	wire_hand_over(w, at + n);
	wire_arena_end(w->arena);
	return n;
}

void wire_drain(struct wire *w)
{
	size_t n = 1;
	int left;

	if (!wire_is_open(w) || w->arena->is_busy ||
	    ioctl(w->s.fd, FIONREAD, &left) < 0)
		return;
	for (; n && left > 0 && wire_is_open(w); left -= (int)n)
		n = read_frames(w);
}

/* --- the socket ---------------------------------------------------------- */

static void wire_on_ready(void *ctx, int fd, unsigned ready)
{
	struct wire *w = ctx;

	(void)fd;
	if (ready & LOOP_READ)
		read_frames(w);
	else
		wire_flush(w);
}

int wire_pair(struct wire_socket *ret, int *ret_theirs, struct err *err)
{
	int size = WIRE_SOCKET_BYTES;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       fd) < 0)
		return err_set(err, -errno,
			       "cannot make a socket for a network card: %s",
			       strerror(errno));
	for (int i = 0; i < 2; i++)
		setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ret = (struct wire_socket){.fd = fd[0]};
	*ret_theirs = fd[1];
	return 0;
}

void wire_socket_close(struct wire_socket *s)
{
	if (s->fd >= 0)
		close(s->fd);
	buf_done(&s->in);
	buf_done(&s->out);
	*s = (struct wire_socket){.fd = -1};
}

void wire_give(struct wire *w, struct wire_socket *take)
{
	wire_close(w);
	w->s = *take;
	*take = (struct wire_socket){.fd = -1};
	w->watch = watch_new(w->loop, w->s.fd, wire_on_ready, w);
	watch_set(w->watch, LOOP_READ);
	wire_flush(w);
}

/* What is left of a frame whose beginning has come is no frame. */
static void forget_beginning(struct wire_socket *s)
{
	if (s->in.len < WIRE_HEADER)
		return;
	s->skip = WIRE_HEADER + be_get32(buf_data(&s->in)) - s->in.len;
	buf_reset(&s->in);
}

void wire_take(struct wire *w, struct wire_socket *ret)
{
	*ret = w->s;
	if (!wire_is_open(w))
		return;
	make_clean(w);
	w->watch = watch_free(w->watch);
	w->s = (struct wire_socket){.fd = -1};
	w->is_full = false;
	w->opened++;
	forget_beginning(ret);
	ret->out.len = ret->cut;
}

void wire_close(struct wire *w)
{
	struct wire_socket s;

	wire_take(w, &s);
	wire_socket_close(&s);
}

int wire_open(struct wire *w, int *ret_theirs, struct err *err)
{
	struct wire_socket s;

	wire_close(w);
	if (wire_pair(&s, ret_theirs, err) < 0)
		return err->code;
	wire_give(w, &s);
	return 0;
}
