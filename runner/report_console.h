/* SPDX-License-Identifier: MIT */
/* What the report for people shows of the consoles of a failed test. */
#ifndef RUNNER_REPORT_CONSOLE_H
#define RUNNER_REPORT_CONSOLE_H

#include <jansson.h>

#include "runner/print.h"

/* The lines with which the kernels of the test's VMs tell of trouble, where the
 * failure's message does not have them. ev: a test_end, or a file_error. */
void report_console_alarms(const struct printer *p, const char *indent,
			   const json_t *ev);
/* Each console that the message does not quote; those that said nothing share a
 * line. */
void report_console_write(const struct printer *p, const char *indent,
			  const json_t *ev);

#endif
