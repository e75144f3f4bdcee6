/* SPDX-License-Identifier: MIT */
/*
 * Each call that a test made and waited for, in their order. runner/trail.h
 * has a few places of them, for the short report; this is for the long one.
 */
#ifndef RUNNER_CALL_LOG_H
#define RUNNER_CALL_LOG_H

#include <jansson.h>
#include <lua.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_LOG_MAX	  1000 /* calls; the oldest one makes room */
#define CALL_LOG_NOTE_MAX 500  /* bytes of a note */

/* Zeroed: empty. */
struct call_log {
	struct call_log_entry *entries; /* owned ring of `cap` */
	size_t cap;
	size_t n;	  /* calls in the ring */
	size_t first;	  /* index of the oldest one */
	uint64_t dropped; /* calls that made room */
	int64_t began_ns; /* clock_now_ns(): where the times count from */
};

void call_log_done(struct call_log *l);
/* Drops all calls. Times count from now_ns on. */
void call_log_begin(struct call_log *l, int64_t now_ns);
/* Adds the author's call of L that began at started_ns and ends now. method is
 * static. note: its subject and its result in one line, copied; or NULL. */
void call_log_add(struct call_log *l, lua_State *L, const char *method,
		  int64_t started_ns, const char *note);
/* An array of the shape `made` in docs/events.md, oldest call first; owned. */
json_t *call_log_json(const struct call_log *l);

#endif
