/* SPDX-License-Identifier: MIT */
/* provium run, provium list: config, files, builds, the run, its status. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "cmd/provium/outputs.h"
#include "cmd/provium/settings.h"
#include "runner/build.h"
#include "runner/config.h"
#include "runner/discover.h"
#include "runner/report.h"
#include "runner/run.h"
#include "vmm/host.h"

/* A run in the making. */
struct session {
	const struct settings *s;
	bool list_only;
	struct config config;
	struct test_files files;
	struct outputs outputs;
};

/* --- what to run ----------------------------------------------------------*/

/* A root as the user would have typed it here. */
static void add_root(struct strvec *paths, const char *root)
{
	char cwd[PATH_MAX];
	size_t n = getcwd(cwd, sizeof(cwd)) ? strlen(cwd) : 0;

	if (n && !strcmp(root, cwd))
		strvec_add(paths, ".");
	else if (n && !strncmp(root, cwd, n) && root[n] == '/')
		strvec_add(paths, root + n + 1);
	else
		strvec_add(paths, root);
}

static int find_files(struct session *x, struct err *err)
{
	const struct settings *s = x->s;
	struct strvec paths = {0};
	int r;

	for (size_t i = 0; i < s->n_args; i++)
		strvec_add(&paths, s->args[i]);
	for (size_t i = 0; !s->n_args && i < x->config.roots.n; i++)
		add_root(&paths, x->config.roots.v[i]);
	r = discover((const char *const *)paths.v, paths.n, &x->files, err);
	if (r < 0 && !s->n_args && x->config.path)
		err_wrap(err, "%s: roots", x->config.path);
	strvec_done(&paths);
	return r;
}

/* --- reporting ------------------------------------------------------------*/

static struct event_sink *new_sink(struct session *x)
{
	struct report_options opts = {
	    .is_colored = outputs_is_colored(x->s, x->outputs.report),
	};

	return outputs_sink(&x->outputs, x->list_only
					     ? report_group_new(report_list_new(
						   x->outputs.report, &opts))
					     : outputs_people(&x->outputs));
}

/* --- running --------------------------------------------------------------*/

static void say_budget(const struct session *x)
{
	struct pool_budget b;
	char size[POOL_SIZE_TEXT];

	budget_find(NULL, &x->s->wish, &b);
	fprintf(x->outputs.report,
		"guests may have %s of memory%s, %llu vCPUs%s\n",
		pool_size_text(b.amount.memory, size), b.memory_note,
		(unsigned long long)b.amount.cpus, b.cpus_note);
}

static void say_choices(const struct session *x)
{
	const struct config_profile *p;
	struct host_choice choice;
	struct err err;

	p = config_find_profile(&x->config, NULL, &err);
	if (!p)
		return;
	if (host_choose_accel(p->accel, &choice, &err) == 0)
		fprintf(x->outputs.report, "accelerator %s: %s\n",
			accel_name((enum accel)choice.value), choice.why);
	if (host_choose_transport(p->transport, &choice, &err) == 0)
		fprintf(x->outputs.report, "transport %s: %s\n",
			transport_name((enum transport)choice.value),
			choice.why);
	say_budget(x);
	fprintf(x->outputs.report, "config %s\n\n",
		x->config.path ? x->config.path : "none");
}

static int status_empty(const struct session *x, const char *why,
			const char *what)
{
	if (x->s->allows_empty)
		return STATUS_OK;
	complain("%s%s%s%s", why, *what ? " '" : "", what, *what ? "'" : "");
	return STATUS_BROKEN;
}

/* Names the options as they were given. */
static int status_unselected(const struct session *x)
{
	const struct strvec *rules = &x->s->select;
	CLEANUP(buf_done) struct buf said = {0};

	for (size_t i = 0; i < rules->n; i++) {
		const char *value = strchr(rules->v[i], '=') + 1;

		buf_printf(&said, " --%.*s '%s'",
			   (int)(value - 1 - rules->v[i]), rules->v[i], value);
	}
	CLEANUP(free_ptr)
	char *why = mem_printf("no test is selected by%.*s", (int)said.len,
			       (const char *)buf_data(&said));
	return status_empty(x, why, "");
}

static int status_of(const struct session *x, const struct run_result *r)
{
	const struct track_totals *t = &r->totals;
	unsigned n =
	    x->list_only ? t->listed : t->passed + t->failed + t->skipped;

	if (r->signal || r->is_overdue)
		return STATUS_BROKEN;
	if (t->failed || t->errors)
		return STATUS_FAILED;
	if (n)
		return STATUS_OK;
	if (x->s->select.n)
		return status_unselected(x);
	return status_empty(x, "no test in the files found", "");
}

static int run_found(struct session *x, struct err *err)
{
	struct run_options opts = {
	    .config = x->config.path ? x->config.path : "",
	    .select = x->s->select,
	    .artifacts = x->s->artifacts,
	    .timeout_ns = x->s->timeout_ns,
	    .file_timeout_ns = x->s->file_timeout_ns,
	    .run_timeout_ns = x->s->run_timeout_ns,
	    .slow_ns = x->s->slow_ns,
	    .wish = x->s->wish,
	    .grace_ns = RUN_GRACE_DEFAULT,
	    .jobs = x->s->jobs,
	    .verbose = x->s->verbose,
	    .list_only = x->list_only,
	    .keeps_artifacts = x->s->keeps_artifacts,
	};
	struct run_result result;
	struct event_sink *sink;
	int r;

	if (x->s->verbose)
		say_choices(x);
	sink = new_sink(x);
	r = run_files(&opts, &x->files, sink, &result, err);
	if (r >= 0)
		r = outputs_check(&x->outputs, err);
	report_free(sink);
	return r < 0 ? r : status_of(x, &result);
}

/* The status, or negative with err. */
static int run_session(struct session *x, struct err *err)
{
	int r = config_load(&x->config, x->s->config, err);

	if (r >= 0)
		r = find_files(x, err);
	if (r < 0)
		return r;
	if (!x->files.n)
		return status_empty(x, "no test found: no *.test.lua in",
				    x->s->n_args == 1 ? x->s->args[0]
						      : "these paths");
	r = outputs_open(&x->outputs, x->s, err);
	if (r >= 0 && !x->list_only)
		r = build_profiles(&x->config, err);
	if (r >= 0)
		r = run_found(x, err);
	int closed = outputs_close(&x->outputs, r < 0 ? NULL : err);
	return closed < 0 && r >= 0 ? closed : r;
}

static int run_or_list(const struct settings *s, bool list_only)
{
	struct session x = {.s = s, .list_only = list_only};
	struct err err;
	int r = run_session(&x, &err);

	test_files_done(&x.files);
	config_done(&x.config);
	return r < 0 ? complain("%s", err.text) : r;
}

int cmd_run(const struct settings *s)
{
	return run_or_list(s, false);
}

int cmd_list(const struct settings *s)
{
	return run_or_list(s, true);
}
