/* SPDX-License-Identifier: MIT */
/*
 * What a wait for bytes says when it fails, the same for streams and the
 * console. Private to streams/.
 */
#ifndef STREAMS_WAIT_TEXT_H
#define STREAMS_WAIT_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "streams/match.h"

struct wait_text {
	const char *verb; /* "expect" */
	const struct stream_pattern *patterns;
	size_t n_patterns;
	const uint8_t *tail; /* the last bytes there are */
	size_t tail_n;
	const struct buf *held_up; /* stream_list_tell_held_up(); or NULL */
};

/* "expect timed out waiting for `X`; last bytes: "..."": -ETIMEDOUT. */
int wait_text_timeout(struct err *err, const struct wait_text *t);
/* "WHAT: expect was waiting for `X`; last bytes: "..."": code. */
int wait_text_broken(struct err *err, int code, const char *what,
		     const struct wait_text *t);

/* Appends "last bytes: "..."", or "nothing is pending". */
void wait_text_excerpt(struct buf *out, const uint8_t *tail, size_t n);

#endif
