/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/io/xfer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/server.h"

/* Files without a poll operation are always ready, as is a closed fd. */
static bool fd_ready(int fd, short events)
{
	struct pollfd pfd = {.fd = fd, .events = events};

	return poll(&pfd, 1, 0) != 0;
}

/* Whether errno is no error but a reason to wait: somebody else was faster.
 * EAGAIN from a file that claims to be ready would be tried for ever. */
static bool is_passing(int fd)
{
	if (errno != EAGAIN)
		return errno == EINTR;
	if (!fd_ready(fd, POLLIN))
		return true;
	errno = EAGAIN;
	return false;
}

/* False when it cannot be waited for: then the caller goes on. */
static bool wait_start(struct task *t, struct xfer_wait *wait, int fd,
		       uint32_t events)
{
	if (wait->fd < 0)
		wait->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return wait->fd >= 0 &&
	       watch_start(t->srv, &wait->w, wait->fd, events) == 0;
}

static void wait_done(struct task *t, struct xfer_wait *wait)
{
	watch_stop(t->srv, &wait->w);
	fd_closep(&wait->fd);
}

/* --- sources -------------------------------------------------------------- */

static void source_on_ready(struct watch *w, uint32_t events)
{
	struct source *s = CONTAINER_OF(w, struct source, wait.w);

	(void)events;
	watch_stop(s->t.srv, w);
	task_wake(&s->t);
}

void source_init(struct source *s, char *take_label)
{
	s->label = take_label;
	s->wait.fd = -1;
	watch_init(&s->wait.w, source_on_ready);
}

void source_go(struct source *s, int64_t value)
{
	task_send_done(&s->t, value);
	if (s->left)
		task_wake(&s->t);
	else
		task_end_fin(&s->t);
}

/* What is read at once is sent at once, as far as there is room for it. */
static void source_send(struct source *s, uint8_t *p, size_t n)
{
	size_t room = task_room(&s->t);

	if (n <= room && s->at_end) {
		task_end_write(&s->t, p, n);
		return;
	}
	if (n > room) {
		buf_append(&s->rest, p + room, n - room);
		n = room;
	}
	task_write_in_place(&s->t, p, n);
}

static void source_send_rest(struct source *s)
{
	size_t room = task_room(&s->t), n = s->rest.len;

	if (n > room)
		n = room;
	if (n == s->rest.len && s->at_end) {
		task_end_write(&s->t, buf_data(&s->rest), n);
		return;
	}
	task_write(&s->t, buf_data(&s->rest), n);
	buf_consume(&s->rest, n);
}

/* Reads that fail though nothing is wrong. A terminal's other side hung up
 * (EIO, tty_ioctl(4)): that is its end. A log lost what was next (EPIPE,
 * Documentation/ABI/testing/dev-kmsg): the read after that goes on. */
static bool source_excuses(struct source *s, ssize_t *n)
{
	int errnum = errno;

	if (errnum == EIO && isatty(s->fd)) {
		*n = 0;
		return false;
	}
	errno = errnum;
	if (errnum == EPIPE && !s->skipped) {
		s->skipped = true;
		return true;
	}
	return is_passing(s->fd);
}

/* Sends the hole at the position, if there is one. False: it ended the source,
 * or sent something. */
static bool source_skips_hole(struct source *s)
{
	uint8_t header[SPARSE_HEADER];
	uint64_t hole;

	if (!s->can_seek || s->pos < s->map.data_end)
		return false;
	hole = sparse_hole_at(&s->map, s->fd, s->pos);
	/* Some files of procfs have no position: nor have they holes. */
	if (lseek(s->fd, (off_t)(s->pos + hole), SEEK_SET) < 0 &&
	    (hole || errno != ESPIPE)) {
		task_end_error(&s->t, errno, "%s", s->label);
		return true;
	}
	if (!hole)
		return false;
	s->pos += hole;
	sparse_encode(header, hole, 0);
	buf_append(&s->rest, header, sizeof(header));
	source_send_rest(s);
	return true;
}

/*
 * Always asks for a whole piece, even when there is less room: a read of a
 * record (a datagram, a log's line, a counter) that is too small for it loses
 * the rest, or fails.
 */
static void source_step(struct task *t)
{
	struct source *s = CONTAINER_OF(t, struct source, t);
	size_t before = s->is_sparse ? SPARSE_HEADER : 0;
	uint8_t *piece = server_scratch(t->srv);
	size_t want = PIECE_MAX - before;
	ssize_t n;

	if (s->rest.len) {
		source_send_rest(s);
		return;
	}
	if (s->wait.w.fd >= 0 || (!fd_ready(s->fd, POLLIN) &&
				  wait_start(t, &s->wait, s->fd, EPOLLIN))) {
		task_sleep(t);
		return;
	}
	if (source_skips_hole(s))
		return;
	if (want > s->left)
		want = (size_t)s->left;
	n = read(s->fd, piece + before, want);
	if (n < 0 && source_excuses(s, &n))
		return;
	if (n < 0) {
		task_end_error(t, errno, "%s", s->label);
		return;
	}
	s->skipped = false;
	s->left -= (uint64_t)n;
	s->pos += (uint64_t)n;
	s->at_end = !n || !s->left;
	if (before)
		sparse_encode(piece, 0, (uint64_t)n);
	source_send(s, piece, before + (size_t)n);
}

static void source_stop(struct task *t)
{
	struct source *s = CONTAINER_OF(t, struct source, t);

	wait_done(t, &s->wait);
	if (s->owns_fd)
		close(s->fd);
	free(s->label);
	buf_done(&s->rest);
	s->on_stop(s);
}

const struct task_ops source_ops = {
    .step = source_step,
    .stop = source_stop,
};

static void free_source(struct source *s)
{
	free(s);
}

void source_start(const struct req *r, int take_fd, bool is_sparse,
		  int64_t value, char *take_label)
{
	struct source *s = mem_zalloc(sizeof(*s));
	struct stat st;

	s->is_sparse = is_sparse;
	s->can_seek =
	    is_sparse && fstat(take_fd, &st) == 0 && S_ISREG(st.st_mode);
	s->fd = take_fd;
	s->owns_fd = true;
	s->left = UINT64_MAX;
	s->on_stop = free_source;
	source_init(s, take_label);
	task_start(&s->t, r, &source_ops);
	source_go(s, value);
}

/* --- sinks ---------------------------------------------------------------- */

/* Bytes of a hole that are written in a turn of the loop. */
#define ZEROS_TURN ((size_t)1 << 20)

static void sink_write(struct sink *s);

static void sink_on_turn(struct watch *w, uint32_t events)
{
	struct sink *s = CONTAINER_OF(w, struct sink, turn.w);

	(void)events;
	watch_stop(s->t.srv, w);
	sink_write(s);
}

/* Has sink_write() go on in the next turn, so that others have theirs. False:
 * there is no descriptor for that. */
static bool sink_yields(struct sink *s)
{
	if (s->turn.fd < 0)
		s->turn.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	return s->turn.fd >= 0 &&
	       watch_start(s->t.srv, &s->turn.w, s->turn.fd, EPOLLIN) == 0;
}

static void sink_on_ready(struct watch *w, uint32_t events)
{
	struct sink *s = CONTAINER_OF(w, struct sink, wait.w);

	(void)events;
	watch_stop(s->t.srv, w);
	sink_write(s);
}

void sink_init(struct sink *s, char *take_label)
{
	struct stat st;

	s->label = take_label;
	s->wait.fd = -1;
	s->perm = -1;
	s->turn.fd = -1;
	watch_init(&s->wait.w, sink_on_ready);
	watch_init(&s->turn.w, sink_on_turn);
	s->write_max = SSIZE_MAX;
	if (fstat(s->fd, &st) < 0)
		return;
	s->is_regular = S_ISREG(st.st_mode);
	/* Only of these is it certain that poll(2) knows of writing: a driver
	 * may report nothing but input, and would be waited for in vain. */
	s->asks_first = S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
			(S_ISCHR(st.st_mode) && isatty(s->fd));
	/* A blocking pipe that polls writable has room for that much. */
	if (s->asks_first && !S_ISCHR(st.st_mode))
		s->write_max = PIPE_BUF;
}

void sink_go(struct sink *s)
{
	s->going = true;
	sink_write(s);
}

/* Whether there is something to write now. A write of the peer is kept
 * together: it may be a line for a device, or a record for a pipe. */
static bool sink_has_work(const struct sink *s)
{
	return s->zeros || (s->pending.len && (!s->partial || s->fin ||
					       s->pending.len >= CHAN_WINDOW));
}

/* What is not written counts as used: the host may send its rest. */
static void sink_fail(struct sink *s, int errnum)
{
	chan_consumed(s->t.ch, s->pending.len);
	task_end_error(&s->t, errnum, "%s", s->label);
}

/* Writing clears the set-uid and set-gid bits unless root writes (Linux,
 * fs/inode.c, file_remove_privs()), so the mode is set behind the data. If the
 * kernel silently leaves one of these bits out, this is -EPERM. */
static int set_perm(int fd, mode_t perm)
{
	struct stat st;

	if (fchmod(fd, perm) < 0 || fstat(fd, &st) < 0)
		return -errno;
	return perm & ~st.st_mode & (S_ISUID | S_ISGID) ? -EPERM : 0;
}

/* Makes the file as long as its last hole says, where nothing is written. */
static int sink_seal(struct sink *s)
{
	off_t at;

	if (s->is_sparse && !sparse_is_whole(&s->records))
		return -EINVAL;
	if (s->is_sparse && s->is_regular) {
		at = lseek(s->fd, 0, SEEK_CUR);
		if (at < 0 || ftruncate(s->fd, at) < 0)
			return -errno;
	}
	return s->perm < 0 ? 0 : set_perm(s->fd, (mode_t)s->perm);
}

static void sink_end(struct sink *s)
{
	int rc = sink_seal(s);

	if (rc < 0) {
		sink_fail(s, -rc);
		return;
	}
	if (s->owns_fd) {
		s->owns_fd = false;
		if (close(s->fd) < 0) {
			sink_fail(s, errno);
			return;
		}
	}
	task_end_done(&s->t, s->written);
}

static bool sink_waits(struct sink *s)
{
	return !fd_ready(s->fd, POLLOUT) &&
	       wait_start(&s->t, &s->wait, s->fd, EPOLLOUT);
}

static void sink_consume(struct sink *s, size_t n)
{
	buf_consume(&s->pending, n);
	chan_consumed(s->t.ch, n);
}

/* Takes the headers of records that are next. Leaves their holes out of a
 * regular file; any other file gets zeros. 0 or -errno. */
static int sink_take_headers(struct sink *s)
{
	uint64_t hole;

	while (s->pending.len && !s->zeros && !s->records.left) {
		sink_consume(s, sparse_take_header(&s->records,
						   buf_data(&s->pending),
						   s->pending.len, &hole));
		if (!s->is_regular)
			s->zeros = hole;
		else if (hole > INT64_MAX)
			return -EFBIG;
		else if (hole && lseek(s->fd, (off_t)hole, SEEK_CUR) < 0)
			return -errno;
	}
	return 0;
}

/* The bytes to be written next; *ret_n is their number. */
static const void *sink_next(const struct sink *s, size_t *ret_n)
{
	*ret_n = s->pending.len;
	if (s->zeros) {
		*ret_n = s->zeros < PIECE_MAX ? (size_t)s->zeros : PIECE_MAX;
		return memset(server_scratch(s->t.srv), 0, *ret_n);
	}
	if (s->is_sparse)
		*ret_n = sparse_data(&s->records, s->pending.len);
	return buf_data(&s->pending);
}

static void sink_wrote(struct sink *s, size_t n)
{
	s->written += (int64_t)n;
	if (s->zeros) {
		s->zeros -= n;
		return;
	}
	if (s->is_sparse)
		sparse_used(&s->records, n);
	sink_consume(s, n);
}

static void sink_write(struct sink *s)
{
	size_t budget = ZEROS_TURN;

	while (sink_has_work(s)) {
		int rc = s->is_sparse ? sink_take_headers(s) : 0;
		size_t n;
		const void *p = sink_next(s, &n);
		ssize_t done;

		if (rc < 0) {
			sink_fail(s, -rc);
			return;
		}
		if (!n)
			continue;
		if (s->turn.w.fd >= 0 || (!budget && sink_yields(s)))
			return;
		if (s->wait.w.fd >= 0 || (s->asks_first && sink_waits(s)))
			return;
		if (n > s->write_max)
			n = s->write_max;
		done = write(s->fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			int errnum = errno;
			if (errnum != EAGAIN || !sink_waits(s))
				sink_fail(s, errnum);
			return;
		}
		if (s->zeros)
			budget -= (size_t)done < budget ? (size_t)done : budget;
		sink_wrote(s, (size_t)done);
	}
	if (s->fin && s->going)
		sink_end(s);
}

static void sink_data(struct task *t, const uint8_t *p, size_t n, bool more)
{
	struct sink *s = CONTAINER_OF(t, struct sink, t);

	buf_append(&s->pending, p, n);
	s->partial = more;
	if (s->going)
		sink_write(s);
}

static void sink_fin(struct task *t)
{
	struct sink *s = CONTAINER_OF(t, struct sink, t);

	s->fin = true;
	if (s->going)
		sink_write(s);
}

static void sink_stop(struct task *t)
{
	struct sink *s = CONTAINER_OF(t, struct sink, t);

	wait_done(t, &s->wait);
	wait_done(t, &s->turn);
	if (s->owns_fd)
		close(s->fd);
	free(s->label);
	buf_done(&s->pending);
	s->on_stop(s);
}

const struct task_ops sink_ops = {
    .data = sink_data,
    .fin = sink_fin,
    .stop = sink_stop,
};
