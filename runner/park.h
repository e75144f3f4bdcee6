/* SPDX-License-Identifier: MIT */
/*
 * A file is parked while all that it does is to wait for the pool: its time
 * stands still then. And what the calls that wait are, for those who ask.
 */
#ifndef RUNNER_PARK_H
#define RUNNER_PARK_H

#include <jansson.h>
#include <lua.h>

struct worker;

/* To be called before the loop is turned by who waits at the top: stops the
 * time, or lets it go on. */
void park_check(struct worker *w);
/* The wait is over: time goes on. */
void park_end(struct worker *w);

/* SIGUSR1 asks this process what it waits for: it answers with an event
 * "waiting", as soon as it waits, or runs Lua code that can be interrupted. */
void park_listen(struct worker *w);
/* Answers if it was asked; L: the code that runs, or NULL. */
void park_answer(struct worker *w, lua_State *L);

#endif
