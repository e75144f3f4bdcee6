/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: fds[] holds the directories that are open, from the new
 * one down to where the next entry goes. An entry is made by its one name in
 * the last of them, by a call that makes a new file or fails (O_EXCL, mkdirat,
 * symlinkat). So a path of several components is never looked up, and an entry
 * that bears the name of an earlier one is an error. Modes are set behind the
 * content: a directory may deny writing, and writing clears set-id bits.
 */
#include "agent-proto/tree_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "agent-proto/tree.h"
#include "agent-proto/tree_remove.h"

#define ASIDE_TRIES   100
#define ASIDE_MAX     64
#define SET_ID	      (S_ISUID | S_ISGID)
#define OPEN_DIR      (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define OPEN_NEW_FILE (O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC)

struct tree_writer {
	const char *place;     /* borrowed */
	char *path;	       /* that the directory gets; owned */
	const char *base;      /* its last component, in path */
	int parent_fd;	       /* of path */
	char aside[ASIDE_MAX]; /* the name in the parent; "": none is left */
	struct tree_parser parser;
	unsigned depth; /* of fds */
	int fds[TREE_DEPTH_MAX];
	uint32_t modes[TREE_DEPTH_MAX];
	char *inside; /* "/a/b": the path from the new directory; owned */
	int file_fd;  /* of the file that is written, or -1 */
	uint32_t file_mode;
	bool ends_in_hole;
	uint64_t bytes;
};

static int tree_write_fail(const struct tree_writer *w, const char *what,
			   int code, struct err *err)
{
	return err_set(err, -code, "cannot %s '%s%s'%s: %s", what, w->path,
		       w->inside ? w->inside : "", w->place, strerror(code));
}

/* --- the path inside ------------------------------------------------------ */

static void tree_write_enter_name(struct tree_writer *w, const char *name)
{
	char *longer = mem_printf("%s/%s", w->inside ? w->inside : "", name);

	free(w->inside);
	w->inside = longer;
}

static void tree_write_leave_name(struct tree_writer *w)
{
	char *slash = w->inside ? strrchr(w->inside, '/') : NULL;

	if (slash)
		*slash = '\0';
}

/* --- the new directory ---------------------------------------------------- */

/* 1: it is empty, or its owner lets nobody see: then rename(2) tells. 0: it is
 * not. -errno. */
static int tree_write_is_empty_dir(int parent_fd, const char *name)
{
	int fd = openat(parent_fd, name, OPEN_DIR);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int n = 0, code = errno;

	if (!d) {
		fd_closep(&fd);
		return code == EACCES ? 1 : -code;
	}
	while (n <= 2 && readdir(d))
		n++;
	closedir(d);
	return n <= 2; /* . and .. */
}

/* Whether a directory may take the place of what is at the path. */
static int tree_write_check_place(const struct tree_writer *w, struct err *err)
{
	struct stat st, parent;
	int is_empty;

	if (fstatat(w->parent_fd, w->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT
			   ? 0
			   : tree_write_fail(w, "create", errno, err);
	if (fstat(w->parent_fd, &parent) < 0)
		return tree_write_fail(w, "create", errno, err);
	if (!S_ISDIR(st.st_mode))
		return tree_write_fail(w, "create", ENOTDIR, err);
	if (st.st_dev != parent.st_dev)
		return err_set(err, -EBUSY,
			       "'%s'%s is a mount point: a directory is copied "
			       "to a path below it",
			       w->path, w->place);
	is_empty = tree_write_is_empty_dir(w->parent_fd, w->base);
	if (is_empty < 0)
		return tree_write_fail(w, "open", -is_empty, err);
	if (!is_empty)
		return err_set(
		    err, -ENOTEMPTY,
		    "'%s'%s is not empty: a directory is copied to a "
		    "new path, or to an empty directory",
		    w->path, w->place);
	return 0;
}

/* Opens the parent, and has base point behind it. path is absolute or not. */
static int open_parent(struct tree_writer *w, struct err *err)
{
	char *slash = strrchr(w->path, '/');
	CLEANUP(free_ptr)
	char *parent = slash
			   ? mem_strndup(w->path, (size_t)(slash - w->path) + 1)
			   : mem_strdup(".");

	w->base = slash ? slash + 1 : w->path;
	if (!*w->base || !strcmp(w->base, ".") || !strcmp(w->base, ".."))
		return tree_write_fail(w, "create", EEXIST, err);
	w->parent_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return w->parent_fd < 0 ? tree_write_fail(w, "create", errno, err) : 0;
}

static int tree_write_make_aside(struct tree_writer *w, struct err *err)
{
	int rc = -1;

	for (int i = 0; i < ASIDE_TRIES && rc < 0; i++) {
		snprintf(w->aside, sizeof(w->aside),
			 TREE_ASIDE_PREFIX "%d-%llx", getpid(),
			 (unsigned long long)clock_now_ns());
		rc = mkdirat(w->parent_fd, w->aside, 0700);
		if (rc < 0 && errno != EEXIST)
			break;
	}
	if (rc < 0) {
		w->aside[0] = '\0';
		return tree_write_fail(w, "create", errno, err);
	}
	return 0;
}

/* What a link at path names, where that exists; and no slash at the end. */
static char *real_path(const char *path)
{
	char *real = realpath(path, NULL);
	size_t n = strlen(path);

	while (!real && n > 1 && path[n - 1] == '/')
		n--;
	return real ? real : mem_strndup(path, n);
}

struct tree_writer *tree_writer_new(const char *path, const char *place,
				    struct err *err)
{
	struct tree_writer *w = mem_zalloc(sizeof(*w));

	w->place = place;
	w->path = real_path(path);
	w->parent_fd = w->file_fd = -1;
	if (open_parent(w, err) < 0 || tree_write_check_place(w, err) < 0 ||
	    tree_write_make_aside(w, err) < 0)
		return tree_writer_free(w);
	return w;
}

/* --- entries -------------------------------------------------------------- */

/* Sets the mode. What the kernel leaves out without a word is an error. */
static int set_mode(const struct tree_writer *w, int fd, uint32_t mode,
		    struct err *err)
{
	struct stat st;

	if (fchmod(fd, mode) < 0 || (mode & SET_ID && fstat(fd, &st) < 0))
		return tree_write_fail(w, "set the mode of", errno, err);
	if (mode & SET_ID && mode & ~st.st_mode & SET_ID)
		return tree_write_fail(w, "set the mode of", EPERM, err);
	return 0;
}

/* The first entry is the directory aside, which is there. */
static int enter_dir(struct tree_writer *w, const struct tree_entry *e,
		     struct err *err)
{
	bool is_first = !w->depth;
	int in = is_first ? w->parent_fd : w->fds[w->depth - 1];
	const char *name = is_first ? w->aside : e->name;
	int fd;

	if (!is_first && mkdirat(in, name, 0700) < 0)
		return tree_write_fail(w, "create", errno, err);
	fd = openat(in, name, OPEN_DIR);
	if (fd < 0)
		return tree_write_fail(w, "open", errno, err);
	w->modes[w->depth] = e->mode;
	w->fds[w->depth++] = fd;
	return 0;
}

/* The first directory gets its mode in the end: others cannot enter until. */
static int tree_write_leave_dir(struct tree_writer *w, struct err *err)
{
	unsigned i = w->depth - 1;

	if (!i)
		return 0;
	if (set_mode(w, w->fds[i], w->modes[i], err) < 0)
		return err->code;
	close(w->fds[i]);
	w->depth = i;
	tree_write_leave_name(w);
	return 0;
}

static int tree_write_begin_file(struct tree_writer *w,
				 const struct tree_entry *e, struct err *err)
{
	w->file_fd = openat(w->fds[w->depth - 1], e->name, OPEN_NEW_FILE, 0600);
	if (w->file_fd < 0)
		return tree_write_fail(w, "create", errno, err);
	w->file_mode = e->mode;
	w->ends_in_hole = false;
	return 0;
}

static int make_link(struct tree_writer *w, const struct tree_entry *e,
		     struct err *err)
{
	if (symlinkat(e->target, w->fds[w->depth - 1], e->name) < 0)
		return tree_write_fail(w, "create", errno, err);
	tree_write_leave_name(w);
	return 0;
}

static int tree_write_take_entry(struct tree_writer *w,
				 const struct tree_entry *e, struct err *err)
{
	if (*e->name)
		tree_write_enter_name(w, e->name);
	switch (e->kind) {
	case TREE_DIR:
		return enter_dir(w, e, err);
	case TREE_FILE:
		return tree_write_begin_file(w, e, err);
	case TREE_LINK:
		return make_link(w, e, err);
	case TREE_UP:
		break;
	}
	return tree_write_leave_dir(w, err);
}

/* --- files ---------------------------------------------------------------- */

static int tree_write_end_file(struct tree_writer *w, struct err *err)
{
	off_t size;

	/* Nothing is written behind the last hole. */
	if (w->ends_in_hole) {
		size = lseek(w->file_fd, 0, SEEK_CUR);
		if (size < 0 || ftruncate(w->file_fd, size) < 0)
			return tree_write_fail(w, "write", errno, err);
	}
	if (set_mode(w, w->file_fd, w->file_mode, err) < 0)
		return err->code;
	/* A file system of a network may refuse bytes only now. */
	if (close(TAKE_FD(w->file_fd)) < 0 && errno != EINTR)
		return tree_write_fail(w, "write", errno, err);
	tree_write_leave_name(w);
	return 0;
}

static int take_record(struct tree_writer *w, const struct tree_token *token,
		       struct err *err)
{
	if (token->hole > INT64_MAX)
		return tree_write_fail(w, "write", EFBIG, err);
	if (token->hole && lseek(w->file_fd, (off_t)token->hole, SEEK_CUR) < 0)
		return tree_write_fail(w, "write", errno, err);
	if (!token->is_last)
		return 0;
	w->ends_in_hole = token->hole;
	return tree_write_end_file(w, err);
}

static int take_data(struct tree_writer *w, const uint8_t *p, size_t n,
		     struct err *err)
{
	while (n) {
		ssize_t done = write(w->file_fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return tree_write_fail(w, "write", errno, err);
		p += done;
		n -= (size_t)done;
		w->bytes += (uint64_t)done;
	}
	return 0;
}

static int take_token(struct tree_writer *w, const struct tree_token *token,
		      const uint8_t *p, size_t n, struct err *err)
{
	switch (token->event) {
	case TREE_ENTRY:
		return tree_write_take_entry(w, &token->entry, err);
	case TREE_RECORD:
		return take_record(w, token, err);
	case TREE_DATA:
		return take_data(w, p, n, err);
	case TREE_MORE:
		break;
	}
	return 0;
}

int tree_writer_put(struct tree_writer *w, const void *bytes, size_t n,
		    struct err *err)
{
	const uint8_t *p = bytes;

	while (n) {
		struct tree_token token;
		ssize_t used = tree_parse(&w->parser, p, n, &token, err);

		if (used < 0)
			return err_wrap(err, "'%s%s'%s", w->path,
					w->inside ? w->inside : "", w->place);
		if (take_token(w, &token, p, (size_t)used, err) < 0)
			return err->code;
		p += used;
		n -= (size_t)used;
	}
	return 0;
}

/* --- the end -------------------------------------------------------------- */

int tree_writer_finish(struct tree_writer *w, struct err *err)
{
	if (!w->parser.has_ended)
		return err_set(err, -EPROTO, "'%s%s'%s: the tree breaks off",
			       w->path, w->inside ? w->inside : "", w->place);
	if (set_mode(w, w->fds[0], w->modes[0], err) < 0)
		return err->code;
	/* Replaces an empty directory, and nothing else (rename(2)). */
	if (renameat(w->parent_fd, w->aside, w->parent_fd, w->base) < 0)
		return tree_write_fail(w, "create", errno, err);
	w->aside[0] = '\0';
	return 0;
}

uint64_t tree_writer_bytes(const struct tree_writer *w)
{
	return w->bytes;
}

struct tree_writer *tree_writer_free(struct tree_writer *w)
{
	if (!w)
		return NULL;
	fd_closep(&w->file_fd);
	while (w->depth)
		close(w->fds[--w->depth]);
	if (w->aside[0])
		tree_remove(w->parent_fd, w->aside);
	fd_closep(&w->parent_fd);
	free(w->inside);
	free(w->path);
	free(w);
	return NULL;
}
