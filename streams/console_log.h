/* SPDX-License-Identifier: MIT */
/*
 * The log of a console: a file that is only ever appended to and can be read
 * from any offset. When the file cannot be written any more (disk full), the
 * log goes on in memory behind it, which holds the newest CONSOLE_MEMORY_MAX
 * bytes: between the two there is then a gap, which readers skip. A line at its
 * end says how much is missing, and why.
 *
 * One thread at a time appends; another may read meanwhile.
 *
 * Private to the console.
 */
#ifndef STREAMS_CONSOLE_LOG_H
#define STREAMS_CONSOLE_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

#define CONSOLE_MEMORY_MAX ((size_t)16 << 20)

struct console_log {
	int fd;
	pthread_mutex_t mutex; /* guards all that follows */
	uint64_t file_size;
	uint64_t size;	   /* bytes ever appended */
	int64_t last_ns;   /* when the last ones were; 0: never */
	struct buf memory; /* the last ones; empty while the file can be
			      written */
	struct err err;	   /* why it cannot; code 0: it can */
};

/* Creates or empties the file. */
int console_log_open(struct console_log *log, const char *path,
		     struct err *err);
void console_log_done(struct console_log *log);

void console_log_append(struct console_log *log, const uint8_t *p, size_t n);

/* When bytes were appended last (clock_now_ns()); 0: never. */
int64_t console_log_last_ns(struct console_log *log);
/* Bytes that were ever appended. */
uint64_t console_log_size(struct console_log *log);
/* Copies why the file cannot be written or read; false: it can. */
bool console_log_broken(struct console_log *log, struct err *ret);

/* Copies up to n bytes from *at on, and moves *at behind them, and before
 * over a gap. Returns how many; 0 at the end, or where the file cannot be
 * read (console_log_broken() then says why). */
size_t console_log_read(struct console_log *log, uint64_t *at, uint8_t *out,
			size_t n);

#endif
