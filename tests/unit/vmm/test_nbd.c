/* SPDX-License-Identifier: MIT */
/* The NBD server against a client that is written out byte by byte. */
#include "vmm/nbd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/tmp.h"
#include "vmm/nbd_proto.h"
#include "vmm/store.h"
#include "vmm/transport.h"

#define SIZE (UINT64_C(8) << 20)

struct peer {
	char dir[TMP_PATH_MAX];
	struct loop *loop;
	struct nbd_export export;
	struct nbd *nbd;
	int top;
	int fd; /* the client's end */
	struct buf got;
};

static int start(void **state)
{
	struct peer *p = mem_zalloc(sizeof(*p));
	struct err err;
	int ours;

	tmp_template(p->dir);
	assert_non_null(mkdtemp(p->dir));
	p->loop = loop_new(&err);
	p->export.size = SIZE;
	p->export.cow = cow_new(SIZE, p->dir, -1, &err);
	assert_non_null(p->export.cow);
	p->top = open(p->dir, O_TMPFILE | O_RDWR, 0600);
	cow_set_top(p->export.cow, p->top, false);
	assert_int_equal(transport_pair(&ours, &p->fd, &err), 0);
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
	p->nbd = nbd_new(p->loop, ours, &p->export);
	*state = p;
	return 0;
}

static int stop(void **state)
{
	struct peer *p = *state;

	nbd_free(p->nbd);
	cow_free(p->export.cow);
	close(p->top);
	close(p->fd);
	buf_done(&p->got);
	loop_free(p->loop);
	store_remove(p->dir);
	free(p);
	return 0;
}

static void put(struct buf *b, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		uint8_t byte = (uint8_t)(v >> 8 * (bytes - 1 - i));

		buf_append(b, &byte, 1);
	}
}

/* All of it, however small the socket; what comes back is kept. */
static void send_bytes(struct peer *p, const void *from, size_t n)
{
	const uint8_t *bytes = from;

	while (n) {
		ssize_t r = send(p->fd, bytes, n, MSG_NOSIGNAL);

		assert_true(r > 0 || errno == EAGAIN);
		if (r > 0) {
			bytes += r;
			n -= (size_t)r;
		}
		loop_poll(p->loop);
	}
}

/* False: the server hung up. */
static bool receive_some(struct peer *p)
{
	ssize_t r = recv(p->fd, buf_room(&p->got, 65536), 65536, 0);

	if (r > 0)
		buf_commit(&p->got, (size_t)r);
	return r > 0 || (r < 0 && errno == EAGAIN);
}

static const uint8_t *receive(struct peer *p, size_t n)
{
	while (p->got.len < n) {
		loop_poll(p->loop);
		assert_true(receive_some(p));
	}
	return buf_data(&p->got);
}

static uint64_t take(struct peer *p, size_t bytes)
{
	const uint8_t *at = receive(p, bytes);
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | at[i];
	buf_consume(&p->got, bytes);
	return v;
}

static void expect_hang_up(struct peer *p)
{
	for (int i = 0; i < 20; i++)
		loop_poll(p->loop);
	while (receive_some(p))
		assert_int_not_equal(errno, EAGAIN);
}

static void say_hello(struct peer *p)
{
	CLEANUP(buf_done) struct buf b = {0};

	assert_true(take(p, 8) == UINT64_C(0x4e42444d41474943));
	assert_true(take(p, 8) == UINT64_C(0x49484156454f5054));
	assert_int_equal(take(p, 2), 3);
	put(&b, 3, 4);
	send_bytes(p, buf_data(&b), b.len);
}

static void send_option(struct peer *p, uint32_t option, const void *data,
			uint32_t n)
{
	CLEANUP(buf_done) struct buf b = {0};

	put(&b, UINT64_C(0x49484156454f5054), 8);
	put(&b, option, 4);
	put(&b, n, 4);
	buf_append(&b, data, n);
	send_bytes(p, buf_data(&b), b.len);
}

static void expect_answer(struct peer *p, uint32_t option, uint32_t answer,
			  uint32_t n)
{
	assert_true(take(p, 8) == UINT64_C(0x3e889045565a9));
	assert_int_equal(take(p, 4), option);
	assert_int_equal(take(p, 4), answer);
	assert_int_equal(take(p, 4), n);
}

static void go(struct peer *p)
{
	say_hello(p);
	send_option(p, 7, "\0\0\0\0\0\1\0\3", 8);
	expect_answer(p, 7, 3, 12);
	assert_int_equal(take(p, 2), 0);
	assert_true(take(p, 8) == SIZE);
	assert_int_equal(take(p, 2), p->export.is_readonly ? 15 : 13);
	expect_answer(p, 7, 3, 14);
	assert_int_equal(take(p, 2), 3);
	assert_int_equal(take(p, 4), 512);
	assert_int_equal(take(p, 4), 4096);
	assert_int_equal(take(p, 4), NBD_LENGTH_MAX);
	expect_answer(p, 7, 1, 0);
}

static void request(struct peer *p, unsigned flags, unsigned type, uint64_t off,
		    uint32_t n, const void *data)
{
	CLEANUP(buf_done) struct buf b = {0};

	put(&b, 0x25609513, 4);
	put(&b, flags, 2);
	put(&b, type, 2);
	put(&b, off ^ 0xabcdef, 8); /* the handle */
	put(&b, off, 8);
	put(&b, n, 4);
	if (data)
		buf_append(&b, data, n);
	send_bytes(p, buf_data(&b), b.len);
}

static void expect_reply(struct peer *p, uint64_t off, unsigned code)
{
	assert_int_equal(take(p, 4), 0x67446698);
	assert_int_equal(take(p, 4), code);
	assert_true(take(p, 8) == (off ^ 0xabcdef));
}

static void expect_bytes(struct peer *p, uint8_t byte, size_t n)
{
	const uint8_t *at = receive(p, n);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(at[i], byte);
	buf_consume(&p->got, n);
}

static void expect_silence(struct peer *p)
{
	for (int i = 0; i < 20; i++)
		loop_poll(p->loop);
	assert_true(receive_some(p));
	assert_int_equal(p->got.len, 0);
}

/* --- tests -----------------------------------------------------------------
 */

static void options_that_are_unknown_are_answered(void **state)
{
	struct peer *p = *state;

	say_hello(p);
	send_option(p, 8, "", 0); /* structured replies */
	expect_answer(p, 8, 0x80000001, 0);
	send_option(p, 7, "\0\0\0\5ab\0\0", 8); /* a name that is cut */
	expect_answer(p, 7, 0x80000003, 0);
	send_option(p, 7, "\0\0\0\0\0\2\0\3", 8); /* a wish too few */
	expect_answer(p, 7, 0x80000003, 0);
	send_option(p, 7, "", 0);
	expect_answer(p, 7, 0x80000003, 0);
	send_option(p, 1, "name", 4); /* the old way in */
	assert_true(take(p, 8) == SIZE);
	assert_int_equal(take(p, 2), 13);
	request(p, 0, 0, 0, 512, NULL);
	expect_reply(p, 0, 0);
	expect_bytes(p, 0, 512);
}

static void what_was_written_is_read(void **state)
{
	struct peer *p = *state;
	CLEANUP(free_ptr) uint8_t *data = mem_alloc(NBD_LENGTH_MAX);

	go(p);
	memset(data, 0x5a, NBD_LENGTH_MAX);
	request(p, 0, 1, 4096, NBD_LENGTH_MAX, data);
	expect_reply(p, 4096, 0);
	request(p, 0, 0, 4096, NBD_LENGTH_MAX, NULL);
	expect_reply(p, 4096, 0);
	expect_bytes(p, 0x5a, NBD_LENGTH_MAX);
	assert_false(cow_has_data(p->export.cow));
	request(p, 0, 3, 0, 0, NULL);
	expect_reply(p, 0, 0);
	assert_true(cow_has_data(p->export.cow));
}

static void a_write_with_fua_is_flushed(void **state)
{
	struct peer *p = *state;
	uint8_t data[512] = {1}, got[512];

	go(p);
	request(p, 1, 1, 512, 512, data);
	expect_reply(p, 512, 0);
	cow_cut(p->export.cow);
	assert_int_equal(cow_read(p->export.cow, 512, got, 512), 0);
	assert_memory_equal(got, data, 512);
}

static void wrong_requests_are_answered_and_the_next_is_served(void **state)
{
	static const struct {
		unsigned flags, type;
		uint64_t off;
		uint32_t n;
		unsigned code;
	} bad[] = {
	    {0, 0, SIZE, 512, 22},	 {0, 0, SIZE - 511, 512, 22},
	    {0, 0, UINT64_MAX, 512, 22}, {0, 0, 0, 0, 22},
	    {0, 1, SIZE, 512, 28},	 {0, 1, UINT64_MAX - 4, 512, 28},
	    {0, 4, 0, 512, 22},		 {0, 6, 0, 512, 22},
	    {0, 3, 0, 512, 22},		 {2, 0, 0, 512, 22},
	    {0, 65535, 0, 512, 22},
	};
	uint8_t data[512] = {0};
	struct peer *p = *state;

	go(p);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		request(p, bad[i].flags, bad[i].type, bad[i].off, bad[i].n,
			bad[i].type == 1 ? data : NULL);
		expect_reply(p, bad[i].off, bad[i].code);
	}
	request(p, 0, 0, SIZE - 512, 512, NULL);
	expect_reply(p, SIZE - 512, 0);
	expect_bytes(p, 0, 512);
}

static void a_readonly_disk_is_not_written(void **state)
{
	uint8_t data[512] = {1};
	struct peer *p = *state;

	nbd_free(p->nbd);
	close(p->fd);
	p->export.is_readonly = true;
	struct err err;
	int ours;
	assert_int_equal(transport_pair(&ours, &p->fd, &err), 0);
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
	p->nbd = nbd_new(p->loop, ours, &p->export);
	go(p);
	request(p, 0, 1, 0, 512, data);
	expect_reply(p, 0, 1);
}

static void what_is_not_nbd_loses_its_connection(void **state)
{
	struct peer *p = *state;

	send_bytes(p, "GET / HTTP/1.0\r\n\r\n", 18);
	buf_reset(&p->got);
	expect_hang_up(p);
}

static void an_endless_option_loses_its_connection(void **state)
{
	CLEANUP(buf_done) struct buf b = {0};
	struct peer *p = *state;

	say_hello(p);
	put(&b, UINT64_C(0x49484156454f5054), 8);
	put(&b, 7, 4);
	put(&b, NBD_OPTION_MAX + 1, 4);
	send_bytes(p, buf_data(&b), b.len);
	expect_hang_up(p);
}

static void an_endless_write_loses_its_connection(void **state)
{
	struct peer *p = *state;

	go(p);
	request(p, 0, 1, 0, NBD_LENGTH_MAX + 1, NULL);
	expect_hang_up(p);
}

static void a_request_without_magic_loses_its_connection(void **state)
{
	uint8_t zeros[28] = {0};
	struct peer *p = *state;

	go(p);
	send_bytes(p, zeros, sizeof(zeros));
	expect_hang_up(p);
}

static void faults_are_answers(void **state)
{
	uint8_t data[512] = {1};
	struct peer *p = *state;

	go(p);
	p->export.faults = FAULT_EIO_READ;
	request(p, 0, 0, 0, 512, NULL);
	expect_reply(p, 0, 5);
	request(p, 0, 1, 0, 512, data);
	expect_reply(p, 0, 0);
	p->export.faults = FAULT_EIO_WRITE;
	request(p, 0, 1, 512, 512, data);
	expect_reply(p, 512, 5);
	p->export.faults = FAULT_ENOSPC;
	request(p, 0, 1, 512, 512, data);
	expect_reply(p, 512, 28);
	p->export.faults = 0;
	request(p, 0, 0, 512, 512, NULL);
	expect_reply(p, 512, 0);
	expect_bytes(p, 0, 512);
}

static void a_slow_disk_answers_in_order(void **state)
{
	struct peer *p = *state;
	int64_t start_ns;

	go(p);
	p->export.faults = FAULT_SLOW;
	p->export.delay_ns = 50 * NS_PER_MS;
	start_ns = clock_now_ns();
	request(p, 0, 0, 0, 512, NULL);
	loop_poll(p->loop);
	p->export.faults = 0;
	request(p, 0, 3, 0, 0, NULL);
	while (p->got.len < 16 + 512 + 16) {
		loop_turn(p->loop);
		assert_true(receive_some(p));
	}
	assert_true(clock_now_ns() - start_ns >= 50 * NS_PER_MS);
	expect_reply(p, 0, 0);
	expect_bytes(p, 0, 512);
	expect_reply(p, 0, 0);
}

static void a_held_disk_is_silent_and_a_void_one_forgets(void **state)
{
	uint8_t data[512] = {1};
	struct peer *p = *state;

	go(p);
	p->export.mode = NBD_HOLDS;
	nbd_update(p->nbd);
	request(p, 0, 1, 0, 512, data);
	request(p, 0, 3, 0, 0, NULL);
	expect_silence(p);
	p->export.mode = NBD_VOID;
	nbd_update(p->nbd);
	expect_reply(p, 0, 5);
	expect_reply(p, 0, 0);
	p->export.mode = NBD_SERVES;
	nbd_update(p->nbd);
	request(p, 0, 0, 0, 512, NULL);
	expect_reply(p, 0, 0);
	expect_bytes(p, 0, 512);
}

/* More than is kept for it. */
static void answers_wait_for_a_client_that_reads_late(void **state)
{
	struct peer *p = *state;
	size_t sent = 0;

	go(p);
	for (int i = 0; i < 20; i++, sent++)
		request(p, 0, 0, 0, NBD_LENGTH_MAX, NULL);
	for (size_t i = 0; i < sent; i++) {
		expect_reply(p, 0, 0);
		expect_bytes(p, 0, NBD_LENGTH_MAX);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, stop)
static const struct CMUnitTest tests[] = {
    TEST(options_that_are_unknown_are_answered),
    TEST(what_was_written_is_read),
    TEST(a_write_with_fua_is_flushed),
    TEST(wrong_requests_are_answered_and_the_next_is_served),
    TEST(a_readonly_disk_is_not_written),
    TEST(what_is_not_nbd_loses_its_connection),
    TEST(an_endless_option_loses_its_connection),
    TEST(an_endless_write_loses_its_connection),
    TEST(a_request_without_magic_loses_its_connection),
    TEST(faults_are_answers),
    TEST(a_slow_disk_answers_in_order),
    TEST(a_held_disk_is_silent_and_a_void_one_forgets),
    TEST(answers_wait_for_a_client_that_reads_late),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
