/* SPDX-License-Identifier: MIT */
#include "vmm/unpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_pack.h"

/* More than one block of LZ4, and of no multiple of anything. */
#define BIG (((size_t)9 << 20) + 12345)

static uint8_t *make_bytes(size_t n)
{
	uint8_t *p = mem_alloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * i >> 7);
	return p;
}

static void each_format_comes_back(void **state)
{
	static const size_t sizes[] = {1, 1000, 1 << 20, BIG};
	uint8_t *bytes = make_bytes(BIG);

	(void)state;
	for (int f = UNPACK_NONE; f <= UNPACK_LZ4; f++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			struct buf in =
			    pack((enum unpack_format)f, bytes, sizes[i]);
			struct buf out = {0};

			if (f != UNPACK_NONE)
				assert_int_equal(
				    unpack_detect(buf_data(&in), in.len), f);
			assert_int_equal(unpack((enum unpack_format)f,
						buf_data(&in), in.len, sizes[i],
						&out),
					 0);
			assert_int_equal(out.len, sizes[i]);
			assert_memory_equal(buf_data(&out), bytes, sizes[i]);
			buf_done(&in);
			buf_done(&out);
		}
	free(bytes);
}

static void limit_is_kept(void **state)
{
	uint8_t *bytes = make_bytes(100000);

	(void)state;
	for (int f = UNPACK_NONE; f <= UNPACK_LZ4; f++) {
		struct buf in = pack((enum unpack_format)f, bytes, 100000);
		struct buf out = {0};

		assert_int_equal(unpack((enum unpack_format)f, buf_data(&in),
					in.len, 99999, &out),
				 -EFBIG);
		buf_done(&in);
		buf_done(&out);
	}
	free(bytes);
}

static void cut_streams_are_damaged(void **state)
{
	uint8_t *bytes = make_bytes(100000);

	(void)state;
	for (int f = UNPACK_GZIP; f <= UNPACK_LZ4; f++) {
		struct buf in = pack((enum unpack_format)f, bytes, 100000);

		for (size_t cut = 1; cut < in.len; cut = cut * 3 + 1) {
			struct buf out = {0};

			assert_int_equal(unpack((enum unpack_format)f,
						buf_data(&in), in.len - cut,
						1 << 20, &out),
					 -EBADMSG);
			buf_done(&out);
		}
		buf_done(&in);
	}
	free(bytes);
}

/* What follows the end is not looked at, where a format has an end. */
static void bytes_behind_are_ignored(void **state)
{
	uint8_t *bytes = make_bytes(5000);

	(void)state;
	for (int f = UNPACK_GZIP; f < UNPACK_LZ4; f++) {
		struct buf in = pack((enum unpack_format)f, bytes, 5000);
		struct buf out = {0};

		buf_append(&in, "more", 4);
		assert_int_equal(unpack((enum unpack_format)f, buf_data(&in),
					in.len, 1 << 20, &out),
				 0);
		assert_int_equal(out.len, 5000);
		buf_done(&in);
		buf_done(&out);
	}
	free(bytes);
}

/* As `cat a.zst b.zst` makes, and zstd with several threads. */
static void streams_in_a_row_are_all_unpacked(void **state)
{
	uint8_t *bytes = make_bytes(154649);

	(void)state;
	for (int f = UNPACK_GZIP; f <= UNPACK_LZ4; f++) {
		struct buf in = pack((enum unpack_format)f, bytes, 5000);
		struct buf rest =
		    pack((enum unpack_format)f, bytes + 5000, 154649 - 5000);
		struct buf out = {0};

		buf_append(&in, buf_data(&rest), rest.len);
		assert_int_equal(unpack((enum unpack_format)f, buf_data(&in),
					in.len, 154649, &out),
				 0);
		assert_int_equal(out.len, 154649);
		assert_memory_equal(buf_data(&out), bytes, out.len);
		buf_done(&out);
		/* The second is cut: that is no end. */
		if (f != UNPACK_LZ4)
			assert_int_equal(unpack((enum unpack_format)f,
						buf_data(&in), in.len - 5,
						154649, &out),
					 -EBADMSG);
		buf_done(&out);
		buf_done(&in);
		buf_done(&rest);
	}
	free(bytes);
}

static void what_holds_no_data_between_streams_is_passed(void **state)
{
	static const struct {
		enum unpack_format format;
		const char *bytes;
		size_t n;
	} gaps[] = {
	    {UNPACK_XZ, "\0\0\0\0\0\0\0", 8},
	    {UNPACK_ZSTD, "\x53\x2a\x4d\x18\2\0\0\0ab", 10},
	};
	uint8_t *bytes = make_bytes(5000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(gaps); i++) {
		struct buf one = pack(gaps[i].format, bytes, 5000);
		struct buf in = {0}, out = {0};

		buf_append(&in, buf_data(&one), one.len);
		buf_append(&in, gaps[i].bytes, gaps[i].n);
		buf_append(&in, buf_data(&one), one.len);
		assert_int_equal(unpack(gaps[i].format, buf_data(&in), in.len,
					1 << 20, &out),
				 0);
		assert_int_equal(out.len, 10000);
		buf_done(&one);
		buf_done(&in);
		buf_done(&out);
	}
	free(bytes);
}

static void lz4_blocks_may_not_lie_about_their_size(void **state)
{
	static const uint8_t lies[][12] = {
	    {0x02, 0x21, 0x4c, 0x18, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
	    {0x02, 0x21, 0x4c, 0x18, 5, 0, 0, 0, 1, 2, 3, 4},
	    {0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0, 1, 2, 3, 4},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct buf out = {0};

		assert_int_equal(unpack(UNPACK_LZ4, lies[i], sizeof(lies[i]),
					16 << 20, &out),
				 -EBADMSG);
		buf_done(&out);
	}
}

static void unknown_bytes_are_no_format(void **state)
{
	(void)state;
	assert_int_equal(unpack_detect((const uint8_t *)"", 0), UNPACK_NONE);
	assert_int_equal(unpack_detect((const uint8_t *)"\x1f", 1),
			 UNPACK_NONE);
	assert_int_equal(unpack_detect((const uint8_t *)"BZh9", 4),
			 UNPACK_NONE);
	assert_string_equal(unpack_name(UNPACK_ZSTD), "zstd");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_format_comes_back),
	    cmocka_unit_test(limit_is_kept),
	    cmocka_unit_test(cut_streams_are_damaged),
	    cmocka_unit_test(bytes_behind_are_ignored),
	    cmocka_unit_test(streams_in_a_row_are_all_unpacked),
	    cmocka_unit_test(what_holds_no_data_between_streams_is_passed),
	    cmocka_unit_test(lz4_blocks_may_not_lie_about_their_size),
	    cmocka_unit_test(unknown_bytes_are_no_format),
	};

	return cmocka_run_group_tests_name("unpack", tests, NULL, NULL);
}
