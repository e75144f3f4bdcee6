/* SPDX-License-Identifier: MIT */
/*
 * Which lines of a console are alarms. Each rule has a text, and other texts
 * that excuse a line with the first.
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
/* Has the rule that was added last excuse lines with that text. */
void alarm_rules_except(struct alarm_rules *r, const char *text);
/* to must be empty. */
void alarm_rules_copy(struct alarm_rules *to, const struct alarm_rules *from);

/* Whether some rule with this text does not excuse the line. The line is
 * escaped (stream_escape_tail()). */
bool alarm_rules_hold(const struct alarm_rules *r, const char *text,
		      const char *line);

#endif
