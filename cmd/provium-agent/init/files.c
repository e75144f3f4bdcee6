/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/init/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"

#define SHOWN_MAX 300 /* bytes of a path in a message: its end */

struct entry {
	bool is_staged;
	uint64_t size;
	const char *path; /* in the guest; borrowed */
};

static const char *shown(const char *path)
{
	size_t n = strlen(path);

	return n > SHOWN_MAX ? path + n - SHOWN_MAX : path;
}

/* Makes an error of the file that e is. */
static int files_fail(const struct entry *e, int code, const char *why,
		      struct err *err)
{
	return err_set(err, code, "file '%s' for the guest: %s", shown(e->path),
		       why);
}

/* The same with "'PATH'" before the reason; path is below f->root. */
static int files_fail_at(const struct files *f, const struct entry *e, int code,
			 const char *path, const char *why, struct err *err)
{
	return err_set(err, code, "file '%s' for the guest: '%s' %s",
		       shown(e->path), shown(path + strlen(f->root)), why);
}

/* --- the list ------------------------------------------------------------- */

static int files_read_all(int fd, char *to, size_t n)
{
	while (n) {
		ssize_t got = read(fd, to, n);

		if (got < 0)
			return -errno;
		if (got == 0)
			return -EIO;
		to += got;
		n -= (size_t)got;
	}
	return 0;
}

static int files_read_list(struct files *f, struct err *err)
{
	CLEANUP(free_ptr)
	char *path = mem_printf("%s" FILES_DIR "/list", f->root);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno,
			       "the list of the files for the guest: %s",
			       strerror(errno));
	f->dev = st.st_dev;
	f->list = mem_zalloc((size_t)st.st_size + 1);
	f->end = f->list + st.st_size;
	r = files_read_all(fd, f->list, (size_t)st.st_size);
	unlink(path);
	return r < 0
		   ? err_set(err, r, "the list of the files for the guest: %s",
			     strerror(-r))
		   : 0;
}

/* Takes the record at *at, and moves *at behind it; false: it is not whole. */
static bool next_entry(const struct files *f, char **at, struct entry *ret)
{
	char *size, *path;

	if (*at >= f->end)
		return false;
	ret->is_staged = !strncmp(*at, "staged ", 7);
	size = strchr(*at, ' ');
	if (!size)
		return false;
	ret->size = strtoumax(size, &path, 10);
	if (path[0] != ' ' || path[1] != '/')
		return false;
	ret->path = path + 1;
	*at = path + strlen(path) + 1;
	return *at <= f->end;
}

/* --- directories ---------------------------------------------------------- */

/* For a directory that is made: those that are customarily not 0755. */
static mode_t usual_mode(const char *dir)
{
	static const struct {
		const char *dir;
		mode_t mode;
	} special[] = {
	    {"/tmp", 01777},
	    {"/var/tmp", 01777},
	    {"/dev/shm", 01777},
	    {"/root", 0700},
	};

	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		if (!strcmp(special[i].dir, dir))
			return special[i].mode;
	return 0755;
}

static int files_make_dir(const struct files *f, const struct entry *e,
			  const char *dir, struct err *err)
{
	mode_t mode = usual_mode(dir + strlen(f->root));
	struct stat st;

	/* chmod(2) too: mkdir(2) heeds the umask. */
	if (mkdir(dir, 0700) == 0 && chmod(dir, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return files_fail_at(f, e, -errno, dir, strerror(errno), err);
	if (stat(dir, &st) < 0)
		return files_fail_at(
		    f, e, -errno, dir,
		    errno == ENOENT
			? "of the image is a symlink without a target"
			: strerror(errno),
		    err);
	return S_ISDIR(st.st_mode)
		   ? 0
		   : files_fail_at(f, e, -ENOTDIR, dir,
				   "of the image is not a directory", err);
}

static int files_make_parents(const struct files *f, const struct entry *e,
			      const char *target, struct err *err)
{
	CLEANUP(free_ptr) char *dir = mem_strdup(target);
	char *slash = dir + strlen(f->root) + 1;
	int r = 0;

	while (r == 0 && (slash = strchr(slash, '/'))) {
		*slash = '\0';
		r = files_make_dir(f, e, dir, err);
		*slash++ = '/';
	}
	return r;
}

/* --- files ---------------------------------------------------------------- */

/* rename(2) replaces any file and any symlink. */
static int clear_way(const struct entry *e, const char *target, struct err *err)
{
	struct stat st;

	if (lstat(target, &st) < 0)
		return errno == ENOENT
			   ? 0
			   : files_fail(e, -errno, strerror(errno), err);
	if (S_ISLNK(st.st_mode) && stat(target, &st) == 0 &&
	    S_ISDIR(st.st_mode))
		return files_fail(
		    e, -EISDIR, "the image has a symlink to a directory there",
		    err);
	if (!S_ISDIR(st.st_mode) || rmdir(target) == 0)
		return 0;
	return files_fail(e, -errno,
			  errno == ENOTEMPTY
			      ? "the image has a directory there that is not "
				"empty"
			      : strerror(errno),
			  err);
}

/* The kernel sets the size first (init/initramfs.c, do_name()): where memory
 * ran out, there is a hole. A file system without holes has one at the end
 * only. */
static bool is_whole(const struct entry *e, const char *path)
{
	CLEANUP(fd_closep)
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == e->size &&
	       (!e->size || lseek(fd, 0, SEEK_HOLE) == st.st_size);
}

static int fail_unpacked(const struct entry *e, struct err *err)
{
	return files_fail(e, -ENOSPC,
			  "the kernel did not unpack all of it: the guest "
			  "needs more memory",
			  err);
}

static int place_staged(const struct files *f, const struct entry *e,
			const char *staged, const char *target, struct err *err)
{
	int r;

	if (!is_whole(e, staged))
		return fail_unpacked(e, err);
	r = files_make_parents(f, e, target, err);
	if (r == 0)
		r = clear_way(e, target, err);
	if (r == 0 && rename(staged, target) < 0)
		r = files_fail(e, -errno, strerror(errno), err);
	return r;
}

/* What the agent would find in the way kept the kernel from unpacking it. */
static int check_placed(const struct files *f, const struct entry *e,
			const char *target, struct err *err)
{
	int r;

	if (is_whole(e, target))
		return 0;
	r = files_make_parents(f, e, target, err);
	if (r == 0)
		r = clear_way(e, target, err);
	return r < 0 ? r : fail_unpacked(e, err);
}

static int files_place_one(const struct files *f, const struct entry *e,
			   size_t i, struct err *err)
{
	CLEANUP(free_ptr)
	char *staged = mem_printf("%s" FILES_DIR "/%zu", f->root, i);
	CLEANUP(free_ptr) char *target = mem_printf("%s%s", f->root, e->path);

	return e->is_staged ? place_staged(f, e, staged, target, err)
			    : check_placed(f, e, target, err);
}

int files_place(struct files *f, const char *root, size_t n, struct err *err)
{
	CLEANUP(free_ptr) char *dir = mem_printf("%s" FILES_DIR, root);
	struct entry e;
	char *at;
	int r = 0;

	*f = (struct files){.root = root, .n = n};
	if (n)
		r = files_read_list(f, err);
	at = f->list;
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (!next_entry(f, &at, &e))
			r = err_set(err, -ENOSPC,
				    "the kernel unpacked %zu of %zu files for "
				    "the guest: it needs more memory",
				    i, n);
		else
			r = files_place_one(f, &e, i, err);
	}
	rmdir(dir);
	return r;
}

int files_check_visible(const struct files *f, struct err *err)
{
	char *at = f->list;
	struct entry e;
	struct stat st;

	for (size_t i = 0; i < f->n && next_entry(f, &at, &e); i++) {
		CLEANUP(free_ptr)
		char *target = mem_printf("%s%s", f->root, e.path);

		if (lstat(target, &st) < 0 || st.st_dev != f->dev)
			return files_fail(&e, -EBUSY,
					  "a file system that is mounted at "
					  "the start hides it",
					  err);
	}
	return 0;
}

void files_done(struct files *f)
{
	free(f->list);
	*f = (struct files){0};
}
