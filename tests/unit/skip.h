/* SPDX-License-Identifier: MIT */
/* How a test is skipped: with its reason, which check-one.sh shows. */
#ifndef TESTS_UNIT_SKIP_H
#define TESTS_UNIT_SKIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Ends the running test. why: what this machine lacks. */
static inline void skip_because(const char *why)
{
	print_message("skipped: %s\n", why);
	_skip(__FILE__, __LINE__);
}

#endif
