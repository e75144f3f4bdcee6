/* SPDX-License-Identifier: MIT */
/* Calls whose body is a file, or a directory. */
#include "streams/client.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "agent-proto/sparse.h"
#include "agent-proto/tree_remove.h"
#include "tests/unit/streams/client_fixture.h"
#include "tests/unit/tmp.h"

/* Every byte follows from its place, and neighbours of 64 KiB differ. */
static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at * 31 + at / 65521);
}

struct taken {
	uint64_t n;    /* bytes of the file, its holes too */
	uint64_t sent; /* bytes that came */
	bool is_wrong;
	bool is_sparse; /* what comes are records */
	struct sparse_reader records;
	struct chan *ch;
	bool holds; /* data is not given credit */
	bool keeps; /* data is appended to kept, and not looked at */
	struct buf kept;
};

static struct taken taken;

static void take(const uint8_t *p, size_t n)
{
	if (taken.keeps)
		buf_append(&taken.kept, p, n);
	for (size_t i = 0; i < n && !taken.keeps; i++)
		taken.is_wrong |= p[i] != byte_at(taken.n + i);
	taken.n += n;
}

static void take_records(const uint8_t *p, size_t n)
{
	for (size_t used; n; p += used, n -= used) {
		uint64_t hole = 0;

		used = sparse_data(&taken.records, n);
		if (used) {
			take(p, used);
			sparse_used(&taken.records, used);
		} else {
			used = sparse_take_header(&taken.records, p, n, &hole);
		}
		taken.n += hole;
	}
}

static void on_data(struct fake_agent *a, struct chan *ch, const uint8_t *p,
		    size_t n)
{
	taken.sent += n;
	if (taken.is_sparse)
		take_records(p, n);
	else
		take(p, n);
	if (!taken.holds)
		fake_consumed(a, ch, n);
}

static void on_finished(struct fake_agent *a, struct chan *ch)
{
	if (ch == taken.ch)
		fake_done(a, ch, (int64_t)taken.n, true);
}

static void on_request(struct fake_agent *a, struct chan *ch,
		       const struct msg *m)
{
	/* A channel that is over is freed: the next one may lie where it was.
	 */
	taken.ch = m->type == MSG_PING ? NULL : ch;
	if (m->type == MSG_PING)
		fake_done(a, ch, m->ping.value, true);
}

static const struct fake_script script = {
    .request = on_request,
    .data = on_data,
    .finished = on_finished,
};

static int setup(void **state)
{
	taken = (struct taken){0};
	*state = fixture_new(&script);
	return 0;
}

static int teardown(void **state)
{
	buf_done(&taken.kept);
	return fixture_free(state);
}

static int make_file(size_t n)
{
	int fd = memfd_create("body", MFD_CLOEXEC);
	uint8_t *p = mem_alloc(n + 1);

	for (size_t i = 0; i < n; i++)
		p[i] = byte_at(i);
	assert_int_equal(n, write(fd, p, n));
	free(p);
	return fd;
}

static struct call *send_file(struct fixture *f, int fd, size_t n)
{
	const struct msg m = {.type = MSG_WRITE_FILE, .write_file.path = "/x"};
	struct call *call = call_new(f->client);

	call_start_file(call, &m, fd, n,
			clock_deadline_ns(FIXTURE_PATIENCE_NS));
	return call;
}

static void a_file_is_sent_whole(void **state)
{
	struct fixture *f = *state;
	static const size_t sizes[] = {1, 65535, 65536, 65537, 262144, 5000001};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		int fd = make_file(sizes[i]);
		struct call *call = send_file(f, fd, sizes[i]);

		assert_int_equal(0, op_wait(&call->op));
		assert_int_equal(sizes[i], call->reply.done.value);
		assert_false(taken.is_wrong);
		call_free(call);
		close(fd);
		taken.n = 0;
	}
}

static void what_a_file_has_grown_by_is_not_sent(void **state)
{
	struct fixture *f = *state;
	int fd = make_file(300000);
	struct call *call = send_file(f, fd, 200000);

	assert_int_equal(0, op_wait(&call->op));
	assert_int_equal(200000, call->reply.done.value);
	assert_false(taken.is_wrong);
	call_free(call);
	close(fd);
}

static void a_file_that_became_shorter_fails_the_call_alone(void **state)
{
	struct fixture *f = *state;
	int fd = make_file(4000000);
	struct call *call;

	taken.holds = true;
	call = send_file(f, fd, 4000000);
	while (taken.n < CHAN_WINDOW)
		loop_turn(f->loop);
	assert_int_equal(0, ftruncate(fd, 1300000));
	taken.holds = false;
	fake_consumed(f->agent, taken.ch, taken.n);
	assert_int_equal(-ENODATA, op_wait(&call->op));
	assert_non_null(strstr(call->op.err.text,
			       "has become shorter meanwhile: 1300000 bytes "
			       "of 4000000"));
	assert_false(taken.is_wrong);
	call_free(call);
	close(fd);
	fixture_check_ping(f);
	assert_int_equal(1, f->agent->resets);
}

static void a_file_that_cannot_be_read_fails_the_call_alone(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	assert_int_equal(0, pipe(fds));
	struct call *call = send_file(f, fds[0], 10);
	assert_int_equal(-ESPIPE, op_wait(&call->op));
	assert_non_null(strstr(call->op.err.text, "Illegal seek"));
	call_free(call);
	close(fds[0]);
	close(fds[1]);
	fixture_check_ping(f);
}

/* --- records --------------------------------------------------------------
 */

#define MIB ((size_t)1 << 20)

/* Data from the start and from 3 MiB on, a MiB each; the rest are holes. */
static int make_holes(size_t size)
{
	int fd = make_file(4 * MIB);

	assert_int_equal(
	    0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB,
			 2 * MIB));
	assert_int_equal(0, ftruncate(fd, (off_t)size));
	return fd;
}

static struct call *send_holes(struct fixture *f, int fd, size_t n)
{
	struct msg m = {.type = MSG_WRITE_FILE, .write_file.path = "/x"};
	struct call *call = call_new(f->client);

	m.write_file.flags = MSG_FILE_SPARSE;
	taken.is_sparse = true;
	call_start_sparse(call, &m, fd, n,
			  clock_deadline_ns(FIXTURE_PATIENCE_NS));
	return call;
}

static void holes_of_a_file_are_not_sent(void **state)
{
	static const size_t sizes[] = {0, 1, MIB, 4 * MIB, 5 * MIB + 1};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		int fd = make_holes(sizes[i]);
		struct call *call = send_holes(f, fd, sizes[i]);

		assert_int_equal(0, op_wait(&call->op));
		assert_int_equal(sizes[i], call->reply.done.value);
		assert_true(sparse_is_whole(&taken.records));
		assert_false(taken.is_wrong);
		assert_true(taken.sent < 2 * MIB + 4096);
		call_free(call);
		close(fd);
		taken.n = taken.sent = 0;
	}
}

/* The place of the new end was a hole, or data. */
static void a_file_with_holes_that_became_shorter_fails_too(void **state)
{
	static const size_t ends[] = {2 * MIB, 3 * MIB + 5000};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		int fd = make_holes(4 * MIB);
		struct call *call;

		taken = (struct taken){.holds = true};
		call = send_holes(f, fd, 4 * MIB);
		while (taken.sent < CHAN_WINDOW)
			loop_turn(f->loop);
		assert_int_equal(0, ftruncate(fd, (off_t)ends[i]));
		taken.holds = false;
		fake_consumed(f->agent, taken.ch, taken.sent);
		assert_int_equal(-ENODATA, op_wait(&call->op));
		assert_non_null(
		    strstr(call->op.err.text, "has become shorter meanwhile"));
		assert_false(taken.is_wrong);
		call_free(call);
		close(fd);
		fixture_check_ping(f);
	}
}

/* --- a directory ---------------------------------------------------------- */

/* A new directory with a file of n bytes. */
static void make_dir(char dir[TMP_PATH_MAX], size_t n)
{
	char *path;
	int fd, from = make_file(n);

	tmp_template(dir);
	assert_non_null(mkdtemp(dir));
	path = mem_printf("%s/f", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(0, lseek(from, 0, SEEK_SET));
	while (sendfile(fd, from, NULL, n) > 0)
		;
	close(from);
	close(fd);
	free(path);
}

static struct tree_reader *read_dir(const char *dir)
{
	return tree_reader_new(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			       dir, "");
}

static void a_directory_is_sent_whole(void **state)
{
	const struct msg m = {.type = MSG_WRITE_FILE, .write_file.path = "/x"};
	struct fixture *f = *state;
	char dir[TMP_PATH_MAX];
	struct tree_reader *tree, *again;
	struct call *call = call_new(f->client);
	struct buf want = {0};
	struct err err;

	make_dir(dir, 3000001);
	taken.keeps = true;
	tree = read_dir(dir);
	call_start_tree(call, &m, tree, clock_deadline_ns(FIXTURE_PATIENCE_NS));
	assert_int_equal(0, op_wait(&call->op));
	again = read_dir(dir);
	assert_int_equal(0, tree_reader_next(again, &want, SIZE_MAX / 2, &err));
	assert_int_equal(want.len, call->reply.done.value);
	assert_int_equal(want.len, taken.kept.len);
	assert_memory_equal(buf_data(&want), buf_data(&taken.kept), want.len);
	call_free(call);
	tree_reader_free(tree);
	tree_reader_free(again);
	buf_done(&want);
	tree_remove(AT_FDCWD, dir);
}

static void a_directory_that_cannot_be_read_fails_the_call_alone(void **state)
{
	const struct msg m = {.type = MSG_WRITE_FILE, .write_file.path = "/x"};
	struct fixture *f = *state;
	char dir[TMP_PATH_MAX];
	struct tree_reader *tree;
	struct call *call = call_new(f->client);
	char *fifo;

	make_dir(dir, 3000001);
	fifo = mem_printf("%s/z", dir);
	assert_int_equal(0, mkfifo(fifo, 0600));
	taken.keeps = true;
	tree = read_dir(dir);
	call_start_tree(call, &m, tree, clock_deadline_ns(FIXTURE_PATIENCE_NS));
	assert_int_equal(-EINVAL, op_wait(&call->op));
	assert_non_null(strstr(call->op.err.text, "/z' is a FIFO: "));
	call_free(call);
	tree_reader_free(tree);
	fixture_check_ping(f);
	assert_int_equal(1, f->agent->resets);
	free(fifo);
	tree_remove(AT_FDCWD, dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_file_is_sent_whole),
	    TEST(what_a_file_has_grown_by_is_not_sent),
	    TEST(a_file_that_became_shorter_fails_the_call_alone),
	    TEST(a_file_that_cannot_be_read_fails_the_call_alone),
	    TEST(holes_of_a_file_are_not_sent),
	    TEST(a_file_with_holes_that_became_shorter_fails_too),
	    TEST(a_directory_is_sent_whole),
	    TEST(a_directory_that_cannot_be_read_fails_the_call_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
