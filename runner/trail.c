/* SPDX-License-Identifier: MIT */
#include "runner/trail.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "runner/event.h"
#include "runner/print.h"

void trail_reset(struct trail *t)
{
	t->n = 0;
}

void trail_call_over(struct trail *t, lua_State *L, const char *method,
		     int64_t started_ns)
{
	int64_t span_ns = clock_now_ns() - started_ns;
	unsigned i = t->n % TRAIL_CALLS;

	if (!started_ns || span_ns < TRAIL_CALL_NS)
		return;
	t->calls[i].method = method;
	t->calls[i].span_ns = span_ns;
	if (!lua_state_site(L, &t->calls[i].at))
		t->calls[i].at.file[0] = '\0';
	t->n++;
}

json_t *trail_calls(const struct trail *t)
{
	json_t *list = json_array();
	unsigned first = t->n > TRAIL_CALLS ? t->n - TRAIL_CALLS : 0;

	for (unsigned i = first; i < t->n; i++) {
		const char *method = t->calls[i % TRAIL_CALLS].method;
		const struct site *at = &t->calls[i % TRAIL_CALLS].at;
		double s =
		    (double)t->calls[i % TRAIL_CALLS].span_ns / NS_PER_SEC;
		json_t *call = json_object();

		json_object_set_new(call, "method",
				    event_string(method, strlen(method)));
		json_object_set_new(call, "seconds", json_real(s));
		if (at->file[0])
			json_object_set_new(
			    call, "location",
			    json_pack("{s:o,s:i}", "file",
				      event_string(at->file, strlen(at->file)),
				      "line", at->line));
		json_array_append_new(list, call);
	}
	return list;
}

json_t *trail_source(const char *file, int line)
{
	char *text = NULL;
	size_t n = 0;
	struct printer p = {.out = open_memstream(&text, &n)};
	json_t *js = NULL;

	if (!p.out)
		return NULL;
	print_excerpt(&p, "", file, line);
	fclose(p.out);
	if (n)
		js = event_string(text, n);
	free(text);
	return js;
}
