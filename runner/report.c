/* SPDX-License-Identifier: MIT */
#include "runner/report.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

struct report_events {
	struct event_sink sink;
	FILE *out;
};

struct report_group {
	struct event_sink sink;
	struct event_sink *next;
	char *current; /* the file that is passed on, or NULL */
	json_t *held;  /* object: file -> array of events, oldest file first */
};

struct report_tee {
	struct event_sink sink;
	struct event_sink *a;
	struct event_sink *b;
};

struct event_sink *report_free(struct event_sink *sink)
{
	if (sink)
		sink->free(sink);
	return NULL;
}

void report_tick(struct event_sink *sink)
{
	if (sink && sink->tick)
		sink->tick(sink);
}

/* --- events ---------------------------------------------------------------*/

static void events_event(struct event_sink *sink, const json_t *ev)
{
	struct report_events *r =
	    CONTAINER_OF(sink, struct report_events, sink);
	struct buf line = {0};

	event_encode(ev, &line);
	fwrite(buf_data(&line), 1, line.len, r->out);
	fflush(r->out);
	buf_done(&line);
}

static void events_free(struct event_sink *sink)
{
	free(CONTAINER_OF(sink, struct report_events, sink));
}

struct event_sink *report_events_new(FILE *out)
{
	struct report_events *r = mem_zalloc(sizeof(*r));

	r->sink = (struct event_sink){events_event, events_free, NULL};
	r->out = out;
	return &r->sink;
}

/* --- group ----------------------------------------------------------------*/

static bool is_event(const json_t *ev, const char *name)
{
	const char *s = json_string_value(json_object_get(ev, "event"));

	return !strcmp(s, name);
}

/* Passes an event of the current file on; true: it was the file's last. */
static bool group_pass(struct report_group *g, const json_t *ev)
{
	g->next->event(g->next, ev);
	if (!is_event(ev, "file_end"))
		return false;
	free(g->current);
	g->current = NULL;
	return true;
}

/* The current file ended: others, up to one that still runs. */
static void report_group_release(struct report_group *g)
{
	void *it;

	while (!g->current && (it = json_object_iter(g->held))) {
		json_t *events = json_incref(json_object_iter_value(it));

		g->current = mem_strdup(json_object_iter_key(it));
		json_object_del(g->held, g->current);
		for (size_t i = 0; i < json_array_size(events); i++)
			group_pass(g, json_array_get(events, i));
		json_decref(events);
	}
}

static void group_event(struct event_sink *sink, const json_t *ev)
{
	struct report_group *g = CONTAINER_OF(sink, struct report_group, sink);
	const char *file = json_string_value(json_object_get(ev, "file"));
	json_t *held;

	/* What is said of a test while it runs is for now. */
	if (!file || is_event(ev, "slow") || is_event(ev, "waiting")) {
		g->next->event(g->next, ev);
		return;
	}
	if (!g->current)
		g->current = mem_strdup(file);
	if (!strcmp(g->current, file)) {
		if (group_pass(g, ev))
			report_group_release(g);
		return;
	}
	held = json_object_get(g->held, file);
	if (!held) {
		held = json_array();
		json_object_set_new(g->held, file, held);
	}
	/* A copy: the sender may change its own. */
	json_array_append_new(held, json_deep_copy(ev));
}

static void group_free(struct event_sink *sink)
{
	struct report_group *g = CONTAINER_OF(sink, struct report_group, sink);

	report_free(g->next);
	json_decref(g->held);
	free(g->current);
	free(g);
}

struct event_sink *report_group_new(struct event_sink *take_next)
{
	struct report_group *g = mem_zalloc(sizeof(*g));

	g->sink = (struct event_sink){group_event, group_free, NULL};
	g->next = take_next;
	g->held = json_object();
	return &g->sink;
}

/* --- tee ------------------------------------------------------------------*/

static void tee_event(struct event_sink *sink, const json_t *ev)
{
	struct report_tee *t = CONTAINER_OF(sink, struct report_tee, sink);

	t->a->event(t->a, ev);
	if (t->b)
		t->b->event(t->b, ev);
}

static void tee_tick(struct event_sink *sink)
{
	struct report_tee *t = CONTAINER_OF(sink, struct report_tee, sink);

	report_tick(t->a);
	report_tick(t->b);
}

static void tee_free(struct event_sink *sink)
{
	struct report_tee *t = CONTAINER_OF(sink, struct report_tee, sink);

	report_free(t->a);
	report_free(t->b);
	free(t);
}

struct event_sink *report_tee_new(struct event_sink *take_a,
				  struct event_sink *take_b)
{
	struct report_tee *t = mem_zalloc(sizeof(*t));

	t->sink = (struct event_sink){tee_event, tee_free, tee_tick};
	t->a = take_a;
	t->b = take_b;
	return &t->sink;
}
