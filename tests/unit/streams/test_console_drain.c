/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "streams/console_drain.h"
#include "tests/unit/tmp.h"

/* A drain that reads a pipe, whose other end is the test's. */
struct fixture {
	char path[TMP_PATH_MAX];
	struct console_log log;
	struct console_drain *drain;
	int fd, qemu;
	uint8_t *block;
};

static int set_up(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	int fds[2];
	struct err err;

	tmp_template(f->path);
	close(mkstemp(f->path));
	assert_int_equal(console_log_open(&f->log, f->path, &err), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	f->fd = fds[0];
	f->qemu = fds[1];
	f->block = mem_alloc(CONSOLE_BLOCK);
	f->drain = console_drain_new(f->fd, &f->log, &err);
	assert_non_null(f->drain);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	console_drain_free(f->drain);
	console_log_done(&f->log);
	close(f->fd);
	if (f->qemu >= 0)
		close(f->qemu);
	unlink(f->path);
	free(f->block);
	free(f);
	return 0;
}

static void print_all(struct fixture *f, const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n) {
		ssize_t k = write(f->qemu, at, n);

		assert_true(k > 0);
		at += k;
		n -= (size_t)k;
	}
}

/* Waits for the thread, with nothing done meanwhile. */
static void wait_for_size(struct fixture *f, uint64_t size)
{
	int64_t end = clock_deadline_ns(60 * NS_PER_SEC);

	while (console_log_size(&f->log) < size) {
		assert_true(clock_now_ns() < end);
		poll(NULL, 0, 1);
	}
	assert_int_equal(console_log_size(&f->log), size);
}

static int pending(const struct fixture *f)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};

	return poll(&p, 1, 0);
}

/* --- who reads ------------------------------------------------------------ */

static void the_caller_reads_first(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(console_drain_read(f->drain, f->block), 0);
	print_all(f, "one", 3);
	assert_int_equal(console_drain_read(f->drain, f->block), 3);
	assert_memory_equal(f->block, "one", 3);
	assert_int_equal(console_drain_read(f->drain, f->block), 0);
	assert_int_equal(console_log_size(&f->log), 3);
}

static void the_thread_reads_while_the_caller_is_away(void **state)
{
	struct fixture *f = *state;
	char text[16];
	uint64_t at = 0;

	console_drain_let_go(f->drain);
	print_all(f, "one ", 4);
	wait_for_size(f, 4);
	print_all(f, "two", 3);
	wait_for_size(f, 7);
	assert_true(console_drain_take_over(f->drain));
	assert_int_equal(console_log_read(&f->log, &at, (uint8_t *)text, 16),
			 7);
	assert_memory_equal(text, "one two", 7);
}

static void the_thread_leaves_the_bytes_to_a_caller_who_is_back(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 1; i <= 100; i++) {
		console_drain_let_go(f->drain);
		print_all(f, "a", 1);
		wait_for_size(f, 2 * i - 1);
		assert_true(console_drain_take_over(f->drain));
		assert_false(console_drain_take_over(f->drain));
		print_all(f, "b", 1);
		/* Its poll() has ended by now, or ends at any moment. */
		sched_yield();
		assert_int_equal(pending(f), 1);
		assert_int_equal(console_drain_read(f->drain, f->block), 1);
		assert_int_equal(f->block[0], 'b');
	}
}

/* Ten MiB of numbered lines, and the caller comes and goes all the time. */
static void no_byte_is_lost_or_out_of_order_between_the_two(void **state)
{
	enum { LINES = 700000 };
	struct fixture *f = *state;
	uint64_t at = 0;
	char line[32];
	struct buf all = {0};

	for (unsigned i = 0; i < LINES; i++) {
		int n = snprintf(line, sizeof(line), "line %08u\n", i);

		if (i % 64 == 0)
			console_drain_let_go(f->drain);
		if (i % 64 == 32 && console_drain_take_over(f->drain))
			while (console_drain_read(f->drain, f->block) > 0)
				;
		if (i % 64 == 63)
			console_drain_let_go(f->drain);
		print_all(f, line, (size_t)n);
	}
	wait_for_size(f, LINES * (uint64_t)14);
	console_drain_take_over(f->drain);
	while (at < console_log_size(&f->log)) {
		uint64_t from = at;

		console_log_read(&f->log, &at, f->block, CONSOLE_BLOCK);
		buf_append(&all, f->block, at - from);
	}
	for (unsigned i = 0; i < LINES; i++) {
		snprintf(line, sizeof(line), "line %08u\n", i);
		assert_memory_equal(buf_data(&all) + (size_t)i * 14, line, 14);
	}
	buf_done(&all);
}

/* A thread that always finds bytes would else never let go of its turn. */
static void a_flood_does_not_keep_the_caller_away(void **state)
{
	struct fixture *f = *state;
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct console_drain *flooded;
	struct err err;

	flooded = console_drain_new(zero, &f->log, &err);
	assert_non_null(flooded);
	for (int i = 0; i < 200; i++) {
		uint64_t size = console_log_size(&f->log);

		console_drain_let_go(flooded);
		while (console_log_size(&f->log) == size)
			sched_yield();
		assert_true(console_drain_take_over(flooded));
		size = console_log_size(&f->log);
		sched_yield();
		assert_int_equal(console_log_size(&f->log), size);
	}
	console_drain_free(flooded);
	close(zero);
}

/* --- ends ----------------------------------------------------------------- */

static void the_end_is_told_by_whoever_reads(void **state)
{
	struct fixture *f = *state;

	console_drain_let_go(f->drain);
	print_all(f, "last", 4);
	close(f->qemu);
	f->qemu = -1;
	wait_for_size(f, 4);
	console_drain_take_over(f->drain);
	assert_int_equal(console_drain_read(f->drain, f->block), -1);
	assert_int_equal(console_drain_read(f->drain, f->block), -1);
	assert_int_equal(console_drain_errno(f->drain), 0);
	/* It can still come and go. */
	console_drain_let_go(f->drain);
	console_drain_take_over(f->drain);
}

static void an_error_of_the_chardev_is_its_end(void **state)
{
	struct fixture *f = *state;
	int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct console_drain *d;
	struct err err;

	d = console_drain_new(dir, &f->log, &err);
	assert_non_null(d);
	assert_int_equal(console_drain_read(d, f->block), -1);
	assert_int_equal(console_drain_errno(d), EISDIR);
	console_drain_free(d);
	close(dir);
}

static void it_ends_at_once_whoever_reads(void **state)
{
	struct fixture *f = *state;
	struct err err;

	for (int i = 0; i < 100; i++) {
		struct console_drain *d =
		    console_drain_new(f->fd, &f->log, &err);

		assert_non_null(d);
		if (i % 2)
			console_drain_let_go(d);
		console_drain_free(d);
	}
}

/* The thread inherits no descriptor limit: it is made where there is one. */
static void no_descriptor_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, none;
	struct err err;

	getrlimit(RLIMIT_NOFILE, &old);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	assert_null(console_drain_new(f->fd, &f->log, &err));
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(err.code, -EMFILE);
	assert_non_null(strstr(err.text, "cannot start the thread that reads a "
					 "console"));
}

/* RLIMIT_FSIZE stands for a full disk. SIGXFSZ, which is sent to the thread
 * that writes, must not end the process. */
static void a_full_disk_is_no_end(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, small;
	uint64_t at = 0;
	struct err err;

	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){.rlim_cur = 4, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_FSIZE, &small);
	console_drain_let_go(f->drain);
	print_all(f, "0123456789", 10);
	wait_for_size(f, 10);
	setrlimit(RLIMIT_FSIZE, &old);
	console_drain_take_over(f->drain);
	assert_true(console_log_broken(&f->log, &err));
	assert_int_equal(err.code, -EFBIG);
	assert_int_equal(console_log_read(&f->log, &at, f->block, 10), 4);
	assert_int_equal(console_log_read(&f->log, &at, f->block + 4, 10), 6);
	assert_memory_equal(f->block, "0123456789", 10);
}

static void count_alarm(int sig)
{
	(void)sig;
}

/* A signal that the thread would take does not end the caller's sleep. */
static void signals_are_for_the_caller(void **state)
{
	struct fixture *f = *state;
	struct sigaction old, act = {.sa_handler = count_alarm};

	sigaction(SIGALRM, &act, &old);
	console_drain_let_go(f->drain);
	for (int i = 0; i < 20; i++) {
		struct itimerval soon = {.it_value = {.tv_usec = 1000}};

		setitimer(ITIMER_REAL, &soon, NULL);
		assert_int_equal(poll(NULL, 0, 10000), -1);
		assert_int_equal(errno, EINTR);
	}
	sigaction(SIGALRM, &old, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(the_caller_reads_first, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(
		the_thread_reads_while_the_caller_is_away, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		the_thread_leaves_the_bytes_to_a_caller_who_is_back, set_up,
		tear_down),
	    cmocka_unit_test_setup_teardown(
		no_byte_is_lost_or_out_of_order_between_the_two, set_up,
		tear_down),
	    cmocka_unit_test_setup_teardown(
		a_flood_does_not_keep_the_caller_away, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(the_end_is_told_by_whoever_reads,
					    set_up, tear_down),
	    cmocka_unit_test_setup_teardown(an_error_of_the_chardev_is_its_end,
					    set_up, tear_down),
	    cmocka_unit_test_setup_teardown(it_ends_at_once_whoever_reads,
					    set_up, tear_down),
	    cmocka_unit_test_setup_teardown(no_descriptor_is_an_error, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(a_full_disk_is_no_end, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(signals_are_for_the_caller, set_up,
					    tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
