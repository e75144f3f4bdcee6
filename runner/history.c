/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. What a run shows is gathered apart, per file: which
 * tests passed and failed, and so on. Only history_save() makes records of it,
 * of what the file holds then. A test that was not run keeps what is known of
 * it.
 */
#include "runner/history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/shuffle.h"
#include "vmm/store.h"

#define VERSION	    1
#define HISTORY_MAX (64u << 20)
#define NAME_ROOM   200 /* bytes of a file name that a base may take */
#define FOLDER	    "history"
#define SUFFIX	    ".json"

struct history {
	struct event_sink sink;
	char *path; /* NULL: nowhere */
	char *base; /* with a slash at its end */
	json_t *files;
	/* Of the run: by display, the file's key. */
	json_t *keys;
	/* And by key: {"passed": {name: true}, "failed": {...}, "planned":
	 * {...}, "seconds", "serial", "broken"}. */
	json_t *seen;
	bool is_whole;
};

/* --- where it is kept -----------------------------------------------------*/

/* The base as a file name: '/' is "%", and '%' is "%%". One that is too long
 * ends in a hash, and is not told from its name. */
static char *name_of_base(const char *base)
{
	CLEANUP(buf_done) struct buf name = {0};

	for (const char *p = base; *p; p++) {
		buf_append(&name, *p == '/' ? "%" : p, 1);
		if (*p == '%')
			buf_append(&name, "%", 1);
	}
	if (name.len > NAME_ROOM)
		return mem_printf("long-%016" PRIx64, shuffle_key(1, base));
	return mem_strndup((char *)buf_data(&name), name.len);
}

/* The base that a file name stands for, owned; NULL: not to be told. */
static char *base_of_name(const char *name)
{
	size_t n = strlen(name), len = 0;
	CLEANUP(free_ptr) char *base = mem_zalloc(n + 1);

	if (*name != '%' || n < sizeof(SUFFIX) ||
	    strcmp(name + n - strlen(SUFFIX), SUFFIX) != 0)
		return NULL;
	n -= strlen(SUFFIX);
	for (size_t i = 0; i < n; i++) {
		bool is_double = name[i] == '%' && name[i + 1] == '%';

		base[len++] = name[i] == '%' && !is_double ? '/' : name[i];
		i += is_double;
	}
	return TAKE(base);
}

/* Removes what is remembered of directories that are no more. */
static void forget_the_gone(const char *dir_path)
{
	DIR *dir = opendir(dir_path);
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		CLEANUP(free_ptr) char *base = base_of_name(d->d_name);

		if (base && access(base, F_OK) < 0 && errno == ENOENT)
			unlinkat(dirfd(dir), d->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

char *history_path(const char *cache_dir, const char *base)
{
	CLEANUP(free_ptr) char *name = name_of_base(base);

	return mem_printf("%s/" FOLDER "/%s" SUFFIX, cache_dir, name);
}

/* --- reading --------------------------------------------------------------*/

static const char *history_key_of(const struct history *h, const char *path)
{
	size_t n = strlen(h->base);

	return strncmp(path, h->base, n) ? path : path + n;
}

/* The records in path; an empty object where there is no file. */
static json_t *history_read_files(const char *path, struct err *err)
{
	CLEANUP(buf_done) struct buf b = {0};
	int r = store_read(path, HISTORY_MAX, &b, err);
	json_t *root, *files;

	if (r == -ENOENT)
		return json_object();
	if (r < 0)
		return NULL;
	root = json_loadb((char *)buf_data(&b), b.len, 0, NULL);
	files = json_object_get(root, "files");
	if (json_integer_value(json_object_get(root, "version")) != VERSION ||
	    !json_is_object(files)) {
		json_decref(root);
		err_set(err, -EBADMSG,
			"'%s' is no history of provium, or a later version's",
			path);
		return NULL;
	}
	json_incref(files);
	json_decref(root);
	return files;
}

struct history *history_open(const char *path, const char *base,
			     struct err *err)
{
	struct history *h = mem_zalloc(sizeof(*h));
	size_t n = strlen(base);

	h->path = path ? mem_strdup(path) : NULL;
	h->base = mem_printf("%s%s", base, n && base[n - 1] == '/' ? "" : "/");
	h->keys = json_object();
	h->seen = json_object();
	h->files = path ? history_read_files(path, err) : json_object();
	return h->files ? h : history_free(h);
}

struct history *history_free(struct history *h)
{
	if (!h)
		return NULL;
	json_decref(h->files);
	json_decref(h->keys);
	json_decref(h->seen);
	free(h->path);
	free(h->base);
	free(h);
	return NULL;
}

static const json_t *record_of(const struct history *h,
			       const struct test_file *file)
{
	return json_object_get(h->files, history_key_of(h, file->path));
}

struct order_hint history_hint(const struct history *h,
			       const struct test_file *file)
{
	const json_t *r = record_of(h, file);
	double s = json_number_value(json_object_get(r, "seconds"));

	return (struct order_hint){
	    .has_failed = json_is_true(json_object_get(r, "broken")) ||
			  json_array_size(json_object_get(r, "failed")),
	    .is_serial = json_is_true(json_object_get(r, "serial")),
	    .duration_ns = s > 0 && s < 1e9 ? (int64_t)(s * NS_PER_SEC) : 0,
	};
}

bool history_add_reruns(const struct history *h, const struct test_file *file,
			struct strvec *rules)
{
	const json_t *r = record_of(h, file);
	const json_t *failed = json_object_get(r, "failed");
	bool is_broken = json_is_true(json_object_get(r, "broken"));

	if (is_broken)
		strvec_addf(rules, "rerun=%s\n", file->path);
	for (size_t i = 0; !is_broken && i < json_array_size(failed); i++) {
		const char *name = json_string_value(json_array_get(failed, i));

		if (name)
			strvec_addf(rules, "rerun=%s\n%s", file->path, name);
	}
	return is_broken || json_array_size(failed);
}

/* --- learning -------------------------------------------------------------*/

/* The object at key of o, made where there is none, or something else. */
static json_t *object_at(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	if (json_is_object(v))
		return v;
	v = json_object();
	json_object_set_new(o, key, v);
	return v;
}

static void history_on_plan(struct history *h, json_t *seen, const json_t *ev)
{
	const json_t *tests = json_object_get(ev, "tests");

	(void)h;
	for (size_t i = 0; i < json_array_size(tests); i++) {
		const json_t *t = json_array_get(tests, i);

		json_object_set_new(
		    object_at(seen, "planned"),
		    json_string_value(json_object_get(t, "name")), json_true());
		if (json_is_true(json_object_get(t, "serial")))
			json_object_set_new(seen, "serial", json_true());
	}
	json_object_set_new(seen, "is_loaded", json_true());
}

static void history_on_test_end(struct history *h, json_t *seen,
				const json_t *ev)
{
	const char *status = json_string_value(json_object_get(ev, "status"));
	const char *test = json_string_value(json_object_get(ev, "test"));

	(void)h;
	json_object_set_new(object_at(seen, status), test, json_true());
}

static void history_on_file_error(struct history *h, json_t *seen,
				  const json_t *ev)
{
	(void)h;
	(void)ev;
	json_object_set_new(seen, "broken", json_true());
}

static void history_on_file_end(struct history *h, json_t *seen,
				const json_t *ev)
{
	if (h->is_whole)
		json_object_set(seen, "seconds",
				json_object_get(ev, "duration"));
}

static const struct {
	const char *event;
	void (*learn)(struct history *h, json_t *seen, const json_t *ev);
} lessons[] = {
    {"plan", history_on_plan},
    {"test_end", history_on_test_end},
    {"file_error", history_on_file_error},
    {"file_end", history_on_file_end},
};

static void sink_event(struct event_sink *sink, const json_t *ev)
{
	struct history *h = CONTAINER_OF(sink, struct history, sink);
	const char *event = json_string_value(json_object_get(ev, "event"));
	const char *file = json_string_value(json_object_get(ev, "file"));
	const char *key =
	    file ? json_string_value(json_object_get(h->keys, file)) : NULL;

	for (size_t i = 0; key && i < ARRAY_LEN(lessons); i++)
		if (!strcmp(lessons[i].event, event))
			lessons[i].learn(h, object_at(h->seen, key), ev);
}

static void sink_free(struct event_sink *sink)
{
	(void)sink;
}

struct event_sink *history_sink(struct history *h,
				const struct test_files *files, bool is_whole)
{
	h->is_whole = is_whole;
	for (size_t i = 0; i < files->n; i++) {
		json_t *display = event_string(files->v[i].display,
					       strlen(files->v[i].display));
		const char *key = history_key_of(h, files->v[i].path);

		json_object_set_new(h->keys, json_string_value(display),
				    event_string(key, strlen(key)));
		json_decref(display);
	}
	h->sink = (struct event_sink){sink_event, sink_free, NULL};
	return &h->sink;
}

/* --- writing --------------------------------------------------------------*/

/* The names in failed that are still to be remembered as such. */
static json_t *merge_failed(const struct history *h, const json_t *old,
			    const json_t *seen)
{
	const json_t *passed = json_object_get(seen, "passed");
	json_t *failed = json_object_get(seen, "failed");
	const json_t *planned = json_object_get(seen, "planned");
	bool is_all =
	    h->is_whole && json_is_true(json_object_get(seen, "is_loaded"));
	json_t *names = json_array();
	const char *name;

	for (size_t i = 0; i < json_array_size(old); i++) {
		name = json_string_value(json_array_get(old, i));
		if (!name || json_object_get(passed, name) ||
		    json_object_get(failed, name) ||
		    (is_all && !json_object_get(planned, name)))
			continue;
		json_array_append_new(names, json_string(name));
	}
	for (void *it = json_object_iter(failed); it;
	     it = json_object_iter_next(failed, it))
		json_array_append_new(names,
				      json_string(json_object_iter_key(it)));
	return names;
}

static void merge_flag(json_t *r, const char *name, bool is)
{
	if (is)
		json_object_set_new(r, name, json_true());
	else
		json_object_del(r, name);
}

static void merge(const struct history *h, json_t *files, const char *key,
		  const json_t *seen)
{
	json_t *r = object_at(files, key);
	json_t *seconds = json_object_get(seen, "seconds");
	bool is_loaded = json_is_true(json_object_get(seen, "is_loaded"));
	bool is_serial = json_is_true(json_object_get(seen, "serial"));

	json_object_set_new(
	    r, "failed", merge_failed(h, json_object_get(r, "failed"), seen));
	if (seconds)
		json_object_set(r, "seconds", seconds);
	if (is_serial || (h->is_whole && is_loaded))
		merge_flag(r, "serial", is_serial);
	merge_flag(r, "broken", json_object_get(seen, "broken"));
}

static int replace(const char *path, const json_t *files, struct err *err)
{
	json_t *root =
	    json_pack("{s:i, s:O}", "version", VERSION, "files", files);
	char *text = json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS |
					  JSON_REAL_PRECISION(6));
	CLEANUP(free_ptr)
	char *aside = mem_printf("%s.%ld", path, (long)getpid());
	int r = store_write(aside, text, strlen(text), err);

	if (r == 0 && rename(aside, path) < 0)
		r = err_set(err, -errno, "cannot rename '%s' to '%s': %s",
			    aside, path, strerror(errno));
	if (r < 0)
		unlink(aside);
	free(text);
	json_decref(root);
	return r;
}

int history_save(struct history *h, struct err *err)
{
	json_t *files;
	int r = 0;

	if (!h->path || !json_object_size(h->seen))
		return 0;
	CLEANUP(free_ptr) char *dir = mem_strdup(h->path);
	char *slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		r = store_mkdirs(dir, err);
		/* The first run of a directory makes up for one that is gone.
		 */
		slash = strrchr(dir, '/');
		if (r == 0 && slash && !strcmp(slash + 1, FOLDER) &&
		    access(h->path, F_OK) < 0)
			forget_the_gone(dir);
	}
	files = r < 0 ? NULL : history_read_files(h->path, err);
	if (!files)
		return err->code;
	for (void *it = json_object_iter(h->seen); it;
	     it = json_object_iter_next(h->seen, it))
		merge(h, files, json_object_iter_key(it),
		      json_object_iter_value(it));
	r = replace(h->path, files, err);
	json_decref(files);
	return r;
}
