/* SPDX-License-Identifier: MIT */
#include "runner/output_mark.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "streams/io.h"

#define NUMBER_N 16 /* hexadecimal digits */

/* A control character, which few outputs hold; token, number, newline. */
static_assert(OUTPUT_MARK_N == 1 + 32 + NUMBER_N + 1, "the parts of a mark");
static_assert(OUTPUT_MARK_N <= PIPE_BUF, "one write is one piece");

void output_mark_init(struct output_mark *m)
{
	uint64_t random[2] = {0};

	/* Without entropy the token is all zeros, which a test could print. */
	if (getrandom(random, sizeof(random), GRND_NONBLOCK) < 0)
		random[0] = 0;
	snprintf(m->token, sizeof(m->token), "%016" PRIx64 "%016" PRIx64,
		 random[0], random[1]);
}

void output_mark_write(const struct output_mark *m, int fd, uint64_t n)
{
	char text[OUTPUT_MARK_N + 1];
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	snprintf(text, sizeof(text), "\036%s%016" PRIx64 "\n", m->token, n);
	/* A child may have made the pipe, which it shares, non-blocking. */
	while (io_write_some(fd, text, OUTPUT_MARK_N) < 0)
		if (errno != EINTR && (errno != EAGAIN || poll(&p, 1, -1) < 0))
			return;
}

bool output_mark_find(const struct output_mark *m, const char *line, size_t n,
		      uint64_t *ret_event, size_t *ret_before)
{
	size_t token_n = strlen(m->token), all = 1 + token_n + NUMBER_N;
	char number[NUMBER_N + 1];
	const char *mark;

	if (n < all)
		return false;
	mark = line + n - all;
	if (*mark != '\036' || memcmp(mark + 1, m->token, token_n) != 0)
		return false;
	memcpy(number, mark + 1 + token_n, NUMBER_N);
	number[NUMBER_N] = '\0';
	*ret_event = strtoull(number, NULL, 16);
	*ret_before = n - all;
	return true;
}
