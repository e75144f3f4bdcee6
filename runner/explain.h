/* SPDX-License-Identifier: MIT */
/*
 * The long report of one failure: each call with its time, the last packets of
 * each bridge, each console from power-on, each file that was kept. It is made
 * from the document of runner/report_tree.h. The bytes in it come from outside:
 * none reaches the terminal raw.
 */
#ifndef RUNNER_EXPLAIN_H
#define RUNNER_EXPLAIN_H

#include <jansson.h>

#include "runner/print.h"

/*
 * The failures of a document, in its order: failed tests, flaky tests, and
 * failures outside of tests. An array of {"number" (from 1), "file", "name",
 * "of": the entry in the document}; the caller owns the reference.
 */
json_t *explain_failures(const json_t *tree);

/* Those of the list that word means: all where it is NULL, one by its number,
 * else each whose "file: name" holds the word. Owned likewise. */
json_t *explain_choose(const json_t *failures, const char *word);

/* A line each: number, file, name. */
void explain_list(const struct printer *p, const json_t *failures);

/* The long report of an entry of the list. */
void explain_write(const struct printer *p, const json_t *failure);

#endif
