/* SPDX-License-Identifier: MIT */
#include "streams/io.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/tmp.h"

#define MANY ((size_t)4 << 20) /* more than a pipe holds */

static volatile sig_atomic_t n_signals;

static void on_alarm(int signo)
{
	(void)signo;
	n_signals++;
}

/* Many signals, each of which ends a call that waits. */
static void start_alarms(void)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	struct itimerval often = {{0, 500}, {0, 500}};

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

static void stop_alarms(void)
{
	struct itimerval none = {0};

	setitimer(ITIMER_REAL, &none, NULL);
	signal(SIGALRM, SIG_DFL);
}

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 + i / 251);
}

/* Writes after a while, so that the other end waits. */
static void __attribute__((noreturn)) be_writer(int fd)
{
	uint8_t *p = malloc(MANY);

	for (size_t i = 0; i < MANY; i++)
		p[i] = byte_at(i);
	start_alarms();
	while (n_signals < 20)
		pause();
	_exit(io_write(fd, p, MANY) < 0);
}

static void signals_cut_nothing_short(void **state)
{
	uint8_t *p = malloc(MANY + 1);
	int fds[2], status;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (!pid)
		be_writer(fds[1]);
	close(fds[1]);
	start_alarms();
	assert_int_equal(io_read(fds[0], p, MANY + 1), MANY);
	stop_alarms();
	assert_true(n_signals > 0);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(p[i], byte_at(i));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fds[0]);
	free(p);
}

static void places_are_their_own(void **state)
{
	char path[TMP_PATH_MAX], got[16] = "";

	(void)state;
	tmp_template(path);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(io_write(fd, "abcdef", 6), 0);
	assert_int_equal(io_write_at(fd, "XY", 2, 2), 0);
	assert_int_equal(io_write(fd, "g", 1), 0);
	assert_int_equal(io_read_at(fd, got, sizeof(got), 1), 6);
	assert_string_equal(got, "bXYefg");
	assert_int_equal(io_read(fd, got, sizeof(got)), 0);
	close(fd);
}

static void errors_are_told(void **state)
{
	char c = 0;
	int fds[2];

	(void)state;
	assert_int_equal(io_read(-1, &c, 1), -EBADF);
	assert_int_equal(io_write(-1, &c, 1), -EBADF);
	assert_int_equal(io_write_at(-1, &c, 1, 0), -EBADF);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	close(fds[0]);
	assert_int_equal(io_write(fds[1], &c, 1), -EPIPE);
	close(fds[1]);
}

/* SIGPIPE would end this program. */
static void a_pipe_without_a_reader_is_an_error_and_no_signal(void **state)
{
	char c = 'x';
	int fds[2];
	sigset_t left;

	(void)state;
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(io_write_some(fds[1], &c, 1), 1);
	close(fds[0]);
	assert_int_equal(io_write_some(fds[1], &c, 1), -1);
	assert_int_equal(errno, EPIPE);
	sigpending(&left);
	assert_int_equal(sigismember(&left, SIGPIPE), 0);
	close(fds[1]);
}

static void memory_of_who_has_ended_takes_nothing(void **state)
{
	static char there;
	char path[64], c = 1;
	int status;

	(void)state;
	pid_t pid = fork();
	if (!pid)
		for (;;)
			pause();
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(io_write_at(fd, &c, 1, (uintptr_t)&there), 0);
	assert_int_equal(io_read_at(fd, &c, 1, (uintptr_t)&there), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(io_write_at(fd, &c, 1, (uintptr_t)&there), -ENODATA);
	assert_int_equal(io_read_at(fd, &c, 1, (uintptr_t)&there), 0);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(signals_cut_nothing_short),
	    cmocka_unit_test(places_are_their_own),
	    cmocka_unit_test(errors_are_told),
	    cmocka_unit_test(a_pipe_without_a_reader_is_an_error_and_no_signal),
	    cmocka_unit_test(memory_of_who_has_ended_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
