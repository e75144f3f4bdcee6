/* SPDX-License-Identifier: MIT */
/*
 * Tail: a stream whose source is a data channel of the agent.
 */
#ifndef STREAMS_TAIL_H
#define STREAMS_TAIL_H

#include "agent-proto/msg.h"
#include "streams/client.h"
#include "streams/op.h"
#include "streams/stream.h"

/*
 * Opens the channel with req (TAIL, TAIL_HANDLE, FD_STREAM, PROC_OUTPUT) and
 * finishes with 0 when the agent has fixed the position: t->stream is then
 * the caller's to take (set the field to NULL). A refusal finishes with the
 * guest's -errno. The stream counts as open, in list, from the start.
 */
struct tail_open {
	struct op op;
	struct stream *stream; /* owned until taken */
	int64_t start;	       /* the DONE value */
	void *source;	       /* private */
};

void tail_open_start(struct tail_open *t, struct client *c,
		     const struct msg *req, const struct stream_label *label,
		     struct stream_list *list, int64_t deadline_ns);
/* Cancels if in flight, frees what was not taken. */
void tail_open_done(struct tail_open *t);

#endif
