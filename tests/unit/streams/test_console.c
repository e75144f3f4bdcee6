/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "streams/console.h"
#include "tests/unit/streams/lib_console.h"
#include "tests/unit/streams/lib_source.h"

/* --- helpers ------------------------------------------------------------ */

static void on_alarm(void *ctx, const char *alarm, const char *line)
{
	struct desk *d = ctx;

	buf_printf(&d->alarms, "%s|%s\n", alarm, line);
}

static int expect_now(struct desk *d, struct console_expect *x,
		      const char *text)
{
	console_expect_start(x, d->con, text, strlen(text), 0);
	return op_wait(&x->op);
}

static void check_expect(struct desk *d, const char *text, int want)
{
	struct console_expect x;

	assert_int_equal(expect_now(d, &x, text), want);
	console_expect_done(&x);
}

/* All that a stream gives now, as one text. */
static void check_stream(struct stream *s, const char *want)
{
	struct stream_wait w;
	struct buf all = {0};

	stream_wait_init(&w, s);
	stream_drain(&w, 0);
	op_wait(&w.op);
	for (size_t i = 0; i < w.n_frames; i++)
		buf_append(&all, buf_data(&w.frames[i]), w.frames[i].len);
	check_bytes(&all, want);
	buf_done(&all);
	stream_wait_done(&w);
}

static void check_log(struct desk *d, const char *want)
{
	struct buf all = {0};
	struct err err;

	assert_int_equal(console_read_log(d->con, &all, &err), 0);
	check_bytes(&all, want);
	buf_done(&all);
}

/* --- the log ---------------------------------------------------------------
 */

static void the_log_holds_every_byte_unaltered(void **state)
{
	static const char text[] = "a\r\nb\0\xff\x1b[1m";
	struct desk *d = *state;
	struct buf tail = {0};
	char file[64] = {0};

	print_bytes(d, text, sizeof(text));
	loop_poll(d->loop);
	assert_int_equal(console_size(d->con), sizeof(text));
	int fd = open(d->path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, file, sizeof(file)), sizeof(text));
	assert_memory_equal(file, text, sizeof(text));
	close(fd);
	console_tail(d->con, &tail, 3);
	assert_int_equal(tail.len, 3);
	assert_memory_equal(buf_data(&tail), "1m", 3);
	buf_reset(&tail);
	console_tail(d->con, &tail, 100);
	assert_int_equal(tail.len, sizeof(text));
	buf_done(&tail);
	assert_null(console_log_error(d->con));
}

static void the_log_outlives_reset_and_shutdown(void **state)
{
	struct desk *d = *state;

	print(d, "one ");
	console_mark_boot(d->con);
	print(d, "two ");
	unplug(d);
	loop_poll(d->loop);
	console_detach(d->con);
	console_mark_boot(d->con);
	plug(d);
	print(d, "three");
	check_log(d, "one two three");
}

static void detach_reads_what_the_chardev_still_holds(void **state)
{
	struct desk *d = *state;
	struct stream *s = console_stream_new(d->con, &desk_label, NULL);

	assert_int_equal(write(d->qemu, "last words", 10), 10);
	unplug(d);
	console_detach(d->con);
	check_log(d, "last words");
	check_stream(s, "last words");
	assert_true(stream_eof(s));
	stream_free(s);
}

static void a_log_that_cannot_be_made_is_an_error(void **state)
{
	struct desk *d = *state;
	struct err err;

	assert_null(console_new(d->loop, "/nonexistent/log", &err));
	assert_int_equal(err.code, -ENOENT);
	check_contains(err.text, "/nonexistent/log");
}

/* RLIMIT_FSIZE stands for a full disk. */
static void a_full_disk_lets_everything_go_on(void **state)
{
	struct desk *d = *state;
	struct rlimit old, small;
	struct stream *s = console_stream_new(d->con, &desk_label, NULL);

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){.rlim_cur = 4, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_FSIZE, &small);
	print(d, "0123456");
	print(d, "789 ready");
	setrlimit(RLIMIT_FSIZE, &old);
	assert_non_null(console_log_error(d->con));
	check_contains(console_log_error(d->con)->text,
		       "cannot write the console log");
	check_log(d, "0123456789 ready");
	check_expect(d, "3456789 r", 0);
	check_stream(s, "0123456789 ready");
	stream_free(s);
}

static void memory_in_place_of_a_full_disk_is_bounded(void **state)
{
	enum { BLOCK = 1 << 20, BLOCKS = 40 };
	struct desk *d = *state;
	struct rlimit old, small;
	struct buf all = {0};
	uint8_t *block = mem_zalloc(BLOCK);
	struct err err;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_FSIZE, &small);
	print(d, "abcd");
	for (int i = 0; i < BLOCKS; i++)
		print_bytes(d, block, BLOCK);
	print(d, "the end");
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(console_size(d->con), 11 + BLOCK * (size_t)BLOCKS);
	assert_int_equal(console_read_log(d->con, &all, &err), 0);
	assert_true(all.len < (17u << 20));
	assert_memory_equal(buf_data(&all), "abc", 3);
	assert_memory_equal(buf_data(&all) + all.len - 7, "the end", 7);
	/* What is missing is said, where it is missing. */
	char said[100];
	uint64_t missing = console_size(d->con) - all.len;
	const char *line = strstr((char *)buf_data(&all), "[provium: ");
	assert_non_null(line);
	missing += strcspn(line, "]") + strlen("\r\n]\r\n");
	snprintf(said, sizeof(said),
		 "[provium: %llu bytes of console output are missing here: "
		 "File too large]\r\n",
		 (unsigned long long)missing);
	check_contains(line, said);
	check_expect(d, "the end", 0);
	check_expect(d, "abc", 0);
	/* What is not beside each other does not match together. */
	struct console_expect x;
	console_expect_start(&x, d->con, "c\0", 2, 0);
	assert_int_equal(op_wait(&x.op), -ETIMEDOUT);
	console_expect_done(&x);
	buf_done(&all);
	free(block);
}

/* --- cursors -----------------------------------------------------------------
 */

static void a_cursor_starts_at_the_first_unread_byte(void **state)
{
	struct desk *d = *state;
	struct stream *a, *b;

	print(d, "firmware ");
	a = console_stream_new(d->con, &desk_label, NULL);
	assert_int_equal(stream_type(a), STREAM_CONSOLE);
	check_stream(a, "firmware ");
	print(d, "unread ");
	b = console_stream_new(d->con, &desk_label, NULL);
	check_stream(b, "unread ");
	check_stream(a, "unread ");
	print(d, "both");
	stream_free(a);
	check_stream(b, "both");
	print(d, " dropped by close");
	stream_close(b);
	stream_free(b);
	a = console_stream_new(d->con, &desk_label, NULL);
	check_stream(a, " dropped by close");
	stream_free(a);
}

static void what_a_failed_expect_searched_is_not_read(void **state)
{
	struct stream_pattern p = pat("never"), q = pat("xt");
	struct desk *d = *state;
	struct stream *s = console_stream_new(d->con, &desk_label, NULL);
	struct stream_wait w;

	print(d, "text");
	stream_wait_init(&w, s);
	stream_match(&w, "expect", &p, 1, false, 0);
	assert_int_equal(op_wait(&w.op), -ETIMEDOUT);
	stream_wait_done(&w);
	stream_free(s);
	s = console_stream_new(d->con, &desk_label, NULL);
	stream_wait_init(&w, s);
	stream_match(&w, "expect", &q, 1, false, 0);
	assert_int_equal(op_wait(&w.op), 0);
	stream_wait_done(&w);
	stream_free(s);
}

static void a_cursor_holds_no_more_than_its_window(void **state)
{
	enum { BLOCK = 1 << 20, BLOCKS = 8 };
	struct desk *d = *state;
	struct stream *s = console_stream_new(d->con, &desk_label, NULL);
	struct stream_pattern p = pat("END");
	uint8_t *block = mem_zalloc(BLOCK);
	struct stream_wait w;

	for (int i = 0; i < BLOCKS; i++)
		print_bytes(d, block, BLOCK);
	print(d, "END.");
	assert_int_equal(console_size(d->con), BLOCK * (size_t)BLOCKS + 4);
	assert_true(stream_bytes(s) <= (256 << 10));
	/* A search takes it as far as is needed. */
	stream_wait_init(&w, s);
	stream_match(&w, "expect", &p, 1, false, CLOCK_NEVER);
	assert_int_equal(op_wait(&w.op), 0);
	check_stream(s, ".");
	stream_wait_done(&w);
	stream_free(s);
	free(block);
}

static void a_long_backlog_is_searched_over_many_turns(void **state)
{
	enum { BLOCK = 1 << 20, BLOCKS = 20 };
	struct desk *d = *state;
	struct stream *s = console_stream_new(d->con, &desk_label, NULL);
	struct stream_pattern p = pat("END");
	uint8_t *block = mem_zalloc(BLOCK);
	struct stream_wait w;
	int turns = 0;

	for (int i = 0; i < BLOCKS; i++)
		print_bytes(d, block, BLOCK);
	print(d, "END");
	stream_wait_init(&w, s);
	stream_match(&w, "expect", &p, 1, false, CLOCK_NEVER);
	for (; !op_is_done(&w.op); turns++)
		loop_turn(d->loop);
	assert_int_equal(w.op.result, 0);
	assert_in_range(turns, 2, BLOCKS);
	stream_wait_done(&w);
	stream_free(s);
	free(block);
}

static void a_reset_ends_the_cursors_that_are_open(void **state)
{
	struct desk *d = *state;
	struct stream *a = console_stream_new(d->con, &desk_label, NULL), *b;

	/* Not read from the chardev before the reset is known. */
	assert_int_equal(write(d->qemu, "before ", 7), 7);
	console_mark_boot(d->con);
	b = console_stream_new(d->con, &desk_label, NULL);
	print(d, "after");
	check_stream(a, "before ");
	assert_true(stream_eof(a));
	check_stream(b, "before after");
	assert_false(stream_eof(b));
	stream_free(a);
	stream_free(b);
}

static void the_end_of_the_chardev_is_eof(void **state)
{
	struct stream_pattern p = pat("login");
	struct desk *d = *state;
	struct stream *s = console_stream_new(d->con, &desk_label, NULL), *late;
	struct stream_wait w;

	stream_wait_init(&w, s);
	stream_match(&w, "expect", &p, 1, false, CLOCK_NEVER);
	print(d, "bye");
	unplug(d);
	assert_int_equal(op_wait(&w.op), -EPIPE);
	check_contains(w.op.err.text, "console EOF");
	check_contains(w.op.err.text, "bye");
	stream_wait_done(&w);
	/* The log can be read on, to the same end. */
	late = console_stream_new(d->con, &desk_label, NULL);
	check_stream(late, "bye");
	assert_true(stream_eof(late));
	stream_free(late);
	stream_free(s);
}

/* More than a block, and bytes that QEMU never read make the end a reset. */
static void what_comes_before_the_end_is_read(void **state)
{
	struct desk *d = *state;
	struct stream *s = console_stream_new(d->con, &desk_label, NULL);
	struct console_write w;
	struct stream_wait all;
	static char noise[4096];
	size_t n = 0;
	ssize_t k;

	memset(noise, 'n', sizeof(noise));
	console_write_start(&w, d->con, "unread", 6, CLOCK_NEVER);
	while ((k = send(d->qemu, noise, sizeof(noise), MSG_DONTWAIT)) > 0)
		n += (size_t)k;
	assert_true(n > 65536);
	unplug(d);
	stream_wait_init(&all, s);
	while (!stream_eof(s)) {
		stream_next(&all, CLOCK_NEVER);
		op_wait(&all.op);
	}
	assert_int_equal(console_size(d->con), n);
	stream_wait_done(&all);
	console_write_done(&w);
	stream_free(s);
}

static void a_stream_outlives_its_console(void **state)
{
	struct desk *d = *state;
	struct stream *s = console_stream_new(d->con, &desk_label, NULL);

	print(d, "text");
	d->con = console_free(d->con);
	check_stream(s, "text");
	assert_true(stream_eof(s));
	stream_free(s);
}

/* --- expect ------------------------------------------------------------------
 */

static void expect_finds_what_is_there_and_consumes_nothing(void **state)
{
	struct desk *d = *state;
	struct stream *s;

	print(d, "Welcome\r\nlogin: ");
	check_expect(d, "e\r\nlogin", 0);
	check_expect(d, "Welcome", 0);
	check_expect(d, "welcome", -ETIMEDOUT);
	check_expect(d, "", -EINVAL);
	s = console_stream_new(d->con, &desk_label, NULL);
	check_stream(s, "Welcome\r\nlogin: ");
	stream_free(s);
}

static void expect_waits_for_bytes_however_they_are_cut(void **state)
{
	static const char text[] = "abc login: d";
	struct desk *d = *state;

	for (size_t a = 0; a < sizeof(text); a++) {
		struct console_expect x;
		char first[sizeof(text)] = {0};

		console_mark_boot(d->con);
		console_expect_start(&x, d->con, "login:", 6, CLOCK_NEVER);
		memcpy(first, text, a);
		print(d, first);
		print(d, text + a);
		assert_int_equal(op_wait(&x.op), 0);
		console_expect_done(&x);
	}
}

static void expect_starts_at_the_last_boot(void **state)
{
	struct desk *d = *state;
	struct console_expect x;

	print(d, "login: ");
	check_expect(d, "login:", 0);
	console_mark_boot(d->con);
	check_expect(d, "login:", -ETIMEDOUT);
	/* One in flight starts again, too: no match across a reset. */
	console_expect_start(&x, d->con, "login:", 6, CLOCK_NEVER);
	print(d, "log");
	console_mark_boot(d->con);
	print(d, "in:");
	assert_false(op_is_done(&x.op));
	print(d, "login:");
	assert_int_equal(op_wait(&x.op), 0);
	console_expect_done(&x);
}

static void expect_says_what_it_saw_last(void **state)
{
	struct desk *d = *state;
	struct console_expect x;

	print(d, "old");
	console_mark_boot(d->con);
	print(d, "kernel\n");
	assert_int_equal(expect_now(d, &x, "login: "), -ETIMEDOUT);
	assert_string_equal(
	    x.op.err.text,
	    "expect timed out waiting for `login: `; last bytes: "
	    "\"kernel\\n\"");
	console_expect_done(&x);
	console_expect_start(&x, d->con, "zz", 2, CLOCK_NEVER);
	unplug(d);
	assert_int_equal(op_wait(&x.op), -EPIPE);
	check_contains(x.op.err.text, "console EOF: expect was waiting");
	console_expect_done(&x);
	/* No chardev any more: found is found, the rest fails at once. */
	check_expect(d, "kernel", 0);
	check_expect(d, "zz", -EPIPE);
}

static void an_interrupt_ends_expects_and_writes(void **state)
{
	struct desk *d = *state;
	struct stream *s = console_stream_new(d->con, &desk_label, NULL);
	struct console_write w, kept;
	struct console_expect x;
	size_t n = 4 << 20;
	uint8_t *out = mem_zalloc(n);
	struct err err;

	err_set(&err, -EHOSTDOWN, "an alarm");
	console_expect_start(&x, d->con, "zz", 2, CLOCK_NEVER);
	console_write_start(&w, d->con, out, n, CLOCK_NEVER);
	console_write_start(&kept, d->con, "x", 1, CLOCK_NEVER);
	kept.is_kept = true;
	console_interrupt(d->con, &err);
	assert_int_equal(x.op.result, -EHOSTDOWN);
	assert_string_equal(w.op.err.text, "an alarm");
	assert_false(op_is_done(&kept.op));
	print(d, "zz");
	check_expect(d, "zz", 0);
	check_stream(s, "zz");
	console_expect_done(&x);
	console_write_done(&w);
	console_write_done(&kept);
	stream_free(s);
	free(out);
}

static void a_cancelled_expect_is_forgotten(void **state)
{
	struct desk *d = *state;
	struct console_expect x;

	console_expect_start(&x, d->con, "zz", 2, CLOCK_NEVER);
	console_expect_done(&x);
	print(d, "zz");
	console_expect_start(&x, d->con, "yy", 2, CLOCK_NEVER);
	d->con = console_free(d->con);
	assert_int_equal(x.op.result, -ECANCELED);
	console_expect_done(&x);
}

struct free_ctx {
	struct desk *desk;
	struct stream *stream;
};

static void free_console(struct op *op, void *ctx)
{
	struct free_ctx *f = ctx;

	(void)op;
	f->desk->con = console_free(f->desk->con);
	f->stream = stream_free(f->stream);
}

static void a_reader_may_free_everything_when_told(void **state)
{
	struct desk *d = *state;
	struct stream_pattern p = pat("go");
	struct free_ctx f = {d, console_stream_new(d->con, &desk_label, NULL)};
	struct console_expect x;
	struct stream_wait w;

	console_expect_start(&x, d->con, "zz", 2, CLOCK_NEVER);
	stream_wait_init(&w, f.stream);
	stream_match(&w, "expect", &p, 1, false, CLOCK_NEVER);
	w.op.on_done = free_console;
	w.op.done_ctx = &f;
	assert_int_equal(write(d->qemu, "go", 2), 2);
	assert_int_equal(op_wait(&w.op), 0);
	assert_int_equal(op_wait(&x.op), -ECANCELED);
	assert_null(f.stream);
	stream_wait_done(&w);
	console_expect_done(&x);
}

static void an_expect_may_free_everything_when_told(void **state)
{
	struct desk *d = *state;
	struct free_ctx f = {d, console_stream_new(d->con, &desk_label, NULL)};
	struct console_expect x;

	console_set_alarms(d->con, (const char *const[]){"go"}, 1, on_alarm, d);
	console_expect_start(&x, d->con, "go", 2, CLOCK_NEVER);
	x.op.on_done = free_console;
	x.op.done_ctx = &f;
	assert_int_equal(write(d->qemu, "go\n", 3), 3);
	assert_int_equal(op_wait(&x.op), 0);
	console_expect_done(&x);
	assert_null(d->con);
	assert_int_equal(d->alarms.len, 0);
}

/* --- alarms
 * -------------------------------------------------------------------- */

static void watch_for(struct desk *d)
{
	static const char *const alarms[] = {"Kernel panic", "BUG:", "KASAN",
					     ""};

	console_set_alarms(d->con, alarms, 4, on_alarm, d);
}

static void an_alarm_is_found_at_every_border(void **state)
{
	static const char text[] =
	    "ok\r\n[1.0] Kernel panic - not \x01syncing\r\nmore\n";
	struct desk *d = *state;

	watch_for(d);
	for (size_t a = 0; a < sizeof(text); a++) {
		char first[sizeof(text)] = {0};

		memcpy(first, text, a);
		print(d, first);
		print(d, text + a);
		check_bytes(
		    &d->alarms,
		    "Kernel panic|[1.0] Kernel panic - not \\x01syncing\n");
		buf_reset(&d->alarms);
	}
}

static void each_alarm_is_told_once_a_line(void **state)
{
	struct desk *d = *state;

	watch_for(d);
	print(d, "x BUG: KASAN: BUG: KASAN\nBUG: two\nnone\nKASAN\n");
	check_bytes(&d->alarms, "BUG:|x BUG: KASAN: BUG: KASAN\n"
				"KASAN|x BUG: KASAN: BUG: KASAN\n"
				"BUG:|BUG: two\n"
				"KASAN|KASAN\n");
}

static void a_line_that_does_not_end_is_not_waited_for_long(void **state)
{
	struct desk *d = *state;

	watch_for(d);
	print(d, "Kernel panic - and");
	assert_int_equal(d->alarms.len, 0);
	loop_turn(d->loop);
	check_bytes(&d->alarms, "Kernel panic|Kernel panic - and\n");
	buf_reset(&d->alarms);
	print(d, " BUG:");
	unplug(d);
	loop_turn(d->loop);
	check_bytes(&d->alarms, "BUG:| BUG:\n");
}

static void a_line_without_end_is_cut(void **state)
{
	struct desk *d = *state;
	size_t n = 100000;
	char *noise = mem_alloc(n + 1);

	memset(noise, 'x', n);
	noise[n] = 0;
	watch_for(d);
	print(d, noise);
	print(d, "BUG:");
	print(d, noise);
	assert_true(d->alarms.len > 1000);
	assert_true(d->alarms.len < 2 * CONSOLE_LINE_MAX + 20);
	check_contains((const char *)buf_data(&d->alarms), "xxBUG:xx");
	buf_reset(&d->alarms);
	print(d, "BUG: again\n");
	assert_true(d->alarms.len > 0);
	free(noise);
}

static void without_alarms_nothing_is_told(void **state)
{
	struct desk *d = *state;

	watch_for(d);
	console_set_alarms(d->con, NULL, 0, on_alarm, d);
	print(d, "Kernel panic\n");
	assert_int_equal(d->alarms.len, 0);
}

/* --- writing
 * ------------------------------------------------------------------- */

static void what_is_written_reaches_the_guest_in_order(void **state)
{
	struct desk *d = *state;
	struct console_write a, b;
	size_t n = 1 << 20, got = 0;
	uint8_t *in = mem_alloc(n + 3), *out = mem_alloc(n);

	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(i * 31 >> 3);
	console_write_start(&a, d->con, out, n, CLOCK_NEVER);
	console_write_start(&b, d->con, "end", 3, CLOCK_NEVER);
	assert_false(op_is_done(&a.op));
	while (got < n + 3) {
		ssize_t k = read(d->qemu, in + got, n + 3 - got);

		assert_true(k > 0);
		got += (size_t)k;
		loop_poll(d->loop);
	}
	assert_int_equal(op_wait(&a.op), 0);
	assert_int_equal(op_wait(&b.op), 0);
	assert_memory_equal(in, out, n);
	assert_memory_equal(in + n, "end", 3);
	console_write_done(&a);
	console_write_done(&b);
	free(in);
	free(out);
}

static void a_guest_that_does_not_read_times_out_a_write(void **state)
{
	struct desk *d = *state;
	struct console_write w;
	size_t n = 4 << 20;
	uint8_t *out = mem_zalloc(n);

	console_write_start(&w, d->con, out, n,
			    clock_deadline_ns(5 * NS_PER_MS));
	assert_int_equal(op_wait(&w.op), -ETIMEDOUT);
	check_contains(w.op.err.text, "does not read its console");
	console_write_done(&w);
	console_write_start(&w, d->con, out, n, CLOCK_NEVER);
	unplug(d);
	assert_int_equal(op_wait(&w.op), -EPIPE);
	console_write_done(&w);
	console_write_start(&w, d->con, "x", 1, CLOCK_NEVER);
	assert_int_equal(op_wait(&w.op), -EPIPE);
	check_contains(w.op.err.text, "not connected");
	console_write_done(&w);
	free(out);
}

/* --- the log of the machine that it was made from --------------------------
 */

static void an_earlier_log_stands_before_what_comes(void **state)
{
	struct desk *d = *state;

	console_continue(d->con, (const uint8_t *)"boot1 boot2 ", 12, 6);
	assert_int_equal(console_boot_mark(d->con), 6);
	assert_int_equal(console_size(d->con), 12);
	print(d, "now");
	check_log(d, "boot1 boot2 now");
}

static void expect_finds_what_an_earlier_log_has_of_this_boot(void **state)
{
	struct console_expect x;
	struct desk *d = *state;

	console_continue(d->con, (const uint8_t *)"boot1 boot2 ", 12, 6);
	print(d, "now");
	check_expect(d, "boot2", 0);
	check_expect(d, "2 now", 0);
	console_expect_start(&x, d->con, "boot1", 5,
			     clock_deadline_ns(50 * NS_PER_MS));
	assert_int_equal(op_wait(&x.op), -ETIMEDOUT);
	console_expect_done(&x);
}

static void a_cursor_begins_behind_an_earlier_log(void **state)
{
	struct desk *d = *state;
	struct stream *s;

	console_continue(d->con, (const uint8_t *)"old ", 4, 0);
	s = console_stream_new(d->con, &desk_label, NULL);
	print(d, "new");
	check_stream(s, "new");
	stream_free(s);
}

static void an_earlier_log_raises_no_alarm(void **state)
{
	static const char *const alarms[] = {"BUG:"};
	struct desk *d = *state;

	console_set_alarms(d->con, alarms, 1, on_alarm, d);
	console_continue(d->con, (const uint8_t *)"BUG: old\n", 9, 0);
	print(d, "all is well\n");
	assert_int_equal(d->alarms.len, 0);
	print(d, "BUG: new\n");
	check_bytes(&d->alarms, "BUG:|BUG: new\n");
}

static void an_earlier_log_may_be_empty_and_its_mark_too_far(void **state)
{
	struct desk *d = *state;

	console_continue(d->con, NULL, 0, 1000);
	assert_int_equal(console_boot_mark(d->con), 0);
	print(d, "now");
	check_log(d, "now");
	check_expect(d, "now", 0);
}

struct flood {
	struct desk *d;
	size_t lines; /* of 1 KiB that were printed */
	int seen;
};

/* From a hook of the turn, so that nothing is read before it. */
static void on_flood(void *ctx)
{
	static char noise[64][1024];
	struct flood *f = ctx;
	int size = 4 << 20;

	for (size_t i = 0; i < ARRAY_LEN(noise); i++) {
		memset(noise[i], 'x', sizeof(noise[i]));
		memcpy(noise[i], "BUG", 3);
		noise[i][sizeof(noise[i]) - 1] = '\n';
	}
	setsockopt(f->d->qemu, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	while (send(f->d->qemu, noise, sizeof(noise), MSG_DONTWAIT) > 0)
		f->lines += ARRAY_LEN(noise);
}

static void count_lines(void *ctx, const char *alarm, const char *line)
{
	struct flood *f = ctx;

	(void)alarm;
	(void)line;
	f->seen++;
}

/* A guest that prints without end takes its share of a turn and no more. */
static void a_flood_does_not_hold_the_loop(void **state)
{
	static const char *const alarms[] = {"BUG"};
	struct desk *d = *state;
	struct flood f = {.d = d};
	struct loop_hook h = {.cb = on_flood, .ctx = &f};

	console_set_alarms(d->con, alarms, 1, count_lines, &f);
	loop_before_wait(d->loop, &h);
	loop_poll(d->loop);
	assert_true(f.lines > 256);
	assert_in_range(f.seen, 1, 256);
}

/* Nobody turns the loop: the guest goes on, and all is seen afterwards. */
static void a_guest_prints_while_the_loop_stands(void **state)
{
	enum { LINES = 200000, LINE = 12 };
	static const char *const alarms[] = {"line 199999"};
	struct desk *d = *state;
	struct console_expect x;
	struct buf all = {0};
	struct err err;
	char line[32];

	console_set_alarms(d->con, alarms, 1, on_alarm, d);
	console_expect_start(&x, d->con, "line 199998", 11, CLOCK_NEVER);
	for (int i = 0; i < LINES; i++) {
		snprintf(line, sizeof(line), "line %06d\n", i);
		/* Blocks, until somebody has read. */
		assert_int_equal(write(d->qemu, line, LINE), LINE);
	}
	assert_int_equal(d->alarms.len, 0);
	assert_int_equal(op_wait(&x.op), 0);
	while (!d->alarms.len)
		loop_turn(d->loop);
	check_bytes(&d->alarms, "line 199999|line 199999\n");
	assert_int_equal(console_read_log(d->con, &all, &err), 0);
	assert_int_equal(all.len, LINES * LINE);
	for (int i = 0; i < LINES; i++) {
		snprintf(line, sizeof(line), "line %06d\n", i);
		assert_memory_equal(buf_data(&all) + i * LINE, line, LINE);
	}
	buf_done(&all);
	console_expect_done(&x);
}

/* What was read between two turns is told before what a reset ends. */
static void
a_reset_or_an_end_comes_behind_what_the_thread_has_read(void **state)
{
	static const char *const alarms[] = {"BUG"};
	struct desk *d = *state;
	struct stream *s = console_stream_new(d->con, &desk_label, NULL);

	console_set_alarms(d->con, alarms, 1, on_alarm, d);
	assert_int_equal(write(d->qemu, "BUG one\n", 8), 8);
	while (console_size(d->con) < 8)
		sched_yield();
	console_mark_boot(d->con);
	check_bytes(&d->alarms, "BUG|BUG one\n");
	assert_int_equal(console_boot_mark(d->con), 8);
	check_stream(s, "BUG one\n");
	assert_true(stream_eof(s));
	stream_free(s);
	s = console_stream_new(d->con, &desk_label, NULL);
	assert_int_equal(write(d->qemu, "BUG two\n", 8), 8);
	while (console_size(d->con) < 16)
		sched_yield();
	console_detach(d->con);
	check_bytes(&d->alarms, "BUG|BUG one\nBUG|BUG two\n");
	check_stream(s, "BUG two\n");
	assert_true(stream_eof(s));
	stream_free(s);
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(name, desk_set_up, desk_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(the_log_holds_every_byte_unaltered),
	    T(the_log_outlives_reset_and_shutdown),
	    T(detach_reads_what_the_chardev_still_holds),
	    T(a_log_that_cannot_be_made_is_an_error),
	    T(a_full_disk_lets_everything_go_on),
	    T(memory_in_place_of_a_full_disk_is_bounded),
	    T(a_cursor_starts_at_the_first_unread_byte),
	    T(what_a_failed_expect_searched_is_not_read),
	    T(a_cursor_holds_no_more_than_its_window),
	    T(a_long_backlog_is_searched_over_many_turns),
	    T(a_reset_ends_the_cursors_that_are_open),
	    T(the_end_of_the_chardev_is_eof),
	    T(what_comes_before_the_end_is_read),
	    T(a_stream_outlives_its_console),
	    T(expect_finds_what_is_there_and_consumes_nothing),
	    T(expect_waits_for_bytes_however_they_are_cut),
	    T(expect_starts_at_the_last_boot),
	    T(expect_says_what_it_saw_last),
	    T(an_interrupt_ends_expects_and_writes),
	    T(a_cancelled_expect_is_forgotten),
	    T(a_reader_may_free_everything_when_told),
	    T(an_expect_may_free_everything_when_told),
	    T(an_alarm_is_found_at_every_border),
	    T(each_alarm_is_told_once_a_line),
	    T(a_line_that_does_not_end_is_not_waited_for_long),
	    T(a_line_without_end_is_cut),
	    T(without_alarms_nothing_is_told),
	    T(what_is_written_reaches_the_guest_in_order),
	    T(a_guest_that_does_not_read_times_out_a_write),
	    T(a_flood_does_not_hold_the_loop),
	    T(a_guest_prints_while_the_loop_stands),
	    T(a_reset_or_an_end_comes_behind_what_the_thread_has_read),
	    T(an_earlier_log_stands_before_what_comes),
	    T(expect_finds_what_an_earlier_log_has_of_this_boot),
	    T(a_cursor_begins_behind_an_earlier_log),
	    T(an_earlier_log_raises_no_alarm),
	    T(an_earlier_log_may_be_empty_and_its_mark_too_far),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
