/* SPDX-License-Identifier: MIT */
#include "runner/artifacts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "streams/disk_err.h"
#include "streams/io.h"

#define DEPTH_MAX 3

static const char attachments[] = "attached";

struct keeper {
	const char *to; /* the directory for the copies */
	struct strvec *ret;
	struct err *err;
};

/* mkdir -p */
static int make_dirs(const char *path, struct err *err)
{
	CLEANUP(free_ptr) char *p = mem_strdup(path);

	for (char *slash = p; slash;) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (mkdir(p, 0777) < 0 && errno != EEXIST)
			return disk_err(err, -errno, p, "cannot make '%s'", p);
		if (slash)
			*slash = '/';
	}
	return 0;
}

static int copy_end(int from, int to)
{
	struct stat st;
	ssize_t n = 1;

	if (fstat(from, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > ARTIFACT_MAX)
		lseek(from, st.st_size - ARTIFACT_MAX, SEEK_SET);
	while (n > 0)
		n = sendfile(to, from, NULL, ARTIFACT_MAX);
	return n < 0 ? -errno : 0;
}

static int keep_file(struct keeper *k, int dir_fd, const char *name,
		     const char *copy)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", k->to, copy);
	CLEANUP(fd_closep)
	int from = openat(dir_fd, name,
			  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	CLEANUP(fd_closep) int to = -1;
	int r;

	if (from < 0)
		return 0;
	r = make_dirs(k->to, k->err);
	if (r < 0)
		return r;
	to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	r = to < 0 ? -errno : copy_end(from, to);
	if (r < 0)
		return disk_err(k->err, r, path, "cannot write '%s'", path);
	strvec_add(k->ret, path);
	return 0;
}

static bool is_log(const char *name)
{
	static const char *const suffixes[] = {".console", ".qmp", ".pcap"};
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		size_t m = strlen(suffixes[i]);

		if (n > m && !strcmp(name + n - m, suffixes[i]))
			return true;
	}
	return false;
}

int artifacts_attach(const char *run_dir, const char *test, const char *name,
		     const void *p, size_t n, char **ret_path, struct err *err)
{
	CLEANUP(free_ptr) char *dir = mem_printf("%s/%s", run_dir, attachments);
	CLEANUP(free_ptr) char *file = mem_printf("%.100s-%s", test, name);
	CLEANUP(free_ptr) char *path = NULL;
	CLEANUP(fd_closep) int fd = -1;

	for (char *c = file; *c; c++)
		if (*c == '/' || *c == ' ')
			*c = '_';
	if (*file == '.')
		*file = '_';
	path = mem_printf("%s/%s", dir, file);
	*ret_path = NULL;
	int r = mkdir(dir, 0700) < 0 && errno != EEXIST ? -errno : 0;
	if (!r)
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (!r)
		r = fd < 0 ? -errno : io_write(fd, p, n);
	if (r < 0)
		disk_err(err, r, path, "cannot write '%s'", path);
	else
		*ret_path = TAKE(path);
	return r;
}

/* The last component of run_dir is a number of its own in the run: it begins
 * the name of each copy. */
static const char *run_number(const char *run_dir)
{
	const char *slash = strrchr(run_dir, '/');

	return slash ? slash + 1 : run_dir;
}

char *artifacts_name(const char *run_dir, const char *path)
{
	size_t n = strlen(run_dir);
	bool is_below = !strncmp(path, run_dir, n) && path[n] == '/';
	char *name = mem_printf("%s-%s", run_number(run_dir),
				is_below ? path + n + 1 : path);

	for (char *c = name; *c; c++)
		if (*c == '/')
			*c = '-';
	return name;
}

/* The logs in the directory `name` and below, and all that was attached;
 * prefix begins their copies' names. */
static int keep_below(struct keeper *k, int dir_fd, const char *name,
		      const char *prefix, int depth)
{
	bool is_attached = !strcmp(name, attachments);
	int fd = openat(dir_fd, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = 0;

	while (!r && d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		CLEANUP(free_ptr)
		char *full = mem_printf("%s-%s", prefix, e->d_name);
		if (is_attached || is_log(e->d_name))
			r = keep_file(k, fd, e->d_name, full);
		else if (depth < DEPTH_MAX)
			r = keep_below(k, fd, e->d_name, full, depth + 1);
	}
	if (d)
		closedir(d);
	else
		fd_closep(&fd);
	return r;
}

static int artifacts_compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int artifacts_keep(const char *dir, const char *display, const char *run_dir,
		   struct strvec *ret, struct err *err)
{
	CLEANUP(free_ptr) char *to = mem_printf("%s/%s", dir, display);
	struct keeper k = {.to = to, .ret = ret, .err = err};

	for (char *p = to + strlen(dir) + 1; *p; p++) {
		if (*p == '/')
			*p = '_';
	}
	if (to[strlen(dir) + 1] == '.')
		to[strlen(dir) + 1] = '_';
	int r = keep_below(&k, AT_FDCWD, run_dir, run_number(run_dir), 0);
	/* A directory has no order of its own. */
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), artifacts_compare_paths);
	return r;
}
