/* SPDX-License-Identifier: MIT */
/*
 * Building a fixture: its file is run in this process, by a worker of its own,
 * under the lock of its source, which all processes share. The outcome is
 * written aside and renamed, so a build that is killed leaves nothing that
 * could be taken for one.
 */
#ifndef RUNNER_FIXTURE_BUILD_H
#define RUNNER_FIXTURE_BUILD_H

#include <stdbool.h>

#include "agent-proto/err.h"
#include "runner/fixture.h"

/* The sources that are being built, above this one: in the environment of the
 * processes that build, each ended by a newline. */
#define FIXTURE_CHAIN "PROVIUM_FIXTURE_CHAIN"

struct fixture_build {
	const struct config *config;
	const char *source;
	bool is_forced; /* also where the cache has a good one */
	/* What the file prints, a piece at a time, as it comes; and: another
	 * process builds it, which is waited for. */
	void (*print)(void *ctx, const char *text);
	void (*waits)(void *ctx);
	void *ctx;
};

/* 0: *ret_is_new tells whether it was built, or there already. -ELOOP: it
 * needs itself. */
int fixture_build(const struct fixture_build *b, bool *ret_is_new,
		  struct err *err);

#endif
