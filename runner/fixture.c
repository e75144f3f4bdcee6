/* SPDX-License-Identifier: MIT */
#include "runner/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "runner/bind_lab_snapshot.h"
#include "runner/vm_factory.h"
#include "vmm/snapshot.h"
#include "vmm/store.h"

#define JSON_NAME "fixture.json"
#define JSON_MAX  (16u << 20)

/* --- sources -----------------------------------------------------------------
 */

static bool fixture_has_suffix(const char *path)
{
	size_t n = strlen(path), m = strlen(FIXTURE_SUFFIX);

	return n > m && !strcmp(path + n - m, FIXTURE_SUFFIX);
}

static int fixture_by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int list_root(const char *root, struct strvec *names,
		     struct strvec *paths, struct err *err)
{
	CLEANUP(free_ptr) char *p = mem_strdup(root);
	char *const roots[] = {p, NULL};
	FTS *fts = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, fixture_by_name);
	FTSENT *e;

	if (!fts)
		return err_set(err, -errno, "cannot read '%s': %s", root,
			       strerror(errno));
	while ((e = fts_read(fts))) {
		if (e->fts_level && e->fts_name[0] == '.') {
			fts_set(fts, e, FTS_SKIP);
			continue;
		}
		if (e->fts_info != FTS_F || !fixture_has_suffix(e->fts_path))
			continue;
		const char *name = e->fts_path + strlen(root) + 1;
		CLEANUP(free_ptr) char *real = realpath(e->fts_path, NULL);
		strvec_add(paths, real ? real : e->fts_path);
		strvec_addf(names, "%.*s",
			    (int)(strlen(name) - strlen(FIXTURE_SUFFIX)), name);
	}
	fts_close(fts);
	return 0;
}

int fixture_list(const struct config *c, struct strvec *ret_names,
		 struct strvec *ret_paths, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->roots.n; i++)
		r = list_root(c->roots.v[i], ret_names, ret_paths, err);
	return r;
}

static void fail_unknown(const struct config *c, const char *name,
			 struct err *err)
{
	CLEANUP(strvec_done) struct strvec names = {0}, paths = {0};
	CLEANUP(buf_done) struct buf list = {0};
	struct err ignored;

	fixture_list(c, &names, &paths, &ignored);
	for (size_t i = 0; i < names.n; i++)
		buf_printf(&list, "%s%s", i ? ", " : "", names.v[i]);
	if (!names.n)
		buf_printf(&list, "none");
	err_set(err, -ENOENT,
		"there is no fixture '%s': no %s" FIXTURE_SUFFIX
		" below a root; there is: %.*s",
		name, name, (int)list.len, (char *)buf_data(&list));
}

char *fixture_find(const struct config *c, const char *name, struct err *err)
{
	for (size_t i = 0; i < c->roots.n; i++) {
		CLEANUP(free_ptr)
		char *path =
		    mem_printf("%s/%s" FIXTURE_SUFFIX, c->roots.v[i], name);
		char *real = realpath(path, NULL);

		if (real)
			return real;
	}
	fail_unknown(c, name, err);
	return NULL;
}

char *fixture_slot(const struct config *c, const char *source)
{
	const char *base =
	    strrchr(source, '/') ? strrchr(source, '/') + 1 : source;
	size_t n = strlen(base);

	if (fixture_has_suffix(base))
		n -= strlen(FIXTURE_SUFFIX);
	return mem_printf("%s/fixtures/%.*s-%016" PRIx64, c->cache_dir, (int)n,
			  base, (uint64_t)XXH3_64bits(source, strlen(source)));
}

/* --- entries -----------------------------------------------------------------
 */

void fixture_entry_done(struct fixture_entry *e)
{
	free(e->dir);
	free(e->snapshot);
	json_decref(e->json);
	fd_closep(&e->lock_fd);
	*e = (struct fixture_entry){.lock_fd = -1};
}

static uint64_t tree_size(const char *dir)
{
	CLEANUP(free_ptr) char *p = mem_strdup(dir);
	char *const roots[] = {p, NULL};
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	uint64_t sum = 0;
	const FTSENT *e;

	while (fts && (e = fts_read(fts)))
		if (e->fts_info == FTS_F)
			sum += (uint64_t)e->fts_statp->st_blocks * 512 /
			       e->fts_statp->st_nlink;
	if (fts)
		fts_close(fts);
	return sum;
}

/* Reads fixture.json of dir, and keeps its lock. */
static int read_entry(const char *dir, struct fixture_entry *e, struct err *err)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/" JSON_NAME, dir);
	CLEANUP(buf_done) struct buf text = {0};
	const char *kind = NULL, *snapshot = NULL, *key = NULL, *output = "";
	int r;

	*e = (struct fixture_entry){.dir = mem_strdup(dir)};
	e->lock_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (e->lock_fd < 0)
		return err_set(err, -ENOENT, FIXTURE_NOT_BUILT);
	flock(e->lock_fd, LOCK_SH | LOCK_NB);
	r = store_read(path, JSON_MAX, &text, err);
	if (r < 0)
		return r;
	e->json = json_loadb((char *)buf_data(&text), text.len, 0, NULL);
	if (json_unpack(e->json, "{s:s, s:s, s:s, s:F, s:I, s?s}", "kind",
			&kind, "snapshot", &snapshot, "key", &key, "seconds",
			&e->seconds, "built_at", &e->built_at, "output",
			&output) < 0 ||
	    strlen(key) >= DEPS_KEY_MAX || strchr(snapshot, '/'))
		return err_set(err, -EBADMSG, "'%s' is damaged", path);
	snprintf(e->key, sizeof(e->key), "%s", key);
	e->kind = !strcmp(kind, "lab") ? FIXTURE_LAB : FIXTURE_VM;
	e->snapshot = mem_printf("%s/%s", dir, snapshot);
	e->output = (char *)(uintptr_t)output;
	e->size = tree_size(dir);
	return 0;
}

void fixture_snapshots(const struct fixture_entry *e, struct strvec *ret)
{
	if (e->kind == FIXTURE_LAB)
		lab_snapshot_parts(e->snapshot, ret);
	else
		strvec_add(ret, e->snapshot);
}

static bool is_fixture_good(void *ctx, const char *source, const char *key)
{
	struct fixture_entry e;
	struct err err;
	bool same = fixture_lookup(ctx, source, &e, &err) == 0 && key &&
		    !strcmp(e.key, key);

	fixture_entry_done(&e);
	return same;
}

/* What a restore would refuse has to be built again: another kernel, or images
 * of disks that have changed. */
static int check_snapshots(const struct fixture_entry *e, struct err *err)
{
	CLEANUP(strvec_done) struct strvec dirs = {0};
	struct snapshot s;

	fixture_snapshots(e, &dirs);
	for (size_t i = 0; i < dirs.n; i++) {
		if (snapshot_open(&s, dirs.v[i], err) < 0)
			return err->code;
		snapshot_done(&s);
	}
	return 0;
}

static int check_entry(const struct fixtures *f, const char *source,
		       const struct fixture_entry *e, struct err *err)
{
	CLEANUP(free_ptr)
	char *what = deps_changed(json_object_get(e->json, "deps"), f->vms,
				  is_fixture_good, (void *)(uintptr_t)f);

	CLEANUP(free_ptr) char *own = mem_printf("file '%s'", source);

	if (!what)
		return check_snapshots(e, err);
	return err_set(err, -ENOENT, "%s has changed",
		       strcmp(what, own) ? what : "its file");
}

/* The names of entries in a slot. */
static void list_entries(const char *slot, struct strvec *ret)
{
	DIR *d = opendir(slot);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (strlen(e->d_name) == DEPS_KEY_MAX - 1 &&
		    strspn(e->d_name, "0123456789abcdef") == DEPS_KEY_MAX - 1)
			strvec_addf(ret, "%s/%s", slot, e->d_name);
	if (d)
		closedir(d);
}

int fixture_lookup(const struct fixtures *f, const char *source,
		   struct fixture_entry *ret, struct err *err)
{
	CLEANUP(free_ptr) char *slot = fixture_slot(f->config, source);
	CLEANUP(strvec_done) struct strvec dirs = {0};
	int r = err_set(err, -ENOENT, FIXTURE_NOT_BUILT);
	int64_t newest = INT64_MIN;
	struct err why;

	*ret = (struct fixture_entry){.lock_fd = -1};
	list_entries(slot, &dirs);
	for (size_t i = 0; r < 0 && i < dirs.n; i++) {
		fixture_entry_done(ret);
		r = read_entry(dirs.v[i], ret, &why);
		if (r == 0)
			r = check_entry(f, source, ret, &why);
		if (r < 0 && ret->built_at > newest) {
			newest = ret->built_at;
			*err = why;
		}
	}
	if (r == 0) /* it was used now: for fixture_evict() */
		futimens(ret->lock_fd, NULL);
	else
		fixture_entry_done(ret);
	return r < 0 ? -ENOENT : 0;
}

/* --- removal -----------------------------------------------------------------
 */

/* Whether nobody used it. */
static bool remove_entry(const char *dir)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/" JSON_NAME, dir);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return false;
	/* First: what is left of it is none. */
	unlink(path);
	store_remove(dir);
	return true;
}

int fixture_remove(const struct fixtures *f, const char *source,
		   bool only_stale, struct err *err)
{
	CLEANUP(free_ptr) char *slot = fixture_slot(f->config, source);
	CLEANUP(strvec_done) struct strvec dirs = {0};
	int n = 0;

	(void)err;
	list_entries(slot, &dirs);
	for (size_t i = 0; i < dirs.n; i++) {
		struct fixture_entry e;
		struct err why;
		bool good = only_stale && !read_entry(dirs.v[i], &e, &why) &&
			    !check_entry(f, source, &e, &why);

		if (only_stale)
			fixture_entry_done(&e);
		if (!good && remove_entry(dirs.v[i]))
			n++;
	}
	return n;
}

struct aged {
	char *dir;
	int64_t used_ns;
	uint64_t size;
};

static int by_age(const void *a, const void *b)
{
	const struct aged *x = a, *y = b;

	return x->used_ns < y->used_ns ? -1 : x->used_ns > y->used_ns;
}

static void add_aged(const char *dir, struct aged **all, size_t *n)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/" JSON_NAME, dir);
	struct stat st;

	if (stat(path, &st) < 0)
		return;
	*all = mem_realloc_array(*all, *n + 1, sizeof(**all));
	(*all)[(*n)++] = (struct aged){
	    .dir = mem_strdup(dir),
	    .used_ns =
		st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
	    .size = tree_size(dir),
	};
}

void fixture_evict(const struct config *c, const char *keep)
{
	CLEANUP(free_ptr) char *top = mem_printf("%s/fixtures", c->cache_dir);
	DIR *d = c->cache_max_size ? opendir(top) : NULL;
	struct aged *all = NULL;
	const struct dirent *e;
	uint64_t sum = 0;
	size_t n = 0;

	while (d && (e = readdir(d))) {
		CLEANUP(free_ptr)
		char *slot = mem_printf("%s/%s", top, e->d_name);
		CLEANUP(strvec_done) struct strvec dirs = {0};

		if (e->d_name[0] != '.')
			list_entries(slot, &dirs);
		for (size_t i = 0; i < dirs.n; i++)
			add_aged(dirs.v[i], &all, &n);
	}
	if (d)
		closedir(d);
	if (n)
		qsort(all, n, sizeof(*all), by_age);
	for (size_t i = 0; i < n; i++)
		sum += all[i].size;
	for (size_t i = 0; i < n; i++) {
		if (sum > c->cache_max_size && strcmp(all[i].dir, keep) != 0 &&
		    remove_entry(all[i].dir))
			sum -= all[i].size;
		free(all[i].dir);
	}
	free(all);
}
