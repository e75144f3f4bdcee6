/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A slot gives its file to a worker, and to further ones
 * as long as track.h says that the rest of the file wants one. It waits for
 * exactly one thing, the exit of its worker; all else (a test past its
 * deadline, a line that is no event, a signal to this process) only makes
 * sure that the exit comes, and is remembered as the reason for it.
 *
 *	idle --slot_start()--> running --exited--> idle, or running again
 *
 * While a worker only waits for the pool, all its deadlines stand still.
 */
#include "runner/slot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/artifacts.h"
#include "runner/trail.h"
#include "runner/worker.h"
#include "runner/worker_proc.h"

/* What a worker that was asked what it waits for gets to answer; less where it
 * is to be ended then. */
#define TELL_SPAN_NS (2 * NS_PER_SEC)
#define LAST_SPAN_NS NS_PER_SEC

struct slot {
	struct slot_env *env;
	const struct test_file *file; /* NULL: idle */
	struct track track;
	struct worker_proc *proc;
	struct member *member; /* of the pool */
	struct timer *timer;
	struct timer *slow_timer;
	struct timer *tell_timer;
	void (*told)(struct slot *s); /* once it has answered, or NULL */
	char *waited; /* trail_summary() of the answer before its end, owned */
	char *repeat; /* the track's, owned */
	char *dir;    /* the worker's runtime directory */
	unsigned bad_before;  /* failures of the file when it started */
	char *why;	      /* we ended it: the reason, owned; else NULL */
	int64_t end_by_ns;    /* when it must have exited; CLOCK_NEVER: open */
	int64_t file_by_ns;   /* when the file must be over */
	int64_t parked_ns;    /* since when it is parked; 0: it is not */
	int64_t slow_test_ns; /* start of the test that slow_span is for */
	int64_t slow_span_ns; /* after so long it is told of */
	bool is_held;	      /* a test is, for who sits before it */
	bool is_shared;
	bool is_deferred;
	bool is_file_late;
};

static void add_totals(struct track_totals *sum, const struct track_totals *t)
{
	sum->passed += t->passed;
	sum->failed += t->failed;
	sum->skipped += t->skipped;
	sum->errors += t->errors;
	sum->listed += t->listed;
	sum->left_out += t->left_out;
}

static void slot_finish_file(struct slot *s)
{
	struct slot_env *env = s->env;
	const struct test_file *file = TAKE(s->file);

	free(TAKE(s->repeat));
	free(TAKE(s->waited));
	if (s->is_deferred) {
		track_forget(&s->track);
	} else {
		track_done(&s->track, clock_now_ns());
		add_totals(&env->result->totals, &s->track.totals);
		env->result->files_run++;
	}
	env->over(env, file, s->is_deferred);
}

unsigned slot_failures(const struct slot *s)
{
	return s->track.totals.failed + s->track.totals.errors;
}

/* Removes a worker's directory; the logs in it are kept first if the worker
 * had failures and the user wants them. */
static void slot_drop_dir(struct slot *s, char *take_dir, bool is_bad)
{
	CLEANUP(free_ptr) char *dir = take_dir;
	const char *artifacts = s->env->opts->artifacts;
	struct strvec kept = {0};
	struct err err;

	if (!dir)
		return;
	if (artifacts && (is_bad || s->env->opts->keeps_artifacts)) {
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
	int64_t by_ns = s->end_by_ns;

	if (s->why || s->told)
		return CLOCK_NEVER;
	if (s->track.is_ended || s->parked_ns)
		return by_ns;
	if (s->file_by_ns < by_ns)
		by_ns = s->file_by_ns;
	return s->track.deadline_ns < by_ns ? s->track.deadline_ns : by_ns;
}

/* When the running test is to be told of as slow. */
static int64_t slow_at(struct slot *s)
{
	const struct track *t = &s->track;

	if (!t->running || s->parked_ns || s->why || !s->env->opts->slow_ns)
		return CLOCK_NEVER;
	if (s->slow_test_ns != t->test_started_ns) {
		s->slow_test_ns = t->test_started_ns;
		s->slow_span_ns = s->env->opts->slow_ns;
	}
	if (s->slow_span_ns >= CLOCK_NEVER - t->test_started_ns)
		return CLOCK_NEVER;
	return t->test_started_ns + s->slow_span_ns;
}

static void slot_arm(struct slot *s)
{
	timer_set(s->timer, slot_deadline(s));
	timer_set(s->slow_timer, slow_at(s));
}

/* Each time that it has taken twice as long. */
static void slot_on_slow(void *ctx)
{
	struct slot *s = ctx;

	worker_proc_catch_up(s->proc);
	if (slow_at(s) <= clock_now_ns()) {
		track_slow(&s->track, clock_now_ns());
		s->slow_span_ns +=
		    s->slow_span_ns < CLOCK_NEVER / 2 ? s->slow_span_ns : 0;
	}
	slot_arm(s);
}

/* Ends the worker at once; the first reason counts. */
static void slot_kill(struct slot *s, char *take_why)
{
	if (s->why)
		free(take_why);
	else
		s->why = take_why;
	slot_arm(s);
	worker_proc_kill(s->proc);
}

static void slot_end_soon(struct slot *s)
{
	if (s->end_by_ns == CLOCK_NEVER)
		s->end_by_ns = clock_deadline_ns(s->env->opts->grace_ns);
	slot_arm(s);
}

static void slot_kill_late(struct slot *s)
{
	const char *where = s->waited ? s->waited : "";

	s->is_file_late = true;
	slot_kill(s,
		  mem_printf("the file took longer than %.4gs "
			     "(--file-timeout)%s%s",
			     (double)s->env->opts->file_timeout_ns / NS_PER_SEC,
			     *where ? "," : "", where));
}

/* Asks the worker what it waits for, and calls told then, or when it does not
 * answer in time. */
static void slot_ask(struct slot *s, int64_t span_ns,
		     void (*told)(struct slot *s))
{
	s->told = told;
	worker_proc_ask_state(s->proc);
	timer_set(s->tell_timer, clock_deadline_ns(span_ns));
	slot_arm(s);
}

/* calls NULL: it did not answer. */
static void slot_answered(struct slot *s, const json_t *calls)
{
	void (*told)(struct slot * s) = TAKE(s->told);

	timer_set(s->tell_timer, CLOCK_NEVER);
	if (told) {
		free(s->waited);
		s->waited = trail_summary(calls);
	}
	track_waiting(&s->track, calls, clock_now_ns());
	if (told)
		told(s);
}

static void slot_on_deadline(void *ctx)
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
	else if (now_ns >= s->file_by_ns)
		slot_ask(s, LAST_SPAN_NS, slot_kill_late);
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

static void on_typed(void *ctx, const char *line)
{
	struct slot *s = ctx;
	json_t *o = json_object();
	char *text;

	json_object_set_new(
	    o, "said", line ? event_string(line, strlen(line)) : json_null());
	text = json_dumps(o, JSON_COMPACT);
	worker_proc_send(s->proc, text, strlen(text));
	worker_proc_send(s->proc, "\n", 1);
	free(text);
	json_decref(o);
}

static void slot_park(struct slot *s, bool is_parked);

/* A test that failed is held: its time stands still. */
static void slot_debug(struct slot *s, const json_t *ev)
{
	const json_t *text = json_object_get(ev, "text");

	if (!s->env->prompt)
		return;
	if (!s->is_held) {
		slot_park(s, true);
		s->is_held = true;
	}
	if (json_is_string(text))
		prompt_print(s->env->prompt, json_string_value(text),
			     json_string_length(text));
	if (json_is_true(json_object_get(ev, "prompt")))
		prompt_ask(s->env->prompt, on_typed, s);
	if (!json_is_true(json_object_get(ev, "over")))
		return;
	prompt_print(s->env->prompt, "\n", 1);
	s->is_held = false;
	slot_park(s, false);
}

/* The events that are for the parent alone. 1: it was one; else 0, or negative
 * for what makes no sense. */
static int slot_take_event(struct slot *s, const json_t *ev, struct err *err)
{
	const char *name = json_string_value(json_object_get(ev, "event"));

	if (!strcmp(name, "waiting")) {
		slot_answered(s, json_object_get(ev, "calls"));
		return 1;
	}
	if (!strcmp(name, "deferred") && s->is_shared &&
	    !s->track.has_progress) {
		s->is_deferred = true;
		return 1;
	}
	if (!strcmp(name, "debug")) {
		slot_debug(s, ev);
		return 1;
	}
	return share_event(s->member, ev, err);
}

static void slot_on_event(void *ctx, const char *line, size_t n)
{
	struct slot *s = ctx;
	struct err err;
	json_t *ev;
	int r;

	if (s->why)
		return;
	ev = event_decode(line, n, &err);
	r = ev ? slot_take_event(s, ev, &err) : -EBADMSG;
	if (!r)
		r = track_event(&s->track, ev, clock_now_ns(), &err);
	json_decref(ev);
	if (r < 0)
		slot_kill(s, mem_printf("the worker sent %s", err.text));
	else if (s->track.is_ended)
		slot_end_soon(s);
	else
		slot_arm(s);
}

static void on_no_answer(void *ctx)
{
	slot_answered(ctx, NULL);
}

static void slot_park(struct slot *s, bool is_parked)
{
	int64_t now_ns = clock_now_ns();

	if (s->is_held)
		return;
	if (is_parked && !s->parked_ns) {
		s->parked_ns = now_ns;
	} else if (!is_parked && s->parked_ns) {
		int64_t span_ns = now_ns - s->parked_ns;

		s->parked_ns = 0;
		s->slow_test_ns += span_ns;
		track_shift(&s->track, span_ns);
		if (s->file_by_ns < CLOCK_NEVER - span_ns)
			s->file_by_ns += span_ns;
	}
	slot_arm(s);
}

static void slot_on_parked(void *ctx, bool is_parked)
{
	slot_park(ctx, is_parked);
}

static void slot_on_answer(void *ctx, const char *line, size_t n)
{
	struct slot *s = ctx;

	worker_proc_send(s->proc, line, n);
}

static void on_overlong(void *ctx)
{
	slot_kill(ctx, mem_printf("the worker sent a line of over %u MiB",
				  EVENT_LINE_MAX >> 20));
}

static void slot_on_output(void *ctx, const char *line, size_t n)
{
	struct slot *s = ctx;

	track_output(&s->track, line, n);
}

static void on_hangup(void *ctx)
{
	slot_end_soon(ctx);
}

static void on_deaf(void *ctx, int code)
{
	slot_kill(
	    ctx, mem_printf("cannot read from the worker: %s", strerror(code)));
}

/* Why the worker is gone; owned, NULL: it did what it should. */
static char *slot_reason(struct slot *s, int status)
{
	return s->why ? TAKE(s->why)
		      : worker_proc_reason(status, s->track.is_ended);
}

static void slot_start_worker(struct slot *s);

static void on_exited(void *ctx, int status)
{
	struct slot *s = ctx;
	CLEANUP(free_ptr) char *why = slot_reason(s, status);
	CLEANUP(free_ptr)
	char *cut = mem_printf("interrupted%s", s->waited ? s->waited : "");
	int64_t now_ns = clock_now_ns();
	bool wants_more = false;

	s->proc = worker_proc_free(s->proc);
	s->member = share_leave(s->member);
	if (s->is_held) {
		prompt_cancel(s->env->prompt);
		s->is_held = false;
		slot_park(s, false);
	}
	timer_set(s->timer, CLOCK_NEVER);
	timer_set(s->slow_timer, CLOCK_NEVER);
	timer_set(s->tell_timer, CLOCK_NEVER);
	s->told = NULL;
	if (s->is_deferred)
		s->is_deferred = !s->env->is_ending;
	else if (s->is_file_late)
		track_late(&s->track, why, now_ns);
	else if (s->track.is_ended)
		track_worker_end(&s->track, s->env->is_ending ? NULL : why,
				 now_ns);
	else if (s->env->is_ending)
		track_interrupt(&s->track, cut, now_ns);
	else
		wants_more = track_worker_lost(&s->track, why, now_ns);
	slot_drop_dir(s, TAKE(s->dir), slot_failures(s) > s->bad_before);
	if (wants_more)
		slot_start_worker(s);
	else
		slot_finish_file(s);
}

/* What the worker takes from its run. */
struct duty {
	const struct slot_env *env;
	const struct job *job;
};

static int be_worker(void *ctx, int fd)
{
	const struct duty *d = ctx;
	run_worker *run = d->env->opts->worker;

	return (run ? run : worker_main)(d->env->L, d->job, fd);
}

static int slot_spawn(struct slot *s, struct err *err)
{
	static const struct worker_proc_ops ops = {
	    .event = slot_on_event,
	    .output = slot_on_output,
	    .overlong = on_overlong,
	    .hangup = on_hangup,
	    .deaf = on_deaf,
	    .exited = on_exited,
	};
	static const struct share_ops share_ops = {
	    .send = slot_on_answer,
	    .parked = slot_on_parked,
	};
	const struct run_options *o = s->env->opts;
	struct job job = {
	    .file = s->file->path,
	    .display = s->file->display,
	    .config = o->config,
	    .select = o->select,
	    .list_only = o->list_only,
	    .is_shared = s->is_shared,
	    .timeout_ns = o->timeout_ns,
	    .keeps_logs = o->artifacts,
	    .is_debug = s->env->prompt,
	    .is_fail_fast = o->is_fail_fast,
	    .retries = o->retries,
	    .shuffle = o->shuffle,
	    .verbose = o->verbose,
	};
	struct output_mark mark;
	struct duty duty = {.env = s->env, .job = &job};

	output_mark_init(&mark);
	job.mark = &mark;
	s->end_by_ns = CLOCK_NEVER;
	s->parked_ns = 0;
	s->bad_before = slot_failures(s);
	s->dir = rundir_new_sub(s->env->dir, err);
	job.run_dir = s->dir;
	track_worker_start(&s->track, &job.skip, clock_now_ns());
	if (s->dir)
		s->proc = worker_proc_new(s->env->loop, be_worker, &duty, &mark,
					  &ops, s, err);
	strvec_done(&job.skip);
	if (!s->proc)
		return err->code;
	s->member = share_join(s->env->share, s->file->display, &share_ops, s);
	return 0;
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

void slot_start(struct slot *s, const struct test_file *file, bool is_shared)
{
	const struct run_options *o = s->env->opts;
	s->repeat = run_repeat(o, file->display);
	struct track_spec spec = {
	    .repeat = s->repeat,
	    .display = file->display,
	    .list_only = o->list_only,
	    .is_fail_fast = o->is_fail_fast,
	    .holds = is_shared,
	    .timeout_ns = o->timeout_ns,
	    .grace_ns = o->grace_ns,
	};

	s->file = file;
	s->is_shared = is_shared;
	s->is_deferred = false;
	s->is_file_late = false;
	s->file_by_ns = o->file_timeout_ns
			    ? clock_deadline_ns(o->file_timeout_ns)
			    : CLOCK_NEVER;
	track_init(&s->track, &spec, s->env->sink, clock_now_ns());
	slot_start_worker(s);
}

/* --- from outside ---------------------------------------------------------*/

struct slot *slot_new(struct slot_env *env)
{
	struct slot *s = mem_zalloc(sizeof(*s));

	s->env = env;
	s->timer = timer_new(env->loop, slot_on_deadline, s);
	s->slow_timer = timer_new(env->loop, slot_on_slow, s);
	s->tell_timer = timer_new(env->loop, on_no_answer, s);
	return s;
}

struct slot *slot_free(struct slot *s)
{
	if (!s)
		return NULL;
	timer_free(s->timer);
	timer_free(s->slow_timer);
	timer_free(s->tell_timer);
	free(s->waited);
	free(s);
	return NULL;
}

bool slot_is_idle(const struct slot *s)
{
	return !s->file;
}

void slot_terminate(struct slot *s)
{
	if (!s->proc)
		return;
	worker_proc_terminate(s->proc);
	slot_end_soon(s);
}

void slot_tell_and_terminate(struct slot *s)
{
	/* One that is held waits for who sits there. */
	if (!s->proc || s->is_held || s->why || s->track.is_ended)
		slot_terminate(s);
	else
		slot_ask(s, LAST_SPAN_NS, slot_terminate);
}

void slot_interrupt(struct slot *s)
{
	if (s->proc)
		slot_kill(s, mem_strdup("interrupted"));
}

void slot_tell(struct slot *s)
{
	if (s->proc && !s->told)
		slot_ask(s, TELL_SPAN_NS, NULL);
}
