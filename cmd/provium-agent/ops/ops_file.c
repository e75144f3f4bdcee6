/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/ops/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "cmd/provium-agent/io/xfer.h"
#include "cmd/provium-agent/ops/file.h"

#define PERM_MASK    07777u
#define PERM_DEFAULT 0644u

/* One request on an open file; it waits for its turn in file->queue. */
struct file_op {
	TAILQ_ENTRY(file_op) link;
	struct file *file;
	bool begun;
	void (*begin)(struct file_op *op);
	union {
		struct source source;
		struct sink sink;
		struct {
			struct task t;
			int64_t offset;
			int whence;
		} seek;
	};
};

static void file_free_if_over(struct file *f)
{
	if (!f->released || f->advancing || !TAILQ_EMPTY(&f->queue))
		return;
	close(f->fd);
	free(f->path);
	free(f);
}

/* Closes it, after what was asked for before. */
static void file_release(struct handle *h)
{
	struct file *f = CONTAINER_OF(h, struct file, h);

	f->released = true;
	file_free_if_over(f);
}

struct file *file_find(const struct handle_table *t, uint64_t id)
{
	struct handle *h = handle_find(t, id);

	return h && h->release == file_release ? CONTAINER_OF(h, struct file, h)
					       : NULL;
}

/* Begins the first op; ops that end at once make way for the next. */
static void file_advance(struct file *f)
{
	struct file_op *op;

	if (f->advancing)
		return;
	f->advancing = true;
	while ((op = TAILQ_FIRST(&f->queue)) && !op->begun) {
		op->begun = true;
		op->begin(op);
	}
	f->advancing = false;
	file_free_if_over(f);
}

static void file_op_over(struct file_op *op)
{
	struct file *f = op->file;

	TAILQ_REMOVE(&f->queue, op, link);
	free(op);
	file_advance(f);
}

static struct file_op *file_op_new(struct file *f,
				   void (*begin)(struct file_op *op))
{
	struct file_op *op = mem_zalloc(sizeof(*op));

	op->file = f;
	op->begin = begin;
	TAILQ_INSERT_TAIL(&f->queue, op, link);
	return op;
}

/* NULL, after the answer, when the handle names no open file. */
static struct file *req_file(const struct req *r, uint64_t id)
{
	struct file *f = file_find(server_handles(r->srv), id);

	if (!f)
		req_error(r, EBADF, "file handle %" PRIu64, id);
	return f;
}

/* --- open ----------------------------------------------------------------- */

/* The open(2) flags, or -EINVAL. */
static int ops_file_open_flags(uint32_t flags)
{
	bool reads = flags & MSG_OPEN_READ;
	bool writes = flags & (MSG_OPEN_WRITE | MSG_OPEN_APPEND);
	int o = O_CLOEXEC | O_NOCTTY;

	if ((!reads && !writes) || flags >= MSG_OPEN_EXCLUSIVE << 1)
		return -EINVAL;
	if (reads && writes)
		o |= O_RDWR;
	else
		o |= writes ? O_WRONLY : O_RDONLY;
	if (flags & MSG_OPEN_APPEND)
		o |= O_APPEND;
	if (flags & MSG_OPEN_CREATE)
		o |= O_CREAT;
	if (flags & MSG_OPEN_TRUNCATE)
		o |= O_TRUNC;
	if (flags & MSG_OPEN_EXCLUSIVE)
		o |= O_EXCL;
	return o;
}

/* A given perm is exact, whatever the umask. Returns the fd or -errno. */
static int open_exact(const char *path, int flags, uint32_t perm)
{
	struct stat st;
	bool is_fifo = stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
	mode_t mask = perm == MSG_PERM_DEFAULT ? 0 : umask(0);
	mode_t mode =
	    perm == MSG_PERM_DEFAULT ? PERM_DEFAULT : perm & PERM_MASK;
	/* Opening a FIFO must not block us. */
	int fd = open(path, is_fifo ? flags | O_NONBLOCK : flags, mode);
	int rc = fd < 0 ? -errno : fd;

	if (perm != MSG_PERM_DEFAULT)
		umask(mask);
	if (fd >= 0 && is_fifo)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return rc;
}

void op_file_open(const struct req *r)
{
	const struct msg_file_open *q = &r->m->file_open;
	struct handle_table *handles = server_handles(r->srv);
	int flags = ops_file_open_flags(q->flags);
	int rc = handle_check(handles, q->handle);
	struct file *f;

	if (rc < 0) {
		req_error(r, -rc, "open '%s' as handle %" PRIu64, q->path,
			  q->handle);
		return;
	}
	rc = flags < 0 ? flags : open_exact(q->path, flags, q->perm);
	if (rc < 0) {
		req_error(r, -rc, "open '%s'", q->path);
		return;
	}
	f = mem_zalloc(sizeof(*f));
	f->fd = rc;
	f->path = mem_strdup(q->path);
	TAILQ_INIT(&f->queue);
	handle_add(handles, &f->h, q->handle, file_release);
	req_done(r, f->fd);
}

/* --- read ----------------------------------------------------------------- */

static void read_begin(struct file_op *op)
{
	source_go(&op->source, 0);
}

static void read_over(struct source *s)
{
	file_op_over(CONTAINER_OF(s, struct file_op, source));
}

void op_file_read(const struct req *r)
{
	const struct msg_file_read *q = &r->m->file_read;
	struct file *f = req_file(r, q->handle);
	struct file_op *op;

	if (!f)
		return;
	op = file_op_new(f, read_begin);
	op->source.fd = f->fd;
	op->source.left = q->count;
	op->source.on_stop = read_over;
	source_init(&op->source, mem_printf("read '%s'", f->path));
	task_start(&op->source.t, r, &source_ops);
	file_advance(f);
}

/* --- write ---------------------------------------------------------------- */

static void write_begin(struct file_op *op)
{
	sink_go(&op->sink);
}

static void write_over(struct sink *s)
{
	file_op_over(CONTAINER_OF(s, struct file_op, sink));
}

void op_file_write(const struct req *r)
{
	struct file *f = req_file(r, r->m->file_write.handle);
	struct file_op *op;

	if (!f)
		return;
	op = file_op_new(f, write_begin);
	op->sink.fd = f->fd;
	op->sink.on_stop = write_over;
	sink_init(&op->sink, mem_printf("write '%s'", f->path));
	task_start(&op->sink.t, r, &sink_ops);
	file_advance(f);
}

/* --- seek ----------------------------------------------------------------- */

static void seek_begin(struct file_op *op)
{
	off_t at = lseek(op->file->fd, op->seek.offset, op->seek.whence);

	if (at < 0)
		task_end_error(&op->seek.t, errno, "seek in '%s'",
			       op->file->path);
	else
		task_end_done(&op->seek.t, at);
}

static void seek_stop(struct task *t)
{
	file_op_over(CONTAINER_OF(t, struct file_op, seek.t));
}

static const struct task_ops seek_ops = {.stop = seek_stop};

void op_file_seek(const struct req *r)
{
	const struct msg_file_seek *q = &r->m->file_seek;
	struct file *f = req_file(r, q->handle);
	struct file_op *op;

	if (!f)
		return;
	if (q->whence > SEEK_END) {
		req_error(r, EINVAL, "seek in '%s'", f->path);
		return;
	}
	op = file_op_new(f, seek_begin);
	op->seek.offset = q->offset;
	op->seek.whence = q->whence;
	task_start(&op->seek.t, r, &seek_ops);
	file_advance(f);
}
