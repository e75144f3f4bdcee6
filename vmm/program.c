/* SPDX-License-Identifier: MIT */
#include "vmm/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/watcher.h"

enum { OUT, ERR, FAILED, N_PIPES };

/* What a child tells that could not run its program. */
struct failed {
	int errnum;
	bool is_cwd; /* it could not enter its directory */
};

/* A child and the read ends of its stdout, stderr and of the pipe that exec
 * closes, or that holds a struct failed. */
struct program {
	const char *name;
	const char *cwd; /* NULL: ours */
	char **envp;	 /* with the watcher's mark; owned */
	struct watcher watcher;
	int in; /* its stdin; -1: /dev/null */
	pid_t pid;
	int fd[N_PIPES];
	struct buf got[N_PIPES];
};

static void program_init(struct program *p, const char *name, const char *cwd)
{
	*p = (struct program){
	    .name = name, .cwd = cwd, .in = -1, .pid = -1, .fd = {-1, -1, -1}};
	watcher_init(&p->watcher);
	p->envp = watcher_environ(&p->watcher);
}

static void program_done(struct program *p)
{
	free(p->envp);
	fd_closep(&p->in);
	for (int i = 0; i < N_PIPES; i++) {
		fd_closep(&p->fd[i]);
		buf_done(&p->got[i]);
	}
}

/* Only async-signal-safe calls: the parent may have threads. */
static void child(const struct program *p, const char *const *argv,
		  const int *wr, pid_t parent)
{
	char *const *args = (char *const *)(uintptr_t)argv;
	struct failed failed = {0};
	int in = p->in;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	if (in < 0)
		in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (in >= 0 && dup2(in, 0) >= 0 && dup2(wr[OUT], 1) >= 0 &&
	    dup2(wr[ERR], 2) >= 0) {
		failed.is_cwd = p->cwd && chdir(p->cwd) < 0;
		if (!failed.is_cwd)
			execvpe(argv[0], args, p->envp);
	}
	failed.errnum = errno;
	if (write(wr[FAILED], &failed, sizeof(failed)) < 0)
		_exit(126);
	_exit(127);
}

static int program_start(struct program *p, const char *const *argv)
{
	int wr[N_PIPES] = {-1, -1, -1};
	pid_t parent = getpid();
	int r = watcher_start(&p->watcher, 0);

	for (int i = 0; i < N_PIPES && r == 0; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0) {
			r = -errno;
			break;
		}
		p->fd[i] = ends[0];
		wr[i] = ends[1];
	}
	if (r == 0) {
		p->pid = fork();
		if (p->pid == 0)
			child(p, argv, wr, parent);
		if (p->pid < 0)
			r = -errno;
	}
	for (int i = 0; i < N_PIPES; i++)
		fd_closep(&wr[i]);
	return r;
}

/* Reads what is there; closes the pipe at its end. */
static int program_take(struct program *p, int i)
{
	ssize_t n;

	if (p->got[i].len >= PROGRAM_OUTPUT_MAX)
		return -EFBIG;
	n = read(p->fd[i], buf_room(&p->got[i], 16384), 16384);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		fd_closep(&p->fd[i]);
	buf_commit(&p->got[i], (size_t)n);
	return 0;
}

static int wait_ms(int64_t deadline_ns)
{
	int64_t left = deadline_ns - clock_now_ns();

	if (deadline_ns == CLOCK_NEVER)
		return -1;
	if (left <= 0)
		return 0;
	left = (left + NS_PER_MS - 1) / NS_PER_MS;
	return left > INT_MAX ? INT_MAX : (int)left;
}

/* Until all pipes are closed: 0, -ETIME, or an error of reading. */
static int program_collect(struct program *p, int64_t deadline_ns)
{
	while (p->fd[OUT] >= 0 || p->fd[ERR] >= 0 || p->fd[FAILED] >= 0) {
		struct pollfd pfd[N_PIPES];
		int r;

		for (int i = 0; i < N_PIPES; i++)
			pfd[i] = (struct pollfd){p->fd[i], POLLIN, 0};
		r = poll(pfd, N_PIPES, wait_ms(deadline_ns));
		if (r == 0)
			return -ETIME;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r < 0)
			continue;
		r = 0;
		for (int i = 0; i < N_PIPES && r == 0; i++)
			if (pfd[i].revents)
				r = program_take(p, i);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Its exit, within the deadline too: one may close its outputs and go on. */
static int program_reap(struct program *p, int64_t deadline_ns, int *status)
{
	CLEANUP(fd_closep)
	int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	struct pollfd pfd = {fd, POLLIN, 0};
	int r = 0;

	if (fd >= 0)
		do
			r = poll(&pfd, 1, wait_ms(deadline_ns));
		while (r < 0 && errno == EINTR);
	if (fd >= 0 && r == 0)
		return -ETIME;
	while (waitpid(p->pid, status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	p->pid = -1;
	return 0;
}

/* The last line that says something. */
static char *last_line(const struct buf *b)
{
	const char *s = (const char *)buf_data(b);
	size_t end = b->len, at;

	while (end && (s[end - 1] == '\n' || s[end - 1] == ' '))
		end--;
	for (at = end; at && s[at - 1] != '\n'; at--)
		;
	return end ? mem_strndup(s + at, end - at) : mem_strdup("no output");
}

static int program_judge(const struct program *p, int status, struct err *err)
{
	CLEANUP(free_ptr) char *line = NULL;
	struct failed f;

	if (p->got[FAILED].len >= sizeof(f)) {
		memcpy(&f, buf_data(&p->got[FAILED]), sizeof(f));
		if (f.is_cwd)
			return err_set(err, -f.errnum,
				       "cannot run '%s' in '%s': %s", p->name,
				       p->cwd, strerror(f.errnum));
		return err_set(err, -f.errnum, "cannot run '%s': %s", p->name,
			       strerror(f.errnum));
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	line = last_line(&p->got[ERR]);
	if (WIFSIGNALED(status))
		return err_set(err, -EIO, "'%s' died of signal %d (%s)",
			       p->name, WTERMSIG(status), line);
	return err_set(err, -EIO, "'%s' failed with status %d: %s", p->name,
		       WEXITSTATUS(status), line);
}

static int program_fail(const struct program *p, int r, struct err *err)
{
	if (r == -ETIME)
		return err_set(err, r, "'%s' did not end in time", p->name);
	if (r == -EFBIG)
		return err_set(err, r, "'%s' wrote more than %d bytes", p->name,
			       PROGRAM_OUTPUT_MAX);
	return err_set(err, r, "cannot run '%s': %s", p->name, strerror(-r));
}

/* Until its end; its outputs are in p. */
static int program_run_one(struct program *p, const char *const *argv,
			   int64_t deadline_ns, struct err *err)
{
	int status = 0;
	int r = program_start(p, argv);

	if (r == 0)
		r = program_collect(p, deadline_ns);
	if (r == 0)
		r = program_reap(p, deadline_ns, &status);
	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (r < 0)
		watcher_end(&p->watcher);
	else
		watcher_dismiss(&p->watcher);
	return r < 0 ? program_fail(p, r, err) : program_judge(p, status, err);
}

int program_run(const char *const *argv, const char *cwd, int64_t deadline_ns,
		struct buf *ret_out, struct err *err)
{
	CLEANUP(program_done)
	struct program p;

	program_init(&p, argv[0], cwd);
	int r = program_run_one(&p, argv, deadline_ns, err);

	if (r == 0 && ret_out) {
		buf_done(ret_out);
		*ret_out = p.got[OUT];
		p.got[OUT] = (struct buf){0};
	}
	return r;
}

/* A file of its own, and no pipe: the program may open /dev/stdin, and need not
 * read while it writes. */
static int open_input(const struct buf *input)
{
	int fd = memfd_create("input", MFD_CLOEXEC);
	size_t at = 0;
	int r = fd < 0 ? -errno : 0;

	while (r == 0 && at < input->len) {
		ssize_t n = pwrite(fd, buf_data(input) + at, input->len - at,
				   (off_t)at);

		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n > 0)
			at += (size_t)n;
	}
	if (r < 0)
		fd_closep(&fd);
	return r < 0 ? r : fd;
}

int program_feed(const char *const *argv, const struct buf *input,
		 int64_t deadline_ns, struct buf *ret_said, struct err *err)
{
	CLEANUP(program_done)
	struct program p;

	program_init(&p, argv[0], NULL);
	int r = open_input(input);

	if (r < 0)
		return program_fail(&p, r, err);
	p.in = r;
	r = program_run_one(&p, argv, deadline_ns, err);
	buf_done(ret_said);
	*ret_said = p.got[ERR];
	p.got[ERR] = (struct buf){0};
	return r;
}
