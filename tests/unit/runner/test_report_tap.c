/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"
#include "runner/report.h"
#include "tests/unit/runner/lib_say.h"

static void begin(struct page *p)
{
	page_init(p);
	p->sink = report_tap_new(p->out);
	page_say(p, SAY_START);
}

/* The grammar of TAP 13, for what is used of it: version, points numbered from
 * 1, YAML blocks indented by two, then a plan or a bail out. */
static void check_grammar(struct page *p)
{
	bool is_over = false, in_yaml = false;
	unsigned n = 0, got;
	char *save = NULL;

	fflush(p->out);
	char *copy = mem_strdup(p->text);
	char *line = strtok_r(copy, "\n", &save);

	assert_string_equal(line, "TAP version 13");
	while ((line = strtok_r(NULL, "\n", &save))) {
		assert_false(is_over);
		if (in_yaml) {
			assert_memory_equal(line, "  ", 2);
			in_yaml = strcmp(line, "  ...") != 0;
		} else if (!strcmp(line, "  ---")) {
			assert_true(n > 0);
			in_yaml = true;
		} else if (sscanf(line, "1..%u", &got) == 1) {
			assert_int_equal(got, n);
			is_over = true;
		} else if (!strncmp(line, "Bail out!", 9)) {
			is_over = true;
		} else if (sscanf(line, "ok %u - ", &got) == 1 ||
			   sscanf(line, "not ok %u - ", &got) == 1) {
			assert_int_equal(got, ++n);
		} else {
			fail_msg("'%s' is no TAP", line);
		}
	}
	assert_true(is_over);
	assert_false(in_yaml);
	free(copy);
}

static void each_test_is_a_point(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_TEST("a", "passed", ""));
	page_say(&p, SAY_TEST("b", "skipped", ",\"reason\":\"moon\""));
	page_say(&p, SAY_TEST("c", "failed", ",\"message\":\"no\""));
	page_say(&p, SAY_END);
	fflush(p.out);
	assert_string_equal(p.text, "TAP version 13\n"
				    "ok 1 - x.test.lua: a\n"
				    "ok 2 - x.test.lua: b # SKIP moon\n"
				    "not ok 3 - x.test.lua: c\n"
				    "  ---\n"
				    "  message: \"no\"\n"
				    "  duration: 0.25\n"
				    "  ...\n"
				    "1..3\n");
	check_grammar(&p);
	page_done(&p);
}

static void text_stays_within_its_line_and_block(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_TEST("a # SKIP\\nok 9 - x \\\\", "failed",
			      ",\"message\":\"\\n  ...\\nok 2 - x\\u2028\","
			      "\"console\":[{\"vm\":\"v\","
			      "\"text\":\"\\r\\nBail out!\\u001b\"}]"));
	page_say(&p, "{\"event\":\"file_error\",\"file\":\"#\\n\","
		     "\"message\":\"\\n...\"}");
	page_say(&p, SAY_END);
	check_grammar(&p);
	page_shows(&p, "not ok 1 - x.test.lua: a \\x23 SKIP");
	page_shows(&p, "1..2\n");
	page_done(&p);
}

static void nothing_ends_at_a_nul_byte(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_TEST("a", "skipped", ",\"reason\":\"a\\u0000moon\""));
	page_say(&p, SAY_TEST("b", "failed", ",\"message\":\"a\\u0000why\""));
	page_say(&p, SAY_END);
	check_grammar(&p);
	page_shows(&p, "x00moon\n");
	page_shows(&p, "  message: \"a\\u0000why\"\n");
	page_done(&p);
}

/* Readers differ in what escapes they know: a name holds no "#" at all, and a
 * brace does not end it. */
static void a_name_is_no_directive_to_any_reader(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_TEST("a \\\\# TODO b", "failed", ",\"message\":\"\""));
	page_say(&p, SAY_TEST("#skip", "passed", ""));
	page_say(&p, SAY_TEST("f() { \\t", "passed", ""));
	page_say(&p, SAY_TEST("{", "skipped", ",\"reason\":\"#1 {\""));
	page_say(&p, SAY_TEST("a\\\\", "skipped", ",\"reason\":\"\""));
	page_say(&p, SAY_END);
	check_grammar(&p);
	page_shows(&p, "not ok 1 - x.test.lua: a \\\\x23 TODO b\n");
	page_shows(&p, "ok 2 - x.test.lua: \\x23skip\n");
	page_shows(&p, "ok 3 - x.test.lua: f() \\x7b");
	page_shows(&p, "ok 4 - x.test.lua: \\x7b # SKIP \\x231 \\x7b\n");
	page_shows(&p, "ok 5 - x.test.lua: a\\ # SKIP\n");
	page_done(&p);
}

static void long_texts_are_cut(void **state)
{
	struct page p;
	struct buf ev = {0};

	(void)state;
	begin(&p);
	buf_printf(&ev, "{\"event\":\"test_end\",\"file\":\"x.test.lua\","
			"\"test\":\"a\",\"line\":7,\"duration\":1,"
			"\"status\":\"failed\",\"trace\":\"t\",\"message\":\"");
	for (int i = 0; i < 100000; i++)
		buf_printf(&ev, "\\u0001");
	buf_printf(&ev, "\",\"console\":[{\"vm\":\"v\",\"text\":\"");
	for (int i = 0; i < 100000; i++)
		buf_printf(&ev, "\\u00e4");
	buf_printf(&ev, "\"}]}");
	buf_append(&ev, "", 1);
	page_say(&p, (char *)buf_data(&ev));
	page_say(&p, SAY_END);
	check_grammar(&p);
	page_shows(&p, "[91808 more bytes]\"\n");
	page_shows(&p, "[191808 more bytes]\"}]\n");
	assert_true(p.n < 120000);
	buf_done(&ev);
	page_done(&p);
}

static void say_line(struct page *p, const char *file, int i)
{
	char *ev = mem_printf("{\"event\":\"log\",\"file\":\"%s\","
			      "\"test\":\"a\",\"text\":\"%c%d\"}",
			      file, *file, i);

	page_say(p, ev);
	free(ev);
}

/* Files run side by side. */
static void a_failure_has_the_end_of_what_it_printed(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	say_line(&p, "x.test.lua", 0);
	page_say(&p, SAY_BEGIN("a"));
	for (int i = 1; i <= 201; i++) {
		say_line(&p, "x.test.lua", i);
		say_line(&p, "y.test.lua", i);
	}
	page_say(&p, SAY_TEST("a", "failed", ",\"message\":\"no\""));
	page_say(&p, SAY_BEGIN("b"));
	page_say(&p, SAY_TEST("b", "failed", ",\"message\":\"no\""));
	page_say(&p, SAY_BEGIN("c"));
	say_line(&p, "x.test.lua", 999);
	page_say(&p, SAY_TEST("c", "passed", ""));
	page_say(&p, SAY_END);
	check_grammar(&p);
	page_shows(&p, "  log: \"[1 line before this]\\nx2\\nx3\\n");
	page_shows(&p, "\\nx201\\n\"\n");
	page_hides(&p, "y2");
	page_hides(&p, "x0");
	page_hides(&p, "log: \"\"");
	page_hides(&p, "x999");
	page_done(&p);
}

static void a_flaky_test_has_its_first_failure(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_BEGIN("a"));
	page_say(&p, SAY_ATTEMPT("a", 1, "first"));
	page_say(&p, SAY_ATTEMPT("a", 2, "second"));
	page_say(&p, SAY_TEST("a", "passed", ",\"attempts\":3"));
	page_say(&p, SAY_BEGIN("b"));
	page_say(&p, SAY_TEST("b", "passed", ",\"attempts\":2"));
	page_say(&p, SAY_END);
	check_grammar(&p);
	page_shows(&p, "ok 1 - x.test.lua: a\n"
		       "  ---\n"
		       "  duration: 0.25\n"
		       "  attempts: 3\n"
		       "  first_failure: \"first\"\n"
		       "  ...\n");
	page_hides(&p, "second");
	page_done(&p);
}

static void a_shuffled_failure_says_how_to_repeat_it(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_TEST("a", "failed",
			      ",\"message\":\"no\",\"repeat\":\"provium run "
			      "--shuffle 7 x.test.lua\""));
	page_say(&p, SAY_END);
	check_grammar(&p);
	page_shows(&p, "  repeat: \"provium run --shuffle 7 x.test.lua\"\n");
	page_done(&p);
}

static void an_interrupted_run_bails_out(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_TEST("a", "passed", ""));
	page_say(&p, "{\"event\":\"run_end\",\"passed\":1,\"failed\":0,"
		     "\"skipped\":0,\"errors\":0,"
		     "\"interrupted\":\"SIGINT\"}");
	check_grammar(&p);
	page_shows(&p, "Bail out! interrupted by SIGINT\n");
	page_hides(&p, "1..");
	page_done(&p);
}

static void a_run_of_nothing_has_a_plan(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_END);
	check_grammar(&p);
	page_shows(&p, "1..0 # SKIP no tests\n");
	page_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_test_is_a_point),
	    cmocka_unit_test(text_stays_within_its_line_and_block),
	    cmocka_unit_test(a_name_is_no_directive_to_any_reader),
	    cmocka_unit_test(long_texts_are_cut),
	    cmocka_unit_test(nothing_ends_at_a_nul_byte),
	    cmocka_unit_test(an_interrupted_run_bails_out),
	    cmocka_unit_test(a_shuffled_failure_says_how_to_repeat_it),
	    cmocka_unit_test(a_flaky_test_has_its_first_failure),
	    cmocka_unit_test(a_failure_has_the_end_of_what_it_printed),
	    cmocka_unit_test(a_run_of_nothing_has_a_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
