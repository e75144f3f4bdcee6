/* SPDX-License-Identifier: MIT */
/* Errors of writing files, which name a file system that is full. */
#ifndef STREAMS_DISK_ERR_H
#define STREAMS_DISK_ERR_H

#include "agent-proto/err.h"

/*
 * Sets err to the text and the reason, and returns code, a negative errno. For
 * -ENOSPC and -EDQUOT the reason names the file system of path, and its size.
 * path may be of a file that is not there, or /proc/self/fd/N.
 */
int disk_err(struct err *err, int code, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
