/* SPDX-License-Identifier: MIT */
/*
 * What explains that a stream of a process did not bring what was waited for:
 * how the process ended, and what it wrote to its other output.
 */
#ifndef RUNNER_LAST_WORDS_H
#define RUNNER_LAST_WORDS_H

#include <lua.h>
#include <stdbool.h>

#include "runner/bind.h"

struct op;
struct last_words;

/* Asks the guest about the process on whose output the stream at 1 is, for a
 * moment only, whatever deadlines there are. NULL: the stream is not of a
 * process, or its guest cannot be asked. Owned. */
struct last_words *last_words_new(lua_State *L);
struct last_words *last_words_free(struct last_words *w);

/* What is still waited for; NULL: all is known. */
struct op *last_words_pending(const struct last_words *w);
/* Pushes lines to stand behind a message; "" where there is nothing to tell. */
void last_words_push(lua_State *L, const struct last_words *w);

#endif
