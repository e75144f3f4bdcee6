/* SPDX-License-Identifier: MIT */
#include "vmm/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "tests/unit/skip.h"
#include "tests/unit/vmm/lib_image.h"

static int setup(void **state)
{
	*state = tmp_new();
	return 0;
}

static int teardown(void **state)
{
	tmp_remove(*state);
	return 0;
}

static void folders_are_made_with_parents(void **state)
{
	char *path = mem_printf("%s/a/b/c", (char *)*state);
	char *below, *file;
	struct err err;
	struct stat st;

	assert_int_equal(store_mkdirs(path, &err), 0);
	assert_int_equal(store_mkdirs(path, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	file = tmp_write_str(path, "file", "");
	below = mem_printf("%s/x", file);
	assert_int_equal(store_mkdirs(below, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, below));
	free(below);
	free(file);
	free(path);
}

/* In a process of its own, which has its own mounts: 0; 77: it cannot have. */
static int try_read_only(const char *dir, const char *path)
{
	CLEANUP(free_ptr) char *first = mem_printf("%s/a'", dir);
	struct err err = {0};

	if (unshare(CLONE_NEWNS) < 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return 77;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", dir, "tmpfs", MS_RDONLY, NULL) < 0)
		return 77;
	if (store_mkdirs(path, &err) != -EROFS)
		return 1;
	if (!strstr(err.text, first) ||
	    !strstr(err.text, "Read-only file system"))
		return 2;
	return 0;
}

/* Not the one of the folders below, which have no parent. */
static void the_first_folder_that_fails_is_the_error(void **state)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/a/b/c", (char *)*state);
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(try_read_only(*state, path));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip_because("no mounts of its own for a process");
	assert_int_equal(status, 0);
}

static void remove_takes_trees_and_leaves_what_links_point_to(void **state)
{
	char *kept = tmp_write_str(*state, "kept", "");
	char *deep = tmp_write_str(*state, "t/a/b/file", "");
	char *tree = mem_printf("%s/t", (char *)*state);
	char *link_path = mem_printf("%s/t/a/link", (char *)*state);
	char *dir_link = mem_printf("%s/t/dir", (char *)*state);

	assert_int_equal(symlink(kept, link_path), 0);
	assert_int_equal(symlink(*state, dir_link), 0);
	store_remove(tree);
	assert_int_equal(access(tree, F_OK), -1);
	assert_int_equal(access(kept, F_OK), 0);
	store_remove(tree); /* not there any more */
	store_remove(kept);
	assert_int_equal(access(kept, F_OK), -1);
	free(kept);
	free(deep);
	free(tree);
	free(link_path);
	free(dir_link);
}

static void lock_sweeps_what_a_killed_writer_left(void **state)
{
	char *left = tmp_write_str(*state, "tmp-old/a/b", "half");
	char *whole = tmp_write_str(*state, "whole", "whole");
	struct err err;
	int fd = store_lock(*state, NULL, NULL, &err);

	assert_true(fd >= 0);
	assert_int_equal(access(left, F_OK), -1);
	assert_int_equal(access(whole, F_OK), 0);
	close(fd);
	free(left);
	free(whole);
}

static void on_wait(void *ctx)
{
	assert_int_equal(write(*(int *)ctx, "w", 1), 1);
}

/* The child finds the lock taken, says so, and gets it when we let go. */
static void second_is_told_and_waits_for_the_first(void **state)
{
	int fd = store_lock(*state, NULL, NULL, NULL);
	int up[2], status;
	pid_t pid;
	char c;

	assert_true(fd >= 0);
	assert_int_equal(pipe(up), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fd);
		fd = store_lock(*state, on_wait, &up[1], NULL);
		_exit(fd < 0 || write(up[1], "l", 1) != 1);
	}
	close(up[1]);
	assert_int_equal(read(up[0], &c, 1), 1);
	assert_int_equal(c, 'w');
	close(fd);
	assert_int_equal(read(up[0], &c, 1), 1);
	assert_int_equal(c, 'l');
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(up[0]);
}

static void death_unlocks(void **state)
{
	struct err err;
	pid_t pid = fork();
	int status, fd;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (store_lock(*state, NULL, NULL, NULL) >= 0)
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	fd = store_lock(*state, NULL, NULL, &err);
	assert_true(fd >= 0);
	close(fd);
}

static void temporary_folders_differ(void **state)
{
	struct err err;
	char *a = store_tmp(*state, &err), *b = store_tmp(*state, &err);

	assert_non_null(a);
	assert_non_null(b);
	assert_string_not_equal(a, b);
	free(a);
	free(b);
	assert_null(store_tmp("/nonexistent", &err));
	assert_int_equal(err.code, -ENOENT);
}

static void files_are_read_whole_and_bounded(void **state)
{
	size_t n = (5 << 20) + 3;
	uint8_t *p = mem_zalloc(n);
	char *path;
	struct buf b = {0};
	struct err err;

	p[n - 1] = 7;
	path = tmp_write(*state, "f", p, n);
	assert_int_equal(store_read(path, n, &b, &err), 0);
	assert_int_equal(b.len, n);
	assert_memory_equal(buf_data(&b), p, n);
	buf_done(&b);
	assert_int_equal(store_read(path, n - 1, &b, &err), -EFBIG);
	buf_done(&b);
	/* procfs says size 0. */
	assert_int_equal(store_read("/proc/self/status", n, &b, &err), 0);
	assert_true(b.len > 100);
	buf_done(&b);
	assert_int_equal(store_read("/nonexistent", n, &b, &err), -ENOENT);
	assert_int_equal(store_read(*state, n, &b, &err), -EISDIR);
	buf_done(&b);
	free(path);
	free(p);
}

static void writing_never_overwrites(void **state)
{
	char *path = mem_printf("%s/f", (char *)*state);
	struct err err;
	struct buf b;

	assert_int_equal(store_write(path, "abc", 3, &err), 0);
	assert_int_equal(store_write(path, "def", 3, &err), -EEXIST);
	b = tmp_read(path);
	assert_int_equal(b.len, 3);
	assert_memory_equal(buf_data(&b), "abc", 3);
	buf_done(&b);
	free(path);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(folders_are_made_with_parents),
	    T(the_first_folder_that_fails_is_the_error),
	    T(remove_takes_trees_and_leaves_what_links_point_to),
	    T(lock_sweeps_what_a_killed_writer_left),
	    T(second_is_told_and_waits_for_the_first),
	    T(death_unlocks),
	    T(temporary_folders_differ),
	    T(files_are_read_whole_and_bounded),
	    T(writing_never_overwrites),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
