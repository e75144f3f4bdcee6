/* SPDX-License-Identifier: MIT */
/* Directories made of trees: whole or not there, and nothing beside them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "agent-proto/tree_remove.h"
#include "agent-proto/tree_write.h"
#include "tests/unit/tmp.h"
#include "tests/unit/tree_bytes.h"

struct fixture {
	char dir[TMP_PATH_MAX];
	char path[TMP_PATH_MAX + 8]; /* "new" in dir */
	struct buf bytes;
	struct err err;
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	tmp_template(f->dir);
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/new", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tree_remove(AT_FDCWD, f->dir);
	buf_done(&f->bytes);
	free(f);
	return 0;
}

/* f->bytes to path, in pieces; 0 or the error. */
static int make(struct fixture *f, const char *path, size_t piece)
{
	struct tree_writer *w = tree_writer_new(path, " here", &f->err);
	const uint8_t *p = buf_data(&f->bytes);
	size_t left = f->bytes.len;
	int rc = w ? 0 : f->err.code;

	while (w && !rc && left) {
		size_t n = left < piece ? left : piece;

		rc = tree_writer_put(w, p, n, &f->err);
		p += n;
		left -= n;
	}
	if (w && !rc)
		rc = tree_writer_finish(w, &f->err);
	tree_writer_free(w);
	return rc;
}

static struct stat stat_of(const struct fixture *f, const char *name)
{
	char *path = mem_printf("%s/%s", f->path, name);
	struct stat st = {0};

	if (lstat(path, &st) < 0)
		fail_msg("no '%s': %s", path, strerror(errno));
	free(path);
	return st;
}

static void check_mode(const struct fixture *f, const char *name, mode_t mode)
{
	assert_int_equal(stat_of(f, name).st_mode, mode);
}

static void check_text(const struct fixture *f, const char *name,
		       const char *want)
{
	char *path = mem_printf("%s/%s", f->path, name);
	char text[100] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	assert_string_equal(text, want);
	close(fd);
	free(path);
}

/* The names in the test's directory, in any order: only one, or none. */
static void check_alone(const struct fixture *f, const char *want)
{
	DIR *d = opendir(f->dir);
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' && strlen(e->d_name) <= 2)
			continue;
		assert_string_equal(e->d_name, want);
		n++;
	}
	closedir(d);
	assert_int_equal(n, *want != 0);
}

/* The tree is refused, with these words, and leaves nothing. */
static void check_refused(struct fixture *f, int code, const char *words)
{
	assert_int_equal(make(f, f->path, SIZE_MAX), code);
	if (!strstr(f->err.text, words))
		fail_msg("'%s' does not say '%s'", f->err.text, words);
	check_alone(f, "");
}

/* --- what is made --------------------------------------------------------- */

static void put_all_kinds(struct buf *b)
{
	tree_dir(b, "", 02755);
	tree_file(b, "program", 06755, "#!/bin/sh\n");
	tree_dir(b, "locked", 0500);
	tree_file(b, "secret", 0400, "x");
	tree_dir(b, "empty", 01777);
	tree_up(b);
	tree_up(b);
	tree_link(b, "link", "/no/where");
	tree_file(b, "none", 0, "");
	tree_up(b);
}

static void every_kind_arrives_with_its_mode(void **state)
{
	struct fixture *f = *state;
	mode_t mask = umask(077);

	put_all_kinds(&f->bytes);
	for (size_t piece = 1; piece < 40; piece += 13) {
		assert_int_equal(make(f, f->path, piece), 0);
		check_mode(f, "", S_IFDIR | 02755);
		check_mode(f, "program", S_IFREG | 06755);
		check_mode(f, "locked", S_IFDIR | 0500);
		check_mode(f, "locked/secret", S_IFREG | 0400);
		check_mode(f, "locked/empty", S_IFDIR | 01777);
		check_mode(f, "none", S_IFREG);
		assert_true(S_ISLNK(stat_of(f, "link").st_mode));
		check_text(f, "program", "#!/bin/sh\n");
		check_text(f, "locked/secret", "x");
		check_alone(f, "new");
		tree_remove(AT_FDCWD, f->path);
		check_alone(f, "");
	}
	umask(mask);
}

static void holes_are_left_out(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	tree_dir(&f->bytes, "", 0755);
	tree_encode(&(struct tree_entry){TREE_FILE, 0644, "f", ""}, &f->bytes);
	tree_record(&f->bytes, UINT64_C(1) << 30, "middle");
	tree_record(&f->bytes, UINT64_C(1) << 30, "");
	tree_up(&f->bytes);
	assert_int_equal(make(f, f->path, 7), 0);
	st = stat_of(f, "f");
	assert_int_equal(st.st_size, (INT64_C(2) << 30) + 6);
	assert_true(st.st_blocks < 2048);
}

/* --- where it is made ----------------------------------------------------- */

static void an_empty_directory_is_replaced(void **state)
{
	struct fixture *f = *state;
	char *slashes = mem_printf("%s//", f->path);

	put_all_kinds(&f->bytes);
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(make(f, slashes, SIZE_MAX), 0);
	check_mode(f, "", S_IFDIR | 02755);
	/* It is full now. */
	assert_int_equal(make(f, f->path, SIZE_MAX), -ENOTEMPTY);
	assert_non_null(strstr(f->err.text, "new' here is not empty: "));
	check_alone(f, "new");
	free(slashes);
}

static void a_link_to_an_empty_directory_stays(void **state)
{
	struct fixture *f = *state;
	char *link = mem_printf("%s/link", f->dir);

	put_all_kinds(&f->bytes);
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(symlink("new", link), 0);
	assert_int_equal(make(f, link, SIZE_MAX), 0);
	check_text(f, "program", "#!/bin/sh\n");
	assert_int_equal(unlink(link), 0);
	check_alone(f, "new");
	free(link);
}

static void other_places_are_refused(void **state)
{
	static const struct {
		const char *path;
		int code;
		const char *words;
	} bad[] = {
	    {"/dev/null", -ENOTDIR,
	     "cannot create '/dev/null' here: Not a dir"},
	    {"/no/such/place", -ENOENT, "'/no/such/place' here: No such file"},
	    {"/", -EEXIST, "'/' here: File exists"},
	    {"/proc", -EBUSY, "'/proc' here is a mount point"},
	    {"/dev/null/x", -ENOTDIR, "Not a directory"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(make(f, bad[i].path, SIZE_MAX), bad[i].code);
		assert_non_null(strstr(f->err.text, bad[i].words));
	}
}

/* Whatever comes between the start and the end keeps its place. */
static void what_appears_meanwhile_is_kept(void **state)
{
	struct fixture *f = *state;
	struct tree_writer *w = tree_writer_new(f->path, "", &f->err);
	char *kept = mem_printf("%s/kept", f->path);

	put_all_kinds(&f->bytes);
	assert_non_null(w);
	assert_int_equal(
	    tree_writer_put(w, buf_data(&f->bytes), f->bytes.len, &f->err), 0);
	assert_int_equal(mkdir(f->path, 0755), 0);
	assert_int_equal(symlink("x", kept), 0);
	assert_true(tree_writer_finish(w, &f->err) < 0);
	tree_writer_free(w);
	check_alone(f, "new");
	assert_true(S_ISLNK(stat_of(f, "kept").st_mode));
	free(kept);
}

/* --- what would do harm --------------------------------------------------- */

static void nothing_is_written_through_a_link(void **state)
{
	struct fixture *f = *state;
	char *outside = mem_printf("%s/outside", f->dir);

	for (int kind = TREE_DIR; kind <= TREE_LINK; kind++) {
		struct tree_entry e = {(enum tree_kind)kind, 0755, "l",
				       kind == TREE_LINK ? "x" : ""};

		buf_reset(&f->bytes);
		tree_dir(&f->bytes, "", 0755);
		tree_link(&f->bytes, "l", f->dir);
		tree_encode(&e, &f->bytes);
		tree_file(&f->bytes, "outside", 0644, "x");
		check_refused(f, -EEXIST, "/new/l' here: File exists");
		/* A link to a name that is free. */
		buf_reset(&f->bytes);
		tree_dir(&f->bytes, "", 0755);
		tree_link(&f->bytes, "l", outside);
		tree_encode(&e, &f->bytes);
		check_refused(f, -EEXIST, "/new/l' here: File exists");
	}
	free(outside);
}

static void a_name_is_made_once(void **state)
{
	struct fixture *f = *state;

	for (int kind = TREE_DIR; kind <= TREE_LINK; kind++) {
		struct tree_entry e = {(enum tree_kind)kind, 0755, "n",
				       kind == TREE_LINK ? "x" : ""};

		buf_reset(&f->bytes);
		tree_dir(&f->bytes, "", 0755);
		tree_file(&f->bytes, "n", 0644, "first");
		tree_encode(&e, &f->bytes);
		check_refused(f, -EEXIST, "File exists");
	}
}

static void what_is_no_tree_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	put_all_kinds(&f->bytes);
	buf_append(&f->bytes, "x", 1);
	check_refused(f, -EPROTO, "behind the end");
	/* Each beginning of it. */
	for (size_t n = 0; n < f->bytes.len - 1; n++) {
		struct buf all = f->bytes;

		f->bytes.len = n;
		check_refused(f, -EPROTO, "the tree breaks off");
		f->bytes = all;
	}
}

static void holes_beyond_every_file_are_refused(void **state)
{
	static const uint64_t holes[] = {UINT64_MAX, INT64_MAX};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(holes); i++) {
		struct tree_entry e = {TREE_FILE, 0644, "f", ""};

		buf_reset(&f->bytes);
		tree_dir(&f->bytes, "", 0755);
		tree_encode(&e, &f->bytes);
		tree_record(&f->bytes, holes[i], "x");
		tree_record(&f->bytes, holes[i], "x");
		assert_true(make(f, f->path, SIZE_MAX) < 0);
		assert_non_null(strstr(f->err.text, "cannot write '"));
		check_alone(f, "");
	}
}

static void a_deep_tree_is_removed_with_what_denies_it(void **state)
{
	struct fixture *f = *state;

	tree_dir(&f->bytes, "", 0);
	for (unsigned i = 1; i < TREE_DEPTH_MAX; i++)
		tree_dir(&f->bytes, "d", 0);
	tree_file(&f->bytes, "f", 0, "x");
	for (unsigned i = 1; i < TREE_DEPTH_MAX; i++)
		tree_up(&f->bytes);
	check_refused(f, -EPROTO, "the tree breaks off");
	tree_up(&f->bytes);
	assert_int_equal(make(f, f->path, SIZE_MAX), 0);
	tree_remove(AT_FDCWD, f->path);
	check_alone(f, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_kind_arrives_with_its_mode),
	    TEST(holes_are_left_out),
	    TEST(an_empty_directory_is_replaced),
	    TEST(a_link_to_an_empty_directory_stays),
	    TEST(other_places_are_refused),
	    TEST(what_appears_meanwhile_is_kept),
	    TEST(nothing_is_written_through_a_link),
	    TEST(a_name_is_made_once),
	    TEST(what_is_no_tree_leaves_nothing),
	    TEST(holes_beyond_every_file_are_refused),
	    TEST(a_deep_tree_is_removed_with_what_denies_it),
	};

	return cmocka_run_group_tests_name("tree write", tests, NULL, NULL);
}
