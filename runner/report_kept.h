/* SPDX-License-Identifier: MIT */
/* Which test each kept file belongs to: its console logs, captures of its
 * bridges, and attachments. */
#ifndef RUNNER_REPORT_KEPT_H
#define RUNNER_REPORT_KEPT_H

#include <jansson.h>

/*
 * file: a file's entry in the document of runner/report_tree.h, complete. Each
 * of its tests and errors gets "kept": the paths whose last component it named
 * as its artifact. A failure that names no artifact gets each path that no
 * other one named. Without such a failure, these paths are the "kept" of the
 * file. An empty list is not set.
 */
void report_kept_share(json_t *file);

#endif
