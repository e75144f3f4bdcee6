/* SPDX-License-Identifier: MIT */
#include "runner/fixture_build.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/bind_lab_snapshot.h"
#include "runner/fixture_failure.h"
#include "runner/load.h"
#include "runner/rundir.h"
#include "runner/text.h"
#include "runner/vm_factory.h"
#include "runner/worker.h"
#include "vmm/store.h"

/* What it prints is kept, the beginning of it. */
#define OUTPUT_MAX ((size_t)64 << 10)

struct building {
	struct event_sink sink;
	const struct fixture_build *b;
	struct buf output;
	char *tmp;	/* its folder in the cache, until it is renamed */
	char *snapshot; /* a name in it */
	enum fixture_kind kind;
	json_t *deps;
};

static void building_done(struct building *g)
{
	if (g->tmp)
		store_remove(g->tmp);
	free(g->tmp);
	free(g->snapshot);
	buf_done(&g->output);
	json_decref(g->deps);
}

/* Of all that a worker says, what was printed. */
static void fixture_build_on_event(struct event_sink *sink, const json_t *ev)
{
	struct building *g = CONTAINER_OF(sink, struct building, sink);
	const char *kind = json_string_value(json_object_get(ev, "event"));
	const json_t *text = json_object_get(ev, "text");
	CLEANUP(free_ptr) char *line = NULL;

	if (!kind || strcmp(kind, "log") != 0 || !json_is_string(text))
		return;
	line = text_c_string(json_string_value(text), json_string_length(text));
	if (g->output.len < OUTPUT_MAX)
		buf_printf(&g->output, "%s\n", line);
	g->b->print(g->b->ctx, line);
}

/* --- the chain ---------------------------------------------------------------
 */

/* Adds the source to the chain of this process and its children. */
static int join_chain(const char *source, struct err *err)
{
	const char *chain = getenv(FIXTURE_CHAIN);
	CLEANUP(free_ptr)
	char *all = mem_printf("%s%s\n", chain ? chain : "", source);
	CLEANUP(free_ptr) char *line = mem_printf("\n%s\n", source);
	CLEANUP(free_ptr) char *above = mem_printf("\n%s", chain ? chain : "");

	if (strstr(above, line)) {
		CLEANUP(buf_done) struct buf path = {0};

		for (const char *p = all; *p; p += strcspn(p, "\n") + 1)
			buf_printf(&path, "%s%.*s", path.len ? " -> " : "",
				   (int)strcspn(p, "\n"), p);
		return err_set(err, -ELOOP, "fixtures need each other: %.*s",
			       (int)path.len, (char *)buf_data(&path));
	}
	setenv(FIXTURE_CHAIN, all, 1);
	return 0;
}

static void leave_chain(const char *before)
{
	if (before)
		setenv(FIXTURE_CHAIN, before, 1);
	else
		unsetenv(FIXTURE_CHAIN);
}

/* --- the run -----------------------------------------------------------------
 */

/* Whatever else it took. */
static void remove_others(const struct building *g)
{
	DIR *d = opendir(g->tmp);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		CLEANUP(free_ptr)
		char *path = mem_printf("%s/%s", g->tmp, e->d_name);

		if (e->d_name[0] != '.' && strcmp(e->d_name, g->snapshot) != 0)
			store_remove(path);
	}
	if (d)
		closedir(d);
}

static int take_result(struct building *g, struct worker *w, struct err *err)
{
	bool is_lab;
	const char *path = snapshot_path_of(w->L, -1, &is_lab);
	size_t n = strlen(g->tmp);

	if (!path)
		return err_set(err, -EINVAL,
			       "%s must return a snapshot, of vm:snapshot() "
			       "or lab:snapshot()",
			       w->job->display);
	if (strncmp(path, g->tmp, n) != 0 || path[n] != '/')
		return err_set(err, -EINVAL,
			       "%s returns a snapshot with a path of its own: "
			       "call snapshot() without one",
			       w->job->display);
	g->kind = is_lab ? FIXTURE_LAB : FIXTURE_VM;
	g->snapshot = mem_strdup(path + n + 1);
	g->deps = deps_encode(w->deps);
	return 0;
}

static int run_file(struct building *g, struct worker *w, struct err *err)
{
	struct failure f = {0};
	int r = worker_run_fixture(w, &f);

	if (r == 0) {
		r = take_result(g, w, err);
	} else {
		CLEANUP(free_ptr)
		char *why = text_c_string(f.message, f.message_n);

		r = f.site.file[0] ? err_set(err, -EIO, "%s:%d: %s",
					     f.site.file, f.site.line, why)
				   : err_set(err, -EIO, "%s", why);
	}
	failure_done(&f);
	return r;
}

static int fixture_build_run(struct building *g, struct err *err)
{
	char display[SITE_FILE_MAX];
	char source[PATH_MAX], config[PATH_MAX];
	struct rundir dir = {0};
	struct deps deps;
	struct worker w;
	int r;

	snprintf(source, sizeof(source), "%s", g->b->source);
	snprintf(config, sizeof(config), "%s",
		 g->b->config->path ? g->b->config->path : "");
	load_display(source, display, sizeof(display));
	r = rundir_open(&dir, NULL, err);
	if (r < 0)
		return r;
	struct job job = {.file = source,
			  .display = display,
			  .config = config,
			  .run_dir = dir.path};

	deps_init(&deps);
	deps_add_file(&deps, source);
	r = worker_init(&w, &job, &g->sink, NULL, err);
	if (r == 0) {
		w.deps = &deps;
		w.snapshot_base = g->tmp;
		r = run_file(g, &w, err);
	}
	worker_done(&w);
	deps_done(&deps);
	rundir_close(&dir);
	return r;
}

/* --- the entry
 * ---------------------------------------------------------------- */

static int commit(struct building *g, const char *slot, double seconds,
		  struct err *err)
{
	CLEANUP(free_ptr) char *json = mem_printf("%s/fixture.json", g->tmp);
	CLEANUP(free_ptr) char *text = NULL;
	char key[DEPS_KEY_MAX];
	json_t *o;
	int r;

	deps_key(g->deps, key);
	CLEANUP(free_ptr) char *dir = mem_printf("%s/%s", slot, key);
	o = json_pack("{s:s, s:s, s:s, s:s, s:f, s:I, s:O}", "source",
		      g->b->source, "kind",
		      g->kind == FIXTURE_LAB ? "lab" : "vm", "snapshot",
		      g->snapshot, "key", key, "seconds", seconds, "built_at",
		      (json_int_t)time(NULL), "deps", g->deps);
	json_object_set_new(
	    o, "output",
	    event_string(g->output.len ? (char *)buf_data(&g->output) : "",
			 g->output.len));
	text = json_dumps(o, JSON_INDENT(1) | JSON_SORT_KEYS);
	json_decref(o);
	if (!text)
		return err_set(err, -EINVAL,
			       "cannot keep fixture '%s': a path that it used "
			       "is no UTF-8",
			       g->b->source);
	remove_others(g);
	r = store_write(json, text, strlen(text), err);
	if (r < 0)
		return r;
	/* One of the same key is damaged, or was to be built again. */
	store_remove(dir);
	if (rename(g->tmp, dir) < 0)
		return err_set(err, -errno, "cannot rename '%s' to '%s': %s",
			       g->tmp, dir, strerror(errno));
	free(g->tmp);
	g->tmp = NULL;
	fixture_evict(g->b->config, dir);
	return 0;
}

static bool has_good(const struct fixture_build *b)
{
	struct err err;
	struct loop *l = loop_new(&err);
	struct vm_factory *vms =
	    l ? vm_factory_new(l, b->config, "/nonexistent") : NULL;
	struct fixtures f = {b->config, vms};
	struct fixture_entry e = {.lock_fd = -1};
	bool good = vms && fixture_lookup(&f, b->source, &e, &err) == 0;

	fixture_entry_done(&e);
	vm_factory_free(vms);
	loop_free(l);
	return good;
}

static int build_locked(const struct fixture_build *b, const char *slot,
			struct err *err)
{
	CLEANUP(building_done)
	struct building g = {.sink = {.event = fixture_build_on_event}, .b = b};
	int64_t started_ns = clock_now_ns();
	int r;

	g.tmp = store_tmp(slot, err);
	r = g.tmp ? fixture_build_run(&g, err) : err->code;
	return r < 0
		   ? r
		   : commit(&g, slot,
			    (double)(clock_now_ns() - started_ns) / NS_PER_SEC,
			    err);
}

/* What failed before in this run fails again. */
static int build_once(const struct fixture_build *b, const char *slot,
		      struct err *err)
{
	CLEANUP(buf_done) struct buf before = {0};
	int r;

	if (fixture_failure_find(b->source, &before))
		return err_set(err, -EIO, "%.*s", (int)before.len,
			       (char *)buf_data(&before));
	r = build_locked(b, slot, err);
	if (r < 0)
		fixture_failure_remember(b->source, err->text);
	return r;
}

int fixture_build(const struct fixture_build *b, bool *ret_is_new,
		  struct err *err)
{
	CLEANUP(free_ptr) char *slot = fixture_slot(b->config, b->source);
	const char *chain = getenv(FIXTURE_CHAIN);
	CLEANUP(free_ptr) char *before = chain ? mem_strdup(chain) : NULL;
	CLEANUP(fd_closep) int lock = -1;
	int r;

	*ret_is_new = false;
	/* Before the lock, which who needs itself would wait for for ever. */
	r = join_chain(b->source, err);
	if (r < 0)
		return r;
	lock = store_lock(slot, b->waits, b->ctx, err);
	r = lock < 0 ? lock : 0;
	if (r == 0 && (b->is_forced || !has_good(b))) {
		*ret_is_new = true;
		r = build_once(b, slot, err);
	}
	leave_chain(before);
	return r < 0 ? r : 0;
}
