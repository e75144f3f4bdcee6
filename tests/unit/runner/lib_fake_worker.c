/* SPDX-License-Identifier: MIT */
#include "tests/unit/runner/lib_fake_worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "runner/job.h"
#include "runner/worker_proc.h"

struct fake {
	int fd;
	const struct job *job;
	uint64_t n_events; /* sent */
};

static void put(int fd, const char *s, size_t n)
{
	for (ssize_t done; n; n -= (size_t)done, s += done) {
		done = write(fd, s, n);
		if (done <= 0)
			_exit(98);
	}
}

/* In one write: each takes a piece of what a socket holds. */
static void put_line(int fd, const char *s)
{
	char *line = mem_printf("%s\n", s);

	put(fd, line, strlen(line));
	free(line);
}

static void do_raw(struct fake *f, const char *arg)
{
	f->n_events++;
	put_line(f->fd, arg);
}

static void do_emit(struct fake *f, const char *arg)
{
	if (f->job->mark)
		output_mark_write(f->job->mark, WORKER_OUTPUT_FD,
				  f->n_events + 1);
	do_raw(f, arg);
}

static void do_long(struct fake *f, const char *arg)
{
	char block[4096];

	(void)arg;
	memset(block, 'x', sizeof(block));
	for (;;)
		put(f->fd, block, sizeof(block));
}

static void do_print(struct fake *f, const char *arg)
{
	(void)f;
	put_line(1, arg);
}

static void do_part(struct fake *f, const char *arg)
{
	(void)f;
	put(1, arg, strlen(arg));
}

static void do_flood(struct fake *f, const char *arg)
{
	char line[1000];
	int n = atoi(arg);

	memset(line, 'y', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; !n || i < n; i++)
		do_print(f, line);
}

static void do_die(struct fake *f, const char *arg)
{
	(void)f;
	prctl(PR_SET_DUMPABLE, 0);
	signal(atoi(arg), SIG_DFL);
	raise(atoi(arg));
}

static void do_exit(struct fake *f, const char *arg)
{
	(void)f;
	_exit(atoi(arg));
}

static void do_hang(struct fake *f, const char *arg)
{
	(void)f;
	(void)arg;
	for (;;)
		pause();
}

static void do_nap(struct fake *f, const char *arg)
{
	(void)f;
	poll(NULL, 0, atoi(arg));
}

static void do_deaf(struct fake *f, const char *arg)
{
	(void)f;
	(void)arg;
	signal(SIGTERM, SIG_IGN);
}

static void do_close(struct fake *f, const char *arg)
{
	(void)arg;
	close(f->fd);
}

static void write_pid(const char *path, pid_t pid)
{
	FILE *out = fopen(path, "we");

	fprintf(out, "%d\n", (int)pid);
	fclose(out);
}

static void do_pid(struct fake *f, const char *arg)
{
	(void)f;
	write_pid(arg, getpid());
}

static void do_orphan(struct fake *f, const char *arg)
{
	pid_t pid = fork();

	if (!pid) {
		signal(SIGTERM, SIG_IGN);
		do_hang(f, arg);
	}
	write_pid(arg, pid);
}

static void do_touch(struct fake *f, const char *arg)
{
	char *path = mem_printf("%s/%s", f->job->run_dir, arg);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		_exit(97);
	close(fd);
	free(path);
}

/* Until another worker has made that file. */
static void do_await(struct fake *f, const char *arg)
{
	(void)f;
	for (int i = 0; access(arg, F_OK) < 0; i++) {
		if (i == 2000)
			_exit(90);
		poll(NULL, 0, 10);
	}
}

static void read_line(struct fake *f, struct buf *line)
{
	buf_reset(line);
	do {
		if (read(f->fd, buf_room(line, 1), 1) != 1)
			_exit(92);
		buf_commit(line, 1);
	} while (buf_data(line)[line->len - 1] != '\n');
}

/* The next answer of the parent's must hold the text. */
static void do_answer(struct fake *f, const char *arg)
{
	struct buf line = {0};

	do
		read_line(f, &line);
	while (memmem(buf_data(&line), line.len, "queued", 6));
	if (!memmem(buf_data(&line), line.len, arg, strlen(arg)))
		_exit(91);
	buf_done(&line);
}

static void do_signal(struct fake *f, const char *arg)
{
	(void)f;
	kill(getppid(), atoi(arg));
}

static void asking_signal(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGUSR1);
}

static void do_listen(struct fake *f, const char *arg)
{
	sigset_t set;

	(void)f;
	(void)arg;
	asking_signal(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void do_asked(struct fake *f, const char *arg)
{
	sigset_t set;
	int signo;

	asking_signal(&set);
	if (sigwait(&set, &signo))
		_exit(90);
	do_emit(f, arg);
}

static const struct step {
	const char *name;
	void (*run)(struct fake *f, const char *arg);
} steps[] = {
    {"emit", do_emit},	   {"raw", do_raw},	  {"long", do_long},
    {"print", do_print},   {"part", do_part},	  {"flood", do_flood},
    {"die", do_die},	   {"exit", do_exit},	  {"hang", do_hang},
    {"deaf", do_deaf},	   {"close", do_close},	  {"pid", do_pid},
    {"orphan", do_orphan}, {"touch", do_touch},	  {"signal", do_signal},
    {"nap", do_nap},	   {"answer", do_answer}, {"await", do_await},
    {"listen", do_listen}, {"asked", do_asked},
};

static int is_skipped(const struct fake *f, const char *name, size_t n)
{
	for (size_t i = 0; i < f->job->skip.n; i++) {
		const char *s = f->job->skip.v[i];
		if (strlen(s) == n && !strncmp(s, name, n))
			return 1;
	}
	return 0;
}

static void run_step(struct fake *f, char *line)
{
	if (*line == '?') {
		size_t n = strcspn(line + 1, " ");
		if (is_skipped(f, line + 1, n))
			return;
		line += n + 2;
	}
	if (*line == '@') {
		if (!f->job->is_shared)
			return;
		line++;
	}
	char *arg = strchr(line, ' ');
	if (arg)
		*arg++ = '\0';
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (!strcmp(steps[i].name, line)) {
			steps[i].run(f, arg ? arg : "");
			return;
		}
	}
	_exit(96);
}

int fake_worker(struct lua_State *L, const struct job *job, int fd)
{
	struct fake f = {.fd = fd, .job = job};
	char line[4096];
	FILE *script;

	(void)L;
	script = fopen(job->file, "re");
	if (!script)
		return 93;
	while (fgets(line, sizeof(line), script)) {
		line[strcspn(line, "\n")] = '\0';
		run_step(&f, line);
	}
	fclose(script);
	return 0;
}
