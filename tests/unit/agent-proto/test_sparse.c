/* SPDX-License-Identifier: MIT */
/* Files as records: whatever the pieces in which they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/buf.h"
#include "agent-proto/sparse.h"

/* Reads p in pieces of n bytes at the most; holes become zeros in out. */
static bool read_all(const uint8_t *p, size_t len, size_t piece,
		     struct buf *out)
{
	struct sparse_reader r = {0};
	const uint8_t *end = p + len;

	while (p < end) {
		size_t n =
		    (size_t)(end - p) < piece ? (size_t)(end - p) : piece;
		size_t data = sparse_data(&r, n);
		uint64_t hole;

		if (data) {
			buf_append(out, p, data);
			sparse_used(&r, data);
			p += data;
			continue;
		}
		p += sparse_take_header(&r, p, n, &hole);
		for (; hole; hole--)
			buf_append(out, "", 1);
	}
	return sparse_is_whole(&r);
}

static void records_are_read_whatever_the_pieces(void **state)
{
	uint8_t records[3 * SPARSE_HEADER + 6];
	uint8_t *at = records;

	(void)state;
	sparse_encode(at, 2, 4);
	memcpy(at + SPARSE_HEADER, "abcd", 4);
	at += SPARSE_HEADER + 4;
	sparse_encode(at, 0, 2);
	memcpy(at + SPARSE_HEADER, "ef", 2);
	at += SPARSE_HEADER + 2;
	sparse_encode(at, 3, 0);
	for (size_t piece = 1; piece <= sizeof(records); piece++) {
		struct buf out = {0};

		assert_true(read_all(records, sizeof(records), piece, &out));
		assert_int_equal(out.len, 11);
		assert_memory_equal(buf_data(&out), "\0\0abcdef\0\0\0", 11);
		buf_done(&out);
	}
}

static void records_that_break_off_are_noticed(void **state)
{
	uint8_t record[SPARSE_HEADER + 2];

	(void)state;
	sparse_encode(record, 0, 2);
	memcpy(record + SPARSE_HEADER, "ab", 2);
	for (size_t n = 0; n <= sizeof(record); n++) {
		struct buf out = {0};
		bool whole = read_all(record, n, 5, &out);

		assert_int_equal(whole, n == 0 || n == sizeof(record));
		buf_done(&out);
	}
}

static void holes_of_a_file_are_found(void **state)
{
	char path[] = "/tmp/provium-sparse-XXXXXX";
	const uint64_t far = 64u << 20, size = 128u << 20;
	struct sparse_map map = {0};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(pwrite(fd, "x", 1, (off_t)far), 1);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	uint64_t hole = sparse_hole_at(&map, fd, 0);
	assert_true(hole > 0 && hole <= far);
	assert_int_equal(sparse_hole_at(&map, fd, far), 0);
	assert_true(map.data_end > far && map.data_end < size);
	assert_int_equal(sparse_hole_at(&map, fd, map.data_end),
			 size - map.data_end);
	assert_int_equal(sparse_hole_at(&map, fd, size), 0);
	/* Of a file that became shorter meanwhile. */
	assert_int_equal(ftruncate(fd, (off_t)size - 7), 0);
	assert_int_equal(sparse_hole_at(&map, fd, size - 10), 3);
	assert_int_equal(sparse_hole_at(&map, fd, size), 0);
	close(fd);
}

/* A pipe has none, nor does it tell. */
static void what_does_not_tell_has_no_holes(void **state)
{
	struct sparse_map map = {0};
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(sparse_hole_at(&map, fds[0], 0), 0);
	assert_int_equal(sparse_hole_at(&map, fds[0], 50), 0);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(records_are_read_whatever_the_pieces),
	    cmocka_unit_test(records_that_break_off_are_noticed),
	    cmocka_unit_test(holes_of_a_file_are_found),
	    cmocka_unit_test(what_does_not_tell_has_no_holes),
	};

	return cmocka_run_group_tests_name("sparse", tests, NULL, NULL);
}
