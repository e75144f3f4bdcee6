/* SPDX-License-Identifier: MIT */
/*
 * The end of a report for people: the failures again where there was much
 * between them, the tests that were flaky, those that were repeated and failed
 * at times, and the counts. Private to the plain reporter.
 */
#ifndef RUNNER_REPORT_SUMMARY_H
#define RUNNER_REPORT_SUMMARY_H

#include <jansson.h>
#include <stdbool.h>

#include "agent-proto/mem.h"
#include "runner/print.h"

struct report_summary {
	struct strvec failures; /* "place  name" */
	struct strvec flaky;	/* passed when tried again, with the lines of
				 * their first failures */
	char *attempt; /* line of the running test's first failure, or NULL */
	json_t *tally; /* "file: test" -> [failed, ended] */
	unsigned n_tests;
};

void report_summary_init(struct report_summary *s);
void report_summary_done(struct report_summary *s);

/* An attempt of the running test failed; line tells why. */
void report_summary_attempt(struct report_summary *s, const char *line);
/* ev: test_end. */
void report_summary_test(struct report_summary *s, const json_t *ev);
/* at: where, or the file; name: of the test, or what failed instead. */
void report_summary_failure(struct report_summary *s, const char *at,
			    const char *name);

/* ev: run_end; is_below: of something, from which a line sets it off. */
void report_summary_write(const struct report_summary *s,
			  const struct printer *p, const json_t *ev,
			  bool is_below);

#endif
