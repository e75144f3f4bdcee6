/* SPDX-License-Identifier: MIT */
/*
 * JUnit XML, as Jenkins, GitLab and others read it: a testsuite a file, with
 * the elements of Maven Surefire (surefire-test-report.xsd 3.0) for attempts:
 * flakyFailure where one failed before another passed, rerunFailure where the
 * first failed and so did the others.
 */
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/report_tree.h"
#include "runner/text.h"

/* Char of XML 1.0, 2.2; and no non-characters. */
static bool is_char(uint32_t c)
{
	if (c < 0x20)
		return c == '\t' || c == '\n' || c == '\r';
	if (c == 0x7f || (c >= 0xd800 && c <= 0xdfff))
		return false;
	return (c & 0xfffe) != 0xfffe;
}

/* What XML cannot hold is shown as reports for people show it. */
static void put_escape(FILE *out, uint8_t byte, size_t len, uint32_t code)
{
	if (len > 1)
		fprintf(out, "\\u{%x}", (unsigned)code);
	else
		fprintf(out, "\\x%02x", byte);
}

/* What s[0] must be written as in text and in attributes alike; NULL: as it
 * is. CR would otherwise be read back as LF. */
static const char *entity_of(char c, bool is_attribute)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>': /* "]]>" must not stand in text */
		return "&gt;";
	case '"':
		return "&quot;";
	case '\r':
		return "&#13;";
	case '\n':
		return is_attribute ? "&#10;" : NULL;
	case '\t':
		return is_attribute ? "&#9;" : NULL;
	default:
		return NULL;
	}
}

static void report_junit_put_text(FILE *out, struct tree_text t,
				  bool is_attribute)
{
	uint32_t code;

	for (size_t i = 0, len; i < t.n; i += len) {
		const char *entity = entity_of(t.p[i], is_attribute);

		len = text_utf8(t.p + i, t.n - i, &code);
		if (entity)
			fputs(entity, out);
		else if (len && is_char(code))
			fwrite(t.p + i, 1, len, out);
		else
			put_escape(out, (uint8_t)t.p[i], len, code);
		if (!len)
			len = 1;
	}
}

/* The member of o. */
static void put_member(FILE *out, const json_t *o, const char *key)
{
	report_junit_put_text(out, tree_text(o, key), false);
}

static void put_attribute(FILE *out, const char *name, struct tree_text value)
{
	fprintf(out, " %s=\"", name);
	report_junit_put_text(out, value, true);
	fputc('"', out);
}

/* Appends a folder of a path, or its last part, as a part of a class name.
 * Readers cut the name of a class at its last dot, so a part has no dot. */
static void add_class_part(struct buf *class, const char *part, size_t n,
			   bool is_last)
{
	static const char suffix[] = ".test.lua";
	const char *end = memmem(part, n, suffix, strlen(suffix));
	size_t stem = is_last && end ? (size_t)(end - part) : n;

	if (!n || (n == 1 && *part == '.') ||
	    (n == 2 && !memcmp(part, "..", 2)))
		return;
	if (class->len)
		buf_append(class, ".", 1);
	for (size_t i = 0; i < n; i++) {
		if (i == stem)
			i += strlen(suffix);
		if (i < n)
			buf_append(class, part[i] == '.' ? "_" : part + i, 1);
	}
}

/* The class of a file: its folders and its stem, joined by dots. */
static void put_class(FILE *out, struct tree_text file)
{
	CLEANUP(buf_done) struct buf class = {0};

	for (size_t at = 0, n; at < file.n; at += n + 1) {
		const char *part = file.p + at;
		const char *slash = memchr(part, '/', file.n - at);

		n = slash ? (size_t)(slash - part) : file.n - at;
		add_class_part(&class, part, n, !slash);
	}
	if (class.len)
		file = (struct tree_text){(char *)buf_data(&class), class.len};
	put_attribute(out, "classname", file);
}

/* system-out of o, which is a test, an error or a file: what it printed, and
 * the files that were kept of it. */
static void put_out(FILE *out, const char *indent, const json_t *o)
{
	const json_t *kept = json_object_get(o, "kept");
	struct tree_text log = tree_text(o, "log");

	if (!json_array_size(kept) && !log.n)
		return;
	fprintf(out, "%s<system-out>", indent);
	report_junit_put_text(out, log, false);
	/* The form that Jenkins and GitLab make links of. */
	for (size_t i = 0; i < json_array_size(kept); i++) {
		fputs("[[ATTACHMENT|", out);
		report_junit_put_text(
		    out, tree_text_of(json_array_get(kept, i)), false);
		fputs("]]\n", out);
	}
	fputs("</system-out>\n", out);
}

/* --- failures -------------------------------------------------------------*/

static void report_junit_put_calls(FILE *out, const json_t *calls)
{
	for (size_t i = 0; i < json_array_size(calls); i++) {
		const json_t *call = json_array_get(calls, i);
		const json_t *at = json_object_get(call, "location");
		CLEANUP(free_ptr)
		char *line = mem_printf(
		    "%s %s:%lld took %.3f s", tree_string(call, "method"),
		    tree_string(at, "file"),
		    (long long)json_integer_value(json_object_get(at, "line")),
		    tree_number(call, "seconds"));
		report_junit_put_text(out, tree_text_c(line), false);
		fputs(json_object_get(call, "note") ? ": " : "", out);
		put_member(out, call, "note");
		fputs("\n", out);
	}
}

static void report_junit_put_networks(FILE *out, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		fputs("in force on ", out);
		report_junit_put_text(
		    out, tree_text_of(json_array_get(list, i)), false);
		fputs("\n", out);
	}
}

static void put_consoles(FILE *out, const json_t *consoles)
{
	for (size_t i = 0; i < json_array_size(consoles); i++) {
		const json_t *c = json_array_get(consoles, i);

		fputs("\nconsole of ", out);
		put_member(out, c, "vm");
		if (tree_text(c, "text").n)
			fputs(":\n", out);
		else
			fputs(": nothing since the test began\n", out);
		put_member(out, c, "text");
	}
}

/* All that is known of a failure. */
static void put_details(FILE *out, const json_t *f)
{
	put_member(out, f, "message");
	fputs("\n", out);
	put_member(out, f, "source");
	put_member(out, f, "trace");
	report_junit_put_networks(out, json_object_get(f, "network"));
	report_junit_put_calls(out, json_object_get(f, "calls"));
	put_consoles(out, json_object_get(f, "console"));
	if (json_object_get(f, "repeat")) {
		fputs("\nrepeat with: ", out);
		put_member(out, f, "repeat");
		fputs("\n", out);
	}
}

static void put_message(FILE *out, const json_t *f)
{
	put_attribute(out, "message", tree_first_line(tree_text(f, "message")));
}

static void report_junit_put_failure(FILE *out, const char *element,
				     const json_t *f)
{
	fprintf(out, "   <%s", element);
	put_message(out, f);
	fputs(" type=\"failure\">", out);
	put_details(out, f);
	fprintf(out, "</%s>\n", element);
}

/* flakyFailure, rerunFailure: what is known stands in stackTrace. */
static void put_rerun(FILE *out, const char *element, const json_t *f)
{
	fprintf(out, "   <%s", element);
	put_message(out, f);
	fputs(" type=\"failure\"><stackTrace>", out);
	put_details(out, f);
	fprintf(out, "</stackTrace></%s>\n", element);
}

static void report_junit_put_attempts(FILE *out, const json_t *test)
{
	const json_t *failed = json_object_get(test, "attempts_failed");
	bool has_passed = !strcmp(tree_string(test, "status"), "passed");
	bool has_failed = !strcmp(tree_string(test, "status"), "failed");
	size_t n = json_array_size(failed);

	if (has_failed)
		report_junit_put_failure(out, "failure",
					 n ? json_array_get(failed, 0) : test);
	for (size_t i = has_failed; i < n; i++)
		put_rerun(out, has_passed ? "flakyFailure" : "rerunFailure",
			  json_array_get(failed, i));
	if (has_failed && n)
		put_rerun(out, "rerunFailure", test);
}

/* --- tests and files ------------------------------------------------------*/

static void report_junit_put_test(FILE *out, struct tree_text file,
				  const json_t *test)
{
	long long line =
	    (long long)json_integer_value(json_object_get(test, "line"));

	fputs("  <testcase", out);
	put_attribute(out, "name", tree_text(test, "test"));
	put_class(out, file);
	put_attribute(out, "file", file);
	if (line > 0)
		fprintf(out, " line=\"%lld\"", line);
	fprintf(out, " time=\"%.3f\">\n", tree_number(test, "duration"));
	if (!strcmp(tree_string(test, "status"), "skipped")) {
		fputs("   <skipped", out);
		put_attribute(out, "message", tree_text(test, "reason"));
		fputs("/>\n", out);
	}
	report_junit_put_attempts(out, test);
	put_out(out, "   ", test);
	fputs("  </testcase>\n", out);
}

static void report_junit_put_error(FILE *out, struct tree_text file,
				   const json_t *error)
{
	fputs("  <testcase name=\"[outside of tests]\"", out);
	put_class(out, file);
	put_attribute(out, "file", file);
	fputs(" time=\"0.000\">\n   <error", out);
	put_message(out, error);
	fputs(" type=\"error\">", out);
	put_details(out, error);
	fputs("</error>\n", out);
	put_out(out, "   ", error);
	fputs("  </testcase>\n", out);
}

struct counts {
	size_t tests;
	size_t failures;
	size_t errors;
	size_t skipped;
};

static void count_file(const json_t *file, struct counts *c)
{
	const json_t *tests = json_object_get(file, "tests");
	size_t errors = json_array_size(json_object_get(file, "errors"));

	c->tests += json_array_size(tests) + errors;
	c->errors += errors;
	for (size_t i = 0; i < json_array_size(tests); i++) {
		const char *status =
		    tree_string(json_array_get(tests, i), "status");
		c->failures += !strcmp(status, "failed");
		c->skipped += !strcmp(status, "skipped");
	}
}

static void report_junit_put_counts(FILE *out, const struct counts *c,
				    double seconds)
{
	fprintf(out,
		" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" "
		"skipped=\"%zu\" time=\"%.3f\"",
		c->tests, c->failures, c->errors, c->skipped, seconds);
}

/* ISO 8601 without a zone, in UTC: what the schema asks for. */
static void put_timestamp(FILE *out, const json_t *file)
{
	time_t start = (time_t)tree_number(file, "start");
	char text[32];
	struct tm tm;

	if (start <= 0 || !gmtime_r(&start, &tm) || tm.tm_year > 8099 ||
	    !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		return;
	fprintf(out, " timestamp=\"%s\"", text);
}

static void report_junit_put_file(FILE *out, const json_t *file)
{
	const json_t *tests = json_object_get(file, "tests");
	const json_t *errors = json_object_get(file, "errors");
	struct tree_text name = tree_text(file, "file");
	struct counts c = {0};

	count_file(file, &c);
	fputs(" <testsuite", out);
	put_attribute(out, "name", name);
	report_junit_put_counts(out, &c, tree_number(file, "duration"));
	put_timestamp(out, file);
	fputs(">\n", out);
	for (size_t i = 0; i < json_array_size(tests); i++)
		report_junit_put_test(out, name, json_array_get(tests, i));
	for (size_t i = 0; i < json_array_size(errors); i++)
		report_junit_put_error(out, name, json_array_get(errors, i));
	put_out(out, "  ", file);
	fputs(" </testsuite>\n", out);
}

void report_junit_write(FILE *out, const json_t *tree)
{
	const json_t *files = json_object_get(tree, "files");
	struct counts c = {0};

	for (size_t i = 0; i < json_array_size(files); i++)
		count_file(json_array_get(files, i), &c);
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	      "<testsuites name=\"provium\"",
	      out);
	report_junit_put_counts(
	    out, &c, tree_number(json_object_get(tree, "end"), "duration"));
	fputs(">\n", out);
	for (size_t i = 0; i < json_array_size(files); i++)
		report_junit_put_file(out, json_array_get(files, i));
	fputs("</testsuites>\n", out);
}
