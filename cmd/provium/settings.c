/* SPDX-License-Identifier: MIT */
#include "cmd/provium/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/run.h"
#include "runner/text.h"

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
static int settings_read_option(struct settings *s, const struct command *cmd,
				const char **argv, size_t n, size_t *at,
				struct err *err)
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
		return option_set(s, o, value, err);
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
		option_set(s, o, NULL, err);
	}
	return 0;
}

void settings_done(struct settings *s)
{
	strvec_done(&s->select);
	strvec_done(&s->said);
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
			int r = settings_read_option(s, cmd, argv, n, &i, err);
			if (r < 0)
				return r;
		}
	}
	s->args = argv;
	s->n_args = kept;
	return 0;
}
