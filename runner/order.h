/* SPDX-License-Identifier: MIT */
/* In which order files are best run, by what is known of runs before. */
#ifndef RUNNER_ORDER_H
#define RUNNER_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "runner/discover.h"

/* What is known of a file; zeroed where nothing is. */
struct order_hint {
	bool has_failed;     /* the last time */
	bool is_serial;	     /* it has serial tests */
	int64_t duration_ns; /* of the last time; 0: not known */
};

/*
 * Those that failed first, so that it is soon known whether they still do;
 * then the slowest first, so that none is left to run alone at the end. One of
 * unknown duration counts as the slowest. Files that are alike keep their
 * order. Sets is_serial of each.
 */
void order_files(struct test_files *files,
		 struct order_hint (*hint_of)(void *ctx,
					      const struct test_file *file),
		 void *ctx);

#endif
