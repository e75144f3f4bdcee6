/* SPDX-License-Identifier: MIT */
/*
 * A status line on a real pty. A screen of one line, replayed from what was
 * written, holds what a person would have seen. A line that is longer than the
 * screen is wide goes on in the next row, also where the screen became narrower
 * after the line was written.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"
#include "runner/report.h"
#include "tests/unit/runner/lib_say.h"

#define COLUMNS 40

struct terminal {
	int fd; /* the master */
	struct page p;
	struct buf lines; /* what has scrolled by */
	struct buf last;  /* the line that the cursor is on */
	size_t cursor;	  /* bytes of it before the cursor */
	size_t columns;
};

static void resize(struct terminal *t, unsigned short columns)
{
	struct winsize size = {.ws_row = 24, .ws_col = columns};

	assert_int_equal(ioctl(t->fd, TIOCSWINSZ, &size), 0);
	t->columns = columns;
}

static void begin(struct terminal *t)
{
	struct report_options opts = {0};
	struct termios raw;
	int fd;

	*t = (struct terminal){.fd = posix_openpt(O_RDWR | O_NOCTTY)};
	assert_true(t->fd >= 0);
	assert_int_equal(grantpt(t->fd) | unlockpt(t->fd), 0);
	fd = open(ptsname(t->fd), O_RDWR | O_NOCTTY);
	assert_true(fd >= 0);
	assert_int_equal(tcgetattr(fd, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(fd, TCSANOW, &raw), 0);
	resize(t, COLUMNS);
	t->p.out = fdopen(fd, "w+");
	t->p.sink = report_tty_new(t->p.out, &opts);
	fcntl(t->fd, F_SETFL, O_NONBLOCK);
}

static void end_line(struct terminal *t)
{
	if (t->last.len)
		buf_append(&t->lines, buf_data(&t->last), t->last.len);
	buf_append(&t->lines, "\n", 1);
	buf_reset(&t->last);
	t->cursor = 0;
}

static void erase_to(struct terminal *t, size_t end)
{
	struct buf kept = {0};
	size_t n = t->last.len;

	end = end < n ? end : n;
	if (t->cursor >= end)
		return;
	buf_append(&kept, buf_data(&t->last), t->cursor);
	for (size_t i = t->cursor; end < n && i < end; i++)
		buf_append(&kept, " ", 1);
	if (end < n)
		buf_append(&kept, buf_data(&t->last) + end, n - end);
	buf_done(&t->last);
	t->last = kept;
}

static void put(struct terminal *t, char c)
{
	assert_true((unsigned char)c >= ' ');
	while (t->last.len < t->cursor)
		buf_append(&t->last, " ", 1);
	if (t->cursor < t->last.len)
		buf_data(&t->last)[t->cursor] = (uint8_t)c;
	else
		buf_append(&t->last, &c, 1);
	t->cursor++;
}

static void see(struct terminal *t, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t row = t->cursor - t->cursor % t->columns;

		if (s[i] == '\n') {
			end_line(t);
		} else if (s[i] == '\r') {
			t->cursor = row;
		} else if (n - i >= 3 && !memcmp(s + i, "\033[K", 3)) {
			erase_to(t, row + t->columns);
			i += 2;
		} else if (n - i >= 3 && !memcmp(s + i, "\033[J", 3)) {
			erase_to(t, SIZE_MAX);
			i += 2;
		} else {
			put(t, s[i]);
		}
	}
}

/* Bytes that were written to a pty are there to be read. An escape is never
 * torn: what a write put there is less than the pty's buffer. */
static void look(struct terminal *t)
{
	char part[4096];
	ssize_t n;

	while ((n = read(t->fd, part, sizeof(part))) > 0)
		see(t, part, (size_t)n);
}

static void say(struct terminal *t, const char *json)
{
	page_say(&t->p, json);
	look(t);
}

static void last_is(struct terminal *t, const char *want)
{
	char *last = mem_strndup(
	    t->last.len ? (const char *)buf_data(&t->last) : "", t->last.len);
	/* "[0:00" and so on, then what is the same on any machine. */
	const char *rest = strchr(last, ']');

	if (!rest || strcmp(rest + 1, want) != 0)
		fail_msg("the last line is '%s', not '%s'", last, want);
	free(last);
}

static void end(struct terminal *t)
{
	report_free(t->p.sink);
	fclose(t->p.out);
	close(t->fd);
	buf_done(&t->lines);
	buf_done(&t->last);
}

/* A line is drawn with what is printed, however much time has passed. */
#define PASSED	   SAY_TEST("a", "passed", "")
#define FILE_START "{\"event\":\"file_start\",\"file\":\"x.test.lua\"}"

static void the_line_stands_below_what_is_printed(void **state)
{
	struct terminal t;

	(void)state;
	begin(&t);
	say(&t, SAY_START);
	last_is(&t, " 0/1 files, 0/0 tests");
	say(&t, FILE_START);
	say(&t, PASSED);
	last_is(&t, " 0/1 files, 1/0 tests  x.test.lua");
	say(&t, SAY_TEST("b", "failed", ",\"message\":\"no\""));
	last_is(&t, " 0/1 files, 2/0 tests, 1 failed  ");
	end(&t);
}

static void nothing_of_it_is_left_at_the_end(void **state)
{
	struct terminal t;

	(void)state;
	begin(&t);
	say(&t, SAY_START);
	say(&t, FILE_START);
	say(&t, PASSED);
	say(&t, "{\"event\":\"file_end\",\"file\":\"x.test.lua\"}");
	say(&t, SAY_END);
	assert_int_equal(t.last.len, 0);
	buf_append(&t.lines, "", 1);
	assert_string_equal((char *)buf_data(&t.lines),
			    "x.test.lua\n"
			    "  ok    a  250 ms\n"
			    "\n"
			    "1 passed, 1 failed (1.50 s)\n");
	end(&t);
}

static void it_never_wraps(void **state)
{
	struct terminal t;

	(void)state;
	begin(&t);
	say(&t, SAY_START);
	say(&t, "{\"event\":\"file_start\",\"file\":\"a/very/long/path/of/a/"
		"file/with/no/end/at/all/\\u4e2d\\u4e2d\\u001b[2J.test.lua\"}");
	say(&t, "{\"event\":\"slow\",\"file\":\"s\",\"running\":1}");
	assert_true(t.last.len < COLUMNS);
	assert_true(t.last.len > COLUMNS / 2);
	end(&t);
}

/* What was printed stays, and nothing else. */
static void nothing_of_it_is_left_after_the_window_shrinks(void **state)
{
	struct terminal t;

	(void)state;
	begin(&t);
	say(&t, FILE_START);
	say(&t, SAY_BEGIN("a name that is longer than a narrow window"));
	say(&t, SAY_START);
	assert_int_equal(t.last.len, COLUMNS - 1);
	resize(&t, 25);
	say(&t, PASSED);
	assert_true(t.last.len < 25);
	resize(&t, 80);
	say(&t, SAY_BEGIN("another name that is longer than a narrow window"));
	say(&t, SAY_TEST("b", "passed", ""));
	resize(&t, 22);
	say(&t, "{\"event\":\"file_end\",\"file\":\"x.test.lua\"}");
	say(&t, SAY_END);
	buf_append(&t.lines, "", 1);
	assert_string_equal((char *)buf_data(&t.lines),
			    "x.test.lua\n"
			    "  ok    a  250 ms\n"
			    "  ok    b  250 ms\n"
			    "\n"
			    "1 passed, 1 failed (1.50 s)\n");
	assert_int_equal(t.last.len, 0);
	end(&t);
}

static void a_tick_draws_it_only_while_it_runs(void **state)
{
	struct terminal t;
	struct event_sink *sink;

	(void)state;
	begin(&t);
	sink = t.p.sink;
	report_tick(sink);
	look(&t);
	assert_int_equal(t.last.len, 0);
	say(&t, SAY_START);
	report_tick(sink);
	look(&t);
	last_is(&t, " 0/1 files, 0/0 tests");
	say(&t, SAY_END);
	report_tick(sink);
	look(&t);
	assert_int_equal(t.last.len, 0);
	end(&t);
}

static void freed_early_it_is_erased(void **state)
{
	struct terminal t;

	(void)state;
	begin(&t);
	say(&t, SAY_START);
	assert_true(t.last.len > 0);
	report_free(t.p.sink);
	t.p.sink = NULL;
	look(&t);
	assert_int_equal(t.last.len, 0);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_line_stands_below_what_is_printed),
	    cmocka_unit_test(nothing_of_it_is_left_at_the_end),
	    cmocka_unit_test(it_never_wraps),
	    cmocka_unit_test(nothing_of_it_is_left_after_the_window_shrinks),
	    cmocka_unit_test(a_tick_draws_it_only_while_it_runs),
	    cmocka_unit_test(freed_early_it_is_erased),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
