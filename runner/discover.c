/* SPDX-License-Identifier: MIT */
#include "runner/discover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"

#define SUFFIX ".test.lua"

struct dir_id {
	dev_t dev;
	ino_t ino;
};

/*
 * A walk keeps two lists of directories still to visit: real ones, and links,
 * whose turn comes when no real one is left. So a file that can be reached
 * both ways shows its real path. Each directory is visited once, which also
 * ends link loops.
 */
struct walk {
	struct test_files *files;
	struct strvec real; /* of these, real.v[done..] are to do */
	size_t real_done;
	struct strvec links;
	size_t links_done;
	struct dir_id *seen;
	size_t n_seen;
	struct err *err;
};

static bool discover_has_suffix(const char *name)
{
	size_t n = strlen(name);
	size_t m = strlen(SUFFIX);

	return n > m && !strcmp(name + n - m, SUFFIX);
}

static int discover_fail(struct walk *w, const char *what, const char *path)
{
	int code = -errno;

	return err_set(w->err, code, "%s '%s': %s", what, path,
		       strerror(errno));
}

static int discover_add_file(struct walk *w, const char *path)
{
	char *real = realpath(path, NULL);

	if (!real)
		return discover_fail(w, "cannot open", path);
	struct test_files *f = w->files;
	f->v = mem_realloc_array(f->v, f->n + 1, sizeof(*f->v));
	f->v[f->n++] = (struct test_file){
	    .path = real,
	    .display = mem_strdup(path),
	};
	return 0;
}

static bool see(struct walk *w, const struct stat *st)
{
	for (size_t i = 0; i < w->n_seen; i++) {
		if (w->seen[i].dev == st->st_dev &&
		    w->seen[i].ino == st->st_ino)
			return false;
	}
	w->seen = mem_realloc_array(w->seen, w->n_seen + 1, sizeof(*w->seen));
	w->seen[w->n_seen++] = (struct dir_id){st->st_dev, st->st_ino};
	return true;
}

static int discover_add_entry(struct walk *w, const char *dir, const char *name)
{
	bool is_below = strcmp(dir, ".") != 0;
	bool has_slash = dir[strlen(dir) - 1] == '/';
	CLEANUP(free_ptr)
	char *path = mem_printf("%s%s%s", is_below ? dir : "",
				is_below && !has_slash ? "/" : "", name);
	struct stat st;
	struct stat target;

	if (lstat(path, &st) < 0)
		return errno == ENOENT
			   ? 0
			   : discover_fail(w, "cannot look at", path);
	if (S_ISDIR(st.st_mode)) {
		strvec_add(&w->real, path);
		return 0;
	}
	if (stat(path, &target) < 0) {
		/* A dangling link matters only where a test was meant. */
		return discover_has_suffix(name)
			   ? discover_fail(w, "cannot open", path)
			   : 0;
	}
	if (S_ISDIR(target.st_mode))
		strvec_add(&w->links, path);
	else if (discover_has_suffix(name) && S_ISREG(target.st_mode))
		return discover_add_file(w, path);
	return 0;
}

static int visit(struct walk *w, const char *path)
{
	struct dirent *e;
	struct stat st;
	int r = 0;
	DIR *d = opendir(path);

	if (!d)
		return discover_fail(w, "cannot read directory", path);
	if (fstat(dirfd(d), &st) < 0)
		r = discover_fail(w, "cannot look at", path);
	if (!r && see(w, &st)) {
		while (!r && (e = readdir(d))) {
			if (e->d_name[0] != '.')
				r = discover_add_entry(w, path, e->d_name);
		}
	}
	closedir(d);
	return r;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int walk_all(struct walk *w)
{
	int r = 0;

	for (;;) {
		char *next;
		if (w->real_done < w->real.n) {
			next = mem_strdup(w->real.v[w->real_done++]);
		} else if (w->links_done < w->links.n) {
			/* Which link comes first must not hang on the order
			 * that the file system has. */
			qsort(w->links.v + w->links_done,
			      w->links.n - w->links_done, sizeof(char *),
			      by_path);
			next = mem_strdup(w->links.v[w->links_done++]);
		} else {
			return 0;
		}
		r = visit(w, next);
		free(next);
		if (r < 0)
			return r;
	}
}

static int add_argument(struct walk *w, const char *arg)
{
	bool is_dotted = !strncmp(arg, "./", 2) && strspn(arg + 2, "/") == 0;
	CLEANUP(free_ptr)
	char *path = mem_strdup(is_dotted && arg[2] ? arg + 2 : arg);
	struct stat st;

	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	if (stat(*path ? path : arg, &st) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return err_set(w->err, -ENOENT,
				       "no such file or directory: '%s'", arg);
		return discover_fail(w, "cannot open", arg);
	}
	if (S_ISDIR(st.st_mode)) {
		strvec_add(&w->real, path);
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return err_set(w->err, -EINVAL,
			       "'%s' is neither a file nor a directory", arg);
	if (!discover_has_suffix(path))
		return err_set(
		    w->err, -EINVAL,
		    "'%s' is no test file: its name does not end in " SUFFIX,
		    arg);
	return discover_add_file(w, path);
}

static int discover_compare(const void *a, const void *b)
{
	const struct test_file *fa = a;
	const struct test_file *fb = b;
	int r = strcmp(fa->path, fb->path);

	return r ? r : strcmp(fa->display, fb->display);
}

static int compare_display(const void *a, const void *b)
{
	const struct test_file *fa = a;
	const struct test_file *fb = b;

	return strcmp(fa->display, fb->display);
}

/* One entry a file, in the order of what is shown. */
static void sort_unique(struct test_files *f)
{
	size_t kept = 0;

	if (!f->n)
		return;
	qsort(f->v, f->n, sizeof(*f->v), discover_compare);
	for (size_t i = 0; i < f->n; i++) {
		if (kept && !strcmp(f->v[kept - 1].path, f->v[i].path)) {
			free(f->v[i].path);
			free(f->v[i].display);
		} else {
			f->v[kept++] = f->v[i];
		}
	}
	f->n = kept;
	qsort(f->v, f->n, sizeof(*f->v), compare_display);
}

int discover(const char *const *paths, size_t n_paths, struct test_files *ret,
	     struct err *err)
{
	struct walk w = {.files = ret, .err = err};
	int r = 0;

	*ret = (struct test_files){0};
	for (size_t i = 0; !r && i < n_paths; i++)
		r = add_argument(&w, paths[i]);
	if (!r)
		r = walk_all(&w);
	if (r < 0)
		test_files_done(ret);
	else
		sort_unique(ret);
	strvec_done(&w.real);
	strvec_done(&w.links);
	free(w.seen);
	return r;
}

void test_files_keep(struct test_files *f, const bool *keep)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (keep[i]) {
			f->v[n++] = f->v[i];
			continue;
		}
		free(f->v[i].path);
		free(f->v[i].display);
	}
	f->n = n;
}

void test_files_retain(struct test_files *f, const struct strvec *paths)
{
	bool *keep = mem_zalloc(f->n + 1);

	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < paths->n; k++)
			keep[i] |= !strcmp(f->v[i].path, paths->v[k]);
	test_files_keep(f, keep);
	free(keep);
}

void test_files_done(struct test_files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].path);
		free(f->v[i].display);
	}
	free(f->v);
	*f = (struct test_files){0};
}
