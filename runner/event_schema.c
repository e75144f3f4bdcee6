/* SPDX-License-Identifier: MIT */
#include "runner/event_schema.h"

#include <errno.h>
#include <string.h>

#include "agent-proto/mem.h"

/* Seconds; beyond it, arithmetic on times is nonsense. */
#define SPAN_MAX 1e12

static int check_members(const json_t *o, const char *owner, struct err *err);

static bool is_status(const json_t *v)
{
	static const char *const all[] = {"passed", "failed", "skipped"};
	const char *s = json_string_value(v);

	for (size_t i = 0; s && i < ARRAY_LEN(all); i++)
		if (!strcmp(s, all[i]))
			return true;
	return false;
}

static bool are_strings(const json_t *v)
{
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_string(json_array_get(v, i)))
			return false;
	return json_is_array(v);
}

static bool is_span(const json_t *v)
{
	double s = json_number_value(v);

	return json_is_number(v) && s >= 0 && s <= SPAN_MAX;
}

static bool event_schema_is_of(const json_t *v, const struct event_field *f)
{
	switch (f->type) {
	case EVENT_STRING:
		return json_is_string(v);
	case EVENT_INTEGER:
		return json_is_integer(v);
	case EVENT_NUMBER:
		return json_is_number(v);
	case EVENT_TIME:
		return is_span(v);
	case EVENT_ANY:
		return true;
	case EVENT_STRINGS:
		return are_strings(v);
	case EVENT_OBJECT:
		return json_is_object(v);
	case EVENT_LIST:
		return json_is_array(v);
	case EVENT_STATUS:
		return is_status(v);
	}
	return false;
}

static int check_list(const json_t *v, const struct event_field *f,
		      struct err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < json_array_size(v); i++) {
		const json_t *o = json_array_get(v, i);

		if (!json_is_object(o))
			return err_set(err, -EBADMSG,
				       "\"%s\" of %s holds what is no %s",
				       f->name, f->owner, f->of);
		r = check_members(o, f->of, err);
	}
	return r;
}

static int check_field(const json_t *o, const struct event_field *f,
		       struct err *err)
{
	const json_t *v = json_object_get(o, f->name);

	if (!v && !f->is_required)
		return 0;
	if (!v)
		return err_set(err, -EBADMSG, "no \"%s\" in %s", f->name,
			       f->owner);
	if (!event_schema_is_of(v, f))
		return err_set(err, -EBADMSG, "\"%s\" of %s is no %s", f->name,
			       f->owner, event_type_name(f->type));
	if (f->type == EVENT_OBJECT)
		return check_members(v, f->of, err);
	return f->type == EVENT_LIST ? check_list(v, f, err) : 0;
}

static int check_members(const json_t *o, const char *owner, struct err *err)
{
	int r = 0;

	for (const struct event_field *f = event_fields; !r && f->owner; f++)
		if (!strcmp(f->owner, owner))
			r = check_field(o, f, err);
	return r;
}

int event_check(const json_t *ev, struct err *err)
{
	int r = check_members(ev, "*", err);

	if (r < 0)
		return r;
	return check_members(
	    ev, json_string_value(json_object_get(ev, "event")), err);
}

const char *event_type_name(enum event_type type)
{
	static const char *const names[] = {
	    [EVENT_STRING] = "string", [EVENT_INTEGER] = "integer",
	    [EVENT_NUMBER] = "number", [EVENT_TIME] = "seconds",
	    [EVENT_ANY] = "any",       [EVENT_STRINGS] = "strings",
	    [EVENT_OBJECT] = "object", [EVENT_LIST] = "list",
	    [EVENT_STATUS] = "status",
	};

	return names[type];
}

#define YES true
#define NO  false

/* lint: flat */
const struct event_field event_fields[] = {
    {"*", "event", EVENT_STRING, NULL, YES},
    {"*", "time", EVENT_TIME, NULL, NO},
    {"run_start", "version", EVENT_INTEGER, NULL, YES},
    {"run_start", "provium", EVENT_STRING, NULL, NO},
    {"run_start", "files", EVENT_INTEGER, NULL, NO},
    {"file_start", "file", EVENT_STRING, NULL, YES},
    {"plan", "file", EVENT_STRING, NULL, YES},
    {"plan", "tests", EVENT_LIST, "planned", YES},
    {"plan", "left_out", EVENT_INTEGER, NULL, NO},
    {"planned", "name", EVENT_STRING, NULL, YES},
    {"planned", "line", EVENT_INTEGER, NULL, NO},
    {"planned", "tags", EVENT_STRINGS, NULL, NO},
    {"planned", "skip", EVENT_ANY, NULL, NO},
    {"planned", "slow", EVENT_ANY, NULL, NO},
    {"planned", "serial", EVENT_ANY, NULL, NO},
    {"planned", "meta", EVENT_ANY, NULL, NO},
    {"file_error", "file", EVENT_STRING, NULL, YES},
    {"file_error", "message", EVENT_STRING, NULL, YES},
    {"file_error", "trace", EVENT_STRING, NULL, NO},
    {"file_error", "source", EVENT_STRING, NULL, NO},
    {"file_error", "artifacts", EVENT_STRINGS, NULL, NO},
    {"file_error", "repeat", EVENT_STRING, NULL, NO},
    {"test_start", "file", EVENT_STRING, NULL, YES},
    {"test_start", "test", EVENT_STRING, NULL, YES},
    {"test_start", "line", EVENT_INTEGER, NULL, NO},
    {"test_start", "timeout", EVENT_NUMBER, NULL, NO},
    {"test_attempt", "file", EVENT_STRING, NULL, YES},
    {"test_attempt", "test", EVENT_STRING, NULL, YES},
    {"test_attempt", "line", EVENT_INTEGER, NULL, NO},
    {"test_attempt", "attempt", EVENT_INTEGER, NULL, YES},
    {"test_attempt", "duration", EVENT_TIME, NULL, NO},
    {"test_attempt", "message", EVENT_STRING, NULL, YES},
    {"test_attempt", "location", EVENT_OBJECT, "location", NO},
    {"test_attempt", "source", EVENT_STRING, NULL, NO},
    {"test_attempt", "trace", EVENT_STRING, NULL, NO},
    {"test_attempt", "console", EVENT_LIST, "console", NO},
    {"test_attempt", "calls", EVENT_LIST, "call", NO},
    {"test_attempt", "network", EVENT_STRINGS, NULL, NO},
    {"test_attempt", "artifacts", EVENT_STRINGS, NULL, NO},
    {"failure_console", "file", EVENT_STRING, NULL, YES},
    {"failure_console", "test", EVENT_STRING, NULL, NO},
    {"failure_console", "vm", EVENT_STRING, NULL, YES},
    {"failure_console", "text", EVENT_STRING, NULL, YES},
    {"failure_console", "left_out", EVENT_INTEGER, NULL, NO},
    {"failure_calls", "file", EVENT_STRING, NULL, YES},
    {"failure_calls", "test", EVENT_STRING, NULL, NO},
    {"failure_calls", "calls", EVENT_LIST, "made", YES},
    {"failure_calls", "left_out", EVENT_INTEGER, NULL, NO},
    {"failure_packets", "file", EVENT_STRING, NULL, YES},
    {"failure_packets", "test", EVENT_STRING, NULL, NO},
    {"failure_packets", "bridge", EVENT_STRING, NULL, YES},
    {"failure_packets", "packets", EVENT_LIST, "packet", YES},
    {"failure_packets", "left_out", EVENT_INTEGER, NULL, NO},
    {"log", "file", EVENT_STRING, NULL, YES},
    {"log", "test", EVENT_STRING, NULL, NO},
    {"log", "text", EVENT_STRING, NULL, YES},
    {"output", "file", EVENT_STRING, NULL, YES},
    {"output", "test", EVENT_STRING, NULL, NO},
    {"output", "text", EVENT_STRING, NULL, YES},
    {"fixture", "file", EVENT_STRING, NULL, YES},
    {"fixture", "fixture", EVENT_STRING, NULL, YES},
    {"fixture", "state", EVENT_STRING, NULL, YES},
    {"fixture", "reason", EVENT_STRING, NULL, NO},
    {"fixture", "seconds", EVENT_TIME, NULL, NO},
    {"fixture", "output", EVENT_STRING, NULL, NO},
    {"vm", "file", EVENT_STRING, NULL, YES},
    {"vm", "test", EVENT_STRING, NULL, NO},
    {"vm", "vm", EVENT_STRING, NULL, YES},
    {"vm", "state", EVENT_STRING, NULL, YES},
    {"vm", "seconds", EVENT_TIME, NULL, NO},
    {"vm", "memory", EVENT_INTEGER, NULL, NO},
    {"vm", "cpus", EVENT_INTEGER, NULL, NO},
    {"pool", "memory", EVENT_INTEGER, NULL, YES},
    {"pool", "memory_total", EVENT_INTEGER, NULL, YES},
    {"pool", "cpus", EVENT_INTEGER, NULL, YES},
    {"pool", "cpus_total", EVENT_INTEGER, NULL, YES},
    {"pool", "waiting", EVENT_INTEGER, NULL, YES},
    {"pool", "run", EVENT_INTEGER, NULL, NO},
    {"test_end", "file", EVENT_STRING, NULL, YES},
    {"test_end", "test", EVENT_STRING, NULL, YES},
    {"test_end", "line", EVENT_INTEGER, NULL, NO},
    {"test_end", "status", EVENT_STATUS, NULL, YES},
    {"test_end", "duration", EVENT_TIME, NULL, NO},
    {"test_end", "waited", EVENT_TIME, NULL, NO},
    {"test_end", "attempts", EVENT_INTEGER, NULL, NO},
    {"test_end", "meta", EVENT_ANY, NULL, NO},
    {"test_end", "reason", EVENT_STRING, NULL, NO},
    {"test_end", "message", EVENT_STRING, NULL, NO},
    {"test_end", "location", EVENT_OBJECT, "location", NO},
    {"test_end", "source", EVENT_STRING, NULL, NO},
    {"test_end", "trace", EVENT_STRING, NULL, NO},
    {"test_end", "console", EVENT_LIST, "console", NO},
    {"test_end", "calls", EVENT_LIST, "call", NO},
    {"test_end", "network", EVENT_STRINGS, NULL, NO},
    {"test_end", "artifacts", EVENT_STRINGS, NULL, NO},
    {"test_end", "repeat", EVENT_STRING, NULL, NO},
    {"location", "file", EVENT_STRING, NULL, YES},
    {"location", "line", EVENT_INTEGER, NULL, YES},
    {"console", "vm", EVENT_STRING, NULL, YES},
    {"console", "text", EVENT_STRING, NULL, YES},
    {"console", "alarm", EVENT_STRING, NULL, NO},
    {"call", "method", EVENT_STRING, NULL, YES},
    {"call", "location", EVENT_OBJECT, "location", NO},
    {"call", "seconds", EVENT_TIME, NULL, NO},
    {"call", "count", EVENT_INTEGER, NULL, NO},
    {"call", "note", EVENT_STRING, NULL, NO},
    {"made", "method", EVENT_STRING, NULL, YES},
    {"made", "location", EVENT_OBJECT, "location", NO},
    {"made", "at", EVENT_TIME, NULL, YES},
    {"made", "seconds", EVENT_TIME, NULL, YES},
    {"made", "note", EVENT_STRING, NULL, NO},
    {"packet", "at", EVENT_TIME, NULL, YES},
    {"packet", "text", EVENT_STRING, NULL, YES},
    {"slow", "file", EVENT_STRING, NULL, YES},
    {"slow", "test", EVENT_STRING, NULL, NO},
    {"slow", "line", EVENT_INTEGER, NULL, NO},
    {"slow", "running", EVENT_TIME, NULL, YES},
    {"waiting", "file", EVENT_STRING, NULL, YES},
    {"waiting", "test", EVENT_STRING, NULL, NO},
    {"waiting", "line", EVENT_INTEGER, NULL, NO},
    {"waiting", "running", EVENT_TIME, NULL, YES},
    {"waiting", "calls", EVENT_LIST, "call", YES},
    {"artifacts", "file", EVENT_STRING, NULL, YES},
    {"artifacts", "paths", EVENT_STRINGS, NULL, YES},
    {"file_end", "file", EVENT_STRING, NULL, YES},
    {"file_end", "duration", EVENT_TIME, NULL, NO},
    {"run_end", "passed", EVENT_INTEGER, NULL, YES},
    {"run_end", "failed", EVENT_INTEGER, NULL, YES},
    {"run_end", "skipped", EVENT_INTEGER, NULL, YES},
    {"run_end", "errors", EVENT_INTEGER, NULL, YES},
    {"run_end", "left_out", EVENT_INTEGER, NULL, NO},
    {"run_end", "files_run", EVENT_INTEGER, NULL, NO},
    {"run_end", "duration", EVENT_TIME, NULL, NO},
    {"run_end", "interrupted", EVENT_STRING, NULL, NO},
    {0},
};
