/* SPDX-License-Identifier: MIT */
/* Following files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/agent/lib_agent_peer.h"

static struct exchange *tail_held(struct peer *p, const char *path, int whence,
				  int64_t offset, bool hold)
{
	struct msg m = {.type = MSG_TAIL};
	struct exchange *x;

	m.tail.path = path;
	m.tail.whence = (uint8_t)whence;
	m.tail.offset = offset;
	x = peer_send(p, &m, true);
	x->hold = hold;
	peer_wait_reply(x);
	return x;
}

static struct exchange *tail(struct peer *p, const char *path, int whence,
			     int64_t offset)
{
	return tail_held(p, path, whence, offset, false);
}

/* The agent answers a ping: what it had to send before is here. */
static void settle(struct peer *p)
{
	struct msg m = {.type = MSG_PING, .ping.value = 1};

	assert_int_equal(peer_done(p, &m), 1);
	peer_settle(p, 20);
}

static void end_gives_only_what_is_new(void **state)
{
	const char *path = peer_tmp("end");
	struct exchange *x;

	peer_write(path, "old\n", false);
	x = tail(*state, path, MSG_TAIL_END, 0);
	assert_int_equal(x->reply.done.value, 4);
	peer_write(path, "new\n", true);
	peer_wait_data(x, 4);
	settle(*state);
	assert_data(x, "new\n");
	assert_false(x->fin);
}

static void position_is_fixed_before_the_answer(void **state)
{
	const char *path = peer_tmp("fixed");

	peer_write(path, "", false);
	for (int i = 0; i < 50; i++) {
		struct exchange *x = tail(*state, path, MSG_TAIL_END, 0);
		peer_write(path, "x", true);
		peer_wait_data(x, 1);
		assert_data(x, "x");
		chan_reset(x->chan);
		x->chan = NULL;
	}
}

static void start_counts_from_the_beginning(void **state)
{
	const char *path = peer_tmp("start");
	struct exchange *x;

	peer_write(path, "0123456789", false);
	x = tail(*state, path, MSG_TAIL_START, 0);
	assert_int_equal(x->reply.done.value, 0);
	peer_wait_data(x, 10);
	x = tail(*state, path, MSG_TAIL_START, 7);
	assert_int_equal(x->reply.done.value, 7);
	peer_wait_data(x, 3);
	settle(*state);
	assert_data(x, "789");
}

static void start_may_lie_past_the_end(void **state)
{
	const char *path = peer_tmp("past");
	struct exchange *x;

	peer_write(path, "01", false);
	x = tail(*state, path, MSG_TAIL_START, 4);
	assert_int_equal(x->reply.done.value, 4);
	peer_write(path, "2", true);
	settle(*state);
	assert_int_equal(x->data.len, 0);
	peer_write(path, "345", true);
	peer_wait_data(x, 2);
	settle(*state);
	assert_data(x, "45");
}

static void before_counts_back_and_is_clamped(void **state)
{
	const char *path = peer_tmp("before");
	struct exchange *x;

	peer_write(path, "0123456789", false);
	x = tail(*state, path, MSG_TAIL_BEFORE, 3);
	assert_int_equal(x->reply.done.value, 7);
	peer_wait_data(x, 3);
	assert_data(x, "789");
	x = tail(*state, path, MSG_TAIL_BEFORE, 1000);
	assert_int_equal(x->reply.done.value, 0);
	peer_wait_data(x, 10);
}

static void each_write_read_is_one_frame(void **state)
{
	const char *path = peer_tmp("frames");
	struct exchange *x;

	peer_write(path, "", false);
	x = tail(*state, path, MSG_TAIL_END, 0);
	for (int i = 0; i < 3; i++) {
		peer_write(path, "line\n", true);
		peer_wait_data(x, (size_t)(i + 1) * 5);
		assert_int_equal(x->frames, i + 1);
	}
}

static void truncated_file_is_followed_from_its_start(void **state)
{
	const char *path = peer_tmp("cut");
	struct exchange *x;

	peer_write(path, "a long first content\n", false);
	x = tail(*state, path, MSG_TAIL_END, 0);
	peer_write(path, "short\n", false);
	peer_wait_data(x, 6);
	peer_write(path, "more\n", true);
	peer_wait_data(x, 11);
	assert_data(x, "short\nmore\n");
}

static void deleted_file_is_followed_further(void **state)
{
	const char *path = peer_tmp("deleted");
	struct exchange *x;
	int fd;

	peer_write(path, "", false);
	fd = open(path, O_WRONLY | O_APPEND);
	x = tail(*state, path, MSG_TAIL_END, 0);
	assert_int_equal(unlink(path), 0);
	peer_write(path, "another file", false);
	assert_int_equal(write(fd, "still", 5), 5);
	close(fd);
	peer_wait_data(x, 5);
	settle(*state);
	assert_data(x, "still");
}

static void two_tails_of_one_file_live_apart(void **state)
{
	const char *path = peer_tmp("two");
	struct exchange *a, *b;

	peer_write(path, "", false);
	a = tail(*state, path, MSG_TAIL_END, 0);
	b = tail(*state, path, MSG_TAIL_START, 0);
	peer_write(path, "1", true);
	peer_wait_data(a, 1);
	peer_wait_data(b, 1);
	chan_reset(a->chan);
	a->chan = NULL;
	settle(*state);
	peer_write(path, "2", true);
	peer_wait_data(b, 2);
	assert_data(b, "12");
}

static void slow_tail_delays_nothing_and_loses_nothing(void **state)
{
	const char *path = peer_tmp("slow");
	struct exchange *x, *quick;
	const char *other = peer_tmp("quick");
	size_t n = 2 << 20;

	peer_write(path, "", false);
	peer_write(other, "", false);
	assert_int_equal(truncate(path, (off_t)n), 0);
	x = tail_held(*state, path, MSG_TAIL_START, 0, true);
	quick = tail(*state, other, MSG_TAIL_END, 0);
	peer_wait_data(x, CHAN_WINDOW);
	peer_write(other, "here", true);
	peer_wait_data(quick, 4);
	settle(*state);
	assert_int_equal(x->data.len, CHAN_WINDOW);
	peer_unhold(x);
	peer_wait_data(x, n);
	peer_write(path, "end", true);
	peer_wait_data(x, n + 3);
}

/* How many lines of the agent's fdinfo (proc(5)) begin so. */
static int count_lines(const struct peer *p, const char *begin)
{
	char path[300], line[256];
	struct dirent *e;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", p->pid);
	DIR *d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", p->pid,
			 e->d_name);
		FILE *f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			n += !strncmp(line, begin, strlen(begin));
		if (f)
			fclose(f);
	}
	closedir(d);
	return n;
}

/* How many files it has a watch on. */
static int count_watches(const struct peer *p)
{
	return count_lines(p, "inotify ");
}

/* Until so many lines of its fdinfo begin so. */
static void wait_lines(struct peer *p, const char *begin, int n)
{
	enum { LOOKS_MAX = 1500, EACH_MS = 20 };

	for (int i = 0; count_lines(p, begin) != n; i++) {
		assert_in_range(i, 0, LOOKS_MAX);
		peer_settle(p, EACH_MS);
	}
}

/* Written a little at a time, until it has no watch; how much that took. */
static size_t make_busy(struct peer *p, const char *path, struct exchange *x)
{
	enum { WRITES_MAX = 20000 };
	size_t n = 0;

	assert_int_equal(count_watches(p), 1);
	while (count_watches(p)) {
		assert_in_range(n, 0, WRITES_MAX);
		for (int i = 0; i < 40; i++) {
			peer_write(path, "x", true);
			peer_wait_data(x, ++n);
		}
	}
	return n;
}

/* Who writes often pays for no notices, and the last byte comes as ever. */
static void busy_file_has_no_watch_until_it_is_quiet(void **state)
{
	const char *path = peer_tmp("busy");
	struct peer *p = *state;
	struct exchange *x;

	peer_write(path, "", false);
	x = tail(p, path, MSG_TAIL_END, 0);
	size_t n = make_busy(p, path, x);
	for (int i = 0; i < 100; i++)
		peer_write(path, "x", true);
	peer_wait_data(x, n += 100);
	/* It began anew meanwhile, which is seen as ever. */
	peer_write(path, "y", false);
	peer_wait_data(x, ++n);
	wait_lines(p, "inotify ", 1);
	peer_write(path, "z", true);
	peer_wait_data(x, ++n);
	settle(p);
	assert_int_equal(x->data.len, n);
	assert_memory_equal(buf_data(&x->data) + n - 3, "xyz", 3);
}

/* Until its reader takes something, nobody looks at it. */
static void busy_file_without_a_reader_rests(void **state)
{
	const char *ticks = "it_interval: (0, 4000000)";
	const char *path = peer_tmp("rests");
	struct peer *p = *state;
	struct exchange *x;

	peer_write(path, "", false);
	x = tail(p, path, MSG_TAIL_END, 0);
	x->hold = true;
	make_busy(p, path, x);
	assert_int_equal(count_lines(p, ticks), 1);
	assert_int_equal(truncate(path, CHAN_WINDOW + 10), 0);
	wait_lines(p, ticks, 0);
	assert_int_equal(count_watches(p), 0);
	assert_int_equal(x->data.len, CHAN_WINDOW);
	peer_unhold(x);
	peer_wait_data(x, CHAN_WINDOW + 10);
	peer_write(path, "end", true);
	peer_wait_data(x, CHAN_WINDOW + 13);
	assert_int_equal(count_watches(p), 1);
}

/* That it was truncated must be seen: it is no log that grows. */
static void file_that_is_written_anew_keeps_its_watch(void **state)
{
	struct msg ping = {.type = MSG_PING, .ping.value = 1};
	const char *path = peer_tmp("anew");
	struct peer *p = *state;

	peer_write(path, "", false);
	tail(p, path, MSG_TAIL_END, 0);
	for (int i = 0; i < 300; i++) {
		peer_write(path, "value", false);
		peer_done(p, &ping);
	}
	assert_int_equal(count_watches(p), 1);
}

static void procfs_is_polled(void **state)
{
	struct peer *p = *state;
	struct exchange *x;
	char path[64], text[64];

	/* its content is what we write below: a name of this process */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", getpid(),
		 getpid());
	snprintf(text, sizeof(text), "/proc/%d/comm", getpid());
	peer_write(text, "ab", false);
	x = tail(p, path, MSG_TAIL_END, 0);
	assert_int_equal(x->reply.done.value, 3); /* "ab\n" */
	peer_write(text, "abcdef", false);
	peer_wait_data(x, 4);
	assert_data(x, "def\n");
	x = tail(p, path, MSG_TAIL_BEFORE, 2);
	assert_int_equal(x->reply.done.value, 5);
	peer_wait_data(x, 2);
	assert_data(x, "f\n");
}

static void fifo_is_followed_as_a_stream(void **state)
{
	const char *path = peer_tmp("tail-fifo");
	struct exchange *x;
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	x = tail(*state, path, MSG_TAIL_END, 0);
	assert_int_equal(write(fd, "abc", 3), 3);
	peer_wait_data(x, 3);
	assert_data(x, "abc");
	close(fd);
	peer_wait_fin(x);
}

static void handle_is_tailed_though_open_for_writing(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("handle");
	struct msg open = {.type = MSG_FILE_OPEN};
	struct msg m = {.type = MSG_TAIL_HANDLE};
	struct msg w = {.type = MSG_FILE_WRITE, .file_write.handle = 1};
	struct msg rel = {.type = MSG_RELEASE, .release.handle = 1};
	struct exchange *x, *y;

	open.file_open.handle = 1;
	open.file_open.path = path;
	open.file_open.flags = MSG_OPEN_WRITE | MSG_OPEN_CREATE;
	open.file_open.perm = MSG_PERM_DEFAULT;
	peer_done(p, &open);
	m.tail_handle.handle = 1;
	x = peer_send(p, &m, true);
	peer_wait_reply(x);
	y = peer_send(p, &w, false);
	peer_body(y, "written", 7, true);
	peer_wait_data(x, 7);
	peer_done(p, &rel);
	peer_write(path, " on", true);
	peer_wait_data(x, 10);
	assert_data(x, "written on");
	peer_fails(p, &m, EBADF, "file handle 1");
}

static void errors_name_the_path(void **state)
{
	struct msg m = {.type = MSG_TAIL, .tail.path = "/no/log"};

	peer_fails(*state, &m, ENOENT, "open '/no/log'");
	m.tail.path = "/tmp";
	peer_fails(*state, &m, EISDIR, "tail '/tmp'");
	m.tail.path = peer_tmp("negative");
	peer_write(m.tail.path, "", false);
	m.tail.whence = 3;
	peer_fails(*state, &m, EINVAL, "negative");
	m.tail.whence = MSG_TAIL_START;
	m.tail.offset = -1;
	peer_fails(*state, &m, EINVAL, "from -1");
}

#define PEER_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PEER_TEST(end_gives_only_what_is_new),
	    PEER_TEST(position_is_fixed_before_the_answer),
	    PEER_TEST(start_counts_from_the_beginning),
	    PEER_TEST(start_may_lie_past_the_end),
	    PEER_TEST(before_counts_back_and_is_clamped),
	    PEER_TEST(each_write_read_is_one_frame),
	    PEER_TEST(truncated_file_is_followed_from_its_start),
	    PEER_TEST(deleted_file_is_followed_further),
	    PEER_TEST(two_tails_of_one_file_live_apart),
	    PEER_TEST(slow_tail_delays_nothing_and_loses_nothing),
	    PEER_TEST(busy_file_has_no_watch_until_it_is_quiet),
	    PEER_TEST(busy_file_without_a_reader_rests),
	    PEER_TEST(file_that_is_written_anew_keeps_its_watch),
	    PEER_TEST(procfs_is_polled),
	    PEER_TEST(fifo_is_followed_as_a_stream),
	    PEER_TEST(handle_is_tailed_though_open_for_writing),
	    PEER_TEST(errors_name_the_path),
	};

	return cmocka_run_group_tests_name("agent tail", tests, NULL, NULL);
}
