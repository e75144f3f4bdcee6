/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/transport.h"

#define PATIENCE_NS (60 * NS_PER_SEC)

/* An abstract unix address stands in for a vsock one. */
struct fixture {
	struct loop *loop;
	struct dial dial;
	struct sockaddr_un addr;
	socklen_t len;
	int listener;
	struct timer *timer;
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	f->loop = loop_new(NULL);
	f->listener = -1;
	f->addr.sun_family = AF_UNIX;
	snprintf(f->addr.sun_path + 1, sizeof(f->addr.sun_path) - 1,
		 "provium-test-%d", getpid());
	f->len = sizeof(f->addr);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dial_done(&f->dial);
	timer_free(f->timer);
	fd_closep(&f->listener);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void listen_now(void *ctx)
{
	struct fixture *f = ctx;

	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&f->addr, f->len),
			 0);
	assert_int_equal(listen(f->listener, 1), 0);
}

static void start(struct fixture *f, int64_t span_ns)
{
	dial_start(&f->dial, f->loop, (struct sockaddr *)&f->addr, f->len,
		   clock_deadline_ns(span_ns));
	assert_false(op_is_done(&f->dial.op));
}

static void expect_connected(struct fixture *f)
{
	char c = 0;
	int fd;

	assert_int_equal(op_wait(&f->dial.op), 0);
	assert_true(fcntl(f->dial.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(f->dial.fd, F_GETFD) & FD_CLOEXEC);
	fd = accept(f->listener, NULL, NULL);
	assert_int_equal(write(f->dial.fd, "x", 1), 1);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(c, 'x');
	close(fd);
}

static void a_listener_is_reached(void **state)
{
	struct fixture *f = *state;

	listen_now(f);
	start(f, PATIENCE_NS);
	expect_connected(f);
}

static void a_listener_that_comes_later_is_reached(void **state)
{
	struct fixture *f = *state;

	f->timer = timer_new(f->loop, listen_now, f);
	timer_set(f->timer, clock_deadline_ns(3 * DIAL_RETRY_NS));
	start(f, PATIENCE_NS);
	expect_connected(f);
}

static void the_deadline_tells_the_last_failure(void **state)
{
	struct fixture *f = *state;

	start(f, 3 * DIAL_RETRY_NS);
	assert_int_equal(op_wait(&f->dial.op), -ETIMEDOUT);
	assert_non_null(strstr(f->dial.op.err.text, "Connection refused"));
	assert_int_equal(f->dial.fd, -1);
}

static void a_deadline_in_the_past_is_an_ordinary_one(void **state)
{
	struct fixture *f = *state;

	start(f, -1);
	assert_int_equal(op_wait(&f->dial.op), -ETIMEDOUT);
}

static void giving_up_leaves_nothing_open(void **state)
{
	struct fixture *f = *state;
	int before = dup(0);

	close(before);
	start(f, PATIENCE_NS);
	loop_poll(f->loop);
	dial_done(&f->dial);
	int after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

static void a_pair_is_connected_and_ours_does_not_block(void **state)
{
	char c;
	int ours, theirs;

	(void)state;
	assert_int_equal(transport_pair(&ours, &theirs, NULL), 0);
	assert_int_equal(read(ours, &c, 1), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(write(theirs, "y", 1), 1);
	assert_int_equal(read(ours, &c, 1), 1);
	assert_int_equal(c, 'y');
	assert_false(fcntl(theirs, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(theirs, F_GETFD) & FD_CLOEXEC);
	close(ours);
	close(theirs);
}

/* A socket takes 278 single bytes. */
static void a_console_pipe_takes_many_single_bytes(void **state)
{
	int ours, theirs, n = 0;
	char c;

	(void)state;
	assert_int_equal(transport_pipe_from(&ours, &theirs, NULL), 0);
	assert_int_equal(read(ours, &c, 1), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(fcntl(ours, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(theirs, F_GETFD) & FD_CLOEXEC);
	assert_false(fcntl(theirs, F_GETFL) & O_NONBLOCK);
	fcntl(theirs, F_SETFL, O_NONBLOCK);
	while (write(theirs, "y", 1) == 1)
		n++;
	assert_int_equal(n, fcntl(ours, F_GETPIPE_SZ));
	/* Less only where the user has 64 MiB of pipes. */
	assert_true(n >= 64 << 10);
	close(theirs);
	for (; n; n--)
		assert_int_equal(read(ours, &c, 1), 1);
	assert_int_equal(read(ours, &c, 1), 0);
	close(ours);
}

static void what_is_typed_goes_the_other_way(void **state)
{
	int ours, theirs;
	char c;

	(void)state;
	assert_int_equal(transport_pipe_to(&ours, &theirs, NULL), 0);
	assert_int_equal(write(ours, "y", 1), 1);
	assert_int_equal(read(theirs, &c, 1), 1);
	assert_int_equal(c, 'y');
	assert_true(fcntl(ours, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(theirs, F_GETFL) & O_NONBLOCK);
	close(ours);
	close(theirs);
}

/* Where there is no vhost-vsock, the reason names the device. */
static void a_reserved_cid_is_taken_or_the_device_is_named(void **state)
{
	uint32_t one = 0, two = 0;
	struct err err;
	int a = transport_reserve_cid(&one, &err);

	(void)state;
	if (a < 0) {
		assert_non_null(strstr(err.text, "/dev/vhost-vsock"));
		return;
	}
	int b = transport_reserve_cid(&two, &err);
	assert_true(b >= 0);
	assert_true(one > 2 && two > 2);
	assert_int_not_equal(one, two);
	close(a);
	close(b);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
static const struct CMUnitTest tests[] = {
    T(a_listener_is_reached),
    T(a_listener_that_comes_later_is_reached),
    T(the_deadline_tells_the_last_failure),
    T(a_deadline_in_the_past_is_an_ordinary_one),
    T(giving_up_leaves_nothing_open),
    cmocka_unit_test(a_pair_is_connected_and_ours_does_not_block),
    cmocka_unit_test(a_console_pipe_takes_many_single_bytes),
    cmocka_unit_test(what_is_typed_goes_the_other_way),
    cmocka_unit_test(a_reserved_cid_is_taken_or_the_device_is_named),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
