/* SPDX-License-Identifier: MIT */
/*
 * Waits for Lua files to change: those below some directories, and in the one
 * of the config. By inotify(7); what changes while nobody waits is told by the
 * next wait.
 */
#ifndef CMD_PROVIUM_WATCH_FILES_H
#define CMD_PROVIUM_WATCH_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"

struct watch_files;

struct watch_files *watch_files_new(struct err *err);
struct watch_files *watch_files_free(struct watch_files *w);

/* A directory with all that is below it, or a file. */
int watch_files_add(struct watch_files *w, const char *path, struct err *err);
/* The directory itself alone. */
int watch_files_add_flat(struct watch_files *w, const char *dir,
			 struct err *err);
size_t watch_files_count(const struct watch_files *w);

/* Returns when something has changed, and nothing more for a moment. The paths
 * (absolute, each once) are appended. */
int watch_files_wait(struct watch_files *w, struct strvec *ret,
		     struct err *err);

#endif
