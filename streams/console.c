/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * Every byte goes one way: chardev -> log -> readers. Nobody is given bytes
 * straight from the chardev; a reader is a position in the log, so any number
 * of them, each as slow as it likes, cost the guest nothing and provium a
 * window each. After each block all readers are served, then the alarms look at
 * the block.
 *
 * In a turn of the loop the chardev is read here. Between turns the drain's
 * thread reads it into the log (console_drain.h); `seen` is how far readers and
 * alarms have been told. The next turn catches up first: what the thread
 * has read comes before what is still in the chardev. It catches up with all of
 * it, which takes a small part of the time that the guest took to print it.
 *
 * A turn of the loop reads CONSOLE_TURN_MAX bytes of the chardev at the most,
 * and each reader is served SERVE_MAX at the most; whatever is left is
 * level-triggered (the chardev) or goes on by serve_timer, set to now (the
 * readers), so that others have their turn in between.
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
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/console_private.h"
#include "streams/console_serve.h"
#include "streams/io.h"

#define CONSOLE_TURN_MAX ((size_t)256 << 10)
/* A socket holds far less; but QEMU may live on and print for ever. */
#define CONSOLE_DETACH_MAX ((size_t)64 << 20)

/* --- reading ---------------------------------------------------------------
 */

static void fail_writes(struct console *c);

/* Closes the chardev. */
static void let_chardev_go(struct console *c)
{
	c->watch = watch_free(c->watch);
	c->write_watch = watch_free(c->write_watch);
	if (c->drain)
		loop_remove_sentry(c->loop, &c->sentry);
	c->drain = console_drain_free(c->drain);
	fd_closep(&c->fd);
	fd_closep(&c->write_fd);
}

/* The chardev is gone; what it said stays. */
static void console_hang_up(struct console *c)
{
	if (c->fd < 0)
		return;
	c->read_errno = console_drain_errno(c->drain);
	let_chardev_go(c);
	if (c->server)
		console_server_end(c->server);
	console_end_cursors(c);
	console_serve(c);
	if (!c->is_freed)
		fail_writes(c);
	if (!c->is_freed)
		alarms_flush(&c->alarms);
}

/* c->in holds the next n bytes of the log. */
static void console_take_block(struct console *c, size_t n)
{
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

/* Shows readers and alarms the bytes that the thread has read. */
static void catch_up(struct console *c)
{
	uint64_t size = console_log_size(&c->log);

	while (!c->is_freed && c->seen < size) {
		size_t n =
		    console_log_read(&c->log, &c->seen, c->in, CONSOLE_BLOCK);

		/* Whoever reads the log is told that it cannot be read. */
		if (!n)
			c->seen = size;
		console_take_block(c, n);
	}
}

/* Reads until nothing is there, the end, or max bytes. */
static void read_chardev(struct console *c, size_t max)
{
	size_t total = 0;

	while (c->fd >= 0 && total < max) {
		ssize_t n = console_drain_read(c->drain, c->in);

		if (n < 0)
			console_hang_up(c);
		if (n <= 0)
			break;
		total += (size_t)n;
		c->seen = console_log_size(&c->log);
		console_take_block(c, (size_t)n);
	}
}

/* Reads in a turn of the loop. */
static void console_read_some(struct console *c)
{
	if (c->server)
		console_server_accept(c->server);
	catch_up(c);
	read_chardev(c, CONSOLE_TURN_MAX);
}

/* Reads all bytes that there are, in a turn or between two. */
static void console_read_all(struct console *c)
{
	bool was_away = c->drain && console_drain_take_over(c->drain);

	if (c->server)
		console_server_accept(c->server);
	catch_up(c);
	read_chardev(c, CONSOLE_DETACH_MAX);
	if (was_away && c->drain)
		console_drain_let_go(c->drain);
}

static void on_catch_up_timer(void *ctx)
{
	console_read_some(ctx);
}

static void on_turn(void *ctx)
{
	struct console *c = ctx;

	console_drain_take_over(c->drain);
	if (c->seen < console_log_size(&c->log))
		timer_set(c->catch_up_timer, clock_now_ns());
}

static void on_turn_over(void *ctx)
{
	struct console *c = ctx;

	console_drain_let_go(c->drain);
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

static struct console_write *console_next_interrupted(const struct console *c)
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
	while ((w = console_next_interrupted(c)))
		finish_write(w, &why);
}

/* Writes what the chardev takes now, of the first in the queue. Returns
 * whether that is done. */
static bool write_first(struct console *c)
{
	struct console_write *w = TAILQ_FIRST(&c->writes);

	while (w->bytes.len) {
		ssize_t n = io_write_some(c->write_fd, buf_data(&w->bytes),
					  w->bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		/* Any other error also shows as an end when read. */
		if (n < 0)
			return false;
		buf_consume(&w->bytes, (size_t)n);
	}
	return true;
}

static void console_write_some(struct console *c)
{
	while (c->fd >= 0 && !TAILQ_EMPTY(&c->writes) && write_first(c))
		finish_write(TAILQ_FIRST(&c->writes), NULL);
	if (c->fd >= 0)
		watch_set(c->write_watch,
			  TAILQ_EMPTY(&c->writes) ? 0 : LOOP_WRITE);
}

static void console_on_readable(void *ctx, int fd, unsigned ready)
{
	(void)fd;
	(void)ready;
	console_read_some(ctx);
}

static void console_on_writable(void *ctx, int fd, unsigned ready)
{
	(void)fd;
	(void)ready;
	console_write_some(ctx);
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
		console_write_some(c);
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
	c->fd = c->write_fd = -1;
	c->sentry = (struct loop_sentry){
	    .enter = on_turn, .leave = on_turn_over, .ctx = c};
	c->catch_up_timer = timer_new(l, on_catch_up_timer, c);
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
	let_chardev_go(c);
	c->catch_up_timer = timer_free(c->catch_up_timer);
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
	assert(!console_log_size(&c->log));
	console_log_append(&c->log, p, n);
	c->seen = c->unread = console_log_size(&c->log);
	c->boot_mark = boot_mark < c->seen ? boot_mark : c->seen;
}

uint64_t console_boot_mark(const struct console *c)
{
	return c->boot_mark;
}

int console_attach(struct console *c, int take_fd, int take_write_fd,
		   struct err *err)
{
	assert(c->fd < 0);
	c->drain = console_drain_new(take_fd, &c->log, err);
	if (!c->drain) {
		close(take_fd);
		close(take_write_fd);
		return err->code;
	}
	c->fd = take_fd;
	c->write_fd = take_write_fd;
	c->read_errno = 0;
	fcntl(c->write_fd, F_SETFL, fcntl(c->write_fd, F_GETFL) | O_NONBLOCK);
	c->watch = watch_new(c->loop, c->fd, console_on_readable, c);
	c->write_watch =
	    watch_new(c->loop, c->write_fd, console_on_writable, c);
	watch_set(c->watch, LOOP_READ);
	loop_add_sentry(c->loop, &c->sentry);
	return 0;
}

void console_mark_boot(struct console *c)
{
	console_read_all(c);
	if (!c->is_freed) {
		c->boot_mark = console_log_size(&c->log);
		console_restart_expects(c);
		console_end_cursors(c);
		console_serve(c);
	}
}

void console_detach(struct console *c)
{
	console_read_all(c);
	if (!c->is_freed)
		console_hang_up(c);
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
	uint64_t size = console_log_size(&c->log);
	uint64_t at = size > max ? size - max : 0;
	size_t n;

	do {
		n = console_log_read(&c->log, &at, buf_room(out, max), max);
		buf_commit(out, n);
		max -= n;
	} while (n && max);
}

int console_read_log(struct console *c, struct buf *out, struct err *err)
{
	uint64_t at = 0, size = console_log_size(&c->log);
	size_t n;

	do {
		n = console_log_read(&c->log, &at, buf_room(out, CONSOLE_BLOCK),
				     CONSOLE_BLOCK);
		buf_commit(out, n);
	} while (n && at < size);
	return at < size && console_log_broken(&c->log, err) ? err->code : 0;
}

int64_t console_last_ns(struct console *c)
{
	return console_log_last_ns(&c->log);
}

uint64_t console_size(struct console *c)
{
	return console_log_size(&c->log);
}

const struct err *console_log_error(struct console *c)
{
	return console_log_broken(&c->log, &c->log_err) ? &c->log_err : NULL;
}
