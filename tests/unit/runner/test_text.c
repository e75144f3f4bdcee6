/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/text.h"

static void escapes_to(const char *in, size_t n, const char *want)
{
	struct buf out = {0};

	text_escape(&out, in, n);
	buf_append(&out, "", 1);
	assert_string_equal((char *)buf_data(&out), want);
	buf_done(&out);
}
#define ESCAPES_TO(in, want) escapes_to((in), sizeof(in) - 1, (want))

static void plain_text_stays(void **state)
{
	(void)state;
	ESCAPES_TO("abc \xc3\xa4\xe2\x82\xac \xf0\x9f\x90\x8c",
		   "abc "
		   "\xc3\xa4\xe2\x82\xac \xf0\x9f\x90\x8c");
}

static void a_terminal_gets_nothing_to_obey(void **state)
{
	(void)state;
	ESCAPES_TO("\033]0;title\007", "\\x1b]0;title\\x07");
	ESCAPES_TO("\033[2J", "\\x1b[2J");
	ESCAPES_TO("a\rb\nc\bd\177", "a\\x0db\\x0ac\\x08d\\x7f");
	ESCAPES_TO("nul\0!", "nul\\x00!");
	ESCAPES_TO("\xc2\x9b"
		   "31m",
		   "\\u{9b}31m");
	ESCAPES_TO("\xe2\x80\xaegnp", "\\u{202e}gnp");
}

static void a_c_string_shows_where_a_nul_byte_was(void **state)
{
	char *s = text_c_string("a\0b\n\0", 5);
	char *empty = text_c_string("", 0);

	(void)state;
	assert_string_equal(s, "a\\x00b\n\\x00");
	assert_string_equal(empty, "");
	free(s);
	free(empty);
}

static void colours_are_left_out(void **state)
{
	(void)state;
	ESCAPES_TO("\033[1;31mred\033[m", "red");
	ESCAPES_TO("\033[31", "\\x1b[31");
}

static void tabs_reach_the_next_stop(void **state)
{
	(void)state;
	ESCAPES_TO("ab\tc\t", "ab      c       ");
}

static void invalid_utf8_is_escaped_byte_by_byte(void **state)
{
	(void)state;
	ESCAPES_TO("\xff\xfe", "\\xff\\xfe");
	ESCAPES_TO("\xc0\xaf", "\\xc0\\xaf");	       /* overlong */
	ESCAPES_TO("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* surrogate */
	ESCAPES_TO("\xe2\x82", "\\xe2\\x82");	       /* cut off */
	ESCAPES_TO("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
}

static void nearest_finds_a_typo(void **state)
{
	static const char *const words[] = {"memory", "cpus", "kernel",
					    "default_profile", NULL};

	(void)state;
	assert_string_equal(text_nearest("memroy", words), "memory");
	assert_string_equal(text_nearest("kernal", words), "kernel");
	assert_string_equal(text_nearest("cpu", words), "cpus");
	assert_string_equal(text_nearest("default_profil", words),
			    "default_profile");
	assert_null(text_nearest("bogus", words));
	assert_null(text_nearest("", words));
	assert_null(
	    text_nearest("a word that is longer than any of them is", words));
}

static void misspelt_spares_other_words(void **state)
{
	static const char *const words[] = {"slow", "tags", "timeout", NULL};

	(void)state;
	assert_string_equal(text_misspelt("tmieout", words), "timeout");
	assert_string_equal(text_misspelt("timout", words), "timeout");
	assert_string_equal(text_misspelt("timeouts", words), "timeout");
	assert_string_equal(text_misspelt("timeoet", words), "timeout");
	assert_string_equal(text_misspelt("Time_Out", words), "timeout");
	assert_string_equal(text_misspelt("tag", words), "tags");
	assert_string_equal(text_misspelt("solw", words), "slow");
	assert_string_equal(text_misspelt("SLOW", words), "slow");
	assert_null(text_misspelt("flow", words));
	assert_null(text_misspelt("slot", words));
	assert_null(text_misspelt("spec", words));
	assert_null(text_misspelt("tmeuot", words));
	assert_null(text_misspelt("stage", words));
	assert_null(text_misspelt("", words));
	assert_null(
	    text_misspelt("a word that is longer than any of them is", words));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain_text_stays),
	    cmocka_unit_test(a_terminal_gets_nothing_to_obey),
	    cmocka_unit_test(a_c_string_shows_where_a_nul_byte_was),
	    cmocka_unit_test(colours_are_left_out),
	    cmocka_unit_test(tabs_reach_the_next_stop),
	    cmocka_unit_test(invalid_utf8_is_escaped_byte_by_byte),
	    cmocka_unit_test(nearest_finds_a_typo),
	    cmocka_unit_test(misspelt_spares_other_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
