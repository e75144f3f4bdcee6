/* SPDX-License-Identifier: MIT */
/* Directories to and from the agent. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "agent-proto/tree_remove.h"
#include "tests/unit/agent/lib_agent_peer.h"
#include "tests/unit/tree_bytes.h"

static struct msg msg_of_read(const char *path, unsigned flags)
{
	struct msg m = {.type = MSG_READ_FILE};

	m.read_file.path = path;
	m.read_file.flags = (uint8_t)flags;
	return m;
}

static struct exchange *begin_write(struct peer *p, const char *path)
{
	struct msg m = {.type = MSG_WRITE_FILE};

	m.write_file.path = path;
	m.write_file.perm = MSG_PERM_DEFAULT;
	m.write_file.flags = MSG_FILE_TREE;
	return peer_send(p, &m, false);
}

static void put_tree(struct buf *b)
{
	tree_dir(b, "", 0750);
	tree_file(b, "a", 04755, "text");
	tree_dir(b, "empty", 0555);
	tree_up(b);
	tree_link(b, "l", "../x");
	tree_up(b);
}

/* Names in the directory of the test, of files that are not complete. */
static unsigned count_unfinished(void)
{
	char *dir = mem_strdup(peer_tmp("x"));
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	*strrchr(dir, '/') = '\0';
	d = opendir(dir);
	assert_non_null(d);
	while ((e = readdir(d)))
		n += !strncmp(e->d_name, ".provium-", 9);
	closedir(d);
	free(dir);
	return n;
}

static void a_directory_goes_there_and_back(void **state)
{
	const char *path = peer_tmp("tree");
	struct exchange *x = begin_write(*state, path);
	struct msg m = msg_of_read(path, MSG_FILE_SPARSE | MSG_FILE_TREE);
	struct buf b = {0};

	put_tree(&b);
	peer_body(x, buf_data(&b), b.len, true);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, 0);
	assert_int_equal(x->reply.done.value, 4);
	x = peer_call(*state, &m);
	assert_int_equal(x->reply.done.value, S_IFDIR | 0750);
	assert_int_equal(x->data.len, b.len);
	assert_memory_equal(buf_data(&x->data), buf_data(&b), b.len);
	assert_int_equal(count_unfinished(), 0);
	tree_remove(AT_FDCWD, path);
	buf_done(&b);
}

static void a_file_is_no_tree(void **state)
{
	const char *path = peer_tmp("file");
	struct msg m = msg_of_read(path, MSG_FILE_SPARSE | MSG_FILE_TREE);
	const struct exchange *x;

	peer_write(path, "text", false);
	x = peer_call(*state, &m);
	assert_true(S_ISREG(x->reply.done.value));
	/* Who does not ask for a tree gets none. */
	m = msg_of_read("/tmp", MSG_FILE_SPARSE);
	peer_fails(*state, &m, EISDIR, "read '/tmp'");
	m = msg_of_read("/tmp", MSG_FILE_TREE);
	peer_fails(*state, &m, EISDIR, "read '/tmp'");
	m = msg_of_read("/tmp", 4);
	peer_fails(*state, &m, EINVAL, "read '/tmp'");
}

static void what_cannot_be_read_is_named(void **state)
{
	const char *path = peer_tmp("special");
	char *fifo = mem_printf("%s/p", path);
	struct msg m = msg_of_read(path, MSG_FILE_SPARSE | MSG_FILE_TREE);

	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	const struct exchange *x = peer_call(*state, &m);
	assert_int_equal(x->errnum, EINVAL);
	assert_non_null(strstr(x->text, "special/p' is a FIFO: "));
	tree_remove(AT_FDCWD, path);
	free(fifo);
}

static void a_place_that_is_taken_is_refused(void **state)
{
	struct msg m = {.type = MSG_WRITE_FILE};

	m.write_file.flags = MSG_FILE_TREE;
	m.write_file.path = "/dev/null";
	peer_fails(*state, &m, ENOTDIR, "'/dev/null'");
	m.write_file.path = "/no/dir/x";
	peer_fails(*state, &m, ENOENT, "'/no/dir/x'");
	m.write_file.path = "/tmp";
	m.write_file.flags = MSG_FILE_TREE | MSG_FILE_SPARSE;
	peer_fails(*state, &m, EINVAL, "'/tmp'");
}

static void what_is_no_tree_leaves_nothing(void **state)
{
	const char *path = peer_tmp("bad");
	struct exchange *x = begin_write(*state, path);
	struct buf b = {0};

	tree_dir(&b, "", 0750);
	tree_file(&b, "../evil", 0644, "text");
	peer_body(x, buf_data(&b), b.len, true);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, EPROTO);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(count_unfinished(), 0);
	buf_done(&b);
}

static void a_push_that_breaks_off_leaves_nothing(void **state)
{
	const char *path = peer_tmp("half");
	struct exchange *x = begin_write(*state, path);
	struct buf b = {0};

	put_tree(&b);
	peer_body(x, buf_data(&b), b.len - 1, true);
	peer_wait_fin(x);
	assert_int_equal(x->errnum, EPROTO);
	assert_non_null(strstr(x->text, "the tree breaks off"));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(count_unfinished(), 0);
	buf_done(&b);
}

static void a_push_that_is_given_up_leaves_nothing(void **state)
{
	const char *path = peer_tmp("given-up");
	struct msg ping = {.type = MSG_PING};
	struct exchange *x = begin_write(*state, path);
	struct buf b = {0};

	put_tree(&b);
	peer_body(x, buf_data(&b), b.len - 1, false);
	peer_done(*state, &ping);
	assert_int_equal(count_unfinished(), 1);
	chan_reset(x->chan);
	peer_done(*state, &ping);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(count_unfinished(), 0);
	buf_done(&b);
}

static void a_pull_that_nobody_reads_delays_nothing_else(void **state)
{
	const char *path = peer_tmp("large");
	char *file = mem_printf("%s/f", path);
	struct msg m = msg_of_read(path, MSG_FILE_SPARSE | MSG_FILE_TREE);
	struct msg ping = {.type = MSG_PING};
	struct exchange *x;
	char *text = mem_alloc(3 << 20);

	memset(text, 'x', 3 << 20);
	text[(3 << 20) - 1] = '\0';
	assert_int_equal(mkdir(path, 0755), 0);
	peer_write(file, text, false);
	x = peer_send(*state, &m, true);
	x->hold = true;
	peer_wait_data(x, CHAN_WINDOW);
	for (int i = 0; i < 10; i++)
		peer_done(*state, &ping);
	assert_int_equal(x->data.len, CHAN_WINDOW);
	peer_unhold(x);
	peer_wait_fin(x);
	assert_true(x->data.len > 3 << 20);
	tree_remove(AT_FDCWD, path);
	free(text);
	free(file);
}

#define PEER_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PEER_TEST(a_directory_goes_there_and_back),
	    PEER_TEST(a_file_is_no_tree),
	    PEER_TEST(what_cannot_be_read_is_named),
	    PEER_TEST(a_place_that_is_taken_is_refused),
	    PEER_TEST(what_is_no_tree_leaves_nothing),
	    PEER_TEST(a_push_that_breaks_off_leaves_nothing),
	    PEER_TEST(a_push_that_is_given_up_leaves_nothing),
	    PEER_TEST(a_pull_that_nobody_reads_delays_nothing_else),
	};

	return cmocka_run_group_tests_name("agent tree", tests, NULL, NULL);
}
