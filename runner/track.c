/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. A file may need several workers: one that dies takes
 * the running test with it, and the rest is run by another, which is told
 * what to skip. The reader of events must not notice more of that than the
 * failed test: file_start and file_end are emitted here, the plan is passed
 * on once, and a test that was reported is not reported again.
 *
 * Every further worker presupposes that the one before reported at least one
 * test, so there are at most as many workers as tests, and one more.
 */
#include "runner/track.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"

/* Seconds a worker may grant itself: beyond it, time is not limited. */
#define TIMEOUT_MAX 1e9

struct track_handler {
	const char *event;
	int (*handle)(struct track *t, json_t *ev, int64_t now_ns,
		      struct err *err);
};

/* Whether it may be held back: it can come before the plan. */
static bool is_early(const json_t *ev)
{
	static const char *const early[] = {"file_start", "log", "output",
					    "vm"};
	const char *name = json_string_value(json_object_get(ev, "event"));

	for (size_t i = 0; i < ARRAY_LEN(early); i++)
		if (!strcmp(early[i], name))
			return true;
	return false;
}

static void track_release(struct track *t)
{
	json_t *held = TAKE(t->held);

	for (size_t i = 0; i < json_array_size(held); i++)
		t->sink->event(t->sink, json_array_get(held, i));
	json_decref(held);
}

static void emit(struct track *t, json_t *take_ev)
{
	json_object_set_new(
	    take_ev, "file",
	    event_string(t->spec.display, strlen(t->spec.display)));
	if (t->held && is_early(take_ev)) {
		json_array_append_new(t->held, take_ev);
		return;
	}
	track_release(t);
	t->sink->event(t->sink, take_ev);
	json_decref(take_ev);
}

static json_t *seconds(int64_t span_ns)
{
	return json_real((double)span_ns / (double)NS_PER_SEC);
}

static int64_t deadline_of(const struct track *t, const json_t *ev,
			   int64_t now_ns)
{
	const json_t *timeout = json_object_get(ev, "timeout");
	double s = json_number_value(timeout);
	int64_t span_ns = t->spec.timeout_ns;

	if (s > TIMEOUT_MAX)
		return CLOCK_NEVER;
	if (s > 0)
		span_ns = (int64_t)(s * (double)NS_PER_SEC);
	if (span_ns >= CLOCK_NEVER - now_ns - t->spec.grace_ns)
		return CLOCK_NEVER;
	return now_ns + span_ns + t->spec.grace_ns;
}

/* --- reports --------------------------------------------------------------*/

static bool track_is_reported(const struct track *t, const char *test)
{
	return json_object_get(t->reported, test) != NULL;
}

static void stop_running(struct track *t)
{
	free(t->running);
	t->running = NULL;
	json_decref(t->marked);
	t->marked = NULL;
	json_decref(t->attempt);
	t->attempt = NULL;
}

static unsigned *counter_of(struct track *t, const char *status)
{
	struct {
		const char *status;
		unsigned *counter;
	} counters[] = {
	    {"passed", &t->totals.passed},
	    {"failed", &t->totals.failed},
	    {"skipped", &t->totals.skipped},
	};

	for (size_t i = 0; status && i < ARRAY_LEN(counters); i++) {
		if (!strcmp(counters[i].status, status))
			return counters[i].counter;
	}
	return NULL;
}

/* Tells with a failure how to repeat the run. */
static void add_repeat(const struct track *t, json_t *ev)
{
	const char *command = t->spec.repeat;

	if (command)
		json_object_set_new(ev, "repeat",
				    event_string(command, strlen(command)));
}

/* Reports the end of a test. ev has test and status. */
static void track_report(struct track *t, json_t *take_ev)
{
	const char *test = json_string_value(json_object_get(take_ev, "test"));
	const char *status =
	    json_string_value(json_object_get(take_ev, "status"));

	json_object_set_new(t->reported, test, json_true());
	t->has_progress = true;
	++*counter_of(t, status);
	if (!strcmp(status, "failed"))
		add_repeat(t, take_ev);
	if (t->running && !strcmp(t->running, test))
		stop_running(t);
	emit(t, take_ev);
}

/* The end of a test that no worker told of. */
static void report_own(struct track *t, const char *test, int64_t line,
		       const char *status, const char *why, int64_t duration_ns)
{
	json_t *ev = event_begin("test_end");
	bool is_failure = !strcmp(status, "failed");

	json_object_set_new(ev, "test", event_string(test, strlen(test)));
	json_object_set_new(ev, "line", json_integer(line));
	json_object_set_new(ev, "status", json_string(status));
	json_object_set_new(ev, "duration", seconds(duration_ns));
	json_object_set_new(ev, is_failure ? "message" : "reason",
			    event_string(why, strlen(why)));
	if (is_failure && line > 0) {
		json_t *at = json_object();
		json_object_set_new(
		    at, "file",
		    event_string(t->spec.display, strlen(t->spec.display)));
		json_object_set_new(at, "line", json_integer(line));
		json_object_set_new(ev, "location", at);
	}
	track_report(t, ev);
}

/* The end of the running test, of whose failure its worker told in the event
 * known. why: what ended the worker, NULL: nothing that is to be told. */
static void report_known(struct track *t, json_t *known, const char *why,
			 int64_t duration_ns)
{
	json_t *ev = json_copy(known);
	json_t *fresh = event_begin("test_end");
	const json_t *message = json_object_get(ev, "message");
	struct buf text = {0};

	buf_append(&text, json_string_value(message),
		   json_string_length(message));
	if (why)
		buf_printf(&text, "\n(then %s)", why);
	json_object_update(ev, fresh);
	json_decref(fresh);
	json_object_set_new(ev, "message",
			    event_string((char *)buf_data(&text), text.len));
	json_object_set_new(ev, "status", json_string("failed"));
	json_object_set_new(ev, "duration", seconds(duration_ns));
	buf_done(&text);
	track_report(t, ev);
}

/* The end of the running test, which failed in all attempts that ended. */
static void report_attempt(struct track *t, const char *why,
			   int64_t duration_ns)
{
	json_t *known = json_copy(t->attempt);
	json_int_t n =
	    json_integer_value(json_object_get(known, "attempt")) + 1;
	CLEANUP(free_ptr)
	char *text =
	    mem_printf("in attempt %" JSON_INTEGER_FORMAT ": %s", n, why);

	json_object_del(known, "attempt");
	json_object_set_new(known, "attempts", json_integer(n));
	report_known(t, known, text, duration_ns);
	json_decref(known);
}

void track_file_error(struct track *t, const char *message)
{
	json_t *ev = event_begin("file_error");

	json_object_set_new(ev, "message",
			    event_string(message, strlen(message)));
	t->totals.errors++;
	add_repeat(t, ev);
	emit(t, ev);
}

/* --- events of a worker ---------------------------------------------------*/

/* What a test event is about; NULL with err unless it names a test. */
static const char *test_of(const json_t *ev, struct err *err)
{
	const char *test = json_string_value(json_object_get(ev, "test"));

	if (!test)
		err_set(err, -EBADMSG, "a %s event without a test",
			json_string_value(json_object_get(ev, "event")));
	return test;
}

static int track_on_file_start(struct track *t, json_t *ev, int64_t now_ns,
			       struct err *err)
{
	(void)err;
	t->deadline_ns = deadline_of(t, ev, now_ns);
	return 0;
}

static int track_on_plan(struct track *t, json_t *ev, int64_t now_ns,
			 struct err *err)
{
	json_t *tests = json_object_get(ev, "tests");
	json_t *selected = json_array();

	if (!json_is_array(tests)) {
		json_decref(selected);
		return err_set(err, -EBADMSG, "a plan without tests");
	}
	for (size_t i = 0; i < json_array_size(tests); i++) {
		json_t *test = json_array_get(tests, i);

		if (json_is_string(json_object_get(test, "name")))
			json_array_append(selected, test);
	}
	t->deadline_ns = deadline_of(t, NULL, now_ns);
	if (t->planned) {
		json_decref(selected);
		return 0;
	}
	t->planned = selected;
	t->totals.listed += (unsigned)json_array_size(selected);
	t->totals.left_out +=
	    (unsigned)json_integer_value(json_object_get(ev, "left_out"));
	json_object_set(ev, "tests", selected);
	emit(t, json_incref(ev));
	return 0;
}

static int track_on_file_error(struct track *t, json_t *ev, int64_t now_ns,
			       struct err *err)
{
	(void)now_ns;
	(void)err;
	t->totals.errors++;
	add_repeat(t, ev);
	emit(t, json_incref(ev));
	return 0;
}

static int track_on_test_start(struct track *t, json_t *ev, int64_t now_ns,
			       struct err *err)
{
	const char *test = test_of(ev, err);

	if (!test)
		return -EBADMSG;
	if (track_is_reported(t, test))
		return err_set(err, -EBADMSG, "test '%s' started again", test);
	if (t->running)
		return err_set(err, -EBADMSG,
			       "test '%s' started while '%s' runs", test,
			       t->running);
	t->running = mem_strdup(test);
	t->line = json_integer_value(json_object_get(ev, "line"));
	t->test_started_ns = now_ns;
	t->deadline_ns = deadline_of(t, ev, now_ns);
	emit(t, json_incref(ev));
	return 0;
}

/* Why the running test will have failed; without a message: it will not. */
static int on_marked(struct track *t, json_t *ev, int64_t now_ns,
		     struct err *err)
{
	const char *test = test_of(ev, err);
	bool is_failure = json_string_length(json_object_get(ev, "message"));

	(void)now_ns;
	if (!test)
		return -EBADMSG;
	if (!t->running || strcmp(t->running, test) != 0)
		return err_set(err, -EBADMSG,
			       "a mark on test '%s', which does not run", test);
	json_decref(t->marked);
	t->marked = is_failure ? json_incref(ev) : NULL;
	return 0;
}

/* It failed, and the test is tried again. */
static int track_on_attempt(struct track *t, json_t *ev, int64_t now_ns,
			    struct err *err)
{
	const char *test = test_of(ev, err);

	(void)now_ns;
	if (!test)
		return -EBADMSG;
	if (!t->running || strcmp(t->running, test) != 0)
		return err_set(err, -EBADMSG,
			       "an attempt of test '%s', which does not run",
			       test);
	json_decref(t->attempt);
	t->attempt = json_copy(ev);
	emit(t, json_incref(ev));
	return 0;
}

static int track_on_log(struct track *t, json_t *ev, int64_t now_ns,
			struct err *err)
{
	(void)now_ns;
	(void)err;
	emit(t, json_incref(ev));
	return 0;
}

static int track_on_test_end(struct track *t, json_t *ev, int64_t now_ns,
			     struct err *err)
{
	const char *test = test_of(ev, err);
	const char *status = json_string_value(json_object_get(ev, "status"));

	if (!test)
		return -EBADMSG;
	if (!counter_of(t, status))
		return err_set(err, -EBADMSG, "test '%s' has no valid status",
			       test);
	if (track_is_reported(t, test))
		return err_set(err, -EBADMSG, "test '%s' ended twice", test);
	t->deadline_ns = deadline_of(t, NULL, now_ns);
	track_report(t, json_incref(ev));
	return 0;
}

static int track_on_file_end(struct track *t, json_t *ev, int64_t now_ns,
			     struct err *err)
{
	(void)ev;
	(void)now_ns;
	(void)err;
	t->is_ended = true;
	return 0;
}

static const struct track_handler handlers[] = {
    {"file_start", track_on_file_start},
    {"plan", track_on_plan},
    {"file_error", track_on_file_error},
    {"test_start", track_on_test_start},
    {"marked", on_marked},
    {"log", track_on_log},
    {"failure_console", track_on_log},
    {"failure_calls", track_on_log},
    {"failure_packets", track_on_log},
    {"vm", track_on_log},
    {"fixture", track_on_log},
    {"test_attempt", track_on_attempt},
    {"test_end", track_on_test_end},
    {"file_end", track_on_file_end},
};

int track_event(struct track *t, json_t *ev, int64_t now_ns, struct err *err)
{
	const char *name = json_string_value(json_object_get(ev, "event"));

	for (size_t i = 0; !t->is_ended && i < ARRAY_LEN(handlers); i++)
		if (!strcmp(handlers[i].event, name))
			return handlers[i].handle(t, ev, now_ns, err);
	return err_set(err, -EBADMSG, "an event that was not expected");
}

void track_output(struct track *t, const char *line, size_t n)
{
	json_t *ev = event_begin("output");

	json_object_set_new(ev, "text", event_string(line, n));
	if (t->running)
		json_object_set_new(
		    ev, "test", event_string(t->running, strlen(t->running)));
	emit(t, ev);
}

void track_artifacts(struct track *t, const struct strvec *paths)
{
	json_t *ev = event_begin("artifacts");
	json_t *list = json_array();

	for (size_t i = 0; i < paths->n; i++)
		json_array_append_new(
		    list, event_string(paths->v[i], strlen(paths->v[i])));
	json_object_set_new(ev, "paths", list);
	emit(t, ev);
}

/* --- workers --------------------------------------------------------------*/

void track_worker_start(struct track *t, struct strvec *skip, int64_t now_ns)
{
	t->is_ended = false;
	t->has_progress = false;
	t->deadline_ns = deadline_of(t, NULL, now_ns);
	for (void *it = json_object_iter(t->reported); it;
	     it = json_object_iter_next(t->reported, it))
		strvec_add(skip, json_object_iter_key(it));
}

/* The number of selected tests that are not reported. why: reports them as
 * failed with it; no source line is to blame. */
static unsigned for_missing(struct track *t, const char *why)
{
	unsigned n = 0;

	for (size_t i = 0; i < json_array_size(t->planned); i++) {
		const json_t *test = json_array_get(t->planned, i);
		const char *name =
		    json_string_value(json_object_get(test, "name"));
		if (track_is_reported(t, name))
			continue;
		n++;
		if (why)
			report_own(t, name, 0, "failed", why, 0);
	}
	return n;
}

/* Reports the test that runs, with that status, or with the failure that is
 * known of it; false: none runs. */
static bool end_running(struct track *t, const char *status, const char *why,
			int64_t now_ns)
{
	CLEANUP(free_ptr)
	char *test = t->running ? mem_strdup(t->running) : NULL;

	int64_t span_ns = now_ns - t->test_started_ns;
	bool is_failure = !strcmp(status, "failed");

	if (test && t->marked)
		report_known(t, t->marked, is_failure ? why : NULL, span_ns);
	else if (test && t->attempt && !is_failure)
		report_attempt(t, why, span_ns);
	else if (test)
		report_own(t, test, t->line, status, why, span_ns);
	return test;
}

bool track_worker_lost(struct track *t, const char *why, int64_t now_ns)
{
	CLEANUP(free_ptr) char *not_run = mem_printf("not run: %s", why);

	if (end_running(t, "failed", why, now_ns))
		return !t->planned || for_missing(t, NULL) > 0;
	if (t->has_progress && t->planned && for_missing(t, NULL))
		return true;
	track_file_error(t, why);
	for_missing(t, t->spec.list_only ? NULL : not_run);
	return false;
}

void track_worker_end(struct track *t, const char *why, int64_t now_ns)
{
	end_running(t, "failed",
		    "the worker ended the file without ending this test",
		    now_ns);
	if (why)
		track_file_error(t, why);
	if (!t->spec.list_only && !(t->spec.is_fail_fast && t->totals.failed))
		for_missing(t, "the worker did not run this test");
}

void track_late(struct track *t, const char *why, int64_t now_ns)
{
	CLEANUP(free_ptr) char *not_run = mem_printf("not run: %s", why);

	if (!end_running(t, "failed", why, now_ns))
		track_file_error(t, why);
	for_missing(t, not_run);
}

void track_shift(struct track *t, int64_t span_ns)
{
	t->test_started_ns += span_ns;
	if (t->deadline_ns < CLOCK_NEVER - span_ns)
		t->deadline_ns += span_ns;
}

static json_t *about_running(const struct track *t, const char *name,
			     int64_t now_ns)
{
	json_t *ev = event_begin(name);

	if (!t->running) {
		json_object_set_new(ev, "running",
				    seconds(now_ns - t->started_ns));
		return ev;
	}
	json_object_set_new(ev, "test",
			    event_string(t->running, strlen(t->running)));
	json_object_set_new(ev, "line", json_integer(t->line));
	json_object_set_new(ev, "running",
			    seconds(now_ns - t->test_started_ns));
	return ev;
}

/* At once, whatever is held back. */
static void track_tell(struct track *t, json_t *take_ev)
{
	json_object_set_new(
	    take_ev, "file",
	    event_string(t->spec.display, strlen(t->spec.display)));
	t->sink->event(t->sink, take_ev);
	json_decref(take_ev);
}

void track_slow(struct track *t, int64_t now_ns)
{
	track_tell(t, about_running(t, "slow", now_ns));
}

void track_waiting(struct track *t, const json_t *calls, int64_t now_ns)
{
	json_t *ev = about_running(t, "waiting", now_ns);

	json_object_set_new(ev, "calls",
			    json_is_array(calls) ? json_deep_copy(calls)
						 : json_array());
	track_tell(t, ev);
}

void track_interrupt(struct track *t, const char *why, int64_t now_ns)
{
	end_running(t, "skipped", why, now_ns);
}

void track_init(struct track *t, const struct track_spec *spec,
		struct event_sink *sink, int64_t now_ns)
{
	*t = (struct track){
	    .spec = *spec,
	    .sink = sink,
	    .started_ns = now_ns,
	    .reported = json_object(),
	    .held = spec->holds ? json_array() : NULL,
	};
	emit(t, event_begin("file_start"));
}

void track_done(struct track *t, int64_t now_ns)
{
	json_t *ev = event_begin("file_end");

	json_object_set_new(ev, "duration", seconds(now_ns - t->started_ns));
	emit(t, ev);
	track_forget(t);
}

void track_forget(struct track *t)
{
	json_decref(t->held);
	json_decref(t->planned);
	json_decref(t->reported);
	stop_running(t);
}
