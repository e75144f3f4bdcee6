/* SPDX-License-Identifier: MIT */
/* What is kept of a failure beyond the report: the whole console logs. */
#ifndef RUNNER_ARTIFACTS_H
#define RUNNER_ARTIFACTS_H

#include "agent-proto/err.h"
#include "agent-proto/mem.h"

/* Of a longer log, this much of its end is kept. */
#define ARTIFACT_MAX (64 << 20)

/*
 * Copies every console log (*.console) below run_dir into dir/<display, as one
 * name>/, which is made; ret gets the paths of the copies. No log: nothing is
 * made. Links are not followed.
 */
int artifacts_keep(const char *dir, const char *display, const char *run_dir,
		   struct strvec *ret, struct err *err);

#endif
