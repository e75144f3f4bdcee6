/* SPDX-License-Identifier: MIT */
/* What is kept of a failure beyond the report: the whole console logs, what was
 * said with QEMU, and what
 * tests attached. */
#ifndef RUNNER_ARTIFACTS_H
#define RUNNER_ARTIFACTS_H

#include "agent-proto/err.h"
#include "agent-proto/mem.h"

/* Of a longer log, this much of its end is kept. */
#define ARTIFACT_MAX (64 << 20)

/* Of the name of one. */
#define ATTACHMENT_NAME_MAX 64

/* Puts bytes aside in a worker's run_dir, for artifacts_keep(); a second of
 * the same test and name replaces the first. *ret_path: the file, owned by the
 * caller; NULL where that fails. */
int artifacts_attach(const char *run_dir, const char *test, const char *name,
		     const void *p, size_t n, char **ret_path, struct err *err);

/* The last component of the path to which artifacts_keep() copies a file below
 * run_dir; owned by the caller. */
char *artifacts_name(const char *run_dir, const char *path);

/*
 * Copies every log (*.console, *.qmp) below run_dir, and all attachments,
 * into dir/<display, as one name>/, which is made; ret gets the paths of the
 * copies, sorted. Nothing to copy: nothing is made. Links are not followed.
 */
int artifacts_keep(const char *dir, const char *display, const char *run_dir,
		   struct strvec *ret, struct err *err);

#endif
