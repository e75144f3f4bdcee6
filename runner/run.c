/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A run has as many slots as files may run at a time. A
 * slot takes the next file and gives it to a worker, and to further ones as
 * long as track.h says that the rest of the file wants one. A slot waits for
 * exactly one thing, the exit of its worker; all else (a test past its
 * deadline, a line that is no event, a signal to this process) only makes
 * sure that the exit comes, and is remembered as the reason for it.
 *
 *	idle --next file--> running --exited--> idle, or running again
 *
 * Signals arrive through a signalfd, so there is no handler and no race with
 * the loop.
 */
#include "runner/run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/artifacts.h"
#include "runner/rundir.h"
#include "runner/worker_proc.h"

struct slot {
	struct run *run;
	const struct test_file *file; /* NULL: idle */
	struct track track;
	struct worker_proc *proc;
	struct timer *timer;
	char *dir;	     /* the worker's runtime directory */
	unsigned bad_before; /* failures of the file when it started */
	char *why;	     /* we ended it: the reason, owned; else NULL */
	int64_t end_by_ns;   /* when it must have exited; CLOCK_NEVER: open */
};

struct run {
	const struct run_options *opts;
	const struct test_files *files;
	size_t next;
	struct event_sink *sink;
	struct run_result result;
	struct loop *loop;
	struct rundir dir;
	struct slot *slots;
	unsigned n_busy;
	int signal_fd;
	struct watch *signal_watch;
	sigset_t signals;
	sigset_t old_mask;
};

/* --- a file ---------------------------------------------------------------*/

static void add_totals(struct track_totals *sum, const struct track_totals *t)
{
	sum->passed += t->passed;
	sum->failed += t->failed;
	sum->skipped += t->skipped;
	sum->errors += t->errors;
	sum->listed += t->listed;
}

static void slot_finish_file(struct slot *s)
{
	track_done(&s->track, clock_now_ns());
	add_totals(&s->run->result.totals, &s->track.totals);
	s->run->result.files_run++;
	s->file = NULL;
	s->run->n_busy--;
}

static unsigned slot_failures(const struct slot *s)
{
	return s->track.totals.failed + s->track.totals.errors;
}

/* Removes a worker's directory; the logs in it are kept first if the worker
 * had failures and the user wants them. */
static void slot_drop_dir(struct slot *s, char *take_dir, bool is_bad)
{
	CLEANUP(free_ptr) char *dir = take_dir;
	const char *artifacts = s->run->opts->artifacts;
	struct strvec kept = {0};
	struct err err;

	if (!dir)
		return;
	if (artifacts && is_bad) {
		if (artifacts_keep(artifacts, s->file->display, dir, &kept,
				   &err) < 0)
			track_output(&s->track, err.text, strlen(err.text));
		if (kept.n)
			track_artifacts(&s->track, &kept);
		strvec_done(&kept);
	}
	rundir_remove(dir);
}

/* When the worker is overdue. */
static int64_t slot_deadline(const struct slot *s)
{
	if (s->why)
		return CLOCK_NEVER;
	if (s->end_by_ns < s->track.deadline_ns || s->track.is_ended)
		return s->end_by_ns;
	return s->track.deadline_ns;
}

static void slot_arm(struct slot *s)
{
	timer_set(s->timer, slot_deadline(s));
}

/* Ends the worker at once; the first reason counts. */
static void slot_kill(struct slot *s, char *take_why)
{
	if (s->why)
		free(take_why);
	else
		s->why = take_why;
	timer_set(s->timer, CLOCK_NEVER);
	worker_proc_kill(s->proc);
}

static void slot_end_soon(struct slot *s)
{
	if (s->end_by_ns == CLOCK_NEVER)
		s->end_by_ns = clock_deadline_ns(s->run->opts->grace_ns);
	slot_arm(s);
}

static void on_deadline(void *ctx)
{
	struct slot *s = ctx;
	struct track *t = &s->track;
	int64_t now_ns = clock_now_ns();

	/* We may be late ourselves, and have news before us unread. */
	worker_proc_catch_up(s->proc);
	if (slot_deadline(s) > now_ns) {
		slot_arm(s);
		return;
	}
	double ran = (double)(now_ns - t->test_started_ns) / NS_PER_SEC;
	if (now_ns >= s->end_by_ns)
		slot_kill(s, mem_strdup("the worker did not end by itself"));
	else if (t->running)
		slot_kill(s, mem_printf(
				 "timed out after %.1f s, in code that provium "
				 "cannot interrupt: its worker was killed",
				 ran));
	else if (!t->planned)
		slot_kill(s, mem_printf("the file did not load within %.1f s",
					(double)(now_ns - t->started_ns) /
					    NS_PER_SEC));
	else
		slot_kill(
		    s, mem_strdup("the worker fell silent between two tests"));
}

static void on_event(void *ctx, const char *line, size_t n)
{
	struct slot *s = ctx;
	struct err err;

	if (s->why)
		return;
	if (track_event(&s->track, line, n, clock_now_ns(), &err) < 0)
		slot_kill(s, mem_printf("the worker sent %s", err.text));
	else if (s->track.is_ended)
		slot_end_soon(s);
	else
		slot_arm(s);
}

static void on_overlong(void *ctx)
{
	slot_kill(ctx, mem_printf("the worker sent a line of over %u MiB",
				  EVENT_LINE_MAX >> 20));
}

static void on_output(void *ctx, const char *line, size_t n)
{
	struct slot *s = ctx;

	track_output(&s->track, line, n);
}

static void on_hangup(void *ctx)
{
	slot_end_soon(ctx);
}

/* Why the worker is gone; owned, NULL: it did what it should. */
static char *slot_reason(struct slot *s, int status)
{
	if (s->why)
		return TAKE(s->why);
	if (WIFSIGNALED(status)) {
		int sig = WTERMSIG(status);
		const char *name = sigabbrev_np(sig);
		return mem_printf(
		    "the worker died: SIG%s (%s)", name ? name : "?",
		    sig == SIGKILL ? "killed from outside; out of memory?"
				   : sigdescr_np(sig));
	}
	if (!s->track.is_ended)
		return mem_printf("the worker ended early with status %d",
				  WEXITSTATUS(status));
	if (WEXITSTATUS(status))
		return mem_printf("the worker ended with status %d",
				  WEXITSTATUS(status));
	return NULL;
}

static void slot_start_worker(struct slot *s);

static void on_exited(void *ctx, int status)
{
	struct slot *s = ctx;
	struct run *run = s->run;
	CLEANUP(free_ptr) char *why = slot_reason(s, status);
	int64_t now_ns = clock_now_ns();
	bool wants_more = false;

	s->proc = worker_proc_free(s->proc);
	timer_set(s->timer, CLOCK_NEVER);
	if (s->track.is_ended)
		track_worker_end(&s->track, why, now_ns);
	else if (run->result.signal)
		track_interrupt(&s->track, "interrupted", now_ns);
	else
		wants_more = track_worker_lost(&s->track, why, now_ns);
	slot_drop_dir(s, TAKE(s->dir), slot_failures(s) > s->bad_before);
	if (wants_more)
		slot_start_worker(s);
	else
		slot_finish_file(s);
}

static int slot_spawn(struct slot *s, struct err *err)
{
	static const struct worker_proc_ops ops = {
	    .event = on_event,
	    .output = on_output,
	    .overlong = on_overlong,
	    .hangup = on_hangup,
	    .exited = on_exited,
	};
	const struct run_options *o = s->run->opts;
	struct job job = {
	    .file = s->file->path,
	    .display = s->file->display,
	    .config = mem_strdup(o->config),
	    .filter = mem_strdup(o->filter),
	    .list_only = o->list_only,
	    .timeout_ns = o->timeout_ns,
	    .verbose = o->verbose,
	};

	s->end_by_ns = CLOCK_NEVER;
	s->bad_before = slot_failures(s);
	s->dir = rundir_new_sub(&s->run->dir, err);
	job.run_dir = s->dir;
	track_worker_start(&s->track, &job.skip, clock_now_ns());
	if (s->dir)
		s->proc = worker_proc_new(s->run->loop, o->worker, &job, &ops,
					  s, err);
	free(job.config);
	free(job.filter);
	strvec_done(&job.skip);
	return s->proc ? 0 : err->code;
}

static void slot_start_worker(struct slot *s)
{
	struct err err = {0};

	if (!slot_spawn(s, &err)) {
		slot_arm(s);
		return;
	}
	slot_drop_dir(s, TAKE(s->dir), false);
	track_worker_lost(&s->track, err.text, clock_now_ns());
	slot_finish_file(s);
}

static void slot_start_file(struct slot *s, const struct test_file *file)
{
	struct track_spec spec = {
	    .display = file->display,
	    .filter = s->run->opts->filter,
	    .list_only = s->run->opts->list_only,
	    .timeout_ns = s->run->opts->timeout_ns,
	    .grace_ns = s->run->opts->grace_ns,
	};

	s->file = file;
	s->run->n_busy++;
	track_init(&s->track, &spec, s->run->sink, clock_now_ns());
	slot_start_worker(s);
}

/* --- the run --------------------------------------------------------------*/

static void fill_slots(struct run *run)
{
	for (unsigned i = 0; i < run->opts->jobs; i++) {
		struct slot *s = &run->slots[i];
		/* A file whose worker cannot start is over at once. */
		while (!s->file && run->next < run->files->n &&
		       !run->result.signal)
			slot_start_file(s, &run->files->v[run->next++]);
	}
}

static void on_signal(void *ctx, int fd, unsigned ready)
{
	struct run *run = ctx;
	struct signalfd_siginfo info;
	bool is_second = run->result.signal != 0;

	(void)ready;
	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	/* Each line written to a closed pipe sends another SIGPIPE. */
	if (is_second && info.ssi_signo == SIGPIPE)
		return;
	run->result.signal = (int)info.ssi_signo;
	for (unsigned i = 0; i < run->opts->jobs; i++) {
		struct slot *s = &run->slots[i];
		if (!s->proc)
			continue;
		if (is_second) {
			slot_kill(s, mem_strdup("interrupted"));
		} else {
			worker_proc_terminate(s->proc);
			slot_end_soon(s);
		}
	}
}

static int watch_signals(struct run *run, struct err *err)
{
	static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

	sigemptyset(&run->signals);
	for (size_t i = 0; i < ARRAY_LEN(caught); i++)
		sigaddset(&run->signals, caught[i]);
	sigprocmask(SIG_BLOCK, &run->signals, &run->old_mask);
	run->signal_fd =
	    signalfd(-1, &run->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signal_fd < 0)
		return err_set(err, -errno, "signalfd: %s", strerror(errno));
	run->signal_watch =
	    watch_new(run->loop, run->signal_fd, on_signal, run);
	watch_set(run->signal_watch, LOOP_READ);
	return 0;
}

/* Signals that came too late to be read must not kill us in the report. */
static void unwatch_signals(struct run *run)
{
	static const struct timespec none = {0};

	watch_free(run->signal_watch);
	fd_closep(&run->signal_fd);
	while (sigtimedwait(&run->signals, NULL, &none) > 0)
		;
	sigprocmask(SIG_SETMASK, &run->old_mask, NULL);
}

static int run_init(struct run *run, struct err *err)
{
	unsigned jobs = run->opts->jobs;
	int r;

	run->loop = loop_new(err);
	if (!run->loop)
		return err->code;
	run->slots = mem_zalloc(jobs * sizeof(*run->slots));
	for (unsigned i = 0; i < jobs; i++) {
		struct slot *s = &run->slots[i];
		s->run = run;
		s->timer = timer_new(run->loop, on_deadline, s);
	}
	r = rundir_open(&run->dir, NULL, err);
	if (r < 0)
		return r;
	return watch_signals(run, err);
}

static void run_done(struct run *run)
{
	if (run->loop && run->signal_fd >= 0)
		unwatch_signals(run);
	for (unsigned i = 0; run->slots && i < run->opts->jobs; i++)
		timer_free(run->slots[i].timer);
	free(run->slots);
	rundir_close(&run->dir);
	if (run->loop)
		loop_free(run->loop);
}

static void emit_start(struct run *run)
{
	json_t *ev = event_new("run_start");

	json_object_set_new(ev, "version", json_integer(EVENT_VERSION));
	json_object_set_new(ev, "provium", json_string(PROVIUM_VERSION));
	json_object_set_new(ev, "files",
			    json_integer((json_int_t)run->files->n));
	run->sink->event(run->sink, ev);
	json_decref(ev);
}

static void emit_end(struct run *run, int64_t started_ns)
{
	const struct track_totals *t = &run->result.totals;
	json_t *ev = event_new("run_end");
	double s = (double)(clock_now_ns() - started_ns) / NS_PER_SEC;

	json_object_set_new(ev, "passed", json_integer(t->passed));
	json_object_set_new(ev, "failed", json_integer(t->failed));
	json_object_set_new(ev, "skipped", json_integer(t->skipped));
	json_object_set_new(ev, "errors", json_integer(t->errors));
	json_object_set_new(ev, "files_run",
			    json_integer(run->result.files_run));
	json_object_set_new(ev, "duration", json_real(s));
	if (run->result.signal) {
		const char *name = sigabbrev_np(run->result.signal);
		json_object_set_new(ev, "interrupted",
				    json_sprintf("SIG%s", name));
	}
	run->sink->event(run->sink, ev);
	json_decref(ev);
}

int run_files(const struct run_options *opts, const struct test_files *files,
	      struct event_sink *sink, struct run_result *ret, struct err *err)
{
	struct run run = {
	    .opts = opts,
	    .files = files,
	    .sink = sink,
	    .dir = {.lock_fd = -1},
	    .signal_fd = -1,
	};
	int64_t started_ns = clock_now_ns();
	int r = run_init(&run, err);

	if (!r) {
		emit_start(&run);
		fill_slots(&run);
		while (run.n_busy) {
			loop_turn(run.loop);
			fill_slots(&run);
		}
		emit_end(&run, started_ns);
	}
	run_done(&run);
	*ret = run.result;
	return r;
}
