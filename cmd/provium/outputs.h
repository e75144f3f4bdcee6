/* SPDX-License-Identifier: MIT */
/* Where reports go: the sinks that the options of run and report ask for. */
#ifndef CMD_PROVIUM_OUTPUTS_H
#define CMD_PROVIUM_OUTPUTS_H

#include "cmd/provium/settings.h"
#include "runner/event.h"

struct outputs {
	const struct settings *s;
	FILE *events;		 /* or NULL; stdout where --events is "-" */
	FILE *report;		 /* for people; stdout or stderr */
	struct event_sink *tree; /* borrowed from the sink, or NULL */
	bool is_replay;
};

/* Opens what must be there before the run; negative with err. */
int outputs_open(struct outputs *o, const struct settings *s, struct err *err);
/* All that was asked for, around the report for people, which it owns. */
struct event_sink *outputs_sink(struct outputs *o,
				struct event_sink *take_people);
/* The report for people: with a status line on a terminal. */
struct event_sink *outputs_people(const struct outputs *o);
bool outputs_is_colored(const struct settings *s, FILE *out);
/* Before the sink is freed. What could not be written is an error. */
int outputs_check(const struct outputs *o, struct err *err);
/* After the sink is freed. */
int outputs_close(struct outputs *o, struct err *err);

#endif
