/* SPDX-License-Identifier: MIT */
/* Words of a command that a person can paste into a shell. */
#ifndef RUNNER_SHELL_WORD_H
#define RUNNER_SHELL_WORD_H

#include "agent-proto/buf.h"

/* Appends s as one word of a POSIX shell (XCU 2.2.2): in single quotes, unless
 * no byte of it needs them. */
void shell_word_append(struct buf *out, const char *s);
/* The same, always in quotes. */
void shell_word_quote(struct buf *out, const char *s);

#endif
