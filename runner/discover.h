/* SPDX-License-Identifier: MIT */
/*
 * Which files are run: the *.test.lua below the given directories, and the
 * files given. Hidden names are skipped below a directory, links to
 * directories are followed, each file comes once, in bytewise order of its
 * path.
 */
#ifndef RUNNER_DISCOVER_H
#define RUNNER_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"

struct test_file {
	char *path;    /* absolute */
	char *display; /* as reports show it: beginning as it was given */
	/* Known to have serial tests: run when all others are done, alone.
	 * Where it is not known, its chunk runs twice. */
	bool is_serial;
};

struct test_files {
	struct test_file *v;
	size_t n;
};

/* -ENOENT names the path that does not exist. n_paths > 0. ret may come out
 * empty. */
int discover(const char *const *paths, size_t n_paths, struct test_files *ret,
	     struct err *err);
/* Keeps those for which keep, one for each, is true. */
void test_files_keep(struct test_files *f, const bool *keep);
/* Keeps those whose path is among these. */
void test_files_retain(struct test_files *f, const struct strvec *paths);
void test_files_done(struct test_files *f);

#endif
