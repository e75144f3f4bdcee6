/* SPDX-License-Identifier: MIT */
/*
 * Tasks: the coroutines of provium.all and provium.race. A task runs until it
 * waits; the wait at the top resumes it when that is over.
 */
#ifndef RUNNER_TASK_H
#define RUNNER_TASK_H

#include <lua.h>
#include <stdbool.h>

struct task;
struct worker;

/* Once for a Lua state, before an author's code runs in it. */
void task_install(lua_State *L);

/* The task whose coroutine L is, or NULL. */
struct task *task_of(struct worker *w, const lua_State *L);
/* It is about to yield; the block it waits for is at idx of L. */
void task_wait(struct task *t, lua_State *L, int idx);
/* What it waits for is over. From the loop; resumes nothing itself. */
void task_wake(struct task *t);
/* Resumes those that were woken, and those not started; whether any was. */
bool task_resume_ready(struct worker *w);
bool task_any_ready(struct worker *w);

/* The test's time-out was raised in it. */
void task_cut_off(struct task *t);

/* What a wrapped function returns first when its task was made to wait. */
void task_push_pending(lua_State *L);

/* await.c's: gives up the block at idx of L, whose task is cancelled. */
void await_abandon(lua_State *L, int idx);

#endif
