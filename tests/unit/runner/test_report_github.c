/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/report.h"
#include "tests/unit/runner/lib_say.h"
#include "tests/unit/tmp.h"

static void begin(struct page *p, const char *summary)
{
	struct report_options opts = {.reads_no_files = true};

	page_init(p);
	p->sink =
	    report_github_new(p->out, summary, report_plain_new(p->out, &opts));
	page_say(p, SAY_START);
	page_say(p, "{\"event\":\"file_start\",\"file\":\"x.test.lua\"}");
}

#define EVIL                                                                   \
	"::error::x\\n##[error]y\\n::stop-commands::z\\n::0000::\\n"           \
	"::set-env name=A::b%0A,:"

static void what_tests_print_is_fenced(void **state)
{
	struct page p;
	char token[65] = "";
	int n = 0;

	(void)state;
	begin(&p, NULL);
	page_say(&p, SAY_LOG(EVIL));
	page_say(&p, SAY_TEST("a", "failed", ",\"message\":\"" EVIL "\""));
	page_say(&p, SAY_END);
	fflush(p.out);
	assert_int_equal(
	    sscanf(p.text, "::stop-commands::%64[0-9a-f]\n%n", token, &n), 1);
	assert_int_equal(strlen(token), 32);
	/* It stands once more, alone on a line, and nothing of a test behind
	 * that is not escaped. */
	char *want = mem_printf("\n::%s::\n", token);
	char *back = strstr(p.text + n, want);
	assert_non_null(back);
	back += strlen(want);
	assert_null(strstr(back, want));
	assert_memory_equal(back, "::error file=x.test.lua,line=7,title=a::",
			    strlen("::error file=x.test.lua,line=7,title=a::"));
	assert_null(strstr(back, "\n::"));
	assert_non_null(strstr(back, "%0A::set-env name=A::b%250A,:\n"));
	free(want);
	page_done(&p);
}

static void tokens_differ(void **state)
{
	struct page a, b;

	(void)state;
	begin(&a, NULL);
	begin(&b, NULL);
	fflush(a.out);
	fflush(b.out);
	assert_string_not_equal(a.text, b.text);
	page_done(&a);
	page_done(&b);
}

static void properties_of_an_annotation_are_escaped(void **state)
{
	struct page p;

	(void)state;
	begin(&p, NULL);
	page_say(&p, SAY_TEST("a,b:c%\\n", "failed",
			      ",\"message\":\"m\",\"location\":{\"file\":"
			      "\"f,line=9::x\",\"line\":3}"));
	page_say(&p, SAY_END);
	page_shows(&p, "::error file=f%2Cline=9%3A%3Ax,line=3,"
		       "title=a%2Cb%3Ac%25%0A::m\n");
	page_done(&p);
}

static void annotations_have_what_is_behind_a_nul_byte(void **state)
{
	struct page p;

	(void)state;
	begin(&p, NULL);
	page_say(&p, SAY_TEST("a", "failed", ",\"message\":\"a\\u0000why\""));
	page_say(&p, SAY_END);
	page_shows(&p, "title=a::awhy\n");
	page_done(&p);
}

static void annotations_are_ten_at_most(void **state)
{
	struct page p;
	size_t n = 0;

	(void)state;
	begin(&p, NULL);
	for (int i = 0; i < 25; i++)
		page_say(&p, SAY_TEST("a", "failed", ",\"message\":\"m\""));
	page_say(&p, SAY_END);
	fflush(p.out);
	for (const char *s = p.text; (s = strstr(s, "\n::error ")); s++)
		n++;
	assert_int_equal(n, 10);
	page_done(&p);
}

/* The summary of a run with so many failures; owned. */
static char *summary_of(int n_failures)
{
	char path[TMP_PATH_MAX];
	char *text = mem_zalloc(1 << 20);
	struct page p;

	tmp_template(path);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	begin(&p, path);
	for (int i = 0; i < n_failures; i++)
		page_say(&p, SAY_TEST("a", "failed", ",\"message\":\"m\""));
	page_say(&p, SAY_END);
	assert_true(read(fd, text, (1 << 20) - 1) > 0);
	page_done(&p);
	close(fd);
	unlink(path);
	return text;
}

static void the_summary_counts_the_failures_that_it_leaves_out(void **state)
{
	char *one = summary_of(51), *two = summary_of(52),
	     *none = summary_of(50);

	(void)state;
	assert_non_null(strstr(one, "\nand 1 more failure.\n"));
	assert_non_null(strstr(two, "\nand 2 more failures.\n"));
	assert_null(strstr(none, " more failure"));
	free(one);
	free(two);
	free(none);
}

static void the_summary_holds_text_as_entities_only(void **state)
{
	char path[TMP_PATH_MAX];
	char text[8192] = "";
	struct page p;

	(void)state;
	tmp_template(path);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	begin(&p, path);
	page_say(&p, SAY_TEST("</code>`[x](y)", "failed",
			      ",\"message\":\"</pre>\\n\\n# **b** @me\""));
	page_say(&p, SAY_ATTEMPT("f", 1, "m"));
	page_say(&p, SAY_TEST("f", "passed", ",\"attempts\":2"));
	page_say(&p, SAY_END);
	page_done(&p);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "\n| 1 | 1 | 0 | 0 |\n"));
	assert_non_null(strstr(text, "<code>&#60;&#47;code&#62;&#96;&#91;x"));
	assert_non_null(strstr(text, "<pre>&#60;&#47;pre&#62;&#10;&#10;&#35;"));
	assert_null(strstr(text, "**b**"));
	assert_null(strstr(text, "@me"));
	assert_non_null(strstr(text, "Flaky, passed when tried again:\n\n- "
				     "<code>x.test.lua&#58; f</code>\n"));
	unlink(path);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_tests_print_is_fenced),
	    cmocka_unit_test(tokens_differ),
	    cmocka_unit_test(properties_of_an_annotation_are_escaped),
	    cmocka_unit_test(annotations_have_what_is_behind_a_nul_byte),
	    cmocka_unit_test(annotations_are_ten_at_most),
	    cmocka_unit_test(
		the_summary_counts_the_failures_that_it_leaves_out),
	    cmocka_unit_test(the_summary_holds_text_as_entities_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
