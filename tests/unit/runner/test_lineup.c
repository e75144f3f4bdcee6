/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/lineup.h"
#include "runner/rundir.h"
#include "tests/unit/tmp.h"

#define N 6

struct fixture {
	char dir[TMP_PATH_MAX];
	struct history *history;
	struct test_files files;
	struct strvec rules;
	struct lineup_options o;
	const char *why;
};

/* a to f, of mtime 1 to 6. */
static int set_up(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	struct err err;

	tmp_template(f->dir);
	assert_non_null(mkdtemp(f->dir));
	f->files.v = mem_zalloc(N * sizeof(*f->files.v));
	for (int i = 0; i < N; i++) {
		struct timespec at[] = {{i + 1, 0}, {i + 1, 0}};
		struct test_file *t = &f->files.v[f->files.n++];

		t->display = mem_printf("%c", 'a' + i);
		t->path = mem_printf("%s/%c", f->dir, 'a' + i);
		fclose(fopen(t->path, "we"));
		assert_int_equal(utimensat(AT_FDCWD, t->path, at, 0), 0);
	}
	f->history = history_open(NULL, f->dir, &err);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	test_files_done(&f->files);
	strvec_done(&f->rules);
	history_free(f->history);
	rundir_remove(f->dir);
	free(f);
	return 0;
}

/* History as text: of files. */
static void remember(struct fixture *f, const char *files)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/history", f->dir);
	FILE *out = fopen(path, "we");
	struct err err = {0};

	fprintf(out, "{\"version\":1,\"files\":{%s}}", files);
	fclose(out);
	history_free(f->history);
	f->history = history_open(path, f->dir, &err);
	if (!f->history)
		fail_msg("%s", err.text);
}

static const char *line_up(struct fixture *f)
{
	static char text[256];
	struct err err = {0};

	if (lineup(&f->files, &f->o, f->history, &f->rules, &f->why, &err) < 0)
		return strcpy(text, err.text);
	*text = '\0';
	for (size_t i = 0; i < f->files.n; i++)
		strcat(strcat(text, i ? " " : ""), f->files.v[i].display);
	return text;
}

static void without_a_history_all_is_as_found(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(line_up(f), "a b c d e f");
	assert_null(f->why);
}

static void what_failed_comes_first_then_what_takes_long(void **state)
{
	struct fixture *f = *state;

	remember(f, "\"a\":{\"seconds\":1},\"b\":{\"seconds\":9},"
		    "\"c\":{\"seconds\":5},\"d\":{\"seconds\":2},"
		    "\"e\":{\"seconds\":1,\"failed\":[\"x\"]},"
		    "\"f\":{\"seconds\":4,\"serial\":true}");
	assert_string_equal(line_up(f), "e b c f d a");
	assert_true(f->files.v[3].is_serial);
}

static void one_by_one_nothing_waits_for_the_slow(void **state)
{
	struct fixture *f = *state;

	f->o.is_one_by_one = true;
	remember(f, "\"b\":{\"seconds\":9},\"e\":{\"failed\":[\"x\"]}");
	assert_string_equal(line_up(f), "e a b c d f");
}

static void a_list_keeps_the_order(void **state)
{
	struct fixture *f = *state;

	f->o.keeps_order = true;
	remember(f, "\"e\":{\"failed\":[\"x\"]}");
	assert_string_equal(line_up(f), "a b c d e f");
}

static void since_keeps_what_is_newer(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) char *ref = mem_printf("%s/c", f->dir);

	f->o.since = ref;
	assert_string_equal(line_up(f), "d e f");
	ref[strlen(ref) - 1] = 'f';
	assert_string_equal(line_up(f), "");
	assert_string_equal(f->why, "no file is newer than that of --since");
	f->o.since = "/nowhere/ref";
	assert_string_equal(
	    line_up(f), "--since: '/nowhere/ref': No such file or directory");
}

static void a_rerun_is_of_what_failed(void **state)
{
	struct fixture *f = *state;

	f->o.is_rerun = true;
	remember(f, "\"b\":{\"failed\":[\"x\",\"y\"]},\"d\":{\"broken\":true},"
		    "\"e\":{\"failed\":[]}");
	assert_string_equal(line_up(f), "b d");
	assert_int_equal(f->rules.n, 3);
	remember(f, "");
	assert_string_equal(line_up(f), "");
	assert_non_null(strstr(f->why, "--rerun-failed"));
}

/* Each file is in one shard, whatever their number. */
static void shards_are_a_partition(void **state)
{
	struct fixture *f = *state;

	for (unsigned n = 1; n <= N + 2; n++) {
		char all[64] = "";

		for (unsigned k = 1; k <= n; k++) {
			void *one;

			set_up(&one);
			((struct fixture *)one)->o.shard = k;
			((struct fixture *)one)->o.n_shards = n;
			((struct fixture *)one)->o.keeps_order = true;
			strcat(all, line_up(one));
			assert_null(((struct fixture *)one)->why);
			tear_down(&one);
		}
		for (char c = 'a'; c < 'a' + N; c++) {
			assert_non_null(strchr(all, c));
			assert_ptr_equal(strchr(all, c), strrchr(all, c));
		}
	}
	(void)f;
}

#define TIMES                                                                  \
	"\"a\":{\"seconds\":6},\"b\":{\"seconds\":3},\"c\":{\"seconds\":3},"   \
	"\"d\":{\"seconds\":2},\"e\":{\"seconds\":2},\"f\":{\"seconds\":2}"

static void shards_take_the_same_time(void **state)
{
	struct fixture *f = *state;

	f->o = (struct lineup_options){.shard = 1,
				       .n_shards = 3,
				       .shards_by_time = true,
				       .keeps_order = true};
	remember(f, TIMES);
	assert_string_equal(line_up(f), "a");
}

/* A history that is not shared must not tell shards apart. */
static void shards_heed_no_history_of_one_machine(void **state)
{
	struct fixture *f = *state;

	f->o = (struct lineup_options){
	    .shard = 1, .n_shards = 3, .keeps_order = true};
	remember(f, TIMES);
	assert_string_equal(line_up(f), "a d");
}

static void a_seed_gives_an_order_that_leaves_do_not_change(void **state)
{
	struct fixture *f = *state;
	char all[64];
	void *other;

	f->o.shuffle = 3;
	strcpy(all, line_up(f));
	assert_string_not_equal(all, "a b c d e f");
	assert_int_equal(strlen(all), strlen("a b c d e f"));
	set_up(&other);
	free(((struct fixture *)other)
		 ->files.v[--((struct fixture *)other)->files.n]
		 .path);
	free(((struct fixture *)other)
		 ->files.v[((struct fixture *)other)->files.n]
		 .display);
	((struct fixture *)other)->o.shuffle = 3;
	/* Without f, the rest is in the same order. */
	char *f_at = strchr(all, 'f');
	if (f_at == all)
		memmove(all, all + 2, strlen(all + 2) + 1);
	else
		memmove(f_at - 1, f_at + 1, strlen(f_at + 1) + 1);
	assert_string_equal(line_up(other), all);
	tear_down(&other);
}

static void repeats_come_in_rounds_with_names_of_their_own(void **state)
{
	struct fixture *f = *state;

	f->o.repeat = 2;
	assert_string_equal(line_up(f),
			    "a#1 b#1 c#1 d#1 e#1 f#1 a#2 b#2 c#2 d#2 e#2 f#2");
	assert_string_equal(f->files.v[0].path, f->files.v[6].path);
}

static void a_name_is_without_its_round(void **state)
{
	(void)state;
	assert_int_equal(lineup_name_len("a.test.lua#12"), 10);
	assert_int_equal(lineup_name_len("a.test.lua"), 10);
	assert_int_equal(lineup_name_len("a#1/b.test.lua"), 14);
	assert_int_equal(lineup_name_len("a#"), 2);
	assert_int_equal(lineup_name_len("a#1#2"), 3);
	assert_int_equal(lineup_name_len(""), 0);
}

#define F(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    F(without_a_history_all_is_as_found),
	    F(what_failed_comes_first_then_what_takes_long),
	    F(one_by_one_nothing_waits_for_the_slow),
	    F(a_list_keeps_the_order),
	    F(since_keeps_what_is_newer),
	    F(a_rerun_is_of_what_failed),
	    F(shards_are_a_partition),
	    F(shards_take_the_same_time),
	    F(shards_heed_no_history_of_one_machine),
	    F(a_seed_gives_an_order_that_leaves_do_not_change),
	    F(repeats_come_in_rounds_with_names_of_their_own),
	    cmocka_unit_test(a_name_is_without_its_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
