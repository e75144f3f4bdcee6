/* SPDX-License-Identifier: MIT */
/* What `provium list` prints: the plans of the files, and what did not load. */
#include "runner/report.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/print.h"

struct report_list {
	struct event_sink sink;
	struct printer p;
	char *file; /* whose name was printed last, or NULL */
	size_t n_tests;
	size_t n_files;
};

static void report_list_put_file(struct report_list *r, const json_t *ev)
{
	const char *file = json_string_value(json_object_get(ev, "file"));

	if (r->file && !strcmp(r->file, file))
		return;
	free(r->file);
	r->file = mem_strdup(file);
	print_text(&r->p, PRINT_TITLE, file);
	fputs("\n", r->p.out);
}

static void put_tags(struct report_list *r, const json_t *tags)
{
	if (!json_array_size(tags))
		return;
	fputs("  [", r->p.out);
	for (size_t i = 0; i < json_array_size(tags); i++) {
		const char *s = json_string_value(json_array_get(tags, i));
		fputs(i ? ", " : "", r->p.out);
		print_text(&r->p, PRINT_DIM, s ? s : "?");
	}
	fputs("]", r->p.out);
}

static void report_list_put_test(struct report_list *r, const json_t *test)
{
	const json_t *skip = json_object_get(test, "skip");

	fputs("  ", r->p.out);
	print_text(&r->p, PRINT_PLAIN,
		   json_string_value(json_object_get(test, "name")));
	put_tags(r, json_object_get(test, "tags"));
	if (json_is_string(skip)) {
		fputs("  (skip: ", r->p.out);
		print_bytes(&r->p, PRINT_WARN, json_string_value(skip),
			    json_string_length(skip));
		fputs(")", r->p.out);
	} else if (json_is_true(skip)) {
		fputs("  (skip)", r->p.out);
	}
	fputs("\n", r->p.out);
	r->n_tests++;
}

static void put_plan(struct report_list *r, const json_t *ev)
{
	const json_t *tests = json_object_get(ev, "tests");

	if (!json_array_size(tests))
		return;
	report_list_put_file(r, ev);
	for (size_t i = 0; i < json_array_size(tests); i++)
		report_list_put_test(r, json_array_get(tests, i));
	r->n_files++;
}

static void report_list_put_error(struct report_list *r, const json_t *ev)
{
	const json_t *message = json_object_get(ev, "message");

	report_list_put_file(r, ev);
	if (message)
		print_lines(&r->p, PRINT_BAD, "  ", json_string_value(message),
			    json_string_length(message));
}

static void report_list_put_end(struct report_list *r, const json_t *ev)
{
	json_int_t errors = json_integer_value(json_object_get(ev, "errors"));

	fprintf(r->p.out, "\n%zu test%s in %zu file%s", r->n_tests,
		r->n_tests == 1 ? "" : "s", r->n_files,
		r->n_files == 1 ? "" : "s");
	if (errors)
		fprintf(r->p.out, ", %lld did not load", (long long)errors);
	fputs("\n", r->p.out);
}

static const struct list_handler {
	const char *event;
	void (*handle)(struct report_list *r, const json_t *ev);
} handlers[] = {
    {"plan", put_plan},
    {"file_error", report_list_put_error},
    {"run_end", report_list_put_end},
};

static void list_event(struct event_sink *sink, const json_t *ev)
{
	struct report_list *r = CONTAINER_OF(sink, struct report_list, sink);
	const char *name = json_string_value(json_object_get(ev, "event"));

	for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
		if (!strcmp(handlers[i].event, name))
			handlers[i].handle(r, ev);
	}
	fflush(r->p.out);
}

static void list_free(struct event_sink *sink)
{
	struct report_list *r = CONTAINER_OF(sink, struct report_list, sink);

	free(r->file);
	free(r);
}

struct event_sink *report_list_new(FILE *out, const struct report_options *opts)
{
	struct report_list *r = mem_zalloc(sizeof(*r));

	r->sink = (struct event_sink){list_event, list_free, NULL};
	r->p = (struct printer){out, opts->is_colored};
	return &r->sink;
}
