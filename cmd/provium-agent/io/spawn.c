/* SPDX-License-Identifier: MIT */
/*
 * The child is made with vfork(2): it borrows our memory until it has called
 * execve(2), so starting it costs no page tables, and it reports an error by
 * writing it down where we look. It must therefore only make system calls.
 */
#include "cmd/provium-agent/io/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	const struct spawn *spawn;
	char *const *paths; /* to try */
	/* What went wrong in the child, NULL: nothing. Volatile, as the
	 * compiler sees these written only where nothing returns to us. */
	const char *volatile failed;
	volatile int errnum;
};

__attribute__((noreturn)) static void child_fail(struct child *c,
						 const char *step)
{
	c->errnum = errno;
	c->failed = step;
	_exit(127);
}

/* The agent is shielded from the OOM killer; what tests start is not. */
static void child_unprotect(const struct guest *g)
{
	if (g->is_worker)
		return;
	setrlimit(RLIMIT_NOFILE, &g->nofile);
	if (!g->owns_machine || g->proc_fd < 0)
		return;
	int fd = openat(g->proc_fd, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "0", 1) < 0)
		close(fd); /* a kernel without OOM killer */
}

/* The agent ignores or blocks just these; what else a worker blocks, a test
 * had it block. */
static void child_signals(void)
{
	sigset_t chld;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_UNBLOCK, &chld, NULL);
}

static bool is_missing(int errnum)
{
	return errnum == ENOENT || errnum == ENOTDIR;
}

/*
 * As execvp(3) tries: a candidate that may not be run is remembered. The
 * kernel builds a whole address space before execve(2) finds that there is no
 * such file, so where there are several candidates they are looked for first.
 */
static void child_exec(const struct spawn *sp, char *const *paths)
{
	bool look = paths[0] && paths[1];
	int errnum = ENOENT;

	for (; *paths; paths++) {
		if (look && access(*paths, F_OK) < 0 && is_missing(errno))
			continue;
		execve(*paths, sp->argv, sp->envp);
		if (errno == EACCES)
			errnum = EACCES;
		else if (!is_missing(errno))
			return;
	}
	errno = errnum;
}

/* Not inlined, and given one pointer: so that nothing of the caller lives in
 * registers across the double return of vfork(). */
__attribute__((noinline, noreturn)) static void child_run(struct child *c)
{
	const struct spawn *sp = c->spawn;

	setsid();
	for (int i = 0; i < 3; i++)
		if (dup2(sp->fds[i], i) < 0)
			child_fail(c, "dup2");
	child_unprotect(sp->guest);
	if (sp->cwd && chdir(sp->cwd) < 0)
		child_fail(c, "chdir");
	child_signals();
	/* Descriptors that raw system calls left open without CLOEXEC. */
	close_range(3, ~0u, 0);
	child_exec(sp, c->paths);
	child_fail(c, "exec");
}

__attribute__((noinline)) static pid_t make_child(struct child *c)
{
	/* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork) */
	pid_t pid = vfork();

	if (pid == 0)
		/* It makes system calls only, and returns not at all. */
		child_run(c); /* NOLINT(clang-analyzer-unix.Vfork) */
	return pid;
}

static const char *spawn_env_path(char *const *envp)
{
	for (; *envp; envp++)
		if (!strncmp(*envp, "PATH=", 5))
			return *envp + 5;
	return SPAWN_PATH_DEFAULT;
}

static void list_candidates(const struct spawn *sp, struct strvec *paths)
{
	const char *name = sp->argv[0];
	const char *dir = spawn_env_path(sp->envp);

	if (strchr(name, '/') || !*name) {
		strvec_add(paths, name);
		return;
	}
	for (;;) {
		int n = (int)strcspn(dir, ":");
		if (n)
			strvec_addf(paths, "%.*s/%s", n, dir, name);
		else /* POSIX: the current directory */
			strvec_addf(paths, "./%s", name);
		if (!dir[n])
			return;
		dir += n + 1;
	}
}

pid_t spawn_run(const struct spawn *sp, struct err *err)
{
	struct child c = {.spawn = sp};
	struct strvec paths = {0};
	pid_t pid;

	list_candidates(sp, &paths);
	c.paths = paths.v;
	pid = make_child(&c);
	if (pid < 0)
		pid = err_set(err, -errno, "fork: %s", strerror(errno));
	strvec_done(&paths);
	if (pid < 0 || !c.failed)
		return pid;
	waitpid(pid, NULL, 0);
	if (!strcmp(c.failed, "chdir"))
		return err_set(err, -c.errnum, "run '%s' in '%s': %s",
			       sp->argv[0], sp->cwd, strerror(c.errnum));
	return err_set(err, -c.errnum, "run '%s': %s", sp->argv[0],
		       strerror(c.errnum));
}
