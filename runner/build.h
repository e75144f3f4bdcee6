/* SPDX-License-Identifier: MIT */
/* The build commands of profiles. */
#ifndef RUNNER_BUILD_H
#define RUNNER_BUILD_H

#include "agent-proto/err.h"
#include "runner/config.h"

/*
 * Runs the build command of each profile that has one, in the directory of the
 * config, with what they print on standard error. The first that fails is the
 * error.
 */
int build_profiles(const struct config *c, struct err *err);

#endif
