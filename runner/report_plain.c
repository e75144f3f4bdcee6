/* SPDX-License-Identifier: MIT */
/*
 * The report for people: a line a test as it ends, indented below its file; a
 * failure with message, source, trace, console and what it printed right
 * there; at the end the failures again, by name, and the counts.
 */
#include "runner/report.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/log_tail.h"
#include "runner/print.h"
#include "runner/report_console.h"
#include "runner/report_message.h"
#include "runner/report_summary.h"
#include "runner/report_tree.h"
#include "runner/text.h"
#include "runner/trail.h"

#define INDENT	    "        "
#define QUOTE	    INDENT "  | "
#define TRACE_LINES 20
#define CALLS_MAX   6

struct report_plain {
	struct event_sink sink;
	struct printer p;
	struct report_options opts;
	bool is_headed;	 /* the file's name is printed */
	bool is_planned; /* the file did load */
	bool wants_gap;	 /* a failure was printed last */
	bool has_begun;	 /* something was printed */
	char *file;
	struct log_tail log; /* what the running test, or the file, printed */
	struct report_summary summary;
};

struct plain_handler {
	const char *event;
	void (*handle)(struct report_plain *r, const json_t *ev);
};

static const char *report_plain_get(const json_t *ev, const char *key)
{
	return json_string_value(json_object_get(ev, key));
}

static void report_plain_put(const struct report_plain *r, const char *s)
{
	fputs(s, r->p.out);
}

/* --- pieces ---------------------------------------------------------------*/

static void head(struct report_plain *r)
{
	if (r->wants_gap)
		report_plain_put(r, "\n");
	r->wants_gap = false;
	if (r->is_headed || !r->file)
		return;
	print_text(&r->p, PRINT_TITLE, r->file);
	report_plain_put(r, "\n");
	r->is_headed = true;
	r->has_begun = true;
}

/* "  ok    name"; the caller ends the line. */
static void put_status(struct report_plain *r, enum print_style style,
		       const char *word, const char *name)
{
	head(r);
	report_plain_put(r, "  ");
	print_text(&r->p, style, word);
	for (size_t n = strlen(word); n < 6; n++)
		report_plain_put(r, " ");
	print_text(&r->p, PRINT_PLAIN, name);
}

/* The last max_lines lines of what was printed. */
static void put_log(struct report_plain *r, size_t max_lines)
{
	size_t n, before, shown;
	const char *text =
	    log_tail_last(&r->log, max_lines, LOG_TAIL_MAX, &n, &before);

	if (!n)
		return;
	shown = r->log.dropped_lines + r->log.lines - before;
	CLEANUP(free_ptr)
	char *title = before ? mem_printf("printed (last %zu line%s, %zu "
					  "before them)",
					  shown, shown == 1 ? "" : "s", before)
			     : mem_strdup("printed");
	print_quoted(&r->p, INDENT, title, text, n, SIZE_MAX);
}

/* A trace of one line says no more than the place above it does. */
static void put_trace(struct report_plain *r, const json_t *ev)
{
	struct tree_text t = tree_text(ev, "trace");

	if (tree_first_line(t).n + 1 >= t.n)
		return;
	const char *tail = print_tail(t.p, t.n, TRACE_LINES);
	print_lines(&r->p, PRINT_DIM, INDENT, tail, t.n - (size_t)(tail - t.p));
}

/* The place of a failure: the event's location, or one that the message
 * begins with. file is owned by the caller; NULL: none. */
struct failure_place {
	char *file;
	int64_t line;
	struct tree_text message; /* without the place */
};

static struct failure_place report_plain_place_of(const json_t *ev)
{
	const json_t *at = json_object_get(ev, "location");
	struct failure_place f = {.message = tree_text(ev, "message")};
	int end = 0;
	long long line = 0;

	if (!f.message.n)
		f.message = tree_text_c("failed");
	/* The bytes end in NUL. */
	const char *colon = strchr(f.message.p, ':');

	if (report_plain_get(at, "file")) {
		f.file = mem_strdup(report_plain_get(at, "file"));
		f.line = json_integer_value(json_object_get(at, "line"));
	} else if (colon && sscanf(colon, ":%lld: %n", &line, &end) == 1 &&
		   end) {
		f.file =
		    mem_strndup(f.message.p, (size_t)(colon - f.message.p));
		f.line = line;
	}
	CLEANUP(free_ptr)
	char *prefix =
	    mem_printf("%s:%lld: ", f.file ? f.file : "", (long long)f.line);
	if (f.file && !strncmp(f.message.p, prefix, strlen(prefix))) {
		f.message.p += strlen(prefix);
		f.message.n -= strlen(prefix);
	}
	return f;
}

/* What the event brings; the file itself may have changed since. */
static void put_source(struct report_plain *r, const json_t *ev,
		       const struct failure_place *f)
{
	const json_t *source = json_object_get(ev, "source");

	json_t *read = NULL;

	if (!json_is_string(source) && f->file && !r->opts.reads_no_files)
		source = read = trail_source(f->file, (int)f->line);
	if (source)
		report_message_source(&r->p, INDENT, json_string_value(source),
				      json_string_length(source));
	json_decref(read);
}

static void put_call_note(struct report_plain *r, const json_t *call)
{
	const char *note = report_plain_get(call, "note");
	json_int_t n = json_integer_value(json_object_get(call, "count"));

	if (n > 1)
		fprintf(r->p.out, "  %lld times", (long long)n);
	if (note) {
		report_plain_put(r, "  ");
		print_text(&r->p, PRINT_PLAIN, note);
	}
}

/* What the test waited in, and for how long. */
static void report_plain_put_calls(struct report_plain *r, const json_t *ev)
{
	const json_t *calls = json_object_get(ev, "calls");
	size_t n = json_array_size(calls);

	if (!n)
		return;
	report_plain_put(r, INDENT);
	print_text(&r->p, PRINT_TITLE, "last calls");
	report_plain_put(r, "\n");
	for (size_t i = n > CALLS_MAX ? n - CALLS_MAX : 0; i < n; i++) {
		const json_t *call = json_array_get(calls, i);
		const json_t *at = json_object_get(call, "location");

		report_plain_put(r, QUOTE);
		print_duration(
		    &r->p, PRINT_DIM,
		    json_number_value(json_object_get(call, "seconds")));
		report_plain_put(r, "  ");
		print_text(&r->p, PRINT_PLAIN,
			   report_plain_get(call, "method"));
		if (report_plain_get(at, "file")) {
			report_plain_put(r, "  ");
			print_text(&r->p, PRINT_DIM,
				   report_plain_get(at, "file"));
			fprintf(r->p.out, ":%lld",
				(long long)json_integer_value(
				    json_object_get(at, "line")));
		}
		put_call_note(r, call);
		report_plain_put(r, "\n");
	}
}

static void report_plain_put_networks(struct report_plain *r, const json_t *ev)
{
	const json_t *list = json_object_get(ev, "network");

	for (size_t i = 0; i < json_array_size(list); i++) {
		report_plain_put(r, INDENT);
		print_text(&r->p, PRINT_WARN, "in force on ");
		print_text(&r->p, PRINT_WARN,
			   json_string_value(json_array_get(list, i)));
		report_plain_put(r, "\n");
	}
}

/* The command that brings the order of the tests back. */
static void put_repeat(struct report_plain *r, const json_t *ev)
{
	struct tree_text command = tree_text(ev, "repeat");

	if (!command.n)
		return;
	report_plain_put(r, INDENT "repeat with: ");
	print_bytes(&r->p, PRINT_TITLE, command.p, command.n);
	report_plain_put(r, "\n");
}

static void report_plain_put_failure(struct report_plain *r, const json_t *ev,
				     const char *name)
{
	struct failure_place f = report_plain_place_of(ev);
	struct tree_text first = tree_first_line(f.message);
	size_t rest = first.n + (first.n < f.message.n);
	CLEANUP(free_ptr)
	char *at = f.file ? mem_printf("%s:%lld", f.file, (long long)f.line)
			  : mem_strdup(r->file ? r->file : "?");

	report_plain_put(r, INDENT);
	if (f.file) {
		print_text(&r->p, PRINT_TITLE, at);
		report_plain_put(r, ": ");
	}
	print_lines(&r->p, PRINT_BAD, "", first.p, first.n);
	report_message_write(&r->p, INDENT, f.message.p + rest,
			     f.message.n - rest);
	report_plain_put_networks(r, ev);
	report_console_alarms(&r->p, INDENT, ev);
	put_source(r, ev, &f);
	put_trace(r, ev);
	report_plain_put_calls(r, ev);
	report_console_write(&r->p, INDENT, ev);
	put_log(r, LOG_TAIL_LINES);
	put_repeat(r, ev);
	r->wants_gap = true;
	report_summary_failure(&r->summary, at, name);
	free(f.file);
}

/* --- events ---------------------------------------------------------------*/

static void report_plain_on_file_start(struct report_plain *r, const json_t *ev)
{
	free(r->file);
	r->file = mem_strdup(report_plain_get(ev, "file"));
	r->is_headed = false;
	r->is_planned = false;
	log_tail_done(&r->log);
}

static void report_plain_on_plan(struct report_plain *r, const json_t *ev)
{
	r->is_planned = true;
	/* A file of which nothing was selected is not worth a line. */
	if (!r->opts.is_quiet && json_array_size(json_object_get(ev, "tests")))
		head(r);
}

static void on_print(struct report_plain *r, const json_t *ev)
{
	const json_t *text = json_object_get(ev, "text");

	if (json_is_string(text))
		log_tail_add(&r->log, json_string_value(text),
			     json_string_length(text));
}

static void report_plain_on_test_start(struct report_plain *r, const json_t *ev)
{
	(void)ev;
	/* What the file printed by itself belongs to no test. */
	if (r->log.lines && r->opts.is_verbose) {
		head(r);
		put_log(r, SIZE_MAX);
	}
	log_tail_done(&r->log);
}

/* Of a test that was tried more than once. */
static void report_plain_put_attempts(struct report_plain *r, const json_t *ev,
				      const char *before, const char *after)
{
	json_int_t n = json_integer_value(json_object_get(ev, "attempts"));

	if (n < 2)
		return;
	CLEANUP(free_ptr)
	char *note = mem_printf("  %s%lld%s", before, (long long)n, after);
	print_text(&r->p, PRINT_WARN, note);
}

/* The first failure of a test that is tried again. */
static void report_plain_on_attempt(struct report_plain *r, const json_t *ev)
{
	struct failure_place f = report_plain_place_of(ev);
	struct tree_text first = tree_first_line(f.message);
	CLEANUP(free_ptr) char *text = text_c_string(first.p, first.n);
	CLEANUP(free_ptr)
	char *line =
	    f.file ? mem_printf("%s:%lld: %s", f.file, (long long)f.line, text)
		   : TAKE(text);

	report_summary_attempt(&r->summary, line);
	free(f.file);
}

static void put_passed(struct report_plain *r, const json_t *ev)
{
	double s = json_number_value(json_object_get(ev, "duration"));

	if (r->opts.is_quiet)
		return;
	put_status(r, PRINT_GOOD, "ok", report_plain_get(ev, "test"));
	report_plain_put(r, "  ");
	print_duration(&r->p, PRINT_DIM, s);
	report_plain_put_attempts(r, ev, "flaky: attempt ", "");
	report_plain_put(r, "\n");
	if (r->opts.is_verbose)
		put_log(r, SIZE_MAX);
}

static void put_skipped(struct report_plain *r, const json_t *ev)
{
	struct tree_text reason = tree_text(ev, "reason");

	if (r->opts.is_quiet)
		return;
	put_status(r, PRINT_WARN, "skip", report_plain_get(ev, "test"));
	if (reason.n) {
		report_plain_put(r, "  (");
		print_bytes(&r->p, PRINT_DIM, reason.p, reason.n);
		report_plain_put(r, ")");
	}
	report_plain_put(r, "\n");
	if (r->opts.is_verbose)
		put_log(r, SIZE_MAX);
}

static void put_failed(struct report_plain *r, const json_t *ev)
{
	double s = json_number_value(json_object_get(ev, "duration"));

	put_status(r, PRINT_BAD, "FAIL", report_plain_get(ev, "test"));
	report_plain_put(r, "  ");
	print_duration(&r->p, PRINT_DIM, s);
	report_plain_put_attempts(r, ev, "in all of ", " attempts");
	report_plain_put(r, "\n");
	report_plain_put_failure(r, ev, report_plain_get(ev, "test"));
}

static void report_plain_on_test_end(struct report_plain *r, const json_t *ev)
{
	static const struct plain_handler by_status[] = {
	    {"passed", put_passed},
	    {"skipped", put_skipped},
	    {"failed", put_failed},
	};

	report_summary_test(&r->summary, ev);
	for (size_t i = 0; i < ARRAY_LEN(by_status); i++) {
		if (!strcmp(by_status[i].event, report_plain_get(ev, "status")))
			by_status[i].handle(r, ev);
	}
	log_tail_done(&r->log);
}

/* What came behind the last test: a file that ends, and what could not be
 * kept of it. */
static void report_plain_on_file_end(struct report_plain *r, const json_t *ev)
{
	(void)ev;
	if (!r->log.lines || !r->is_planned)
		return;
	head(r);
	put_log(r, SIZE_MAX);
	log_tail_done(&r->log);
}

static void report_plain_on_file_error(struct report_plain *r, const json_t *ev)
{
	const char *what = r->is_planned ? "[outside of its tests]"
					 : "[the file did not load]";

	put_status(r, PRINT_BAD, "FAIL", what);
	report_plain_put(r, "\n");
	report_plain_put_failure(r, ev, what);
	log_tail_done(&r->log);
}

/* "  slow  file: test, for 31s"; the caller ends the line. word has four
 * letters. */
static void report_plain_put_running(struct report_plain *r, const char *word,
				     const json_t *ev)
{
	const char *test = report_plain_get(ev, "test");
	CLEANUP(free_ptr)
	char *name = mem_printf("%s: %s", report_plain_get(ev, "file"),
				test ? test : "(between tests)");

	report_plain_put(r, "  ");
	print_text(&r->p, PRINT_WARN, word);
	report_plain_put(r, "  ");
	print_text(&r->p, PRINT_PLAIN, name);
	report_plain_put(r, ", for ");
	print_duration(&r->p, PRINT_PLAIN,
		       json_number_value(json_object_get(ev, "running")));
}

static void report_plain_on_slow(struct report_plain *r, const json_t *ev)
{
	report_plain_put_running(r, "slow", ev);
	report_plain_put(r, "\n");
}

static void put_call(struct report_plain *r, const json_t *call)
{
	const json_t *at = json_object_get(call, "location");
	const json_t *s = json_object_get(call, "seconds");
	CLEANUP(free_ptr)
	char *text = mem_printf(
	    "in %s%s%s:%lld", report_plain_get(call, "method"),
	    at ? " at " : "", at ? report_plain_get(at, "file") : "",
	    (long long)json_integer_value(json_object_get(at, "line")));

	/* Without a place there is no line. */
	if (!at)
		*strrchr(text, ':') = '\0';
	report_plain_put(r, INDENT);
	print_text(&r->p, PRINT_PLAIN, text);
	if (s) {
		report_plain_put(r, ", for ");
		print_duration(&r->p, PRINT_PLAIN, json_number_value(s));
	}
	report_plain_put(r, "\n");
}

static void on_waiting(struct report_plain *r, const json_t *ev)
{
	const json_t *calls = json_object_get(ev, "calls");

	report_plain_put_running(r, "now ", ev);
	report_plain_put(r, "\n");
	for (size_t i = 0; i < json_array_size(calls); i++)
		put_call(r, json_array_get(calls, i));
	if (!json_array_size(calls))
		report_plain_put(r, INDENT
				 "in code that provium cannot look into\n");
}

/* What took its time, and will not again. */
static void on_fixture(struct report_plain *r, const json_t *ev)
{
	const json_t *seconds = json_object_get(ev, "seconds");
	const json_t *output = json_object_get(ev, "output");
	const char *state = report_plain_get(ev, "state");

	/* One that failed is an error of who asked for it. */
	if (strcmp(state, "built") != 0)
		return;
	put_status(r, PRINT_DIM, state, report_plain_get(ev, "fixture"));
	if (seconds) {
		CLEANUP(free_ptr)
		char *span = mem_printf("  %.2f s", json_number_value(seconds));
		print_text(&r->p, PRINT_DIM, span);
	}
	if (report_plain_get(ev, "reason")) {
		CLEANUP(free_ptr)
		char *why =
		    mem_printf("  (%s)", report_plain_get(ev, "reason"));
		print_text(&r->p, PRINT_DIM, why);
	}
	report_plain_put(r, "\n");
	if (json_string_length(output))
		print_quoted(&r->p, INDENT, "printed",
			     json_string_value(output),
			     json_string_length(output), SIZE_MAX);
}

static void report_plain_on_artifacts(struct report_plain *r, const json_t *ev)
{
	const json_t *paths = json_object_get(ev, "paths");

	for (size_t i = 0; i < json_array_size(paths); i++) {
		put_status(r, PRINT_DIM, "kept",
			   json_string_value(json_array_get(paths, i)));
		report_plain_put(r, "\n");
	}
}

static void report_plain_on_run_end(struct report_plain *r, const json_t *ev)
{
	report_summary_write(&r->summary, &r->p, ev, r->has_begun);
}

static const struct plain_handler handlers[] = {
    {"file_start", report_plain_on_file_start},
    {"plan", report_plain_on_plan},
    {"file_error", report_plain_on_file_error},
    {"test_start", report_plain_on_test_start},
    {"log", on_print},
    {"output", on_print},
    {"fixture", on_fixture},
    {"test_attempt", report_plain_on_attempt},
    {"test_end", report_plain_on_test_end},
    {"file_end", report_plain_on_file_end},
    {"slow", report_plain_on_slow},
    {"waiting", on_waiting},
    {"artifacts", report_plain_on_artifacts},
    {"run_end", report_plain_on_run_end},
};

static void plain_event(struct event_sink *sink, const json_t *ev)
{
	struct report_plain *r = CONTAINER_OF(sink, struct report_plain, sink);
	const char *name = report_plain_get(ev, "event");

	for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
		if (!strcmp(handlers[i].event, name))
			handlers[i].handle(r, ev);
	}
	fflush(r->p.out);
}

static void plain_free(struct event_sink *sink)
{
	struct report_plain *r = CONTAINER_OF(sink, struct report_plain, sink);

	free(r->file);
	log_tail_done(&r->log);
	report_summary_done(&r->summary);
	free(r);
}

struct event_sink *report_plain_new(FILE *out,
				    const struct report_options *opts)
{
	struct report_plain *r = mem_zalloc(sizeof(*r));

	r->sink = (struct event_sink){plain_event, plain_free, NULL};
	r->p = (struct printer){out, opts->is_colored};
	r->opts = *opts;
	report_summary_init(&r->summary);
	return &r->sink;
}
