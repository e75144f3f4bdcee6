/* SPDX-License-Identifier: MIT */
/*
 * Two runs may start at once, each sweeping while the other is between making
 * its directory and locking it. Rules that make this safe:
 *
 * - A sweeper removes a directory only while holding its lock, and the lock
 *   file first. A directory without a lock file is removed only if empty.
 * - A creator whose directory or lock vanished meanwhile starts again: its
 *   open fails, its lock is taken, or its lock file has no name any more.
 */
#include "runner/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "agent-proto/tree_remove.h"
#include "streams/disk_err.h"

#define PREFIX	 "provium-"
#define TEMPLATE PREFIX "XXXXXX"
#define LOCK	 "lock"
#define TRIES	 16
/* Sockets live below; their addresses end at 108 bytes (unix(7)). */
#define BASE_MAX 48

void rundir_remove(const char *path)
{
	tree_remove(AT_FDCWD, path);
}

static bool is_named(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_nlink > 0;
}

/* The locked lock file of dir, or -1. */
static int take_lock(const char *dir, int flags)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/" LOCK, dir);
	CLEANUP(fd_closep)
	int fd = open(path, flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_named(fd))
		return -1;
	return TAKE_FD(fd);
}

static void sweep_one(const char *dir)
{
	struct stat st;

	if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) ||
	    st.st_uid != geteuid() || (st.st_mode & 077))
		return;
	CLEANUP(fd_closep) int fd = take_lock(dir, 0);
	if (fd < 0) {
		rmdir(dir);
		return;
	}
	CLEANUP(free_ptr) char *lock = mem_printf("%s/" LOCK, dir);
	unlink(lock);
	rundir_remove(dir);
}

void rundir_sweep(const char *base)
{
	struct dirent *e;
	DIR *d = opendir(base);

	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0 ||
		    strlen(e->d_name) != strlen(TEMPLATE))
			continue;
		CLEANUP(free_ptr)
		char *dir = mem_printf("%s/%s", base, e->d_name);
		sweep_one(dir);
	}
	if (d)
		closedir(d);
}

/* $XDG_RUNTIME_DIR where it is ours to use, else /tmp. */
static const char *default_base(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (!dir || dir[0] != '/' || strlen(dir) > BASE_MAX ||
	    stat(dir, &st) < 0 || !S_ISDIR(st.st_mode) ||
	    st.st_uid != geteuid() || access(dir, W_OK | X_OK) < 0)
		return "/tmp";
	return dir;
}

const char *rundir_spool(void)
{
	const char *dir = getenv("TMPDIR");

	if (dir && *dir)
		return dir;
	return access("/var/tmp", W_OK | X_OK) == 0 ? "/var/tmp" : "/tmp";
}

int rundir_open(struct rundir *rd, const char *base, struct err *err)
{
	if (!base)
		base = default_base();
	*rd = (struct rundir){.lock_fd = -1};
	rundir_sweep(base);
	for (int i = 0; i < TRIES; i++) {
		CLEANUP(free_ptr) char *path = mem_printf("%s/" TEMPLATE, base);
		if (!mkdtemp(path))
			return disk_err(err, -errno, base,
					"cannot make a runtime directory in %s",
					base);
		rd->lock_fd = take_lock(path, O_CREAT | O_EXCL);
		if (rd->lock_fd >= 0) {
			rd->path = TAKE(path);
			return 0;
		}
		rmdir(path);
	}
	return err_set(err, -EAGAIN, "cannot lock a runtime directory in %s",
		       base);
}

void rundir_close(struct rundir *rd)
{
	if (rd->path)
		rundir_remove(rd->path);
	free(rd->path);
	fd_closep(&rd->lock_fd);
	rd->path = NULL;
}

char *rundir_new_sub(struct rundir *rd, struct err *err)
{
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/%u", rd->path, ++rd->n_subs);

	if (mkdir(path, 0700) < 0) {
		disk_err(err, -errno, path, "cannot make %s", path);
		return NULL;
	}
	return TAKE(path);
}
