/* SPDX-License-Identifier: MIT */
/*
 * What an event holds, as a table: docs/events.md explains the same fields, and
 * a test holds the two against each other. Bytes from outside (an events file)
 * are checked against it, so that no reporter meets a member of another type.
 */
#ifndef RUNNER_EVENT_SCHEMA_H
#define RUNNER_EVENT_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>

#include "agent-proto/err.h"

enum event_type {
	EVENT_STRING,
	EVENT_INTEGER,
	EVENT_NUMBER,
	EVENT_TIME,    /* a number of seconds, 0 or more */
	EVENT_ANY,     /* whatever the author put there */
	EVENT_STRINGS, /* array of strings */
	EVENT_OBJECT,  /* of the shape `of` */
	EVENT_LIST,    /* array of objects of the shape `of` */
	EVENT_STATUS,  /* "passed", "failed" or "skipped" */
};

struct event_field {
	const char *owner; /* the event, or the shape of an object in one */
	const char *name;
	enum event_type type;
	const char *of; /* for EVENT_OBJECT and EVENT_LIST */
	bool is_required;
};

/* Ends in an entry without an owner. Fields of every event have owner "*". */
extern const struct event_field event_fields[];

/* The word for it in docs/events.md. */
const char *event_type_name(enum event_type type);

/* 0 for an event of the schema, and for one whose name is unknown (a later
 * version may have more); else -EBADMSG and err names the member. */
int event_check(const json_t *ev, struct err *err);

#endif
