/* SPDX-License-Identifier: MIT */
#include "runner/explain.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/event.h"
#include "runner/report_console.h"
#include "runner/report_tree.h"

#define INDENT	"  "
#define QUOTE	"  | "
#define OUTSIDE "[outside of tests]"

/* --- choice ---------------------------------------------------------------*/

static bool explain_has_failed(const json_t *test)
{
	return !strcmp(tree_string(test, "status"), "failed") ||
	       json_array_size(json_object_get(test, "attempts_failed"));
}

static void explain_add(json_t *list, const json_t *file, const char *name,
			json_t *of)
{
	json_t *entry = json_object();
	json_int_t number = (json_int_t)json_array_size(list) + 1;

	json_object_set_new(entry, "number", json_integer(number));
	json_object_set(entry, "file", json_object_get(file, "file"));
	json_object_set_new(entry, "name", event_string(name, strlen(name)));
	json_object_set(entry, "of", of);
	json_array_append_new(list, entry);
}

json_t *explain_failures(const json_t *tree)
{
	json_t *list = json_array();
	json_t *file, *of;
	size_t i, k;

	json_array_foreach (json_object_get(tree, "files"), i, file) {
		json_array_foreach (json_object_get(file, "errors"), k, of) {
			explain_add(list, file, OUTSIDE, of);
		}
		json_array_foreach (json_object_get(file, "tests"), k, of) {
			if (explain_has_failed(of))
				explain_add(list, file, tree_string(of, "test"),
					    of);
		}
	}
	return list;
}

/* Parses a positive number. 0: the word is another text. */
static json_int_t explain_number(const char *word)
{
	char *end;
	long n = strtol(word, &end, 10);

	return *word >= '0' && *word <= '9' && !*end ? n : 0;
}

json_t *explain_choose(const json_t *failures, const char *word)
{
	json_int_t number = word ? explain_number(word) : 0;
	json_t *chosen = json_array();
	json_t *entry;
	size_t i;

	json_array_foreach (failures, i, entry) {
		json_int_t n =
		    json_integer_value(json_object_get(entry, "number"));
		CLEANUP(free_ptr)
		char *name = mem_printf("%s: %s", tree_string(entry, "file"),
					tree_string(entry, "name"));

		if (number ? n == number : !word || strstr(name, word))
			json_array_append(chosen, entry);
	}
	return chosen;
}

/* --- pieces ---------------------------------------------------------------*/

static void explain_put(const struct printer *p, const char *s)
{
	fputs(s, p->out);
}

/* The start of a part: its title, and a note on it. */
static void explain_put_title(const struct printer *p, const char *title,
			      const char *note)
{
	explain_put(p, "\n");
	print_text(p, PRINT_TITLE, title);
	if (note)
		print_text(p, PRINT_DIM, note);
	explain_put(p, "\n");
}

static void explain_put_lines(const struct printer *p, const char *title,
			      const char *prefix, struct tree_text text)
{
	if (!text.n)
		return;
	explain_put_title(p, title, NULL);
	print_lines(p, PRINT_PLAIN, prefix, text.p, text.n);
}

void explain_list(const struct printer *p, const json_t *failures)
{
	json_t *entry;
	size_t i;

	json_array_foreach (failures, i, entry) {
		fprintf(p->out, "%4lld  ",
			(long long)json_integer_value(
			    json_object_get(entry, "number")));
		print_text(p, PRINT_PLAIN, tree_string(entry, "file"));
		explain_put(p, ": ");
		print_text(p, PRINT_PLAIN, tree_string(entry, "name"));
		explain_put(p, "\n");
	}
}

static void explain_put_place(const struct printer *p, const json_t *o)
{
	const json_t *at = json_object_get(o, "location");

	if (!at)
		return;
	print_text(p, PRINT_DIM, tree_string(at, "file"));
	fprintf(p->out, ":%lld",
		(long long)json_integer_value(json_object_get(at, "line")));
}

/* The message, which begins with its place. */
static void explain_put_message(const struct printer *p, const json_t *f)
{
	struct tree_text message = tree_text(f, "message");
	struct tree_text first = tree_first_line(message);
	const json_t *at = json_object_get(f, "location");
	size_t rest = first.n + (first.n < message.n);
	CLEANUP(free_ptr)
	char *place = mem_printf(
	    "%s:%lld: ", tree_string(at, "file"),
	    (long long)json_integer_value(json_object_get(at, "line")));

	explain_put(p, INDENT);
	if (at && strncmp(message.p, place, strlen(place)) != 0)
		print_text(p, PRINT_TITLE, place);
	if (first.n)
		print_lines(p, PRINT_BAD, "", first.p, first.n);
	else
		explain_put(p, "failed\n");
	print_lines(p, PRINT_PLAIN, INDENT, message.p + rest, message.n - rest);
}

static void explain_put_networks(const struct printer *p, const json_t *f)
{
	json_t *text;
	size_t i;

	json_array_foreach (json_object_get(f, "network"), i, text) {
		explain_put(p, INDENT "in force on ");
		print_text(p, PRINT_WARN, json_string_value(text));
		explain_put(p, "\n");
	}
}

static void explain_put_note(const struct printer *p, const json_t *call)
{
	struct tree_text note = tree_text(call, "note");

	if (note.n) {
		explain_put(p, "  ");
		print_bytes(p, PRINT_PLAIN, note.p, note.n);
	}
	explain_put(p, "\n");
}

static void explain_put_call(const struct printer *p, const json_t *call)
{
	print_duration(p, PRINT_PLAIN, tree_number(call, "seconds"));
	explain_put(p, "  ");
	print_text(p, PRINT_PLAIN, tree_string(call, "method"));
	explain_put(p, "  ");
	explain_put_place(p, call);
	explain_put_note(p, call);
}

/* Each call, with the time since the attempt began. */
static void explain_put_made(const struct printer *p, const json_t *made)
{
	const json_t *calls = json_object_get(made, "calls");
	long long left_out =
	    (long long)json_integer_value(json_object_get(made, "left_out"));
	CLEANUP(free_ptr)
	char *note = left_out > 0
			 ? mem_printf(" (the last %zu; %lld before them)",
				      json_array_size(calls), left_out)
			 : NULL;
	json_t *call;
	size_t i;

	explain_put_title(p, "calls: when, how long, which, where, what", note);
	json_array_foreach (calls, i, call) {
		fprintf(p->out, "%10.3f s  ", tree_number(call, "at"));
		explain_put_call(p, call);
	}
}

/* The calls of the short report, for events that have no other. */
static void explain_put_last_calls(const struct printer *p, const json_t *calls)
{
	json_t *call;
	size_t i;

	explain_put_title(p, "last calls", " (the events have no others)");
	json_array_foreach (calls, i, call) {
		explain_put(p, INDENT);
		explain_put_call(p, call);
	}
}

static void explain_put_calls(const struct printer *p, const json_t *f)
{
	const json_t *made = json_object_get(f, "made");
	const json_t *calls = json_object_get(f, "calls");

	if (json_array_size(json_object_get(made, "calls")))
		explain_put_made(p, made);
	else if (json_array_size(calls))
		explain_put_last_calls(p, calls);
}

/* note: what there is of the console. */
static void explain_put_console(const struct printer *p, const json_t *console,
				const char *note)
{
	struct tree_text text = tree_text(console, "text");
	CLEANUP(free_ptr)
	char *title = mem_printf("console of %s", tree_string(console, "vm"));

	explain_put_title(p, title, note);
	print_lines(p, PRINT_PLAIN, QUOTE, text.p, text.n);
}

static bool explain_has_vm(const json_t *consoles, const char *vm)
{
	json_t *console;
	size_t i;

	json_array_foreach (consoles, i, console) {
		if (!strcmp(tree_string(console, "vm"), vm))
			return true;
	}
	return false;
}

static void explain_put_consoles(const struct printer *p, const json_t *f)
{
	const json_t *whole = json_object_get(f, "transcripts");
	json_t *console;
	size_t i;

	json_array_foreach (whole, i, console) {
		long long left_out = (long long)json_integer_value(
		    json_object_get(console, "left_out"));
		CLEANUP(free_ptr)
		char *note = left_out > 0
				 ? mem_printf(" (its end; %lld bytes before "
					      "it are left out)",
					      left_out)
				 : mem_strdup(" since power-on");

		explain_put_console(p, console, note);
	}
	json_array_foreach (json_object_get(f, "console"), i, console) {
		if (tree_text(console, "text").n &&
		    !explain_has_vm(whole, tree_string(console, "vm")))
			explain_put_console(p, console,
					    " (the events have no more of it)");
	}
}

static void explain_put_packets(const struct printer *p, const json_t *f)
{
	json_t *network, *packet;
	size_t i, k;

	json_array_foreach (json_object_get(f, "packets"), i, network) {
		const json_t *packets = json_object_get(network, "packets");
		long long left_out = (long long)json_integer_value(
		    json_object_get(network, "left_out"));
		CLEANUP(free_ptr)
		char *title =
		    mem_printf("packets of %s", tree_string(network, "bridge"));
		CLEANUP(free_ptr)
		char *note =
		    left_out > 0
			? mem_printf(" (the last %zu; %lld before "
				     "them)",
				     json_array_size(packets), left_out)
			: mem_strdup(" since the attempt began");

		explain_put_title(p, title, note);
		json_array_foreach (packets, k, packet) {
			fprintf(p->out, "%10.3f s  ",
				tree_number(packet, "at"));
			print_text(p, PRINT_PLAIN, tree_string(packet, "text"));
			explain_put(p, "\n");
		}
	}
}

/* Console logs, QMP logs, captured packets, attachments. */
static void explain_put_kept(const struct printer *p, const json_t *of)
{
	const json_t *kept = json_object_get(of, "kept");
	json_t *path;
	size_t i;

	if (!json_array_size(kept) && json_object_get(of, "artifacts")) {
		explain_put_title(p, "no files were kept of it", NULL);
		return;
	}
	if (!json_array_size(kept)) {
		explain_put_title(
		    p, "no files were kept",
		    ": run with --artifacts DIR to keep whole logs and "
		    "the packets of bridges");
		return;
	}
	explain_put_title(p, "kept files", NULL);
	json_array_foreach (kept, i, path) {
		explain_put(p, INDENT);
		print_text(p, PRINT_PLAIN, json_string_value(path));
		explain_put(p, "\n");
	}
}

/* --- the report -----------------------------------------------------------*/

static void explain_put_failure(const struct printer *p, const json_t *f)
{
	explain_put_message(p, f);
	explain_put_networks(p, f);
	report_console_alarms(p, INDENT, f);
	explain_put_lines(p, "source", "", tree_text(f, "source"));
	explain_put_lines(p, "trace", INDENT, tree_text(f, "trace"));
	explain_put_calls(p, f);
	explain_put_packets(p, f);
	explain_put_consoles(p, f);
}

/* Each failed attempt. The last attempt of a test that failed is its own. */
static void explain_put_attempts(const struct printer *p, const json_t *of)
{
	json_t *attempt;
	size_t i;

	json_array_foreach (json_object_get(of, "attempts_failed"), i,
			    attempt) {
		CLEANUP(free_ptr)
		char *title = mem_printf(
		    "attempt %lld", (long long)json_integer_value(
					json_object_get(attempt, "attempt")));

		explain_put_title(p, title, " failed, and another followed");
		explain_put_failure(p, attempt);
	}
}

void explain_write(const struct printer *p, const json_t *failure)
{
	const json_t *of = json_object_get(failure, "of");
	bool is_flaky = !strcmp(tree_string(of, "status"), "passed");

	print_text(p, PRINT_TITLE, tree_string(failure, "file"));
	explain_put(p, ": ");
	print_text(p, PRINT_TITLE, tree_string(failure, "name"));
	explain_put(p,
		    is_flaky ? "  flaky: passed when tried again" : "  failed");
	if (json_object_get(of, "duration")) {
		explain_put(p, ", ");
		print_duration(p, PRINT_PLAIN, tree_number(of, "duration"));
	}
	explain_put(p, "\n");
	if (!is_flaky)
		explain_put_failure(p, of);
	explain_put_attempts(p, of);
	explain_put_lines(p, "printed", QUOTE, tree_text(of, "log"));
	explain_put_kept(p, of);
}
