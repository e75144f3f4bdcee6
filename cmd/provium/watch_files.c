/* SPDX-License-Identifier: MIT */
#include "cmd/provium/watch_files.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"

#define SETTLE_MS  100 /* an editor writes, renames and deletes in a row */
#define DEPTH_MAX  64  /* links may go round */
#define EVENTS_MAX (64u << 10)

#define CHANGES                                                                \
	(IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_CREATE)

struct watched {
	int wd;
	char *dir; /* absolute */
	bool is_deep;
};

struct watch_files {
	int fd;
	struct watched *v; /* owned array */
	size_t n;
};

struct watch_files *watch_files_new(struct err *err)
{
	struct watch_files *w = mem_zalloc(sizeof(*w));

	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->fd < 0) {
		err_set(err, -errno, "--watch: inotify: %s", strerror(errno));
		return watch_files_free(w);
	}
	return w;
}

struct watch_files *watch_files_free(struct watch_files *w)
{
	for (size_t i = 0; w && i < w->n; i++)
		free(w->v[i].dir);
	if (w) {
		free(w->v);
		fd_closep(&w->fd);
	}
	free(w);
	return NULL;
}

size_t watch_files_count(const struct watch_files *w)
{
	return w->n;
}

static struct watched *watch_files_find(struct watch_files *w, int wd)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].wd == wd)
			return &w->v[i];
	return NULL;
}

/* 1: it was not watched before. */
static int add_dir(struct watch_files *w, const char *dir, bool is_deep,
		   struct err *err)
{
	int wd = inotify_add_watch(w->fd, dir, CHANGES | IN_ONLYDIR);
	struct watched *old;

	if (wd < 0)
		return err_set(err, -errno, "--watch: cannot watch '%s': %s",
			       dir, strerror(errno));
	old = watch_files_find(w, wd);
	if (old) {
		bool is_news = is_deep && !old->is_deep;

		old->is_deep |= is_deep;
		return is_news;
	}
	w->v = mem_realloc_array(w->v, w->n + 1, sizeof(*w->v));
	w->v[w->n++] = (struct watched){wd, mem_strdup(dir), is_deep};
	return 1;
}

static bool is_lua(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && name[0] != '.' && !strcmp(name + n - 4, ".lua");
}

static void add_once(struct strvec *v, const char *s)
{
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->v[i], s))
			return;
	strvec_add(v, s);
}

/* Watches dir and all below it. ret, unless NULL, gets the tests that are
 * there: they may have come before the watch did. */
static int add_tree(struct watch_files *w, const char *dir, int depth,
		    struct strvec *ret, struct err *err)
{
	int r = add_dir(w, dir, true, err);
	struct dirent *d;

	if (r <= 0 || depth >= DEPTH_MAX)
		return r < 0 ? r : 0;
	DIR *list = opendir(dir);
	r = 0;
	while (list && r == 0 && (d = readdir(list))) {
		CLEANUP(free_ptr)
		char *path = mem_printf("%s/%s", dir, d->d_name);
		struct stat st;

		if (d->d_name[0] == '.' || stat(path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			r = add_tree(w, path, depth + 1, ret, err);
		else if (ret && is_lua(d->d_name))
			add_once(ret, path);
	}
	if (list)
		closedir(list);
	return r;
}

int watch_files_add(struct watch_files *w, const char *path, struct err *err)
{
	CLEANUP(free_ptr) char *real = realpath(path, NULL);
	struct stat st;

	if (!real || stat(real, &st) < 0)
		return err_set(err, -errno, "'%s': %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return add_tree(w, real, 0, NULL, err);
	*strrchr(real, '/') = '\0';
	return watch_files_add_flat(w, *real ? real : "/", err);
}

int watch_files_add_flat(struct watch_files *w, const char *dir,
			 struct err *err)
{
	int r = add_dir(w, dir, false, err);

	return r < 0 ? r : 0;
}

static void take_event(struct watch_files *w, const struct inotify_event *ev,
		       struct strvec *ret)
{
	struct watched *at = watch_files_find(w, ev->wd);

	if (!at || !ev->len)
		return;
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", at->dir, ev->name);
	if (ev->mask & IN_ISDIR && at->is_deep && ev->name[0] != '.')
		add_tree(w, path, 0, ret, NULL);
	else if (!(ev->mask & IN_ISDIR) && is_lua(ev->name))
		add_once(ret, path);
}

/* All that has come by now. */
static void take_events(struct watch_files *w, struct strvec *ret)
{
	static _Alignas(struct inotify_event) char bytes[EVENTS_MAX];
	ssize_t n;

	while ((n = read(w->fd, bytes, sizeof(bytes))) > 0) {
		for (char *p = bytes; p < bytes + n;) {
			const struct inotify_event *ev = (void *)p;

			take_event(w, ev, ret);
			p += sizeof(*ev) + ev->len;
		}
	}
}

int watch_files_wait(struct watch_files *w, struct strvec *ret, struct err *err)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	int n;

	do {
		/* Without an end until there is something, then until it is
		 * quiet. */
		n = poll(&p, 1, ret->n ? SETTLE_MS : -1);
		if (n < 0)
			return err_set(err, -errno, "--watch: %s",
				       strerror(errno));
		take_events(w, ret);
	} while (n || !ret->n);
	return 0;
}
