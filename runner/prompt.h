/* SPDX-License-Identifier: MIT */
/* A prompt for people, beside what else the loop does: one line at a time. */
#ifndef RUNNER_PROMPT_H
#define RUNNER_PROMPT_H

#include <stdio.h>

#include "streams/loop.h"

#define PROMPT_LINE_MAX (1u << 20)

struct prompt;

/* Both borrowed. */
struct prompt *prompt_new(struct loop *l, int fd, FILE *out);
struct prompt *prompt_free(struct prompt *p);

void prompt_print(struct prompt *p, const char *text, size_t n);
/* Shows the prompt; cb gets the line, without its newline, from the loop, or
 * NULL at the end of the input. One at a time. */
void prompt_ask(struct prompt *p, void (*cb)(void *ctx, const char *line),
		void *ctx);
/* The line is no longer wanted. */
void prompt_cancel(struct prompt *p);

#endif
