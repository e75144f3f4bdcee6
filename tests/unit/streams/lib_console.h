/* SPDX-License-Identifier: MIT */
/* A console on a socketpair, whose other end is the test's. */
#ifndef TESTS_UNIT_STREAMS_LIB_CONSOLE_H
#define TESTS_UNIT_STREAMS_LIB_CONSOLE_H

#include "agent-proto/buf.h"
#include "streams/console.h"
#include "tests/unit/tmp.h"

struct desk {
	struct loop *loop;
	struct console *con;
	char path[TMP_PATH_MAX];
	int qemu;	   /* the other end of the chardev, -1: none */
	struct buf alarms; /* "ALARM|LINE\n" for each */
};

extern const struct stream_label desk_label;

int desk_set_up(void **state);
int desk_tear_down(void **state);

void plug(struct desk *d);
void unplug(struct desk *d);
/* The guest prints, provium reads. */
void print_bytes(struct desk *d, const void *p, size_t n);
void print(struct desk *d, const char *text);

#endif
