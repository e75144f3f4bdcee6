/* SPDX-License-Identifier: MIT */
#include "runner/deps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "agent-proto/tree_read.h"
#include "runner/vm_factory.h"
#include "vmm/filehash.h"

/* A file that was changed within this time may be changed once more without
 * its time showing it: the kernel's clock for that ticks. */
#define YOUNG_NS   (2 * NS_PER_SEC)

#define TREE_PIECE ((size_t)64 << 10) /* of a directory, hashed at a time */

void deps_init(struct deps *d)
{
	d->files = json_object();
	d->env = json_object();
	d->profiles = json_object();
	d->fixtures = json_object();
}

void deps_done(struct deps *d)
{
	json_decref(d->files);
	json_decref(d->env);
	json_decref(d->profiles);
	json_decref(d->fixtures);
	*d = (struct deps){0};
}

/* --- files ------------------------------------------------------------------
 */

static int64_t mtime_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec;
}

/* {size, mtime_ns, hash} of a file, or null. */
static json_t *look_at(const char *path)
{
	CLEANUP(fd_closep)
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char hash[FILEHASH_TEXT_MAX];
	struct stat st;
	struct err err;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    filehash_of(fd, hash, &err) < 0)
		return json_null();
	return json_pack("{s:I, s:I, s:b, s:s}", "size", (json_int_t)st.st_size,
			 "mtime_ns", (json_int_t)mtime_ns(&st), "young",
			 clock_realtime_ns() - mtime_ns(&st) < YOUNG_NS, "hash",
			 hash);
}

void deps_add_file(struct deps *d, const char *path)
{
	CLEANUP(free_ptr) char *real = realpath(path, NULL);
	const char *name = real ? real : path;

	if (!json_object_get(d->files, name))
		json_object_set_new(d->files, name, look_at(name));
}

/* {tree_hash} of a directory, over what would be pushed of it; null: it cannot
 * be read. */
static json_t *look_at_tree(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tree_reader *tree;
	XXH3_state_t *state;
	XXH128_hash_t sum;
	struct buf bytes = {0};
	char hash[DEPS_KEY_MAX];
	struct err err;
	int more;

	if (fd < 0)
		return json_null();
	tree = tree_reader_new(fd, path, "");
	state = XXH3_createState();
	if (!state)
		abort(); /* out of memory, as mem_alloc() would */
	XXH3_128bits_reset(state);
	do {
		buf_reset(&bytes);
		more = tree_reader_next(tree, &bytes, TREE_PIECE, &err);
		XXH3_128bits_update(state, buf_data(&bytes), bytes.len);
	} while (more > 0);
	sum = XXH3_128bits_digest(state);
	XXH3_freeState(state);
	buf_done(&bytes);
	tree_reader_free(tree);
	snprintf(hash, sizeof(hash), "%016" PRIx64 "%016" PRIx64, sum.high64,
		 sum.low64);
	return more < 0 ? json_null() : json_pack("{s:s}", "tree_hash", hash);
}

void deps_add_tree(struct deps *d, const char *path)
{
	CLEANUP(free_ptr) char *real = realpath(path, NULL);
	/* Not the name that a file of this path has. */
	CLEANUP(free_ptr) char *name = mem_printf("%s/", real ? real : path);

	if (!json_object_get(d->files, name))
		json_object_set_new(d->files, name, look_at_tree(name));
}

static bool is_tree(const char *path)
{
	size_t n = strlen(path);

	return n && path[n - 1] == '/';
}

static bool is_same_tree(const char *path, const json_t *was)
{
	json_t *now = look_at_tree(path);
	bool same = json_equal(now, was);

	json_decref(now);
	return same;
}

static bool is_same_file(const char *path, const json_t *was)
{
	json_t *now;
	struct stat st;
	bool same;

	if (is_tree(path))
		return is_same_tree(path, was);
	if (json_is_object(was) && stat(path, &st) == 0 &&
	    !json_is_true(json_object_get(was, "young")) &&
	    st.st_size == json_integer_value(json_object_get(was, "size")) &&
	    mtime_ns(&st) ==
		json_integer_value(json_object_get(was, "mtime_ns")))
		return true;
	now = look_at(path);
	same = json_is_null(was) ? json_is_null(now)
				 : json_equal(json_object_get(now, "hash"),
					      json_object_get(was, "hash"));
	json_decref(now);
	return same;
}

/* --- the rest ----------------------------------------------------------------
 */

static json_t *deps_value_of(const char *name)
{
	const char *value = getenv(name);
	json_t *v = value ? json_string(value) : json_null();

	/* Bytes that are no UTF-8 have no JSON: it never is the same. */
	return v ? v : json_true();
}

void deps_add_env(struct deps *d, const char *name)
{
	json_object_set_new(d->env, name, deps_value_of(name));
}

void deps_add_fixture(struct deps *d, const char *source, const char *key)
{
	json_object_set_new(d->fixtures, source, json_string(key));
}

int deps_add_profile(struct deps *d, struct vm_factory *vms, const char *name,
		     struct err *err)
{
	const char *key = name ? name : "";
	json_t *what, *file;
	size_t i;

	if (json_object_get(d->profiles, key))
		return 0;
	what = vm_factory_identify(vms, name, err);
	if (!what)
		return err->code;
	json_array_foreach (json_object_get(what, "files"), i, file)
		if (json_is_string(file))
			deps_add_file(d, json_string_value(file));
	json_object_set_new(d->profiles, key, what);
	return 0;
}

json_t *deps_encode(const struct deps *d)
{
	return json_pack("{s:O, s:O, s:O, s:O}", "files", d->files, "env",
			 d->env, "profiles", d->profiles, "fixtures",
			 d->fixtures);
}

/* --- keys --------------------------------------------------------------------
 */

/* Without what only short-cuts the comparison. */
static json_t *essence(const json_t *encoded)
{
	json_t *all = json_deep_copy(encoded), *o;
	const char *path;

	json_object_foreach (json_object_get(all, "files"), path, o) {
		json_object_del(o, "mtime_ns");
		json_object_del(o, "young");
	}
	return all;
}

void deps_key(const json_t *encoded, char ret[DEPS_KEY_MAX])
{
	json_t *all = essence(encoded);
	char *text = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
	XXH128_hash_t sum =
	    XXH3_128bits(text ? text : "", text ? strlen(text) : 0);

	snprintf(ret, DEPS_KEY_MAX, "%016" PRIx64 "%016" PRIx64, sum.high64,
		 sum.low64);
	free(text);
	json_decref(all);
}

/* --- changes -----------------------------------------------------------------
 */

static char *changed_file(const json_t *files)
{
	const char *path;
	json_t *was;

	json_object_foreach ((json_t *)(uintptr_t)files, path, was)
		if (!is_same_file(path, was))
			return mem_printf("file '%s'", path);
	return NULL;
}

static char *changed_env(const json_t *env)
{
	const char *name;
	json_t *was, *now;
	bool same;

	json_object_foreach ((json_t *)(uintptr_t)env, name, was) {
		now = deps_value_of(name);
		same = json_equal(now, was) && !json_is_true(was);
		json_decref(now);
		if (!same)
			return mem_printf("$%s", name);
	}
	return NULL;
}

/* What differs in the two profiles, in words. */
static const char *changed_part(const json_t *was, const json_t *now)
{
	static const struct {
		const char *key;
		const char *words;
	} parts[] = {
	    {"provium", "the version of provium in"},
	    {"files", "a path (QEMU, kernel, initrd or disk) of"},
	    {"contents", "the agent or a file for the guest in"},
	    {"cmdline", "the kernel's command line in"},
	    {"memory", "the memory of"},
	    {"cpus", "the number of CPUs of"},
	    {"accel", "the accelerator of"},
	    {"transport", "the transport of"},
	    {"modules", "the modules of"},
	    {"net_modules", "the network modules of"},
	    {"qemu_args", "the QEMU arguments of"},
	};

	for (size_t i = 0; now && i < ARRAY_LEN(parts); i++)
		if (!json_equal(json_object_get(was, parts[i].key),
				json_object_get(now, parts[i].key)))
			return parts[i].words;
	return "";
}

static char *profile_text(const char *name, const char *part)
{
	const char *gap = *part ? " " : "";

	return *name ? mem_printf("%s%sprofile '%s'", part, gap, name)
		     : mem_printf("%s%sthe default profile", part, gap);
}

static char *changed_profile(const json_t *profiles, struct vm_factory *vms)
{
	const char *name;
	json_t *was, *now;
	struct err err;
	bool same;

	json_object_foreach ((json_t *)(uintptr_t)profiles, name, was) {
		now = vm_factory_identify(vms, *name ? name : NULL, &err);
		same = now && json_equal(now, was);
		char *what =
		    same ? NULL : profile_text(name, changed_part(was, now));
		json_decref(now);
		if (what)
			return what;
	}
	return NULL;
}

char *deps_changed(const json_t *encoded, struct vm_factory *vms,
		   deps_fixture_fn fixture, void *ctx)
{
	char *what = changed_file(json_object_get(encoded, "files"));
	const char *source;
	json_t *key;

	if (!what)
		what = changed_env(json_object_get(encoded, "env"));
	if (!what)
		what =
		    changed_profile(json_object_get(encoded, "profiles"), vms);
	json_object_foreach (json_object_get(encoded, "fixtures"), source, key)
		if (!what && !fixture(ctx, source, json_string_value(key)))
			what = mem_printf("fixture '%s'", source);
	return what;
}
