/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/deps.h"
#include "tests/unit/tmp.h"
#include "vmm/store.h"

struct fixture {
	char dir[TMP_PATH_MAX];
	char file[TMP_PATH_MAX + 8];
	struct deps deps;
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	tmp_template(f->dir);
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->file, sizeof(f->file), "%s/file", f->dir);
	deps_init(&f->deps);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	deps_done(&f->deps);
	store_remove(f->dir);
	unsetenv("TEST_DEPS");
	free(f);
	return 0;
}

static void write_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

/* Older than what is too young to tell by its time. */
static void make_old(const char *path, time_t age)
{
	struct timespec t[2] = {{.tv_sec = time(NULL) - age},
				{.tv_sec = time(NULL) - age}};

	assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

/* What has changed, or "nothing"; by way of JSON text, as in the cache. */
static char *changed_with(const struct fixture *f, deps_fixture_fn fixture,
			  void *ctx)
{
	json_t *encoded = deps_encode(&f->deps);
	char *text = json_dumps(encoded, 0);
	json_t *again = json_loads(text, 0, NULL);
	char *what = deps_changed(again, NULL, fixture, ctx);

	json_decref(encoded);
	json_decref(again);
	free(text);
	return what ? what : mem_strdup("nothing");
}

static void assert_changed(const struct fixture *f, const char *want)
{
	CLEANUP(free_ptr) char *what = changed_with(f, NULL, NULL);

	if (strcmp(want, "the file") != 0) {
		assert_string_equal(what, want);
		return;
	}
	CLEANUP(free_ptr) char *named = mem_printf("file '%s'", f->file);
	assert_string_equal(what, named);
}

static void a_file_changes_by_what_it_holds(void **state)
{
	struct fixture *f = *state;

	write_file(f->file, "one");
	deps_add_file(&f->deps, f->file);
	assert_changed(f, "nothing");
	write_file(f->file, "two");
	assert_changed(f, "the file");
	write_file(f->file, "one");
	assert_changed(f, "nothing");
	write_file(f->file, "one more");
	assert_changed(f, "the file");
	unlink(f->file);
	assert_changed(f, "the file");
}

static void a_file_that_was_touched_has_not_changed(void **state)
{
	struct fixture *f = *state;

	write_file(f->file, "one");
	make_old(f->file, 100);
	deps_add_file(&f->deps, f->file);
	make_old(f->file, 50);
	assert_changed(f, "nothing");
}

static void a_directory_changes_with_everything_below_it(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) char *sub = mem_printf("%s/sub", f->dir);
	CLEANUP(free_ptr) char *inner = mem_printf("%s/f", sub);
	CLEANUP(free_ptr) char *named = mem_printf("file '%s/'", sub);

	assert_int_equal(mkdir(sub, 0755), 0);
	write_file(inner, "one");
	assert_int_equal(chmod(inner, 0644), 0);
	/* Somebody tried to read it as a file. */
	deps_add_file(&f->deps, sub);
	deps_add_tree(&f->deps, sub);
	make_old(inner, 100);
	assert_changed(f, "nothing");
	write_file(inner, "two");
	assert_changed(f, named);
	write_file(inner, "one");
	assert_changed(f, "nothing");
	assert_int_equal(chmod(inner, 0600), 0);
	assert_changed(f, named);
	assert_int_equal(chmod(inner, 0644), 0);
	assert_changed(f, "nothing");
	write_file(f->file, "beside it");
	assert_changed(f, "nothing");
	assert_int_equal(unlink(inner), 0);
	assert_int_equal(symlink("one", inner), 0);
	assert_changed(f, named);
	assert_int_equal(unlink(inner), 0);
	assert_int_equal(rmdir(sub), 0);
	assert_changed(f, named);
}

static void size_and_time_are_believed_of_an_old_file_only(void **state)
{
	struct fixture *f = *state;
	struct deps young;

	write_file(f->file, "one");
	deps_init(&young);
	deps_add_file(&young, f->file);
	make_old(f->file, 100);
	deps_add_file(&f->deps, f->file);
	write_file(f->file, "two");
	make_old(f->file, 100);
	assert_changed(f, "nothing"); /* the short-cut */
	deps_done(&f->deps);
	f->deps = young;
	assert_changed(f, "the file");
}

static void a_file_that_is_not_there_may_come(void **state)
{
	struct fixture *f = *state;

	deps_add_file(&f->deps, f->file);
	assert_changed(f, "nothing");
	write_file(f->file, "");
	assert_changed(f, "the file");
}

static void a_file_counts_as_it_was_first_seen(void **state)
{
	struct fixture *f = *state;

	write_file(f->file, "one");
	deps_add_file(&f->deps, f->file);
	write_file(f->file, "two");
	deps_add_file(&f->deps, f->file);
	assert_changed(f, "the file");
}

static void variables_change(void **state)
{
	struct fixture *f = *state;

	deps_add_env(&f->deps, "TEST_DEPS");
	assert_changed(f, "nothing");
	setenv("TEST_DEPS", "", 1);
	assert_changed(f, "$TEST_DEPS");
	deps_add_env(&f->deps, "TEST_DEPS");
	assert_changed(f, "nothing");
	setenv("TEST_DEPS", "\xff", 1);
	deps_add_env(&f->deps, "TEST_DEPS");
	assert_changed(f, "$TEST_DEPS"); /* has no JSON: never the same */
}

static bool is_key_one(void *ctx, const char *source, const char *key)
{
	++*(int *)ctx;
	return !strcmp(source, "/f") && !strcmp(key, "one");
}

static void fixtures_are_asked_for(void **state)
{
	struct fixture *f = *state;
	int n = 0;

	deps_add_fixture(&f->deps, "/f", "one");
	CLEANUP(free_ptr) char *what = changed_with(f, is_key_one, &n);
	assert_string_equal(what, "nothing");
	deps_add_fixture(&f->deps, "/f", "two");
	CLEANUP(free_ptr) char *now = changed_with(f, is_key_one, &n);
	assert_string_equal(now, "fixture '/f'");
	assert_int_equal(n, 2);
}

static void key_of(const struct fixture *f, char ret[DEPS_KEY_MAX])
{
	json_t *encoded = deps_encode(&f->deps);

	deps_key(encoded, ret);
	json_decref(encoded);
}

static void a_key_is_of_contents_not_of_times(void **state)
{
	struct fixture *f = *state;
	char one[DEPS_KEY_MAX], touched[DEPS_KEY_MAX], two[DEPS_KEY_MAX];

	write_file(f->file, "one");
	deps_add_file(&f->deps, f->file);
	key_of(f, one);
	assert_int_equal(strlen(one), DEPS_KEY_MAX - 1);
	deps_done(&f->deps);
	deps_init(&f->deps);
	make_old(f->file, 100);
	deps_add_file(&f->deps, f->file);
	key_of(f, touched);
	assert_string_equal(one, touched);
	deps_done(&f->deps);
	deps_init(&f->deps);
	write_file(f->file, "two");
	deps_add_file(&f->deps, f->file);
	key_of(f, two);
	assert_string_not_equal(one, two);
}

static void what_is_damaged_has_changed_or_is_empty(void **state)
{
	static const char *const texts[] = {
	    "{\"files\": {\"/nonexistent\": 7}}",
	    "{\"files\": {\"/\": {\"size\": \"x\"}}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *o = json_loads(texts[i], 0, NULL);
		CLEANUP(free_ptr)
		char *what = deps_changed(o, NULL, NULL, NULL);

		assert_non_null(o);
		assert_non_null(what);
		json_decref(o);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_file_changes_by_what_it_holds),
	    T(a_file_that_was_touched_has_not_changed),
	    T(a_directory_changes_with_everything_below_it),
	    T(size_and_time_are_believed_of_an_old_file_only),
	    T(a_file_that_is_not_there_may_come),
	    T(a_file_counts_as_it_was_first_seen),
	    T(variables_change),
	    T(fixtures_are_asked_for),
	    T(a_key_is_of_contents_not_of_times),
	    T(what_is_damaged_has_changed_or_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
