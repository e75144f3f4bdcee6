/* SPDX-License-Identifier: MIT */
/* provium fixture: what the cache has of fixtures, and building them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium/settings.h"
#include "runner/config.h"
#include "runner/fixture.h"
#include "runner/fixture_build.h"
#include "runner/text.h"
#include "runner/vm_factory.h"
#include "streams/loop.h"

struct wanted {
	struct strvec names; /* as they are shown */
	struct strvec paths;
};

struct job_list {
	const struct config *config;
	struct fixtures fixtures;
	struct wanted wanted;
};

/* Text of a fixture's, on a terminal. */
static void cmd_fixture_put_line(FILE *out, const char *before,
				 const char *text)
{
	CLEANUP(buf_done) struct buf line = {0};

	text_escape(&line, text, strlen(text));
	fprintf(out, "%s%.*s\n", before, (int)line.len,
		(char *)buf_data(&line));
}

/* --- verbs ------------------------------------------------------------------
 */

static void print_text(void *ctx, const char *text)
{
	CLEANUP(free_ptr) char *copy = mem_strdup(text);
	char *rest = copy, *line;

	(void)ctx;
	while ((line = strsep(&rest, "\n")))
		if (*line || rest)
			cmd_fixture_put_line(stdout, "  | ", line);
	fflush(stdout);
}

static void say_waiting(void *ctx)
{
	cmd_fixture_put_line(stderr, "waiting for another process that builds ",
			     ctx);
}

/* The text has lines: what a command printed, what a console showed. */
static void complain_of(const char *name, const char *text)
{
	CLEANUP(free_ptr) char *copy = mem_strdup(text);
	char *rest = copy, *line = strsep(&rest, "\n");

	complain("fixture '%s': %s", name, line);
	while ((line = strsep(&rest, "\n")))
		cmd_fixture_put_line(stderr, "", line);
}

static int build_one(const struct job_list *l, size_t i, bool is_forced)
{
	char *name = l->wanted.names.v[i];
	struct fixture_build b = {.config = l->config,
				  .source = l->wanted.paths.v[i],
				  .is_forced = is_forced,
				  .print = print_text,
				  .waits = say_waiting,
				  .ctx = name};
	struct fixture_entry e;
	struct err err;
	bool is_new;

	cmd_fixture_put_line(stderr, "building ", name);
	if (fixture_build(&b, &is_new, &err) < 0) {
		complain_of(name, err.text);
		return STATUS_FAILED;
	}
	if (fixture_lookup(&l->fixtures, b.source, &e, &err) < 0) {
		complain("fixture '%s' changed while it was built: %s", name,
			 err.text);
		return STATUS_FAILED;
	}
	printf("%s  %s  %.1f s  %.1f MiB\n", is_new ? "built" : "ready", name,
	       e.seconds, (double)e.size / (1 << 20));
	fixture_entry_done(&e);
	return STATUS_OK;
}

static int verb_build(const struct job_list *l, size_t i)
{
	return build_one(l, i, false);
}

static int verb_rebuild(const struct job_list *l, size_t i)
{
	return build_one(l, i, true);
}

static int verb_list(const struct job_list *l, size_t i)
{
	const char *name = l->wanted.names.v[i];
	struct fixture_entry e;
	struct err err;
	char when[32] = "";
	struct tm tm;
	time_t at;

	if (fixture_lookup(&l->fixtures, l->wanted.paths.v[i], &e, &err) < 0) {
		printf("  -      %s  ", name);
		cmd_fixture_put_line(stdout, "", err.text);
		return STATUS_OK;
	}
	at = (time_t)e.built_at;
	if (localtime_r(&at, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	printf("  ready  %s  %s, %.1f s, %.1f MiB\n", name, when, e.seconds,
	       (double)e.size / (1 << 20));
	fixture_entry_done(&e);
	return STATUS_OK;
}

static int verb_stale(const struct job_list *l, size_t i)
{
	struct fixture_entry e;
	struct err err;

	if (fixture_lookup(&l->fixtures, l->wanted.paths.v[i], &e, &err) == 0) {
		fixture_entry_done(&e);
		return STATUS_OK;
	}
	printf("  %s  ", l->wanted.names.v[i]);
	cmd_fixture_put_line(stdout, "", err.text);
	return STATUS_FAILED;
}

static int verb_clean(const struct job_list *l, size_t i)
{
	struct err err;
	int n = fixture_remove(&l->fixtures, l->wanted.paths.v[i], false, &err);

	if (n)
		printf("removed  %s\n", l->wanted.names.v[i]);
	return STATUS_OK;
}

static const struct fixture_verb {
	const char *name;
	int (*run)(const struct job_list *l, size_t i);
} verbs[] = {
    {"list", verb_list},   {"build", verb_build}, {"rebuild", verb_rebuild},
    {"clean", verb_clean}, {"stale", verb_stale},
};

/* --- which ------------------------------------------------------------------
 */

static bool is_path(const char *word)
{
	size_t n = strlen(word), m = strlen(FIXTURE_SUFFIX);

	return n > m && !strcmp(word + n - m, FIXTURE_SUFFIX);
}

static int add_word(struct job_list *l, const char *word, struct err *err)
{
	CLEANUP(free_ptr)
	char *path = is_path(word) ? realpath(word, NULL)
				   : fixture_find(l->config, word, err);

	if (!path && is_path(word))
		return err_set(err, -errno, "no such file: '%s'", word);
	if (!path)
		return -ENOENT;
	strvec_add(&l->wanted.names, word);
	strvec_add(&l->wanted.paths, path);
	return 0;
}

static int cmd_fixture_run_verb(const struct fixture_verb *verb,
				const struct settings *s, struct job_list *l)
{
	struct err err;
	int status = STATUS_OK, r = 0;

	for (size_t i = 1; r >= 0 && i < s->n_args; i++)
		r = add_word(l, s->args[i], &err);
	if (s->n_args == 1)
		r = fixture_list(l->config, &l->wanted.names, &l->wanted.paths,
				 &err);
	if (r < 0)
		return complain("%s", err.text);
	if (!l->wanted.names.n)
		fprintf(stderr, "no *%s below the roots\n", FIXTURE_SUFFIX);
	for (size_t i = 0; i < l->wanted.names.n; i++) {
		int one = verb->run(l, i);

		status = one > status ? one : status;
	}
	strvec_done(&l->wanted.names);
	strvec_done(&l->wanted.paths);
	return status;
}

static int with_config(const struct fixture_verb *verb,
		       const struct settings *s)
{
	struct config config;
	struct job_list l = {.config = &config};
	struct err err;
	struct loop *loop;
	int status;

	if (config_load(&config, s->config, &err) < 0)
		return complain("%s", err.text);
	loop = loop_new(&err);
	if (!loop) {
		config_done(&config);
		return complain("%s", err.text);
	}
	/* It makes no VM, and needs no folder for that. */
	l.fixtures.config = &config;
	l.fixtures.vms = vm_factory_new(loop, &config, "");
	status = cmd_fixture_run_verb(verb, s, &l);
	vm_factory_free(l.fixtures.vms);
	loop_free(loop);
	config_done(&config);
	return status;
}

int cmd_fixture(const struct settings *s)
{
	const char *name = s->n_args ? s->args[0] : "";

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return with_config(&verbs[i], s);
	if (!*name)
		return complain("fixture: say what: list, build, rebuild, "
				"clean or stale");
	return complain("fixture: no '%s'; there is list, build, rebuild, "
			"clean, stale",
			name);
}
