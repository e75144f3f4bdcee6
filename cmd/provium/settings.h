/* SPDX-License-Identifier: MIT */
/* What the command line said, and the tables it was read by. */
#ifndef CMD_PROVIUM_SETTINGS_H
#define CMD_PROVIUM_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "runner/budget.h"

/* Exit statuses; documented in provium(1). */
#define STATUS_OK     0
#define STATUS_FAILED 1 /* a test failed */
#define STATUS_BROKEN 2 /* could not run */

enum color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* Strings are borrowed from argv. */
struct settings {
	const char *config;    /* or NULL */
	struct strvec select;  /* rules of runner/select.h; owned */
	struct strvec said;    /* the options that leave tests out; owned */
	const char *since;     /* file, or NULL */
	const char *history;   /* file, or NULL */
	const char *events;    /* file, "-", or NULL */
	const char *artifacts; /* directory, or NULL */
	const char *junit;     /* file, or NULL */
	const char *html;      /* file, or NULL */
	int64_t timeout_ns;
	int64_t file_timeout_ns;  /* 0: none */
	int64_t run_timeout_ns;	  /* 0: none */
	int64_t slow_ns;	  /* 0: none */
	unsigned jobs;		  /* 0: as the budget admits */
	unsigned shard, n_shards; /* 0: all */
	unsigned repeat;	  /* 0: once */
	unsigned retries;
	int64_t shuffle; /* 0: not */
	struct budget_wish wish;
	int verbose;
	bool is_rerun;
	bool is_fail_fast;
	bool is_watch;
	bool is_debug;
	bool has_no_history;
	bool is_quiet;
	bool is_tap;
	bool is_json;
	bool is_merge;
	bool keeps_artifacts; /* of files without failures, too */
	bool allows_empty;
	bool wants_help;
	bool wants_version;
	enum color color;
	const char *const *args; /* what is no option */
	size_t n_args;
};

void settings_done(struct settings *s);

/* Commands as bits, for the options that they take. */
#define FOR_RUN	    1u
#define FOR_LIST    2u
#define FOR_GUEST   4u
#define FOR_DOCTOR  8u
#define FOR_HELP    16u
#define FOR_LSP	    32u
#define FOR_REPORT  64u
#define FOR_FIXTURE 128u
#define FOR_EXPLAIN 256u

struct option_def {
	const char *name; /* without the dashes */
	char letter;	  /* or '\0' */
	const char *arg;  /* name of its argument, or NULL */
	const char *doc;
	unsigned commands; /* FOR_ bits */
	/* value is NULL where arg is. NULL: sets what is at, a string for an
	 * option with an argument, else a bool. */
	int (*set)(struct settings *s, const struct option_def *o,
		   const char *value, struct err *err);
	size_t at;    /* offset in struct settings */
	unsigned max; /* of a number */
};

struct command {
	const char *name;
	unsigned bit;
	const char *synopsis; /* behind the name */
	const char *summary;  /* a line */
	const char *text;     /* more, for its own help */
	int (*run)(const struct settings *s);
};

/* Tables that end in an entry without a name. */
extern const struct option_def option_defs[];
extern const struct command commands[];

/* value is NULL where the option has no argument. */
int option_set(struct settings *s, const struct option_def *o,
	       const char *value, struct err *err);

/*
 * Reads argv[0..n), which it may reorder: options of that command come out as
 * settings, the rest as args. Options may stand anywhere before "--".
 */
int settings_parse(struct settings *s, const struct command *cmd,
		   const char **argv, size_t n, struct err *err);

/* The command of that name, or NULL. */
const struct command *command_find(const char *name);
/* The name that is most like it, or NULL. */
const char *command_nearest(const char *name);

void help_print(FILE *out);
void help_print_command(FILE *out, const struct command *cmd);

/* "provium: ..." on standard error; returns STATUS_BROKEN. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

int cmd_run(const struct settings *s);
int cmd_list(const struct settings *s);
int cmd_report(const struct settings *s);
int cmd_explain(const struct settings *s);
int cmd_guest(const struct settings *s);
int cmd_fixture(const struct settings *s);
int cmd_doctor(const struct settings *s);
int cmd_lsp(const struct settings *s);
int cmd_help(const struct settings *s);

#endif
