/* SPDX-License-Identifier: MIT */
#include "vmm/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/disk_err.h"
#include "streams/io.h"

#define TMP_PREFIX "tmp-"
#define READ_STEP  ((size_t)1 << 20)

static bool store_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Makes one folder, unless it is there. */
static int store_mkdir(const char *path, struct err *err)
{
	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		return 0;
	int code = errno;

	/* Some file systems refuse a folder before they look for it. */
	return store_is_dir(path) ? 0
				  : disk_err(err, -code, path,
					     "cannot make folder '%s'", path);
}

int store_mkdirs(const char *path, struct err *err)
{
	CLEANUP(free_ptr) char *p = mem_strdup(path);
	int r = 0;

	if (store_is_dir(path))
		return 0;
	for (char *s = p + 1; r == 0 && (s = strchr(s, '/')); s++) {
		*s = '\0';
		r = store_mkdir(p, err);
		*s = '/';
	}
	return r < 0 ? r : store_mkdir(path, err);
}

void store_remove(const char *path)
{
	CLEANUP(free_ptr) char *p = mem_strdup(path);
	char *roots[] = {p, NULL};
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *e;

	while (fts && (e = fts_read(fts))) {
		if (e->fts_info == FTS_D)
			chmod(e->fts_accpath, 0700);
		else if (e->fts_info == FTS_DP)
			rmdir(e->fts_accpath);
		else
			unlink(e->fts_accpath);
	}
	if (fts)
		fts_close(fts);
}

static void store_sweep(const char *dir)
{
	CLEANUP(dir_closep) DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		CLEANUP(free_ptr) char *path = NULL;

		if (strncmp(e->d_name, TMP_PREFIX, strlen(TMP_PREFIX)) != 0)
			continue;
		path = mem_printf("%s/%s", dir, e->d_name);
		store_remove(path);
	}
}

int store_lock(const char *dir, void (*on_wait)(void *ctx), void *ctx,
	       struct err *err)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/lock", dir);
	CLEANUP(fd_closep) int fd = -1;
	int r = store_mkdirs(dir, err);

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return disk_err(err, -errno, path, "cannot open '%s'", path);
	r = flock(fd, LOCK_EX | LOCK_NB);
	if (r < 0 && errno == EWOULDBLOCK) {
		if (on_wait)
			on_wait(ctx);
		r = flock(fd, LOCK_EX);
	}
	if (r < 0)
		return err_set(err, -errno, "cannot lock '%s': %s", path,
			       strerror(errno));
	store_sweep(dir);
	return TAKE_FD(fd);
}

char *store_tmp(const char *dir, struct err *err)
{
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/" TMP_PREFIX "XXXXXX", dir);

	if (mkdtemp(path) && chmod(path, 0755) == 0)
		return TAKE(path);
	disk_err(err, -errno, dir, "cannot make a folder in '%s'", dir);
	return NULL;
}

int store_read(const char *path, size_t max, struct buf *out, struct err *err)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t total = 0;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return err_set(err, -errno, "cannot open '%s': %s", path,
			       strerror(errno));
	if (fstat(fd, &st) == 0 && st.st_size > 0 &&
	    (uint64_t)st.st_size <= max)
		buf_room(out, (size_t)st.st_size + 1);
	do {
		size_t step = out->cap - out->head - out->len;

		if (step < 4096)
			step = READ_STEP;
		n = read(fd, buf_room(out, step), step);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "cannot read '%s': %s",
				       path, strerror(errno));
		buf_commit(out, (size_t)n);
		total += (size_t)n;
		if (total > max)
			return err_set(err, -EFBIG,
				       "'%s' has more than %zu bytes", path,
				       max);
	} while (n != 0);
	return 0;
}

int store_write(const char *path, const void *p, size_t n, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : io_write(fd, p, n);

	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? disk_err(err, r, path, "cannot write '%s'", path) : 0;
}
