/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: neither side holds more than a window of the file. A
 * push reads the file as there is room on the channel. A pull opens the
 * guest's file as a stream, which is written to a file aside, in the same
 * directory; that takes the target's name when it is complete, so a target is
 * whole or untouched. One that is there and is no regular file (a pipe, a
 * device) is written itself. A directory is copied as a tree (tree.h), and is
 * whole or absent on both sides; which of both the guest's path is, its agent
 * says when it has opened it.
 */
#include "runner/bind_transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "agent-proto/tree_read.h"
#include "runner/await.h"
#include "runner/bind_fixture.h"
#include "runner/bind_guest.h"
#include "runner/bind_stream.h"
#include "runner/bind_vm.h"
#include "runner/worker.h"
#include "streams/io.h"
#include "streams/spool_file.h"
#include "streams/spool_tree.h"
#include "streams/tail.h"

#define ASIDE_TRIES 100
#define PERM_MAX    07777u
/* Bytes of a file that does not tell its size, and of one read of it. */
#define MADE_MAX   (64u << 20)
#define MADE_PIECE 65536u

/* --- push ----------------------------------------------------------------- */

struct push_call {
	struct guest_call base;
	int fd; /* of the host's file */
	char *path;
	bool is_made;	 /* is_made_when_read() */
	struct buf text; /* what it holds, where its size does not tell */
	struct tree_reader *tree; /* of a directory; has fd then */
};

static void push_release(void *p)
{
	struct push_call *pc = p;

	call_free(pc->base.call);
	tree_reader_free(pc->tree);
	fd_closep(&pc->fd);
	free(pc->path);
	buf_done(&pc->text);
}

static int push_finish(lua_State *L, void *p)
{
	const struct push_call *pc = p;

	/* The guest's errors name its file, a tree's the host's. */
	if (pc->base.call->op.result == -ENODATA && !pc->tree)
		bind_fail_arg(L, pc->base.method,
			      "'%s' on the host has become shorter while it "
			      "was sent",
			      pc->path);
	return guest_finish_nothing(L, p);
}

static int open_source(struct push_call *pc, struct stat *st, struct err *err)
{
	/* Not held up by a pipe without a writer. */
	pc->fd = open(pc->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (pc->fd < 0 || fstat(pc->fd, st))
		return err_set(err, -errno, "cannot open '%s' on the host: %s",
			       pc->path, strerror(errno));
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return err_set(err, -EINVAL,
			       "'%s' on the host is no regular file and no "
			       "directory",
			       pc->path);
	return 0;
}

/* A file that the kernel makes as it is read: its size is 0, or a guess. */
static bool is_made_when_read(int fd, const struct stat *st)
{
	struct statfs fs;

	return !st->st_size ||
	       (fstatfs(fd, &fs) == 0 &&
		(fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
		 fs.f_type == SECURITYFS_MAGIC ||
		 fs.f_type == CGROUP2_SUPER_MAGIC));
}

/* Reads such a file to its end. */
static int read_made(struct push_call *pc, struct err *err)
{
	ssize_t n;

	do {
		if (pc->text.len > MADE_MAX)
			return err_set(err, -EFBIG,
				       "'%s' on the host does not tell its "
				       "size, and has more than %u bytes",
				       pc->path, MADE_MAX);
		n = io_read(pc->fd, buf_room(&pc->text, MADE_PIECE),
			    MADE_PIECE);
		if (n < 0)
			return err_set(err, (int)n,
				       "cannot read '%s' on the host: %s",
				       pc->path, strerror((int)-n));
		buf_commit(&pc->text, (size_t)n);
	} while (n == (ssize_t)MADE_PIECE);
	return 0;
}

static void push_start(struct push_call *pc, struct msg *m,
		       const struct stat *st, int64_t deadline)
{
	size_t size = (size_t)st->st_size;

	/* st_blocks counts 512 bytes each, whatever the file system (stat(2)).
	 */
	if (pc->is_made) {
		call_start(pc->base.call, m, buf_data(&pc->text), pc->text.len,
			   deadline);
	} else if (st->st_blocks * 512 < st->st_size) {
		m->write_file.flags = MSG_FILE_SPARSE;
		call_start_sparse(pc->base.call, m, pc->fd, size, deadline);
	} else {
		call_start_file(pc->base.call, m, pc->fd, size, deadline);
	}
}

/* Starts with a directory, which has the modes of its files. */
static void push_start_tree(lua_State *L, struct push_call *pc, struct msg *m,
			    uint32_t mode, int64_t deadline)
{
	if (mode != UINT32_MAX)
		bind_fail_arg(L, pc->base.method,
			      "mode is of a file, and '%s' on the host is a "
			      "directory, whose files keep their modes",
			      pc->path);
	bind_fixture_used_tree(L, pc->path);
	m->write_file.flags = MSG_FILE_TREE;
	pc->tree = tree_reader_new(TAKE_FD(pc->fd), pc->path, " on the host");
	pc->base.call = call_new(vm_check_client(L, 1, pc->base.method));
	call_start_tree(pc->base.call, m, pc->tree, deadline);
}

static void push_start_file(lua_State *L, struct push_call *pc, struct msg *m,
			    const struct stat *st, int64_t deadline)
{
	struct err err;

	bind_fixture_used_file(L, pc->path);
	pc->is_made = is_made_when_read(pc->fd, st);
	if (pc->is_made && read_made(pc, &err))
		bind_fail_err(L, pc->base.method, &err);
	pc->base.call = call_new(vm_check_client(L, 1, pc->base.method));
	push_start(pc, m, st, deadline);
}

static int vm_push_file(lua_State *L)
{
	static const char method[] = "vm:push_file";
	struct msg m = {.type = MSG_WRITE_FILE};
	struct err err = {0};
	struct stat st = {0};

	vm_check_client(L, 1, method);
	const char *from = arg_path(L, method, 2, "host path");
	m.write_file.path = arg_path(L, method, 3, "guest path");
	uint32_t mode = vm_file_read_mode(L, method, 4, UINT32_MAX);
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);

	struct push_call *pc = await_new(L, method, sizeof(*pc), push_release);
	pc->fd = -1;
	pc->base.method = method;
	await_keep(L, lua_gettop(L), 1);
	pc->path = bind_host_path(L, from);
	if (open_source(pc, &st, &err)) {
		/* A fixture that tried is built again once there is one. */
		bind_fixture_used_file(L, pc->path);
		bind_fail_err(L, method, &err);
	}
	/* A program that is pushed stays one. */
	m.write_file.perm = mode == UINT32_MAX ? st.st_mode & PERM_MAX : mode;
	if (S_ISDIR(st.st_mode))
		push_start_tree(L, pc, &m, mode, deadline);
	else
		push_start_file(L, pc, &m, &st, deadline);
	return await(L, pc, &pc->base.call->op, push_finish);
}

/* --- pull ----------------------------------------------------------------- */

struct pull_call {
	struct tail_open open;
	struct stream *stream;
	struct spool_file *spool; /* of the stream; NULL: tree, or not yet */
	struct spool_tree *tree;  /* of the stream, where it is a directory */
	struct op written;
	bool is_opening;
	bool is_writing;
	struct loop *loop;
	int64_t deadline;
	char *target;	/* as the author means it */
	char *real;	/* behind symbolic links; NULL: there is none yet */
	char *aside;	/* NULL: the target itself is written */
	bool is_sparse; /* the guest sends records */
	mode_t mode;	/* that aside gets at the end */
};

static const char pull_method[] = "vm:pull_file";

static void pull_release(void *p)
{
	struct pull_call *pc = p;

	if (pc->is_opening)
		tail_open_done(&pc->open);
	if (pc->is_writing)
		op_done(&pc->written);
	spool_file_free(pc->spool);
	spool_tree_free(pc->tree);
	stream_free(pc->stream);
	if (pc->aside)
		unlink(pc->aside);
	free(pc->aside);
	free(pc->real);
	free(pc->target);
}

static int fail_host(const struct pull_call *pc, int code, const char *what,
		     struct err *err)
{
	return err_set(err, -code, "cannot %s '%s' on the host: %s", what,
		       pc->target, strerror(code));
}

/* A file of a new name beside the target, with the target's mode, or that of
 * the guest's file. */
static int bind_transfer_make_aside(struct pull_call *pc,
				    const struct stat *old, struct err *err)
{
	mode_t mode = old ? old->st_mode : (mode_t)pc->open.start;
	const char *beside = pc->real ? pc->real : pc->target;
	const char *slash = strrchr(beside, '/');
	int dir_n = slash ? (int)(slash - beside) + 1 : 0;
	int fd = -1;

	for (int i = 0; i < ASIDE_TRIES && fd < 0; i++) {
		free(pc->aside);
		pc->aside =
		    mem_printf("%.*s.provium-%d-%llx", dir_n, beside, getpid(),
			       (unsigned long long)clock_now_ns());
		fd = open(pc->aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			  0666);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0) {
		free(pc->aside);
		pc->aside = NULL;
		return fail_host(pc, errno, "create", err);
	}
	/* Where that is not ours to say, it has the mode of a new file. */
	pc->mode = mode & PERM_MAX;
	if (fchmod(fd, pc->mode | S_IWUSR))
		errno = 0;
	close(fd);
	return 0;
}

/* Finds out what is written: the target, or a file aside. */
static int choose_file(struct pull_call *pc, struct err *err)
{
	struct stat st = {0};

	pc->real = realpath(pc->target, NULL);
	if (!pc->real)
		return bind_transfer_make_aside(pc, NULL, err);
	if (stat(pc->real, &st))
		return fail_host(pc, errno, "create", err);
	if (S_ISDIR(st.st_mode))
		return fail_host(pc, EISDIR, "create", err);
	if (!S_ISREG(st.st_mode))
		return 0;
	if (access(pc->real, W_OK))
		return fail_host(pc, errno, "write", err);
	return bind_transfer_make_aside(pc, &st, err);
}

/* Raises unless all has arrived. */
static void check_written(lua_State *L, struct pull_call *pc)
{
	if (pc->written.result < 0)
		bind_fail_err(L, pull_method, &pc->written.err);
	if (!pc->written.result) {
		await_check_expired(L, pull_method);
		bind_fail_arg(L, pull_method, "the VM was closed meanwhile");
	}
}

static int pull_written(lua_State *L, void *p)
{
	struct pull_call *pc = p;
	const struct err *of_file = spool_file_error(pc->spool);
	struct err err;

	if (of_file) {
		fail_host(pc, -of_file->code, "write", &err);
		bind_fail_err(L, pull_method, &err);
	}
	check_written(L, pc);
	if (!pc->aside)
		return 0;
	/* Writing clears the set-id bits unless root writes. */
	if (chmod(pc->aside, pc->mode))
		errno = 0;
	if (rename(pc->aside, pc->real ? pc->real : pc->target)) {
		fail_host(pc, errno, "create", &err);
		bind_fail_err(L, pull_method, &err);
	}
	free(pc->aside);
	pc->aside = NULL;
	return 0;
}

/* The directory has its path already. */
static int pull_tree_written(lua_State *L, void *p)
{
	check_written(L, p);
	return 0;
}

static int pull_tree(lua_State *L, struct pull_call *pc)
{
	struct err err;

	pc->tree = spool_tree_new(pc->loop, pc->stream, pc->target, &err);
	if (!pc->tree)
		bind_fail_err(L, pull_method, &err);
	pc->is_writing = true;
	spool_tree_wait(pc->tree, &pc->written, pc->deadline);
	return await_again(L, pc, &pc->written, pull_tree_written);
}

/* The guest's file is open: only now is anything done to the host's. */
static int pull_opened(lua_State *L, void *p)
{
	struct pull_call *pc = p;
	struct err err;

	if (pc->open.op.result < 0)
		bind_fail_err(L, pull_method, &pc->open.op.err);
	pc->stream = pc->open.stream;
	pc->open.stream = NULL;
	if (pc->is_sparse && S_ISDIR((mode_t)pc->open.start))
		return pull_tree(L, pc);
	if (choose_file(pc, &err))
		bind_fail_err(L, pull_method, &err);
	const char *path = pc->aside  ? pc->aside
			   : pc->real ? pc->real
				      : pc->target;
	pc->spool =
	    pc->is_sparse
		? spool_file_new_sparse(pc->loop, pc->stream, path, &err)
		: spool_file_new(pc->loop, pc->stream, path, &err);
	if (!pc->spool)
		bind_fail_err(L, pull_method, &err);
	pc->is_writing = true;
	spool_file_wait(pc->spool, &pc->written, pc->deadline);
	return await_again(L, p, &pc->written, pull_written);
}

/* A pipe or a device, where no hole can be left out. */
static bool bind_transfer_is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
	       !S_ISDIR(st.st_mode);
}

static int vm_pull_file(lua_State *L)
{
	struct client *c = vm_check_client(L, 1, pull_method);
	struct object *g = lua_touserdata(L, 1);
	struct msg m = {.type = MSG_READ_FILE};
	struct stream_label label;
	struct site site;

	m.read_file.path = arg_path(L, pull_method, 2, "guest path");
	const char *to = arg_path(L, pull_method, 3, "host path");
	int64_t deadline = await_deadline(L, pull_method, CLOCK_NEVER);

	struct pull_call *pc =
	    await_new(L, pull_method, sizeof(*pc), pull_release);
	await_keep(L, lua_gettop(L), 1);
	pc->target = bind_host_path(L, to);
	pc->deadline = deadline;
	pc->loop = worker_of(L)->loop;
	stream_label_here(L, "pull_file", m.read_file.path, &site, &label);
	pc->is_sparse = !bind_transfer_is_special(pc->target);
	m.read_file.flags = pc->is_sparse ? MSG_FILE_SPARSE | MSG_FILE_TREE : 0;
	pc->is_opening = true;
	tail_open_start(&pc->open, c, &m, &label, guest_streams(g), deadline);
	return await(L, pc, &pc->open.op, pull_opened);
}

const struct bind_method vm_transfer_methods[] = {
    {"push_file", vm_push_file, 3},
    {"pull_file", vm_pull_file, 2},
    {NULL, NULL, 0},
};
