/* SPDX-License-Identifier: MIT */
#include "runner/build.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/watcher.h"

/* Runs the command, or returns the name of what failed, with errno. */
static const char *run_shell(const struct config *c, const char *command,
			     char **envp)
{
	char shell[] = "sh";
	char flag[] = "-c";
	char *argv[] = {shell, flag, mem_strdup(command), NULL};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0)
		return "/dev/null";
	if (dup2(2, 1) < 0)
		return "standard error";
	if (chdir(c->dir) < 0)
		return c->dir;
	execve("/bin/sh", argv, envp);
	return "/bin/sh";
}

/* In the new process. The command may not outlive us, and its output must not
 * mix with a report or events on standard output. */
static void __attribute__((noreturn))
become_shell(const struct config *c, const char *command, char **envp)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	const char *failed = run_shell(c, command, envp);
	int code = errno;

	fprintf(stderr, "%s: %s\n", failed, strerror(code));
	_exit(127);
}

static int build_profile(const struct config *c, const struct config_profile *p,
			 struct err *err)
{
	struct watcher watcher;
	int status = 0;
	pid_t pid;

	watcher_init(&watcher);
	int r = watcher_start(&watcher, 0);
	if (r < 0)
		return err_set(err, r, "profile '%s': build: %s", p->name,
			       strerror(-r));
	char **envp = watcher_environ(&watcher);
	fprintf(stderr, "building %s: %s\n", p->name, p->build);
	pid = fork();
	if (!pid)
		become_shell(c, p->build, envp);
	r = pid < 0 || waitpid(pid, &status, 0) < 0 ? -errno : 0;
	free(envp);
	/* A build may leave a server for the next one. */
	watcher_dismiss(&watcher);
	if (r < 0)
		return err_set(err, r, "profile '%s': build: %s", p->name,
			       strerror(-r));
	if (WIFSIGNALED(status))
		return err_set(err, -EINTR,
			       "profile '%s': build died of SIG%s: %s", p->name,
			       sigabbrev_np(WTERMSIG(status)), p->build);
	if (WEXITSTATUS(status))
		return err_set(err, -EIO,
			       "profile '%s': build ended with status %d: %s",
			       p->name, WEXITSTATUS(status), p->build);
	return 0;
}

int build_profiles(const struct config *c, struct err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < c->n_profiles; i++) {
		if (c->profiles[i].build)
			r = build_profile(c, &c->profiles[i], err);
	}
	return r;
}
