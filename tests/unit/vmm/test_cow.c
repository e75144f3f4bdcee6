/* SPDX-License-Identifier: MIT */
#include "vmm/cow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "tests/unit/skip.h"
#include "tests/unit/tmp.h"
#include "vmm/store.h"

/* A last block that is not whole. */
#define SIZE (size_t)(40 * COW_BLOCK + 1024)
/* The image is shorter than the disk, and ends inside of a sector. */
#define BASE_SIZE (size_t)(11 * COW_BLOCK + 100)
#define STEPS	  4000
#define TOPS_MAX  8

struct disk {
	char dir[TMP_PATH_MAX];
	struct cow *cow;
	int base;
	int tops[TOPS_MAX];
	size_t n_tops;
	/* The same as plain bytes. */
	uint8_t now[SIZE], flushed[SIZE];
	uint64_t random;
};

static int new_file(const struct disk *d)
{
	int fd = open(d->dir, O_TMPFILE | O_RDWR, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void set_top(struct disk *d)
{
	int fd = new_file(d);

	d->tops[d->n_tops++] = fd;
	cow_set_top(d->cow, fd, false);
}

static int make_disk(void **state)
{
	struct disk *d = mem_zalloc(sizeof(*d));
	struct err err;

	tmp_template(d->dir);
	assert_non_null(mkdtemp(d->dir));
	d->base = new_file(d);
	for (size_t i = 0; i < BASE_SIZE; i++)
		d->flushed[i] = d->now[i] = (uint8_t)(i * 7 + i / 256 + 1);
	assert_int_equal(pwrite(d->base, d->now, BASE_SIZE, 0), BASE_SIZE);
	d->cow = cow_new(SIZE, d->dir, d->base, &err);
	assert_non_null(d->cow);
	set_top(d);
	d->random = 1;
	*state = d;
	return 0;
}

static int free_disk(void **state)
{
	struct disk *d = *state;

	cow_free(d->cow);
	for (size_t i = 0; i < d->n_tops; i++)
		close(d->tops[i]);
	close(d->base);
	store_remove(d->dir);
	free(d);
	return 0;
}

static void check(const struct disk *d)
{
	uint8_t got[SIZE];

	assert_int_equal(cow_read(d->cow, 0, got, SIZE), 0);
	assert_memory_equal(got, d->now, SIZE);
}

static void write_both(struct disk *d, size_t off, size_t n, uint8_t byte,
		       bool is_flushed)
{
	uint8_t bytes[SIZE];

	memset(bytes, byte, n);
	assert_int_equal(cow_write(d->cow, off, bytes, n, is_flushed), 0);
	memcpy(d->now + off, bytes, n);
	if (is_flushed)
		memcpy(d->flushed + off, bytes, n);
}

/* --- tests -----------------------------------------------------------------
 */

static void the_image_shines_through(void **state)
{
	struct disk *d = *state;

	check(d);
	assert_false(cow_has_data(d->cow));
}

static void a_cut_loses_what_is_not_flushed(void **state)
{
	struct disk *d = *state;

	write_both(d, 512, 512, 0xaa, false);
	check(d);
	cow_cut(d->cow);
	memcpy(d->now, d->flushed, SIZE);
	check(d);
	assert_false(cow_has_data(d->cow));
	write_both(d, 512, 512, 0xaa, false);
	assert_int_equal(cow_flush(d->cow), 0);
	cow_cut(d->cow);
	check(d);
	assert_true(cow_has_data(d->cow));
}

/* A sector that was flushed, in the block of one that was not. */
static void a_cut_is_exact_inside_of_a_block(void **state)
{
	struct disk *d = *state;

	write_both(d, 0, 512, 1, false);
	write_both(d, 512, 512, 2, true);
	check(d);
	cow_cut(d->cow);
	memcpy(d->now, d->flushed, SIZE);
	check(d);
}

static size_t random_below(struct disk *d, size_t n)
{
	d->random = d->random * UINT64_C(6364136223846793005) + 1;
	return (size_t)(d->random >> 33) % n;
}

static void freeze(struct disk *d)
{
	struct err err;

	if (d->n_tops == TOPS_MAX || !cow_has_data(d->cow))
		return;
	assert_int_equal(cow_freeze(d->cow, &err), 0);
	memcpy(d->flushed, d->now, SIZE);
	assert_int_equal(cow_add_layer(d->cow, d->tops[d->n_tops - 1], &err),
			 0);
	set_top(d);
}

/* The same with another struct, from the files alone. */
static void reopen(struct disk *d)
{
	struct cow *c;
	struct err err;

	if (d->n_tops < 2 || d->n_tops == TOPS_MAX)
		return;
	if (cow_has_data(d->cow))
		freeze(d);
	assert_int_equal(cow_flush(d->cow), 0);
	if (cow_has_data(d->cow))
		return;
	memcpy(d->flushed, d->now, SIZE);
	c = cow_new(SIZE, d->dir, d->base, &err);
	assert_non_null(c);
	for (size_t i = 0; i + 1 < d->n_tops; i++)
		assert_int_equal(cow_add_layer(c, d->tops[i], &err), 0);
	cow_set_top(c, d->tops[d->n_tops - 1], false);
	cow_free(d->cow);
	d->cow = c;
}

static void any_order_of_calls_gives_what_bytes_give(void **state)
{
	struct disk *d = *state;

	for (int i = 0; i < STEPS; i++) {
		size_t off = random_below(d, SIZE);
		size_t most = SIZE - off;
		size_t what = random_below(d, 100);

		if (random_below(d, 3) && most > 3 * COW_BLOCK)
			most = 3 * COW_BLOCK;
		if (what < 70)
			write_both(d, off, 1 + random_below(d, most),
				   (uint8_t)i, what % 5 == 0);
		else if (what < 85) {
			assert_int_equal(cow_flush(d->cow), 0);
			memcpy(d->flushed, d->now, SIZE);
		} else if (what < 98) {
			cow_cut(d->cow);
			memcpy(d->now, d->flushed, SIZE);
		} else if (what < 99) {
			freeze(d);
		} else {
			reopen(d);
		}
		check(d);
	}
	assert_int_equal(d->n_tops, TOPS_MAX);
}

static void an_image_in_place_gets_what_is_flushed(void **state)
{
	struct disk *d = *state;
	uint8_t bytes[512];

	cow_set_top(d->cow, d->base, true);
	write_both(d, 512, 512, 9, false);
	assert_int_equal(pread(d->base, bytes, 512, 512), 512);
	assert_memory_equal(bytes, d->flushed + 512, 512);
	assert_int_equal(cow_flush(d->cow), 0);
	assert_int_equal(pread(d->base, bytes, 512, 512), 512);
	assert_memory_equal(bytes, d->now + 512, 512);
	assert_int_equal(lseek(d->base, 0, SEEK_END), BASE_SIZE);
	check(d);
}

static void a_layer_of_another_disk_is_refused(void **state)
{
	struct disk *d = *state;
	struct err err;

	assert_int_equal(cow_add_layer(d->cow, d->base, &err), -EBADMSG);
}

static void a_flush_that_fails_loses_nothing(void **state)
{
	struct disk *d = *state;
	int full = open("/dev/full", O_WRONLY);

	if (full < 0)
		skip_because("/dev/full cannot be opened");
	cow_set_top(d->cow, full, false);
	write_both(d, 0, 3 * COW_BLOCK, 5, false);
	assert_int_equal(cow_flush(d->cow), -ENOSPC);
	check(d);
	set_top(d);
	assert_int_equal(cow_flush(d->cow), 0);
	cow_cut(d->cow);
	check(d);
	close(full);
}

static void sizes_have_a_limit(void **state)
{
	struct disk *d = *state;
	struct err err;

	assert_null(cow_new(COW_SIZE_MAX + 512, d->dir, -1, &err));
	assert_int_equal(err.code, -EINVAL);
	assert_null(cow_new(SIZE, "/nonexistent", -1, &err));
	assert_int_equal(err.code, -ENOENT);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_disk, free_disk)
static const struct CMUnitTest tests[] = {
    TEST(the_image_shines_through),
    TEST(a_cut_loses_what_is_not_flushed),
    TEST(a_cut_is_exact_inside_of_a_block),
    TEST(any_order_of_calls_gives_what_bytes_give),
    TEST(an_image_in_place_gets_what_is_flushed),
    TEST(a_layer_of_another_disk_is_refused),
    TEST(a_flush_that_fails_loses_nothing),
    TEST(sizes_have_a_limit),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
