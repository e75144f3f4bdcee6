/* SPDX-License-Identifier: MIT */
/* provium report: the reports of runs that are over, from their events. */
#include <errno.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "cmd/provium/outputs.h"
#include "runner/replay.h"
#include "runner/report.h"

static int cmd_report_read_one(struct replay *r, const char *path,
			       struct err *err)
{
	CLEANUP(file_closep) FILE *f = NULL;

	if (!strcmp(path, "-"))
		return replay_file(r, stdin, "standard input", err);
	f = fopen(path, "re");
	if (!f)
		return err_set(err, -errno, "cannot read '%s': %s", path,
			       strerror(errno));
	return replay_file(r, f, path, err);
}

static int cmd_report_read_all(const struct settings *s, struct replay *r,
			       struct err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < s->n_args; i++)
		rc = cmd_report_read_one(r, s->args[i], err);
	if (!rc)
		replay_end(r);
	return rc;
}

static int cmd_report_status_of(const struct replay *r)
{
	if (r->interrupted)
		return STATUS_BROKEN;
	return r->failed || r->errors ? STATUS_FAILED : STATUS_OK;
}

int cmd_report(const struct settings *s)
{
	struct outputs o;
	struct replay r;
	struct err err;

	if (!s->n_args)
		return complain("report: name the events file of a run; see "
				"provium run --events");
	if (s->n_args > 1 && !s->is_merge)
		return complain("report: %zu files; --merge reports them as "
				"one run",
				s->n_args);
	if (outputs_open(&o, s, &err) < 0)
		return complain("%s", err.text);
	o.is_replay = true;
	struct event_sink *sink = outputs_sink(&o, outputs_people(&o));
	replay_init(&r, sink);
	int rc = cmd_report_read_all(s, &r, &err);
	if (!rc)
		rc = outputs_check(&o, &err);
	report_free(sink);
	int closed = outputs_close(&o, rc < 0 ? NULL : &err);
	int status = cmd_report_status_of(&r);
	replay_done(&r);
	return rc < 0 || closed < 0 ? complain("%s", err.text) : status;
}
