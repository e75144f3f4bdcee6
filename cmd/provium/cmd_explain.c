/* SPDX-License-Identifier: MIT */
/* provium explain: the long report of one failure, from the events of a run. */
#include <errno.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "cmd/provium/outputs.h"
#include "runner/explain.h"
#include "runner/replay.h"
#include "runner/report.h"
#include "runner/report_tree.h"

static int read_events(struct replay *r, const char *path, struct err *err)
{
	bool is_stdin = !strcmp(path, "-");
	CLEANUP(file_closep) FILE *f = is_stdin ? NULL : fopen(path, "re");
	int rc;

	if (!is_stdin && !f)
		return err_set(err, -errno, "cannot read '%s': %s", path,
			       strerror(errno));
	rc = replay_file(r, f ? f : stdin, is_stdin ? "standard input" : path,
			 err);
	if (rc >= 0)
		replay_end(r);
	return rc;
}

/* The run has no failure that the word means. */
static int complain_of_none(const struct settings *s, size_t n_failures)
{
	const char *word = s->n_args > 1 ? s->args[1] : NULL;

	if (n_failures)
		complain("explain: none of the %zu failure%s in '%s' is "
			 "'%s': 'provium explain %s' lists them",
			 n_failures, n_failures == 1 ? "" : "s", s->args[0],
			 word, s->args[0]);
	else
		complain("explain: no failure in '%s'", s->args[0]);
	return STATUS_FAILED;
}

/* The word means several failures, which are listed. */
static int complain_of_many(const struct settings *s, const json_t *chosen)
{
	const char *word = s->n_args > 1 ? s->args[1] : NULL;
	json_int_t first = json_integer_value(
	    json_object_get(json_array_get(chosen, 0), "number"));

	return complain("explain: %zu failures%s%s%s in '%s': name one by its "
			"number, as in 'provium explain %s %lld', or by a "
			"part of its name",
			json_array_size(chosen), word ? " with '" : "",
			word ? word : "", word ? "'" : "", s->args[0],
			s->args[0], (long long)first);
}

static int cmd_explain_explain(const struct settings *s, const json_t *tree)
{
	struct printer p = {stdout, outputs_is_colored(s, stdout)};
	const char *word = s->n_args > 1 ? s->args[1] : NULL;
	json_t *failures = explain_failures(tree);
	json_t *chosen = explain_choose(failures, word);
	size_t n = json_array_size(chosen);
	int status = STATUS_OK;

	if (n == 1) {
		explain_write(&p, json_array_get(chosen, 0));
	} else if (n == 0) {
		status = complain_of_none(s, json_array_size(failures));
	} else {
		explain_list(&p, chosen);
		fflush(stdout);
		status = complain_of_many(s, chosen);
	}
	json_decref(chosen);
	json_decref(failures);
	return status;
}

int cmd_explain(const struct settings *s)
{
	struct event_sink *sink;
	struct replay r;
	struct err err;
	int status;

	if (!s->n_args)
		return complain("explain: name the events file of a run; see "
				"provium run --events");
	if (s->n_args > 2)
		return complain("explain: '%s' is one word too many: name the "
				"events file and one failure",
				s->args[2]);
	sink = report_tree_new();
	report_tree_keep_all(sink);
	replay_init(&r, sink);
	if (read_events(&r, s->args[0], &err) < 0)
		status = complain("%s", err.text);
	else
		status = cmd_explain_explain(s, report_tree_document(sink));
	if (r.interrupted && status != STATUS_BROKEN)
		complain("explain: not all was run: interrupted by %s",
			 r.interrupted);
	replay_done(&r);
	report_free(sink);
	return status;
}
