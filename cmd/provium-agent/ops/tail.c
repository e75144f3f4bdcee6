/* SPDX-License-Identifier: MIT */
/*
 * Tails: following a file as it grows.
 *
 * The file is held by its descriptor, so renaming or deleting it changes
 * nothing. inotify tells when it was modified; one instance serves all tails,
 * because a user may have few (fs.inotify.max_user_instances), and two tails
 * of one file share its watch descriptor. The watch is set before the size is
 * looked at: growth after that is always noticed.
 *
 * A file that became smaller than it was, and than our position, was
 * truncated: it is followed from offset 0.
 *
 * A notice costs more than writing the line that it is about, and is paid by
 * who writes. So a file that has grown BUSY_READS times in BUSY_MS is looked at
 * every BUSY_POLL_MS instead, without a watch, until nothing was there for
 * QUIET_POLLS times, as drivers of network cards do; or until it was
 * truncated: one that is written anew often keeps its watch.
 *
 * inotify sees only what goes through this kernel's VFS. Files that the
 * kernel makes up as they are read (procfs, sysfs, ...) and those that others
 * may change (network and host-shared file systems) are looked at every
 * POLL_MS. The former have no meaningful size.
 */
#include "cmd/provium-agent/ops/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "cmd/provium-agent/core/watch.h"
#include "cmd/provium-agent/io/xfer.h"
#include "cmd/provium-agent/ops/file.h"
#include "cmd/provium-agent/ops/ops.h"

#define POLLED_FS    15
#define POLL_MS	     100
#define BUSY_READS   32
#define BUSY_MS	     100
#define BUSY_POLL_MS 4
#define QUIET_POLLS  25
#define PSEUDO_MAX   ((uint64_t)64 << 20) /* read to find the end of one */

/* linux/magic.h lacks some. */
#define FUSE_MAGIC    0x65735546
#define CONFIGFS_FS   0x62656570
#define CIFS_SUPER_FS 0xff534d42
#define SMB2_SUPER_FS 0xfe534d42

/* Wakes the tails that it ticks for. */
struct ticker {
	struct tails *ts;
	int fd;
	struct watch w;
	unsigned ms;
	unsigned users;
};

struct tails {
	struct server *srv;
	int inotify_fd;
	struct watch inotify_w;
	struct ticker slow; /* every POLL_MS */
	struct ticker fast; /* every BUSY_POLL_MS */
	LIST_HEAD(tail_list, tail) all;
};

struct tail {
	struct task t;
	LIST_ENTRY(tail) link;
	int fd;		       /* owned */
	int wd;		       /* of inotify; -1: none */
	struct ticker *ticker; /* NULL: it has a wd, or had no room at a tick */
	unsigned reads;	       /* that found something, since reads_ns */
	int64_t reads_ns;
	unsigned quiet; /* looks in vain, at a busy file */
	bool pseudo;	/* st_size means nothing */
	bool no_seek;	/* pread() is refused: take what comes */
	bool at_end;	/* the last read gave nothing */
	uint64_t pos;
	uint64_t last_size;
	char *label;
};

static const struct fs_kind {
	uint32_t magic;
	bool pseudo;
} polled_fs[POLLED_FS];

/* --- tickers -------------------------------------------------------------- */

static void ticker_set(struct ticker *k, unsigned ms)
{
	struct itimerspec it = {0};

	it.it_value.tv_nsec = it.it_interval.tv_nsec = ms * NS_PER_MS;
	timerfd_settime(k->fd, 0, &it, NULL);
}

static void tail_tick_by(struct tail *tl, struct ticker *k)
{
	tl->ticker = k;
	if (!k->users++)
		ticker_set(k, k->ms);
}

static void tail_stop_ticking(struct tail *tl)
{
	struct ticker *k = tl->ticker;

	tl->ticker = NULL;
	if (k && !--k->users)
		ticker_set(k, 0);
}

/* Without room, of a busy one: there is no need to look until there is some,
 * of which the session tells. */
static void tail_tick(struct tail *tl)
{
	if (tl->ticker == &tl->ticker->ts->fast && !task_room(&tl->t))
		tail_stop_ticking(tl);
	else
		task_wake(&tl->t);
}

static void tail_on_tick(struct watch *w, uint32_t events)
{
	struct ticker *k = CONTAINER_OF(w, struct ticker, w);
	struct tail *tl;
	uint64_t ticks;

	(void)events;
	if (read(w->fd, &ticks, sizeof(ticks)) < 0)
		return;
	LIST_FOREACH (tl, &k->ts->all, link)
		if (tl->ticker == k)
			tail_tick(tl);
}

static void ticker_init(struct ticker *k, struct tails *ts, unsigned ms)
{
	*k = (struct ticker){.ts = ts, .ms = ms};
	watch_init(&k->w, tail_on_tick);
	k->fd = guest_fd_up(
	    timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (k->fd >= 0 && watch_start(ts->srv, &k->w, k->fd, EPOLLIN) < 0)
		fd_closep(&k->fd);
}

static void ticker_done(struct ticker *k)
{
	watch_stop(k->ts->srv, &k->w);
	fd_closep(&k->fd);
}

/* --- what changed --------------------------------------------------------- */

/*
 * /proc/self/fd/N names the very file, whatever its path is now. Where there
 * is no such procfs, but one that is mounted nowhere (guest.h), the way there
 * leads by the current directory, for inotify takes only paths; calls on other
 * threads could see that.
 */
static int watch_file(struct tails *ts, int fd)
{
	const struct guest *g = server_guest(ts->srv);
	CLEANUP(fd_closep) int cwd = -1;
	char path[32];
	int wd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(ts->inotify_fd, path, IN_MODIFY);
	if (wd >= 0 || ts->inotify_fd < 0 || g->proc_fd < 0)
		return wd;
	cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fchdir(g->proc_fd) < 0)
		return -1;
	wd = inotify_add_watch(ts->inotify_fd, path + strlen("/proc/"),
			       IN_MODIFY);
	if (cwd < 0 || fchdir(cwd) < 0)
		return chdir("/") < 0 ? -1 : wd;
	return wd;
}

static void unwatch_file(struct tails *ts, int wd)
{
	struct tail *tl;

	LIST_FOREACH (tl, &ts->all, link)
		if (tl->wd == wd)
			return;
	inotify_rm_watch(ts->inotify_fd, wd);
}

/* Without a watch that can be had, it is looked at now and then. */
static void tail_watch(struct tails *ts, struct tail *tl)
{
	tl->reads = 0;
	tl->wd = watch_file(ts, tl->fd);
	if (tl->wd < 0)
		tail_tick_by(tl, &ts->slow);
}

static void tail_unwatch(struct tails *ts, struct tail *tl)
{
	int wd = tl->wd;

	tl->wd = -1;
	if (wd >= 0)
		unwatch_file(ts, wd);
}

/* What is written meanwhile is found at the next tick. */
static void tail_grew(struct tails *ts, struct tail *tl)
{
	int64_t now;

	if (tl->wd < 0 || ts->fast.fd < 0)
		return;
	now = clock_now_ns();
	if (now - tl->reads_ns > BUSY_MS * NS_PER_MS) {
		tl->reads_ns = now;
		tl->reads = 0;
	}
	if (++tl->reads < BUSY_READS)
		return;
	tail_unwatch(ts, tl);
	tail_tick_by(tl, &ts->fast);
	tl->quiet = 0;
}

static void on_inotify(struct watch *w, uint32_t events)
{
	struct tails *ts = CONTAINER_OF(w, struct tails, inotify_w);
	_Alignas(struct inotify_event) char bytes[4096];
	ssize_t n = read(w->fd, bytes, sizeof(bytes));

	(void)events;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *ev = (const void *)(bytes + at);
		struct tail *tl;

		/* wd is -1 when the queue overflowed: anything may have */
		LIST_FOREACH (tl, &ts->all, link)
			if (tl->wd >= 0 && (ev->wd < 0 || tl->wd == ev->wd))
				task_wake(&tl->t);
		at += (ssize_t)(sizeof(*ev) + ev->len);
	}
}

/* --- one tail ------------------------------------------------------------- */

static ssize_t tail_read(struct tail *tl, void *p, size_t n, uint64_t pos)
{
	ssize_t got;

	if (!tl->no_seek) {
		got = pread(tl->fd, p, n, (off_t)pos);
		if (got >= 0 || errno != ESPIPE)
			return got;
		tl->no_seek = true;
	}
	return read(tl->fd, p, n);
}

/* Where nothing is to be read. */
static bool tail_was_truncated(struct tail *tl)
{
	struct stat st;
	uint64_t before = tl->last_size;

	if (tl->pseudo || fstat(tl->fd, &st) < 0)
		return false;
	tl->last_size = (uint64_t)st.st_size;
	return tl->last_size < tl->pos && tl->last_size < before;
}

/* Nothing is to be read. Returns whether it is to be looked at once more. */
static bool tail_paused(struct tails *ts, struct tail *tl)
{
	bool is_cut = tail_was_truncated(tl);
	bool is_busy = tl->ticker == &ts->fast;

	if (is_cut)
		tl->pos = tl->reads = 0;
	if (is_busy && (is_cut || ++tl->quiet >= QUIET_POLLS)) {
		tail_stop_ticking(tl);
		tail_watch(ts, tl);
		return true; /* for what came before the watch */
	}
	return is_cut;
}

static void tail_step(struct task *t)
{
	struct tail *tl = CONTAINER_OF(t, struct tail, t);
	struct tails *ts = server_state(t->srv, &tails_service);
	uint8_t *piece = server_scratch(t->srv);
	size_t room = task_room(t);
	ssize_t n;

	if (tl->wd < 0 && !tl->ticker) /* it had no room at a tick */
		tail_watch(ts, tl);
	/* A seq_file that was read to its end stays there for a reader at
	 * that very offset (fs/seq_file.c); seeking makes it start anew. */
	if (tl->pseudo && tl->at_end && !tl->no_seek)
		lseek(tl->fd, 0, SEEK_SET);
	n = tail_read(tl, piece, room, tl->pos);
	if (n < 0 && errno == EINTR)
		return;
	if (n < 0 && errno != EAGAIN) {
		task_end_error(t, errno, "%s", tl->label);
		return;
	}
	tl->at_end = n <= 0;
	if (tl->at_end) {
		if (!tail_paused(ts, tl))
			task_sleep(t);
		return;
	}
	tl->quiet = 0;
	task_write_in_place(t, piece, (size_t)n);
	tl->pos += (uint64_t)n;
	tl->last_size = tl->pos;
	/* What was written since then has its own event. */
	if ((size_t)n < room && !tl->pseudo) {
		tail_grew(ts, tl);
		task_sleep(t);
	}
}

static void tail_stop(struct task *t)
{
	struct tail *tl = CONTAINER_OF(t, struct tail, t);
	struct tails *ts = server_state(t->srv, &tails_service);

	LIST_REMOVE(tl, link);
	tail_unwatch(ts, tl);
	tail_stop_ticking(tl);
	close(tl->fd);
	free(tl->label);
	free(tl);
}

static const struct task_ops tail_ops = {
    .step = tail_step,
    .stop = tail_stop,
};

/* --- where to start ------------------------------------------------------- */

/* Returns whether fd is on a file system that is to be polled. */
static bool must_poll(int fd, bool *ret_pseudo)
{
	struct statfs sf;

	*ret_pseudo = false;
	if (fstatfs(fd, &sf) < 0)
		return false;
	for (int i = 0; i < POLLED_FS; i++) {
		const struct fs_kind *k = &polled_fs[i];

		if ((uint32_t)sf.f_type != k->magic)
			continue;
		*ret_pseudo = k->pseudo;
		return true;
	}
	return false;
}

/* The size of a file that has none: what can be read now. */
static uint64_t tail_measure(struct tail *tl, uint8_t *scratch)
{
	uint64_t size = 0;
	ssize_t n;

	while (size < PSEUDO_MAX &&
	       (n = tail_read(tl, scratch, PIECE_MAX, size)) > 0)
		size += (uint64_t)n;
	return size;
}

static void set_position(struct tail *tl, uint8_t whence, uint64_t offset,
			 uint8_t *scratch)
{
	struct stat st;
	uint64_t size = 0;

	if (tl->pseudo && whence != MSG_TAIL_START)
		size = tail_measure(tl, scratch);
	else if (!tl->pseudo && fstat(tl->fd, &st) == 0)
		size = (uint64_t)st.st_size;
	tl->last_size = size;
	tl->at_end = true;
	if (whence == MSG_TAIL_START)
		tl->pos = offset;
	else if (whence == MSG_TAIL_END)
		tl->pos = size;
	else
		tl->pos = offset < size ? size - offset : 0;
}

/* take_fd is a regular file, open for reading. */
static void tail_regular(const struct req *r, int take_fd, uint8_t whence,
			 int64_t offset, char *take_label)
{
	struct tails *ts = server_state(r->srv, &tails_service);
	struct tail *tl = mem_zalloc(sizeof(*tl));

	tl->fd = take_fd;
	tl->label = take_label;
	tl->wd = -1;
	if (must_poll(take_fd, &tl->pseudo))
		tail_tick_by(tl, &ts->slow);
	else
		tail_watch(ts, tl);
	LIST_INSERT_HEAD(&ts->all, tl, link);
	set_position(tl, whence, (uint64_t)offset, server_scratch(r->srv));
	task_start(&tl->t, r, &tail_ops);
	task_send_done(&tl->t, (int64_t)tl->pos);
	task_wake(&tl->t);
}

/*
 * A device that can seek starts where it is told to: a log at its end. What
 * cannot gives all that comes, unless another position is asked for. Returns 0
 * or -errno.
 */
static int seek_device(int fd, uint8_t whence, int64_t offset)
{
	if (whence == MSG_TAIL_END)
		lseek(fd, 0, SEEK_END);
	else if (whence == MSG_TAIL_START && offset > 0)
		return lseek(fd, offset, SEEK_SET) < 0 ? -errno : 0;
	else if (whence == MSG_TAIL_BEFORE && lseek(fd, -offset, SEEK_END) < 0)
		return errno != EINVAL || lseek(fd, 0, SEEK_SET) < 0 ? -errno
								     : 0;
	return 0;
}

static void tail_start(const struct req *r, int take_fd, uint8_t whence,
		       int64_t offset, const char *what)
{
	CLEANUP(fd_closep) int fd = take_fd;
	struct stat st;
	int rc;

	if (whence > MSG_TAIL_BEFORE || (whence != MSG_TAIL_END && offset < 0))
		req_error(r, EINVAL, "tail '%s' from %" PRId64, what, offset);
	else if (fstat(fd, &st) < 0)
		req_error(r, errno, "tail '%s'", what);
	else if (S_ISDIR(st.st_mode))
		req_error(r, EISDIR, "tail '%s'", what);
	else if (S_ISREG(st.st_mode))
		tail_regular(r, TAKE_FD(fd), whence, offset,
			     mem_printf("tail '%s'", what));
	else if ((rc = seek_device(fd, whence, offset)) < 0)
		req_error(r, -rc, "tail '%s' from %" PRId64, what, offset);
	else
		source_start(r, TAKE_FD(fd), false, 0,
			     mem_printf("tail '%s'", what));
}

void op_tail(const struct req *r)
{
	const struct msg_tail *q = &r->m->tail;
	int fd = open(q->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		req_error(r, errno, "open '%s'", q->path);
	else
		tail_start(r, fd, q->whence, q->offset, q->path);
}

/* Opened anew where that can be: the handle may be open for writing only. */
static int reopen(const struct guest *g, int fd)
{
	struct stat st;
	char path[32];
	int rc = -1;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		snprintf(path, sizeof(path), "self/fd/%d", fd);
		/* Some files of procfs wait for what to give. */
		rc =
		    openat(g->proc_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	}
	return rc < 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : rc;
}

void op_tail_handle(const struct req *r)
{
	const struct msg_tail_handle *q = &r->m->tail_handle;
	struct file *f = file_find(server_handles(r->srv), q->handle);
	int fd;

	if (!f) {
		req_error(r, EBADF, "file handle %" PRIu64, q->handle);
		return;
	}
	fd = reopen(server_guest(r->srv), f->fd);
	if (fd < 0)
		req_error(r, errno, "tail '%s'", f->path);
	else
		tail_start(r, fd, q->whence, q->offset, f->path);
}

/* --- all of them ---------------------------------------------------------- */

static void *tails_new(struct server *s)
{
	struct tails *ts = mem_zalloc(sizeof(*ts));

	ts->srv = s;
	watch_init(&ts->inotify_w, on_inotify);
	ts->inotify_fd = guest_fd_up(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
	if (ts->inotify_fd >= 0)
		watch_start(s, &ts->inotify_w, ts->inotify_fd, EPOLLIN);
	ticker_init(&ts->slow, ts, POLL_MS);
	ticker_init(&ts->fast, ts, BUSY_POLL_MS);
	return ts;
}

static void tails_free(void *state)
{
	struct tails *ts = state;

	watch_stop(ts->srv, &ts->inotify_w);
	fd_closep(&ts->inotify_fd);
	ticker_done(&ts->slow);
	ticker_done(&ts->fast);
	free(ts);
}

const struct service tails_service = {tails_new, tails_free};

static const struct fs_kind polled_fs[POLLED_FS] = {
    {PROC_SUPER_MAGIC, true},	{SYSFS_MAGIC, true},
    {DEBUGFS_MAGIC, true},	{TRACEFS_MAGIC, true},
    {SECURITYFS_MAGIC, true},	{SELINUX_MAGIC, true},
    {CGROUP_SUPER_MAGIC, true}, {CGROUP2_SUPER_MAGIC, true},
    {CONFIGFS_FS, true},	{NFS_SUPER_MAGIC, false},
    {V9FS_MAGIC, false},	{FUSE_MAGIC, false},
    {SMB_SUPER_MAGIC, false},	{CIFS_SUPER_FS, false},
    {SMB2_SUPER_FS, false},
};
