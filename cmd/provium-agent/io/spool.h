/* SPDX-License-Identifier: MIT */
/*
 * The spool of one output of a process: everything it wrote from byte 0, so
 * that a stream opened late misses nothing, up to a bound. Beyond the bound:
 *
 *	a reader was announced   the pipe is not read: the process blocks
 *	it is new, no reader     the same, until SPOOL_GRACE_NS after its
 *	                         start: a reader may be on its way
 *	readers                  the same, but for what all of them have
 *	                         consumed, which is dropped
 *	no reader                the oldest bytes are dropped: the process
 *	                         goes on, and the newest SPOOL_MAX are kept
 *	the handle released      all bytes are dropped: nobody can ask for them
 *
 * If all spools together reach their bound, the longest one without a reader
 * loses its oldest bytes.
 */
#ifndef AGENT_SPOOL_H
#define AGENT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/clock.h"
#include "cmd/provium-agent/core/task.h"
#include "cmd/provium-agent/core/watch.h"

#define SPOOL_MAX MSG_OUTPUT_KEPT_MAX
/* Bytes that each output may keep, whatever others do. */
#define SPOOL_MIN (64u << 10)
/* All spools together, beyond their SPOOL_MIN: a part of the memory. A worker
 * has spools of its own, and there may be many workers. */
#define SPOOL_SHARE	   4
#define SPOOL_WORKER_SHARE 32
#define SPOOL_TOTAL_MIN	   (4u << 20)
#define SPOOL_TOTAL_MAX	   (256u << 20)

/* A test that starts a process and opens its output next asks for it within
 * milliseconds; a busy host takes longer. */
#define SPOOL_GRACE_NS NS_PER_SEC

struct spool_chunk;
struct spool_reader;
struct spool;

/* Shared by all spools. */
struct spool_budget {
	uint64_t max;
	uint64_t used;
	TAILQ_HEAD(spool_list, spool) full; /* whose pipe is not read */
	TAILQ_HEAD(spool_all_list, spool) all;
};

struct spool {
	STAILQ_HEAD(spool_chunk_list, spool_chunk) chunks;
	struct spool_chunk *last; /* of them, or NULL */
	TAILQ_HEAD(spool_reader_list, spool_reader) readers;
	TAILQ_ENTRY(spool) full_link;
	TAILQ_ENTRY(spool) all_link;
	struct spool_budget *budget;
	struct server *srv;
	struct watch w;
	int fd; /* owned; -1: at end of file */
	bool is_full;
	bool awaits_reader;   /* nothing is dropped before the first reader */
	int64_t grace_end_ns; /* nor before this time; 0: no grace (any more) */
	struct watch grace;   /* of grace_fd */
	int grace_fd;	/* timer of a spool that is full in its grace, or -1 */
	bool abandoned; /* no reader can come any more */
	bool exited;	/* the process has */
	uint64_t base;	/* offset of the first byte kept */
	uint64_t end;	/* bytes read so far */
	uint64_t exit_mark; /* what was written when it exited */
	uint64_t held;	    /* memory of the chunks */
	void *owner;
	/* The pipe is at its end; may free the spool and its owner. */
	void (*on_eof)(struct spool *sp);
};

/* is_worker: the budget is for the processes of a worker. */
void spool_budget_init(struct spool_budget *b, bool is_worker);

/* Starts to read the pipe take_fd, which must be non-blocking. */
void spool_init(struct spool *sp, struct server *srv, struct spool_budget *b,
		int take_fd, void (*on_eof)(struct spool *sp));
/* There are no readers left. */
void spool_done(struct spool *sp);

/* The process was reaped: readers "until exit" now know where to end. */
void spool_mark_exit(struct spool *sp);
/* No reader will be added any more. */
void spool_abandon(struct spool *sp);
/* Announces a reader: every byte is kept until it comes. */
void spool_await_reader(struct spool *sp);

/* Answers r with DONE and the output from the first byte kept. on_gone is
 * called when the reader is gone. */
void spool_add_reader(struct spool *sp, const struct req *r, bool until_exit,
		      void (*on_gone)(void *ctx), void *ctx);

#endif
