/* SPDX-License-Identifier: MIT */
/*
 * The variables of a test that failed, kept for the prompt of
 * --debug-on-failure: the stack is gone when the test is held.
 */
#ifndef RUNNER_FRAMES_H
#define RUNNER_FRAMES_H

#include <lua.h>

/* Whose frames: of the test's failure; of the error that lua_state_call() has
 * caught; of one that passes on from a task (struct worker.origin). */
enum frames_of {
	FRAMES_OF_TEST,
	FRAMES_OF_RAISED,
	FRAMES_OF_ORIGIN,
	FRAMES_OF_N,
};

/*
 * Keeps the author's frames of the thread `of`, and those of the test that
 * started it. Does nothing where the test will not be held. L is the worker's
 * state or the thread that runs; raises nothing but out of memory.
 */
void frames_keep(lua_State *L, lua_State *of, enum frames_of whose);
/* What was kept for one is the other's now. */
void frames_move(lua_State *L, enum frames_of from, enum frames_of to);
void frames_drop(lua_State *L, enum frames_of whose);

/*
 * Pushes a list of frames, the innermost first, or nil where none are kept. A
 * frame has `text` (as in a trace), `is_test` (true: of a test file) and
 * `vars`, a list in which the inner one of equal names comes later. A variable
 * has `name`, and `value`; or, where a function shares it, `fn` and `index`
 * (its upvalue's number), by which it is read and written.
 */
void frames_push(lua_State *L, enum frames_of whose);

#endif
