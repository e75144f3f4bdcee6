/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * fork, not posix_spawn: the child must ask for PR_SET_PDEATHSIG itself, which
 * exec keeps. Between fork and prctl the parent may already be gone, and with
 * it the signal, so the child compares getppid() afterwards. The signal comes
 * when the *thread* that forked ends (prctl(2)): that is the first one, which
 * lives as long as provium. Those that read consoles fork nothing.
 *
 * The signal reaches the direct child only. A watcher (watcher.h) kills what
 * that child has started. The child waits until its parent says that there is a
 * watcher.
 *
 * A failing exec is told through a close-on-exec pipe: end of file there means
 * that the program runs. This also orders us after setpgid(), so that the group
 * can be signalled from the start.
 *
 * Exit is told by a pidfd (pidfd_open(2): readable when the process ended).
 * The pid stays ours until waitpid(), so neither pid nor group number can be
 * reused beneath us.
 */
#include "vmm/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/io.h"
#include "vmm/watcher.h"

#define EXEC_FAILED 127
#define READ_CHUNK  4096

struct process {
	struct watch *exit_watch;
	struct watch *out_watch;
	process_exit_cb on_exit;
	void *ctx;
	struct buf output;
	struct watcher watcher;
	pid_t pid; /* -1: reaped */
	int pidfd;
	int out_fd;
};

/* What the child needs, all async-signal-safe to use. */
struct child_plan {
	const char *const *argv;
	const int *fds;
	size_t n_fds;
	pid_t parent;
	int null_fd;
	int out_fd;
	int status_fd;
	int go_fd;   /* a byte comes here when a watcher is there */
	char **envp; /* with its mark */
};

static void process_reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Everything is close-on-exec but what the child was given. */
static int set_up_fds(const struct child_plan *plan)
{
	if (dup2(plan->null_fd, 0) < 0 || dup2(plan->out_fd, 1) < 0 ||
	    dup2(plan->out_fd, 2) < 0)
		return -1;
	/* Ours have the flag; this is for fds that we inherited ourselves. An
	 * old kernel without the call (< 5.11) is no reason to fail. */
	syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < plan->n_fds; i++)
		if (fcntl(plan->fds[i], F_SETFD, 0) < 0)
			return -1;
	return 0;
}

static _Noreturn void run_child(const struct child_plan *plan)
{
	int code;

	/* execvp() takes char *const *, and changes nothing. */
	union {
		const char *const *in;
		char *const *out;
	} argv = {.in = plan->argv};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setpgid(0, 0) < 0)
		goto fail;
	if (getppid() != plan->parent)
		_exit(EXEC_FAILED);
	process_reset_signals();
	if (read(plan->go_fd, &code, 1) != 1)
		_exit(EXEC_FAILED);
	if (set_up_fds(plan) < 0)
		goto fail;
	execvpe(argv.in[0], argv.out, plan->envp);
fail:
	code = errno;
	if (write(plan->status_fd, &code, sizeof(code)) < 0)
		_exit(EXEC_FAILED);
	_exit(EXEC_FAILED);
}

/* The child's errno, or 0 when its program runs. */
static int read_exec_status(int fd)
{
	int code;

	return io_read(fd, &code, sizeof(code)) == (ssize_t)sizeof(code) ? code
									 : 0;
}

static int start_child(struct process *p, struct child_plan *plan,
		       struct err *err)
{
	CLEANUP(fd_closep) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	CLEANUP(fd_closep) int status_rd = -1;
	CLEANUP(fd_closep) int status_wr = -1;
	CLEANUP(fd_closep) int out_wr = -1;
	CLEANUP(fd_closep) int go_rd = -1;
	CLEANUP(fd_closep) int go_wr = -1;
	int status[2], out[2], go[2];

	if (null_fd < 0 || pipe2(status, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot start %s: %s",
			       plan->argv[0], strerror(errno));
	status_rd = status[0];
	status_wr = status[1];
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot start %s: pipe: %s",
			       plan->argv[0], strerror(errno));
	p->out_fd = out[0];
	out_wr = out[1];
	if (pipe2(go, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot start %s: pipe: %s",
			       plan->argv[0], strerror(errno));
	go_rd = go[0];
	go_wr = go[1];
	plan->go_fd = go_rd;
	plan->null_fd = null_fd;
	plan->out_fd = out_wr;
	plan->status_fd = status_wr;
	plan->parent = getpid();
	p->pid = fork();
	if (p->pid == 0)
		run_child(plan);
	if (p->pid < 0)
		return err_set(err, -errno, "cannot start %s: fork: %s",
			       plan->argv[0], strerror(errno));
	fd_closep(&status_wr);
	setpgid(p->pid, p->pid); /* whoever is first, the child or we */
	int code = -watcher_start(&p->watcher, p->pid);
	if (!code && write(go_wr, "", 1) != 1)
		code = errno;
	fd_closep(&go_wr);
	if (!code)
		code = read_exec_status(status_rd);
	if (code)
		return err_set(err, -code, "cannot start %s: %s", plan->argv[0],
			       strerror(code));
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0)
		return err_set(err, -errno, "cannot watch %s: pidfd_open: %s",
			       plan->argv[0], strerror(errno));
	return 0;
}

static void keep_output(struct process *p, const void *bytes, size_t n)
{
	buf_append(&p->output, bytes, n);
	if (p->output.len > PROCESS_OUTPUT_MAX)
		buf_consume(&p->output, p->output.len - PROCESS_OUTPUT_MAX);
}

/* Reads one chunk: its size; 0 at end of file, on error and when nothing is
 * there. */
static size_t read_output(struct process *p)
{
	char bytes[READ_CHUNK];
	ssize_t n = read(p->out_fd, bytes, sizeof(bytes));

	if (n > 0)
		keep_output(p, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		watch_set(p->out_watch, 0);
	return n > 0 ? (size_t)n : 0;
}

/* What the program left in the pipe, and not to its end of file: a grandchild
 * that moved to a group of its own may hold it, and go on writing. */
static void read_rest(struct process *p)
{
	int left = 0;
	size_t n;

	if (ioctl(p->out_fd, FIONREAD, &left) < 0)
		return;
	for (size_t got = 0; got < (size_t)left; got += n) {
		n = read_output(p);
		if (n == 0)
			break;
	}
}

static void process_on_output(void *ctx, int fd, unsigned ready)
{
	(void)fd;
	(void)ready;
	read_output(ctx);
}

static void on_pidfd(void *ctx, int fd, unsigned ready)
{
	struct process *p = ctx;
	int status;

	(void)fd;
	(void)ready;
	/* Its children do not outlive it; the group is ours until it is reaped.
	 */
	kill(-p->pid, SIGKILL);
	watcher_end(&p->watcher);
	if (waitpid(p->pid, &status, WNOHANG) != p->pid)
		return;
	p->pid = -1;
	watch_set(p->exit_watch, 0);
	read_rest(p);
	p->on_exit(p->ctx, status);
}

static void free_environ(char ***envp)
{
	free(*envp);
}

struct process *process_new(struct loop *l, const char *const *argv,
			    const int *fds, size_t n_fds,
			    process_exit_cb on_exit, void *ctx, struct err *err)
{
	struct process *p = mem_zalloc(sizeof(*p));
	struct child_plan plan = {.argv = argv, .fds = fds, .n_fds = n_fds};

	watcher_init(&p->watcher);
	CLEANUP(free_environ) char **envp = watcher_environ(&p->watcher);
	plan.envp = envp;
	for (size_t i = 0; i < n_fds; i++)
		assert(fds[i] > 2);
	p->on_exit = on_exit;
	p->ctx = ctx;
	p->pid = p->pidfd = p->out_fd = -1;
	if (start_child(p, &plan, err) < 0)
		return process_free(p);
	fcntl(p->out_fd, F_SETFL, O_NONBLOCK);
	p->exit_watch = watch_new(l, p->pidfd, on_pidfd, p);
	p->out_watch = watch_new(l, p->out_fd, process_on_output, p);
	watch_set(p->exit_watch, LOOP_READ);
	watch_set(p->out_watch, LOOP_READ);
	return p;
}

/* A killed process goes at once, unless it is stuck in the kernel (a dead
 * disk); then init is left to reap it. */
static void process_reap(struct process *p)
{
	struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};

	if (p->pidfd < 0) { /* its exec failed: it is on its way out */
		waitpid(p->pid, NULL, 0);
		return;
	}
	while (poll(&pfd, 1, PROCESS_REAP_MS) < 0 && errno == EINTR)
		;
	waitpid(p->pid, NULL, WNOHANG);
}

struct process *process_free(struct process *p)
{
	if (!p)
		return NULL;
	watch_free(p->exit_watch);
	watch_free(p->out_watch);
	if (p->pid > 0) {
		process_kill(p, SIGKILL);
		watcher_end(&p->watcher);
		process_reap(p);
	}
	watcher_end(&p->watcher);
	fd_closep(&p->pidfd);
	fd_closep(&p->out_fd);
	buf_done(&p->output);
	free(p);
	return NULL;
}

pid_t process_pid(const struct process *p)
{
	return p->pid;
}

void process_kill(struct process *p, int signo)
{
	if (p->pid <= 0)
		return;
	/* The group too: the program may have children. It may have moved
	 * itself to another one, so also the process. */
	kill(-p->pid, signo);
	kill(p->pid, signo);
}

const struct buf *process_output(const struct process *p)
{
	return &p->output;
}

void process_describe(int status, struct buf *out)
{
	if (WIFSIGNALED(status))
		buf_printf(out, "was killed by signal %d (%s)",
			   WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		buf_printf(out, "exited with status %d", WEXITSTATUS(status));
}
