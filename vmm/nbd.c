/* SPDX-License-Identifier: MIT */
#include "vmm/nbd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/nbd_proto.h"

#define READ_SIZE ((size_t)256 << 10)
/* While so many bytes wait to be sent, or in requests that are delayed, no
 * further request is taken. */
#define PENDING_MAX ((size_t)16 << 20)

/* A request that waits for its time. */
struct delayed {
	struct nbd_request r;
	uint8_t *data; /* owned; of a write */
	int64_t due_ns;
	STAILQ_ENTRY(delayed) link;
};

struct nbd {
	struct nbd_export *export;
	struct nbd_session session;
	int fd; /* -1: the client has gone */
	struct watch *watch;
	struct timer *timer;
	struct buf in, out;
	STAILQ_HEAD(, delayed) queue;
	size_t queued;	 /* bytes */
	uint8_t *bounce; /* NBD_LENGTH_MAX bytes */
};

static void go_on(struct nbd *n);

/* --- the disk --------------------------------------------------------------
 */

static int do_write(struct nbd_export *e, const struct nbd_request *r,
		    const uint8_t *data)
{
	if (e->faults & FAULT_EIO_WRITE)
		return -EIO;
	if (e->faults & FAULT_ENOSPC)
		return -ENOSPC;
	return cow_write(e->cow, r->offset, data, r->length, r->is_fua);
}

static void do_read(struct nbd *n, const struct nbd_request *r)
{
	struct nbd_export *e = n->export;
	int code = e->faults & FAULT_EIO_READ
		       ? -EIO
		       : cow_read(e->cow, r->offset, n->bounce, r->length);

	nbd_answer(&n->out, r->handle, code);
	if (code == 0)
		buf_append(&n->out, n->bounce, r->length);
}

static void nbd_serve(struct nbd *n, const struct nbd_request *r,
		      const uint8_t *data)
{
	struct nbd_export *e = n->export;

	if (e->mode == NBD_VOID)
		nbd_answer(&n->out, r->handle, r->type == NBD_FLUSH ? 0 : -EIO);
	else if (r->type == NBD_READ)
		do_read(n, r);
	else
		nbd_answer(&n->out, r->handle,
			   r->type == NBD_WRITE ? do_write(e, r, data)
						: cow_flush(e->cow));
}

/* --- delays ----------------------------------------------------------------
 */

/* In the order in which they came: none overtakes one that is delayed. */
static void delay(struct nbd *n, const struct nbd_request *r, int64_t due_ns)
{
	struct delayed *d = mem_zalloc(sizeof(*d));

	d->r = *r;
	d->due_ns = due_ns;
	if (r->data)
		d->data = mem_dup(r->data, r->length);
	n->queued += sizeof(*d) + (r->data ? r->length : 0);
	STAILQ_INSERT_TAIL(&n->queue, d, link);
}

static void serve_due(struct nbd *n)
{
	bool at_once = n->export->mode == NBD_VOID;
	int64_t now = clock_now_ns();
	struct delayed *d;

	while ((d = STAILQ_FIRST(&n->queue)) && (at_once || d->due_ns <= now)) {
		STAILQ_REMOVE_HEAD(&n->queue, link);
		n->queued -= sizeof(*d) + (d->data ? d->r.length : 0);
		nbd_serve(n, &d->r, d->data);
		free(d->data);
		free(d);
	}
}

static void nbd_take(struct nbd *n, const struct nbd_request *r)
{
	const struct nbd_export *e = n->export;
	int64_t wait =
	    e->faults & FAULT_SLOW && e->mode != NBD_VOID ? e->delay_ns : 0;

	if (wait || !STAILQ_EMPTY(&n->queue))
		delay(n, r, clock_deadline_ns(wait));
	else
		nbd_serve(n, r, r->data);
}

/* --- the socket ------------------------------------------------------------
 */

static void nbd_hang_up(struct nbd *n)
{
	struct delayed *d;

	while ((d = STAILQ_FIRST(&n->queue))) {
		STAILQ_REMOVE_HEAD(&n->queue, link);
		free(d->data);
		free(d);
	}
	n->queued = 0;
	n->watch = watch_free(n->watch);
	timer_set(n->timer, CLOCK_NEVER);
	fd_closep(&n->fd);
}

static bool nbd_is_full(const struct nbd *n)
{
	return n->out.len + n->queued > PENDING_MAX;
}

static void take_all(struct nbd *n)
{
	struct nbd_request r;
	struct err err;
	int rc = 1;

	while (!nbd_is_full(n) && rc > 0) {
		rc = nbd_next(&n->session, &n->in, &n->out, &r, &err);
		if (rc > 0)
			nbd_take(n, &r);
	}
	if (rc < 0)
		nbd_hang_up(n);
}

static void nbd_send_some(struct nbd *n)
{
	while (n->fd >= 0 && n->out.len) {
		ssize_t r =
		    send(n->fd, buf_data(&n->out), n->out.len, MSG_NOSIGNAL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN)
			return;
		if (r < 0) {
			nbd_hang_up(n);
			return;
		}
		buf_consume(&n->out, (size_t)r);
	}
}

static void receive(struct nbd *n)
{
	ssize_t r = recv(n->fd, buf_room(&n->in, READ_SIZE), READ_SIZE, 0);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r <= 0)
		nbd_hang_up(n);
	else
		buf_commit(&n->in, (size_t)r);
}

static void set_events(struct nbd *n)
{
	const struct delayed *d = STAILQ_FIRST(&n->queue);
	bool holds = n->export->mode == NBD_HOLDS;
	unsigned events = n->out.len ? LOOP_WRITE : 0;

	if (n->fd < 0)
		return;
	if (!holds && !nbd_is_full(n))
		events |= LOOP_READ;
	watch_set(n->watch, events);
	timer_set(n->timer, d && !holds ? d->due_ns : CLOCK_NEVER);
}

static void go_on(struct nbd *n)
{
	if (n->fd >= 0 && n->export->mode != NBD_HOLDS) {
		serve_due(n);
		take_all(n);
	}
	nbd_send_some(n);
	set_events(n);
}

static void nbd_on_ready(void *ctx, int fd, unsigned ready)
{
	struct nbd *n = ctx;

	(void)fd;
	if (ready & LOOP_READ && n->export->mode != NBD_HOLDS)
		receive(n);
	go_on(n);
}

static void nbd_on_timer(void *ctx)
{
	go_on(ctx);
}

void nbd_update(struct nbd *n)
{
	if (n)
		go_on(n);
}

/* --- life ------------------------------------------------------------------
 */

struct nbd *nbd_new(struct loop *l, int take_fd, struct nbd_export *e)
{
	struct nbd *n = mem_zalloc(sizeof(*n));

	n->export = e;
	n->fd = take_fd;
	n->watch = watch_new(l, n->fd, nbd_on_ready, n);
	n->timer = timer_new(l, nbd_on_timer, n);
	n->bounce = mem_alloc(NBD_LENGTH_MAX);
	STAILQ_INIT(&n->queue);
	nbd_begin(&n->session, e->size, e->is_readonly, &n->out);
	go_on(n);
	return n;
}

struct nbd *nbd_free(struct nbd *n)
{
	if (!n)
		return NULL;
	nbd_hang_up(n);
	n->timer = timer_free(n->timer);
	buf_done(&n->in);
	buf_done(&n->out);
	free(n->bounce);
	free(n);
	return NULL;
}
