/* SPDX-License-Identifier: MIT */
/*
 * One end of a session under test: what its session tells is written down as
 * text, "opened 1; msg 1 hi; data 1 abc+; fin 1; closed 1 0", which a test
 * compares. Payloads above 16 bytes appear as #length; + is the more flag.
 */
#ifndef TESTS_LIB_END_H
#define TESTS_LIB_END_H

#include "agent-proto/session.h"

#define END_CHANS 256

struct end {
	struct session *s;
	enum session_role role;
	uint64_t instance;
	struct buf log;
	struct chan *chans[END_CHANS]; /* the live ones, by id */
	bool holds;		       /* data is not consumed as it comes */
	/* Called inside each callback after it was written down; NULL: no. */
	void (*hook)(struct end *e, const char *event, struct chan *ch);
	void *hook_ctx;
	unsigned n_established;
	unsigned n_opened;
	unsigned n_closed;
	size_t n_data;
};

void end_init(struct end *e, enum session_role role, uint64_t instance);
void end_done(struct end *e);
/* The agent is started anew: a fresh session, nothing written down. */
void end_restart(struct end *e);

/* Feeds bytes in reads of at most `split` (0: as much as there is room).
 * Returns the first error, and fills err with it if not NULL. */
int end_feed(struct end *e, const void *p, size_t n, size_t split,
	     struct err *err);
int end_feed_frame(struct end *e, enum frame_kind kind, uint32_t id,
		   unsigned flags, const void *p, size_t n);
int end_feed_hello(struct end *e, uint32_t version, uint64_t nonce,
		   uint32_t window);

/* All output there is, appended. */
void end_take(struct end *e, struct buf *out);
/* Carries bytes both ways until neither end has any. */
void end_pump(struct end *a, struct end *b);
/* Host and agent, initialised and with their HELLOs exchanged, logs empty. */
void end_connect(struct end *host, struct end *agent);

/* Compares what was written down with want, and forgets it. */
void end_expect(struct end *e, const char *want);
/* Compares the output with want: "HELLO; MSG 1 open fin #5; DATA 1 more #9",
 * and drops it. */
void end_expect_output(struct end *e, const char *want);

/* A channel opened with a text for a message. */
struct chan *end_open(struct end *host, const char *text, bool fin);
void end_send(struct chan *ch, const char *text, bool fin);

#endif
