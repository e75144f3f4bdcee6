/* SPDX-License-Identifier: MIT */
/*
 * Finds alarm strings in console bytes, wherever they are cut, and tells of
 * each with the line that holds it. Without I/O; private to the console.
 */
#ifndef STREAMS_CONSOLE_ALARM_H
#define STREAMS_CONSOLE_ALARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"
#include "streams/console.h"
#include "streams/match.h"

struct console_alarms {
	struct strvec texts;
	struct stream_pattern *patterns; /* of texts */
	struct match *match;		 /* NULL: no alarms */
	console_alarm_cb cb;
	void *ctx;
	struct buf line; /* of the present line, the last bytes */
	bool is_tripped; /* one was found, the rest of its line is awaited */
	size_t tripped;	 /* which */
	size_t room;	 /* how much more of the line is awaited */
};

void alarms_set(struct console_alarms *a, const char *const *texts, size_t n,
		console_alarm_cb cb, void *ctx);
void alarms_done(struct console_alarms *a);

/*
 * The next bytes. Each alarm is told once for a line, when the line ends or
 * CONSOLE_LINE_MAX further bytes have come; while is_tripped is left set, the
 * owner sees to it that alarms_flush() is called if nothing more comes.
 */
void alarms_feed(struct console_alarms *a, const uint8_t *p, size_t n);
/* Tells what was tripped, with as much of the line as there is. */
void alarms_flush(struct console_alarms *a);

#endif
