/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: a stream_read is in flight, or its bytes are being
 * written; `at` says how far. The source is paid when the engine hands bytes
 * over, so no more than one piece is held here, and a file that is slow holds
 * up its source. In one turn of the loop no more than TURN_MAX is written.
 *
 * A file is never waited for, it is written; where it is a pipe or a terminal
 * that is full, its becoming writable is.
 */
#include "streams/spool_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "agent-proto/sparse.h"
#include "streams/disk_err.h"
#include "streams/io.h"

#define PIECE_MAX ((size_t)256 << 10)
#define TURN_MAX  ((uint64_t)1 << 20)

struct spool_file {
	struct loop *loop;     /* borrowed */
	struct stream *stream; /* borrowed */
	char *path;
	int fd; /* -1: over */
	struct stream_wait w;
	size_t at; /* of w.bytes */
	uint64_t written;
	struct timer *next;  /* the rest, in the next turn */
	struct watch *watch; /* until it is writable; NULL: it is */
	struct op *waiter;   /* borrowed */
	bool has_ended;
	bool is_sparse;
	struct sparse_reader records;
	struct err err;	   /* of the file; code 0: none */
	struct err broken; /* of the stream */
};

static void advance(struct spool_file *sp);

/* --- the end --------------------------------------------------------------
 */

static void spool_file_fail(struct spool_file *sp, const char *what, int code)
{
	if (!sp->err.code)
		disk_err(&sp->err, code, sp->path, "cannot %s '%s' on the host",
			 what, sp->path);
}

static void spool_file_tell(struct spool_file *sp)
{
	struct op *op = sp->waiter;
	const struct err *err = sp->err.code ? &sp->err : &sp->broken;

	sp->waiter = NULL;
	if (!op)
		return;
	if (err->code)
		op_finish(op, err->code, err);
	else
		op_finish(op, sp->has_ended, NULL);
}

/* Makes the file as long as its last hole says, where nothing is written. */
static void seal(struct spool_file *sp)
{
	off_t at;

	if (!sp->is_sparse || !sp->has_ended || sp->err.code)
		return;
	at = lseek(sp->fd, 0, SEEK_CUR);
	if (at < 0 || ftruncate(sp->fd, at) < 0)
		spool_file_fail(sp, "write", -errno);
	else if (!sparse_is_whole(&sp->records))
		err_set(&sp->err, -EPROTO,
			"the agent broke the protocol: a record of the file "
			"breaks off");
}

/* Nothing more is written. Whoever waits is told, as the last thing. */
static void spool_file_end(struct spool_file *sp)
{
	sp->w.op.on_done = NULL;
	op_cancel(&sp->w.op);
	sp->watch = watch_free(sp->watch);
	timer_set(sp->next, CLOCK_NEVER);
	if (sp->fd >= 0)
		seal(sp);
	/* Where the last bytes may be refused: a file system of a network. */
	if (sp->fd >= 0 && close(sp->fd) && errno != EINTR)
		spool_file_fail(sp, "write", -errno);
	sp->fd = -1;
	spool_file_tell(sp);
}

/* --- writing --------------------------------------------------------------
 */

/* Takes the headers of records that are next, and leaves their holes out.
 * Returns how many bytes of data follow, or -errno. */
static ssize_t take_headers(struct spool_file *sp)
{
	const struct buf *b = &sp->w.bytes;
	uint64_t hole;
	size_t n = 0;

	while (sp->at < b->len &&
	       !(n = sparse_data(&sp->records, b->len - sp->at))) {
		sp->at += sparse_take_header(&sp->records, buf_data(b) + sp->at,
					     b->len - sp->at, &hole);
		if (hole > INT64_MAX)
			return -EFBIG;
		if (hole && lseek(sp->fd, (off_t)hole, SEEK_CUR) < 0)
			return -errno;
	}
	return (ssize_t)n;
}

/* Writes what was read, as far as it goes: 0, -EAGAIN, or another error. */
static int write_piece(struct spool_file *sp)
{
	const struct buf *b = &sp->w.bytes;

	while (sp->at < b->len) {
		ssize_t n = sp->is_sparse ? take_headers(sp)
					  : (ssize_t)(b->len - sp->at);

		if (n <= 0)
			return (int)n;
		n = io_write_some(sp->fd, buf_data(b) + sp->at, (size_t)n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (sp->is_sparse)
			sparse_used(&sp->records, (size_t)n);
		sp->at += (size_t)n;
		sp->written += (uint64_t)n;
	}
	return 0;
}

static void spool_file_on_writable(void *ctx, int fd, unsigned ready)
{
	struct spool_file *sp = ctx;

	(void)fd;
	(void)ready;
	sp->watch = watch_free(sp->watch);
	advance(sp);
}

static void spool_file_on_next(void *ctx)
{
	advance(ctx);
}

static void spool_file_on_bytes(struct op *op, void *ctx)
{
	struct spool_file *sp = ctx;

	(void)op;
	/* What comes in the same turn is written with it. */
	timer_set(sp->next, 0);
}

static void spool_file_read_on(struct spool_file *sp)
{
	struct op *op = &sp->w.op;

	sp->at = 0;
	stream_read(&sp->w, PIECE_MAX, CLOCK_NEVER);
	if (op_is_done(op))
		return;
	op->on_done = spool_file_on_bytes;
	op->done_ctx = sp;
}

/* A read that is over has brought no bytes. */
static void note_end(struct spool_file *sp)
{
	const struct op *op = &sp->w.op;

	if (op->result < 0 && op->result != -ECANCELED)
		sp->broken = op->err;
	sp->has_ended = !op->result && !stream_is_closed(sp->stream);
}

static void wait_writable(struct spool_file *sp)
{
	sp->watch = watch_new(sp->loop, sp->fd, spool_file_on_writable, sp);
	watch_set(sp->watch, LOOP_WRITE);
}

/* The read is done: writes its bytes, reads and writes on. */
static void advance(struct spool_file *sp)
{
	uint64_t from = sp->written;
	int ret;

	while (sp->w.op.result > 0) {
		ret = write_piece(sp);
		if (ret == -EAGAIN) {
			wait_writable(sp);
			return;
		}
		if (ret < 0) {
			spool_file_fail(sp, "write", ret);
			spool_file_end(sp);
			return;
		}
		spool_file_read_on(sp);
		if (!op_is_done(&sp->w.op))
			return;
		if (sp->w.op.result > 0 && sp->written - from >= TURN_MAX) {
			timer_set(sp->next, 0);
			return;
		}
	}
	note_end(sp);
	spool_file_end(sp);
}

/* --- what others see ------------------------------------------------------ */

static int spool_file_open_file(const char *path, struct err *err)
{
	/* Not held up by a pipe without a reader. */
	int fd = open(path,
		      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK |
			  O_NOCTTY,
		      0666);

	if (fd < 0)
		return disk_err(err, -errno, path,
				"cannot create '%s' on the host", path);
	return fd;
}

static struct spool_file *new_spool(struct loop *l, struct stream *s,
				    const char *path, bool is_sparse,
				    struct err *err)
{
	if (stream_is_busy(s)) {
		err_set(err, -EBUSY, "another call is waiting on this stream");
		return NULL;
	}
	int fd = spool_file_open_file(path, err);
	if (fd < 0)
		return NULL;

	struct spool_file *sp = mem_zalloc(sizeof(*sp));

	sp->loop = l;
	sp->stream = s;
	sp->path = mem_strdup(path);
	sp->fd = fd;
	sp->is_sparse = is_sparse;
	sp->next = timer_new(l, spool_file_on_next, sp);
	stream_wait_init(&sp->w, s);
	spool_file_read_on(sp);
	if (op_is_done(&sp->w.op))
		advance(sp);
	return sp;
}

struct spool_file *spool_file_new(struct loop *l, struct stream *s,
				  const char *path, struct err *err)
{
	return new_spool(l, s, path, false, err);
}

struct spool_file *spool_file_new_sparse(struct loop *l, struct stream *s,
					 const char *path, struct err *err)
{
	return new_spool(l, s, path, true, err);
}

/* The same as advance(), for good: waits for a file that is full. */
static int spool_file_write_rest(struct spool_file *sp)
{
	int64_t deadline = clock_deadline_ns(SPOOL_FILE_PATIENCE_NS), left;
	struct pollfd pfd = {.fd = sp->fd, .events = POLLOUT};
	int ret;

	for (;;) {
		ret = write_piece(sp);
		if (!ret) {
			spool_file_read_on(sp);
			if (op_is_done(&sp->w.op) && sp->w.op.result > 0)
				continue;
			return 0;
		}
		left = deadline - clock_now_ns();
		if (ret != -EAGAIN || left <= 0)
			return ret == -EAGAIN ? -ETIMEDOUT : ret;
		poll(&pfd, 1, (int)(left / NS_PER_MS) + 1);
	}
}

void spool_file_finish(struct spool_file *sp)
{
	if (spool_file_is_over(sp))
		return;
	/* A read in flight has taken nothing. */
	sp->w.op.on_done = NULL;
	op_cancel(&sp->w.op);
	int ret = spool_file_write_rest(sp);
	if (ret < 0)
		spool_file_fail(sp, "write", ret);
	else if (op_is_done(&sp->w.op))
		note_end(sp);
	spool_file_end(sp);
}

struct spool_file *spool_file_free(struct spool_file *sp)
{
	if (!sp)
		return NULL;
	if (sp->waiter)
		op_cancel(sp->waiter);
	stream_wait_done(&sp->w);
	watch_free(sp->watch);
	timer_free(sp->next);
	if (sp->fd >= 0)
		close(sp->fd);
	free(sp->path);
	free(sp);
	return NULL;
}

static void spool_file_on_wait_stop(struct op *op, int reason)
{
	struct spool_file *sp = op->owner;

	if (sp->waiter != op)
		return;
	sp->waiter = NULL;
	if (reason == -ETIMEDOUT)
		op->result = 0;
}

void spool_file_wait(struct spool_file *sp, struct op *op, int64_t deadline_ns)
{
	assert(!sp->waiter);
	op_init(op, sp->loop, spool_file_on_wait_stop);
	op->owner = sp;
	op_start(op, deadline_ns);
	sp->waiter = op;
	if (spool_file_is_over(sp))
		spool_file_tell(sp);
}

const char *spool_file_path(const struct spool_file *sp)
{
	return sp->path;
}

uint64_t spool_file_written(const struct spool_file *sp)
{
	return sp->written;
}

bool spool_file_is_over(const struct spool_file *sp)
{
	return sp->fd < 0;
}

const struct err *spool_file_error(const struct spool_file *sp)
{
	return sp->err.code ? &sp->err : NULL;
}
