/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/news.h"

static void assert_text(const struct buf *b, const char *want)
{
	CLEANUP(free_ptr)
	char *got =
	    mem_strndup(b->len ? (const char *)buf_data(b) : "", b->len);

	assert_string_equal(got, want);
}

static struct news pick(const char *console, size_t max)
{
	struct news news = {0};

	news_pick(&news, console, strlen(console), max);
	return news;
}

static void without_trouble_the_last_lines_are_picked(void **state)
{
	CLEANUP(news_done) struct news all = pick("one\ntwo\n", 100);
	CLEANUP(news_done) struct news cut = pick("one\ntwo\nthree\n", 10);
	CLEANUP(news_done) struct news fits = pick("one\ntwo\nthree\n", 9);

	(void)state;
	assert_text(&all.text, "one\ntwo\n");
	assert_text(&cut.text, "two\nthree\n");
	assert_text(&fits.text, "three\n");
	assert_int_equal(all.alarm.len, 0);
	assert_false(all.is_breakdown);
}

static void a_line_that_does_not_fit_is_cut(void **state)
{
	CLEANUP(news_done) struct news news = pick("0123456789", 4);

	(void)state;
	assert_text(&news.text, "6789");
}

static void a_breakdown_is_where_the_news_begin(void **state)
{
	static const char *const lines[] = {
	    "[    1.0] BUG: unable to handle page fault for address: 0",
	    "[    1.0] kernel BUG at mm/slub.c:379!",
	    "[    1.0] Oops: 0002 [#1] PREEMPT SMP",
	    "[    1.0] general protection fault, probably for address 0",
	    "[    1.0] Kernel panic - not syncing: Fatal exception",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		CLEANUP(free_ptr)
		char *console = mem_printf("boot\nOut of memory: x\n%s\r\nRIP\n"
					   "Kernel panic - not syncing: b\n",
					   lines[i]);
		CLEANUP(free_ptr)
		char *want = mem_printf(
		    "%s\r\nRIP\nKernel panic - not syncing: b\n", lines[i]);
		CLEANUP(news_done) struct news news = pick(console, 1000);

		assert_true(news.is_breakdown);
		assert_text(&news.text, want);
		assert_text(&news.alarm, lines[i]);
	}
}

/* The beginning of a trace says more than its end. */
static void a_breakdown_that_is_too_long_keeps_its_beginning(void **state)
{
	CLEANUP(news_done)
	struct news news = pick("boot\nOops: 1\nRIP\nCode\n", 12);

	(void)state;
	assert_text(&news.text, "Oops: 1\nRIP\n");
}

static void the_first_trouble_is_the_alarm_and_cuts_nothing(void **state)
{
	CLEANUP(news_done)
	struct news news = pick("a\nx invoked oom-killer\n"
				"Out of memory: Killed process 80 (x)\n"
				"task y blocked for more than 120 seconds.\n",
				1000);

	(void)state;
	assert_false(news.is_breakdown);
	assert_int_equal(memcmp(buf_data(&news.text), "a\n", 2), 0);
	assert_text(&news.alarm, "Out of memory: Killed process 80 (x)");
}

static void quotes(const char *console, size_t room, const char *want)
{
	CLEANUP(news_done) struct news news = pick(console, 1000);
	CLEANUP(buf_done) struct buf out = {0};

	buf_append(&out, "dead", 4);
	news_quote(&out, &news, room);
	assert_text(&out, want);
}

static void a_quote_has_whole_lines(void **state)
{
	(void)state;
	quotes("a\r\nb\x01\n\n", 100,
	       "dead; the console ends:\n  | a\n  | b\\x01");
	/* "; the console ends:" is 19 bytes, "\n  | bb" 7. */
	quotes("aa\nbb\n", 19 + 7, "dead; the console ends:\n  | bb");
	quotes("aa\nbb\n", 19 + 6, "dead");
	quotes("Oops: 1\nbb\n", 19 + 12,
	       "dead; the console ends:\n  | Oops: 1");
	quotes("Oops: 1\nbb\n", 19 + 11, "dead");
	quotes("aa\n", 3, "dead");
	quotes(" \n\r\n", 100, "dead");
	quotes("", 100, "dead");
}

static void skips(const char *console, const char *want)
{
	CLEANUP(buf_done) struct buf out = {0};

	news_skip_boot(&out, console, strlen(console));
	assert_text(&out, want);
}

static void lines_that_end_every_boot_are_skipped(void **state)
{
	static const char boot[] =
	    "[    2.104] tsc: Refined TSC clocksource calibration: 2994.3 "
	    "MHz\r\n"
	    "[    2.105][    T9] clocksource: tsc: mask: 0xffffffffffffffff\r\n"
	    "[    2.106] clocksource: Switched to clocksource tsc\r\n"
	    "[    2.1] CE: hpet increased min_delta_ns to 7500 nsec\r\n"
	    "[    2.1] hrtimer: interrupt took 8804272 ns\r\n"
	    "[    2.2] input: Power Button as /devices/LNXSYSTM:00/input0\r\n"
	    "[    2.3] ACPI: button: Power Button [PWRF]\r\n"
	    "[    3.4] random: crng init done\r\n";

	(void)state;
	skips(boot, "");
	skips("[    1.0] one\n[    3.4] random: crng init done\n[    4.0] two",
	      "[    1.0] one\n[    4.0] two");
	skips("", "");
}

static void a_line_begins_where_the_one_before_ends(void **state)
{
	(void)state;
	assert_int_equal(news_line_start("one\n[    4.7] two", 10), 4);
	assert_int_equal(news_line_start("one\n[    4.7] two", 4), 4);
	assert_int_equal(news_line_start("[    4.7] two", 6), 6);
	assert_int_equal(news_line_start("", 0), 0);
}

static void no_other_line_is_skipped(void **state)
{
	static const char *const kept[] = {
	    /* A program printed it, or had begun the line. */
	    "random: crng init done\n",
	    "# [    3.4] random: crng init done\n",
	    "[    3.4] tsc: Marking TSC unstable due to clocksource watchdog\n",
	    "[    3.4] random: crng reseeded on system resumption\n",
	    "[    3.4] input: Rig as /devices/virtual/input/input7\n",
	    /* Lines of trouble, whatever else they say. */
	    "[    3.4] random: crng init done BUG: soft lockup\n",
	    "[    3.4] ACPI: Power Button [x] blocked for more than 9 s\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		skips(kept[i], kept[i]);
}

static void unquotes(const char *text, const char *want)
{
	CLEANUP(buf_done) struct buf out = {0};

	news_unquote(&out, text, strlen(text));
	assert_text(&out, want);
}

static void a_text_without_its_quotes_is_the_rest(void **state)
{
	(void)state;
	unquotes("dead; the console ends:\n  | a\n  | b", "dead");
	unquotes(
	    "x\ndead; the console ends:\n  | a\ny; the console ends:\n  | b"
	    "\nz",
	    "x\ndead\ny\nz");
	unquotes("it says; the console ends: so",
		 "it says; the console ends: so");
	unquotes("", "");
	unquotes("plain", "plain");
}

#define T(name) cmocka_unit_test(name)

static const struct CMUnitTest tests[] = {
    T(without_trouble_the_last_lines_are_picked),
    T(a_line_that_does_not_fit_is_cut),
    T(a_breakdown_is_where_the_news_begin),
    T(a_breakdown_that_is_too_long_keeps_its_beginning),
    T(the_first_trouble_is_the_alarm_and_cuts_nothing),
    T(lines_that_end_every_boot_are_skipped),
    T(a_line_begins_where_the_one_before_ends),
    T(no_other_line_is_skipped),
    T(a_quote_has_whole_lines),
    T(a_text_without_its_quotes_is_the_rest),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
