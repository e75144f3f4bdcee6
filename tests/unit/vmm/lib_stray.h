/* SPDX-License-Identifier: MIT */
/* A process that no signal to a child or to a process group reaches. */
#ifndef TESTS_UNIT_VMM_LIB_STRAY_H
#define TESTS_UNIT_VMM_LIB_STRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Bytes of a script and of a path. */
#define STRAY_SCRIPT_MAX 300
#define STRAY_PATH_MAX	 64

/* Fills script with a shell script whose child leaves group and session, and
 * has init for a parent. path gets the name of a new file, the caller's to
 * remove: the child writes its pid there. */
void stray_script(char script[STRAY_SCRIPT_MAX], char path[STRAY_PATH_MAX]);
/* The pid that a script has written into a file. */
pid_t stray_read_pid(const char *path);
bool stray_exists(pid_t pid);
/* Waits for the death of a process that is not our child. */
void stray_assert_dies(pid_t pid);

#endif
