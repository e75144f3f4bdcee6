/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the engine share: stream.c has the stream and the
 * source's side, stream_wait.c those who wait for its bytes.
 */
#ifndef STREAMS_STREAM_PRIVATE_H
#define STREAMS_STREAM_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/err.h"
#include "streams/pending.h"
#include "streams/stream.h"

struct stream {
	TAILQ_ENTRY(stream) link;
	struct loop *loop;	  /* borrowed */
	struct stream_list *list; /* borrowed; NULL: none */
	enum stream_type type;
	struct stream_label label; /* owned strings */
	const struct stream_source *source;
	void *source_ctx;
	struct pending q;
	uint64_t credit; /* offset up to which the source was paid */
	uint64_t taken;
	uint64_t work;
	struct stream_wait *waiter; /* borrowed; running, or held */
	bool is_ended;
	bool is_closed;
	bool is_interrupted; /* but its waiter was not yet told */
	struct err broken;   /* code 0: an honest end */
};

static inline bool stream_is_waited(const struct stream *s)
{
	return s->waiter && !s->waiter->is_held;
}

/* Bytes or the end have come: finishes the waiter or pays for more. Each of
 * these may run the reader's code, so nothing is touched after it. */
void stream_progress(struct stream *s);
/* The stream broke: finishes the waiter with the reason. */
void stream_fail_waiter(struct stream *s);
/* w, which is held or about to finish, takes what is due. */
void stream_settle(struct stream *s, struct stream_wait *w);
/* Ends w, which is off the stream already, as a call on a closed one ends. */
void stream_finish_closed(struct stream *s, struct stream_wait *w);

#endif
