/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * Every byte goes one way: chardev -> log -> readers. Nobody is given bytes
 * straight from the chardev; a reader is a position in the log, so any number
 * of them, each as slow as it likes, cost the guest nothing and provium a
 * window each. After each read() of a block all readers are served, then the
 * alarms look at the block.
 *
 * A turn of the loop reads CONSOLE_TURN_MAX bytes at the most, and each
 * reader is served SERVE_MAX at the most; whatever is left is level-triggered
 * (the chardev) or goes on by serve_timer, set to now (the readers), so that
 * others have their turn in between.
 *
 * Readers' code runs from inside a serve, and may free the console: the
 * struct itself then lives to the end of the turn, with is_freed set and no
 * readers, so that the functions up the stack come to an end.
 *
 * Programs that connect to the console's socket are readers too, with a file
 * of their own (console_serve.c): no code of ours runs for them in a serve.
 *
 * The chardev's end, as a read of 0 or any error, is an end and never an
 * error: QEMU is gone or the VM was shut down. Who waits is told of the error.
 */
#include "streams/console.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "streams/console_private.h"
#include "streams/console_serve.h"

#define CONSOLE_TURN_MAX ((size_t)256 << 10)
/* A socket holds far less; but QEMU may live on and print for ever. */
#define CONSOLE_DETACH_MAX ((size_t)64 << 20)

/* --- reading ---------------------------------------------------------------
 */

static void fail_writes(struct console *c);

/* The chardev is gone; what it said stays. */
static void hang_up(struct console *c)
{
	if (c->fd < 0)
		return;
	c->watch = watch_free(c->watch);
	close(c->fd);
	c->fd = -1;
	if (c->server)
		console_server_end(c->server);
	console_end_cursors(c);
	console_serve(c);
	if (!c->is_freed)
		fail_writes(c);
	if (!c->is_freed)
		alarms_flush(&c->alarms);
}

static void take_block(struct console *c, size_t n)
{
	console_log_append(&c->log, c->in, n);
	if (c->server)
		console_server_wake(c->server);
	console_serve(c);
	if (c->is_freed)
		return;
	bool was_tripped = c->alarms.is_tripped;

	alarms_feed(&c->alarms, c->in, n);
	if (!c->alarms.is_tripped)
		timer_set(c->alarm_timer, CLOCK_NEVER);
	else if (!was_tripped)
		timer_set(c->alarm_timer,
			  clock_deadline_ns(CONSOLE_LINE_WAIT_NS));
}

/* Reads until nothing is there, the end, or max bytes. */
static void read_some(struct console *c, size_t max)
{
	size_t total = 0;

	if (c->server)
		console_server_accept(c->server);
	while (c->fd >= 0 && total < max) {
		ssize_t n = read(c->fd, c->in, CONSOLE_BLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			c->read_errno = n < 0 ? errno : 0;
			hang_up(c);
			break;
		}
		total += (size_t)n;
		take_block(c, (size_t)n);
	}
}

static void on_alarm_timer(void *ctx)
{
	struct console *c = ctx;

	alarms_flush(&c->alarms);
}

static void on_serve_timer(void *ctx)
{
	console_serve(ctx);
}

/* --- writing ---------------------------------------------------------------
 */

static void finish_write(struct console_write *w, const struct err *err)
{
	TAILQ_REMOVE(&w->console->writes, w, link);
	w->console = NULL;
	op_finish(&w->op, err ? err->code : 0, err);
}

static void refuse_write(struct console_write *w)
{
	struct err err;

	err_set(&err, -EPIPE,
		"cannot write to the console: it is not connected");
	finish_write(w, &err);
}

static void fail_writes(struct console *c)
{
	while (!TAILQ_EMPTY(&c->writes))
		refuse_write(TAILQ_FIRST(&c->writes));
}

static struct console_write *next_interrupted(const struct console *c)
{
	struct console_write *w;

	TAILQ_FOREACH (w, &c->writes, link)
		if (w->turn != c->turn && !w->is_kept)
			return w;
	return NULL;
}

void console_interrupt(struct console *c, const struct err *err)
{
	const struct err why = *err;
	struct console_write *w;

	console_interrupt_expects(c, &why);
	while ((w = next_interrupted(c)))
		finish_write(w, &why);
}

static ssize_t write_fd(int fd, const void *p, size_t n)
{
	ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

	return k < 0 && errno == ENOTSOCK ? write(fd, p, n) : k;
}

/* Writes what the chardev takes now, of the first in the queue. Returns
 * whether that is done. */
static bool write_first(struct console *c)
{
	struct console_write *w = TAILQ_FIRST(&c->writes);

	while (w->bytes.len) {
		ssize_t n = write_fd(c->fd, buf_data(&w->bytes), w->bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		/* Any other error also shows as an end when read. */
		if (n < 0)
			return false;
		buf_consume(&w->bytes, (size_t)n);
	}
	return true;
}

static void write_some(struct console *c)
{
	while (c->fd >= 0 && !TAILQ_EMPTY(&c->writes) && write_first(c))
		finish_write(TAILQ_FIRST(&c->writes), NULL);
	if (c->fd >= 0)
		watch_set(c->watch, TAILQ_EMPTY(&c->writes)
					? LOOP_READ
					: LOOP_READ | LOOP_WRITE);
}

static void on_chardev(void *ctx, int fd, unsigned ready)
{
	struct console *c = ctx;

	(void)fd;
	if (ready & LOOP_WRITE)
		write_some(c);
	if (ready & LOOP_READ)
		read_some(c, CONSOLE_TURN_MAX);
}

static void on_write_stop(struct op *op, int reason)
{
	struct console_write *w = CONTAINER_OF(op, struct console_write, op);

	if (w->console)
		TAILQ_REMOVE(&w->console->writes, w, link);
	w->console = NULL;
	if (reason == -ETIMEDOUT)
		err_set(
		    &op->err, reason,
		    "console write timed out: %zu bytes are left, the guest "
		    "does not read its console",
		    w->bytes.len);
}

void console_write_start(struct console_write *w, struct console *c,
			 const void *p, size_t n, int64_t deadline_ns)
{
	*w = (struct console_write){.console = c, .turn = c->turn};
	op_init(&w->op, c->loop, on_write_stop);
	op_start(&w->op, deadline_ns);
	buf_append(&w->bytes, p, n);
	TAILQ_INSERT_TAIL(&c->writes, w, link);
	if (c->fd < 0)
		refuse_write(w);
	else if (w == TAILQ_FIRST(&c->writes))
		write_some(c);
}

void console_write_done(struct console_write *w)
{
	op_done(&w->op);
	buf_done(&w->bytes);
}

/* --- life ------------------------------------------------------------------
 */

struct console *console_new(struct loop *l, const char *log_path,
			    struct err *err)
{
	struct console *c = mem_zalloc(sizeof(*c));

	if (console_log_open(&c->log, log_path, err) < 0) {
		free(c);
		return NULL;
	}
	c->loop = l;
	c->fd = -1;
	c->alarm_timer = timer_new(l, on_alarm_timer, c);
	c->serve_timer = timer_new(l, on_serve_timer, c);
	c->in = mem_alloc(CONSOLE_BLOCK);
	c->out = mem_alloc(CONSOLE_BLOCK);
	TAILQ_INIT(&c->cursors);
	TAILQ_INIT(&c->expects);
	TAILQ_INIT(&c->writes);
	return c;
}

static void free_memory(void *ptr)
{
	struct console *c = ptr;

	free(c->in);
	free(c->out);
	free(c);
}

struct console *console_free(struct console *c)
{
	if (!c)
		return NULL;
	c->is_freed = true;
	c->server = console_server_free(c->server);
	c->watch = watch_free(c->watch);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->alarm_timer = timer_free(c->alarm_timer);
	c->serve_timer = timer_free(c->serve_timer);
	while (!TAILQ_EMPTY(&c->writes))
		op_cancel(&TAILQ_FIRST(&c->writes)->op);
	console_drop_readers(c);
	alarms_done(&c->alarms);
	console_log_done(&c->log);
	loop_defer_free(c->loop, c, free_memory);
	return NULL;
}

int console_listen(struct console *c, const char *path, struct err *err)
{
	assert(!c->server);
	c->server = console_server_new(c, path, err);
	return c->server ? 0 : err->code;
}

void console_continue(struct console *c, const void *p, size_t n,
		      uint64_t boot_mark)
{
	assert(!c->log.size);
	console_log_append(&c->log, p, n);
	c->unread = c->log.size;
	c->boot_mark = boot_mark < c->log.size ? boot_mark : c->log.size;
}

uint64_t console_boot_mark(const struct console *c)
{
	return c->boot_mark;
}

void console_attach(struct console *c, int take_fd)
{
	assert(c->fd < 0);
	c->fd = take_fd;
	c->read_errno = 0;
	fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
	c->watch = watch_new(c->loop, c->fd, on_chardev, c);
	watch_set(c->watch, LOOP_READ);
}

void console_mark_boot(struct console *c)
{
	read_some(c, CONSOLE_DETACH_MAX);
	if (!c->is_freed) {
		c->boot_mark = c->log.size;
		console_restart_expects(c);
		console_end_cursors(c);
		console_serve(c);
	}
}

void console_detach(struct console *c)
{
	read_some(c, CONSOLE_DETACH_MAX);
	if (!c->is_freed)
		hang_up(c);
}

void console_set_alarms(struct console *c, const char *const *alarms, size_t n,
			console_alarm_cb cb, void *ctx)
{
	alarms_set(&c->alarms, alarms, n, cb, ctx);
	timer_set(c->alarm_timer, CLOCK_NEVER);
}

/* --- the log ---------------------------------------------------------------
 */

void console_tail(struct console *c, struct buf *out, size_t max)
{
	uint64_t at = c->log.size > max ? c->log.size - max : 0;
	size_t n;

	do {
		n = console_log_read(&c->log, &at, buf_room(out, max), max);
		buf_commit(out, n);
		max -= n;
	} while (n && max);
}

int console_read_log(struct console *c, struct buf *out, struct err *err)
{
	uint64_t at = 0;
	size_t n;

	do {
		n = console_log_read(&c->log, &at, buf_room(out, CONSOLE_BLOCK),
				     CONSOLE_BLOCK);
		buf_commit(out, n);
	} while (n);
	if (at == c->log.size)
		return 0;
	*err = c->log.err;
	return err->code;
}

uint64_t console_size(const struct console *c)
{
	return c->log.size;
}

const struct err *console_log_error(const struct console *c)
{
	return c->log.err.code ? &c->log.err : NULL;
}
