/* SPDX-License-Identifier: MIT */
#include "runner/trail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/event.h"
#include "runner/print.h"

void trail_reset(struct trail *t)
{
	t->n = 0;
}

/* The entry of a place, as the last one: a new one where it has none yet. */
static struct trail_call *trail_entry(struct trail *t, const char *method,
				      const struct site *at)
{
	struct trail_call call = {.method = method, .at = *at};
	unsigned i = 0;

	while (i < t->n && (t->calls[i].at.line != at->line ||
			    strcmp(t->calls[i].method, method) != 0 ||
			    strcmp(t->calls[i].at.file, at->file) != 0))
		i++;
	if (i < t->n)
		call = t->calls[i];
	else if (t->n < TRAIL_CALLS)
		t->n++;
	else
		i = 0;
	memmove(&t->calls[i], &t->calls[i + 1],
		(t->n - 1 - i) * sizeof(t->calls[0]));
	t->calls[t->n - 1] = call;
	return &t->calls[t->n - 1];
}

void trail_call_over(struct trail *t, lua_State *L, const char *method,
		     int64_t started_ns, const char *note, bool is_passive)
{
	int64_t span_ns = clock_now_ns() - started_ns;
	struct site at;

	if (!started_ns || (span_ns < TRAIL_CALL_NS && !note))
		return;
	if (!lua_state_site(L, &at))
		at = (struct site){0};
	struct trail_call *call = trail_entry(t, method, &at);
	if (span_ns > call->span_ns)
		call->span_ns = span_ns;
	call->count += !is_passive;
	if (note)
		snprintf(call->note, sizeof(call->note), "%s", note);
}

static json_t *trail_event(const struct trail_call *call)
{
	json_t *js = json_object();
	const char *file = call->at.file;

	json_object_set_new(js, "method",
			    event_string(call->method, strlen(call->method)));
	json_object_set_new(js, "seconds",
			    json_real((double)call->span_ns / NS_PER_SEC));
	if (call->count > 1)
		json_object_set_new(js, "count", json_integer(call->count));
	if (call->note[0])
		json_object_set_new(
		    js, "note", event_string(call->note, strlen(call->note)));
	if (file[0])
		json_object_set_new(js, "location",
				    json_pack("{s:o,s:i}", "file",
					      event_string(file, strlen(file)),
					      "line", call->at.line));
	return js;
}

json_t *trail_calls(const struct trail *t)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < t->n; i++)
		json_array_append_new(list, trail_event(&t->calls[i]));
	return list;
}

char *trail_summary(const json_t *calls)
{
	const json_t *call = json_array_get(calls, 0);
	const json_t *at = json_object_get(call, "location");
	const char *file = json_string_value(json_object_get(at, "file"));
	const char *method = json_string_value(json_object_get(call, "method"));
	size_t more = json_array_size(calls) - 1;
	struct buf b = {0};

	if (!method)
		return mem_strdup("");
	buf_printf(&b, " in %s", method);
	if (file)
		buf_printf(
		    &b, " at %s:%lld", file,
		    (long long)json_integer_value(json_object_get(at, "line")));
	if (more)
		buf_printf(&b, ", and %zu call%s more", more,
			   more == 1 ? "" : "s");
	buf_append(&b, "", 1);
	return (char *)b.mem;
}

json_t *trail_source(const char *file, int line)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	json_t *js = NULL;

	if (!out)
		return NULL;
	print_excerpt(out, file, line);
	fclose(out);
	if (n)
		js = event_string(text, n);
	free(text);
	return js;
}
