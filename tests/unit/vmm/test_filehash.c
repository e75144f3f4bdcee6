/* SPDX-License-Identifier: MIT */
#include "vmm/filehash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/tmp.h"

#define PAGE 4096

static int new_file(void)
{
	char path[TMP_PATH_MAX];
	int fd;

	tmp_template(path);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static int setup(void **state)
{
	int *fd = malloc(sizeof(*fd));

	*fd = new_file();
	*state = fd;
	return 0;
}

static int teardown(void **state)
{
	close(*(int *)*state);
	free(*state);
	return 0;
}

static void put(int fd, off_t at, int c, size_t n)
{
	uint8_t *bytes = malloc(n);

	memset(bytes, c, n);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	free(bytes);
}

/* In one of a few static places. */
static const char *hash(int fd)
{
	static char texts[4][FILEHASH_TEXT_MAX];
	static unsigned next;
	char *text = texts[next++ % 4];
	struct err err;

	assert_int_equal(filehash_of(fd, text, &err), 0);
	assert_int_equal(strlen(text), FILEHASH_TEXT_MAX - 1);
	return text;
}

static void holes_and_zeros_are_the_same(void **state)
{
	int fd = *(int *)*state, holes = new_file();

	put(fd, 0, 0, 200 * PAGE);
	put(fd, 70 * PAGE, 'x', PAGE);
	assert_int_equal(ftruncate(holes, 200 * PAGE), 0);
	put(holes, 70 * PAGE, 'x', PAGE);
	assert_string_equal(hash(fd), hash(holes));
	close(holes);
}

static void every_bit_counts(void **state)
{
	static const off_t places[] = {0,    1,		PAGE - 1,
				       PAGE, 64 * PAGE, 99 * PAGE + 7};
	int fd = *(int *)*state;
	char was[FILEHASH_TEXT_MAX];

	put(fd, 0, 'x', 100 * PAGE);
	strcpy(was, hash(fd));
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		put(fd, places[i], 'x' ^ 1, 1);
		assert_string_not_equal(hash(fd), was);
		put(fd, places[i], 'x', 1);
	}
	assert_string_equal(hash(fd), was);
}

static void the_place_of_a_page_counts(void **state)
{
	int fd = *(int *)*state, other = new_file();

	assert_int_equal(ftruncate(fd, 10 * PAGE), 0);
	assert_int_equal(ftruncate(other, 10 * PAGE), 0);
	put(fd, 2 * PAGE, 'x', PAGE);
	put(other, 3 * PAGE, 'x', PAGE);
	assert_string_not_equal(hash(fd), hash(other));
	close(other);
}

static void the_size_counts_though_all_is_zero(void **state)
{
	int fd = *(int *)*state;
	char empty[FILEHASH_TEXT_MAX], one[FILEHASH_TEXT_MAX];

	strcpy(empty, hash(fd));
	assert_int_equal(ftruncate(fd, 1), 0);
	strcpy(one, hash(fd));
	assert_string_not_equal(one, empty);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_string_not_equal(hash(fd), one);
}

static void sizes_that_are_no_pages_are_taken(void **state)
{
	int fd = *(int *)*state;
	char was[FILEHASH_TEXT_MAX];

	put(fd, 0, 'x', 64 * PAGE + 5);
	strcpy(was, hash(fd));
	put(fd, 64 * PAGE + 4, 'y', 1);
	assert_string_not_equal(hash(fd), was);
	put(fd, 64 * PAGE + 4, 'x', 1);
	assert_int_equal(ftruncate(fd, 64 * PAGE + 4), 0);
	assert_string_not_equal(hash(fd), was);
}

static void steps_give_what_one_go_gives(void **state)
{
	int fd = *(int *)*state;
	struct filehash *h = filehash_new(fd);
	char text[FILEHASH_TEXT_MAX];
	unsigned steps = 0;
	struct err err;
	int r;

	put(fd, 0, 'x', 300 * PAGE);
	put(fd, 1000 * PAGE, 'y', 3);
	do {
		r = filehash_step(h, 1, &err);
		steps++;
	} while (!r);
	assert_int_equal(r, 1);
	assert_true(steps >= 5);
	assert_int_equal(filehash_step(h, 1, &err), 1);
	filehash_text(h, text);
	assert_string_equal(text, hash(fd));
	filehash_free(h);
	assert_null(filehash_free(NULL));
}

static void what_cannot_be_read_is_an_error(void **state)
{
	int fd = open("/", O_RDONLY | O_CLOEXEC);
	char text[FILEHASH_TEXT_MAX];
	struct err err;

	(void)state;
	assert_true(filehash_of(-1, text, &err) < 0);
	assert_non_null(strstr(err.text, "Bad file descriptor"));
	assert_true(filehash_of(fd, text, &err) < 0);
	close(fd);
}

/* Snapshots on disk hold such numbers. */
static void the_number_stays_from_build_to_build(void **state)
{
	int fd = *(int *)*state;

	put(fd, 0, 'x', PAGE);
	put(fd, 5 * PAGE, 'y', 10);
	assert_string_equal(hash(fd), "9dc88e11fb15ba0c");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
    T(holes_and_zeros_are_the_same),
    T(every_bit_counts),
    T(the_place_of_a_page_counts),
    T(the_size_counts_though_all_is_zero),
    T(sizes_that_are_no_pages_are_taken),
    T(steps_give_what_one_go_gives),
    T(what_cannot_be_read_is_an_error),
    T(the_number_stays_from_build_to_build),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
