/* SPDX-License-Identifier: MIT */
/* Whole files, open files and descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "agent-proto/sparse.h"
#include "tests/unit/agent/lib_agent_peer.h"

#define BIG (3u << 20)

static struct msg msg_of_read(const char *path)
{
	return (struct msg){.type = MSG_READ_FILE, .read_file.path = path};
}

static struct exchange *write_file(struct peer *p, const char *path,
				   uint32_t perm, const void *bytes, size_t n)
{
	struct msg m = {.type = MSG_WRITE_FILE};
	struct exchange *x;

	m.write_file.path = path;
	m.write_file.perm = perm;
	x = peer_send(p, &m, false);
	peer_body(x, bytes, n, true);
	peer_wait_fin(x);
	return x;
}

static uint8_t *pattern(size_t n)
{
	uint8_t *p = mem_alloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
	return p;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* --- read_file, write_file ------------------------------------------------ */

static void big_file_goes_there_and_back(void **state)
{
	const char *path = peer_tmp("big");
	struct msg m = msg_of_read(path);
	uint8_t *bytes = pattern(BIG);
	struct exchange *x =
	    write_file(*state, path, MSG_PERM_DEFAULT, bytes, BIG);

	assert_int_equal(x->reply.done.value, BIG);
	x = peer_call(*state, &m);
	assert_int_equal(x->reply.done.value, BIG);
	assert_int_equal(x->data.len, BIG);
	assert_memory_equal(buf_data(&x->data), bytes, BIG);
	free(bytes);
}

static void empty_file_is_written_and_read(void **state)
{
	const char *path = peer_tmp("empty");
	struct msg m = msg_of_read(path);
	struct exchange *x =
	    write_file(*state, path, MSG_PERM_DEFAULT, NULL, 0);

	assert_int_equal(x->reply.done.value, 0);
	x = peer_call(*state, &m);
	assert_int_equal(x->errnum, 0);
	assert_int_equal(x->data.len, 0);
}

static void procfs_file_without_size_is_read(void **state)
{
	struct msg m = msg_of_read("/proc/self/status");
	const struct exchange *x = peer_call(*state, &m);

	assert_int_equal(x->reply.done.value, 0);
	assert_true(x->data.len > 100);
	assert_memory_equal(buf_data(&x->data), "Name:", 5);
}

static void read_errors_name_the_path(void **state)
{
	struct msg m = msg_of_read("/no/file");

	peer_fails(*state, &m, ENOENT,
		   "open '/no/file': No such file or directory");
	m.read_file.path = "/tmp";
	peer_fails(*state, &m, EISDIR, "'/tmp'");
	m.read_file.path = "/proc/self/mem"; /* fails only when read */
	peer_fails(*state, &m, EIO, "read '/proc/self/mem'");
}

static void write_keeps_or_sets_the_mode(void **state)
{
	const char *path = peer_tmp("mode");

	write_file(*state, path, MSG_PERM_DEFAULT, "a", 1);
	assert_int_equal(mode_of(path), 0644);
	write_file(*state, path, 04777, "a", 1);
	assert_int_equal(mode_of(path), 04777);
	assert_int_equal(chmod(path, 0755), 0);
	write_file(*state, path, MSG_PERM_DEFAULT, "a", 1);
	assert_int_equal(mode_of(path), 0755);
}

static void write_truncates(void **state)
{
	const char *path = peer_tmp("trunc");
	struct msg m = msg_of_read(path);

	write_file(*state, path, MSG_PERM_DEFAULT, "long content", 12);
	write_file(*state, path, MSG_PERM_DEFAULT, "new", 3);
	assert_data(peer_call(*state, &m), "new");
}

static void write_error_comes_while_data_flows(void **state)
{
	uint8_t *bytes = pattern(BIG);
	struct exchange *x =
	    write_file(*state, "/dev/full", MSG_PERM_DEFAULT, bytes, BIG);

	assert_int_equal(x->errnum, ENOSPC);
	assert_non_null(strstr(x->text, "write '/dev/full'"));
	free(bytes);
}

static void fifo_without_reader_is_enxio_not_a_wait(void **state)
{
	const char *path = peer_tmp("fifo");
	struct exchange *x;

	assert_int_equal(mkfifo(path, 0600), 0);
	x = write_file(*state, path, MSG_PERM_DEFAULT, NULL, 0);
	assert_int_equal(x->errnum, ENXIO);
}

static void fifo_is_read_from_first_writer_to_last(void **state)
{
	const char *path = peer_tmp("fifo2");
	struct msg m = msg_of_read(path);
	struct exchange *x;
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	x = peer_send(*state, &m, true);
	peer_wait_reply(x);
	fd = open(path, O_WRONLY);
	assert_int_equal(write(fd, "one", 3), 3);
	peer_wait_data(x, 3);
	assert_false(x->fin);
	assert_int_equal(write(fd, "two", 3), 3);
	close(fd);
	peer_wait_fin(x);
	assert_data(x, "onetwo");
}

static void full_fifo_is_written_as_it_empties(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("fifo4");
	struct msg m = {.type = MSG_WRITE_FILE};
	struct msg ping = {.type = MSG_PING, .ping.value = 2};
	uint8_t *bytes = pattern(BIG), *got = mem_alloc(BIG);
	struct exchange *x;
	size_t n = 0;
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	m.write_file.path = path;
	m.write_file.perm = MSG_PERM_DEFAULT;
	x = peer_send(p, &m, false);
	size_t sent = chan_write(x->chan, bytes, CHAN_WINDOW, true);
	assert_int_equal(sent, CHAN_WINDOW);
	peer_settle(p, 50);
	assert_false(x->fin);
	assert_int_equal(peer_done(p, &ping), 2);
	while (!x->fin || n < sent) {
		ssize_t r = read(fd, got + n, BIG - n);
		if (r > 0)
			n += (size_t)r;
		peer_settle(p, 1);
	}
	assert_int_equal(n, sent);
	assert_memory_equal(got, bytes, n);
	close(fd);
	free(bytes);
	free(got);
}

static void reset_stops_a_transfer(void **state)
{
	struct peer *p = *state;
	struct msg m = msg_of_read("/dev/zero");
	struct msg ping = {.type = MSG_PING, .ping.value = 4};
	struct exchange *x = peer_send(p, &m, true);

	peer_wait_data(x, 1 << 20);
	chan_reset(x->chan);
	x->chan = NULL;
	assert_int_equal(peer_done(p, &ping), 4);
}

static void unread_transfer_delays_nothing_else(void **state)
{
	struct peer *p = *state;
	struct msg m = msg_of_read("/dev/zero");
	struct msg ping = {.type = MSG_PING, .ping.value = 4};
	struct exchange *x = peer_send(p, &m, true);

	x->hold = true;
	peer_wait_data(x, CHAN_WINDOW);
	for (int i = 0; i < 10; i++)
		assert_int_equal(peer_done(p, &ping), 4);
	assert_int_equal(x->data.len, CHAN_WINDOW);
	peer_unhold(x);
	peer_wait_data(x, 4 * CHAN_WINDOW);
}

/* --- open files ----------------------------------------------------------- */

static int64_t open_file(struct peer *p, uint64_t handle, const char *path,
			 uint32_t flags)
{
	struct msg m = {.type = MSG_FILE_OPEN};

	m.file_open.handle = handle;
	m.file_open.path = path;
	m.file_open.flags = flags;
	m.file_open.perm = MSG_PERM_DEFAULT;
	return peer_done(p, &m);
}

static struct msg msg_of_file_read(uint64_t handle, uint64_t count)
{
	struct msg m = {.type = MSG_FILE_READ};

	m.file_read.handle = handle;
	m.file_read.count = count;
	return m;
}

static struct exchange *file_write(struct peer *p, uint64_t handle,
				   const char *text)
{
	struct msg m = {.type = MSG_FILE_WRITE, .file_write.handle = handle};
	struct exchange *x = peer_send(p, &m, false);

	peer_body(x, text, strlen(text), true);
	return x;
}

static struct msg msg_of_seek(uint64_t handle, int64_t offset, int whence)
{
	struct msg m = {.type = MSG_FILE_SEEK};

	m.file_seek.handle = handle;
	m.file_seek.offset = offset;
	m.file_seek.whence = (uint8_t)whence;
	return m;
}

static void open_file_has_one_position(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("pos");
	struct msg read = msg_of_file_read(1, 4);
	struct msg seek = msg_of_seek(1, 2, SEEK_SET);
	struct exchange *x;

	open_file(p, 1, path, MSG_OPEN_READ | MSG_OPEN_WRITE | MSG_OPEN_CREATE);
	x = file_write(p, 1, "0123456789");
	peer_wait_fin(x);
	assert_int_equal(x->reply.done.value, 10);
	assert_int_equal(peer_done(p, &seek), 2);
	assert_data(peer_call(p, &read), "2345");
	assert_data(peer_call(p, &read), "6789");
	assert_data(peer_call(p, &read), "");
	seek = msg_of_seek(1, -3, SEEK_END);
	assert_int_equal(peer_done(p, &seek), 7);
	assert_data(peer_call(p, &read), "789");
	seek = msg_of_seek(1, 0, SEEK_CUR);
	assert_int_equal(peer_done(p, &seek), 10);
	seek = msg_of_seek(1, -1, SEEK_SET);
	peer_fails(p, &seek, EINVAL, "seek in '");
	seek = msg_of_seek(1, 0, 7);
	peer_fails(p, &seek, EINVAL, "seek in '");
}

static void positions_are_64_bit(void **state)
{
	int64_t at = (INT64_C(1) << 40) + 12345;
	struct msg seek = msg_of_seek(1, at, SEEK_SET);

	open_file(*state, 1, peer_tmp("far"), MSG_OPEN_WRITE | MSG_OPEN_CREATE);
	assert_true(peer_done(*state, &seek) == at);
}

static void pipelined_requests_of_a_file_keep_their_order(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("order");
	struct msg seek = msg_of_seek(1, 0, SEEK_SET);
	struct msg read = msg_of_file_read(1, 1 << 20);
	struct msg rest = msg_of_file_read(1, UINT64_MAX);
	struct msg release = {.type = MSG_RELEASE, .release.handle = 1};
	uint8_t *bytes = pattern(BIG);
	struct exchange *a, *b, *c, *w;
	struct msg m = {.type = MSG_FILE_WRITE, .file_write.handle = 1};

	open_file(p, 1, path, MSG_OPEN_READ | MSG_OPEN_WRITE | MSG_OPEN_CREATE);
	w = peer_send(p, &m, false);
	a = peer_send(p, &seek, true);
	b = peer_send(p, &read, true);
	c = peer_send(p, &rest, true);
	peer_send(p, &release, true);
	peer_body(w, bytes, BIG, true);
	peer_wait_fin(c);
	assert_int_equal(w->reply.done.value, BIG);
	assert_int_equal(a->reply.done.value, 0);
	assert_int_equal(b->data.len, 1 << 20);
	assert_int_equal(c->data.len, BIG - (1 << 20));
	assert_memory_equal(buf_data(&b->data), bytes, b->data.len);
	assert_memory_equal(buf_data(&c->data), bytes + b->data.len,
			    c->data.len);
	peer_fails(p, &read, EBADF, "file handle 1");
	free(bytes);
}

static void open_flags_are_those_of_posix(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("flags");
	struct msg m = {.type = MSG_FILE_OPEN};
	struct msg read = msg_of_file_read(1, 10);

	m.file_open.path = path;
	m.file_open.handle = 9;
	peer_fails(p, &m, EINVAL, "open '");
	m.file_open.flags = MSG_OPEN_READ | 64;
	peer_fails(p, &m, EINVAL, "open '");
	m.file_open.flags = MSG_OPEN_READ;
	peer_fails(p, &m, ENOENT, "open '");
	peer_write(path, "abc", false);
	m.file_open.flags =
	    MSG_OPEN_WRITE | MSG_OPEN_CREATE | MSG_OPEN_EXCLUSIVE;
	peer_fails(p, &m, EEXIST, "open '");
	open_file(p, 1, path, MSG_OPEN_APPEND | MSG_OPEN_READ);
	peer_wait_fin(file_write(p, 1, "def"));
	m = msg_of_seek(1, 0, SEEK_SET);
	peer_done(p, &m);
	assert_data(peer_call(p, &read), "abcdef");
	open_file(p, 2, path, MSG_OPEN_WRITE | MSG_OPEN_TRUNCATE);
	assert_data(peer_call(p, &read), "");
	read.file_read.handle = 2;
	peer_fails(p, &read, EBADF, "read '");
}

static void open_with_perm_ignores_the_umask(void **state)
{
	const char *path = peer_tmp("perm");
	struct msg m = {.type = MSG_FILE_OPEN};

	m.file_open.path = path;
	m.file_open.flags = MSG_OPEN_WRITE | MSG_OPEN_CREATE;
	m.file_open.perm = 0666;
	peer_done(*state, &m);
	assert_int_equal(mode_of(path), 0666);
}

static void handle_in_use_is_eexist(void **state)
{
	struct msg m = {.type = MSG_FILE_OPEN};

	m.file_open.handle = 5;
	m.file_open.path = "/dev/null";
	m.file_open.flags = MSG_OPEN_READ;
	peer_done(*state, &m);
	peer_fails(*state, &m, EEXIST, "handle 5");
}

static void handles_are_limited(void **state)
{
	struct peer *p = *state;
	struct msg m = {.type = MSG_FILE_OPEN};
	struct msg ping = {.type = MSG_PING, .ping.value = 1};
	struct exchange *x;
	int errnum = 0;

	m.file_open.path = "/dev/null";
	m.file_open.flags = MSG_OPEN_READ;
	/* descriptors or handles: whichever runs out first */
	for (uint64_t i = 0; !errnum && i < 70000; i++) {
		m.file_open.handle = i;
		x = peer_call(p, &m);
		errnum = x->errnum;
	}
	assert_int_equal(errnum, EMFILE);
	assert_int_equal(peer_done(p, &ping), 1);
}

/* --- records ---------------------------------------------------------- */

static struct exchange *write_records(struct peer *p, const char *path,
				      const void *bytes, size_t n)
{
	struct msg m = {.type = MSG_WRITE_FILE};
	struct exchange *x;

	m.write_file.path = path;
	m.write_file.perm = 06751;
	m.write_file.flags = MSG_FILE_SPARSE;
	x = peer_send(p, &m, false);
	peer_body(x, bytes, n, true);
	peer_wait_fin(x);
	return x;
}

static size_t add_record(uint8_t *to, uint64_t hole, const char *data)
{
	sparse_encode(to, hole, strlen(data));
	memcpy(to + SPARSE_HEADER, data, strlen(data));
	return SPARSE_HEADER + strlen(data);
}

#define HOLE (UINT64_C(1) << 31)

/* 2 GiB of holes each way: only what is data is sent, and stored. */
static void holes_stay_holes(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("holes");
	struct msg m = msg_of_read(path);
	uint8_t records[128];
	struct exchange *x;
	struct stat st;
	size_t n = 0;

	n += add_record(records + n, 0, "begin");
	n += add_record(records + n, HOLE, "middle");
	n += add_record(records + n, HOLE, "");
	x = write_records(p, path, records, n);
	assert_int_equal(x->errnum, 0);
	assert_int_equal(x->reply.done.value, 11);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 11 + 2 * HOLE);
	assert_true(st.st_blocks < 4096);
	assert_int_equal(st.st_mode & 07777, 06751);
	m.read_file.flags = MSG_FILE_SPARSE;
	x = peer_call(p, &m);
	assert_int_equal(x->reply.done.value, st.st_mode);
	assert_true(x->data.len < (1u << 20));
	/* The same file comes of what was read. */
	const char *copy = peer_tmp("copy");
	x = write_records(p, copy, buf_data(&x->data), x->data.len);
	assert_int_equal(x->errnum, 0);
	assert_int_equal(stat(copy, &st), 0);
	assert_int_equal(st.st_size, 11 + 2 * HOLE);
	assert_true(st.st_blocks < 4096);
	FILE *f = fopen(copy, "r");
	char middle[7] = "";
	assert_non_null(f);
	assert_int_equal(fseek(f, (long)(5 + HOLE), SEEK_SET), 0);
	assert_int_equal(fread(middle, 1, 6, f), 6);
	fclose(f);
	assert_string_equal(middle, "middle");
}

/* Their size is 0, or what a page holds, and they have no holes. */
static void files_made_when_read_arrive_whole_as_records(void **state)
{
	struct peer *p = *state;
	struct msg m = msg_of_read("/proc/version");
	struct exchange *plain = peer_call(p, &m), *x;

	m.read_file.flags = MSG_FILE_SPARSE;
	x = peer_call(p, &m);
	assert_true(plain->data.len > 0);
	assert_true(x->data.len >= SPARSE_HEADER + plain->data.len);
	assert_memory_equal(buf_data(&x->data) + SPARSE_HEADER,
			    buf_data(&plain->data), plain->data.len);
}

static void records_that_make_no_sense_are_refused(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("bad");
	uint8_t record[64];
	struct msg m = {.type = MSG_WRITE_FILE, .write_file.path = path};

	add_record(record, 0, "data");
	assert_int_equal(write_records(p, path, record, 17)->errnum, EINVAL);
	assert_int_equal(write_records(p, path, record, 3)->errnum, EINVAL);
	sparse_encode(record, UINT64_MAX, 0);
	assert_int_equal(write_records(p, path, record, 16)->errnum, EFBIG);
	sparse_encode(record, INT64_MAX, 0);
	assert_int_not_equal(write_records(p, path, record, 16)->errnum, 0);
	m.write_file.flags = 0x80;
	peer_fails(p, &m, EINVAL, "bad");
	m = msg_of_read(path);
	m.read_file.flags = 0x80;
	peer_fails(p, &m, EINVAL, "bad");
}

/* A pipe has no holes: it gets zeros. */
static void a_hole_is_zeros_where_nothing_can_be_left_out(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("zeros");
	uint8_t records[64];
	uint64_t h;
	char script[300];

	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(script, sizeof(script), "exec <%s; echo up; wc -c", path);
	int keep = open(path, O_RDWR | O_CLOEXEC);
	assert_true(keep >= 0);
	h = peer_sh(p, script);
	struct exchange *out = peer_output(p, h, 1, 0);
	peer_wait_data(out, 3);
	size_t n = add_record(records, 100000, "abc");
	assert_int_equal(write_records(p, path, records, n)->errnum, 0);
	close(keep);
	peer_wait_fin(out);
	assert_data(out, "up\n100003\n");
}

/* As of an image with holes that is pushed onto a disk. Its end is far. */
static void a_long_hole_holds_up_no_other_request(void **state)
{
	struct peer *p = *state;
	struct msg m = {.type = MSG_WRITE_FILE};
	struct msg ping = {.type = MSG_PING, .ping.value = 3};
	uint8_t record[SPARSE_HEADER];
	struct exchange *x;

	m.write_file.path = "/dev/null";
	m.write_file.perm = MSG_PERM_DEFAULT;
	m.write_file.flags = MSG_FILE_SPARSE;
	sparse_encode(record, UINT64_C(1) << 50, 0);
	x = peer_send(p, &m, false);
	peer_body(x, record, sizeof(record), true);
	for (int i = 0; i < 100; i++)
		assert_int_equal(peer_done(p, &ping), 3);
}

/* --- fd_stream ------------------------------------------------------------ */

static void fd_stream_of_a_file_ends_at_its_end(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("stream");
	struct msg m = {.type = MSG_FD_STREAM};
	struct exchange *x;

	peer_write(path, "some bytes", false);
	m.fd_stream.fd = (int32_t)open_file(p, 1, path, MSG_OPEN_READ);
	x = peer_call(p, &m);
	assert_int_equal(x->reply.type, MSG_DONE);
	assert_data(x, "some bytes");
}

static void fd_stream_of_a_fifo_follows_it(void **state)
{
	struct peer *p = *state;
	const char *path = peer_tmp("fifo3");
	struct msg m = {.type = MSG_FD_STREAM};
	struct msg release = {.type = MSG_RELEASE, .release.handle = 1};
	struct exchange *x;
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	m.fd_stream.fd = (int32_t)open_file(p, 1, path, MSG_OPEN_READ);
	x = peer_send(p, &m, true);
	peer_wait_reply(x);
	assert_int_equal(write(fd, "a", 1), 1);
	peer_wait_data(x, 1);
	/* it has a descriptor of its own */
	peer_done(p, &release);
	assert_int_equal(write(fd, "b", 1), 1);
	peer_wait_data(x, 2);
	close(fd);
	peer_wait_fin(x);
	assert_data(x, "ab");
}

static void fd_stream_of_a_closed_fd_is_ebadf(void **state)
{
	struct msg m = {.type = MSG_FD_STREAM, .fd_stream.fd = 987};

	peer_fails(*state, &m, EBADF, "fd 987");
	m.fd_stream.fd = -1;
	peer_fails(*state, &m, EBADF, "fd -1");
}

#define PEER_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PEER_TEST(big_file_goes_there_and_back),
	    PEER_TEST(empty_file_is_written_and_read),
	    PEER_TEST(procfs_file_without_size_is_read),
	    PEER_TEST(read_errors_name_the_path),
	    PEER_TEST(write_keeps_or_sets_the_mode),
	    PEER_TEST(write_truncates),
	    PEER_TEST(write_error_comes_while_data_flows),
	    PEER_TEST(fifo_without_reader_is_enxio_not_a_wait),
	    PEER_TEST(fifo_is_read_from_first_writer_to_last),
	    PEER_TEST(full_fifo_is_written_as_it_empties),
	    PEER_TEST(reset_stops_a_transfer),
	    PEER_TEST(unread_transfer_delays_nothing_else),
	    PEER_TEST(open_file_has_one_position),
	    PEER_TEST(positions_are_64_bit),
	    PEER_TEST(pipelined_requests_of_a_file_keep_their_order),
	    PEER_TEST(open_flags_are_those_of_posix),
	    PEER_TEST(open_with_perm_ignores_the_umask),
	    PEER_TEST(handle_in_use_is_eexist),
	    PEER_TEST(handles_are_limited),
	    PEER_TEST(holes_stay_holes),
	    PEER_TEST(files_made_when_read_arrive_whole_as_records),
	    PEER_TEST(records_that_make_no_sense_are_refused),
	    PEER_TEST(a_hole_is_zeros_where_nothing_can_be_left_out),
	    PEER_TEST(a_long_hole_holds_up_no_other_request),
	    PEER_TEST(fd_stream_of_a_file_ends_at_its_end),
	    PEER_TEST(fd_stream_of_a_fifo_follows_it),
	    PEER_TEST(fd_stream_of_a_closed_fd_is_ebadf),
	};

	return cmocka_run_group_tests_name("agent file", tests, NULL, NULL);
}
