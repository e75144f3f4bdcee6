/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/explain.h"
#include "runner/report_tree.h"
#include "tests/unit/runner/lib_say.h"

static void begin(struct page *p)
{
	page_init(p);
	p->sink = report_tree_new();
	page_say(p, SAY_START);
}

/* Ends the run. The failures that word means; owned. */
static json_t *choose(struct page *p, const char *word)
{
	json_t *all, *chosen;

	page_say(p, SAY_END);
	all = explain_failures(report_tree_document(p->sink));
	chosen = explain_choose(all, word);
	json_decref(all);
	return chosen;
}

/* Ends the run, and explains its only failure. */
static void explain(struct page *p)
{
	struct printer printer = {p->out, false};
	json_t *chosen = choose(p, NULL);

	assert_int_equal(json_array_size(chosen), 1);
	explain_write(&printer, json_array_get(chosen, 0));
	json_decref(chosen);
}

#define SAY_CONSOLE(vm, more)                                                  \
	"{\"event\":\"failure_console\",\"file\":\"x.test.lua\","              \
	"\"test\":\"a\",\"vm\":\"" vm "\"," more "}"
#define SAY_CALLS(more)                                                        \
	"{\"event\":\"failure_calls\",\"file\":\"x.test.lua\","                \
	"\"test\":\"a\",\"calls\":[{\"method\":\"vm:run\",\"at\":1.5,"         \
	"\"seconds\":0.25,\"note\":\"`true` exited with 0\",\"location\":"     \
	"{\"file\":\"x.test.lua\",\"line\":3}}]" more "}"

#define SAY_PACKETS(more)                                                      \
	"{\"event\":\"failure_packets\",\"file\":\"x.test.lua\","              \
	"\"test\":\"a\",\"bridge\":\"lan\",\"packets\":[{\"at\":0.25,"         \
	"\"text\":\"ARP 10.0.0.1 asks who has 10.0.0.2\"}]" more "}"

static void a_failure_is_told_in_full(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_BEGIN("a"));
	page_say(&p, SAY_LOG("I said"));
	page_say(&p,
		 SAY_CONSOLE("v", "\"text\":\"Linux version\\r\\nup\\r\\n\""));
	page_say(&p, SAY_CALLS(""));
	page_say(&p, SAY_PACKETS(""));
	page_say(&p, SAY_TEST("a", "failed",
			      ",\"message\":\"values differ\\n  got: 1\","
			      "\"location\":{\"file\":\"x.test.lua\","
			      "\"line\":4},\"source\":\">    4 | no\\n\","
			      "\"trace\":\"x.test.lua:4: in function f\\n\","
			      "\"network\":[\"lan: a <-> b partitioned\"],"
			      "\"console\":[{\"vm\":\"v\",\"text\":\"up\"}],"
			      "\"artifacts\":[\"1-v.console\"]"));
	page_say(&p, "{\"event\":\"artifacts\",\"file\":\"x.test.lua\","
		     "\"paths\":[\"kept/1-v.console\",\"kept/1-w.qmp\"]}");
	explain(&p);
	fflush(p.out);
	assert_string_equal(p.text,
			    "x.test.lua: a  failed, 250 ms\n"
			    "  x.test.lua:4: values differ\n"
			    "    got: 1\n"
			    "  in force on lan: a <-> b partitioned\n"
			    "\nsource\n"
			    ">    4 | no\n"
			    "\ntrace\n"
			    "  x.test.lua:4: in function f\n"
			    "\ncalls: when, how long, which, where, what\n"
			    "     1.500 s  250 ms  vm:run  x.test.lua:3"
			    "  `true` exited with 0\n"
			    "\npackets of lan since the attempt began\n"
			    "     0.250 s  ARP 10.0.0.1 asks who has 10.0.0.2\n"
			    "\nconsole of v since power-on\n"
			    "  | Linux version\n"
			    "  | up\n"
			    "\nprinted\n"
			    "  | I said\n"
			    "\nkept files\n"
			    "  kept/1-v.console\n");
	page_done(&p);
}

static void what_was_left_out_is_told(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_CONSOLE("v", "\"text\":\"end\",\"left_out\":77"));
	page_say(&p, SAY_CALLS(",\"left_out\":5"));
	page_say(&p, SAY_PACKETS(",\"left_out\":6"));
	page_say(&p, SAY_TEST("a", "failed", ",\"message\":\"m\""));
	explain(&p);
	page_shows(&p, "console of v (its end; 77 bytes before it are left "
		       "out)\n  | end\n");
	page_shows(&p, " (the last 1; 5 before them)\n");
	page_shows(&p, "packets of lan (the last 1; 6 before them)\n");
	page_shows(&p, "no files were kept: run with --artifacts DIR");
	page_done(&p);
}

static void events_without_the_whole_show_what_they_have(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_TEST("a", "failed",
			      ",\"message\":\"m\",\"calls\":[{\"method\":"
			      "\"vm:boot\",\"seconds\":2}],\"console\":["
			      "{\"vm\":\"v\",\"text\":\"up\"}]"));
	explain(&p);
	page_shows(&p, "last calls (the events have no others)\n"
		       "  2.00 s  vm:boot");
	page_shows(&p,
		   "console of v (the events have no more of it)\n  | up\n");
	page_done(&p);
}

static void each_attempt_has_what_was_told_of_it(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_BEGIN("a"));
	page_say(&p, SAY_CONSOLE("v", "\"text\":\"first boot\""));
	page_say(&p, SAY_ATTEMPT("a", 1, "one"));
	page_say(&p, SAY_TEST("a", "passed", ",\"attempts\":2"));
	explain(&p);
	page_shows(&p, "x.test.lua: a  flaky: passed when tried again");
	page_shows(&p, "\nattempt 1 failed, and another followed\n"
		       "  one\n");
	page_shows(&p, "  | first boot\n");
	page_hides(&p, "  failed\n");
	page_done(&p);
}

static void a_failure_outside_of_tests_has_its_console(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, "{\"event\":\"failure_console\",\"file\":\"x.test.lua\","
		     "\"vm\":\"v\",\"text\":\"boot\"}");
	page_say(&p, "{\"event\":\"file_error\",\"file\":\"x.test.lua\","
		     "\"message\":\"x.test.lua:1: oops\"}");
	explain(&p);
	page_shows(&p, "x.test.lua: [outside of tests]  failed\n"
		       "  x.test.lua:1: oops\n");
	page_shows(&p, "console of v since power-on\n  | boot\n");
	page_done(&p);
}

static void a_failure_is_chosen_by_number_or_text(void **state)
{
	static const struct {
		const char *word;
		size_t n;
		const char *name; /* of the first */
	} cases[] = {
	    {NULL, 3, "alpha"},
	    {"1", 1, "alpha"},
	    {"3", 1, "alphabet"},
	    {"4", 0, NULL},
	    {"0", 0, NULL},
	    {"alpha", 2, "alpha"},
	    {"x.test.lua: b", 1, "beta"},
	    {"passes", 0, NULL},
	    {"99999999999999999999", 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct page p;

		begin(&p);
		page_say(&p, SAY_TEST("alpha", "failed", ""));
		page_say(&p, SAY_TEST("passes", "passed", ""));
		page_say(&p, SAY_TEST("beta", "failed", ""));
		page_say(&p, SAY_TEST("alphabet", "failed", ""));
		json_t *chosen = choose(&p, cases[i].word);
		assert_int_equal(json_array_size(chosen), cases[i].n);
		if (cases[i].name)
			assert_string_equal(
			    tree_string(json_array_get(chosen, 0), "name"),
			    cases[i].name);
		json_decref(chosen);
		page_done(&p);
	}
}

static void a_list_has_a_line_for_each(void **state)
{
	struct printer printer;
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_TEST("one", "failed", ""));
	page_say(&p, SAY_TEST("two\\nlines", "failed", ""));
	json_t *chosen = choose(&p, NULL);
	printer = (struct printer){p.out, false};
	explain_list(&printer, chosen);
	json_decref(chosen);
	page_shows(&p,
		   "   1  x.test.lua: one\n   2  x.test.lua: two\\x0alines\n");
	page_done(&p);
}

static void hostile_text_is_never_raw(void **state)
{
#define BAD "\\u001b[2J\\u0000\\u009b\\u0007"
	struct page p;

	(void)state;
	begin(&p);
	page_say(&p, SAY_BEGIN("a"));
	page_say(&p, SAY_LOG(BAD));
	page_say(&p, SAY_CONSOLE(BAD, "\"text\":\"" BAD "\\rx\""));
	page_say(&p, "{\"event\":\"failure_calls\",\"file\":\"x.test.lua\","
		     "\"calls\":[{\"method\":\"" BAD "\",\"at\":1e12,"
		     "\"seconds\":1e12,\"note\":\"" BAD "\",\"location\":"
		     "{\"file\":\"" BAD "\",\"line\":-1}}]}");
	page_say(&p, "{\"event\":\"failure_packets\",\"file\":\"x.test.lua\","
		     "\"bridge\":\"" BAD "\",\"packets\":[{\"at\":1e12,"
		     "\"text\":\"" BAD "\"}]}");
	page_say(&p, SAY_TEST(BAD, "failed",
			      ",\"message\":\"" BAD "\\n" BAD
			      "\",\"trace\":\"" BAD "\",\"source\":\"" BAD
			      "\",\"network\":[\"" BAD "\"],\"console\":["
			      "{\"vm\":\"" BAD "\",\"text\":\"" BAD
			      "\",\"alarm\":\"" BAD "\"}]"));
	page_say(&p, "{\"event\":\"artifacts\",\"file\":\"x.test.lua\","
		     "\"paths\":[\"" BAD "\"]}");
	explain(&p);
	fflush(p.out);
	for (size_t i = 0; i < p.n; i++) {
		unsigned char c = (unsigned char)p.text[i];
		assert_true(c == '\n' || (c >= 0x20 && c != 0x7f));
	}
	page_hides(&p, "\xc2\x9b");
	page_shows(&p, "\\x1b[2J");
	page_done(&p);
}

static void members_that_the_document_adds_are_not_taken(void **state)
{
	struct page p;

	(void)state;
	begin(&p);
	page_say(
	    &p,
	    SAY_TEST(
		"a", "failed",
		",\"kept\":[5],\"log\":7,\"made\":\"x\","
		"\"transcripts\":{},\"packets\":[[]],\"attempts_failed\":[{}],"
		"\"message\":\"m\""));
	explain(&p);
	page_hides(&p, "attempt");
	page_hides(&p, "kept files");
	page_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_failure_is_told_in_full),
	    cmocka_unit_test(what_was_left_out_is_told),
	    cmocka_unit_test(events_without_the_whole_show_what_they_have),
	    cmocka_unit_test(each_attempt_has_what_was_told_of_it),
	    cmocka_unit_test(a_failure_outside_of_tests_has_its_console),
	    cmocka_unit_test(a_failure_is_chosen_by_number_or_text),
	    cmocka_unit_test(a_list_has_a_line_for_each),
	    cmocka_unit_test(hostile_text_is_never_raw),
	    cmocka_unit_test(members_that_the_document_adds_are_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
