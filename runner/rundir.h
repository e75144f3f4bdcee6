/* SPDX-License-Identifier: MIT */
/*
 * The private directory of a run, provium-XXXXXX (0700) under
 * $XDG_RUNTIME_DIR or /tmp. A lock on the file "lock" in it lasts as long as
 * the process, so a directory whose lock is free belongs to a dead run:
 * opening a new one sweeps those away.
 */
#ifndef RUNNER_RUNDIR_H
#define RUNNER_RUNDIR_H

#include "agent-proto/err.h"

struct rundir {
	char *path; /* owned */
	int lock_fd;
	unsigned n_subs;
};

/* Where what is large goes, on a disk: $TMPDIR, /var/tmp or /tmp. */
const char *rundir_spool(void);

/* base NULL: the place named above. */
int rundir_open(struct rundir *rd, const char *base, struct err *err);
/* Only removes what dead runs left in base. */
void rundir_sweep(const char *base);
/* Removes it with all that is in it. */
void rundir_close(struct rundir *rd);

/* A new directory (0700) in it; owned, NULL with err. */
char *rundir_new_sub(struct rundir *rd, struct err *err);

/* Removes path and everything below, following no link. What cannot be
 * removed stays. */
void rundir_remove(const char *path);

#endif
