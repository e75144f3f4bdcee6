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

#include "runner/replay.h"
#include "runner/report.h"
#include "runner/report_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct event_sink *all_reports(FILE *out)
{
	struct report_options opts = {.is_verbose = true,
				      .reads_no_files = true};
	struct event_sink *tree = report_tree_new();
	struct event_sink *sink = report_tty_new(out, &opts);

	report_tree_add(tree, NULL, out, report_junit_write);
	report_tree_add(tree, NULL, out, report_html_write);
	report_tree_add(tree, NULL, out, report_json_write);
	sink = report_github_new(out, NULL, sink);
	sink = report_tee_new(sink, report_tap_new(out));
	sink = report_tee_new(sink, report_list_new(out, &opts));
	return report_tee_new(sink, tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	FILE *in = n ? fmemopen((void *)(uintptr_t)p, n, "r") : NULL;
	FILE *out = fopen("/dev/null", "we");
	struct replay r;
	struct err err = {0};

	if (!out)
		abort();
	struct event_sink *sink = all_reports(out);
	replay_init(&r, sink);
	if (in && replay_file(&r, in, "fuzz", &err) < 0)
		assert(err.code < 0 && !strchr(err.text, '\n'));
	else
		replay_end(&r);
	replay_done(&r);
	report_free(sink);
	fclose(out);
	if (in)
		fclose(in);
	return 0;
}
