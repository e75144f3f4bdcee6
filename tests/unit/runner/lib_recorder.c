/* SPDX-License-Identifier: MIT */
#include "tests/unit/runner/lib_recorder.h"

#include <string.h>

#include "agent-proto/mem.h"

static const char *get(const json_t *ev, const char *key)
{
	const char *s = json_string_value(json_object_get(ev, key));

	return s ? s : "";
}

static void record(struct event_sink *sink, const json_t *ev)
{
	struct recorder *r = CONTAINER_OF(sink, struct recorder, sink);
	static const char *const keys[] = {"test", "status"};
	static const char *const details[] = {"message", "reason", "text",
					      "repeat"};
	const json_t *tests = json_object_get(ev, "tests");
	json_t *test;
	size_t n;

	/* They come between any two others. */
	if (!strcmp(get(ev, "event"), "pool")) {
		r->n_pool++;
		return;
	}
	buf_printf(&r->text, "%s", get(ev, "event"));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (*get(ev, keys[i]))
			buf_printf(&r->text, " %s", get(ev, keys[i]));
	}
	json_array_foreach (tests, n, test)
		buf_printf(&r->text, " %s", get(test, "name"));
	for (size_t i = 0; i < ARRAY_LEN(details); i++) {
		if (*get(ev, details[i]))
			buf_printf(&r->text, ": %s", get(ev, details[i]));
	}
	buf_append(&r->text, "\n", 1);
}

static void no_free(struct event_sink *sink)
{
	(void)sink;
}

static void tick(struct event_sink *sink)
{
	CONTAINER_OF(sink, struct recorder, sink)->n_ticks++;
}

void recorder_init(struct recorder *r)
{
	*r = (struct recorder){.sink = {record, no_free, tick}};
}

void recorder_done(struct recorder *r)
{
	buf_done(&r->text);
}

const char *recorder_take(struct recorder *r)
{
	size_t n = r->text.len;

	buf_append(&r->text, "", 1);
	const char *s = (char *)buf_data(&r->text);
	/* The bytes stay where they are until something is appended. */
	buf_consume(&r->text, n + 1);
	return s;
}
