/* SPDX-License-Identifier: MIT */
/*
 * The console of one VM: owns the connected chardev from power-on, appends
 * every byte to the log file, unaltered, and lets any number of cursors read
 * that log. It does so at all times, also while the loop does not turn: a
 * thread of its own reads the chardev then. Alarms (plain strings such as
 * "Kernel panic") are found as the bytes arrive, wherever they are cut.
 *
 * Work is bounded in each loop turn and memory by windows, however much a
 * guest prints: cursors and expects read the log at their own pace, and what
 * they could not look at in one turn is gone on with in the next.
 *
 * A log that can no longer be written (disk full) goes on in memory, see
 * console_log_error(); readers go on as well.
 */
#ifndef STREAMS_CONSOLE_H
#define STREAMS_CONSOLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/buf.h"
#include "agent-proto/clock.h"
#include "agent-proto/err.h"
#include "streams/loop.h"
#include "streams/op.h"
#include "streams/stream.h"

struct console;

/* Of a line with an alarm: the most that is told before it, and after it. */
#define CONSOLE_LINE_MAX 1024
/* How long a line that holds an alarm may take to end: its rest may excuse it,
 * and a busy host stops a guest in the middle of a line. */
#define CONSOLE_LINE_WAIT_NS (1 * NS_PER_SEC)

/* An alarm string was seen; line is the console line holding it, escaped,
 * without its end. Comes once a line for each alarm, when the line is
 * complete, and after the readers were given these bytes. May free nothing of
 * the console. */
typedef void (*console_alarm_cb)(void *ctx, const char *alarm,
				 const char *line);

/* Creates (or empties) the log at log_path. */
struct console *console_new(struct loop *l, const char *log_path,
			    struct err *err);
/* Cursors end; expects and writes in flight are cancelled. The log stays. */
struct console *console_free(struct console *c);

/* What was in the log of the machine that this one was made from: stands before
 * all that comes, as if it had been read. expect() searches from boot_mark on.
 * Once, in an empty one. */
void console_continue(struct console *c, const void *p, size_t n,
		      uint64_t boot_mark);
/* Where expect() searches from: an offset in the log. */
uint64_t console_boot_mark(const struct console *c);
/* Takes a connected chardev, one at a time: the ends that are read and written,
 * also where it fails (no thread is to be had, no descriptor). Its end is EOF
 * to all cursors. 0 or a negative errno. */
int console_attach(struct console *c, int take_fd, int take_write_fd,
		   struct err *err);
/* A boot or reset happens now: what the chardev still holds is read first,
 * then expect() searches from here on (one in flight, too); cursors that are
 * open end (EOF). */
void console_mark_boot(struct console *c);
/* Fails the expects and writes in flight with err; all else goes on. Only from
 * the loop. */
void console_interrupt(struct console *c, const struct err *err);
/* Reads what the chardev still holds, then ends all cursors. */
void console_detach(struct console *c);

/*
 * Has the console served on a unix socket at path, which must be free, until
 * it is freed; once. Any number of programs (up to a limit against floods) may
 * connect. Each gets the bytes from its connection on; what it sends is
 * written to the console. The end of the chardev is EOF to it, as is a
 * connection while there is none; a boot mark is nothing. However slow it is,
 * it delays nobody. -ENAMETOOLONG, -EADDRINUSE, ...
 */
int console_listen(struct console *c, const char *path, struct err *err);

/* Replaces all alarms. Strings are copied; empty ones are ignored. */
void console_set_alarms(struct console *c, const char *const *alarms, size_t n,
			console_alarm_cb cb, void *ctx);

/* Appends the last max bytes of the log. */
void console_tail(struct console *c, struct buf *out, size_t max);
/* Appends the whole log. */
int console_read_log(struct console *c, struct buf *out, struct err *err);
uint64_t console_size(struct console *c);
/* When the guest printed last (clock_now_ns()); 0: never. */
int64_t console_last_ns(struct console *c);
/* Why the log file is incomplete; NULL when it is not. */
const struct err *console_log_error(struct console *c);

/*
 * A cursor: starts at the first byte that no earlier one has read (handed to
 * its reader, or skipped by an expect of it). It ends where the log ends when
 * no chardev is attached.
 */
struct stream *console_stream_new(struct console *c,
				  const struct stream_label *label,
				  struct stream_list *list);

/* Finishes 0 once text stands in the log since the last boot mark;
 * -ETIMEDOUT, or -EPIPE when the console ends first. text: copied. */
struct console_expect {
	struct op op;
	struct console *console;
	uint8_t *text;
	size_t n;
	uint64_t scanned; /* log offset up to which it was searched */
	void *matcher;	  /* the console's */
	uint64_t turn;	  /* the console's */
	TAILQ_ENTRY(console_expect) link;
};
void console_expect_start(struct console_expect *x, struct console *c,
			  const void *text, size_t n, int64_t deadline_ns);
void console_expect_done(struct console_expect *x);

/* Finishes with 0 when all bytes were taken by QEMU, in the order of the
 * calls; p is copied. -EPIPE when there is no chardev, or it ends. */
struct console_write {
	struct op op;
	struct console *console;
	struct buf bytes;
	uint64_t turn; /* the console's */
	bool is_kept;  /* not a caller's: no interrupt ends it */
	TAILQ_ENTRY(console_write) link;
};
void console_write_start(struct console_write *w, struct console *c,
			 const void *p, size_t n, int64_t deadline_ns);
void console_write_done(struct console_write *w);

#endif
