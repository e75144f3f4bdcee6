/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/discover.h"
#include "tests/unit/tmp.h"

/* A fresh directory that is the current one during the test. */
struct fixture {
	char dir[TMP_PATH_MAX];
	int home;
};

static int set_up(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	tmp_template(f->dir);
	assert_non_null(mkdtemp(f->dir));
	f->home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chdir(f->dir), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char *cmd = mem_printf("rm -rf %s", f->dir);

	assert_int_equal(fchdir(f->home), 0);
	assert_int_equal(system(cmd), 0);
	close(f->home);
	free(cmd);
	free(f);
	return 0;
}

static void touch(const char *path)
{
	char *dir = mem_strdup(path);

	for (char *p = dir; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		mkdir(dir, 0700);
	}
	free(dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

/* Asserts what is found, as the displays joined by blanks. */
static void finds(const char *const *args, size_t n, const char *want)
{
	struct test_files files;
	struct err err = {0};
	char got[512] = "";

	if (discover(args, n, &files, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < files.n; i++) {
		assert_int_equal(files.v[i].path[0], '/');
		strcat(got, i ? " " : "");
		strcat(got, files.v[i].display);
	}
	assert_string_equal(got, want);
	test_files_done(&files);
}
#define FINDS(want, ...)                                                       \
	do {                                                                   \
		const char *const args_[] = {__VA_ARGS__};                     \
		finds(args_, ARRAY_LEN(args_), (want));                        \
	} while (0)

static void refuses(const char *arg, int code, const char *text)
{
	struct test_files files;
	struct err err = {0};

	assert_int_equal(discover(&arg, 1, &files, &err), code);
	assert_non_null(strstr(err.text, text));
	assert_null(files.v);
}

static void order_is_bytewise_by_path(void **state)
{
	(void)state;
	touch("t/b.test.lua");
	touch("t/B.test.lua");
	touch("t/a/z.test.lua");
	touch("t/a.test.lua");
	FINDS("t/B.test.lua t/a.test.lua t/a/z.test.lua t/b.test.lua", "t");
}

static void only_test_files_count(void **state)
{
	(void)state;
	touch("t/a.test.lua");
	touch("t/a.fixture.lua");
	touch("t/helper.lua");
	touch("t/.test.lua");
	touch("t/x.test.lua.orig");
	assert_int_equal(mkfifo("t/pipe.test.lua", 0600), 0);
	FINDS("t/a.test.lua", "t");
}

static void hidden_names_are_skipped_unless_given(void **state)
{
	(void)state;
	touch("t/.git/a.test.lua");
	touch("t/.#b.test.lua");
	touch("t/c.test.lua");
	FINDS("t/c.test.lua", "t");
	FINDS("t/.git/a.test.lua", "t/.git");
}

static void a_path_given_twice_runs_once(void **state)
{
	(void)state;
	touch("t/a.test.lua");
	FINDS("t/a.test.lua", "t", "t/", "./t", "t/a.test.lua", "t/../t");
}

static void the_current_directory_needs_no_prefix(void **state)
{
	(void)state;
	touch("t/a.test.lua");
	FINDS("t/a.test.lua", ".");
	FINDS("t/a.test.lua", "./");
	FINDS("t/a.test.lua", "./t");
}

static void link_loops_end(void **state)
{
	(void)state;
	touch("t/sub/a.test.lua");
	assert_int_equal(symlink("..", "t/sub/up"), 0);
	assert_int_equal(symlink("self", "t/self"), 0);
	FINDS("t/sub/a.test.lua", "t");
}

static void links_are_followed_but_real_paths_win(void **state)
{
	(void)state;
	touch("t/z/a.test.lua");
	touch("elsewhere/b.test.lua");
	assert_int_equal(symlink("z", "t/a"), 0);
	assert_int_equal(symlink("../elsewhere", "t/other"), 0);
	FINDS("t/other/b.test.lua t/z/a.test.lua", "t");
}

static void a_dangling_test_link_is_an_error(void **state)
{
	(void)state;
	touch("t/a.test.lua");
	assert_int_equal(symlink("gone", "t/harmless"), 0);
	FINDS("t/a.test.lua", "t");
	assert_int_equal(symlink("gone", "t/b.test.lua"), 0);
	refuses("t", -ENOENT, "t/b.test.lua");
}

static void a_missing_path_is_named(void **state)
{
	(void)state;
	refuses("nope", -ENOENT, "no such file or directory: 'nope'");
	refuses("", -ENOENT, "no such file or directory: ''");
	touch("file.test.lua");
	refuses("file.test.lua/x", -ENOENT, "no such file or directory");
}

static void a_file_that_is_no_test_is_named(void **state)
{
	(void)state;
	touch("helper.lua");
	refuses("helper.lua", -EINVAL, "does not end in .test.lua");
	refuses("/dev/null", -EINVAL, "neither a file nor a directory");
}

static void an_empty_directory_gives_nothing(void **state)
{
	(void)state;
	FINDS("", ".");
}

int main(void)
{
#define IN_DIR(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
	    IN_DIR(order_is_bytewise_by_path),
	    IN_DIR(only_test_files_count),
	    IN_DIR(hidden_names_are_skipped_unless_given),
	    IN_DIR(a_path_given_twice_runs_once),
	    IN_DIR(the_current_directory_needs_no_prefix),
	    IN_DIR(link_loops_end),
	    IN_DIR(links_are_followed_but_real_paths_win),
	    IN_DIR(a_dangling_test_link_is_an_error),
	    IN_DIR(a_missing_path_is_named),
	    IN_DIR(a_file_that_is_no_test_is_named),
	    IN_DIR(an_empty_directory_gives_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
