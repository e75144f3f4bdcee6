/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "runner/shell_word.h"

static void check(const char *s, const char *want)
{
	struct buf out = {0};

	shell_word_append(&out, s);
	buf_append(&out, "", 1);
	assert_string_equal((char *)buf_data(&out), want);
	buf_done(&out);
}

static void plain_words_stay_as_they_are(void **state)
{
	(void)state;
	check("tests/a-b_c.test.lua", "tests/a-b_c.test.lua");
	check("net:spec=7.1", "'net:spec=7.1'");
	check("-x", "-x");
}

static void other_words_are_quoted(void **state)
{
	(void)state;
	check("", "''");
	check("a b", "'a b'");
	check("$HOME", "'$HOME'");
	check("it's", "'it'\\''s'");
	check("*", "'*'");
	check("a\nb", "'a\nb'");
	check("\xc3\xa4", "'\xc3\xa4'");
}

static void a_shell_reads_them_back(void **state)
{
	static const char *const words[] = {
	    "a b", "it's $x `y` \\ \"z\"", "~", "!a", "#b", "a=b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct buf command = {0};
		char line[100] = "";

		buf_printf(&command, "printf %%s ");
		shell_word_append(&command, words[i]);
		buf_append(&command, "", 1);
		FILE *in = popen((char *)buf_data(&command), "r");
		assert_non_null(in);
		assert_non_null(fgets(line, sizeof(line), in));
		assert_int_equal(pclose(in), 0);
		assert_string_equal(line, words[i]);
		buf_done(&command);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain_words_stay_as_they_are),
	    cmocka_unit_test(other_words_are_quoted),
	    cmocka_unit_test(a_shell_reads_them_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
