/* SPDX-License-Identifier: MIT */
/*
 * A mark in the output of a worker stands where the worker sent an event.
 * Events and output take different ways to the parent, which finds their order
 * by the marks. A mark holds 128 random bits that no test knows, and the number
 * of its event, counted from 1.
 */
#ifndef RUNNER_OUTPUT_MARK_H
#define RUNNER_OUTPUT_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a mark with the newline that ends it; so many are written in one
 * piece (PIPE_BUF). */
#define OUTPUT_MARK_N 50

struct output_mark {
	char token[33]; /* hexadecimal */
};

/* Draws the random bits. */
void output_mark_init(struct output_mark *m);
/* Writes the mark of event n to the pipe fd, and waits for room in it. Where
 * the pipe is broken, nobody reads, and nothing is done. */
void output_mark_write(const struct output_mark *m, int fd, uint64_t n);
/* Whether the line, n bytes without its newline, ends in a mark. If it does,
 * *ret_event is the mark's event, and *ret_before the number of bytes before
 * the mark. */
bool output_mark_find(const struct output_mark *m, const char *line, size_t n,
		      uint64_t *ret_event, size_t *ret_before);

#endif
