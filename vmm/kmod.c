/* SPDX-License-Identifier: MIT */
#include "vmm/kmod.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "vmm/cpio.h"
#include "vmm/store.h"
#include "vmm/unpack.h"

#define PATH_LEN_MAX 1024
#define ABSENT	     1

struct kmod {
	char *name;
	char *path;	    /* relative to the index's dir */
	struct strvec deps; /* names */
	bool is_builtin;
	bool knows_deps;
};

struct kmod_index {
	char *dir;
	struct kmod *m; /* sorted by name */
	size_t n;
};

static void kmod_done(struct kmod *m)
{
	free(m->name);
	free(m->path);
	strvec_done(&m->deps);
}

struct kmod_index *kmod_index_free(struct kmod_index *x)
{
	if (!x)
		return NULL;
	for (size_t i = 0; i < x->n; i++)
		kmod_done(&x->m[i]);
	free(x->m);
	free(x->dir);
	free(x);
	return NULL;
}

static void kmod_index_freep(struct kmod_index **x)
{
	kmod_index_free(*x);
}

static struct kmod_index *index_new(const char *dir)
{
	struct kmod_index *x = mem_zalloc(sizeof(*x));

	x->dir = mem_strdup(dir);
	return x;
}

char *kmod_name(const char *path)
{
	static const char *const suffixes[] = {".ko", ".ko.gz", ".ko.xz",
					       ".ko.zst"};
	const char *base = strrchr(path, '/');
	size_t n;

	base = base ? base + 1 : path;
	n = strcspn(base, ".");
	for (size_t i = 0; i < ARRAY_LEN(suffixes) && n; i++) {
		char *name;

		if (strcmp(base + n, suffixes[i]) != 0)
			continue;
		name = mem_strndup(base, n);
		for (char *p = name; (p = strchr(p, '-'));)
			*p = '_';
		return name;
	}
	return NULL;
}

static int index_add(struct kmod_index *x, char *take_path, struct kmod **ret)
{
	CLEANUP(free_ptr) char *path = take_path;
	CLEANUP(free_ptr) char *rooted = mem_printf("/%s", path);
	char *name = kmod_name(path);

	if (!name || strlen(path) > PATH_LEN_MAX ||
	    cpio_check_path(rooted) < 0 || x->n == KMOD_COUNT_MAX) {
		free(name);
		return -EBADMSG;
	}
	if ((x->n & (x->n - 1)) == 0)
		x->m =
		    mem_realloc_array(x->m, x->n ? 2 * x->n : 1, sizeof(*x->m));
	x->m[x->n] = (struct kmod){.name = name, .path = TAKE(path)};
	*ret = &x->m[x->n++];
	return 0;
}

static int kmod_by_name(const void *a, const void *b)
{
	const struct kmod *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int by_name_and_path(const void *a, const void *b)
{
	const struct kmod *x = a, *y = b;
	int r = kmod_by_name(a, b);

	return r ? r : strcmp(x->path, y->path);
}

/* Sorts, and drops all but one of equal names. */
static void index_sort(struct kmod_index *x)
{
	size_t kept = 0;

	if (x->n)
		qsort(x->m, x->n, sizeof(*x->m), by_name_and_path);
	for (size_t i = 0; i < x->n; i++) {
		if (kept && !strcmp(x->m[kept - 1].name, x->m[i].name))
			kmod_done(&x->m[i]);
		else
			x->m[kept++] = x->m[i];
	}
	x->n = kept;
}

static struct kmod *index_find(const struct kmod_index *x, const char *name)
{
	CLEANUP(free_ptr) char *file = mem_printf("%s.ko", name);
	CLEANUP(free_ptr) char *norm = kmod_name(file);
	struct kmod key = {.name = norm};

	if (!norm || !x->n)
		return NULL;
	return bsearch(&key, x->m, x->n, sizeof(*x->m), kmod_by_name);
}

/* The words of line[0..n) as names of modules. */
static int add_deps(struct kmod *m, const char *line, size_t n)
{
	const char *end = line + n;

	while (line < end) {
		CLEANUP(free_ptr) char *word = NULL, *name = NULL;
		size_t len = 0;

		while (line + len < end && line[len] != ' ')
			len++;
		word = mem_strndup(line, len);
		name = kmod_name(word);
		if (len && !name)
			return -EBADMSG;
		if (name)
			strvec_add(&m->deps, name);
		line += len + (line + len < end);
	}
	return 0;
}

/* A line of modules.dep, "path: path path", or of modules.builtin, "path". */
static int add_line(struct kmod_index *x, const char *line, size_t n,
		    bool is_builtin)
{
	const char *colon = memchr(line, ':', n);
	size_t len = colon ? (size_t)(colon - line) : n;
	struct kmod *m;
	int r;

	if (n == 0)
		return 0;
	if (memchr(line, '\0', n) || (!colon && !is_builtin))
		return -EBADMSG;
	r = index_add(x, mem_strndup(line, len), &m);
	if (r < 0)
		return r;
	m->is_builtin = is_builtin;
	m->knows_deps = true;
	return colon ? add_deps(m, colon + 1, n - len - 1) : 0;
}

static int add_text(struct kmod_index *x, const char *text, size_t n,
		    bool is_builtin)
{
	while (n) {
		const char *nl = memchr(text, '\n', n);
		size_t len = nl ? (size_t)(nl - text) : n;
		int r = add_line(x, text, len, is_builtin);

		if (r < 0)
			return r;
		len += nl != NULL;
		text += len;
		n -= len;
	}
	return 0;
}

struct kmod_index *kmod_index_parse(const char *dir, const char *text, size_t n,
				    struct err *err)
{
	CLEANUP(kmod_index_freep) struct kmod_index *x = index_new(dir);
	int r = add_text(x, text, n, false);

	if (r < 0) {
		err_set(err, r, "damaged modules.dep");
		return NULL;
	}
	index_sort(x);
	return TAKE(x);
}

/* Adds a file of dir; ABSENT where there is none. */
static int kmod_add_file(struct kmod_index *x, const char *name,
			 bool is_builtin, struct err *err)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", x->dir, name);
	CLEANUP(buf_done) struct buf b = {0};
	int r;

	if (access(path, F_OK) < 0)
		return ABSENT;
	r = store_read(path, KMOD_DEP_MAX, &b, err);
	if (r < 0)
		return r;
	r = add_text(x, (const char *)buf_data(&b), b.len, is_builtin);
	if (r < 0)
		return err_set(err, r, "'%s' is damaged", path);
	return 0;
}

/* All modules below dir/kernel, whose dependencies are read when asked for. */
static int scan(struct kmod_index *x, struct err *err)
{
	CLEANUP(free_ptr) char *root = mem_printf("%s/kernel", x->dir);
	char *roots[] = {root, NULL};
	FTS *fts =
	    fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
	FTSENT *e;
	int r = 0;

	if (!fts)
		return err_set(err, -errno, "cannot read '%s': %s", root,
			       strerror(errno));
	while (r == 0 && (e = fts_read(fts))) {
		CLEANUP(free_ptr) char *name = kmod_name(e->fts_name);
		struct kmod *m;

		if (e->fts_level == FTS_ROOTLEVEL && e->fts_errno)
			r = -e->fts_errno;
		else if (e->fts_info == FTS_F && name)
			r = index_add(
			    x, mem_strdup(e->fts_path + strlen(x->dir) + 1),
			    &m);
	}
	fts_close(fts);
	if (r < 0)
		return err_set(err, r, "cannot list the modules in '%s': %s",
			       root, strerror(-r));
	return 0;
}

struct kmod_index *kmod_index_open(const char *dir, struct err *err)
{
	CLEANUP(kmod_index_freep) struct kmod_index *x = index_new(dir);
	int r = kmod_add_file(x, "modules.dep", false, err);

	if (r == ABSENT)
		r = scan(x, err);
	if (r == 0)
		r = kmod_add_file(x, "modules.builtin", true, err);
	if (r < 0)
		return NULL;
	index_sort(x);
	return TAKE(x);
}

int kmod_read(const char *path, struct buf *out, struct err *err)
{
	CLEANUP(buf_done) struct buf raw = {0};
	enum unpack_format format;
	int r = store_read(path, KMOD_FILE_MAX, &raw, err);

	if (r < 0)
		return r;
	format = unpack_detect(buf_data(&raw), raw.len);
	r = unpack(format, buf_data(&raw), raw.len, KMOD_FILE_MAX, out);
	if (r < 0)
		return err_set(err, r, "module '%s' is %s (%s)", path,
			       r == -EFBIG ? "too large" : "damaged",
			       unpack_name(format));
	return 0;
}

static int read_deps(const struct kmod_index *x, struct kmod *m,
		     struct err *err)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", x->dir, m->path);
	CLEANUP(strvec_done) struct strvec values = {0};
	CLEANUP(buf_done) struct buf b = {0};
	int r = kmod_read(path, &b, err);

	if (r < 0)
		return r;
	r = kmod_modinfo(buf_data(&b), b.len, "depends", &values);
	if (r < 0)
		return err_set(err, r, "'%s' is not a module", path);
	for (size_t i = 0; i < values.n; i++) {
		char *save, *v = values.v[i];

		for (v = strtok_r(v, ",", &save); v;
		     v = strtok_r(NULL, ",", &save))
			strvec_add(&m->deps, v);
	}
	m->knows_deps = true;
	return 0;
}

static bool has_path(const struct strvec *sv, const char *path)
{
	for (size_t i = 0; i < sv->n; i++)
		if (!strcmp(sv->v[i], path))
			return true;
	return false;
}

static int closure(struct kmod_index *x, const char *name, int depth,
		   struct strvec *ret, struct err *err)
{
	struct kmod *m = index_find(x, name);
	int r = 0;

	if (!m)
		return err_set(err, -ENOENT, "no module '%s' in '%s'", name,
			       x->dir);
	if (m->is_builtin || has_path(ret, m->path))
		return 0;
	if (depth == KMOD_DEPTH_MAX)
		return err_set(err, -ELOOP,
			       "module '%s' in '%s' depends on itself", name,
			       x->dir);
	if (!m->knows_deps)
		r = read_deps(x, m, err);
	/* depmod lists what is needed last first, and so do we load. */
	for (size_t i = m->deps.n; i-- > 0 && r == 0;)
		r = closure(x, m->deps.v[i], depth + 1, ret, err);
	if (r == 0 && !has_path(ret, m->path))
		strvec_add(ret, m->path);
	return r;
}

int kmod_closure(struct kmod_index *x, const char *name,
		 struct strvec *ret_paths, struct err *err)
{
	return closure(x, name, 0, ret_paths, err);
}
