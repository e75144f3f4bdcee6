/* SPDX-License-Identifier: MIT */
/* What process.h shows of a watcher is in test_process.c. */
#include "vmm/watcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "tests/unit/skip.h"

#define PATIENCE_MS 30000
#define ENVIRON_MAX 65536

/* Whether the environment of a process has that text. */
static bool environ_has(pid_t pid, const char *text)
{
	static char all[ENVIRON_MAX];
	char *path = mem_printf("/proc/%d/environ", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, all, sizeof(all)) : 0;

	close(fd);
	free(path);
	return n > 0 && memmem(all, (size_t)n, text, strlen(text));
}

/* Starts a program in a session of its own with that environment; returns when
 * it runs. */
static pid_t start_stray(char **envp)
{
	char name[] = "sleep", span[] = "1000";
	char *const argv[] = {name, span, NULL};
	int runs[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(runs, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		setsid();
		execve("/bin/sleep", argv, envp);
		_exit(1);
	}
	assert_true(pid > 0);
	close(runs[1]);
	assert_int_equal(read(runs[0], &byte, 1), 0);
	close(runs[0]);
	return pid;
}

static void its_end_kills_what_has_the_mark(void **state)
{
	struct watcher w, other;
	int status;

	(void)state;
	watcher_init(&w);
	watcher_init(&other);
	char **envp = watcher_environ(&w), **others = watcher_environ(&other);
	pid_t marked = start_stray(envp), spared = start_stray(others);

	assert_int_equal(watcher_start(&w, 0), 0);
	watcher_end(&w);
	assert_int_equal(waitpid(marked, &status, WNOHANG), marked);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(waitpid(spared, &status, WNOHANG), 0);
	/* Again, it does nothing. */
	watcher_end(&w);
	kill(spared, SIGKILL);
	assert_int_equal(waitpid(spared, &status, 0), spared);
	free(envp);
	free(others);
}

static void one_that_is_dismissed_kills_nothing(void **state)
{
	struct watcher w;
	int status;

	(void)state;
	watcher_init(&w);
	char **envp = watcher_environ(&w);
	pid_t marked = start_stray(envp);

	assert_int_equal(watcher_start(&w, 0), 0);
	watcher_dismiss(&w);
	watcher_dismiss(&w);
	assert_int_equal(waitpid(marked, &status, WNOHANG), 0);
	kill(marked, SIGKILL);
	assert_int_equal(waitpid(marked, &status, 0), marked);
	free(envp);
}

/* A worker's group is killed with it: its watcher must be in another, before
 * the program that it watches begins. */
static void it_has_left_its_owners_group_when_it_is_started(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		struct watcher w;

		watcher_init(&w);
		assert_int_equal(watcher_start(&w, 0), 0);
		assert_int_equal(getpgid(w.pid), w.pid);
		watcher_dismiss(&w);
	}
}

/* Process 1 of a namespace, with the mark: in there, no signal kills it. It has
 * a child that begins and ends a watcher, and writes a byte when that is done.
 */
static _Noreturn void be_immortal(int fd)
{
	char name[] = "sleep", span[] = "1000";
	char *const argv[] = {name, span, NULL};
	struct watcher w;

	watcher_init(&w);
	char **envp = watcher_environ(&w);
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) < 0 ||
	    write(fd, "m", 1) < 0)
		_exit(1);
	if (fork() == 0) {
		/* Not before its parent has the mark. */
		while (!environ_has(1, w.mark))
			sched_yield();
		if (watcher_start(&w, 0) < 0)
			_exit(1);
		watcher_end(&w);
		_exit(write(fd, "e", 1) < 0);
	}
	execve("/bin/sleep", argv, envp);
	_exit(1);
}

static void what_cannot_be_killed_is_not_waited_for_without_end(void **state)
{
	int fds[2];
	char byte = 0;
	pid_t outer, pid = -1;

	(void)state;
	if (geteuid() != 0)
		skip_because("a PID namespace needs root");
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	outer = fork();
	if (outer == 0) {
		if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0)
			_exit(1);
		pid = fork();
		if (pid == 0)
			be_immortal(fds[1]);
		close(fds[1]);
		struct pollfd p = {.fd = fds[0], .events = POLLIN};
		bool is_mounted = read(fds[0], &byte, 1) == 1;
		bool is_over = is_mounted && poll(&p, 1, PATIENCE_MS) == 1 &&
			       read(fds[0], &byte, 1) == 1 && byte == 'e';
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		_exit(is_over ? 0 : is_mounted ? 2 : 1);
	}
	assert_true(outer > 0);
	close(fds[0]);
	close(fds[1]);
	int status = 0;
	assert_int_equal(waitpid(outer, &status, 0), outer);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 1)
		skip_because("no PID namespace can be made here");
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void marks_of_programs_around_it_are_kept(void **state)
{
	struct watcher outer, inner;
	size_t n = 0;

	(void)state;
	watcher_init(&outer);
	watcher_init(&inner);
	assert_string_not_equal(outer.mark, inner.mark);
	setenv(WATCHER_MARK, outer.mark, 1);
	char **envp = watcher_environ(&inner);
	for (size_t i = 0; envp[i]; i++) {
		if (strncmp(envp[i], WATCHER_MARK "=",
			    strlen(WATCHER_MARK "=")) != 0)
			continue;
		n++;
		assert_non_null(strstr(envp[i], outer.mark));
		assert_non_null(strstr(envp[i], inner.mark));
	}
	assert_int_equal(n, 1);
	unsetenv(WATCHER_MARK);
	free(envp);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(its_end_kills_what_has_the_mark),
	    cmocka_unit_test(one_that_is_dismissed_kills_nothing),
	    cmocka_unit_test(it_has_left_its_owners_group_when_it_is_started),
	    cmocka_unit_test(
		what_cannot_be_killed_is_not_waited_for_without_end),
	    cmocka_unit_test(marks_of_programs_around_it_are_kept),
	};

	return cmocka_run_group_tests_name("watcher", tests, NULL, NULL);
}
