/* SPDX-License-Identifier: MIT */
/*
 * Transfers: bytes from a file descriptor into a channel (a source) and from
 * a channel into a file descriptor (a sink). Neither ever blocks on a
 * descriptor that poll(2) can speak for, and neither changes its flags, which
 * it may share with others.
 */
#ifndef AGENT_XFER_H
#define AGENT_XFER_H

#include "agent-proto/buf.h"
#include "agent-proto/sparse.h"
#include "cmd/provium-agent/core/task.h"
#include "cmd/provium-agent/core/watch.h"

/* Waiting for an fd that may be in the loop already: under a dup of it. */
struct xfer_wait {
	struct watch w;
	int fd; /* owned, -1: none yet */
};

struct source {
	struct task t;
	struct xfer_wait wait;
	int fd;
	bool owns_fd;
	char *label;	 /* owned: "read '/x'" */
	uint64_t left;	 /* bytes still wanted */
	struct buf rest; /* read, but there was no room to send it */
	bool at_end;	 /* nothing comes after rest */
	bool skipped;	 /* the last read told of a gap in a device's log */
	bool is_sparse;	 /* sends records, see sparse.h */
	bool can_seek;	 /* a regular file, where holes are looked for */
	uint64_t pos;	 /* of a regular file */
	struct sparse_map map;
	/* The last call: free what the source is embedded in. */
	void (*on_stop)(struct source *s);
};

extern const struct task_ops source_ops;
/* Fill fd, owns_fd, left and on_stop, task_start() with source_ops, then: */
void source_init(struct source *s, char *take_label);
/* Answers DONE with value and lets the bytes flow, then fin. */
void source_go(struct source *s, int64_t value);
/* Answers r with DONE value and everything that fd gives, as records where it
 * is_sparse. */
void source_start(const struct req *r, int take_fd, bool is_sparse,
		  int64_t value, char *take_label);

struct sink {
	struct task t;
	struct xfer_wait wait;
	int fd;
	bool owns_fd;
	char *label;
	struct buf pending; /* arrived, not yet written */
	bool partial;	    /* the rest of the peer's write is to come */
	bool fin;
	bool going;
	bool asks_first;  /* poll before each write */
	size_t write_max; /* what a writable fd takes without blocking */
	int64_t written;
	bool is_sparse;	       /* gets records, see sparse.h */
	bool is_regular;       /* holes are left out, not written */
	uint64_t zeros;	       /* of a hole, still to be written */
	struct xfer_wait turn; /* for the next turn of the loop: an eventfd */
	int32_t perm;	       /* to be set at the end; -1: none */
	struct sparse_reader records;
	void (*on_stop)(struct sink *s);
};

extern const struct task_ops sink_ops;
void sink_init(struct sink *s, char *take_label);
/* Starts to write; what arrived before was kept. Answers DONE at the end. May
 * end, and free, the sink at once. */
void sink_go(struct sink *s);

#endif
