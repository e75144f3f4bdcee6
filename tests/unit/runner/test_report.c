/* SPDX-License-Identifier: MIT */
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/report.h"
#include "tests/unit/runner/lib_recorder.h"
#include "tests/unit/tmp.h"

/* A reporter that writes into memory. */
struct fixture {
	FILE *out;
	char *text;
	size_t n;
	struct event_sink *sink;
};

static void begin(struct fixture *f, struct report_options opts)
{
	f->text = NULL;
	f->out = open_memstream(&f->text, &f->n);
	f->sink = report_plain_new(f->out, &opts);
}

static void say(struct event_sink *sink, const char *json)
{
	json_error_t je;
	json_t *ev = json_loads(json, JSON_ALLOW_NUL, &je);

	if (!ev)
		fail_msg("%s: %s", json, je.text);
	sink->event(sink, ev);
	json_decref(ev);
}

static void end(struct fixture *f)
{
	report_free(f->sink);
	fclose(f->out);
	free(f->text);
}

static void shows(const struct fixture *f, const char *want)
{
	if (!strstr(f->text, want))
		fail_msg("%s\ndoes not contain '%s'", f->text, want);
}

static void hides(const struct fixture *f, const char *text)
{
	if (strstr(f->text, text))
		fail_msg("%s\ncontains '%s'", f->text, text);
}

#define RUN_START  "{\"event\":\"run_start\",\"files\":1}"
#define FILE_START "{\"event\":\"file_start\",\"file\":\"x.test.lua\"}"
#define PLAN	   "{\"event\":\"plan\",\"file\":\"x.test.lua\",\"tests\":[]}"
#define PASSED                                                                 \
	"{\"event\":\"test_end\",\"file\":\"x.test.lua\",\"test\":\"a\","      \
	"\"status\":\"passed\",\"duration\":0.0123}"
#define SKIPPED                                                                \
	"{\"event\":\"test_end\",\"file\":\"x.test.lua\",\"test\":\"b\","      \
	"\"status\":\"skipped\",\"reason\":\"needs a moon\",\"duration\":0}"
#define FILE_END "{\"event\":\"file_end\",\"file\":\"x.test.lua\"}"
#define RUN_END(p, fl, s, e)                                                   \
	"{\"event\":\"run_end\",\"passed\":" #p ",\"failed\":" #fl             \
	",\"skipped\":" #s ",\"errors\":" #e ",\"duration\":1.5}"

static void a_good_run_reads_well(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){0});
	say(f.sink, RUN_START);
	say(f.sink, FILE_START);
	say(f.sink, PLAN);
	say(f.sink, PASSED);
	say(f.sink, SKIPPED);
	say(f.sink, FILE_END);
	say(f.sink, RUN_END(1, 0, 1, 0));
	assert_string_equal(f.text, "x.test.lua\n"
				    "  ok    a  12 ms\n"
				    "  skip  b  (needs a moon)\n"
				    "\n"
				    "1 passed, 0 failed, 1 skipped (1.50 s)\n");
	end(&f);
}

static void a_failure_shows_all_that_is_known(void **state)
{
	struct fixture f;
	char path[TMP_PATH_MAX];
	char *json;

	(void)state;
	tmp_template(path);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	dprintf(fd, "line one\nline two\nline three\nline four\n");
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"log\",\"test\":\"a\",\"text\":\"I said\"}");
	json = mem_printf(
	    "{\"event\":\"test_end\",\"file\":\"x.test.lua\",\"test\":\"a\","
	    "\"status\":\"failed\",\"duration\":61,"
	    "\"message\":\"%s:3: values differ\\n  got: 1\\n  want: 2\","
	    "\"location\":{\"file\":\"%s\",\"line\":3},"
	    "\"trace\":\"in function foo\\nin function bar\\n\","
	    "\"console\":[{\"vm\":\"v1\",\"text\":\"boot\\r\\npanic\\r\\n\"}]}",
	    path, path);
	say(f.sink, json);
	say(f.sink, RUN_END(0, 1, 0, 0));
	free(json);
	char *want = mem_printf("x.test.lua\n"
				"  FAIL  a  1 m 01 s\n"
				"        %s:3: values differ\n"
				"          got: 1\n"
				"          want: 2\n"
				"             2 | line two\n"
				"        >    3 | line three\n"
				"             4 | line four\n"
				"        in function foo\n"
				"        in function bar\n"
				"        console of v1\n"
				"          | boot\n"
				"          | panic\n"
				"        printed\n"
				"          | I said\n"
				"\n"
				"0 passed, 1 failed (1.50 s)\n",
				path);
	assert_string_equal(f.text, want);
	free(want);
	end(&f);
	unlink(path);
	close(fd);
}

static void a_trace_of_one_line_is_left_out(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"test_end\",\"test\":\"t\","
		    "\"status\":\"failed\",\"message\":\"m\","
		    "\"trace\":\"x.test.lua:1: in function\\n\"}");
	hides(&f, "in function");
	end(&f);
}

static void
a_console_that_the_message_ends_with_is_not_shown_again(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say(f.sink,
	    "{\"event\":\"test_end\",\"test\":\"t\",\"status\":\"failed\","
	    "\"message\":\"dead; the console ends:\\n  | a\\n  | oops\","
	    "\"console\":[{\"vm\":\"dead\",\"text\":\"a\\r\\noops\\r\\n\"},"
	    "{\"vm\":\"alive\",\"text\":\"login:\"},"
	    "{\"vm\":\"mute\",\"text\":\"\\r\\n\"}]}");
	hides(&f, "console of dead");
	shows(&f, "console of alive\n");
	shows(&f, "console of mute\n");
	end(&f);
}

static void guest_text_is_never_raw(void **state)
{
	static const char *const bad[] = {
	    "{\"event\":\"file_start\",\"file\":\"x\\u001b[2J\"}",
	    "{\"event\":\"log\",\"text\":\"x\\u001b[2J\\u009b\\r\"}",
	    "{\"event\":\"test_end\",\"test\":\"n\\u001b[2J\\u0007\","
	    "\"status\":\"failed\",\"message\":\"\\u001b]0;x\\u0007\","
	    "\"trace\":\"\\u001bc\",\"location\":{\"file\":\"\\u001b7\","
	    "\"line\":1},\"console\":[{\"vm\":\"\\u001b\",\"text\":\"\\u001b"
	    "[2Jcleared\\rover\\r\\n\"}]}",
	    "{\"event\":\"file_error\",\"message\":\"\\u001b[2J\"}",
	    "{\"event\":\"test_end\",\"test\":\"\\u001b[2J\","
	    "\"status\":\"skipped\",\"reason\":\"\\u001b[2J\"}",
	};
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){.is_verbose = true});
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		say(f.sink, bad[i]);
	say(f.sink, RUN_END(0, 1, 1, 1));
	for (size_t i = 0; i < f.n; i++) {
		unsigned char c = (unsigned char)f.text[i];
		assert_true(c == '\n' || (c >= 0x20 && c != 0x7f));
	}
	hides(&f, "\xc2\x9b");
	shows(&f, "\\x1b[2Jcleared\\x0dover\n");
	end(&f);
}

static void a_file_that_does_not_load_is_a_failure(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"file_error\",\"file\":\"x.test.lua\","
		    "\"message\":\"x.test.lua:3: unexpected symbol\"}");
	say(f.sink, RUN_END(0, 0, 0, 1));
	assert_string_equal(f.text, "x.test.lua\n"
				    "  FAIL  [the file did not load]\n"
				    "        x.test.lua:3: unexpected symbol\n"
				    "\n"
				    "0 passed, 1 failed (1.50 s)\n");
	end(&f);
}

static void what_a_passing_test_printed_needs_verbose(void **state)
{
	struct fixture f;

	(void)state;
	for (int verbose = 0; verbose < 2; verbose++) {
		begin(&f, (struct report_options){.is_verbose = verbose});
		say(f.sink, FILE_START);
		say(f.sink, "{\"event\":\"log\",\"text\":\"secret\"}");
		say(f.sink, PASSED);
		say(f.sink, RUN_END(1, 0, 0, 0));
		if (verbose)
			shows(&f, "  | secret\n");
		else
			hides(&f, "secret");
		end(&f);
	}
}

static void quiet_shows_failures_alone(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){.is_quiet = true});
	say(f.sink, FILE_START);
	say(f.sink, PASSED);
	say(f.sink, SKIPPED);
	say(f.sink, RUN_END(1, 0, 1, 0));
	assert_string_equal(f.text, "1 passed, 0 failed, 1 skipped (1.50 s)\n");
	end(&f);
	begin(&f, (struct report_options){.is_quiet = true});
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"test_end\",\"test\":\"z\","
		    "\"status\":\"failed\",\"message\":\"no\"}");
	shows(&f, "x.test.lua\n  FAIL  z");
	end(&f);
}

static void the_last_line_is_the_summary(void **state)
{
	struct fixture f;
	regex_t re;

	(void)state;
	assert_int_equal(regcomp(&re, "^[0-9]+ passed, [0-9]+ failed",
				 REG_EXTENDED | REG_NOSUB),
			 0);
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	for (int i = 0; i < 20; i++)
		say(f.sink, "{\"event\":\"test_end\",\"test\":\"z\","
			    "\"status\":\"failed\",\"message\":\"no\"}");
	say(f.sink, "{\"event\":\"run_end\",\"passed\":0,\"failed\":20,"
		    "\"skipped\":0,\"errors\":0,\"duration\":1,"
		    "\"interrupted\":\"SIGINT\"}");
	shows(&f, "failed:\n  x.test.lua  z\n");
	shows(&f, "interrupted by SIGINT");
	f.text[f.n - 1] = '\0';
	char *last = strrchr(f.text, '\n') + 1;
	assert_int_equal(regexec(&re, last, 0, NULL, 0), 0);
	regfree(&re);
	end(&f);
}

#define ROUND(k, test, status)                                                 \
	"{\"event\":\"test_end\",\"file\":\"x.test.lua#" #k                    \
	"\",\"test\":\"" test "\",\"status\":\"" status                        \
	"\",\"message\":\"no\",\"duration\":0}"

static void tests_that_were_repeated_are_counted(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say(f.sink, ROUND(1, "a", "passed"));
	say(f.sink, ROUND(1, "b", "failed"));
	say(f.sink, ROUND(1, "c", "skipped"));
	say(f.sink, ROUND(2, "a", "passed"));
	say(f.sink, ROUND(2, "b", "passed"));
	say(f.sink, ROUND(2, "c", "failed"));
	say(f.sink, ROUND(3, "b", "failed"));
	say(f.sink, RUN_END(3, 3, 1, 0));
	shows(&f, "\nrepeated:\n  x.test.lua: b  failed 2 times of 3\n\n");
	hides(&f, ": a  failed");
	/* It ran only once. */
	hides(&f, ": c  failed");
	end(&f);
}

static void a_failed_test_says_how_often_it_was_tried(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"test_end\",\"test\":\"z\",\"status\":"
		    "\"failed\",\"message\":\"no\",\"attempts\":3}");
	shows(&f, "FAIL  z  0 ms  in all of 3 attempts\n");
	end(&f);
}

static void a_nul_byte_ends_nothing_that_is_shown(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"test_end\",\"test\":\"y\",\"status\":"
		    "\"skipped\",\"reason\":\"a\\u0000moon\"}");
	say(f.sink, "{\"event\":\"test_end\",\"test\":\"z\",\"status\":"
		    "\"failed\",\"message\":\"a\\u0000b\\nc\\u0000why\"}");
	shows(&f, "(a\\x00moon)\n");
	shows(&f, "a\\x00b\n");
	shows(&f, "c\\x00why\n");
	end(&f);
}

static void colour_is_asked_for(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){.is_colored = true});
	say(f.sink, FILE_START);
	say(f.sink, PASSED);
	shows(&f, "\033[32mok\033[m");
	end(&f);
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say(f.sink, PASSED);
	hides(&f, "\033");
	end(&f);
}

#define FAILED_WITH(message)                                                   \
	"{\"event\":\"test_end\",\"test\":\"z\",\"status\":\"failed\","        \
	"\"message\":\"" message "\"}"

static void got_and_expected_have_colours(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){.is_colored = true});
	say(f.sink, FILE_START);
	say(f.sink, FAILED_WITH("values differ\\n  got:      1\\n"
				"  expected: 2"));
	shows(&f, "          got:      \033[31m1\033[m\n");
	shows(&f, "          expected: \033[32m2\033[m\n");
	say(f.sink, FAILED_WITH("the tables differ:\\n"
				"  .a.b: got 1, expected 2"));
	shows(&f, "          .a.b: got \033[31m1\033[m, expected "
		  "\033[32m2\033[m\n");
	end(&f);
}

static void the_lines_of_a_diff_have_colours(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){.is_colored = true});
	say(f.sink, FILE_START);
	say(f.sink, FAILED_WITH("the texts differ from line 2 on:\\n"
				"    same\\n  - old\\n  + new\\n"
				"  (- expected, + got)"));
	shows(&f, "            same\n");
	shows(&f, "        \033[32m  - old\033[m\n");
	shows(&f, "        \033[31m  + new\033[m\n");
	shows(&f, "        \033[2m  (- expected, + got)\033[m\n");
	end(&f);
}

/* What a command printed may look like the lines of a diff. */
static void other_messages_have_no_colours_of_a_diff(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){.is_colored = true});
	say(f.sink, FILE_START);
	say(f.sink, FAILED_WITH("vm:run: exited with 1\\n  - old\\n  + new"));
	shows(&f, "          - old\n          + new\n");
	end(&f);
}

static void the_line_that_failed_is_brighter_than_its_neighbours(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){.is_colored = true});
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"test_end\",\"test\":\"z\",\"status\":"
		    "\"failed\",\"message\":\"no\",\"source\":"
		    "\"     2 | a | b\\n>    3 | c | d\\n     4 | e\\n\"}");
	shows(&f, "        \033[2m     2 | a | b\033[m\n");
	shows(&f, "        \033[1;31m>    3 | \033[m\033[1mc | d\033[m\n");
	shows(&f, "        \033[2m     4 | e\033[m\n");
	end(&f);
}

static void say_lines(struct event_sink *sink, int n)
{
	for (int i = 1; i <= n; i++) {
		char *json = mem_printf("{\"event\":\"log\",\"test\":\"z\","
					"\"text\":\"line %d.\"}",
					i);
		say(sink, json);
		free(json);
	}
}

static void a_failure_shows_the_last_200_lines_of_the_log(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say_lines(f.sink, 100000);
	say(f.sink, FAILED_WITH("no"));
	shows(&f, "        printed (last 200 lines, 99800 before them)\n"
		  "          | line 99801.\n");
	shows(&f, "          | line 100000.\n");
	hides(&f, "line 99800.");
	say_lines(f.sink, 200);
	say(f.sink, FAILED_WITH("no"));
	shows(&f, "        printed\n          | line 1.\n");
	end(&f);
}

static void verbose_shows_all_that_a_passing_test_printed(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){.is_verbose = true});
	say(f.sink, FILE_START);
	say_lines(f.sink, 1000);
	say(f.sink, PASSED);
	shows(&f, "        printed\n          | line 1.\n");
	shows(&f, "          | line 1000.\n");
	end(&f);
}

static void a_flaky_test_tells_its_first_failure(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){.is_quiet = true});
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"test_attempt\",\"file\":\"x.test.lua\","
		    "\"test\":\"a\",\"attempt\":1,\"message\":\"no\\nmore\","
		    "\"location\":{\"file\":\"x.test.lua\",\"line\":7}}");
	say(f.sink, "{\"event\":\"test_attempt\",\"file\":\"x.test.lua\","
		    "\"test\":\"a\",\"attempt\":2,\"message\":\"later\"}");
	say(f.sink, "{\"event\":\"test_end\",\"file\":\"x.test.lua\","
		    "\"test\":\"a\",\"status\":\"passed\",\"attempts\":3}");
	say(f.sink, RUN_END(1, 0, 0, 0));
	shows(&f, "\nflaky, passed when tried again:\n  x.test.lua: a\n"
		  "    x.test.lua:7: no\n1 passed");
	hides(&f, "later");
	end(&f);
}

static void a_failure_of_a_shuffled_run_ends_with_how_to_repeat_it(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"log\",\"test\":\"z\",\"text\":\"said\"}");
	say(f.sink, "{\"event\":\"test_end\",\"test\":\"z\",\"status\":"
		    "\"failed\",\"message\":\"no\",\"repeat\":"
		    "\"provium run --shuffle 7 x.test.lua\"}");
	shows(&f, "          | said\n        repeat with: "
		  "provium run --shuffle 7 x.test.lua\n");
	end(&f);
}

static void a_fixture_says_why_it_was_built(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"fixture\",\"fixture\":\"web\",\"state\":"
		    "\"built\",\"seconds\":2,\"reason\":\"first build\"}");
	shows(&f, "  built web  2.00 s  (first build)\n");
	end(&f);
}

static void a_long_console_shows_its_end(void **state)
{
	struct fixture f;
	json_t *ev = json_pack("{s:s,s:s,s:s,s:s}", "event", "test_end", "test",
			       "t", "status", "failed", "message", "m");
	struct buf text = {0};

	(void)state;
	for (int i = 0; i < 100; i++)
		buf_printf(&text, "line %d.\n", i);
	json_object_set_new(ev, "console",
			    json_pack("[{s:s,s:s%}]", "vm", "v", "text",
				      (char *)buf_data(&text), text.len));
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	f.sink->event(f.sink, ev);
	shows(&f, "line 99.\n");
	shows(&f, "line 75.\n");
	hides(&f, "line 74.\n");
	shows(&f, "(last 25 lines)");
	end(&f);
	json_decref(ev);
	buf_done(&text);
}

static void a_console_line_without_end_shows_its_end(void **state)
{
	struct fixture f;
	json_t *ev = json_pack("{s:s,s:s,s:s,s:s}", "event", "test_end", "test",
			       "t", "status", "failed", "message", "m");
	struct buf text = {0};

	(void)state;
	buf_printf(&text, "before\n");
	for (int i = 0; i < 10000; i++)
		buf_printf(&text, "%d,", i);
	json_object_set_new(ev, "console",
			    json_pack("[{s:s,s:s%}]", "vm", "v", "text",
				      (char *)buf_data(&text), text.len));
	begin(&f, (struct report_options){0});
	say(f.sink, FILE_START);
	f.sink->event(f.sink, ev);
	shows(&f, "| before\n");
	shows(&f, "| ...");
	shows(&f, ",9998,9999,\n");
	hides(&f, ",5000,");
	end(&f);
	json_decref(ev);
	buf_done(&text);
}

static void a_list_names_tests_and_tags(void **state)
{
	struct report_options opts = {0};
	struct fixture f;

	(void)state;
	f.text = NULL;
	f.out = open_memstream(&f.text, &f.n);
	f.sink = report_list_new(f.out, &opts);
	say(f.sink, FILE_START);
	say(f.sink, "{\"event\":\"plan\",\"file\":\"x.test.lua\",\"tests\":["
		    "{\"name\":\"a\"},"
		    "{\"name\":\"b\",\"tags\":[\"slow\",\"net\"]},"
		    "{\"name\":\"c\",\"skip\":\"later\"}]}");
	say(f.sink, "{\"event\":\"file_error\",\"file\":\"y.test.lua\","
		    "\"message\":\"y.test.lua:1: no\"}");
	say(f.sink, RUN_END(0, 0, 0, 1));
	assert_string_equal(f.text, "x.test.lua\n"
				    "  a\n"
				    "  b  [slow, net]\n"
				    "  c  (skip: later)\n"
				    "y.test.lua\n"
				    "  y.test.lua:1: no\n"
				    "\n"
				    "3 tests in 1 file, 1 did not load\n");
	end(&f);
}

static void events_are_written_as_they_are(void **state)
{
	struct fixture f;

	(void)state;
	f.text = NULL;
	f.out = open_memstream(&f.text, &f.n);
	f.sink = report_events_new(f.out);
	say(f.sink, FILE_START);
	say(f.sink, FILE_END);
	assert_string_equal(f.text, FILE_START "\n" FILE_END "\n");
	end(&f);
}

static void files_in_parallel_read_as_one_after_the_other(void **state)
{
#define EV(e, f) "{\"event\":\"" e "\",\"file\":\"" f "\",\"text\":\"" f "\"}"
	struct recorder rec;
	struct event_sink *g;

	(void)state;
	recorder_init(&rec);
	g = report_group_new(&rec.sink);
	say(g, RUN_START);
	say(g, EV("file_start", "a"));
	say(g, EV("file_start", "b"));
	say(g, EV("file_start", "c"));
	say(g, EV("log", "c"));
	say(g, EV("log", "a"));
	say(g, EV("file_end", "b"));
	assert_string_equal(recorder_take(&rec), "run_start\nfile_start: a\n"
						 "log: a\n");
	say(g, EV("file_end", "a"));
	assert_string_equal(
	    recorder_take(&rec),
	    "file_end: a\nfile_start: b\nfile_end: b\nfile_start: c\n"
	    "log: c\n");
	say(g, EV("log", "c"));
	say(g, EV("file_end", "c"));
	assert_string_equal(recorder_take(&rec), "log: c\nfile_end: c\n");
	report_free(g);
	recorder_done(&rec);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_good_run_reads_well),
	    cmocka_unit_test(a_failure_shows_all_that_is_known),
	    cmocka_unit_test(a_trace_of_one_line_is_left_out),
	    cmocka_unit_test(
		a_console_that_the_message_ends_with_is_not_shown_again),
	    cmocka_unit_test(guest_text_is_never_raw),
	    cmocka_unit_test(a_file_that_does_not_load_is_a_failure),
	    cmocka_unit_test(what_a_passing_test_printed_needs_verbose),
	    cmocka_unit_test(quiet_shows_failures_alone),
	    cmocka_unit_test(the_last_line_is_the_summary),
	    cmocka_unit_test(a_nul_byte_ends_nothing_that_is_shown),
	    cmocka_unit_test(colour_is_asked_for),
	    cmocka_unit_test(a_fixture_says_why_it_was_built),
	    cmocka_unit_test(got_and_expected_have_colours),
	    cmocka_unit_test(the_lines_of_a_diff_have_colours),
	    cmocka_unit_test(other_messages_have_no_colours_of_a_diff),
	    cmocka_unit_test(
		the_line_that_failed_is_brighter_than_its_neighbours),
	    cmocka_unit_test(a_failure_shows_the_last_200_lines_of_the_log),
	    cmocka_unit_test(verbose_shows_all_that_a_passing_test_printed),
	    cmocka_unit_test(a_flaky_test_tells_its_first_failure),
	    cmocka_unit_test(
		a_failure_of_a_shuffled_run_ends_with_how_to_repeat_it),
	    cmocka_unit_test(tests_that_were_repeated_are_counted),
	    cmocka_unit_test(a_failed_test_says_how_often_it_was_tried),
	    cmocka_unit_test(a_long_console_shows_its_end),
	    cmocka_unit_test(a_console_line_without_end_shows_its_end),
	    cmocka_unit_test(a_list_names_tests_and_tags),
	    cmocka_unit_test(events_are_written_as_they_are),
	    cmocka_unit_test(files_in_parallel_read_as_one_after_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
