/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the console share: console.c has the chardev and the
 * log, console_read.c those who read the log.
 */
#ifndef STREAMS_CONSOLE_PRIVATE_H
#define STREAMS_CONSOLE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "streams/console.h"
#include "streams/console_alarm.h"
#include "streams/console_drain.h"
#include "streams/console_log.h"
#include "streams/loop.h"

struct console_server;
struct cursor;
TAILQ_HEAD(cursor_list, cursor);
TAILQ_HEAD(expect_list, console_expect);
TAILQ_HEAD(write_list, console_write);

struct console {
	struct loop *loop; /* borrowed */
	struct console_log log;
	int fd;		/* what the chardev prints, -1: there is none */
	int write_fd;	/* what it reads */
	int read_errno; /* of the read that ended it, 0: an end of file */
	struct watch *watch;
	struct watch *write_watch;
	struct console_drain *drain; /* of fd */
	struct loop_sentry sentry;   /* while there is a drain */
	struct timer *catch_up_timer;
	uint64_t seen; /* log offset up to which alarms and readers were fed */
	struct console_alarms alarms;
	struct timer *alarm_timer;
	struct timer *serve_timer; /* some reader has not seen all yet */
	uint64_t boot_mark;	   /* log offset */
	uint64_t unread; /* log offset up to which closed cursors have read */
	uint64_t turn;	 /* of serving, so that each reader gets one go */
	struct cursor_list cursors;
	struct expect_list expects;
	struct write_list writes;
	struct console_server *server; /* NULL: none */
	bool is_freed;		       /* see the theory of operation */
	uint8_t *in;	    /* a block each: that the alarms are to see, */
	uint8_t *out;	    /* that a reader is given */
	struct err log_err; /* what console_log_error() returns */
};

/* Gives every reader what it has not seen. */
void console_serve(struct console *c);
/* Ends cursors where the log ends now. */
void console_end_cursors(struct console *c);
/* Fails the expects in flight; it is a turn of its own. */
void console_interrupt_expects(struct console *c, const struct err *err);
/* Expects in flight search from the boot mark on. */
void console_restart_expects(struct console *c);
/* For console_free(): leaves no reader that knows of the console. */
void console_drop_readers(struct console *c);

#endif
