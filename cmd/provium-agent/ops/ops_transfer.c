/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/ops/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/io/tree.h"
#include "cmd/provium-agent/io/xfer.h"

#define PERM_MASK    07777u
#define PERM_DEFAULT 0644u

void op_read_file(const struct req *r)
{
	const char *path = r->m->read_file.path;
	unsigned flags = r->m->read_file.flags;
	bool is_sparse = flags & MSG_FILE_SPARSE;
	/* A FIFO without a writer must not block us; nor does it end before
	 * one came, for poll(2) waits for the first. */
	CLEANUP(fd_closep)
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (flags & ~(MSG_FILE_SPARSE | MSG_FILE_TREE))
		req_error(r, EINVAL, "read '%s'", path);
	else if (fd < 0 || fstat(fd, &st) < 0)
		req_error(r, errno, "open '%s'", path);
	else if (S_ISDIR(st.st_mode) &&
		 flags == (MSG_FILE_SPARSE | MSG_FILE_TREE))
		tree_send(r, TAKE_FD(fd), st.st_mode, path);
	else if (S_ISDIR(st.st_mode))
		req_error(r, EISDIR, "read '%s'", path);
	else
		source_start(r, TAKE_FD(fd), is_sparse,
			     is_sparse ? (int64_t)st.st_mode : st.st_size,
			     mem_printf("read '%s'", path));
}

void op_fd_stream(const struct req *r)
{
	int fd = fcntl(r->m->fd_stream.fd, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		req_error(r, errno, "stream fd %d", r->m->fd_stream.fd);
	else
		source_start(r, fd, false, 0,
			     mem_printf("read fd %d", r->m->fd_stream.fd));
}

static void free_sink(struct sink *s)
{
	free(s);
}

/* A FIFO without a reader is an error (ENXIO) instead of a wait. */
static int open_to_write(const char *path, uint32_t perm)
{
	CLEANUP(fd_closep)
	int fd =
	    open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK,
		 perm == MSG_PERM_DEFAULT ? PERM_DEFAULT : 0600);

	if (fd < 0)
		return -errno;
	if (perm != MSG_PERM_DEFAULT && fchmod(fd, perm & PERM_MASK) < 0)
		return -errno;
	return TAKE_FD(fd);
}

void op_write_file(const struct req *r)
{
	const struct msg_write_file *q = &r->m->write_file;
	bool is_known = !(q->flags & ~MSG_FILE_SPARSE);
	struct sink *s;
	int fd;

	if (q->flags == MSG_FILE_TREE) {
		tree_receive(r, q->path);
		return;
	}
	fd = is_known ? open_to_write(q->path, q->perm) : -EINVAL;
	if (fd < 0) {
		req_error(r, -fd, "open '%s'", q->path);
		return;
	}
	s = mem_zalloc(sizeof(*s));
	s->fd = fd;
	s->owns_fd = true;
	s->on_stop = free_sink;
	sink_init(s, mem_printf("write '%s'", q->path));
	s->is_sparse = q->flags & MSG_FILE_SPARSE;
	if (q->perm != MSG_PERM_DEFAULT && s->is_regular)
		s->perm = (int32_t)(q->perm & PERM_MASK);
	task_start(&s->t, r, &sink_ops);
	sink_go(s);
}
