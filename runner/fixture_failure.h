/* SPDX-License-Identifier: MIT */
/*
 * The fixtures that cannot be built, as a run remembers them: text files in a
 * folder that the environment names, for the run's workers and for the
 * processes that build. Without that variable nothing is remembered.
 */
#ifndef RUNNER_FIXTURE_FAILURE_H
#define RUNNER_FIXTURE_FAILURE_H

#include <stdbool.h>

#include "agent-proto/buf.h"

/* Names the folder to this process and those that it starts. */
void fixture_failure_keep_in(const char *dir);
/* Appends why the build of a source failed, and that this was before; false:
 * nothing is known. */
bool fixture_failure_find(const char *source, struct buf *out);
/* A source that cannot be remembered is built again. */
void fixture_failure_remember(const char *source, const char *why);

#endif
