/* SPDX-License-Identifier: MIT */
/*
 * The text of a failure on a terminal, in colours: the got value is red, the
 * expected one green, and the line of the source that failed is brighter than
 * its neighbours. Private to the plain reporter.
 */
#ifndef RUNNER_REPORT_MESSAGE_H
#define RUNNER_REPORT_MESSAGE_H

#include <stddef.h>

#include "runner/print.h"

/* The lines of a message below its first one, each behind indent. */
void report_message_write(const struct printer *p, const char *indent,
			  const char *s, size_t n);
/* The lines of a source, as trail_source() makes them. */
void report_message_source(const struct printer *p, const char *indent,
			   const char *s, size_t n);

#endif
