/* SPDX-License-Identifier: MIT */
/*
 * Errors are values. A fallible function returns 0 or a negative errno; if a
 * person will read the reason, its last parameter is a struct err that it
 * fills exactly when it returns a negative number:
 *
 *	return err_set(err, -errno, "cannot open '%s': %s", path,
 *	    strerror(errno));
 *
 * Callers add context from the outside in: err_wrap(err, "starting VM %s", n)
 * turns "X" into "starting VM a: X". No heap is involved; long messages are
 * cut at ERR_TEXT_MAX.
 */
#ifndef AGENT_PROTO_ERR_H
#define AGENT_PROTO_ERR_H

/* Holds an excerpt of 200 bytes of which each is escaped to four. */
#define ERR_TEXT_MAX 1536

struct err {
	int code; /* negative errno, 0: no error */
	char text[ERR_TEXT_MAX];
};

/* Fills err (which may be NULL) and returns code, which must be < 0. */
int err_set(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the text and returns err->code. */
int err_wrap(struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void err_clear(struct err *err);

#endif
