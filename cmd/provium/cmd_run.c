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
#include "cmd/provium/watch_files.h"
#include "runner/build.h"
#include "runner/config.h"
#include "runner/discover.h"
#include "runner/history.h"
#include "runner/lineup.h"
#include "runner/report.h"
#include "runner/run.h"
#include "runner/shell_word.h"
#include "vmm/host.h"

/* A run in the making. */
struct session {
	const struct settings *s;
	bool list_only;
	struct config config;
	struct test_files files;
	struct outputs outputs;
	struct history *history;
	int signal;		   /* that ended the run, or 0 */
	struct strvec rules;	   /* of runner/select.h */
	const struct strvec *only; /* of the files: paths, or NULL */
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
	if (r >= 0 && x->only)
		test_files_retain(&x->files, x->only);
	return r;
}

/* What paths of the history are relative to; owned. */
static char *base_dir(const struct session *x)
{
	CLEANUP(free_ptr)
	char *base =
	    x->config.path ? realpath(x->config.path, NULL) : getcwd(NULL, 0);

	if (base && x->config.path)
		*strrchr(base, '/') = '\0';
	return mem_strdup(base ? base : "/");
}

/* A history of the user's own must be right; one of ours that is not is told
 * of, and left alone. */
static int open_history(struct session *x, struct err *err)
{
	CLEANUP(free_ptr) char *base = base_dir(x);
	CLEANUP(free_ptr)
	char *ours = history_path(x->config.cache_dir, base);

	if (x->s->history || x->s->has_no_history)
		x->history = history_open(x->s->history, base, err);
	else
		x->history = history_open(ours, base, err);
	if (!x->history && !x->s->history) {
		complain("%s: nothing is remembered", err->text);
		x->history = history_open(NULL, base, err);
	}
	return x->history ? 0 : err->code;
}

/* Of the files found, those to run now. *ret_why: nothing is left, and why. */
static int line_up(struct session *x, const char **ret_why, struct err *err)
{
	const struct settings *s = x->s;
	const struct lineup_options o = {
	    .since = s->since,
	    .is_rerun = s->is_rerun,
	    .shard = s->shard,
	    .n_shards = s->n_shards,
	    .shards_by_time = s->history,
	    .shuffle = s->shuffle,
	    .is_one_by_one = x->list_only || s->jobs == 1,
	    .keeps_order = x->list_only,
	    .repeat = s->repeat,
	};

	for (size_t i = 0; i < s->select.n; i++)
		strvec_add(&x->rules, s->select.v[i]);
	return lineup(&x->files, &o, x->history, &x->rules, ret_why, err);
}

/* --- reporting ------------------------------------------------------------*/

static struct event_sink *new_sink(struct session *x)
{
	struct report_options opts = {
	    .is_colored = outputs_is_colored(x->s, x->outputs.report),
	};

	if (x->list_only)
		return outputs_sink(&x->outputs,
				    report_group_new(report_list_new(
					x->outputs.report, &opts)));
	return report_tee_new(
	    history_sink(x->history, &x->files, !x->rules.n),
	    outputs_sink(&x->outputs, outputs_people(&x->outputs)));
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
static int status_unselected(const struct session *x, unsigned left_out)
{
	const struct strvec *said = &x->s->said;
	CLEANUP(buf_done) struct buf why = {0};

	buf_printf(&why, "no test is selected");
	for (size_t i = 0; i < said->n; i++)
		buf_printf(&why, "%s%s", i ? " " : " by ", said->v[i]);
	if (left_out)
		buf_printf(&why,
			   ": %u slow left out, which --include-slow "
			   "takes in",
			   left_out);
	buf_append(&why, "", 1);
	return status_empty(x, (char *)buf_data(&why), "");
}

static int cmd_run_status_of(const struct session *x,
			     const struct run_result *r)
{
	const struct track_totals *t = &r->totals;
	unsigned n =
	    x->list_only ? t->listed : t->passed + t->failed + t->skipped;

	if (r->signal || r->is_overdue)
		return STATUS_BROKEN;
	if (t->failed || t->errors)
		return STATUS_FAILED;
	/* More shards than files are nobody's fault. */
	if (n || (x->s->shard && !x->files.n))
		return STATUS_OK;
	if (x->rules.n || t->left_out)
		return status_unselected(x, t->left_out);
	return status_empty(x, "no test in the files found", "");
}

/* The command that brings the order of a shuffled run back, but for the file;
 * owned, or NULL. */
static char *repeat_command(const struct session *x)
{
	const struct settings *s = x->s;
	CLEANUP(buf_done) struct buf b = {0};

	if (!s->shuffle)
		return NULL;
	buf_printf(&b, "provium run --shuffle %lld", (long long)s->shuffle);
	if (s->config) {
		buf_printf(&b, " --config ");
		shell_word_append(&b, s->config);
	}
	for (size_t i = 0; i < s->said.n; i++)
		buf_printf(&b, " %s", s->said.v[i]);
	for (size_t i = 0; i < s->select.n; i++)
		if (!strcmp(s->select.v[i], "slow=include"))
			buf_printf(&b, " --include-slow");
	return mem_strndup((char *)buf_data(&b), b.len);
}

static int run_found(struct session *x, struct err *err)
{
	CLEANUP(free_ptr) char *repeat = repeat_command(x);
	struct run_options opts = {
	    .config = x->config.path ? x->config.path : "",
	    .select = x->rules,
	    .artifacts = x->s->artifacts,
	    .timeout_ns = x->s->timeout_ns,
	    .file_timeout_ns = x->s->file_timeout_ns,
	    .run_timeout_ns = x->s->run_timeout_ns,
	    .slow_ns = x->s->slow_ns,
	    .wish = x->s->wish,
	    .grace_ns = RUN_GRACE_DEFAULT,
	    .jobs = x->s->jobs,
	    .retries = x->s->retries,
	    .shuffle = x->s->shuffle,
	    .repeat = repeat,
	    .is_fail_fast = x->s->is_fail_fast,
	    .debug_out = x->s->is_debug ? stderr : NULL,
	    .debug_in = STDIN_FILENO,
	    .verbose = x->s->verbose,
	    .list_only = x->list_only,
	    .keeps_artifacts = x->s->keeps_artifacts,
	};
	struct run_result result;
	struct event_sink *sink;
	int r;

	if (x->s->verbose)
		say_choices(x);
	if (x->s->shuffle && !x->list_only)
		fprintf(x->outputs.report, "shuffled: --shuffle %lld\n\n",
			(long long)x->s->shuffle);
	sink = new_sink(x);
	r = run_files(&opts, &x->files, sink, &result, err);
	if (r >= 0)
		r = outputs_check(&x->outputs, err);
	report_free(sink);
	struct err why;
	if (r >= 0 && !x->list_only && history_save(x->history, &why) < 0)
		complain("this run is not remembered: %s", why.text);
	x->signal = r < 0 ? 0 : result.signal;
	return r < 0 ? r : cmd_run_status_of(x, &result);
}

/* The status, or negative with err. */
static int run_session(struct session *x, struct err *err)
{
	const char *why = NULL;
	int r = config_load(&x->config, x->s->config, err);

	if (r >= 0)
		r = find_files(x, err);
	if (r < 0)
		return r;
	if (!x->files.n)
		return status_empty(x, "no test found: no *.test.lua in",
				    x->s->n_args == 1 ? x->s->args[0]
						      : "these paths");
	r = open_history(x, err);
	if (r >= 0)
		r = line_up(x, &why, err);
	if (r < 0)
		return r;
	if (why)
		return status_empty(x, why, "");
	r = outputs_open(&x->outputs, x->s, err);
	if (r >= 0 && !x->list_only)
		r = build_profiles(&x->config, err);
	if (r >= 0)
		r = run_found(x, err);
	int closed = outputs_close(&x->outputs, r < 0 ? NULL : err);
	return closed < 0 && r >= 0 ? closed : r;
}

/* only: paths to keep of the files found, or NULL. */
static int run_once(const struct settings *s, bool list_only,
		    const struct strvec *only, int *ret_signal)
{
	struct session x = {.s = s, .list_only = list_only, .only = only};
	struct err err;
	int r = run_session(&x, &err);

	*ret_signal = x.signal;
	test_files_done(&x.files);
	config_done(&x.config);
	strvec_done(&x.rules);
	history_free(x.history);
	return r < 0 ? complain("%s", err.text) : r;
}

/* --- --watch --------------------------------------------------------------*/

/* The directories of the tests and of the config. */
static int add_watches(struct watch_files *w, const struct settings *s,
		       struct err *err)
{
	struct config config;
	int r = config_load(&config, s->config, err);

	for (size_t i = 0; r >= 0 && i < s->n_args; i++)
		r = watch_files_add(w, s->args[i], err);
	for (size_t i = 0; r >= 0 && !s->n_args && i < config.roots.n; i++)
		r = watch_files_add(w, config.roots.v[i], err);
	if (r >= 0 && config.path)
		r = watch_files_add(w, config.path, err);
	config_done(&config);
	return r;
}

static bool is_test(const char *path)
{
	static const char suffix[] = ".test.lua";
	size_t n = strlen(path);

	return n >= strlen(suffix) &&
	       !strcmp(path + n - strlen(suffix), suffix);
}

/* A test file that changed is run alone; anything else may matter to all. */
static bool are_tests(const struct strvec *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		if (!is_test(paths->v[i]))
			return false;
	return true;
}

/* Until ^C. */
static int run_again_and_again(const struct settings *s, struct watch_files *w,
			       struct err *err)
{
	struct strvec changed = {0};
	int signal = 0;
	int status = run_once(s, false, NULL, &signal);
	int r = 0;

	while (!signal && r >= 0) {
		fprintf(stderr, "watching %zu director%s, ^C ends\n",
			watch_files_count(w),
			watch_files_count(w) == 1 ? "y" : "ies");
		strvec_done(&changed);
		r = watch_files_wait(w, &changed, err);
		if (r < 0)
			break;
		fprintf(stderr, "\nchanged: %s%s\n", changed.v[0],
			changed.n > 1 ? ", ..." : "");
		status = run_once(
		    s, false, are_tests(&changed) ? &changed : NULL, &signal);
	}
	strvec_done(&changed);
	return r < 0 ? r : status;
}

static int watch_and_run(const struct settings *s)
{
	struct err err;
	struct watch_files *w = watch_files_new(&err);
	int r = w ? add_watches(w, s, &err) : err.code;

	if (r >= 0)
		r = run_again_and_again(s, w, &err);
	watch_files_free(w);
	return r < 0 ? complain("%s", err.text) : r;
}

int cmd_run(const struct settings *s)
{
	int signal;

	return s->is_watch ? watch_and_run(s)
			   : run_once(s, false, NULL, &signal);
}

int cmd_list(const struct settings *s)
{
	int signal;

	return run_once(s, true, NULL, &signal);
}
