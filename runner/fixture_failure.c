/* SPDX-License-Identifier: MIT */
#include "runner/fixture_failure.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "vmm/store.h"

#define FAILURES    "PROVIUM_FIXTURE_FAILURES"
#define FAILURE_MAX 8192 /* bytes of a text */

void fixture_failure_keep_in(const char *dir)
{
	setenv(FAILURES, dir, 1);
}

/* Owned; NULL: nothing is remembered. */
static char *failure_path(const char *source)
{
	const char *dir = getenv(FAILURES);

	return dir ? mem_printf("%s/fixture-%016" PRIx64, dir,
				(uint64_t)XXH3_64bits(source, strlen(source)))
		   : NULL;
}

bool fixture_failure_find(const char *source, struct buf *out)
{
	CLEANUP(free_ptr) char *path = failure_path(source);
	CLEANUP(buf_done) struct buf text = {0};
	struct err err;

	if (!path || store_read(path, FAILURE_MAX, &text, &err) < 0)
		return false;
	buf_append(out, buf_data(&text), text.len);
	buf_printf(out, "\n(it was built once in this run)");
	return true;
}

void fixture_failure_remember(const char *source, const char *why)
{
	CLEANUP(free_ptr) char *path = failure_path(source);
	struct err err;

	if (path)
		store_write(path, why, strlen(why), &err);
}
