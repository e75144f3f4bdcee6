/* SPDX-License-Identifier: MIT */
/*
 * The tests of one file: registered while its chunk runs, then run in order,
 * each in a scope of its own. A failure is a mark on the running test, set by
 * whoever finds it first: that a pcall swallows the error changes nothing.
 */
#ifndef RUNNER_SUITE_H
#define RUNNER_SUITE_H

#include <jansson.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/mem.h"
#include "runner/call_log.h"
#include "runner/lua_state.h"

struct object;
struct worker;

/* Attempts beyond that hide more than they tell. */
#define SUITE_RETRIES_MAX 100

struct suite_test {
	char *name;
	struct site site;
	int fn;	  /* registry references */
	int meta; /* LUA_NOREF: none */
	struct strvec tags;
	bool is_slow;
	bool is_serial;
	json_t *skip;	    /* owned reason, a string; or NULL */
	int64_t timeout_ns; /* 0: the default */
	unsigned retries;
	json_t *extra; /* the keys that the runner does not read; or NULL */
};

struct suite {
	struct worker *w;
	struct suite_test *tests; /* owned array */
	size_t n_tests;
	struct suite_test draft; /* being registered */
	json_t *todo; /* owned reason to skip every test, a string; or NULL */
	int64_t timeout_ns; /* provium.timeout; 0: the job's */
	/* The test that runs, NULL between tests. */
	const struct suite_test *running;
	struct failure failure; /* its mark */
	bool is_of_task;	/* which a task's time-out has set */
	unsigned marks;		/* which mark this is, set or not; from 1 on */
	unsigned told;		/* the mark that the parent knows; 0: none */
	bool is_last_attempt;
	json_t *skipped;       /* owned reason of t:skip(), a string; or NULL */
	struct failure early;  /* a mark before the first test: the file's */
	struct call_log calls; /* of the attempt, or of the chunk */
	struct strvec files;   /* the test's, see evidence_add_file() */
	int64_t held_ns;       /* that it was held at a prompt */
	bool has_failed;       /* a test has */
	bool resets;	       /* provium.reset_between_tests */
	bool has_baseline;     /* and there is something to reset to */
	bool is_dirty;	       /* a test has run since */
	bool is_closed;	       /* the chunk is over: no more test() */
};

void suite_init(struct suite *s, struct worker *w);
void suite_done(struct suite *s);
/* What a test holds. */
void suite_test_done(struct suite_test *t);

/* test(name, [meta,] fn), todo(reason?). */
int suite_l_test(lua_State *L);
int suite_l_todo(lua_State *L);

/* Puts the tests into the order of the job's seed, if it has one. */
void suite_shuffle(struct suite *s);
/* The event that lists the selected tests. */
void suite_emit_plan(struct suite *s);
/* Whether one that will run must not run beside other files. */
bool suite_is_serial(const struct suite *s);
/* Where provium.reset_between_tests asks for it. False with f. */
bool suite_take_baseline(struct suite *s, struct failure *f);
/* Runs the selected ones. */
void suite_run(struct suite *s);

/* Marks the running test failed, unless it is already, at the author's frame
 * of L. No effect between tests. The n bytes at text are copied. */
void suite_mark(struct suite *s, lua_State *L, const char *text, size_t n);
/* The same for the test's time-out. That of a task (is_task) gives way to the
 * one of the call that waits for the tasks. */
void suite_mark_timeout(struct suite *s, lua_State *L, const char *text,
			size_t n, bool is_task);
/* The same at a place of the author's, for what went wrong while he was not
 * looking. Before the tests run, the file has failed. */
void suite_mark_at(struct suite *s, const struct site *at, const char *text);
/* Tells the parent of the running test's mark, if that decides the test and is
 * not told yet. Called before each wait, as a signal may end the worker there.
 */
void suite_tell_mark(struct suite *s);
/* Takes the running test's mark off. */
void suite_unmark(struct suite *s);
/* A guest's console shows what must not be there: marks the running test, or
 * else the file, which then fails at its next blocking call, or its end. */
void suite_alarm(struct suite *s, lua_State *L, const char *text);
/* Lets what the guests have said by now come in. */
void suite_settle(struct suite *s);
/* Gives away the file's mark: false without one. */
bool suite_take_early(struct suite *s, struct failure *ret);
/* The object after o of all that the running test can use: its own first, then
 * the file's. o NULL: the first. NULL at the end. */
struct object *suite_next(const struct suite *s, const struct object *o);
/* The running test's name, or NULL. */
const char *suite_running_name(const struct suite *s);

#endif
