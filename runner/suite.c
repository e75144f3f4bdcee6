/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: test() adds to an array while the chunk runs. Then
 * each selected test gets a scope, a deadline and a context `t`, is called
 * protected, and its outcome is read from three places: the mark (an
 * assertion that failed), t:skip()'s reason, and the error that came out. A
 * mark outranks a skip, which outranks an error (skipping raises one).
 */
#include "runner/suite.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/baseline.h"
#include "runner/bind.h"
#include "runner/bind_test.h"
#include "runner/debug.h"
#include "runner/evidence.h"
#include "runner/frames.h"
#include "runner/interrupt.h"
#include "runner/select.h"
#include "runner/shuffle.h"
#include "runner/worker.h"
#include "vmm/news.h"

void suite_init(struct suite *s, struct worker *w)
{
	*s = (struct suite){.w = w, .marks = 1};
	call_log_begin(&s->calls, clock_now_ns());
}

void suite_test_done(struct suite_test *t)
{
	free(t->name);
	json_decref(t->skip);
	strvec_done(&t->tags);
	json_decref(t->extra);
	*t = (struct suite_test){0};
}

void suite_done(struct suite *s)
{
	for (size_t i = 0; i < s->n_tests; i++)
		suite_test_done(&s->tests[i]);
	free(s->tests);
	suite_test_done(&s->draft);
	json_decref(s->todo);
	failure_done(&s->failure);
	failure_done(&s->early);
	json_decref(s->skipped);
	call_log_done(&s->calls);
	strvec_done(&s->files);
	*s = (struct suite){0};
}

const char *suite_running_name(const struct suite *s)
{
	return s->running ? s->running->name : NULL;
}

static void suite_fill(struct failure *f, lua_State *L, const char *text,
		       size_t n)
{
	struct buf trace = {0};

	if (f->message)
		return;
	frames_keep(L, L, FRAMES_OF_TEST);
	lua_state_site(L, &f->site);
	failure_set_message(f, text, n);
	lua_state_trace(L, &trace);
	f->trace =
	    mem_strndup(trace.len ? (char *)buf_data(&trace) : "", trace.len);
	buf_done(&trace);
}

void suite_mark(struct suite *s, lua_State *L, const char *text, size_t n)
{
	if (s->running)
		suite_fill(&s->failure, L, text, n);
}

void suite_mark_timeout(struct suite *s, lua_State *L, const char *text,
			size_t n, bool is_task)
{
	if (s->failure.message && s->is_of_task && !is_task)
		suite_unmark(s);
	if (!s->failure.message)
		s->is_of_task = is_task;
	suite_mark(s, L, text, n);
}

void suite_alarm(struct suite *s, lua_State *L, const char *text)
{
	if (s->running || !s->is_closed)
		suite_fill(s->running ? &s->failure : &s->early, L, text,
			   strlen(text));
}

struct object *suite_next(const struct suite *s, const struct object *o)
{
	const struct scope *in = o ? o->scope : s->w->scope;
	struct object *next = in ? scope_next(in, o) : NULL;

	/* No scope: the worker could not begin. */
	while (in && !next && (in = in->parent))
		next = scope_next(in, NULL);
	return next;
}

/* Some object of the test is about to say more of what went wrong. */
static bool is_busy(const struct suite *s)
{
	const struct object *o = NULL;

	while ((o = suite_next(s, o)))
		if (o->class->is_busy && o->class->is_busy(o))
			return true;
	return false;
}

void suite_settle(struct suite *s)
{
	/* One turn reads it, the next acts on it. */
	loop_poll(s->w->loop);
	loop_poll(s->w->loop);
	while (is_busy(s))
		loop_turn(s->w->loop);
}

void suite_mark_at(struct suite *s, const struct site *at, const char *text)
{
	struct failure *f = s->running ? &s->failure : &s->early;

	if (f->message || (!s->running && s->is_closed))
		return;
	f->site = *at;
	failure_set_text(f, text);
	f->trace = mem_strdup("");
}

bool suite_take_early(struct suite *s, struct failure *ret)
{
	if (!s->early.message)
		return false;
	*ret = s->early;
	s->early = (struct failure){0};
	return true;
}

/* --- events --- */

static json_t *text(const char *s)
{
	return event_string(s, strlen(s));
}

static json_t *test_event(const char *name, const struct suite_test *t)
{
	json_t *ev = event_begin(name);

	json_object_set_new(ev, "test", text(t->name));
	json_object_set_new(ev, "line", json_integer(t->site.line));
	return ev;
}

static enum verdict suite_judge(const struct suite *s,
				const struct suite_test *t)
{
	const struct select_test asked = {
	    .path = s->w->job->display ? s->w->job->display : s->w->job->file,
	    .file = s->w->job->file,
	    .name = t->name,
	    .tags = &t->tags,
	    .meta = t->extra,
	    .is_slow = t->is_slow,
	};

	return selection_judge(s->w->selection, &asked);
}

static bool suite_is_reported(const struct suite *s, const struct suite_test *t)
{
	const struct strvec *skip = &s->w->job->skip;
	bool is = false;

	if (!skip->n)
		return false;
	/* The names come from events, which hold no bytes but UTF-8. */
	json_t *name = text(t->name);
	for (size_t i = 0; i < skip->n; i++)
		is |= !strcmp(skip->v[i], json_string_value(name));
	json_decref(name);
	return is;
}

/* Why it shall not run, a borrowed string; or NULL. */
static json_t *skip_reason(const struct suite *s, const struct suite_test *t)
{
	return s->todo ? s->todo : t->skip;
}

static json_t *plan_entry(const struct suite *s, const struct suite_test *t)
{
	json_t *o = json_object();
	json_t *tags = json_array();
	json_t *skip = skip_reason(s, t);

	for (size_t i = 0; i < t->tags.n; i++)
		json_array_append_new(tags, text(t->tags.v[i]));
	json_object_set_new(o, "name", text(t->name));
	json_object_set_new(o, "line", json_integer(t->site.line));
	json_object_set_new(o, "tags", tags);
	json_object_set_new(o, "skip", skip ? json_incref(skip) : json_null());
	if (t->is_slow)
		json_object_set_new(o, "slow", json_true());
	if (t->is_serial)
		json_object_set_new(o, "serial", json_true());
	if (t->extra)
		json_object_set(o, "meta", t->extra);
	return o;
}

static int suite_compare_shuffled(const void *a, const void *b, void *seed)
{
	uint64_t x =
	    shuffle_key(*(int64_t *)seed, ((const struct suite_test *)a)->name);
	uint64_t y =
	    shuffle_key(*(int64_t *)seed, ((const struct suite_test *)b)->name);

	return x < y ? -1 : x > y;
}

void suite_shuffle(struct suite *s)
{
	int64_t seed = s->w->job->shuffle;

	if (seed && s->n_tests)
		qsort_r(s->tests, s->n_tests, sizeof(*s->tests),
			suite_compare_shuffled, &seed);
}

void suite_emit_plan(struct suite *s)
{
	json_t *ev = event_begin("plan");
	json_t *list = json_array();
	json_int_t left_out = 0;

	for (size_t i = 0; i < s->n_tests; i++) {
		enum verdict v = suite_judge(s, &s->tests[i]);

		if (v == VERDICT_YES)
			json_array_append_new(list,
					      plan_entry(s, &s->tests[i]));
		else if (v == VERDICT_LEFT_OUT)
			left_out++;
	}
	json_object_set_new(ev, "tests", list);
	if (left_out)
		json_object_set_new(ev, "left_out", json_integer(left_out));
	worker_emit(s->w, ev);
}

/* What the VMs that are alive printed last. */
static json_t *consoles(const struct suite *s)
{
	json_t *list = json_array();
	struct object *o = NULL;

	while ((o = suite_next(s, o)))
		if (o->class->report)
			o->class->report(o, list);
	return list;
}

/* What the networks of the test do to frames. */
static json_t *networks(const struct suite *s)
{
	json_t *list = json_array();
	const struct object *o = NULL;

	while ((o = suite_next(s, o)))
		if (o->class->in_force)
			o->class->in_force(o, list);
	return list;
}

static void add_failure(struct suite *s, json_t *ev, const struct failure *f)
{
	json_t *list = consoles(s);
	CLEANUP(buf_done) struct buf message = {0};

	if (json_array_size(list))
		news_unquote(&message, f->message, f->message_n);
	else
		buf_append(&message, f->message, f->message_n);
	json_object_set_new(
	    ev, "message",
	    event_string(message.len ? (char *)buf_data(&message) : "",
			 message.len));
	evidence_set_source(s->w, ev, &f->site);
	if (f->site.file[0])
		json_object_set_new(ev, "location",
				    json_pack("{s:o,s:i}", "file",
					      text(f->site.file), "line",
					      f->site.line));
	json_object_set_new(ev, "trace", text(f->trace ? f->trace : ""));
	json_object_set_new(ev, "console", list);
	json_t *in_force = networks(s);
	if (json_array_size(in_force))
		json_object_set(ev, "network", in_force);
	json_decref(in_force);
	if (s->w->await.trail.n)
		json_object_set_new(ev, "calls",
				    trail_calls(&s->w->await.trail));
	evidence_set_artifacts(s->w, ev, true);
}

void suite_tell_mark(struct suite *s)
{
	json_t *ev;

	if (!s->running || !s->failure.message || s->told == s->marks)
		return;
	s->told = s->marks;
	ev = test_event("marked", s->running);
	add_failure(s, ev, &s->failure);
	worker_emit(s->w, ev);
}

void suite_unmark(struct suite *s)
{
	if (s->told == s->marks)
		worker_emit(s->w, test_event("marked", s->running));
	s->told = 0;
	failure_done(&s->failure);
	frames_drop(s->w->L, FRAMES_OF_TEST);
	s->is_of_task = false;
	s->marks++;
}

/* An attempt that failed, where another follows. Of the first one all is told:
 * the others fail alike, or a later one passes. */
static void emit_attempt(struct suite *s, const struct suite_test *t,
			 unsigned n, int64_t started_ns)
{
	json_t *ev = test_event("test_attempt", t);
	double span = (double)(clock_now_ns() - started_ns) / 1e9;

	json_object_set_new(ev, "attempt", json_integer((json_int_t)n));
	json_object_set_new(ev, "duration", json_real(span));
	if (n == 1)
		evidence_emit(s->w);
	add_failure(s, ev, &s->failure);
	worker_emit(s->w, ev);
}

static void suite_emit_end(struct suite *s, const struct suite_test *t,
			   const struct failure *f, json_t *skip,
			   int64_t started_ns, unsigned attempts)
{
	json_t *ev = test_event("test_end", t);
	int64_t waited_ns = s->w->await.waited_ns;
	double span =
	    (double)(clock_now_ns() - started_ns - waited_ns - s->held_ns) /
	    1e9;

	json_object_set_new(ev, "status",
			    json_string(f      ? "failed"
					: skip ? "skipped"
					       : "passed"));
	json_object_set_new(ev, "duration", json_real(span));
	if (waited_ns)
		json_object_set_new(ev, "waited",
				    json_real((double)waited_ns / 1e9));
	if (attempts > 1)
		json_object_set_new(ev, "attempts",
				    json_integer((json_int_t)attempts));
	if (t->extra)
		json_object_set(ev, "meta", t->extra);
	s->has_failed |= f != NULL;
	s->told = 0;
	if (f) {
		evidence_emit(s->w);
		add_failure(s, ev, f);
	} else {
		evidence_set_artifacts(s->w, ev, false);
		if (skip)
			json_object_set(ev, "reason", skip);
	}
	worker_emit(s->w, ev);
}

/* --- running --- */

static int64_t timeout_of(const struct suite *s, const struct suite_test *t)
{
	if (t->timeout_ns)
		return t->timeout_ns;
	return s->timeout_ns ? s->timeout_ns : s->w->job->timeout_ns;
}

static void suite_emit_start(struct suite *s, const struct suite_test *t)
{
	json_t *ev = test_event("test_start", t);
	double span = (double)timeout_of(s, t) / 1e9;

	json_object_set_new(ev, "timeout",
			    json_real(span * (1 + (double)t->retries)));
	worker_emit(s->w, ev);
}

static void clear_outcome(struct suite *s)
{
	suite_unmark(s);
	json_decref(s->skipped);
	s->skipped = NULL;
}

/* Those of the file, which earlier tests have used. */
static void begin_objects(const struct scope *in)
{
	struct object *o = NULL;

	while ((o = scope_next(in, o)))
		if (o->class->test_begin)
			o->class->test_begin(o);
}

static void end_objects(const struct scope *in, bool is_last)
{
	struct object *o = NULL;

	while ((o = scope_next(in, o)))
		if (o->class->test_end)
			o->class->test_end(o, is_last);
}

/* The file's VMs are what the next test is to find: false, and s->failure is
 * set. Nothing is done where they are. */
static bool suite_reset(struct suite *s)
{
	struct failure f = {0};

	if (!s->has_baseline || !s->is_dirty)
		return true;
	if (baseline_restore(s->w, &f)) {
		failure_done(&s->failure);
		s->failure = f;
		return false;
	}
	s->is_dirty = false;
	return true;
}

/* One attempt, in its scope; s->failure and s->skipped hold the outcome. The
 * scope stays, for the report. */
static void attempt(struct suite *s, const struct suite_test *t, bool is_last)
{
	struct worker *w = s->w;
	struct failure raised = {0};

	/* An earlier attempt's mark may have been told of it. */
	s->running = t;
	clear_outcome(s);
	s->is_last_attempt = is_last;
	trail_reset(&w->await.trail);
	call_log_begin(&s->calls, clock_now_ns());
	w->scope = scope_new(w->L, w->file_scope);
	if (!suite_reset(s))
		return;
	s->is_dirty = true;
	begin_objects(w->file_scope);
	await_set_timeout(&w->await, timeout_of(s, t));
	interrupt_arm(w->L, w->await.deadline_ns);
	lua_rawgeti(w->L, LUA_REGISTRYINDEX, t->fn);
	bind_test_push_context(w->L, t->name, t->meta);
	int status = lua_state_call(w->L, 1, 0, &raised);
	interrupt_disarm();
	suite_settle(s);
	await_set_timeout(&w->await, CLOCK_NEVER);
	if (status && !s->failure.message && !s->skipped) {
		frames_move(w->L, FRAMES_OF_RAISED, FRAMES_OF_TEST);
		s->failure = raised;
		raised = (struct failure){0};
	}
	failure_done(&raised);
	if (s->failure.message && is_last && w->job->is_debug) {
		suite_tell_mark(s);
		s->held_ns = debug_hold(w, t->name, &s->failure);
	}
	end_objects(w->scope, true);
	end_objects(w->file_scope, false);
	lua_settop(w->L, 0);
}

static void close_scope(struct suite *s)
{
	struct worker *w = s->w;

	w->scope = w->file_scope;
	scope_free(w->file_scope->child);
	bind_test_pop_context(w->L);
	s->running = NULL;
}

static bool will_run(const struct suite *s, const struct suite_test *t)
{
	return suite_judge(s, t) == VERDICT_YES && !suite_is_reported(s, t);
}

/* Whether nothing will run behind it. */
static bool is_last(const struct suite *s, const struct suite_test *t)
{
	while (++t < s->tests + s->n_tests)
		if (will_run(s, t) && !skip_reason(s, t))
			return false;
	return true;
}

static void run_test(struct suite *s, const struct suite_test *t)
{
	int64_t started = clock_now_ns(), attempt_started = started;
	json_t *skip = skip_reason(s, t);
	unsigned n = 0;

	strvec_done(&s->files);
	s->w->await.waited_ns = 0;
	s->held_ns = 0;
	/* That is no time of the test's; a failure is found again, and told,
	 * in its attempt. */
	if (!skip)
		suite_reset(s);
	suite_emit_start(s, t);
	if (skip) {
		suite_emit_end(s, t, NULL, skip, started, 0);
		return;
	}
	do {
		if (n)
			emit_attempt(s, t, n, attempt_started);
		if (n++)
			close_scope(s);
		attempt_started = clock_now_ns();
		attempt(s, t, n > t->retries);
	} while (s->failure.message && n <= t->retries);
	if (is_last(s, t))
		end_objects(s->w->file_scope, true);
	suite_emit_end(s, t, s->failure.message ? &s->failure : NULL,
		       s->skipped, started, n);
	close_scope(s);
	clear_outcome(s);
}

bool suite_is_serial(const struct suite *s)
{
	for (size_t i = 0; i < s->n_tests; i++) {
		const struct suite_test *t = &s->tests[i];

		if (t->is_serial && will_run(s, t) && !skip_reason(s, t))
			return true;
	}
	return false;
}

static size_t count_runs(const struct suite *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_tests; i++)
		if (will_run(s, &s->tests[i]) && !skip_reason(s, &s->tests[i]))
			n += 1 + s->tests[i].retries;
	return n;
}

bool suite_take_baseline(struct suite *s, struct failure *f)
{
	/* Nobody would come back to it. */
	if (!s->resets || count_runs(s) < 2)
		return true;
	s->has_baseline = !baseline_take(s->w, f);
	return s->has_baseline;
}

void suite_run(struct suite *s)
{
	for (size_t i = 0; i < s->n_tests; i++) {
		const struct suite_test *t = &s->tests[i];

		if (will_run(s, t))
			run_test(s, t);
		if (s->w->job->is_fail_fast && s->has_failed)
			break;
	}
}
