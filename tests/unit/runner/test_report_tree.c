/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/report.h"
#include "runner/report_tree.h"
#include "tests/unit/runner/lib_say.h"
#include "tests/unit/tmp.h"

static void begin(struct page *p, tree_writer write)
{
	page_init(p);
	p->sink = report_tree_new();
	report_tree_add(p->sink, NULL, p->out, write);
	page_say(p, SAY_START);
}

/* --- JUnit ----------------------------------------------------------------*/

static void junit_counts_what_was(void **state)
{
	struct page p;

	(void)state;
	begin(&p, report_junit_write);
	page_say(&p, SAY_TEST("a", "passed", ""));
	page_say(&p, SAY_TEST("b", "failed", ",\"message\":\"no\\nmore\""));
	page_say(&p, SAY_TEST("c", "skipped", ",\"reason\":\"moon\""));
	page_say(&p, "{\"event\":\"file_error\",\"file\":\"y.test.lua\","
		     "\"message\":\"oops\"}");
	page_say(&p, SAY_END);
	page_shows(&p, "<testsuites name=\"provium\" tests=\"4\" "
		       "failures=\"1\" errors=\"1\" skipped=\"1\" "
		       "time=\"1.500\">");
	page_shows(&p, "<testsuite name=\"x.test.lua\" tests=\"3\" "
		       "failures=\"1\" errors=\"0\" skipped=\"1\"");
	page_shows(&p, "<failure message=\"no\" type=\"failure\">no\nmore\n");
	page_shows(&p, "<skipped message=\"moon\"/>");
	page_shows(&p, "<error message=\"oops\" type=\"error\">oops\n");
	page_done(&p);
}

static void junit_has_no_character_that_xml_forbids(void **state)
{
	struct page p;

	(void)state;
	begin(&p, report_junit_write);
	page_say(&p, SAY_BEGIN("a"));
	page_say(&p, SAY_LOG("\\u001b[31m]]> <a b=\\\"c\\\">&\\r\\n\\uffff"));
	page_say(&p, SAY_TEST("a\\u0008\\n", "passed", ""));
	page_say(&p, SAY_END);
	page_shows(&p, "<testcase name=\"a\\x08&#10;\"");
	page_shows(&p, "<system-out>\\x1b[31m]]&gt; &lt;a "
		       "b=&quot;c&quot;&gt;&amp;&#13;\n\\u{ffff}\n");
	page_done(&p);
}

static void junit_has_what_is_behind_a_nul_byte(void **state)
{
	struct page p;

	(void)state;
	begin(&p, report_junit_write);
	page_say(&p, SAY_BEGIN("a"));
	page_say(&p, SAY_LOG("a\\u0000log"));
	page_say(&p, SAY_TEST("a", "failed",
			      ",\"message\":\"a\\u0000why\\nb\\u0000c\","
			      "\"console\":[{\"vm\":\"v\","
			      "\"text\":\"a\\u0000console\"}]"));
	page_say(&p, SAY_TEST("b", "skipped", ",\"reason\":\"a\\u0000moon\""));
	page_say(&p, SAY_END);
	page_shows(&p, "message=\"a\\x00why\" type=\"failure\">"
		       "a\\x00why\nb\\x00c\n");
	page_shows(&p, "a\\x00console");
	page_shows(&p, "<system-out>a\\x00log\n");
	page_shows(&p, "<skipped message=\"a\\x00moon\"/>");
	page_done(&p);
}

static void junit_tells_flaky_from_rerun(void **state)
{
	struct page p;

	(void)state;
	begin(&p, report_junit_write);
	page_say(&p, SAY_ATTEMPT("a", 1, "first"));
	page_say(&p, SAY_TEST("a", "passed", ",\"attempts\":2"));
	page_say(&p, SAY_ATTEMPT("b", 1, "one"));
	page_say(&p, SAY_ATTEMPT("b", 2, "two"));
	page_say(&p, SAY_TEST("b", "failed",
			      ",\"attempts\":3,\"message\":\"three\""));
	page_say(&p, SAY_END);
	page_shows(&p, "<flakyFailure message=\"first\" type=\"failure\">"
		       "<stackTrace>first\n");
	page_shows(&p, "<failure message=\"one\" ");
	page_shows(&p, "<rerunFailure message=\"two\" ");
	page_shows(&p, "<rerunFailure message=\"three\" ");
	page_hides(&p, "<failure message=\"three\"");
	page_done(&p);
}

#define SAY_FILE_TEST(file, more)                                              \
	"{\"event\":\"test_end\",\"file\":\"" file "\",\"test\":\"a\","        \
	"\"status\":\"failed\",\"message\":\"no\"" more "}"
#define SAY_ARTIFACTS(paths)                                                   \
	"{\"event\":\"artifacts\",\"file\":\"x.test.lua\",\"paths\":[" paths   \
	"]}"

static void junit_names_a_class_by_folders_and_stem(void **state)
{
	static const char *const names[][2] = {
	    {"a.test.lua", "a"},
	    {"tests/net/a.test.lua", "tests.net.a"},
	    {"/srv/v1.2/a.b.test.lua", "srv.v1_2.a_b"},
	    {"../x/./a.test.lua#2", "x.a#2"},
	    {"..", ".."},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct page p;
		char *ev = mem_printf(SAY_FILE_TEST("%s", ""), names[i][0]);
		char *want = mem_printf("classname=\"%s\" file=\"%s\"",
					names[i][1], names[i][0]);

		begin(&p, report_junit_write);
		page_say(&p, ev);
		page_say(&p, SAY_END);
		page_shows(&p, want);
		page_done(&p);
		free(ev);
		free(want);
	}
}

static void junit_attaches_files_to_the_test_that_has_them(void **state)
{
	struct page p;

	(void)state;
	begin(&p, report_junit_write);
	page_say(&p, SAY_TEST("a", "failed",
			      ",\"message\":\"m\",\"artifacts\":"
			      "[\"1-vm1-a.console\",\"1-lan.pcap\"]"));
	page_say(
	    &p, SAY_TEST("b", "passed", ",\"artifacts\":[\"1-attached-b-x\"]"));
	page_say(&p, SAY_ARTIFACTS("\"k/x/1-vm1-a.console\","
				   "\"k/x/1-attached-b-x\","
				   "\"k/x/1-lan.pcap\",\"k/x/1-vm9.qmp\""));
	page_say(&p, SAY_END);
	page_shows(&p, "<system-out>[[ATTACHMENT|k/x/1-vm1-a.console]]\n"
		       "[[ATTACHMENT|k/x/1-lan.pcap]]\n</system-out>\n"
		       "  </testcase>\n");
	page_shows(&p, "<system-out>[[ATTACHMENT|k/x/1-attached-b-x]]\n"
		       "</system-out>\n  </testcase>\n");
	/* Of no test: the suite's. */
	page_shows(&p, "</testcase>\n  <system-out>"
		       "[[ATTACHMENT|k/x/1-vm9.qmp]]\n</system-out>\n"
		       " </testsuite>\n");
	page_done(&p);
}

static void
junit_gives_unclaimed_files_to_a_failure_that_names_none(void **state)
{
	struct page p;

	(void)state;
	begin(&p, report_junit_write);
	page_say(&p, SAY_BEGIN("a"));
	page_say(&p, SAY_LOG("said"));
	page_say(&p, SAY_TEST("a", "failed", ",\"message\":\"m\""));
	page_say(&p, SAY_TEST("b", "passed", ""));
	page_say(&p, "{\"event\":\"file_error\",\"file\":\"x.test.lua\","
		     "\"message\":\"oops\"}");
	page_say(&p, SAY_ARTIFACTS("\"k/1-a.console\""));
	page_say(&p, SAY_END);
	page_shows(&p, "<system-out>said\n[[ATTACHMENT|k/1-a.console]]\n"
		       "</system-out>\n  </testcase>\n");
	page_shows(&p, "</error>\n"
		       "   <system-out>[[ATTACHMENT|k/1-a.console]]\n"
		       "</system-out>\n  </testcase>\n");
	page_hides(&p, "</testcase>\n  <system-out>");
	page_done(&p);
}

/* --- HTML and JSON --------------------------------------------------------*/

static void text_cannot_end_the_data_of_the_page(void **state)
{
	struct page p;

	(void)state;
	begin(&p, report_html_write);
	page_say(&p, SAY_TEST("</script><!--&\\u2028", "passed", ""));
	page_say(&p, SAY_END);
	page_shows(&p, "\\u003c/script\\u003e\\u003c!--\\u0026\\u2028");
	page_hides(&p, "</script><!--");
	page_shows(&p, "</html>\n");
	page_hides(&p, "@DATA@");
	page_hides(&p, "http://");
	page_hides(&p, "https://");
	page_done(&p);
}

static void the_json_object_holds_tests_with_their_logs(void **state)
{
	struct page p;
	json_t *js;

	(void)state;
	begin(&p, report_json_write);
	page_say(&p, "{\"event\":\"test_start\",\"time\":5,"
		     "\"file\":\"x.test.lua\",\"test\":\"a\"}");
	page_say(&p, SAY_LOG("one"));
	page_say(&p, SAY_LOG("two\\n"));
	page_say(&p, SAY_TEST("a", "passed", ",\"time\":6"));
	page_say(&p, SAY_END);
	page_shows(&p, "\"one\\ntwo\\n\"");
	js = json_loads(p.text, 0, NULL);
	assert_non_null(js);
	json_t *file = json_array_get(json_object_get(js, "files"), 0);
	json_t *test = json_array_get(json_object_get(file, "tests"), 0);
	assert_true(tree_number(test, "start") > 4.9);
	assert_true(tree_number(test, "end") > 5.9);
	assert_string_equal(tree_string(test, "test"), "a");
	json_decref(js);
	page_done(&p);
}

static void junit_says_how_to_repeat_a_shuffled_failure(void **state)
{
	struct page p;

	(void)state;
	begin(&p, report_junit_write);
	page_say(&p, SAY_BEGIN("a"));
	page_say(&p, SAY_TEST("a", "failed",
			      ",\"message\":\"no\",\"repeat\":\"run <x>\""));
	page_say(&p, SAY_END);
	page_shows(&p, "\nrepeat with: run &lt;x&gt;\n</failure>");
	page_done(&p);
}

static void say_lines(struct page *p, int n)
{
	for (int i = 1; i <= n; i++) {
		char *ev =
		    mem_printf("{\"event\":\"log\",\"file\":\"x.test.lua\","
			       "\"test\":\"a\",\"text\":\"line %d.\"}",
			       i);
		page_say(p, ev);
		free(ev);
	}
}

static void a_failure_has_the_last_200_lines_of_its_log(void **state)
{
	struct page p;

	(void)state;
	begin(&p, report_junit_write);
	page_say(&p, SAY_BEGIN("a"));
	say_lines(&p, 30000);
	page_say(&p, SAY_TEST("a", "failed", ",\"message\":\"no\""));
	page_say(&p, SAY_BEGIN("b"));
	say_lines(&p, 300);
	page_say(&p, SAY_TEST("b", "passed", ""));
	page_say(&p, SAY_END);
	page_shows(&p, "<system-out>[29800 lines before this]\nline 29801.\n");
	page_shows(&p, "line 30000.\n</system-out>");
	page_hides(&p, "line 29800.");
	page_shows(&p, "<system-out>line 1.\n");
	page_done(&p);
}

static void a_log_without_end_is_cut_at_a_line(void **state)
{
	struct page p;
	char *line = mem_alloc(2001);

	(void)state;
	memset(line, 'x', 2000);
	line[2000] = '\0';
	char *ev = mem_printf("{\"event\":\"log\",\"file\":\"x.test.lua\","
			      "\"test\":\"a\",\"text\":\"%s\"}",
			      line);
	begin(&p, report_json_write);
	page_say(&p, SAY_BEGIN("a"));
	page_say(&p, SAY_LOG("the first"));
	for (int i = 0; i < 500; i++)
		page_say(&p, ev);
	page_say(&p, SAY_LOG("the last"));
	page_say(&p, SAY_TEST("a", "passed", ""));
	page_say(&p, SAY_END);
	page_shows(&p, "the last");
	page_hides(&p, "the first");
	assert_true(p.n < 3 * TREE_LOG_MAX);
	page_done(&p);
	free(ev);
	free(line);
}

/* --- files ----------------------------------------------------------------*/

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = mem_zalloc(65536);

	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

static void a_file_is_replaced_when_the_run_ends(void **state)
{
	char path[TMP_PATH_MAX];
	struct event_sink *sink = report_tree_new();
	struct page p = {.sink = sink};
	struct err err;

	(void)state;
	tmp_template(path);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	dprintf(fd, "old");
	report_tree_add(sink, path, NULL, report_junit_write);
	page_say(&p, SAY_START);
	page_say(&p, SAY_TEST("a", "passed", ""));
	char *text = read_file(path);
	assert_string_equal(text, "old");
	free(text);
	page_say(&p, SAY_END);
	text = read_file(path);
	assert_non_null(strstr(text, "</testsuites>\n"));
	free(text);
	assert_int_equal(report_tree_error(sink, &err), 0);
	report_free(sink);
	unlink(path);
	close(fd);
}

static void a_run_without_an_end_is_written_all_the_same(void **state)
{
	char path[TMP_PATH_MAX];
	struct page p = {.sink = report_tree_new()};

	(void)state;
	tmp_template(path);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	report_tree_add(p.sink, path, NULL, report_junit_write);
	page_say(&p, SAY_START);
	page_say(&p, SAY_TEST("a", "passed", ""));
	report_free(p.sink);
	char *text = read_file(path);
	assert_non_null(strstr(text, "name=\"a\""));
	free(text);
	unlink(path);
	close(fd);
}

static void a_file_that_cannot_be_written_is_an_error(void **state)
{
	struct page p = {.sink = report_tree_new()};
	struct err err;

	(void)state;
	report_tree_add(p.sink, "/nonexistent/x.xml", NULL, report_junit_write);
	page_say(&p, SAY_START);
	page_say(&p, SAY_END);
	assert_int_equal(report_tree_error(p.sink, &err), -ENOENT);
	assert_string_equal(err.text, "cannot write '/nonexistent/x.xml': No "
				      "such file or directory");
	report_free(p.sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(junit_counts_what_was),
	    cmocka_unit_test(junit_has_no_character_that_xml_forbids),
	    cmocka_unit_test(junit_has_what_is_behind_a_nul_byte),
	    cmocka_unit_test(junit_tells_flaky_from_rerun),
	    cmocka_unit_test(junit_names_a_class_by_folders_and_stem),
	    cmocka_unit_test(junit_attaches_files_to_the_test_that_has_them),
	    cmocka_unit_test(
		junit_gives_unclaimed_files_to_a_failure_that_names_none),
	    cmocka_unit_test(text_cannot_end_the_data_of_the_page),
	    cmocka_unit_test(the_json_object_holds_tests_with_their_logs),
	    cmocka_unit_test(a_log_without_end_is_cut_at_a_line),
	    cmocka_unit_test(a_failure_has_the_last_200_lines_of_its_log),
	    cmocka_unit_test(junit_says_how_to_repeat_a_shuffled_failure),
	    cmocka_unit_test(a_file_is_replaced_when_the_run_ends),
	    cmocka_unit_test(a_run_without_an_end_is_written_all_the_same),
	    cmocka_unit_test(a_file_that_cannot_be_written_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
