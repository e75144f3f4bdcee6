/* SPDX-License-Identifier: MIT */
/*
 * TAP 14 (testanything.org): a test point as each test ends, with diagnostics
 * as YAML; the plan stands at the end, where the number of tests is known.
 * Strings of the diagnostics are JSON strings, which are YAML too: nothing in
 * them can end the block.
 */
#include "runner/report.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/report_tree.h"
#include "runner/text.h"

struct report_tap {
	struct event_sink sink;
	FILE *out;
	size_t n;
};

/* In a description, "#" would begin a directive, and "\" escapes. */
static void put_name(struct report_tap *r, struct tree_text t)
{
	CLEANUP(buf_done) struct buf b = {0};

	text_escape(&b, t.p, t.n);
	for (size_t i = 0; i < b.len; i++) {
		char c = (char)buf_data(&b)[i];

		if (c == '#' || c == '\\')
			fputc('\\', r->out);
		fputc(c, r->out);
	}
}

static void put_point(struct report_tap *r, const json_t *ev, bool is_ok,
		      struct tree_text name)
{
	fprintf(r->out, "%s %zu - ", is_ok ? "ok" : "not ok", ++r->n);
	put_name(r, tree_text(ev, "file"));
	fputs(": ", r->out);
	put_name(r, name);
}

static void put_value(struct report_tap *r, const json_t *ev, const char *key)
{
	const json_t *v = json_object_get(ev, key);

	if (!v)
		return;
	fprintf(r->out, "  %s: ", key);
	json_dumpf(v, r->out,
		   JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT |
		       JSON_REAL_PRECISION(15));
	fputc('\n', r->out);
}

static void put_diagnostics(struct report_tap *r, const json_t *ev)
{
	static const char *const keys[] = {
	    "message", "location", "source",   "trace",
	    "calls",   "console",  "duration", "attempts",
	};

	fputs("  ---\n", r->out);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		put_value(r, ev, keys[i]);
	fputs("  ...\n", r->out);
}

static void on_run_start(struct report_tap *r, const json_t *ev)
{
	(void)ev;
	fputs("TAP version 14\n", r->out);
}

static void on_test_end(struct report_tap *r, const json_t *ev)
{
	const char *status = tree_string(ev, "status");
	bool is_failed = !strcmp(status, "failed");

	put_point(r, ev, !is_failed, tree_text(ev, "test"));
	if (!strcmp(status, "skipped")) {
		fputs(" # SKIP ", r->out);
		put_name(r, tree_text(ev, "reason"));
	}
	fputs("\n", r->out);
	if (is_failed || json_object_get(ev, "attempts"))
		put_diagnostics(r, ev);
}

static void on_file_error(struct report_tap *r, const json_t *ev)
{
	put_point(r, ev, false, tree_text_c("[outside of tests]"));
	fputs("\n", r->out);
	put_diagnostics(r, ev);
}

static void on_run_end(struct report_tap *r, const json_t *ev)
{
	struct tree_text why = tree_text(ev, "interrupted");

	if (why.n) {
		fputs("Bail out! interrupted by ", r->out);
		put_name(r, why);
		fputs("\n", r->out);
		return;
	}
	fprintf(r->out, "1..%zu%s\n", r->n, r->n ? "" : " # SKIP no tests");
}

static const struct tap_handler {
	const char *event;
	void (*handle)(struct report_tap *r, const json_t *ev);
} handlers[] = {
    {"run_start", on_run_start},
    {"test_end", on_test_end},
    {"file_error", on_file_error},
    {"run_end", on_run_end},
};

static void tap_event(struct event_sink *sink, const json_t *ev)
{
	struct report_tap *r = CONTAINER_OF(sink, struct report_tap, sink);
	const char *name = tree_string(ev, "event");

	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		if (!strcmp(handlers[i].event, name))
			handlers[i].handle(r, ev);
	fflush(r->out);
}

static void tap_free(struct event_sink *sink)
{
	free(CONTAINER_OF(sink, struct report_tap, sink));
}

struct event_sink *report_tap_new(FILE *out)
{
	struct report_tap *r = mem_zalloc(sizeof(*r));

	r->sink = (struct event_sink){tap_event, tap_free, NULL};
	r->out = out;
	return &r->sink;
}
