/* SPDX-License-Identifier: MIT */
/*
 * TAP 13 (testanything.org): a test point as each test ends, with diagnostics
 * as YAML; the plan stands at the end, where the number of tests is known.
 * Later versions add nothing that is used here, and TAP::Parser refuses them.
 *
 * Readers differ in the escapes that they know, so a name needs none: it holds
 * no "#", which begins a directive, and ends in no "{", which begins a
 * subtest. Read by TAP::Parser 3.44, tap-parser 5 and 18, Meson 1.0 and the
 * tap-driver of automake 1.16.
 *
 * Strings of the diagnostics are JSON strings, which are YAML too: nothing in
 * them can end the block.
 */
#include "runner/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/json_text.h"
#include "runner/log_tail.h"
#include "runner/report_tree.h"
#include "runner/text.h"

/* Bytes of a string in the diagnostics. TAP::Parser takes no more than 65534
 * characters, and one byte may become six. */
#define TAP_TEXT_MAX (8u << 10)
#define TAP_NOTE_MAX 64u /* bytes of the line above the end of a log */

/* What is known of the test that runs in a file. */
struct tap_test {
	LIST_ENTRY(tap_test) link;
	char *file;
	char *first_failure; /* message of its first attempt, or NULL */
	struct log_tail log;
};
LIST_HEAD(tap_test_list, tap_test);

struct report_tap {
	struct event_sink sink;
	FILE *out;
	size_t n;
	struct tap_test_list tests;
};

/* --- the tests that run ---------------------------------------------------*/

static void tap_test_free(struct tap_test *t)
{
	LIST_REMOVE(t, link);
	log_tail_done(&t->log);
	free(t->first_failure);
	free(t->file);
	free(t);
}

static struct tap_test *tap_test_find(struct report_tap *r, const json_t *ev)
{
	const char *file = tree_string(ev, "file");
	struct tap_test *t;

	LIST_FOREACH (t, &r->tests, link)
		if (!strcmp(t->file, file))
			return t;
	return NULL;
}

/* Begins anew: what is known is of another test, or of none. */
static void report_tap_on_test_start(struct report_tap *r, const json_t *ev)
{
	struct tap_test *t = tap_test_find(r, ev);

	if (t)
		tap_test_free(t);
	t = mem_zalloc(sizeof(*t));
	t->file = mem_strdup(tree_string(ev, "file"));
	LIST_INSERT_HEAD(&r->tests, t, link);
}

static void report_tap_on_log(struct report_tap *r, const json_t *ev)
{
	struct tap_test *t = tap_test_find(r, ev);
	struct tree_text text = tree_text(ev, "text");

	if (t)
		log_tail_add(&t->log, text.p, text.n);
}

static void report_tap_on_attempt(struct report_tap *r, const json_t *ev)
{
	struct tap_test *t = tap_test_find(r, ev);
	struct tree_text message = tree_text(ev, "message");

	if (t && !t->first_failure)
		t->first_failure = text_c_string(message.p, message.n);
}

static void report_tap_on_file_end(struct report_tap *r, const json_t *ev)
{
	struct tap_test *t = tap_test_find(r, ev);

	if (t)
		tap_test_free(t);
}

/* --- text -----------------------------------------------------------------*/

static void report_tap_put_name(struct report_tap *r, struct tree_text t)
{
	CLEANUP(buf_done) struct buf b = {0};
	size_t end;

	text_escape(&b, t.p, t.n);
	end = b.len;
	while (end && buf_data(&b)[end - 1] == ' ')
		end--;
	for (size_t i = 0; i < end; i++) {
		char c = (char)buf_data(&b)[i];

		if (c == '#' || (c == '{' && i + 1 == end))
			fprintf(r->out, "\\x%02x", (unsigned)c);
		else
			fputc(c, r->out);
	}
}

static void put_point(struct report_tap *r, const json_t *ev, bool is_ok,
		      struct tree_text name)
{
	fprintf(r->out, "%s %zu - ", is_ok ? "ok" : "not ok", ++r->n);
	report_tap_put_name(r, tree_text(ev, "file"));
	fputs(": ", r->out);
	report_tap_put_name(r, name);
}

/* The string, owned, cut where it is too long. */
static json_t *shorten_string(const json_t *string)
{
	struct tree_text t = tree_text_of(string);
	size_t max = t.n < TAP_TEXT_MAX ? t.n : TAP_TEXT_MAX;
	CLEANUP(buf_done) struct buf b = {0};

	/* At a border of characters. */
	while (max && max < t.n && ((unsigned char)t.p[max] & 0xc0) == 0x80)
		max--;
	buf_append(&b, t.p, max);
	if (max < t.n)
		buf_printf(&b, "\n[%zu more bytes]", t.n - max);
	return json_stringn(b.len ? (char *)buf_data(&b) : "", b.len);
}

/* The value, owned, with strings that are not too long. */
static json_t *shorten(json_t *v)
{
	json_t *out, *item;
	const char *key;

	if (json_is_string(v))
		return shorten_string(v);
	if (json_is_array(v)) {
		out = json_array();
		for (size_t i = 0; i < json_array_size(v); i++)
			json_array_append_new(out,
					      shorten(json_array_get(v, i)));
		return out;
	}
	if (!json_is_object(v))
		return json_incref(v);
	out = json_object();
	json_object_foreach (v, key, item) {
		json_object_set_new(out, key, shorten(item));
	}
	return out;
}

static void put_value(struct report_tap *r, const char *key, json_t *value)
{
	json_t *v = shorten(value);

	fprintf(r->out, "  %s: ", key);
	CLEANUP(free_ptr)
	char *text =
	    json_text(v, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
	if (text)
		fputs(text, r->out);
	fputc('\n', r->out);
	json_decref(v);
}

static void put_string(struct report_tap *r, const char *key, const char *s,
		       size_t n)
{
	json_t *v = event_string(s, n);

	put_value(r, key, v);
	json_decref(v);
}

/* What is known of the test beside its last event. */
static void report_tap_put_test(struct report_tap *r, const struct tap_test *t,
				bool is_failed)
{
	CLEANUP(buf_done) struct buf log = {0};

	if (t->first_failure && !is_failed)
		put_string(r, "first_failure", t->first_failure,
			   strlen(t->first_failure));
	if (!is_failed || !t->log.lines)
		return;
	/* The note of the lines before takes some bytes, too. */
	log_tail_write(&t->log, LOG_TAIL_LINES, TAP_TEXT_MAX - TAP_NOTE_MAX,
		       &log);
	put_string(r, "log", (char *)buf_data(&log), log.len);
}

/* t may be NULL. */
static void put_diagnostics(struct report_tap *r, const json_t *ev,
			    const struct tap_test *t, bool is_failed)
{
	static const char *const keys[] = {
	    "message", "location", "source",   "trace",	   "network",
	    "calls",   "console",  "duration", "attempts", "repeat",
	};

	fputs("  ---\n", r->out);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (json_object_get(ev, keys[i]))
			put_value(r, keys[i], json_object_get(ev, keys[i]));
	if (t)
		report_tap_put_test(r, t, is_failed);
	fputs("  ...\n", r->out);
}

/* --- events ---------------------------------------------------------------*/

static void report_tap_on_run_start(struct report_tap *r, const json_t *ev)
{
	(void)ev;
	fputs("TAP version 13\n", r->out);
}

static void report_tap_on_test_end(struct report_tap *r, const json_t *ev)
{
	const char *status = tree_string(ev, "status");
	bool is_failed = !strcmp(status, "failed");
	bool is_skipped = !strcmp(status, "skipped");
	struct tree_text reason = tree_text(ev, "reason");
	struct tap_test *t = tap_test_find(r, ev);

	put_point(r, ev, !is_failed, tree_text(ev, "test"));
	if (is_skipped)
		fputs(reason.n ? " # SKIP " : " # SKIP", r->out);
	if (is_skipped)
		report_tap_put_name(r, reason);
	fputs("\n", r->out);
	if (is_failed || json_object_get(ev, "attempts"))
		put_diagnostics(r, ev, t, is_failed);
	if (t)
		tap_test_free(t);
}

static void report_tap_on_file_error(struct report_tap *r, const json_t *ev)
{
	put_point(r, ev, false, tree_text_c("[outside of tests]"));
	fputs("\n", r->out);
	put_diagnostics(r, ev, NULL, true);
}

static void report_tap_on_run_end(struct report_tap *r, const json_t *ev)
{
	struct tree_text why = tree_text(ev, "interrupted");

	if (why.n) {
		fputs("Bail out! interrupted by ", r->out);
		report_tap_put_name(r, why);
		fputs("\n", r->out);
		return;
	}
	fprintf(r->out, "1..%zu%s\n", r->n, r->n ? "" : " # SKIP no tests");
}

static const struct tap_handler {
	const char *event;
	void (*handle)(struct report_tap *r, const json_t *ev);
} handlers[] = {
    {"run_start", report_tap_on_run_start},
    {"test_start", report_tap_on_test_start},
    {"log", report_tap_on_log},
    {"output", report_tap_on_log},
    {"test_attempt", report_tap_on_attempt},
    {"test_end", report_tap_on_test_end},
    {"file_error", report_tap_on_file_error},
    {"file_end", report_tap_on_file_end},
    {"run_end", report_tap_on_run_end},
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
	struct report_tap *r = CONTAINER_OF(sink, struct report_tap, sink);
	struct tap_test *t = LIST_FIRST(&r->tests);

	while (t) {
		struct tap_test *next = LIST_NEXT(t, link);
		tap_test_free(t);
		t = next;
	}
	free(r);
}

struct event_sink *report_tap_new(FILE *out)
{
	struct report_tap *r = mem_zalloc(sizeof(*r));

	r->sink = (struct event_sink){tap_event, tap_free, NULL};
	r->out = out;
	return &r->sink;
}
