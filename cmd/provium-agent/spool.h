/* SPDX-License-Identifier: MIT */
/*
 * The spool of one output of a process: everything it wrote from byte 0, so
 * that a stream opened late misses nothing, up to a bound. Beyond the bound:
 *
 *	no reader ever        the pipe is not read: the process blocks
 *	readers               what all of them have consumed is dropped, and a
 *	                      reader that wants it from byte 0 comes too late
 *	the last reader left, replay no longer possible
 *	                      the oldest is dropped, so that the process goes on
 *	the handle released   all of it is: nobody can ask for it
 */
#ifndef AGENT_SPOOL_H
#define AGENT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "cmd/provium-agent/server.h"

#define SPOOL_MAX (8u << 20)  /* retained per output */
#define SPOOL_MIN (64u << 10) /* what each may retain whatever others do */
/* All spools together, beyond their SPOOL_MIN: a part of the memory. */
#define SPOOL_SHARE	8
#define SPOOL_TOTAL_MIN (4u << 20)
#define SPOOL_TOTAL_MAX (256u << 20)

struct spool_chunk;
struct spool_reader;
struct spool;

/* Shared by all spools. */
struct spool_budget {
	uint64_t max;
	uint64_t used;
	TAILQ_HEAD(spool_list, spool) full; /* whose pipe is not read */
};

struct spool {
	STAILQ_HEAD(spool_chunk_list, spool_chunk) chunks;
	struct spool_chunk *last; /* of them, or NULL */
	TAILQ_HEAD(spool_reader_list, spool_reader) readers;
	TAILQ_ENTRY(spool) full_link;
	struct spool_budget *budget;
	struct server *srv;
	struct watch w;
	int fd; /* owned; -1: at end of file */
	bool is_full;
	bool abandoned;	    /* no reader can come any more */
	bool exited;	    /* the process has */
	uint64_t base;	    /* offset of the first byte kept */
	uint64_t end;	    /* bytes read so far */
	uint64_t exit_mark; /* what was written when it exited */
	uint64_t held;	    /* memory of the chunks */
	void *owner;
	/* The pipe is at its end; may free the spool and its owner. */
	void (*on_eof)(struct spool *sp);
};

void spool_budget_init(struct spool_budget *b);

/* Starts to read the pipe take_fd, which must be non-blocking. */
void spool_init(struct spool *sp, struct server *srv, struct spool_budget *b,
		int take_fd, void (*on_eof)(struct spool *sp));
/* There are no readers left. */
void spool_done(struct spool *sp);

/* The process was reaped: readers "until exit" now know where to end. */
void spool_mark_exit(struct spool *sp);
/* No reader will be added any more. */
void spool_abandon(struct spool *sp);

/* Answers r with DONE and the output from the first byte kept. on_gone is
 * called when the reader is gone. */
void spool_add_reader(struct spool *sp, const struct req *r, bool until_exit,
		      void (*on_gone)(void *ctx), void *ctx);

#endif
