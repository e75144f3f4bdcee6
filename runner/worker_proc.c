/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The end of a worker is what its pidfd says, never an
 * end of file: a forgotten grandchild may hold the socket or the pipe open.
 * When it ended, its group is killed while the zombie keeps its number from
 * being used again, what the kernel still buffers is read, and only then is it
 * reaped.
 *
 * A worker writes a mark into its output before it sends an event. So when an
 * event is there, its mark is in the pipe: the output is read up to it first.
 * When a mark is read whose event is not there yet, the output is held. A mark
 * that does not come (a test may close what it likes) holds up nothing: the
 * event is passed on when the pipe is empty.
 */
#include "runner/worker_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/event.h"

#define WORKER_FD   3
#define READ_SIZE   65536
#define DRAIN_READS 1024

/* Bytes from one descriptor, cut into lines. */
struct lines {
	struct worker_proc *w;
	int fd; /* owned, -1 after its end */
	struct watch *watch;
	struct buf buf;
	size_t searched; /* no newline among so many first bytes */
	void (*feed)(struct lines *in);
};

struct worker_proc {
	struct worker_proc_ops ops;
	void *ctx;
	pid_t pid;
	int pid_fd;
	struct watch *pid_watch;
	struct lines events;
	struct lines output;
	struct buf down; /* answers still to be sent */
	size_t output_n;
	bool is_output_cut; /* in the middle of a line that was too long */
	bool has_mark;
	struct output_mark mark;
	uint64_t n_events; /* passed on */
	uint64_t n_marked; /* the last event whose mark was read */
	bool is_over;	   /* it ended: nothing is held any more */
	bool is_overlong;
};

/* --- reading --------------------------------------------------------------*/

/* The length of the first line in the buffer, or -1 if none is complete. */
static ssize_t first_line(struct lines *in)
{
	uint8_t *data = in->buf.len ? buf_data(&in->buf) : NULL;
	uint8_t *end =
	    data ? memchr(data + in->searched, '\n', in->buf.len - in->searched)
		 : NULL;

	if (!end) {
		in->searched = in->buf.len;
		return -1;
	}
	in->searched = 0;
	return end - data;
}

static bool lines_read(struct lines *in);
static void feed_output(struct lines *in);

static bool is_held(const struct worker_proc *w)
{
	return w->n_marked > w->n_events && !w->is_over;
}

/* Reads the output up to the mark of the next event, or all that there is. */
static void catch_output(struct worker_proc *w)
{
	for (int i = 0; i < DRAIN_READS && !is_held(w); i++)
		if (!lines_read(&w->output))
			break;
}

static void feed_events(struct lines *in)
{
	struct worker_proc *w = in->w;

	for (ssize_t n; !w->is_overlong && (n = first_line(in)) >= 0;) {
		catch_output(w);
		w->ops.event(w->ctx, (char *)buf_data(&in->buf), (size_t)n);
		buf_consume(&in->buf, (size_t)n + 1);
		w->n_events++;
		feed_output(&w->output);
	}
	if (!w->is_overlong && in->buf.len > EVENT_LINE_MAX) {
		w->is_overlong = true;
		w->ops.overlong(w->ctx);
	}
	if (w->is_overlong)
		buf_reset(&in->buf);
}

/* Passes one line on, or a note in place of the first that is too much. */
static void pass_output(struct worker_proc *w, const char *line, size_t n)
{
	static const char note[] = "[more output was left out]";
	bool was_over = w->output_n > WORKER_OUTPUT_MAX;

	w->output_n += n + 1;
	if (w->output_n <= WORKER_OUTPUT_MAX)
		w->ops.output(w->ctx, line, n);
	else if (!was_over)
		w->ops.output(w->ctx, note, sizeof(note) - 1);
}

/* A line, or what a mark ends. */
static void take_output_line(struct worker_proc *w, const char *line, size_t n)
{
	uint64_t event;
	size_t before = n;
	bool is_marked =
	    w->has_mark && output_mark_find(&w->mark, line, n, &event, &before);

	if (is_marked && event > w->n_marked)
		w->n_marked = event;
	if (before > WORKER_OUTPUT_LINE)
		before = WORKER_OUTPUT_LINE;
	/* A mark that begins a line is no line. */
	if (!w->is_output_cut && (before || !is_marked))
		pass_output(w, line, before);
	w->is_output_cut = false;
}

static void feed_output(struct lines *in)
{
	struct worker_proc *w = in->w;

	for (ssize_t n; !is_held(w) && (n = first_line(in)) >= 0;) {
		take_output_line(w, (char *)buf_data(&in->buf), (size_t)n);
		buf_consume(&in->buf, (size_t)n + 1);
	}
	if (in->watch)
		watch_set(in->watch, is_held(w) ? 0 : LOOP_READ);
	/* A mark in what is dropped would end in it. */
	if (is_held(w) || in->buf.len <= WORKER_OUTPUT_LINE + OUTPUT_MARK_N)
		return;
	if (!w->is_output_cut)
		pass_output(w, (char *)buf_data(&in->buf), WORKER_OUTPUT_LINE);
	w->is_output_cut = true;
	buf_consume(&in->buf, in->buf.len - OUTPUT_MARK_N);
	in->searched = in->buf.len;
}

/* The rest of the output, and a last line that does not end. */
static void finish_output(struct worker_proc *w)
{
	struct buf *b = &w->output.buf;

	w->is_over = true;
	feed_output(&w->output);
	for (int i = 0; i < DRAIN_READS && lines_read(&w->output); i++)
		;
	if (b->len && !w->is_output_cut)
		pass_output(w, (char *)buf_data(b), b->len);
}

static void lines_stop(struct lines *in)
{
	in->watch = watch_free(in->watch);
	fd_closep(&in->fd);
}

/* Reads once. False: nothing there now, or the end, which closes it. */
static bool lines_read(struct lines *in)
{
	ssize_t n;

	if (in->fd < 0)
		return false;
	do
		n = read(in->fd, buf_room(&in->buf, READ_SIZE), READ_SIZE);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	/* A reset is an end with something of ours left unread. */
	if (n < 0 && errno != ECONNRESET)
		in->w->ops.deaf(in->w->ctx, errno);
	if (n <= 0) {
		lines_stop(in);
		return false;
	}
	buf_commit(&in->buf, (size_t)n);
	in->feed(in);
	return true;
}

/* What the kernel still holds; bounded, since a process that left the group
 * may go on writing. */
static void drain(struct lines *in)
{
	for (int i = 0; i < DRAIN_READS && lines_read(in); i++)
		;
}

static void worker_proc_on_output(void *ctx, int fd, unsigned ready)
{
	struct worker_proc *w = ctx;

	(void)fd;
	(void)ready;
	lines_read(&w->output);
}

/* It is gone, as its pidfd will tell, or will be soon: what it waits for does
 * not come. */
static void give_up_sending(struct worker_proc *w)
{
	buf_reset(&w->down);
	w->ops.hangup(w->ctx);
}

static void send_down(struct worker_proc *w)
{
	struct lines *in = &w->events;
	ssize_t n = 0;

	if (w->down.len)
		n = send(in->fd, buf_data(&w->down), w->down.len, MSG_NOSIGNAL);
	if (n > 0)
		buf_consume(&w->down, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		give_up_sending(w);
	watch_set(in->watch, LOOP_READ | (w->down.len ? LOOP_WRITE : 0));
}

void worker_proc_ask_state(struct worker_proc *w)
{
	if (w->pid > 0)
		kill(w->pid, SIGUSR1);
}

void worker_proc_send(struct worker_proc *w, const void *p, size_t n)
{
	if (w->events.fd < 0)
		return;
	buf_append(&w->down, p, n);
	send_down(w);
}

static void on_socket(void *ctx, int fd, unsigned ready)
{
	struct worker_proc *w = ctx;

	(void)fd;
	if (ready & LOOP_WRITE)
		send_down(w);
	if (!(ready & LOOP_READ))
		return;
	lines_read(&w->events);
	if (w->events.fd < 0)
		w->ops.hangup(w->ctx);
}

void worker_proc_catch_up(struct worker_proc *w)
{
	bool was_open = w->events.fd >= 0;

	drain(&w->events);
	if (was_open && w->events.fd < 0)
		w->ops.hangup(w->ctx);
}

static void on_exit_of(void *ctx, int fd, unsigned ready)
{
	struct worker_proc *w = ctx;
	int status = 0;

	(void)fd;
	(void)ready;
	kill(-w->pid, SIGKILL);
	drain(&w->events);
	finish_output(w);
	lines_stop(&w->output);
	lines_stop(&w->events);
	w->pid_watch = watch_free(w->pid_watch);
	waitpid(w->pid, &status, 0);
	w->pid = 0;
	w->ops.exited(w->ctx, status);
}

/* --- starting -------------------------------------------------------------*/

static void restore_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	/* Where `ulimit -f` ends a file, the write says so. */
	signal(SIGXFSZ, SIG_IGN);
	/* It may be asked what it waits for before it can answer: also now,
	 * while that is held back. */
	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Lets go of all descriptors but these, for which it needs no new ones. False
 * with errno. */
static bool take_fds(int sock, int out)
{
	int null;

	/* WORKER_FD may be either of them, and WORKER_OUTPUT_FD too. */
	if (dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
	    (sock != WORKER_FD && dup3(sock, WORKER_FD, O_CLOEXEC) < 0) ||
	    dup3(1, WORKER_OUTPUT_FD, O_CLOEXEC) < 0)
		return false;
	closefrom(WORKER_OUTPUT_FD + 1);
	/* It is empty, so that neither this process nor QEMU reads what the
	 * user types. */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0)
		return false;
	close(null);
	return true;
}

/* In the new process. */
static void __attribute__((noreturn))
become_worker(worker_body *body, void *ctx, pid_t parent, int sock, int out)
{
	int status;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, WORKER_NAME);
	setpgid(0, 0);
	restore_signals();
	/* It may have died before the prctl(). */
	if (getppid() != parent)
		_exit(127);
	if (!take_fds(sock, out)) {
		dprintf(2, "cannot start: %s\n", strerror(errno));
		_exit(127);
	}
	/* Lines that it prints are their test's, and no later one's. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	status = body(ctx, WORKER_FD);
	fflush(NULL);
	/* What is to be done at the end of a process is the parent's. */
	_exit(status);
}

static int worker_proc_start(struct worker_proc *w, worker_body *body,
			     void *ctx, struct err *err)
{
	int sock[2] = {-1, -1};
	int out[2] = {-1, -1};
	pid_t self = getpid();
	int r = 0;

	/* Or it would write what is buffered once more. */
	fflush(NULL);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0 ||
	    pipe2(out, O_CLOEXEC) < 0 || (w->pid = fork()) < 0)
		r = err_set(err, -errno, "cannot start a worker: %s",
			    strerror(errno));
	else if (!w->pid)
		become_worker(body, ctx, self, sock[1], out[1]);
	w->events.fd = sock[0];
	w->output.fd = out[0];
	fd_closep(&sock[1]);
	fd_closep(&out[1]);
	if (r < 0) {
		w->pid = 0;
		return r;
	}
	setpgid(w->pid, w->pid); /* whoever comes first */
	if (fcntl(w->events.fd, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(w->output.fd, F_SETFL, O_NONBLOCK) < 0)
		return err_set(err, -errno, "cannot talk to a worker: %s",
			       strerror(errno));
	w->pid_fd = pidfd_open(w->pid, 0);
	if (w->pid_fd < 0)
		return err_set(err, -errno, "pidfd_open: %s", strerror(errno));
	return 0;
}

struct worker_proc *worker_proc_new(struct loop *l, worker_body *body,
				    void *body_ctx,
				    const struct output_mark *mark,
				    const struct worker_proc_ops *ops,
				    void *ctx, struct err *err)
{
	struct worker_proc *w = mem_zalloc(sizeof(*w));

	w->ops = *ops;
	w->ctx = ctx;
	w->has_mark = mark != NULL;
	if (mark)
		w->mark = *mark;
	w->pid_fd = -1;
	w->events = (struct lines){.w = w, .fd = -1, .feed = feed_events};
	w->output = (struct lines){.w = w, .fd = -1, .feed = feed_output};
	if (worker_proc_start(w, body, body_ctx, err) < 0)
		return worker_proc_free(w);
	w->events.watch = watch_new(l, w->events.fd, on_socket, w);
	w->output.watch = watch_new(l, w->output.fd, worker_proc_on_output, w);
	w->pid_watch = watch_new(l, w->pid_fd, on_exit_of, w);
	watch_set(w->output.watch, LOOP_READ);
	watch_set(w->pid_watch, LOOP_READ);
	watch_set(w->events.watch, LOOP_READ);
	return w;
}

struct worker_proc *worker_proc_free(struct worker_proc *w)
{
	if (!w)
		return NULL;
	lines_stop(&w->events);
	lines_stop(&w->output);
	watch_free(w->pid_watch);
	if (w->pid > 0) {
		worker_proc_kill(w);
		waitpid(w->pid, NULL, 0);
	}
	fd_closep(&w->pid_fd);
	buf_done(&w->events.buf);
	buf_done(&w->output.buf);
	buf_done(&w->down);
	free(w);
	return NULL;
}

void worker_proc_terminate(struct worker_proc *w)
{
	if (w->pid > 0)
		kill(w->pid, SIGTERM);
}

void worker_proc_kill(struct worker_proc *w)
{
	if (w->pid > 0)
		kill(-w->pid, SIGKILL);
}

char *worker_proc_reason(int status, bool is_ended)
{
	if (WIFSIGNALED(status)) {
		int sig = WTERMSIG(status);
		const char *name = sigabbrev_np(sig);

		return mem_printf(
		    "the worker died: SIG%s (%s)", name ? name : "?",
		    sig == SIGKILL ? "killed from outside; out of memory?"
				   : sigdescr_np(sig));
	}
	if (!is_ended)
		return mem_printf("the worker ended early with status %d",
				  WEXITSTATUS(status));
	if (WEXITSTATUS(status))
		return mem_printf("the worker ended with status %d",
				  WEXITSTATUS(status));
	return NULL;
}
