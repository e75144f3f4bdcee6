/* SPDX-License-Identifier: MIT */
/*
 * Text that came from outside, made fit for a report: valid UTF-8, and
 * nothing in it that a terminal would obey.
 */
#ifndef RUNNER_TEXT_H
#define RUNNER_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"

/* Length of the valid UTF-8 sequence at s[0..n), 0 if there is none. n > 0.
 * ret_code may be NULL. */
size_t text_utf8(const char *s, size_t n, uint32_t *ret_code);

/*
 * Appends s for one line of a terminal: control bytes, invalid UTF-8 and
 * characters that reorder text become escapes such as \x1b, tabs become
 * spaces; colour sequences are left out.
 */
void text_escape(struct buf *out, const char *s, size_t n);

/* An owned copy of the n bytes at s that is a C string: a NUL byte in it is
 * shown as \x00. */
char *text_c_string(const char *s, size_t n);

/* The candidate that s most likely meant, or NULL: few edits, fewer than half
 * of it. The vector ends in NULL. */
const char *text_nearest(const char *s, const char *const *candidates);

/* The candidate that s is a misspelling of, or NULL: it is one edit away, or
 * differs in case and underscores only. For use where other words are legal.
 * "flow" is one, no misspelt "slow": in a candidate of up to four letters, a
 * replaced letter is no misspelling. */
const char *text_misspelt(const char *s, const char *const *candidates);

#endif
