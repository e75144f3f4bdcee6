/* SPDX-License-Identifier: MIT */
/*
 * What of a console is bad news: each rule is a text, and other texts that
 * excuse a line which holds the first.
 */
#ifndef VMM_ALARM_RULES_H
#define VMM_ALARM_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/mem.h"

struct alarm_rule {
	char *text;
	struct strvec except;
};

/* Zeroed: no rules. */
struct alarm_rules {
	struct alarm_rule *v;
	size_t n;
};

void alarm_rules_done(struct alarm_rules *r);
void alarm_rules_add(struct alarm_rules *r, const char *text);
/* For the rule that was added last. */
void alarm_rules_except(struct alarm_rules *r, const char *text);
/* to must be empty. */
void alarm_rules_copy(struct alarm_rules *to, const struct alarm_rules *from);

/* Some rule has this text, and does not excuse the line, which is escaped
 * (stream_escape_tail()). */
bool alarm_rules_hold(const struct alarm_rules *r, const char *text,
		      const char *line);

#endif
