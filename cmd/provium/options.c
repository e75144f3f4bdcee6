/* SPDX-License-Identifier: MIT */
/* The options of all commands, and what each does to the settings. */
#include "cmd/provium/settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/config.h"
#include "runner/lineup.h"
#include "runner/run.h"
#include "runner/select.h"
#include "runner/shell_word.h"
#include "runner/shuffle.h"
#include "runner/suite.h"

#define CPUS_MAX       100000
#define OVERCOMMIT_MAX 1000

#define AT(member)     offsetof(struct settings, member)

static void *member(struct settings *s, const struct option_def *o)
{
	return (char *)s + o->at;
}

/* --- the tests that are wanted --------------------------------------------*/

/* Each rule is looked at when it is given, so that an error is of the option.
 */
static int options_add_rule(struct settings *s, const char *kind,
			    const char *value, struct err *err)
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

static int set_rule(struct settings *s, const struct option_def *o,
		    const char *value, struct err *err)
{
	CLEANUP(buf_done) struct buf word = {0};

	shell_word_quote(&word, value);
	strvec_addf(&s->said, "--%s %.*s", o->name, (int)word.len,
		    (char *)buf_data(&word));
	return options_add_rule(s, o->name, value, err);
}

static int include_slow(struct settings *s, const struct option_def *o,
			const char *value, struct err *err)
{
	(void)o;
	(void)value;
	return options_add_rule(s, "slow", "include", err);
}

static int only_slow(struct settings *s, const struct option_def *o,
		     const char *value, struct err *err)
{
	(void)value;
	strvec_addf(&s->said, "--%s", o->name);
	return options_add_rule(s, "slow", "only", err);
}

/* "K/N" */
static int set_shard(struct settings *s, const struct option_def *o,
		     const char *value, struct err *err)
{
	int end = 0;

	(void)o;
	if (*value < '0' || *value > '9' ||
	    sscanf(value, "%5u/%5u%n", &s->shard, &s->n_shards, &end) < 2 ||
	    value[end] || !s->shard || s->shard > s->n_shards ||
	    s->n_shards > LINEUP_SHARDS_MAX)
		return err_set(err, -EINVAL,
			       "--shard: '%s' is not K/N, with K from 1 to N "
			       "and N up to %d",
			       value, LINEUP_SHARDS_MAX);
	return 0;
}

static int set_shuffle(struct settings *s, const struct option_def *o,
		       const char *value, struct err *err)
{
	uint32_t seed;
	char *end;

	(void)o;
	if (!strcmp(value, "random")) {
		while (getrandom(&seed, sizeof(seed), 0) < 0)
			;
		s->shuffle = 1 + seed % SHUFFLE_SEED_MAX;
		return 0;
	}
	s->shuffle = strtoll(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || s->shuffle < 1 ||
	    s->shuffle > SHUFFLE_SEED_MAX)
		return err_set(err, -EINVAL,
			       "--shuffle: '%s' is not a number from 1 to "
			       "%lld, or 'random'",
			       value, (long long)SHUFFLE_SEED_MAX);
	return 0;
}

/* --- times and numbers ----------------------------------------------------*/

static int set_span(struct settings *s, const struct option_def *o,
		    const char *value, struct err *err)
{
	CLEANUP(free_ptr) char *seconds = mem_printf("%ss", value);
	int64_t *ret = member(s, o);

	/* A plain number is seconds, as in tests. */
	if (parse_duration(value, ret) == 0 ||
	    parse_duration(seconds, ret) == 0)
		return 0;
	return err_set(err, -EINVAL,
		       "--%s: '%s' is not a duration, such as 90s, 500ms or 5m",
		       o->name, value);
}

static int set_limit(struct settings *s, const struct option_def *o,
		     const char *value, struct err *err)
{
	int64_t *ret = member(s, o);

	if (set_span(s, o, value, NULL) < 0 || !*ret)
		return err_set(err, -EINVAL,
			       "--%s: '%s' is not a duration above zero, such "
			       "as 90s, 500ms or 5m",
			       o->name, value);
	return 0;
}

static int set_count(struct settings *s, const struct option_def *o,
		     const char *value, struct err *err)
{
	unsigned *ret = member(s, o);
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || n < 1 || n > o->max)
		return err_set(err, -EINVAL,
			       "--%s: '%s' is not a number from 1 to %u",
			       o->name, value, o->max);
	*ret = (unsigned)n;
	return 0;
}

static int set_mem(struct settings *s, const struct option_def *o,
		   const char *value, struct err *err)
{
	(void)o;
	if (parse_size(value, &s->wish.memory) < 0 || !s->wish.memory)
		return err_set(err, -EINVAL,
			       "--mem: '%s' is not a size above zero, such as "
			       "8G or 512M",
			       value);
	return 0;
}

static int set_overcommit(struct settings *s, const struct option_def *o,
			  const char *value, struct err *err)
{
	char *end;
	double by = strtod(value, &end);

	(void)o;
	if (*value < '0' || *value > '9' || *end || !(by > 0) ||
	    by > OVERCOMMIT_MAX)
		return err_set(err, -EINVAL,
			       "--cpu-overcommit: '%s' is not a number above "
			       "0, up to %d",
			       value, OVERCOMMIT_MAX);
	s->wish.overcommit = by;
	return 0;
}

/* --- the rest -------------------------------------------------------------*/

static int set_verbose(struct settings *s, const struct option_def *o,
		       const char *value, struct err *err)
{
	(void)o;
	(void)value;
	(void)err;
	s->verbose++;
	return 0;
}

static int set_color(struct settings *s, const struct option_def *o,
		     const char *value, struct err *err)
{
	(void)value;
	(void)err;
	s->color = strcmp(o->name, "color") ? COLOR_NEVER : COLOR_ALWAYS;
	return 0;
}

int option_set(struct settings *s, const struct option_def *o,
	       const char *value, struct err *err)
{
	if (o->set)
		return o->set(s, o, value, err);
	if (o->arg)
		*(const char **)member(s, o) = value;
	else
		*(bool *)member(s, o) = true;
	return 0;
}

const struct option_def option_defs[] = {
    {"config", 'c', "FILE",
     "use this config instead of the provium.lua found here or above",
     FOR_RUN | FOR_LIST | FOR_GUEST | FOR_FIXTURE | FOR_DOCTOR, NULL,
     AT(config), 0},
    {"filter", 'f', "TEXT",
     "only tests whose name, or whose file's path, contains TEXT, or matches "
     "/REGEX/; one of several is enough",
     FOR_RUN | FOR_LIST, set_rule, 0, 0},
    {"tag", '\0', "TAG", "only tests with that tag, or with one of several",
     FOR_RUN | FOR_LIST, set_rule, 0, 0},
    {"no-tag", '\0', "TAG", "only tests without that tag", FOR_RUN | FOR_LIST,
     set_rule, 0, 0},
    {"tag-meta", '\0', "KEY=VALUE",
     "only tests whose meta has that value, or a list with it",
     FOR_RUN | FOR_LIST, set_rule, 0, 0},
    {"no-tag-meta", '\0', "KEY=VALUE", "only tests whose meta has not",
     FOR_RUN | FOR_LIST, set_rule, 0, 0},
    {"include-slow", '\0', NULL, "tests that say that they are slow, too",
     FOR_RUN | FOR_LIST, include_slow, 0, 0},
    {"only-slow", '\0', NULL, "only tests that say so", FOR_RUN | FOR_LIST,
     only_slow, 0, 0},
    {"rerun-failed", '\0', NULL, "only tests that failed the last time",
     FOR_RUN | FOR_LIST, NULL, AT(is_rerun), 0},
    {"since", '\0', "FILE", "only files that are newer than FILE",
     FOR_RUN | FOR_LIST, NULL, AT(since), 0},
    {"shard", '\0', "K/N",
     "only the K-th of N parts of the files; with --history, parts that take "
     "about the same time",
     FOR_RUN | FOR_LIST, set_shard, 0, 0},
    {"shuffle", '\0', "SEED",
     "files, and the tests of each, in the order that a number gives, or in a "
     "random one ('random'), which is told",
     FOR_RUN | FOR_LIST, set_shuffle, 0, 0},
    {"repeat", '\0', "N", "each file N times, to catch what fails now and then",
     FOR_RUN, set_count, AT(repeat), LINEUP_REPEAT_MAX},
    {"retries", '\0', "N",
     "try a failed test again, up to N times, unless it "
     "says otherwise",
     FOR_RUN, set_count, AT(retries), SUITE_RETRIES_MAX},
    {"fail-fast", '\0', NULL, "end the run at the first failure", FOR_RUN, NULL,
     AT(is_fail_fast), 0},
    {"debug-on-failure", '\0', NULL,
     "hold a test that failed, with its VMs, and run Lua that is typed, until "
     "^D; one file at a time",
     FOR_RUN, NULL, AT(is_debug), 0},
    {"watch", 'w', NULL, "run again whenever a file changes, until ^C", FOR_RUN,
     NULL, AT(is_watch), 0},
    {"history", '\0', "FILE",
     "remember what failed, and what took how long, in FILE (default: one for "
     "each config, in the cache)",
     FOR_RUN | FOR_LIST, NULL, AT(history), 0},
    {"no-history", '\0', NULL, "remember nothing", FOR_RUN | FOR_LIST, NULL,
     AT(has_no_history), 0},
    {"timeout", 't', "DURATION",
     "what a test may take unless it says otherwise: 90s, 500ms, 5m "
     "(default 60s)",
     FOR_RUN, set_limit, AT(timeout_ns), 0},
    {"file-timeout", '\0', "DURATION",
     "what a file may take in all (default: no limit)", FOR_RUN, set_limit,
     AT(file_timeout_ns), 0},
    {"run-timeout", '\0', "DURATION",
     "what the run may take in all: then it ends as by ^C (default: no limit)",
     FOR_RUN, set_limit, AT(run_timeout_ns), 0},
    {"slow", '\0', "DURATION",
     "tell of a test that has run for so long, 0: never (default 30s)", FOR_RUN,
     set_span, AT(slow_ns), 0},
    {"jobs", 'j', "N",
     "files to run at a time (default: as many as there are CPUs, and as the "
     "memory has room for a guest each)",
     FOR_RUN | FOR_LIST, set_count, AT(jobs), RUN_JOBS_MAX},
    {"mem", '\0', "SIZE",
     "memory that all guests may have at a time (default: 80% of what is "
     "available)",
     FOR_RUN, set_mem, 0, 0},
    {"cpus", '\0', "N",
     "vCPUs that all guests may have at a time (default: CPUs times "
     "--cpu-overcommit)",
     FOR_RUN, set_count, AT(wish.cpus), CPUS_MAX},
    {"cpu-overcommit", '\0', "X", "vCPUs for each CPU (default 8)", FOR_RUN,
     set_overcommit, 0, 0},
    {"events", '\0', "FILE",
     "write what happens as JSON, an object a line, to a file, to a socket "
     "(unix:PATH), or to standard output ('-'), which moves the report to "
     "standard error",
     FOR_RUN, NULL, AT(events), 0},
    {"junit", '\0', "FILE", "write a report in the XML of JUnit",
     FOR_RUN | FOR_REPORT, NULL, AT(junit), 0},
    {"html", '\0', "FILE", "write a report as one page for a browser",
     FOR_RUN | FOR_REPORT, NULL, AT(html), 0},
    {"tap", '\0', NULL,
     "print TAP 13; the report for people goes to standard error",
     FOR_RUN | FOR_REPORT, NULL, AT(is_tap), 0},
    {"json", '\0', NULL,
     "print all results as one JSON object, likewise, when the run is over",
     FOR_RUN | FOR_REPORT, NULL, AT(is_json), 0},
    {"merge", '\0', NULL, "report several runs, such as shards, as one",
     FOR_REPORT, NULL, AT(is_merge), 0},
    {"artifacts", 'a', "DIR",
     "keep the console and QMP logs of VMs, and the last packets of bridges, "
     "of files with failures, and what "
     "tests attached, in DIR",
     FOR_RUN, NULL, AT(artifacts), 0},
    {"keep-artifacts", '\0', NULL,
     "with --artifacts: also of files without failures", FOR_RUN, NULL,
     AT(keeps_artifacts), 0},
    {"allow-empty", '\0', NULL, "finding no test is fine: status 0, not 2",
     FOR_RUN | FOR_LIST, NULL, AT(allows_empty), 0},
    {"verbose", 'v', NULL,
     "show what passing tests print, and what was chosen and why",
     FOR_RUN | FOR_REPORT, set_verbose, 0, 0},
    {"quiet", 'q', NULL, "show failures and the summary only",
     FOR_RUN | FOR_REPORT, NULL, AT(is_quiet), 0},
    {"color", '\0', NULL, "colour also where the output is no terminal",
     FOR_RUN | FOR_LIST | FOR_REPORT | FOR_EXPLAIN, set_color, 0, 0},
    {"no-color", '\0', NULL,
     "no colour; the environment variable NO_COLOR says the same",
     FOR_RUN | FOR_LIST | FOR_REPORT | FOR_EXPLAIN, set_color, 0, 0},
    {"version", '\0', NULL, "print the version", FOR_RUN | FOR_HELP, NULL,
     AT(wants_version), 0},
    {"help", 'h', NULL, "show this",
     FOR_RUN | FOR_LIST | FOR_GUEST | FOR_FIXTURE | FOR_DOCTOR | FOR_LSP |
	 FOR_HELP | FOR_REPORT | FOR_EXPLAIN,
     NULL, AT(wants_help), 0},
    {0},
};
