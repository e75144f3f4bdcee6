/* SPDX-License-Identifier: MIT */
/* Where tests put files: in $TMPDIR, so that check.sh sees what they leave. */
#ifndef TESTS_UNIT_TMP_H
#define TESTS_UNIT_TMP_H

#include <stdio.h>
#include <stdlib.h>

#define TMP_PATH_MAX 128

/* A template for mkdtemp(3) or mkstemp(3). */
static inline void tmp_template(char buf[TMP_PATH_MAX])
{
	const char *dir = getenv("TMPDIR");
	int n = snprintf(buf, TMP_PATH_MAX, "%s/provium-unit-XXXXXX",
			 dir && *dir ? dir : "/tmp");

	if (n < 0 || n >= TMP_PATH_MAX)
		abort(); /* a very long $TMPDIR */
}

#endif
