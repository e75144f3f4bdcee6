/* SPDX-License-Identifier: MIT */
/* Trees as bytes: whatever the pieces in which they come, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "agent-proto/mem.h"
#include "agent-proto/tree.h"
#include "tests/unit/tree_bytes.h"

/* Reads b in pieces of n bytes at the most; says what comes in words. Returns
 * 0 or the error. */
static int say(const struct buf *b, size_t piece, struct buf *words,
	       struct err *err)
{
	struct tree_parser t = {0};
	const uint8_t *p = buf_data(b), *end = p + b->len;

	while (p < end) {
		size_t n =
		    (size_t)(end - p) < piece ? (size_t)(end - p) : piece;
		struct tree_token token;
		ssize_t used = tree_parse(&t, p, n, &token, err);

		if (used < 0)
			return (int)used;
		assert_in_range(used, 1, n);
		if (token.event == TREE_ENTRY)
			buf_printf(words, "%d %o %s>%s\n", token.entry.kind,
				   token.entry.mode, token.entry.name,
				   token.entry.target);
		else if (token.event == TREE_RECORD)
			buf_printf(words, "hole %d%s", (int)token.hole,
				   token.is_last ? " last\n" : ": ");
		else if (token.event == TREE_DATA)
			buf_append(words, p, (size_t)used);
		p += used;
	}
	if (t.has_ended)
		buf_printf(words, "end");
	return 0;
}

static void check_error(const struct buf *b, int want, const char *text)
{
	struct buf words = {0};
	struct err err = {0};

	assert_int_equal(say(b, SIZE_MAX, &words, &err), want);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
	buf_done(&words);
}

static void a_tree_is_read_whatever_the_pieces(void **state)
{
	static const char want[] = "1 755 >\n"
				   "2 4755 f>\n"
				   "hole 0: datahole 7: morehole 9 last\n"
				   "1 500 d>\n"
				   "3 0 l>/etc/passwd\n"
				   "4 0 >\n"
				   "2 0 e>\n"
				   "hole 0 last\n"
				   "4 0 >\n"
				   "end";
	struct buf b = {0};

	(void)state;
	tree_dir(&b, "", 0755);
	tree_encode(&(struct tree_entry){TREE_FILE, 04755, "f", ""}, &b);
	tree_record(&b, 0, "data");
	tree_record(&b, 7, "more");
	tree_record(&b, 9, "");
	tree_dir(&b, "d", 0500);
	tree_link(&b, "l", "/etc/passwd");
	tree_up(&b);
	tree_file(&b, "e", 0, "");
	tree_up(&b);
	for (size_t piece = 1; piece <= b.len; piece++) {
		struct buf words = {0};
		struct err err = {0};

		assert_int_equal(say(&b, piece, &words, &err), 0);
		assert_int_equal(words.len, strlen(want));
		assert_memory_equal(buf_data(&words), want, words.len);
		buf_done(&words);
	}
	buf_done(&b);
}

/* --- what is no tree ------------------------------------------------------ */

static void names_that_lead_elsewhere_are_refused(void **state)
{
	static const char *const names[] = {
	    "..", ".", "/", "/etc/passwd", "../x", "a/b", "a/",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		for (int kind = TREE_DIR; kind <= TREE_LINK; kind++) {
			struct tree_entry e = {(enum tree_kind)kind, 0755,
					       names[i],
					       kind == TREE_LINK ? "x" : ""};
			struct buf b = {0};

			tree_dir(&b, "", 0755);
			tree_encode(&e, &b);
			check_error(&b, -EPROTO, "no file system can hold");
			buf_done(&b);
		}
}

/* An entry by its numbers, valid or not. */
static void put_entry(struct buf *b, unsigned kind, uint32_t mode,
		      const char *name, size_t name_n, size_t target_n)
{
	uint8_t header[TREE_HEADER] = {
	    (uint8_t)kind,	     (uint8_t)mode,
	    (uint8_t)(mode >> 8),    (uint8_t)(mode >> 16),
	    (uint8_t)(mode >> 24),   (uint8_t)name_n,
	    (uint8_t)(name_n >> 8),  (uint8_t)target_n,
	    (uint8_t)(target_n >> 8)};

	buf_append(b, header, sizeof(header));
	buf_append(b, name, name_n);
}

static void texts_with_nul_are_refused(void **state)
{
	struct buf b = {0};

	(void)state;
	tree_dir(&b, "", 0755);
	put_entry(&b, TREE_FILE, 0644, "a\0b", 3, 0);
	check_error(&b, -EPROTO, "no file system can hold");
	buf_reset(&b);
	tree_dir(&b, "", 0755);
	put_entry(&b, TREE_LINK, 0, "l", 1, 3);
	buf_append(&b, "x\0y", 3);
	check_error(&b, -EPROTO, "no file system can hold");
	buf_done(&b);
}

static void entries_out_of_place_are_refused(void **state)
{
	static const struct {
		unsigned kind;
		uint32_t mode;
		size_t name_n, target_n;
		bool is_first;
	} bad[] = {
	    {TREE_FILE, 0644, 0, 0, true},    {TREE_UP, 0, 0, 0, true},
	    {TREE_DIR, 0755, 1, 0, true},     {0, 0755, 0, 0, true},
	    {TREE_DIR, 0755, 0, 0, false},    {TREE_UP, 0, 1, 0, false},
	    {TREE_FILE, 0644, 1, 1, false},   {TREE_LINK, 0, 1, 0, false},
	    {5, 0644, 1, 0, false},	      {255, 0644, 1, 0, false},
	    {TREE_FILE, 010000, 1, 0, false}, {TREE_FILE, 0644, 256, 0, false},
	    {TREE_LINK, 0, 1, 4096, false},
	};
	static const char names[256] = "x";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf b = {0};

		if (!bad[i].is_first)
			tree_dir(&b, "", 0755);
		put_entry(&b, bad[i].kind, bad[i].mode, names, bad[i].name_n,
			  bad[i].target_n);
		check_error(&b, -EPROTO, "of a tree");
		buf_done(&b);
	}
}

static void bytes_behind_the_end_are_refused(void **state)
{
	struct buf b = {0};

	(void)state;
	tree_dir(&b, "", 0755);
	tree_up(&b);
	buf_append(&b, "x", 1);
	check_error(&b, -EPROTO, "behind the end");
	buf_done(&b);
}

static void depth_has_a_limit(void **state)
{
	struct buf b = {0}, words = {0};
	struct err err = {0};

	(void)state;
	tree_dir(&b, "", 0755);
	for (unsigned i = 1; i < TREE_DEPTH_MAX; i++)
		tree_dir(&b, "d", 0755);
	assert_int_equal(say(&b, SIZE_MAX, &words, &err), 0);
	tree_dir(&b, "d", 0755);
	check_error(&b, -EFBIG, "more than 128 deep");
	buf_done(&words);
	buf_done(&b);
}

static void entries_have_a_limit(void **state)
{
	struct buf b = {0}, words = {0};
	struct err err = {0};

	(void)state;
	tree_dir(&b, "", 0755);
	for (unsigned i = 1; i < TREE_ENTRIES_MAX; i++)
		tree_link(&b, "l", "x");
	assert_int_equal(say(&b, SIZE_MAX, &words, &err), 0);
	tree_link(&b, "l", "x");
	check_error(&b, -EFBIG, "more than 262144 entries");
	buf_done(&words);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_tree_is_read_whatever_the_pieces),
	    cmocka_unit_test(names_that_lead_elsewhere_are_refused),
	    cmocka_unit_test(texts_with_nul_are_refused),
	    cmocka_unit_test(entries_out_of_place_are_refused),
	    cmocka_unit_test(bytes_behind_the_end_are_refused),
	    cmocka_unit_test(depth_has_a_limit),
	    cmocka_unit_test(entries_have_a_limit),
	};

	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
