/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"
#include "tests/unit/agent-proto/lib_rnd.h"

static void a_zeroed_buffer_is_empty(void **state)
{
	struct buf b = {0};

	(void)state;
	assert_int_equal(b.len, 0);
	buf_append(&b, NULL, 0);
	buf_consume(&b, 0);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

static void bytes_come_out_as_they_went_in(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_append(&b, "hello ", 6);
	buf_printf(&b, "%s %d", "world", 42);
	assert_int_equal(b.len, 14);
	assert_memory_equal(buf_data(&b), "hello world 42", 14);
	buf_consume(&b, 6);
	assert_memory_equal(buf_data(&b), "world 42", 8);
	buf_done(&b);
}

static void consuming_does_not_move_what_is_left(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_append(&b, "abcdef", 6);
	const uint8_t *d = buf_data(&b) + 3;
	buf_consume(&b, 3);
	assert_ptr_equal(buf_data(&b), d);
	buf_done(&b);
}

static void reset_empties_and_keeps_the_memory(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_append(&b, "abc", 3);
	const uint8_t *mem = b.mem;
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	buf_append(&b, "xyz", 3);
	assert_ptr_equal(buf_data(&b), mem);
	buf_done(&b);
	assert_null(b.mem);
	assert_int_equal(b.cap, 0);
}

static void room_may_be_taken_in_part(void **state)
{
	struct buf b = {0};

	(void)state;
	memcpy(buf_room(&b, 1000), "12345", 5);
	buf_commit(&b, 5);
	assert_int_equal(b.len, 5);
	assert_memory_equal(buf_data(&b), "12345", 5);
	buf_done(&b);
}

/* Against an array that never wraps: appends, room and consumption at random
 * sizes, through growing and sliding. */
static void a_buffer_is_a_queue_whatever_the_sizes(void **state)
{
	enum { TOTAL = 1 << 18 };
	uint8_t *all = mem_alloc(TOTAL);
	size_t in = 0, out = 0;
	struct buf b = {0};
	struct rnd r;

	(void)state;
	rnd_init(&r, 1);
	rnd_fill(&r, all, TOTAL);
	while (out < TOTAL) {
		size_t n = rnd_below(&r, 3000);
		if (n > TOTAL - in)
			n = TOTAL - in;
		memcpy(buf_room(&b, n + rnd_below(&r, 100) + 1), all + in, n);
		buf_commit(&b, n);
		in += n;
		assert_int_equal(b.len, in - out);
		assert_memory_equal(buf_data(&b), all + out, b.len);
		n = rnd_below(&r, b.len + 1);
		buf_consume(&b, n);
		out += n;
	}
	buf_done(&b);
	free(all);
}

static void a_steady_queue_does_not_grow(void **state)
{
	uint8_t chunk[100] = {0};
	struct buf b = {0};

	(void)state;
	buf_append(&b, chunk, 50);
	for (int i = 0; i < 10000; i++) {
		buf_append(&b, chunk, sizeof(chunk));
		buf_consume(&b, sizeof(chunk));
	}
	assert_true(b.cap <= 1024);
	buf_done(&b);
}

static void strvec_ends_with_null(void **state)
{
	struct strvec sv = {0};

	(void)state;
	strvec_add(&sv, "a");
	strvec_addf(&sv, "%d", 7);
	assert_int_equal(sv.n, 2);
	assert_string_equal(sv.v[0], "a");
	assert_string_equal(sv.v[1], "7");
	assert_null(sv.v[2]);
	strvec_done(&sv);
	assert_null(sv.v);
}

static void strings_are_copied_up_to_their_limit(void **state)
{
	char *a = mem_strndup("abcdef", 3), *b = mem_strndup("ab", 10);
	char *c = mem_printf("%s-%d", "x", 1);

	(void)state;
	assert_string_equal(a, "abc");
	assert_string_equal(b, "ab");
	assert_string_equal(c, "x-1");
	free(a);
	free(b);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_zeroed_buffer_is_empty),
	    cmocka_unit_test(bytes_come_out_as_they_went_in),
	    cmocka_unit_test(consuming_does_not_move_what_is_left),
	    cmocka_unit_test(reset_empties_and_keeps_the_memory),
	    cmocka_unit_test(room_may_be_taken_in_part),
	    cmocka_unit_test(a_buffer_is_a_queue_whatever_the_sizes),
	    cmocka_unit_test(a_steady_queue_does_not_grow),
	    cmocka_unit_test(strvec_ends_with_null),
	    cmocka_unit_test(strings_are_copied_up_to_their_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
