/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: levels[] holds the directories that are open, each with
 * the sorted names that it had when it was entered. One step makes one entry,
 * or one piece of the file that is open.
 */
#include "agent-proto/tree_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "agent-proto/tree.h"

#define PIECE_MAX ((size_t)32 << 10) /* bytes of a file in one record */

struct level {
	int fd;
	struct strvec names;
	size_t next; /* of names */
};

struct open_file {
	int fd; /* -1: none is open */
	uint64_t at;
	uint64_t
	    size; /* when it was opened; 0 also of one that does not tell */
	bool has_holes;
	struct sparse_map map;
};

struct tree_reader {
	const char *place; /* borrowed */
	char *path;	   /* of the entry that is next or open; owned */
	int first_fd;	   /* -1: it is on a level */
	unsigned depth;
	struct level levels[TREE_DEPTH_MAX];
	uint32_t entries; /* listed so far */
	struct open_file file;
};

static int tree_read_fail(const struct tree_reader *t, const char *what,
			  int code, struct err *err)
{
	return err_set(err, -code, "cannot %s '%s'%s: %s", what, t->path,
		       t->place, strerror(code));
}

static void tree_read_enter_name(struct tree_reader *t, const char *name)
{
	char *longer = mem_printf("%s/%s", t->path, name);

	free(t->path);
	t->path = longer;
}

static void tree_read_leave_name(struct tree_reader *t)
{
	char *slash = strrchr(t->path, '/');

	if (slash)
		*slash = '\0';
}

/* --- directories ---------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* The names in d, sorted. */
static int tree_read_list_names(struct tree_reader *t, DIR *d,
				struct strvec *names, struct err *err)
{
	struct dirent *e;

	while (errno = 0, (e = readdir(d))) {
		if (is_dots(e->d_name))
			continue;
		/* One is left for the directory itself. */
		if (++t->entries >= TREE_ENTRIES_MAX)
			return err_set(err, -EFBIG,
				       "'%s'%s: there are more than %u entries",
				       t->path, t->place, TREE_ENTRIES_MAX);
		strvec_add(names, e->d_name);
	}
	/* ENOENT: the directory was removed, and so has none. */
	if (errno && errno != ENOENT)
		return tree_read_fail(t, "list", errno, err);
	if (names->n)
		qsort(names->v, names->n, sizeof(*names->v), by_bytes);
	return 0;
}

static int list_level(struct tree_reader *t, struct level *level,
		      struct err *err)
{
	int fd = fcntl(level->fd, F_DUPFD_CLOEXEC, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int rc;

	if (!d) {
		rc = tree_read_fail(t, "list", errno, err);
		fd_closep(&fd);
		return rc;
	}
	rc = tree_read_list_names(t, d, &level->names, err);
	closedir(d);
	return rc;
}

/* Takes a directory that is open; name is "" for the first. */
static int push_level(struct tree_reader *t, int take_fd, const char *name,
		      struct buf *out, struct err *err)
{
	CLEANUP(fd_closep) int fd = take_fd;
	struct level *level = &t->levels[t->depth];
	struct stat st;

	if (t->depth == TREE_DEPTH_MAX)
		return err_set(err, -EFBIG,
			       "'%s'%s: directories are more than %u deep",
			       t->path, t->place, TREE_DEPTH_MAX);
	if (fstat(fd, &st) < 0)
		return tree_read_fail(t, "open", errno, err);
	*level = (struct level){.fd = TAKE_FD(fd)};
	t->depth++;
	tree_encode(&(struct tree_entry){TREE_DIR, st.st_mode & TREE_PERM_MAX,
					 name, ""},
		    out);
	return list_level(t, level, err);
}

static void pop_level(struct tree_reader *t)
{
	struct level *level = &t->levels[--t->depth];

	close(level->fd);
	strvec_done(&level->names);
}

static void tree_read_leave_dir(struct tree_reader *t, struct buf *out)
{
	tree_encode(&(struct tree_entry){TREE_UP, 0, "", ""}, out);
	pop_level(t);
	if (t->depth)
		tree_read_leave_name(t);
}

/* --- files ---------------------------------------------------------------- */

/* A file is at its end. Where it had more bytes than there were to read, and
 * says so itself, they were taken away. A file of sysfs does not say so. */
static int check_length(const struct tree_reader *t, struct err *err)
{
	const struct open_file *f = &t->file;
	struct stat st;

	if (f->at >= f->size)
		return 0;
	if (fstat(f->fd, &st) < 0)
		return tree_read_fail(t, "read", errno, err);
	if ((uint64_t)st.st_size < f->size)
		return err_set(err, -ENODATA,
			       "'%s'%s has become shorter while it was read",
			       t->path, t->place);
	return 0;
}

static ssize_t tree_read_read_piece(const struct open_file *f, uint8_t *p)
{
	ssize_t n;

	do
		n = f->has_holes ? pread(f->fd, p, PIECE_MAX, (off_t)f->at)
				 : read(f->fd, p, PIECE_MAX);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Makes the next record of the file that is open. */
static int step_file(struct tree_reader *t, struct buf *out, struct err *err)
{
	struct open_file *f = &t->file;
	uint8_t *p = buf_room(out, SPARSE_HEADER + PIECE_MAX);
	uint64_t hole =
	    f->has_holes ? sparse_hole_at(&f->map, f->fd, f->at) : 0;
	ssize_t n;

	f->at += hole;
	n = tree_read_read_piece(f, p + SPARSE_HEADER);
	if (n < 0)
		return tree_read_fail(t, "read", errno, err);
	if (!n && check_length(t, err) < 0)
		return err->code;
	f->at += (uint64_t)n;
	sparse_encode(p, hole, (uint64_t)n);
	buf_commit(out, SPARSE_HEADER + (size_t)n);
	if (!n) {
		fd_closep(&f->fd);
		tree_read_leave_name(t);
	}
	return 0;
}

static int tree_read_fail_kind(const struct tree_reader *t, mode_t mode,
			       struct err *err)
{
	const char *what = S_ISFIFO(mode)   ? "a FIFO"
			   : S_ISSOCK(mode) ? "a socket"
			   : S_ISCHR(mode) || S_ISBLK(mode)
			       ? "a device"
			       : "another kind of file than before";

	return err_set(err, -EINVAL,
		       "'%s'%s is %s: a directory is copied when it has files, "
		       "directories and symbolic links only",
		       t->path, t->place, what);
}

static int tree_read_begin_file(struct tree_reader *t, int take_fd,
				const char *name, struct buf *out,
				struct err *err)
{
	CLEANUP(fd_closep) int fd = take_fd;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return tree_read_fail(t, "open", errno, err);
	if (!S_ISREG(st.st_mode))
		return tree_read_fail_kind(t, st.st_mode, err);
	/* st_blocks counts 512 bytes each on every file system (stat(2)). */
	t->file = (struct open_file){
	    .fd = TAKE_FD(fd),
	    .size = (uint64_t)st.st_size,
	    .has_holes = st.st_blocks * 512 < st.st_size,
	};
	tree_encode(&(struct tree_entry){TREE_FILE, st.st_mode & TREE_PERM_MAX,
					 name, ""},
		    out);
	return 0;
}

/* --- steps ---------------------------------------------------------------- */

static int add_link(struct tree_reader *t, int dir_fd, const char *name,
		    struct buf *out, struct err *err)
{
	char target[TREE_TARGET_MAX + 1];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));

	if (n < 0)
		return tree_read_fail(t, "read", errno, err);
	if (!n || n > (ssize_t)TREE_TARGET_MAX)
		return tree_read_fail(t, "read", ENAMETOOLONG, err);
	target[n] = '\0';
	tree_encode(&(struct tree_entry){TREE_LINK, 0, name, target}, out);
	tree_read_leave_name(t);
	return 0;
}

/* An entry that is in t->path. ENOENT of err: it has vanished. */
static int tree_read_add_entry(struct tree_reader *t, int dir_fd,
			       const char *name, struct buf *out,
			       struct err *err)
{
	/* Never waits for a FIFO that took a file's place. */
	int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	struct stat st;
	int fd;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tree_read_fail(t, "stat", errno, err);
	if (S_ISLNK(st.st_mode))
		return add_link(t, dir_fd, name, out, err);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return tree_read_fail_kind(t, st.st_mode, err);
	if (S_ISDIR(st.st_mode))
		flags |= O_DIRECTORY;
	fd = openat(dir_fd, name, flags);
	if (fd < 0)
		return tree_read_fail(t, "open", errno, err);
	return S_ISDIR(st.st_mode)
		   ? push_level(t, fd, name, out, err)
		   : tree_read_begin_file(t, fd, name, out, err);
}

static int tree_read_step(struct tree_reader *t, struct buf *out,
			  struct err *err)
{
	struct level *level;
	const char *name;
	unsigned depth;

	if (t->first_fd >= 0)
		return push_level(t, TAKE_FD(t->first_fd), "", out, err);
	if (t->file.fd >= 0)
		return step_file(t, out, err);
	level = &t->levels[t->depth - 1];
	if (level->next == level->names.n) {
		tree_read_leave_dir(t, out);
		return 0;
	}
	depth = t->depth;
	name = level->names.v[level->next++];
	tree_read_enter_name(t, name);
	if (tree_read_add_entry(t, level->fd, name, out, err) == 0)
		return 0;
	if (err->code != -ENOENT || t->depth != depth)
		return err->code;
	tree_read_leave_name(t);
	return 0;
}

struct tree_reader *tree_reader_new(int take_fd, const char *path,
				    const char *place)
{
	struct tree_reader *t = mem_zalloc(sizeof(*t));
	size_t n = strlen(path);

	while (n && path[n - 1] == '/')
		n--;
	t->place = place;
	t->path = mem_strndup(path, n);
	t->first_fd = take_fd;
	t->file.fd = -1;
	return t;
}

int tree_reader_next(struct tree_reader *t, struct buf *out, size_t n,
		     struct err *err)
{
	size_t want = out->len + n;

	while (out->len < want && (t->first_fd >= 0 || t->depth))
		if (tree_read_step(t, out, err) < 0)
			return err->code;
	return t->depth || t->first_fd >= 0;
}

struct tree_reader *tree_reader_free(struct tree_reader *t)
{
	if (!t)
		return NULL;
	while (t->depth)
		pop_level(t);
	fd_closep(&t->file.fd);
	fd_closep(&t->first_fd);
	free(t->path);
	free(t);
	return NULL;
}
