/* SPDX-License-Identifier: MIT */
#include "vmm/watcher.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "streams/io.h"

/* Bytes of one environment that are looked at. */
#define ENVIRON_MAX (4u << 20)
#define READ_CHUNK  65536u
/* How long one process is waited for that was killed, and all of them. Who
 * waits for a device (state D) or is stopped by the freezer outlives a SIGKILL,
 * but does nothing more: the owner, who waits for us, may end. */
#define DEATH_MS     1000
#define ALL_DEATH_NS (5 * NS_PER_SEC)

void watcher_init(struct watcher *w)
{
	*w = (struct watcher){.fd = -1, .pid = -1};
	snprintf(w->mark, sizeof(w->mark), "%d-%llx;", (int)getpid(),
		 (unsigned long long)clock_now_ns());
}

char **watcher_environ(const struct watcher *w)
{
	const char *outer = getenv(WATCHER_MARK);
	size_t n = 0, text;
	char **env, *own;

	while (environ && environ[n])
		n++;
	outer = outer ? outer : "";
	text = sizeof(WATCHER_MARK) + strlen(outer) + strlen(w->mark) + 1;
	env = mem_alloc((n + 2) * sizeof(*env) + text);
	own = (char *)(env + n + 2);
	snprintf(own, text, WATCHER_MARK "=%s%s", outer, w->mark);
	size_t to = 0;
	env[to++] = own;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], WATCHER_MARK "=",
			    sizeof(WATCHER_MARK)) != 0)
			env[to++] = environ[i];
	env[to] = NULL;
	return env;
}

/* --- in the watching process ------------------------------------------------
 */

static bool is_marked(int proc_fd, const char *pid, const char *mark)
{
	CLEANUP(buf_done) struct buf text = {0};
	char path[sizeof(((struct dirent *)NULL)->d_name) + 16];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/environ", pid);
	CLEANUP(fd_closep) int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	do {
		n = io_read(fd, buf_room(&text, READ_CHUNK), READ_CHUNK);
		buf_commit(&text, n > 0 ? (size_t)n : 0);
	} while (n == (ssize_t)READ_CHUNK && text.len < ENVIRON_MAX);
	return text.len &&
	       memmem(buf_data(&text), text.len, mark, strlen(mark));
}

/* Kills the process if it has the mark, and waits for its end, but not beyond a
 * deadline; a pidfd, for the number may become another's meanwhile. Whether it
 * did. */
static bool kill_marked(int proc_fd, const char *pid, const char *mark,
			int64_t deadline_ns)
{
	int64_t left_ns = deadline_ns - clock_now_ns();
	CLEANUP(fd_closep)
	int fd = (int)syscall(SYS_pidfd_open, atoi(pid), 0);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	if (fd < 0 || !is_marked(proc_fd, pid, mark) ||
	    syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0)
		return false;
	if (left_ns > 0)
		poll(&pfd, 1, DEATH_MS);
	return true;
}

/* One look at all processes; false: none had the mark. */
static bool kill_all_marked(const char *mark, int64_t deadline_ns)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	bool killed = false;

	if (!dir)
		return false;
	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    atoi(entry->d_name) != getpid() &&
		    kill_marked(dirfd(dir), entry->d_name, mark, deadline_ns))
			killed = true;
	closedir(dir);
	return killed;
}

static _Noreturn void watch(int fd, pid_t group, const char *mark)
{
	sigset_t all;
	char byte;

	/* A signal to the owner's group is not meant for us. */
	setpgid(0, 0);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "provium-watch");
	if (dup2(fd, 0) == 0)
		syscall(SYS_close_range, 1, ~0u, 0);
	while (read(0, &byte, 1) < 0 && errno == EINTR)
		;
	if (group > 0)
		kill(-group, SIGKILL);
	/* Again, for one may have forked before it was killed. The last look
	 * begins behind the deadline, and waits for nobody. */
	int64_t deadline_ns = clock_deadline_ns(ALL_DEATH_NS);
	bool is_late;
	do
		is_late = clock_now_ns() >= deadline_ns;
	while (kill_all_marked(mark, deadline_ns) && !is_late);
	_exit(0);
}

/* --- the owner's side -------------------------------------------------------
 */

int watcher_start(struct watcher *w, pid_t group)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	w->pid = fork();
	if (w->pid == 0)
		watch(ends[0], group, w->mark);
	int code = errno;
	close(ends[0]);
	if (w->pid < 0) {
		close(ends[1]);
		return -code;
	}
	w->fd = ends[1];
	setpgid(w->pid, w->pid); /* whoever is first, the watcher or we */
	return 0;
}

void watcher_dismiss(struct watcher *w)
{
	if (w->fd >= 0)
		kill(w->pid, SIGKILL);
	watcher_end(w);
}

void watcher_end(struct watcher *w)
{
	if (w->fd < 0)
		return;
	fd_closep(&w->fd);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
	w->pid = -1;
}
