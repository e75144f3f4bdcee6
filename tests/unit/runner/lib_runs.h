/* SPDX-License-Identifier: MIT */
/* Runs of scripts for the fake worker. */
#ifndef TESTS_RUNNER_LIB_RUNS_H
#define TESTS_RUNNER_LIB_RUNS_H

#include "runner/run.h"
#include "tests/unit/runner/lib_recorder.h"
#include "tests/unit/tmp.h"

#define RUNS_FILES_MAX 8

/* A directory with the scripts. The runtime directories of the runs are in it,
 * too. */
struct runs {
	char dir[TMP_PATH_MAX];
	struct test_file v[RUNS_FILES_MAX];
	struct test_files files;
	struct run_options opts; /* patient, one file at a time */
	struct run_result result;
	struct recorder rec;
};

/* For cmocka: *state is a struct runs. */
int runs_set_up(void **state);
int runs_tear_down(void **state);

/* A file in the directory. */
void runs_put(const struct runs *r, const char *name, const char *text);
/* The next test file, a.test.lua and so on. */
struct test_file *runs_add(struct runs *r, const char *script);
/* Runs them all. What the recorder took: until the next call. */
const char *runs_go(struct runs *r);

#endif
