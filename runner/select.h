/* SPDX-License-Identifier: MIT */
/*
 * Which tests of those found are wanted. A selection is a list of rules, as
 * they travel to the workers:
 *
 *	filter=TEXT       the path or the name contains it
 *	filter=/REGEX/    it matches the path or the name (POSIX extended)
 *	tag=T             the test has that tag
 *	no-tag=T          it does not
 *	tag-meta=K=V      its meta key K is V, or a list that holds V
 *	no-tag-meta=K=V   it is not
 *	slow=include      slow tests too; slow=only: no others
 *	rerun=FILE\nNAME  the test of that name in that file; without NAME all
 *
 * Of several filters one must hold, of several tags one, and of several
 * reruns; of the other kinds every rule must. Without a slow rule, slow tests
 * are left out.
 */
#ifndef RUNNER_SELECT_H
#define RUNNER_SELECT_H

#include <stdbool.h>

#include <jansson.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"

struct selection;

/* What a rule is asked about; borrowed. */
struct select_test {
	const char *path; /* as reports show it */
	const char *file; /* the same, absolute */
	const char *name;
	const struct strvec *tags;
	const json_t
	    *meta; /* the keys that the runner does not read, or NULL */
	bool is_slow;
};

/* NULL with err, which quotes the rule: a kind there is not, a regular
 * expression that is none, K=V without '='. */
struct selection *selection_new(const struct strvec *rules, struct err *err);
struct selection *selection_free(struct selection *s);

enum verdict {
	VERDICT_NO,
	VERDICT_YES,
	VERDICT_LEFT_OUT, /* it would be wanted if it were not slow */
};

enum verdict selection_judge(const struct selection *s,
			     const struct select_test *t);

#endif
