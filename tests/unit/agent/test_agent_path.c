/* SPDX-License-Identifier: MIT */
/* Requests that name a path: stat, listdir, mkdir, unlink, rename. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/agent/lib_agent_peer.h"

static struct msg msg_of_stat(const char *path, bool nofollow)
{
	struct msg m = {.type = MSG_STAT};

	m.stat.path = path;
	m.stat.nofollow = nofollow;
	return m;
}

static void stat_tells_what_the_kernel_does(void **state)
{
	const char *path = peer_tmp("stat");
	struct msg m = msg_of_stat(path, false);
	const struct msg_file_status *fs;
	const struct exchange *x;
	struct stat st;

	peer_write(path, "12345", false);
	assert_int_equal(stat(path, &st), 0);
	x = peer_call(*state, &m);
	assert_int_equal(x->reply.type, MSG_FILE_STATUS);
	fs = &x->reply.file_status;
	assert_int_equal(fs->size, 5);
	assert_int_equal(fs->mode, st.st_mode);
	assert_int_equal(fs->mtime_sec, st.st_mtim.tv_sec);
	assert_int_equal(fs->mtime_nsec, st.st_mtim.tv_nsec);
	assert_int_equal(fs->nlink, 1);
	assert_true(fs->ino == st.st_ino && fs->dev == st.st_dev);
	assert_int_equal(fs->uid, getuid());
	assert_int_equal(fs->gid, st.st_gid);
}

static void stat_sizes_are_64_bit(void **state)
{
	const char *path = peer_tmp("huge");
	struct msg m = msg_of_stat(path, false);
	uint64_t size = (UINT64_C(5) << 32) + 1;

	peer_write(path, "", false);
	assert_int_equal(truncate(path, (off_t)size), 0);
	assert_true(peer_call(*state, &m)->reply.file_status.size == size);
}

static void stat_follows_links_unless_told(void **state)
{
	const char *path = peer_tmp("link");
	struct msg m = msg_of_stat(path, true);

	assert_int_equal(symlink("/", path), 0);
	assert_true(S_ISLNK(peer_call(*state, &m)->reply.file_status.mode));
	m.stat.nofollow = 0;
	assert_true(S_ISDIR(peer_call(*state, &m)->reply.file_status.mode));
}

static void missing_path_is_named_in_the_error(void **state)
{
	struct msg m = msg_of_stat("/no/such", false);

	peer_fails(*state, &m, ENOENT,
		   "stat '/no/such': No such file or directory");
}

/* Whether names, each ended by NUL, hold name. */
static bool lists(const struct exchange *x, const char *name)
{
	const char *p = (const char *)buf_data(&x->data);
	const char *end = p + x->data.len;

	for (; p && p < end; p += strlen(p) + 1)
		if (!strcmp(p, name))
			return true;
	return false;
}

static size_t count_names(const struct exchange *x)
{
	size_t n = 0;

	for (size_t i = 0; i < x->data.len; i++)
		n += !buf_data(&x->data)[i];
	return n;
}

static struct exchange *listdir(struct peer *p, const char *path)
{
	struct msg m = {.type = MSG_LISTDIR, .listdir.path = path};

	return peer_call(p, &m);
}

static void listdir_gives_names_without_dots(void **state)
{
	const char *dir = peer_tmp("dir");
	const struct exchange *x;

	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(listdir(*state, dir)->data.len, 0);
	peer_write(peer_tmp("dir/.hidden"), "", false);
	peer_write(peer_tmp("dir/a b"), "", false);
	x = listdir(*state, dir);
	assert_int_equal(x->reply.type, MSG_DONE);
	assert_int_equal(count_names(x), 2);
	assert_true(lists(x, ".hidden"));
	assert_true(lists(x, "a b"));
}

static void listdir_of_many_needs_more_than_a_window(void **state)
{
	const char *dir = peer_tmp("many");
	const struct exchange *x;
	char name[300];

	assert_int_equal(mkdir(dir, 0755), 0);
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "%s/%0200d", dir, i);
		assert_true(mknod(name, S_IFREG | 0600, 0) == 0);
	}
	x = listdir(*state, dir);
	assert_int_equal(count_names(x), 2000);
	assert_int_equal(x->data.len, 2000 * 201);
}

static void listdir_of_a_file_is_enotdir(void **state)
{
	struct msg m = {.type = MSG_LISTDIR, .listdir.path = "/dev/null"};

	peer_fails(*state, &m, ENOTDIR, "list '/dev/null'");
}

static struct msg msg_of_mkdir(const char *path, unsigned perm, bool parents)
{
	struct msg m = {.type = MSG_MKDIR};

	m.mkdir.path = path;
	m.mkdir.perm = perm;
	m.mkdir.parents = parents;
	return m;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void mkdir_ignores_the_umask(void **state)
{
	const char *path = peer_tmp("made");
	struct msg m = msg_of_mkdir(path, 0777, false);

	peer_done(*state, &m);
	assert_int_equal(mode_of(path), 0777);
	peer_fails(*state, &m, EEXIST, "made");
}

static void mkdir_makes_parents_when_told(void **state)
{
	const char *path = peer_tmp("p/q//r/");
	struct msg m = msg_of_mkdir(path, 0700, false);

	peer_fails(*state, &m, ENOENT, "mkdir");
	m.mkdir.parents = 1;
	peer_done(*state, &m);
	assert_int_equal(mode_of(peer_tmp("p/q/r")), 0700);
	assert_int_equal(mode_of(peer_tmp("p/q")), 0755);
	/* it may be there already, but as a directory */
	peer_done(*state, &m);
	peer_write(peer_tmp("p/file"), "", false);
	m.mkdir.path = peer_tmp("p/file");
	peer_fails(*state, &m, EEXIST, "p/file");
	m.mkdir.path = peer_tmp("p/file/sub");
	peer_fails(*state, &m, ENOTDIR, "p/file/sub");
}

static void unlink_removes_files_and_empty_directories(void **state)
{
	const char *dir = peer_tmp("gone");
	const char *file = peer_tmp("gone/file");
	struct msg m = {.type = MSG_UNLINK, .unlink.path = dir};

	assert_int_equal(mkdir(dir, 0755), 0);
	peer_write(file, "", false);
	peer_fails(*state, &m, ENOTEMPTY, dir);
	m.unlink.path = file;
	peer_done(*state, &m);
	m.unlink.path = dir;
	peer_done(*state, &m);
	assert_int_equal(access(dir, F_OK), -1);
	peer_fails(*state, &m, ENOENT, dir);
}

static void rename_moves_and_names_both_paths(void **state)
{
	const char *from = peer_tmp("from"), *to = peer_tmp("to");
	struct msg m = {.type = MSG_RENAME};

	m.rename.from = from;
	m.rename.to = to;
	peer_fails(*state, &m, ENOENT, "/from' to '");
	peer_write(from, "x", false);
	peer_done(*state, &m);
	assert_int_equal(access(to, F_OK), 0);
	assert_int_equal(access(from, F_OK), -1);
}

#define PEER_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PEER_TEST(stat_tells_what_the_kernel_does),
	    PEER_TEST(stat_sizes_are_64_bit),
	    PEER_TEST(stat_follows_links_unless_told),
	    PEER_TEST(missing_path_is_named_in_the_error),
	    PEER_TEST(listdir_gives_names_without_dots),
	    PEER_TEST(listdir_of_many_needs_more_than_a_window),
	    PEER_TEST(listdir_of_a_file_is_enotdir),
	    PEER_TEST(mkdir_ignores_the_umask),
	    PEER_TEST(mkdir_makes_parents_when_told),
	    PEER_TEST(unlink_removes_files_and_empty_directories),
	    PEER_TEST(rename_moves_and_names_both_paths),
	};

	return cmocka_run_group_tests_name("agent path", tests, NULL, NULL);
}
