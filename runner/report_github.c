/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. In a GitHub Actions job, lines of the log that begin
 * with "::" or hold "##[" are commands to the runner of the job. What guests
 * and tests print must not be: while another reporter prints, commands are
 * stopped ("::stop-commands::TOKEN"), with a token that nobody can guess. At
 * the end they go on ("::TOKEN::"), and each failure becomes an annotation at
 * its line, escaped as the runner's own toolkit does (actions/toolkit,
 * packages/core/src/command.ts). The step summary is Markdown, in which text
 * from outside stands only as HTML entities in <code> and <pre>.
 */
#include "runner/report.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/report_tree.h"
#include "runner/text.h"

#define TOKEN_BYTES	16
#define ANNOTATIONS_MAX 10 /* of a step and a level, by GitHub's docs */
#define SUMMARY_MAX	50 /* failures; a summary may have 1 MiB */
#define DETAIL_MAX	(8u << 10)

struct report_github {
	struct event_sink sink;
	struct event_sink *next; /* owned */
	FILE *out;
	char *summary; /* path, or NULL */
	char token[2 * TOKEN_BYTES + 1];
	bool is_stopped;
	json_t *failures; /* test_end and file_error */
	size_t n_failures;
	json_t *flaky; /* names */
};

/* --- commands -------------------------------------------------------------*/

static void stop_commands(struct report_github *r)
{
	unsigned char bytes[TOKEN_BYTES];

	/* Never a short read up to 256 bytes; getrandom(2). */
	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(r->token + 2 * i, 3, "%02x", bytes[i]);
	fprintf(r->out, "::stop-commands::%s\n", r->token);
	fflush(r->out);
	r->is_stopped = true;
}

static void resume_commands(struct report_github *r)
{
	if (r->is_stopped)
		fprintf(r->out, "::%s::\n", r->token);
	r->is_stopped = false;
}

static const char *command_escape(char c, bool is_property)
{
	switch (c) {
	case '%':
		return "%25";
	case '\r':
		return "%0D";
	case '\n':
		return "%0A";
	case ':':
		return is_property ? "%3A" : NULL;
	case ',':
		return is_property ? "%2C" : NULL;
	default:
		return NULL;
	}
}

/* Control bytes but newlines are left out. */
static void put_command_text(FILE *out, struct tree_text t, bool is_property)
{
	for (size_t i = 0; i < t.n; i++) {
		unsigned char c = (unsigned char)t.p[i];
		const char *escape = command_escape(t.p[i], is_property);

		if (escape)
			fputs(escape, out);
		else if (c >= 0x20 && c != 0x7f)
			fputc(c, out);
	}
}

static struct tree_text report_github_name_of(const json_t *f)
{
	struct tree_text test = tree_text(f, "test");

	return test.n ? test : tree_text_c("outside of tests");
}

static void put_annotation(struct report_github *r, const json_t *f)
{
	const json_t *at = json_object_get(f, "location");
	json_int_t line = json_integer_value(json_object_get(at, "line"));
	struct tree_text file = tree_text(at ? at : f, "file");

	if (line < 1)
		line = json_integer_value(json_object_get(f, "line"));
	fputs("::error file=", r->out);
	put_command_text(r->out, file, true);
	if (line > 0)
		fprintf(r->out, ",line=%lld", (long long)line);
	fputs(",title=", r->out);
	put_command_text(r->out, report_github_name_of(f), true);
	fputs("::", r->out);
	put_command_text(r->out, tree_text(f, "message"), false);
	fputc('\n', r->out);
}

/* --- the summary ----------------------------------------------------------*/

/* As text of HTML inside Markdown: all that either would read is an entity. */
static void put_entities(FILE *out, struct tree_text t, bool keeps_lines)
{
	for (size_t i = 0; i < t.n; i++) {
		unsigned char c = (unsigned char)t.p[i];
		bool is_plain = (c >= '0' && c <= '9') || c >= 0x80 ||
				((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
				c == ' ' || c == '.' || c == '-';

		if (is_plain)
			fputc(c, out);
		else if (c == '\n' || c == '\t')
			fputs(c == '\n' && keeps_lines ? "&#10;" : " ", out);
		else if (c > ' ' && c < 0x7f)
			fprintf(out, "&#%u;", c);
	}
}

static void put_code(FILE *out, struct tree_text t)
{
	fputs("<code>", out);
	put_entities(out, t, false);
	fputs("</code>", out);
}

/* The first bytes of the text, at a border of characters. */
static void put_pre(FILE *out, const char *title, struct tree_text t)
{
	size_t max = t.n < DETAIL_MAX ? t.n : DETAIL_MAX;

	if (!t.n)
		return;
	while (max < t.n && max && ((unsigned char)t.p[max] & 0xc0) == 0x80)
		max--;
	fprintf(out, "%s<pre>", title);
	put_entities(out, (struct tree_text){t.p, max}, true);
	fprintf(out, "%s</pre>\n", max < t.n ? " [...]" : "");
}

static void put_summary_failure(FILE *out, const json_t *f)
{
	const json_t *consoles = json_object_get(f, "console");

	fputs("\n<details><summary>", out);
	put_code(out, tree_text(f, "file"));
	fputs(" ", out);
	put_code(out, report_github_name_of(f));
	fputs("</summary>\n", out);
	put_pre(out, "", tree_text(f, "message"));
	put_pre(out, "", tree_text(f, "source"));
	for (size_t i = 0; i < json_array_size(consoles); i++)
		put_pre(out, "\n<b>console</b>\n\n",
			tree_text(json_array_get(consoles, i), "text"));
	fputs("</details>\n", out);
}

static void put_summary(struct report_github *r, FILE *out, const json_t *end)
{
	static const char *const counts[] = {"passed", "failed", "skipped",
					     "errors"};
	struct tree_text why = tree_text(end, "interrupted");

	fputs("### provium\n\n| passed | failed | skipped | errors |\n"
	      "|---|---|---|---|\n|",
	      out);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		fprintf(out, " %lld |",
			(long long)json_integer_value(
			    json_object_get(end, counts[i])));
	fputs("\n", out);
	if (why.n) {
		fputs("\nInterrupted by ", out);
		put_code(out, why);
		fputs(": not all was run.\n", out);
	}
	for (size_t i = 0; i < json_array_size(r->failures); i++)
		put_summary_failure(out, json_array_get(r->failures, i));
	size_t more = r->n_failures - json_array_size(r->failures);
	if (more)
		fprintf(out, "\nand %zu more failure%s.\n", more,
			more == 1 ? "" : "s");
	if (json_array_size(r->flaky))
		fputs("\nFlaky, passed when tried again:\n\n", out);
	for (size_t i = 0; i < json_array_size(r->flaky); i++) {
		fputs("- ", out);
		put_code(out, tree_text_of(json_array_get(r->flaky, i)));
		fputs("\n", out);
	}
}

static void write_summary(struct report_github *r, const json_t *end)
{
	CLEANUP(file_closep)
	FILE *out = r->summary ? fopen(r->summary, "ae") : NULL;

	if (out) {
		put_summary(r, out, end);
	} else if (r->summary) {
		fputs("::warning::provium cannot write the step summary: ",
		      r->out);
		put_command_text(r->out, tree_text_c(strerror(errno)), false);
		fputc('\n', r->out);
	}
}

/* --- events ---------------------------------------------------------------*/

static void report_github_keep(struct report_github *r, const json_t *ev)
{
	CLEANUP(free_ptr)
	char *name = mem_printf("%s: %s", tree_string(ev, "file"),
				tree_string(ev, "test"));
	bool is_error = !strcmp(tree_string(ev, "event"), "file_error");
	bool is_failed = !strcmp(tree_string(ev, "status"), "failed");

	if (is_error || is_failed) {
		if (r->n_failures++ < SUMMARY_MAX)
			json_array_append_new(r->failures, json_deep_copy(ev));
	} else if (!strcmp(tree_string(ev, "status"), "passed") &&
		   json_object_get(ev, "attempts") &&
		   json_array_size(r->flaky) < SUMMARY_MAX) {
		json_array_append_new(r->flaky, json_string(name));
	}
}

static void report_github_finish(struct report_github *r, const json_t *end)
{
	size_t n = json_array_size(r->failures);

	resume_commands(r);
	for (size_t i = 0; i < n && i < ANNOTATIONS_MAX; i++)
		put_annotation(r, json_array_get(r->failures, i));
	write_summary(r, end);
	fflush(r->out);
}

static void github_event(struct event_sink *sink, const json_t *ev)
{
	struct report_github *r =
	    CONTAINER_OF(sink, struct report_github, sink);
	const char *name = tree_string(ev, "event");

	if (!strcmp(name, "run_start"))
		stop_commands(r);
	r->next->event(r->next, ev);
	if (!strcmp(name, "test_end") || !strcmp(name, "file_error"))
		report_github_keep(r, ev);
	else if (!strcmp(name, "run_end"))
		report_github_finish(r, ev);
}

static void github_free(struct event_sink *sink)
{
	struct report_github *r =
	    CONTAINER_OF(sink, struct report_github, sink);

	report_free(r->next);
	resume_commands(r);
	fflush(r->out);
	json_decref(r->failures);
	json_decref(r->flaky);
	free(r->summary);
	free(r);
}

struct event_sink *report_github_new(FILE *out, const char *summary,
				     struct event_sink *take_next)
{
	struct report_github *r = mem_zalloc(sizeof(*r));

	r->sink = (struct event_sink){github_event, github_free, NULL};
	r->next = take_next;
	r->out = out;
	r->summary = summary && *summary ? mem_strdup(summary) : NULL;
	r->failures = json_array();
	r->flaky = json_array();
	return &r->sink;
}
