/* SPDX-License-Identifier: MIT */
/* Inside the session: what its files share. Nobody else includes this. */
#ifndef AGENT_PROTO_SESSION_IMPL_H
#define AGENT_PROTO_SESSION_IMPL_H

#include <sys/queue.h>

#include "agent-proto/session.h"

/* Whatever window a peer announces, no more is queued for it a channel. */
#define WINDOW_MAX (16u << 20)
/* Credit is returned in portions of this, to keep CREDIT frames rare. */
#define CREDIT_MIN   (CHAN_WINDOW / 4)

#define CHAN_BUCKETS 1024

/* The read buffer: what keeps its place is at most a frame and a marker. */
#define INPUT_SIZE (4 * FRAME_PAYLOAD_MAX)

/* One message or one write, on its way out. */
struct item {
	STAILQ_ENTRY(item) next;
	uint32_t len;
	uint32_t sent;
	enum frame_kind kind; /* MSG or DATA */
	bool fin;
	bool open;
	uint8_t bytes[];
};

STAILQ_HEAD(item_list, item);
TAILQ_HEAD(chan_list, chan);

struct chan {
	struct session *s;
	struct chan *hash_next;
	uint32_t id;
	void *ctx;
	bool announced; /* agent: opened() was called; host: OPEN was sent */

	/* Which list of the session it waits in, or NULL. */
	TAILQ_ENTRY(chan) queue_link;
	struct chan_list *queue;

	struct item_list items;
	size_t room;  /* credit left */
	bool starved; /* a chan_write() took less than offered */
	bool fin_queued;
	bool fin_sent;

	size_t held;	/* data given to the owner, not used up yet */
	size_t allowed; /* what the peer may still send */
	size_t owed;	/* used up, not told the peer yet */
	bool owes;	/* in the session's list of those to tell */
	TAILQ_ENTRY(chan) credit_link;
	struct buf partial;	     /* the message being received */
	enum frame_kind in_progress; /* MSG or DATA: MORE was set; else 0 */
	bool fin_received;

	bool dead; /* closed, not reported yet */
	int reason;
};

enum session_state {
	SESSION_IDLE, /* host: nothing was asked for; input is dropped */
	SESSION_HUNT, /* waits for a HELLO, drops everything else */
	SESSION_OPEN,
};

struct session {
	enum session_role role;
	enum session_state state;
	uint64_t nonce;	   /* host: of the HELLO sent */
	uint64_t instance; /* agent: ours */
	const struct session_ops *ops;
	void *ctx;

	/*
	 * input[start..end) is not parsed; no HELLO begins in input[..scan).
	 * What is before the smaller of start and scan can be overwritten.
	 */
	uint8_t *input;
	size_t start;
	size_t end;
	size_t scan;

	struct chan *chans[CHAN_BUCKETS];
	size_t n_chans;
	uint32_t next_id;
	size_t window;	     /* the peer's: what a channel may send at first */
	size_t partial;	     /* bytes of half-received messages */
	struct chan *active; /* whose frame is being handled; NULL once gone */

	struct buf control;	  /* encoded HELLO and RESET frames */
	struct chan_list credits; /* those that owe credit */
	struct chan_list small;	  /* next is a message of one frame */
	struct chan_list big;	  /* of several; or an open behind such */
	struct chan_list bulk;	  /* next is data */
	struct chan_list dead;	  /* closed(), when input comes next */
};

/* chan.c */
struct chan *chan_new(struct session *s, uint32_t id);
struct chan *chan_find(const struct session *s, uint32_t id);
/* Unlinks and frees; says nothing to anybody. */
void chan_destroy(struct chan *ch);
/* Takes it out of the session; closed(reason) is due. */
void chan_kill(struct chan *ch, int reason);
/* Puts it into the list that its first item asks for, at the end or, to go on
 * with a message, at the front. */
void chan_enqueue(struct chan *ch, bool at_front);
void chan_dequeue(struct chan *ch);
void chan_drop_item(struct chan *ch);

/* session.c */
/* Calls closed() for each dead channel and frees it. */
void session_reap(struct session *s);
void session_kill_all(struct session *s, int reason);

/* session_in.c */
/* One frame and its payload. Returns 0 or -EPROTO with err filled. */
int session_dispatch(struct session *s, const struct frame *f, const uint8_t *p,
		     struct err *err);

/* session_out.c */
void control_hello(struct session *s, uint64_t nonce, uint64_t instance);
void control_reset(struct session *s, uint32_t id);

#endif
