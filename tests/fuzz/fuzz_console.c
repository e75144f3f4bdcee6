/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as alarms (a length byte and so many bytes each, up to a length of
 * 0) and then as what a console prints, cut into pieces: what is told is the
 * same however it is cut, in lines that a terminal may be shown.
 */
#include <assert.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "streams/console_alarm.h"

#define ALARMS 8

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void on_alarm(void *ctx, const char *alarm, const char *line)
{
	struct buf *told = ctx;

	for (const char *c = line; *c; c++)
		assert(*c >= ' ' && *c <= '~');
	buf_append(told, alarm, strlen(alarm) + 1);
	buf_append(told, line, strlen(line) + 1);
}

static void print(struct buf *told, const char *const *alarms, size_t count,
		  const uint8_t *p, size_t n, size_t piece)
{
	struct console_alarms a = {0};

	alarms_set(&a, alarms, count, on_alarm, told);
	while (n) {
		size_t k = n < piece ? n : piece;

		alarms_feed(&a, p, k);
		p += k;
		n -= k;
	}
	alarms_flush(&a);
	alarms_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char text[ALARMS][UINT8_MAX + 1];
	const char *alarms[ALARMS];
	struct buf whole = {0}, cut = {0};
	size_t count = 0;

	while (count < ALARMS && n && *p && *p < n) {
		memcpy(text[count], p + 1, *p);
		text[count][*p] = '\0';
		alarms[count] = text[count];
		count++;
		n -= 1 + (size_t)*p;
		p += 1 + *p;
	}
	if (!count || n < 2)
		return 0;
	print(&whole, alarms, count, p + 2, n - 2, n);
	print(&cut, alarms, count, p + 2, n - 2, 1 + (size_t)p[1] % 64);
	assert(whole.len == cut.len);
	assert(!whole.len ||
	       !memcmp(buf_data(&whole), buf_data(&cut), whole.len));
	buf_done(&whole);
	buf_done(&cut);
	return 0;
}
