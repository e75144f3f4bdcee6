/* SPDX-License-Identifier: MIT */
#include "runner/output_mark.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void a_mark_is_found_with_what_is_before_it(void **state)
{
	struct output_mark m, other;
	char line[200] = "text\036";
	size_t n = strlen(line), before = 0;
	uint64_t event = 0;
	int fds[2];

	(void)state;
	output_mark_init(&m);
	output_mark_init(&other);
	assert_string_not_equal(m.token, other.token);
	assert_int_equal(pipe(fds), 0);
	output_mark_write(&m, fds[1], 0x123456789abcdefULL);
	assert_int_equal(read(fds[0], line + n, sizeof(line) - n),
			 OUTPUT_MARK_N);
	n += OUTPUT_MARK_N - 1;
	assert_int_equal(line[n], '\n');
	assert_true(output_mark_find(&m, line, n, &event, &before));
	assert_true(event == 0x123456789abcdefULL);
	assert_int_equal(before, 5);
	assert_true(output_mark_find(&m, line + 5, n - 5, &event, &before));
	assert_int_equal(before, 0);
	assert_false(output_mark_find(&other, line, n, &event, &before));
	assert_false(output_mark_find(&m, line, n - 1, &event, &before));
	assert_false(output_mark_find(&m, line + 6, n - 6, &event, &before));
	assert_false(output_mark_find(&m, "", 0, &event, &before));
	close(fds[0]);
	/* Nobody reads. */
	output_mark_write(&m, fds[1], 1);
	close(fds[1]);
}

/* As a child can make it, which shares the pipe. */
static void a_full_pipe_that_does_not_block_is_waited_for(void **state)
{
	static char bytes[1 << 16];
	struct output_mark m;
	size_t all = 0, before;
	uint64_t event;
	int fds[2], status;
	ssize_t n;

	(void)state;
	output_mark_init(&m);
	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	while (write(fds[1], bytes, 4096) > 0)
		all += 4096;
	pid_t pid = fork();
	if (!pid) {
		output_mark_write(&m, fds[1], 7);
		_exit(0);
	}
	close(fds[1]);
	assert_int_equal(fcntl(fds[0], F_SETFL, 0), 0);
	for (size_t got = 0; got < all; got += (size_t)n) {
		size_t left = all - got;

		n = read(fds[0], bytes,
			 left < sizeof(bytes) ? left : sizeof(bytes));
		assert_true(n > 0);
	}
	n = read(fds[0], bytes, sizeof(bytes));
	assert_int_equal(n, OUTPUT_MARK_N);
	assert_true(
	    output_mark_find(&m, bytes, (size_t)n - 1, &event, &before));
	assert_int_equal(event, 7);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fds[0]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_mark_is_found_with_what_is_before_it),
	    cmocka_unit_test(a_full_pipe_that_does_not_block_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
