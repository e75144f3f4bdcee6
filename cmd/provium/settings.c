/* SPDX-License-Identifier: MIT */
#include "cmd/provium/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/config.h"
#include "runner/run.h"
#include "runner/select.h"
#include "runner/text.h"

#define CPUS_MAX       100000
#define OVERCOMMIT_MAX 1000

/* --- handlers -------------------------------------------------------------*/

static int set_config(struct settings *s, const char *value, struct err *err)
{
	(void)err;
	s->config = value;
	return 0;
}

/* Each is looked at when it is given, so that an error is of the option. */
static int add_rule(struct settings *s, const char *kind, const char *value,
		    struct err *err)
{
	CLEANUP(strvec_done) struct strvec one = {0};
	struct selection *probe;

	strvec_addf(&one, "%s=%s", kind, value);
	strvec_add(&s->select, one.v[0]);
	probe = selection_new(&one, err);
	if (!probe)
		return err_wrap(err, "--%s", kind);
	selection_free(probe);
	return 0;
}

static int set_filter(struct settings *s, const char *value, struct err *err)
{
	return add_rule(s, "filter", value, err);
}

static int set_tag(struct settings *s, const char *value, struct err *err)
{
	return add_rule(s, "tag", value, err);
}

static int set_no_tag(struct settings *s, const char *value, struct err *err)
{
	return add_rule(s, "no-tag", value, err);
}

static int set_tag_meta(struct settings *s, const char *value, struct err *err)
{
	return add_rule(s, "tag-meta", value, err);
}

static int set_no_tag_meta(struct settings *s, const char *value,
			   struct err *err)
{
	return add_rule(s, "no-tag-meta", value, err);
}

static int set_events(struct settings *s, const char *value, struct err *err)
{
	(void)err;
	s->events = value;
	return 0;
}

static int set_artifacts(struct settings *s, const char *value, struct err *err)
{
	(void)err;
	s->artifacts = value;
	return 0;
}

static int set_junit(struct settings *s, const char *value, struct err *err)
{
	(void)err;
	s->junit = value;
	return 0;
}

static int set_html(struct settings *s, const char *value, struct err *err)
{
	(void)err;
	s->html = value;
	return 0;
}

static int set_tap(struct settings *s, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->is_tap = true;
	return 0;
}

static int set_json(struct settings *s, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->is_json = true;
	return 0;
}

static int set_merge(struct settings *s, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->is_merge = true;
	return 0;
}

static int set_keep(struct settings *s, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->keeps_artifacts = true;
	return 0;
}

static int read_span(const char *option, const char *value, int64_t *ret,
		     struct err *err)
{
	CLEANUP(free_ptr) char *seconds = mem_printf("%ss", value);

	/* A plain number is seconds, as in tests. */
	if (parse_duration(value, ret) == 0 ||
	    parse_duration(seconds, ret) == 0)
		return 0;
	return err_set(err, -EINVAL,
		       "--%s: '%s' is not a duration, such as 90s, 500ms or 5m",
		       option, value);
}

static int read_limit(const char *option, const char *value, int64_t *ret,
		      struct err *err)
{
	int64_t ns;

	if (read_span(option, value, &ns, NULL) < 0 || !ns)
		return err_set(err, -EINVAL,
			       "--%s: '%s' is not a duration above zero, such "
			       "as 90s, 500ms or 5m",
			       option, value);
	*ret = ns;
	return 0;
}

static int set_timeout(struct settings *s, const char *value, struct err *err)
{
	return read_limit("timeout", value, &s->timeout_ns, err);
}

static int set_file_timeout(struct settings *s, const char *value,
			    struct err *err)
{
	return read_limit("file-timeout", value, &s->file_timeout_ns, err);
}

static int set_run_timeout(struct settings *s, const char *value,
			   struct err *err)
{
	return read_limit("run-timeout", value, &s->run_timeout_ns, err);
}

static int set_slow(struct settings *s, const char *value, struct err *err)
{
	return read_span("slow", value, &s->slow_ns, err);
}

static int read_count(const char *option, const char *value, unsigned max,
		      unsigned *ret, struct err *err)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || n < 1 || n > max)
		return err_set(err, -EINVAL,
			       "--%s: '%s' is not a number from 1 to %u",
			       option, value, max);
	*ret = (unsigned)n;
	return 0;
}

static int set_jobs(struct settings *s, const char *value, struct err *err)
{
	return read_count("jobs", value, RUN_JOBS_MAX, &s->jobs, err);
}

static int set_cpus(struct settings *s, const char *value, struct err *err)
{
	return read_count("cpus", value, CPUS_MAX, &s->wish.cpus, err);
}

static int set_mem(struct settings *s, const char *value, struct err *err)
{
	if (parse_size(value, &s->wish.memory) < 0 || !s->wish.memory)
		return err_set(err, -EINVAL,
			       "--mem: '%s' is not a size above zero, such as "
			       "8G or 512M",
			       value);
	return 0;
}

static int set_overcommit(struct settings *s, const char *value,
			  struct err *err)
{
	char *end;
	double by = strtod(value, &end);

	if (*value < '0' || *value > '9' || *end || !(by > 0) ||
	    by > OVERCOMMIT_MAX)
		return err_set(err, -EINVAL,
			       "--cpu-overcommit: '%s' is not a number above "
			       "0, up to %d",
			       value, OVERCOMMIT_MAX);
	s->wish.overcommit = by;
	return 0;
}

static int set_verbose(struct settings *s, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->verbose++;
	return 0;
}

static int set_quiet(struct settings *s, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->is_quiet = true;
	return 0;
}

static int set_color(struct settings *s, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->color = COLOR_ALWAYS;
	return 0;
}

static int set_no_color(struct settings *s, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->color = COLOR_NEVER;
	return 0;
}

static int set_allow_empty(struct settings *s, const char *value,
			   struct err *err)
{
	(void)value;
	(void)err;
	s->allows_empty = true;
	return 0;
}

static int set_version(struct settings *s, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->wants_version = true;
	return 0;
}

static int set_help(struct settings *s, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->wants_help = true;
	return 0;
}

/* --- reading --------------------------------------------------------------*/

static bool is_for(const struct option_def *o, const struct command *cmd)
{
	return (o->commands & cmd->bit) != 0;
}

static int unknown_option(const struct command *cmd, const char *text,
			  struct err *err)
{
	struct strvec names = {0};
	struct buf all = {0};
	size_t n = strcspn(text, "=");
	CLEANUP(free_ptr) char *given = mem_strndup(text, n);

	for (const struct option_def *o = option_defs; o->name; o++) {
		if (is_for(o, cmd)) {
			strvec_addf(&names, "--%s", o->name);
			buf_printf(&all, " --%s", o->name);
		}
	}
	const char *near = text_nearest(given, (const char *const *)names.v);
	if (near)
		err_set(err, -EINVAL,
			"%s: unknown option '%s', did you mean '%s'?",
			cmd->name, given, near);
	else
		err_set(err, -EINVAL, "%s: unknown option '%s'; there is:%.*s",
			cmd->name, given, (int)all.len, (char *)buf_data(&all));
	strvec_done(&names);
	buf_done(&all);
	return -EINVAL;
}

/* What argv[at] is about: the option, and in *ret_value what stands behind
 * "=" or the letter, or NULL. */
static const struct option_def *
find_option(const struct command *cmd, const char *text, const char **ret_value)
{
	const char *name = text + 2;
	size_t n = strcspn(name, "=");

	*ret_value = NULL;
	for (const struct option_def *o = option_defs; o->name; o++) {
		if (!is_for(o, cmd))
			continue;
		if (text[1] != '-') {
			if (o->letter && o->letter == text[1]) {
				*ret_value = text[2] ? text + 2 : NULL;
				return o;
			}
		} else if (strlen(o->name) == n && !strncmp(o->name, name, n)) {
			*ret_value = name[n] ? name + n + 1 : NULL;
			return o;
		}
	}
	return NULL;
}

/* One option, at argv[*at]; moves *at to the last word it used. */
static int read_option(struct settings *s, const struct command *cmd,
		       const char **argv, size_t n, size_t *at, struct err *err)
{
	const char *text = argv[*at];
	bool is_long = text[1] == '-';
	const char *value;
	const struct option_def *o = find_option(cmd, text, &value);

	if (!o)
		return unknown_option(cmd, text, err);
	if (o->arg && !value) {
		if (*at + 1 >= n)
			return err_set(err, -EINVAL,
				       "%s: --%s needs an argument: %s",
				       cmd->name, o->name, o->arg);
		value = argv[++*at];
	} else if (!o->arg && value && is_long) {
		return err_set(err, -EINVAL, "%s: --%s takes no argument",
			       cmd->name, o->name);
	}
	if (o->arg || !value)
		return o->set(s, value, err);
	/* Letters in one word: -vv. */
	for (const char *p = text + 1; *p; p++) {
		char one[] = {'-', *p, '\0'};
		o = find_option(cmd, one, &value);
		if (!o)
			return unknown_option(cmd, one, err);
		if (o->arg)
			return err_set(err, -EINVAL,
				       "%s: -%c needs a word of its own",
				       cmd->name, *p);
		o->set(s, NULL, err);
	}
	return 0;
}

void settings_done(struct settings *s)
{
	strvec_done(&s->select);
}

int settings_parse(struct settings *s, const struct command *cmd,
		   const char **argv, size_t n, struct err *err)
{
	size_t kept = 0;
	bool is_over = false;

	*s = (struct settings){
	    .timeout_ns = RUN_TIMEOUT_DEFAULT,
	    .slow_ns = RUN_SLOW_DEFAULT,
	};
	for (size_t i = 0; i < n; i++) {
		const char *text = argv[i];
		if (!is_over && !strcmp(text, "--")) {
			is_over = true;
		} else if (is_over || text[0] != '-' || !text[1]) {
			argv[kept++] = text;
		} else {
			int r = read_option(s, cmd, argv, n, &i, err);
			if (r < 0)
				return r;
		}
	}
	s->args = argv;
	s->n_args = kept;
	return 0;
}

const struct option_def option_defs[] = {
    {"config", 'c', "FILE",
     "use this config instead of the provium.lua found here or above",
     FOR_RUN | FOR_LIST | FOR_GUEST | FOR_DOCTOR, set_config},
    {"filter", 'f', "TEXT",
     "only tests whose name, or whose file's path, contains TEXT, or matches "
     "/REGEX/; one of several is enough",
     FOR_RUN | FOR_LIST, set_filter},
    {"tag", '\0', "TAG", "only tests with that tag, or with one of several",
     FOR_RUN | FOR_LIST, set_tag},
    {"no-tag", '\0', "TAG", "only tests without that tag", FOR_RUN | FOR_LIST,
     set_no_tag},
    {"tag-meta", '\0', "KEY=VALUE",
     "only tests whose meta has that value, or a list with it",
     FOR_RUN | FOR_LIST, set_tag_meta},
    {"no-tag-meta", '\0', "KEY=VALUE", "only tests whose meta has not",
     FOR_RUN | FOR_LIST, set_no_tag_meta},
    {"timeout", 't', "DURATION",
     "what a test may take unless it says otherwise: 90s, 500ms, 5m "
     "(default 60s)",
     FOR_RUN, set_timeout},
    {"file-timeout", '\0', "DURATION",
     "what a file may take in all (default: no limit)", FOR_RUN,
     set_file_timeout},
    {"run-timeout", '\0', "DURATION",
     "what the run may take in all: then it ends as by ^C (default: no limit)",
     FOR_RUN, set_run_timeout},
    {"slow", '\0', "DURATION",
     "tell of a test that has run for so long, 0: never (default 30s)", FOR_RUN,
     set_slow},
    {"jobs", 'j', "N",
     "files to run at a time (default: as many as there are CPUs, and as the "
     "memory has room for a guest each)",
     FOR_RUN | FOR_LIST, set_jobs},
    {"mem", '\0', "SIZE",
     "memory that all guests may have at a time (default: 80% of what is "
     "available)",
     FOR_RUN, set_mem},
    {"cpus", '\0', "N",
     "vCPUs that all guests may have at a time (default: CPUs times "
     "--cpu-overcommit)",
     FOR_RUN, set_cpus},
    {"cpu-overcommit", '\0', "X", "vCPUs for each CPU (default 8)", FOR_RUN,
     set_overcommit},
    {"events", '\0', "FILE",
     "write what happens as JSON, an object a line, to a file, to a socket "
     "(unix:PATH), or to standard output ('-'), which moves the report to "
     "standard error",
     FOR_RUN, set_events},
    {"junit", '\0', "FILE", "write a report in the XML of JUnit",
     FOR_RUN | FOR_REPORT, set_junit},
    {"html", '\0', "FILE", "write a report as one page for a browser",
     FOR_RUN | FOR_REPORT, set_html},
    {"tap", '\0', NULL,
     "print TAP 14; the report for people goes to standard error",
     FOR_RUN | FOR_REPORT, set_tap},
    {"json", '\0', NULL,
     "print all results as one JSON object, likewise, when the run is over",
     FOR_RUN | FOR_REPORT, set_json},
    {"merge", '\0', NULL, "report several runs, such as shards, as one",
     FOR_REPORT, set_merge},
    {"artifacts", 'a', "DIR",
     "keep the console and QMP logs of VMs of files with failures, and what "
     "tests attached, in DIR",
     FOR_RUN, set_artifacts},
    {"keep-artifacts", '\0', NULL,
     "with --artifacts: also of files without failures", FOR_RUN, set_keep},
    {"allow-empty", '\0', NULL, "finding no test is fine: status 0, not 2",
     FOR_RUN | FOR_LIST, set_allow_empty},
    {"verbose", 'v', NULL,
     "show what passing tests print, and what was chosen and why",
     FOR_RUN | FOR_REPORT, set_verbose},
    {"quiet", 'q', NULL, "show failures and the summary only",
     FOR_RUN | FOR_REPORT, set_quiet},
    {"color", '\0', NULL, "colour also where the output is no terminal",
     FOR_RUN | FOR_LIST | FOR_REPORT, set_color},
    {"no-color", '\0', NULL,
     "no colour; the environment variable NO_COLOR says the same",
     FOR_RUN | FOR_LIST | FOR_REPORT, set_no_color},
    {"version", '\0', NULL, "print the version", FOR_RUN | FOR_HELP,
     set_version},
    {"help", 'h', NULL, "show this",
     FOR_RUN | FOR_LIST | FOR_GUEST | FOR_DOCTOR | FOR_LSP | FOR_HELP |
	 FOR_REPORT,
     set_help},
    {0},
};
