/* SPDX-License-Identifier: MIT */
#include "runner/call_log.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/event.h"
#include "runner/lua_state.h"

#define CALL_LOG_FIRST_CAP 16

struct call_log_entry {
	const char *method; /* static */
	char *file;	    /* owned; NULL: the author's line is not known */
	int line;
	int64_t started_ns;
	int64_t span_ns;
	char *note; /* owned, or NULL */
};

static void call_log_clear(struct call_log_entry *e)
{
	free(e->file);
	free(e->note);
	*e = (struct call_log_entry){0};
}

void call_log_begin(struct call_log *l, int64_t now_ns)
{
	for (size_t i = 0; i < l->cap; i++)
		call_log_clear(&l->entries[i]);
	l->n = l->first = 0;
	l->dropped = 0;
	l->began_ns = now_ns;
}

void call_log_done(struct call_log *l)
{
	call_log_begin(l, 0);
	free(l->entries);
	*l = (struct call_log){0};
}

static void call_log_grow(struct call_log *l)
{
	size_t cap = l->cap ? 2 * l->cap : CALL_LOG_FIRST_CAP;

	if (cap > CALL_LOG_MAX)
		cap = CALL_LOG_MAX;
	l->entries = mem_realloc_array(l->entries, cap, sizeof(*l->entries));
	memset(l->entries + l->cap, 0, (cap - l->cap) * sizeof(*l->entries));
	l->cap = cap;
}

/* An empty entry behind the newest one. The ring has grown to its most before
 * an entry is dropped, so it begins at 0 as long as it grows. */
static struct call_log_entry *call_log_next(struct call_log *l)
{
	struct call_log_entry *e;

	if (l->n == l->cap && l->cap < CALL_LOG_MAX)
		call_log_grow(l);
	if (l->n == CALL_LOG_MAX) {
		l->first = (l->first + 1) % l->cap;
		l->n--;
		l->dropped++;
	}
	e = &l->entries[(l->first + l->n++) % l->cap];
	call_log_clear(e);
	return e;
}

void call_log_add(struct call_log *l, lua_State *L, const char *method,
		  int64_t started_ns, const char *note)
{
	struct call_log_entry *e = call_log_next(l);
	struct site at;

	e->method = method;
	e->started_ns = started_ns;
	e->span_ns = clock_now_ns() - started_ns;
	if (lua_state_site(L, &at)) {
		e->file = mem_strdup(at.file);
		e->line = at.line;
	}
	if (note)
		e->note = mem_strndup(note, strnlen(note, CALL_LOG_NOTE_MAX));
}

static json_t *call_log_entry_json(const struct call_log *l,
				   const struct call_log_entry *e)
{
	int64_t at_ns = e->started_ns - l->began_ns;
	json_t *js = json_object();

	json_object_set_new(js, "method",
			    event_string(e->method, strlen(e->method)));
	/* A call that another attempt began is as old as this one. */
	json_object_set_new(
	    js, "at", json_real(at_ns > 0 ? (double)at_ns / NS_PER_SEC : 0));
	json_object_set_new(js, "seconds",
			    json_real((double)e->span_ns / NS_PER_SEC));
	if (e->note)
		json_object_set_new(js, "note",
				    event_string(e->note, strlen(e->note)));
	if (e->file)
		json_object_set_new(
		    js, "location",
		    json_pack("{s:o,s:i}", "file",
			      event_string(e->file, strlen(e->file)), "line",
			      e->line));
	return js;
}

json_t *call_log_json(const struct call_log *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(
		    list, call_log_entry_json(
			      l, &l->entries[(l->first + i) % l->cap]));
	return list;
}
