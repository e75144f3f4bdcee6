/* SPDX-License-Identifier: MIT */
/* Calls whose body is a file. */
#include "streams/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "tests/unit/streams/client_fixture.h"

/* Every byte follows from its place, and neighbours of 64 KiB differ. */
static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at * 31 + at / 65521);
}

struct taken {
	uint64_t n;
	bool is_wrong;
	struct chan *ch;
	bool holds; /* data is not given credit */
};

static struct taken taken;

static void on_data(struct fake_agent *a, struct chan *ch, const uint8_t *p,
		    size_t n)
{
	for (size_t i = 0; i < n; i++)
		taken.is_wrong |= p[i] != byte_at(taken.n + i);
	taken.n += n;
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
	struct fixture *f = mem_zalloc(sizeof(*f));

	taken = (struct taken){0};
	fixture_init(f, &script);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_done(*state);
	free(*state);
	return 0;
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_file_is_sent_whole),
	    TEST(what_a_file_has_grown_by_is_not_sent),
	    TEST(a_file_that_became_shorter_fails_the_call_alone),
	    TEST(a_file_that_cannot_be_read_fails_the_call_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
