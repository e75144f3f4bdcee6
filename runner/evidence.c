/* SPDX-License-Identifier: MIT */
#include "runner/evidence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/artifacts.h"
#include "runner/bind.h"
#include "runner/event.h"
#include "runner/trail.h"

void evidence_add_file(struct worker *w, const char *path)
{
	struct strvec *files = &w->suite.files;

	if (!w->job->keeps_logs || !w->suite.running ||
	    files->n >= EVIDENCE_FILES_MAX)
		return;
	CLEANUP(free_ptr) char *name = artifacts_name(w->job->run_dir, path);
	for (size_t i = 0; i < files->n; i++)
		if (!strcmp(files->v[i], name))
			return;
	strvec_add(files, name);
}

static void evidence_append(json_t *list, const char *name)
{
	if (json_array_size(list) < EVIDENCE_FILES_MAX)
		json_array_append_new(list, event_string(name, strlen(name)));
}

static void evidence_add_logs(const struct worker *w, json_t *list)
{
	CLEANUP(strvec_done) struct strvec paths = {0};
	const struct object *o = NULL;

	while ((o = suite_next(&w->suite, o)))
		if (o->class->logs)
			o->class->logs(o, &paths);
	for (size_t i = 0; i < paths.n; i++) {
		CLEANUP(free_ptr)
		char *name = artifacts_name(w->job->run_dir, paths.v[i]);
		evidence_append(list, name);
	}
}

void evidence_set_artifacts(struct worker *w, json_t *ev, bool is_failure)
{
	const struct strvec *files = &w->suite.files;
	json_t *list;

	if (!w->job->keeps_logs)
		return;
	list = json_array();
	for (size_t i = 0; i < files->n; i++)
		evidence_append(list, files->v[i]);
	if (is_failure)
		evidence_add_logs(w, list);
	json_object_set_new(ev, "artifacts", list);
}

/* The place that a message begins with, "FILE:LINE: ". */
static bool evidence_place(const json_t *ev, struct site *ret)
{
	const char *text = json_string_value(json_object_get(ev, "message"));
	const char *colon = text ? strchr(text, ':') : NULL;
	size_t n = colon ? (size_t)(colon - text) : 0;
	int end = 0;

	if (!n || n >= sizeof(ret->file) ||
	    sscanf(colon, ":%9d: %n", &ret->line, &end) < 1 || !end)
		return false;
	memcpy(ret->file, text, n);
	ret->file[n] = '\0';
	return true;
}

void evidence_set_source(const struct worker *w, json_t *ev,
			 const struct site *at)
{
	const struct job *job = w->job;
	struct site place = *at;
	json_t *source;

	if (!place.file[0] && !evidence_place(ev, &place))
		return;
	/* The file of the job has another name in reports, where it is run
	 * often. */
	bool is_own = job->display && !strcmp(place.file, job->display);
	source = trail_source(is_own ? job->file : place.file, place.line);
	if (source)
		json_object_set_new(ev, "source", source);
}

static json_t *evidence_event(const struct worker *w, const char *name)
{
	const char *test = suite_running_name(&w->suite);
	json_t *ev = event_begin(name);

	if (test)
		json_object_set_new(ev, "test",
				    event_string(test, strlen(test)));
	return ev;
}

static void evidence_emit_consoles(struct worker *w)
{
	struct object *o = NULL;
	size_t n = 0, max = EVIDENCE_CONSOLE_MAX;

	while ((o = suite_next(&w->suite, o)))
		n += o->class->transcript != NULL;
	if (n && max > EVIDENCE_CONSOLES_MAX / n)
		max = EVIDENCE_CONSOLES_MAX / n;
	while ((o = suite_next(&w->suite, o))) {
		json_t *ev;

		if (!o->class->transcript)
			continue;
		ev = evidence_event(w, "failure_console");
		if (o->class->transcript(o, max, ev))
			worker_emit(w, ev);
		else
			json_decref(ev);
	}
}

static void evidence_emit_packets(struct worker *w)
{
	int64_t ran_ns = clock_now_ns() - w->suite.calls.began_ns;
	struct object *o = NULL;

	while ((o = suite_next(&w->suite, o))) {
		json_t *ev;

		if (!o->class->packets)
			continue;
		ev = evidence_event(w, "failure_packets");
		if (o->class->packets(o, clock_realtime_ns() - ran_ns, ev))
			worker_emit(w, ev);
		else
			json_decref(ev);
	}
}

void evidence_emit(struct worker *w)
{
	const struct call_log *calls = &w->suite.calls;

	evidence_emit_consoles(w);
	evidence_emit_packets(w);
	/* Between tests, the calls are those of the last one. */
	if (!calls->n || (!w->suite.running && w->suite.is_closed))
		return;
	json_t *ev = evidence_event(w, "failure_calls");
	json_object_set_new(ev, "calls", call_log_json(calls));
	if (calls->dropped)
		json_object_set_new(ev, "left_out",
				    json_integer((json_int_t)calls->dropped));
	worker_emit(w, ev);
}
