/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an events file: every reporter survives them, and they are
 * reported or refused with one line.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/explain.h"
#include "runner/replay.h"
#include "runner/report.h"
#include "runner/report_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct event_sink *all_reports(FILE *out, struct event_sink **ret_tree)
{
	struct report_options opts = {.is_verbose = true,
				      .reads_no_files = true};
	struct event_sink *tree = report_tree_new();
	struct event_sink *sink = report_tty_new(out, &opts);

	*ret_tree = tree;
	report_tree_add(tree, NULL, out, report_junit_write);
	report_tree_add(tree, NULL, out, report_html_write);
	report_tree_add(tree, NULL, out, report_json_write);
	sink = report_github_new(out, NULL, sink);
	sink = report_tee_new(sink, report_tap_new(out));
	sink = report_tee_new(sink, report_list_new(out, &opts));
	return report_tee_new(sink, tree);
}

/* The long report of each failure, and the list of them. */
static void explain_all(FILE *out, struct event_sink *tree)
{
	struct printer p = {out, true};
	json_t *failures = explain_failures(report_tree_document(tree));

	explain_list(&p, failures);
	for (size_t i = 0; i < json_array_size(failures); i++)
		explain_write(&p, json_array_get(failures, i));
	json_decref(failures);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	FILE *in = n ? fmemopen((void *)(uintptr_t)p, n, "r") : NULL;
	FILE *out = fopen("/dev/null", "we");
	struct replay r;
	struct err err = {0};

	if (!out)
		abort();
	struct event_sink *tree;
	struct event_sink *sink = all_reports(out, &tree);
	replay_init(&r, sink);
	if (in && replay_file(&r, in, "fuzz", &err) < 0)
		assert(err.code < 0 && !strchr(err.text, '\n'));
	else
		replay_end(&r);
	explain_all(out, tree);
	replay_done(&r);
	report_free(sink);
	fclose(out);
	if (in)
		fclose(in);
	return 0;
}
