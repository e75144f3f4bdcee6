/* SPDX-License-Identifier: MIT */
#include "cmd/provium/outputs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/report.h"
#include "runner/report_tree.h"

#define UNIX_PREFIX "unix:"

/* Someone listens there. NULL with err. */
static FILE *connect_unix(const char *path, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	CLEANUP(fd_closep)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(at.sun_path)) {
		err_set(err, -ENAMETOOLONG,
			"--events: the path of a socket has %zu bytes at "
			"most: '%s'",
			sizeof(at.sun_path) - 1, path);
		return NULL;
	}
	memcpy(at.sun_path, path, strlen(path));
	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0) {
		err_set(err, -errno, "--events: cannot connect to '%s': %s",
			path, strerror(errno));
		return NULL;
	}
	return fdopen(TAKE_FD(fd), "we");
}

static int open_events(struct outputs *o, const char *path, struct err *err)
{
	size_t n = strlen(UNIX_PREFIX);

	if (!strcmp(path, "-")) {
		o->events = stdout;
		return 0;
	}
	if (!strncmp(path, UNIX_PREFIX, n)) {
		o->events = connect_unix(path + n, err);
		return o->events ? 0 : err->code;
	}
	o->events = fopen(path, "we");
	if (!o->events)
		return err_set(err, -errno, "--events: cannot write '%s': %s",
			       path, strerror(errno));
	return 0;
}

/* A document is written when all is over: its directory is looked at before
 * that. */
static int check_document(const char *option, const char *path, struct err *err)
{
	CLEANUP(free_ptr) char *dir = mem_strdup(path ? path : "");
	char *slash = strrchr(dir, '/');

	if (!path)
		return 0;
	if (!*path)
		return err_set(err, -EINVAL, "--%s: no file is named", option);
	if (slash)
		slash[slash == dir] = '\0';
	if (access(slash ? dir : ".", F_OK) < 0)
		return err_set(err, -errno, "--%s: cannot write '%s': %s",
			       option, path, strerror(errno));
	return 0;
}

int outputs_open(struct outputs *o, const struct settings *s, struct err *err)
{
	bool has_events = s->events && !strcmp(s->events, "-");
	int n = s->is_tap + s->is_json + has_events;
	int r;

	*o = (struct outputs){.s = s, .report = n ? stderr : stdout};
	if (n > 1)
		return err_set(err, -EINVAL,
			       "only one of --tap, --json and --events - can "
			       "have standard output");
	r = check_document("junit", s->junit, err);
	if (r >= 0)
		r = check_document("html", s->html, err);
	if (r >= 0 && s->events)
		r = open_events(o, s->events, err);
	return r;
}

/* --- sinks ----------------------------------------------------------------*/

bool outputs_is_colored(const struct settings *s, FILE *out)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (s->color != COLOR_AUTO)
		return s->color == COLOR_ALWAYS;
	/* no-color.org: present and not empty. */
	return isatty(fileno(out)) && (!no_color || !*no_color) &&
	       (!term || strcmp(term, "dumb") != 0);
}

static bool is_live(const struct outputs *o)
{
	const char *term = getenv("TERM");

	return !o->is_replay && isatty(fileno(o->report)) && term && *term &&
	       strcmp(term, "dumb") != 0;
}

struct event_sink *outputs_people(const struct outputs *o)
{
	struct report_options opts = {
	    .is_colored = outputs_is_colored(o->s, o->report),
	    .is_quiet = o->s->is_quiet,
	    .is_verbose = o->s->verbose > 0,
	    .reads_no_files = o->is_replay,
	};

	/* A prompt has the last line. */
	if (is_live(o) && !o->s->is_debug)
		return report_tty_new(o->report, &opts);
	return report_group_new(report_plain_new(o->report, &opts));
}

static struct event_sink *documents(struct outputs *o)
{
	const struct settings *s = o->s;

	if (!s->junit && !s->html && !s->is_json)
		return NULL;
	o->tree = report_tree_new();
	if (s->junit)
		report_tree_add(o->tree, s->junit, NULL, report_junit_write);
	if (s->html)
		report_tree_add(o->tree, s->html, NULL, report_html_write);
	if (s->is_json)
		report_tree_add(o->tree, NULL, stdout, report_json_write);
	return o->tree;
}

struct event_sink *outputs_sink(struct outputs *o,
				struct event_sink *take_people)
{
	const char *actions = getenv("GITHUB_ACTIONS");
	struct event_sink *sink = take_people;
	struct event_sink *tree = documents(o);

	if (actions && !strcmp(actions, "true"))
		sink = report_github_new(o->report,
					 getenv("GITHUB_STEP_SUMMARY"), sink);
	if (o->events)
		sink = report_tee_new(sink, report_events_new(o->events));
	if (o->s->is_tap)
		sink = report_tee_new(sink, report_tap_new(stdout));
	return tree ? report_tee_new(sink, tree) : sink;
}

/* --- the end --------------------------------------------------------------*/

int outputs_check(const struct outputs *o, struct err *err)
{
	return o->tree ? report_tree_error(o->tree, err) : 0;
}

int outputs_close(struct outputs *o, struct err *err)
{
	bool is_bad = o->events && ferror(o->events);

	if (o->events && o->events != stdout)
		is_bad = fclose(o->events) != 0 || is_bad;
	o->events = NULL;
	if (is_bad)
		return err_set(err, -EIO, "--events: cannot write '%s'",
			       o->s->events);
	return 0;
}
