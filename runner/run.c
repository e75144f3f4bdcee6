/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A run has as many slots as files may run at a time, and
 * gives them the files in their order. A file that turns out to have serial
 * tests comes back from its slot, and is run again when all others are done,
 * with no other beside it.
 *
 * Workers are forked with a Lua state that is ready for a file, which nothing
 * has run in. What a file costs is a fork; it still has a process of its own.
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
#include "runner/budget.h"
#include "runner/lineup.h"
#include "runner/lua_state.h"
#include "runner/report.h"
#include "runner/rundir.h"
#include "runner/share.h"
#include "runner/shell_word.h"
#include "runner/slot.h"

/* What a guest needs unless something else is said: so many files are let run
 * at a time by default as the budget has room for one each. */
#define GUEST_MEMORY (UINT64_C(256) << 20)

#define TICK_NS	     NS_PER_SEC
/* The longest wait of a file's start for a host under pressure. */
#define HELD_BACK_MAX_NS (3 * NS_PER_SEC)

struct run {
	struct slot_env env; /* first: what slots know of this */
	const struct run_options *opts;
	const struct test_files *files;
	size_t next;
	const struct test_file **deferred; /* owned array */
	size_t n_deferred;
	size_t next_deferred;
	struct run_result result;
	struct rundir dir;
	struct slot **slots; /* owned array */
	unsigned n_slots;
	unsigned n_busy;
	int64_t held_back_ns; /* since when the next file is; 0: it is not */
	struct timer *timer;  /* the end of its time */
	struct timer *tick;   /* for reports that show time */
	int signal_fd;
	struct watch *signal_watch;
	sigset_t signals;
	sigset_t old_mask;
};

/* --- the run --------------------------------------------------------------*/

static void defer(struct run *run, const struct test_file *file)
{
	run->deferred = mem_realloc_array(run->deferred, run->n_deferred + 1,
					  sizeof(*run->deferred));
	run->deferred[run->n_deferred++] = file;
}

static void on_over(struct slot_env *env, const struct test_file *file,
		    bool is_deferred)
{
	struct run *run = CONTAINER_OF(env, struct run, env);

	run->n_busy--;
	if (is_deferred)
		defer(run, file);
}

/* A busy host gets one file at a time, and a little later one more: files may
 * need each other, and others may keep the host busy for ever. */
static bool is_held_back(struct run *run)
{
	int64_t now_ns = clock_now_ns();
	bool is_pressed = run->n_busy && share_is_pressed(run->env.share);

	if (is_pressed && !run->held_back_ns)
		run->held_back_ns = now_ns;
	if (is_pressed && now_ns - run->held_back_ns < HELD_BACK_MAX_NS)
		return true;
	run->held_back_ns = 0;
	return false;
}

/* The next file to start now, or NULL. */
static const struct test_file *next_file(struct run *run, bool *ret_is_shared)
{
	*ret_is_shared = run->n_slots > 1;
	if (run->env.is_ending)
		return NULL;
	if (run->next < run->files->n && is_held_back(run))
		return NULL;
	while (run->next < run->files->n) {
		const struct test_file *file = &run->files->v[run->next++];

		if (!file->is_serial || run->n_slots == 1)
			return file;
		defer(run, file);
	}
	*ret_is_shared = false;
	if (!run->n_busy && run->next_deferred < run->n_deferred)
		return run->deferred[run->next_deferred++];
	return NULL;
}

static void fill_slots(struct run *run)
{
	const struct test_file *file;
	bool is_shared;

	for (unsigned i = 0; i < run->n_slots; i++) {
		struct slot *s = run->slots[i];
		/* A file whose worker cannot start is over at once. */
		while (slot_is_idle(s) && (file = next_file(run, &is_shared))) {
			run->n_busy++;
			slot_start(s, file, is_shared);
		}
	}
}

static void for_slots(struct run *run, void (*fn)(struct slot *s))
{
	for (unsigned i = 0; i < run->n_slots; i++)
		fn(run->slots[i]);
}

static void on_overdue(void *ctx)
{
	struct run *run = ctx;

	if (run->env.is_ending)
		return;
	run->result.is_overdue = true;
	run->env.is_ending = true;
	for_slots(run, slot_tell_and_terminate);
}

/* With --fail-fast, ends the run at the first failure. */
static void look_for_failures(struct run *run)
{
	unsigned n = run->result.totals.failed + run->result.totals.errors;

	for (unsigned i = 0; i < run->n_slots; i++)
		if (!slot_is_idle(run->slots[i]))
			n += slot_failures(run->slots[i]);
	if (!n || run->env.is_ending)
		return;
	run->result.is_cut = true;
	run->env.is_ending = true;
	for_slots(run, slot_terminate);
}

static void run_on_signal(void *ctx, int fd, unsigned ready)
{
	struct run *run = ctx;
	struct signalfd_siginfo info;
	bool is_second = run->env.is_ending;

	(void)ready;
	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1) {
		for_slots(run, slot_tell);
		return;
	}
	if (info.ssi_signo == SIGWINCH) {
		report_tick(run->env.sink);
		return;
	}
	/* Each line written to a closed pipe sends another SIGPIPE. */
	if (is_second && info.ssi_signo == SIGPIPE)
		return;
	run->result.signal = (int)info.ssi_signo;
	run->env.is_ending = true;
	for_slots(run, is_second ? slot_interrupt : slot_tell_and_terminate);
}

static void run_on_tick(void *ctx)
{
	struct run *run = ctx;

	report_tick(run->env.sink);
	timer_set(run->tick, clock_deadline_ns(TICK_NS));
}

static int watch_signals(struct run *run, struct err *err)
{
	static const int caught[] = {SIGINT,  SIGTERM, SIGHUP,
				     SIGPIPE, SIGUSR1, SIGWINCH};

	sigemptyset(&run->signals);
	for (size_t i = 0; i < ARRAY_LEN(caught); i++)
		sigaddset(&run->signals, caught[i]);
	sigprocmask(SIG_BLOCK, &run->signals, &run->old_mask);
	run->signal_fd =
	    signalfd(-1, &run->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signal_fd < 0)
		return err_set(err, -errno, "signalfd: %s", strerror(errno));
	run->signal_watch =
	    watch_new(run->env.loop, run->signal_fd, run_on_signal, run);
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

/* How many files at a time, unless that was said. */
static unsigned default_jobs(const struct pool_budget *budget)
{
	uint64_t n = budget->amount.memory / GUEST_MEMORY;
	unsigned cpus = budget_cpus();

	if (n > cpus)
		n = cpus;
	if (n > RUN_JOBS_MAX)
		n = RUN_JOBS_MAX;
	return n ? (unsigned)n : 1;
}

static void make_slots(struct run *run)
{
	const struct run_options *o = run->opts;
	struct pool_budget budget;

	budget_find(NULL, &o->wish, &budget);
	run->env.share = share_new(run->env.loop, &budget, o->pressure);
	share_report(run->env.share, run->env.sink);
	run->n_slots = o->jobs ? o->jobs : default_jobs(&budget);
	if (o->debug_out) {
		run->n_slots = 1;
		run->env.prompt =
		    prompt_new(run->env.loop, o->debug_in, o->debug_out);
	}
	if (run->n_slots > run->files->n)
		run->n_slots = run->files->n ? (unsigned)run->files->n : 1;
	run->slots = mem_zalloc(run->n_slots * sizeof(*run->slots));
	for (unsigned i = 0; i < run->n_slots; i++)
		run->slots[i] = slot_new(&run->env);
	run->timer = timer_new(run->env.loop, on_overdue, run);
	run->tick = timer_new(run->env.loop, run_on_tick, run);
	if (run->env.sink->tick)
		timer_set(run->tick, clock_deadline_ns(TICK_NS));
	if (o->run_timeout_ns)
		timer_set(run->timer, clock_deadline_ns(o->run_timeout_ns));
}

static int run_init(struct run *run, struct err *err)
{
	int r;

	run->env.opts = run->opts;
	run->env.dir = &run->dir;
	run->env.result = &run->result;
	run->env.over = on_over;
	run->env.loop = loop_new(err);
	if (!run->env.loop)
		return err->code;
	run->env.L = lua_state_new(err);
	if (!run->env.L)
		return err->code;
	make_slots(run);
	/* A worker opens one there when it has a snapshot. */
	rundir_sweep(rundir_spool());
	r = rundir_open(&run->dir, NULL, err);
	if (r < 0)
		return r;
	return watch_signals(run, err);
}

static void run_done(struct run *run)
{
	if (run->env.loop && run->signal_fd >= 0)
		unwatch_signals(run);
	for (unsigned i = 0; i < run->n_slots; i++)
		slot_free(run->slots[i]);
	free(run->slots);
	free(run->deferred);
	prompt_free(run->env.prompt);
	timer_free(run->timer);
	timer_free(run->tick);
	share_free(run->env.share);
	rundir_close(&run->dir);
	if (run->env.L)
		lua_close(run->env.L);
	if (run->env.loop)
		loop_free(run->env.loop);
}

/* A repeated file has the same order in each round. */
char *run_repeat(const struct run_options *o, const char *display)
{
	CLEANUP(buf_done) struct buf b = {0};
	CLEANUP(free_ptr)
	char *name = mem_strndup(display, lineup_name_len(display));

	if (!o->repeat)
		return NULL;
	buf_printf(&b, "%s ", o->repeat);
	shell_word_append(&b, name);
	return mem_strndup((char *)buf_data(&b), b.len);
}

static void run_emit_start(struct run *run)
{
	json_t *ev = event_begin("run_start");

	json_object_set_new(ev, "version", json_integer(EVENT_VERSION));
	json_object_set_new(ev, "provium", json_string(PROVIUM_VERSION));
	json_object_set_new(ev, "files",
			    json_integer((json_int_t)run->files->n));
	run->env.sink->event(run->env.sink, ev);
	json_decref(ev);
}

static void run_emit_end(struct run *run, int64_t started_ns)
{
	const struct track_totals *t = &run->result.totals;
	json_t *ev = event_begin("run_end");
	double s = (double)(clock_now_ns() - started_ns) / NS_PER_SEC;

	json_object_set_new(ev, "passed", json_integer(t->passed));
	json_object_set_new(ev, "failed", json_integer(t->failed));
	json_object_set_new(ev, "skipped", json_integer(t->skipped));
	json_object_set_new(ev, "errors", json_integer(t->errors));
	if (t->left_out)
		json_object_set_new(ev, "left_out", json_integer(t->left_out));
	json_object_set_new(ev, "files_run",
			    json_integer(run->result.files_run));
	json_object_set_new(ev, "duration", json_real(s));
	if (run->result.signal) {
		const char *name = sigabbrev_np(run->result.signal);
		json_object_set_new(ev, "interrupted",
				    json_sprintf("SIG%s", name));
	} else if (run->result.is_overdue) {
		json_object_set_new(ev, "interrupted",
				    json_string("--run-timeout"));
	} else if (run->result.is_cut) {
		json_object_set_new(ev, "interrupted",
				    json_string("--fail-fast"));
	}
	run->env.sink->event(run->env.sink, ev);
	json_decref(ev);
}

int run_files(const struct run_options *opts, const struct test_files *files,
	      struct event_sink *sink, struct run_result *ret, struct err *err)
{
	struct run run = {
	    .opts = opts,
	    .files = files,
	    .env.sink = sink,
	    .dir = {.lock_fd = -1},
	    .signal_fd = -1,
	};
	int64_t started_ns = clock_now_ns();
	int r = run_init(&run, err);

	if (!r) {
		run_emit_start(&run);
		fill_slots(&run);
		while (run.n_busy) {
			loop_turn(run.env.loop);
			if (opts->is_fail_fast)
				look_for_failures(&run);
			fill_slots(&run);
		}
		run_emit_end(&run, started_ns);
	}
	run_done(&run);
	*ret = run.result;
	return r;
}
