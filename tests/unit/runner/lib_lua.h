/* SPDX-License-Identifier: MIT */
/* Runs the text of a test file in a worker within this process, and keeps
 * the events that it sends. */
#ifndef TESTS_RUNNER_LIB_LUA_H
#define TESTS_RUNNER_LIB_LUA_H

#include <jansson.h>
#include <lua.h>

#include "runner/job.h"
#include "tests/unit/tmp.h"

#define LUA_DISPLAY "x.test.lua"

struct lua_run {
	struct job job;		/* may be changed before lua_run() */
	char *file;		/* owned: the job's */
	json_t *events;		/* array, owned */
	char dir[TMP_PATH_MAX]; /* where the file is; "" until made */
	/* Adds globals before the file runs; may be NULL. DIR is one. */
	void (*install)(lua_State *L);
};

void lua_run_init(struct lua_run *r);
/* Writes another file beside the test's. */
void lua_run_add(struct lua_run *r, const char *name, const char *text);
void lua_run(struct lua_run *r, const char *text);
void lua_run_done(struct lua_run *r);

/* The i-th event of that name, borrowed, or NULL. */
const json_t *lua_run_event(const struct lua_run *r, const char *name,
			    size_t i);
/* Member of the test's test_end as a string, or NULL. */
const char *lua_run_end(const struct lua_run *r, const char *test,
			const char *member);
/* The line that its failure is blamed on, 0: none. */
int lua_run_line(const struct lua_run *r, const char *test);

/* Runs one test with this body (text of line 1) and fails unless its status
 * and, when it failed, a part of its message are these. */
void lua_run_expect(const char *body, const char *status, const char *part);
/* The same, with such an install. */
void lua_run_expect_with(void (*install)(lua_State *L), const char *body,
			 const char *status, const char *part);

#endif
