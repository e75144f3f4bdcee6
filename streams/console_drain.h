/* SPDX-License-Identifier: MIT */
/*
 * Reads a chardev into the console's log. Two threads can do that: the loop's,
 * in a turn; and one of the drain's own, while the loop's thread is elsewhere
 * (Lua computes, or a program runs in os.execute()). So a guest never waits for
 * a test, and memory stays bounded: what was read is in the log's file.
 *
 * At any time just one of the two reads. The loop's thread says who. In a turn
 * the drain's thread stands still, so the order in which the loop hears of the
 * console and of other things is that of one thread.
 *
 * Private to the console.
 */
#ifndef STREAMS_CONSOLE_DRAIN_H
#define STREAMS_CONSOLE_DRAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent-proto/err.h"
#include "streams/console_log.h"

/* Bytes that one read takes at the most. */
#define CONSOLE_BLOCK ((size_t)64 << 10)

struct console_drain;

/* Starts the thread. fd, which is made non-blocking, and log are borrowed. The
 * caller reads first. NULL where there is no thread or descriptor to be had. */
struct console_drain *console_drain_new(int fd, struct console_log *log,
					struct err *err);
/* Ends the thread. What the chardev still holds is not read. */
struct console_drain *console_drain_free(struct console_drain *d);

/* From now on the thread reads. */
void console_drain_let_go(struct console_drain *d);
/* From now on the caller reads: waits until the block that the thread has in
 * hand, if any, is in the log. Returns whether it was the thread's turn. */
bool console_drain_take_over(struct console_drain *d);

/* For the one who reads: a block (CONSOLE_BLOCK), which is put into out and
 * appended to the log. Returns its bytes; 0 when nothing is there; -1 at the
 * chardev's end. */
ssize_t console_drain_read(struct console_drain *d, uint8_t *out);
/* The errno of the read that ended the chardev; 0: an end of file, or it has
 * not ended. */
int console_drain_errno(const struct console_drain *d);

#endif
