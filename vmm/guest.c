/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * <cache_dir>/guests/ is a store (store.h): <key>/ holds an image, whose key is
 * the hash of all that it was made from, so that equal parts give one image
 * wherever they came from. An image is complete when its `info` is there and
 * the files have the sizes that it says; info is written last, and the folder
 * is renamed into place when all of it is on the disk.
 *
 * Finding the default image must not cost reading 17 MB of kernel, modules and
 * busybox: a stamp (stamp.h) names the key as long as all inputs, and the
 * image's own files, look as they did. Its file is named after the places that
 * were searched, which environment variables change. It includes the boot
 * folder, where a newer kernel may appear. An image whose kernel came from a
 * package serves until a usable one appears there: nothing is fetched twice.
 */
#include "vmm/guest.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "agent-proto/cleanup.h"
#include "vmm/guest_build.h"
#include "vmm/guest_source.h"
#include "vmm/stamp.h"
#include "vmm/store.h"

#define PACKAGE	 "package" /* as the source of a kernel */
#define INFO	 "info"
#define INFO_MAX 4096
#define LIST_MAX 65536

void guest_image_done(struct guest_image *g)
{
	free(g->key);
	free(g->kernel);
	free(g->bzimage);
	free(g->initrd);
	free(g->release);
	*g = (struct guest_image){0};
}

char *guest_cache_dir(void)
{
	const char *own = getenv("PROVIUM_CACHE_DIR");
	const char *xdg = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");

	if (own && *own)
		return mem_strdup(own);
	/* Relative paths are to be ignored (XDG Base Directory). */
	if (xdg && *xdg == '/')
		return mem_printf("%s/provium", xdg);
	if (home && *home == '/')
		return mem_printf("%s/.cache/provium", home);
	return mem_printf("/var/tmp/provium-%u", (unsigned)geteuid());
}

/* --- info: "format N", "release R", "kernel SIZE NAME", ... ---------------*/

static int write_info(const char *dir, const struct guest_source *source,
		      struct err *err)
{
	const char *const names[] = {GUEST_VMLINUX, GUEST_BZIMAGE, GUEST_INITRD,
				     GUEST_MODULES};
	CLEANUP(free_ptr) char *path = mem_printf("%s/" INFO, dir);
	CLEANUP(buf_done) struct buf b = {0};

	buf_printf(&b, "format %d\nrelease %s\nsource %s\n", GUEST_FORMAT,
		   source->release,
		   source->from_package ? PACKAGE : source->kernel);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CLEANUP(free_ptr) char *file = NULL;
		struct stat st;

		file = mem_printf("%s/%s", dir, names[i]);
		if (stat(file, &st) < 0 && errno == ENOENT && i < 2)
			continue; /* an image has one kernel, or both */
		if (stat(file, &st) < 0)
			return err_set(err, -errno, "cannot find '%s': %s",
				       file, strerror(errno));
		buf_printf(&b, "file %llu %s\n", (unsigned long long)st.st_size,
			   names[i]);
	}
	return store_write(path, buf_data(&b), b.len, err);
}

/* "SIZE NAME": whether there is such a file; the kernels and initrd are
 * noted in g. */
static bool guest_check_file(const char *dir, const char *text,
			     struct guest_image *g)
{
	CLEANUP(free_ptr) char *path = NULL;
	unsigned long long size;
	struct stat st;
	char *name;

	errno = 0;
	size = strtoull(text, &name, 10);
	if (errno || *name != ' ' || strchr(name, '/'))
		return false;
	name++;
	path = mem_printf("%s/%s", dir, name);
	if (stat(path, &st) < 0 || (unsigned long long)st.st_size != size)
		return false;
	if (!strcmp(name, GUEST_INITRD) && !g->initrd)
		g->initrd = TAKE(path);
	else if (!strcmp(name, GUEST_VMLINUX) && !g->kernel)
		g->kernel = TAKE(path);
	else if (!strcmp(name, GUEST_BZIMAGE) && !g->bzimage)
		g->bzimage = TAKE(path);
	return true;
}

static bool check_format(const char *dir, const char *text,
			 struct guest_image *g)
{
	(void)dir;
	(void)g;
	return atoi(text) == GUEST_FORMAT;
}

static bool guest_take_release(const char *dir, const char *text,
			       struct guest_image *g)
{
	(void)dir;
	free(g->release);
	g->release = mem_strdup(text);
	return true;
}

static const struct {
	const char *key;
	bool (*take)(const char *dir, const char *text, struct guest_image *g);
} info_keys[] = {
    {"format ", check_format},
    {"release ", guest_take_release},
    {"file ", guest_check_file},
};

static bool guest_take_line(const char *dir, const char *line,
			    struct guest_image *g)
{
	for (size_t i = 0; i < ARRAY_LEN(info_keys); i++) {
		size_t n = strlen(info_keys[i].key);

		if (!strncmp(line, info_keys[i].key, n))
			return info_keys[i].take(dir, line + n, g);
	}
	return true; /* for the reader */
}

/* A complete image of guests/<key>; false where there is none. */
static bool guest_open_image(const char *guests, const char *key,
			     struct guest_image *ret)
{
	CLEANUP(free_ptr) char *dir = mem_printf("%s/%s", guests, key);
	CLEANUP(free_ptr) char *path = mem_printf("%s/" INFO, dir);
	CLEANUP(guest_image_done) struct guest_image g = {0};
	CLEANUP(buf_done) struct buf b = {0};
	char *save, *line;

	if (strchr(key, '/') || store_read(path, INFO_MAX, &b, NULL) < 0)
		return false;
	buf_append(&b, "", 1);
	for (line = strtok_r((char *)buf_data(&b), "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		if (!guest_take_line(dir, line, &g))
			return false;
	if (!g.kernel && g.bzimage)
		g.kernel = mem_strdup(g.bzimage);
	if (!g.kernel || !g.initrd || !g.release)
		return false;
	g.key = mem_strdup(key);
	*ret = g;
	g = (struct guest_image){0};
	return true;
}

/* The lines of modules.list that begin with name. */
static int list_modules(const struct guest_image *g, const char *name,
			struct strvec *ret, struct err *err)
{
	const char *slash = strrchr(g->initrd, '/');
	CLEANUP(free_ptr)
	char *path = mem_printf("%.*s/" GUEST_MODULES, (int)(slash - g->initrd),
				g->initrd);
	CLEANUP(buf_done) struct buf b = {0};
	char *save, *line;
	int r = store_read(path, LIST_MAX, &b, err);

	if (r < 0)
		return r;
	buf_append(&b, "", 1);
	for (line = strtok_r((char *)buf_data(&b), "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *space = strchr(line, ' ');

		if (!space)
			return err_set(err, -EBADMSG, "'%s' is damaged", path);
		*space = '\0';
		if (!strcmp(line, name))
			strvec_add(ret, space + 1);
	}
	return 0;
}

int guest_image_modules(const struct guest_image *g, enum transport t,
			struct strvec *ret, struct err *err)
{
	return list_modules(g, transport_name(t), ret, err);
}

int guest_image_net_modules(const struct guest_image *g, struct strvec *ret,
			    struct err *err)
{
	return list_modules(g, GUEST_NET, ret, err);
}

int guest_image_disk_modules(const struct guest_image *g, struct strvec *ret,
			     struct err *err)
{
	return list_modules(g, GUEST_DISK, ret, err);
}

/* --- the list -------------------------------------------------------------*/

struct dated {
	struct guest_image image;
	struct timespec made;
};

static int newest_first(const void *a, const void *b)
{
	const struct timespec *x = &((const struct dated *)a)->made;
	const struct timespec *y = &((const struct dated *)b)->made;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? 1 : -1;
	return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

static bool open_dated(const char *guests, const char *key, struct dated *ret)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", guests, key);
	struct stat st;

	if (strlen(key) != GUEST_KEY_LEN || stat(path, &st) < 0 ||
	    !guest_open_image(guests, key, &ret->image))
		return false;
	ret->made = st.st_mtim;
	return true;
}

static int list(const char *guests, struct guest_image **ret, size_t *ret_n,
		struct err *err)
{
	CLEANUP(free_ptr) struct dated *all = NULL;
	DIR *d = opendir(guests);
	struct dirent *e;
	size_t n = 0;

	if (!d && errno != ENOENT)
		return err_set(err, -errno, "cannot read '%s': %s", guests,
			       strerror(errno));
	while (d && (e = readdir(d))) {
		struct dated one;

		if (!open_dated(guests, e->d_name, &one))
			continue;
		all = mem_realloc_array(all, n + 1, sizeof(*all));
		all[n++] = one;
	}
	if (d)
		closedir(d);
	if (n)
		qsort(all, n, sizeof(*all), newest_first);
	*ret = mem_alloc(n * sizeof(**ret));
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = all[i].image;
	*ret_n = n;
	return 0;
}

int guest_list(const char *cache_dir, struct guest_image **ret, size_t *ret_n,
	       struct err *err)
{
	CLEANUP(free_ptr) char *guests = mem_printf("%s/guests", cache_dir);

	return list(guests, ret, ret_n, err);
}

/* --- the default image ----------------------------------------------------*/

/* Everything a look-up or build of the default image works with. */
struct search {
	struct guest_places places;
	char *guests;	  /* the folder of images */
	char *stamp_path; /* the stamp of these places */
	guest_progress_cb progress;
	void *ctx;
};

static void search_init(struct search *s, const char *cache_dir,
			const struct guest_places *places,
			guest_progress_cb progress, void *ctx)
{
	CLEANUP(free_ptr) char *id = NULL;

	s->places = *places;
	s->progress = progress;
	s->ctx = ctx;
	s->guests = mem_printf("%s/guests", cache_dir);
	id = mem_printf(
	    "%s\n%s\n%s\n%s\n%d", s->places.kernel ? s->places.kernel : "",
	    s->places.boot, s->places.modules,
	    s->places.busybox ? s->places.busybox : "", GUEST_FORMAT);
	s->stamp_path =
	    mem_printf("%s/stamp-%016llx", s->guests,
		       (unsigned long long)XXH3_64bits(id, strlen(id)));
}

static void search_done(struct search *s)
{
	free(s->guests);
	free(s->stamp_path);
}

static void guest_say(const struct search *s, const char *what)
{
	if (s->progress)
		s->progress(s->ctx, what);
}

static void on_wait(void *ctx)
{
	guest_say(ctx, "waiting for another builder of the default guest");
}

static bool find_stamped(const struct search *s, struct guest_image *ret)
{
	CLEANUP(free_ptr) char *key = stamp_find(s->stamp_path);

	return key && guest_open_image(s->guests, key, ret);
}

/* Puts a complete image in place; a broken one of that key goes. */
static int guest_install(const struct search *s,
			 const struct guest_source *source,
			 const struct guest_parts *parts, const char *key,
			 struct err *err)
{
	CLEANUP(free_ptr) char *tmp = store_tmp(s->guests, err);
	CLEANUP(free_ptr) char *dir = mem_printf("%s/%s", s->guests, key);
	CLEANUP(free_ptr) char *what = NULL;
	int r;

	if (!tmp)
		return err ? err->code : -EIO;
	what = mem_printf("building the default guest from %s", source->kernel);
	guest_say(s, what);
	r = guest_parts_write(parts, tmp, err);
	if (r == 0)
		r = write_info(tmp, source, err);
	if (r == 0) {
		store_remove(dir);
		if (rename(tmp, dir) < 0)
			r = err_set(err, -errno, "cannot rename '%s': %s", tmp,
				    strerror(errno));
	}
	if (r < 0)
		store_remove(tmp);
	return r;
}

static bool is_packaged(const char *guests, const char *key)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s/" INFO, guests, key);
	CLEANUP(buf_done) struct buf b = {0};

	if (store_read(path, INFO_MAX, &b, NULL) < 0)
		return false;
	buf_append(&b, "", 1);
	return strstr((char *)buf_data(&b), "\nsource " PACKAGE "\n") != NULL;
}

/* The newest image whose kernel came from a package. */
static bool find_packaged(const struct search *s, struct guest_image *ret)
{
	struct guest_image *all = NULL;
	bool found = false;
	size_t n = 0;

	if (list(s->guests, &all, &n, NULL) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!found && is_packaged(s->guests, all[i].key)) {
			*ret = all[i];
			found = true;
		} else {
			guest_image_done(&all[i]);
		}
	}
	free(all);
	return found;
}

static void leave_stamp(const struct search *s, struct stamp *stamp,
			const struct guest_image *g)
{
	CLEANUP(free_ptr)
	char *list = mem_printf("%s/%s/" GUEST_MODULES, s->guests, g->key);

	stamp_add_made(stamp, g->kernel);
	stamp_add_made(stamp, g->initrd);
	stamp_add_made(stamp, list);
	stamp_save(stamp, s->stamp_path, g->key);
}

/* Under the lock: finds the parts, and builds what they give if it is not
 * there. tmp is for a package. */
static int build(const struct search *s, const char *tmp,
		 struct guest_image *ret, struct err *err)
{
	CLEANUP(guest_source_done) struct guest_source source = {0};
	CLEANUP(guest_parts_done) struct guest_parts parts = {0};
	CLEANUP(stamp_done) struct stamp stamp = {0}, parts_stamp = {0};
	char key[GUEST_KEY_LEN + 1];
	int r;

	if (!s->places.kernel)
		stamp_add(&stamp, s->places.boot);
	if (!s->places.busybox && !guest_source_is_local(&s->places) &&
	    find_packaged(s, ret)) {
		leave_stamp(s, &stamp, ret);
		return 0;
	}
	r = guest_source_find(&s->places, tmp, s->progress, s->ctx, &source,
			      err);
	if (r == 0)
		r = guest_parts_load(&source, &parts_stamp, &parts, err);
	if (r < 0)
		return r;
	guest_parts_key(&parts, key);
	if (!guest_open_image(s->guests, key, ret)) {
		r = guest_install(s, &source, &parts, key, err);
		if (r < 0)
			return r;
		if (!guest_open_image(s->guests, key, ret))
			return err_set(
			    err, -EIO,
			    "the image '%s/%s' vanished while it was built",
			    s->guests, key);
	}
	/* What a package was unpacked to is gone in a moment. */
	if (!source.from_package)
		stamp_append(&stamp, &parts_stamp);
	leave_stamp(s, &stamp, ret);
	return 0;
}

static int find_or_build(struct search *s, struct guest_image *ret,
			 struct err *err)
{
	CLEANUP(fd_closep) int lock = -1;
	CLEANUP(free_ptr) char *tmp = NULL;
	/* Also where an image of another kernel has these places' stamp. */
	int r = guest_source_check(&s->places, err);

	if (r < 0)
		return r;
	if (find_stamped(s, ret))
		return 0;
	lock = store_lock(s->guests, on_wait, s, err);
	if (lock < 0)
		return lock;
	if (find_stamped(s, ret))
		return 0;
	tmp = store_tmp(s->guests, err);
	if (!tmp)
		return err ? err->code : -EIO;
	r = build(s, tmp, ret, err);
	store_remove(tmp);
	return r;
}

int guest_default_from(const char *cache_dir, const struct guest_places *places,
		       guest_progress_cb progress, void *ctx,
		       struct guest_image *ret, struct err *err)
{
	CLEANUP(search_done) struct search s;

	*ret = (struct guest_image){0};
	search_init(&s, cache_dir, places, progress, ctx);
	return find_or_build(&s, ret, err);
}

int guest_default(const char *cache_dir, guest_progress_cb progress, void *ctx,
		  struct guest_image *ret, struct err *err)
{
	struct guest_places places;

	guest_places_get(&places);
	return guest_default_from(cache_dir, &places, progress, ctx, ret, err);
}
