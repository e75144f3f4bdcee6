/* SPDX-License-Identifier: MIT */
#include "runner/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/event_schema.h"

#define KILLED "its events end early"

/* One file while it is read. */
struct reading {
	struct replay *r;
	FILE *in;
	const char *name;
	size_t line;
	bool has_start;
	bool has_end;
};

void replay_init(struct replay *r, struct event_sink *sink)
{
	*r = (struct replay){.sink = sink};
}

void replay_done(struct replay *r)
{
	free(r->interrupted);
	*r = (struct replay){0};
}

static void replay_interrupt(struct replay *r, const char *why)
{
	if (!r->interrupted)
		r->interrupted = mem_strdup(why);
}

/* --- events ---------------------------------------------------------------*/

static int replay_on_run_start(struct reading *x, const json_t *ev,
			       struct err *err)
{
	json_int_t v = json_integer_value(json_object_get(ev, "version"));

	if (v < 1 || v > EVENT_VERSION)
		return err_set(err, -EPROTO,
			       "events of version %lld, this provium reads up "
			       "to %d",
			       (long long)v, EVENT_VERSION);
	if (x->has_start)
		return err_set(err, -EBADMSG, "a second run_start");
	x->has_start = true;
	if (x->r->n_runs++ == 0)
		x->r->sink->event(x->r->sink, ev);
	return 0;
}

static int replay_on_run_end(struct reading *x, const json_t *ev,
			     struct err *err)
{
	const char *why = json_string_value(json_object_get(ev, "interrupted"));
	double s = json_number_value(json_object_get(ev, "duration"));

	(void)err;
	x->has_end = true;
	x->r->left_out += json_integer_value(json_object_get(ev, "left_out"));
	if (why)
		replay_interrupt(x->r, why);
	if (s > x->r->duration)
		x->r->duration = s;
	return 0;
}

static int replay_on_test_end(struct reading *x, const json_t *ev,
			      struct err *err)
{
	const char *status = json_string_value(json_object_get(ev, "status"));

	(void)err;
	if (!strcmp(status, "passed"))
		x->r->passed++;
	else if (!strcmp(status, "failed"))
		x->r->failed++;
	else
		x->r->skipped++;
	return 1;
}

static int replay_on_file_error(struct reading *x, const json_t *ev,
				struct err *err)
{
	(void)ev;
	(void)err;
	x->r->errors++;
	return 1;
}

static int replay_on_file_end(struct reading *x, const json_t *ev,
			      struct err *err)
{
	(void)ev;
	(void)err;
	x->r->files_run++;
	return 1;
}

/* Each of several runs had a pool of its own. */
static int replay_on_pool(struct reading *x, const json_t *ev, struct err *err)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)ev);

	(void)err;
	json_object_set_new(copy, "run", json_integer(x->r->n_runs));
	x->r->sink->event(x->r->sink, copy);
	json_decref(copy);
	return 0;
}

/* 1: the event is for the sink. */
static const struct replay_handler {
	const char *event;
	int (*handle)(struct reading *x, const json_t *ev, struct err *err);
} handlers[] = {
    {"run_start", replay_on_run_start}, {"run_end", replay_on_run_end},
    {"test_end", replay_on_test_end},	{"file_error", replay_on_file_error},
    {"file_end", replay_on_file_end},	{"pool", replay_on_pool},
};

static int replay_take(struct reading *x, const json_t *ev, struct err *err)
{
	const char *name = json_string_value(json_object_get(ev, "event"));
	int r = 1;

	if (!x->has_start && strcmp(name, "run_start") != 0)
		return err_set(err, -EBADMSG,
			       "not an events file: it does not begin with "
			       "run_start");
	if (x->has_end)
		return err_set(err, -EBADMSG, "an event behind run_end");
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		if (!strcmp(handlers[i].event, name))
			r = handlers[i].handle(x, ev, err);
	if (r > 0)
		x->r->sink->event(x->r->sink, ev);
	return r < 0 ? r : 0;
}

/* --- lines ----------------------------------------------------------------*/

/* 1: a line, without its end; 0: there is none. Longer ones are an error
 * before they are read. */
static int replay_read_line(struct reading *x, struct buf *line,
			    bool *ret_is_cut, struct err *err)
{
	int c;

	buf_reset(line);
	x->line++;
	while ((c = getc_unlocked(x->in)) != EOF && c != '\n') {
		char byte = (char)c;

		if (line->len >= EVENT_LINE_MAX)
			return err_set(err, -EMSGSIZE,
				       "a line of over %u MiB: not an event",
				       EVENT_LINE_MAX >> 20);
		buf_append(line, &byte, 1);
	}
	*ret_is_cut = c == EOF;
	if (ferror(x->in))
		return err_set(err, -EIO, "cannot read it");
	return c != EOF || line->len ? 1 : 0;
}

static int read_event(struct reading *x, const struct buf *line, bool is_cut,
		      struct err *err)
{
	json_t *ev = event_decode((const char *)buf_data(line), line->len, err);
	int r = ev ? event_check(ev, err) : -EBADMSG;

	/* What a killed run wrote last. */
	if (!ev && is_cut && x->has_start) {
		replay_interrupt(x->r, KILLED);
		return 0;
	}
	if (r >= 0)
		r = replay_take(x, ev, err);
	json_decref(ev);
	return r;
}

int replay_file(struct replay *r, FILE *in, const char *name, struct err *err)
{
	struct reading x = {.r = r, .in = in, .name = name};
	CLEANUP(buf_done) struct buf line = {0};
	bool is_cut = false;
	int got;

	while ((got = replay_read_line(&x, &line, &is_cut, err)) > 0) {
		got = line.len ? read_event(&x, &line, is_cut, err) : 0;
		if (got < 0)
			break;
	}
	if (got < 0)
		return err_wrap(err, "%s:%zu", name, x.line);
	if (!x.has_start)
		return err_set(err, -EBADMSG, "%s: no events in it", name);
	if (!x.has_end)
		replay_interrupt(r, KILLED);
	return 0;
}

void replay_end(struct replay *r)
{
	json_t *ev = event_begin("run_end");

	json_object_set_new(ev, "passed", json_integer(r->passed));
	json_object_set_new(ev, "failed", json_integer(r->failed));
	json_object_set_new(ev, "skipped", json_integer(r->skipped));
	json_object_set_new(ev, "errors", json_integer(r->errors));
	json_object_set_new(ev, "files_run", json_integer(r->files_run));
	json_object_set_new(ev, "duration", json_real(r->duration));
	if (r->left_out)
		json_object_set_new(ev, "left_out", json_integer(r->left_out));
	if (r->interrupted)
		json_object_set_new(
		    ev, "interrupted",
		    event_string(r->interrupted, strlen(r->interrupted)));
	r->sink->event(r->sink, ev);
	json_decref(ev);
}
