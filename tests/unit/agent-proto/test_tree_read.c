/* SPDX-License-Identifier: MIT */
/* Directories as trees: read here, made again, and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "agent-proto/tree.h"
#include "agent-proto/tree_read.h"
#include "agent-proto/tree_remove.h"
#include "agent-proto/tree_write.h"
#include "tests/unit/tmp.h"
#include "tests/unit/tree_bytes.h"

struct fixture {
	char dir[TMP_PATH_MAX];
	char from[TMP_PATH_MAX + 8]; /* "from" in dir: what is read */
	struct err err;
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	tmp_template(f->dir);
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->from, sizeof(f->from), "%s/from", f->dir);
	assert_int_equal(mkdir(f->from, 0750), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tree_remove(AT_FDCWD, f->dir);
	free(f);
	return 0;
}

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *format, ...)
{
	va_list ap;
	char *command;
	int rc;

	va_start(ap, format);
	command = mem_vprintf(format, ap);
	va_end(ap);
	rc = system(command);
	free(command);
	return rc;
}

static struct tree_reader *open_reader(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return tree_reader_new(fd, path, " here");
}

/* All of it, asked for n bytes at a time. 0 or the error. */
static int read_all(struct fixture *f, const char *path, size_t n,
		    struct buf *out)
{
	struct tree_reader *t = open_reader(path);
	int more;

	do
		more = tree_reader_next(t, out, n, &f->err);
	while (more > 0);
	tree_reader_free(t);
	return more;
}

static void check_fails(struct fixture *f, int code, const char *words)
{
	struct buf out = {0};

	assert_int_equal(read_all(f, f->from, 4096, &out), code);
	if (!strstr(f->err.text, words))
		fail_msg("'%s' does not say '%s'", f->err.text, words);
	buf_done(&out);
}

static void a_directory_is_made_again_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct buf out = {0};
	char *to = mem_printf("%s/to", f->dir);
	struct tree_writer *w;

	assert_int_equal(
	    run("cd %s && mkdir -p a/b/c empty && echo text >a/b/c/f && "
		"head -c 300000 /dev/urandom >a/big && : >a/none && "
		"ln -s ../no/where a/l && ln -s empty d && ln a/big a/again && "
		"truncate -s 1M holes && echo x >>holes && truncate -s 3M "
		"holes "
		"&& chmod 4755 a/b/c/f && chmod 1777 empty && chmod 500 a/b",
		f->from),
	    0);
	assert_int_equal(read_all(f, f->from, 1, &out), 0);
	w = tree_writer_new(to, "", &f->err);
	assert_int_equal(tree_writer_put(w, buf_data(&out), out.len, &f->err),
			 0);
	assert_int_equal(tree_writer_finish(w, &f->err), 0);
	tree_writer_free(w);
	assert_int_equal(run("cd %s && diff -r --no-dereference from to && "
			     "for d in from to; do (cd $d; find . -printf "
			     "'%%p %%m %%l %%y\\n' | sort) >$d.list; done && "
			     "cmp from.list to.list && "
			     "test $(du -k to/holes | cut -f1) -lt 1024",
			     f->dir),
			 0);
	buf_done(&out);
	free(to);
}

static void the_bytes_do_not_depend_on_the_pieces_nor_the_order(void **state)
{
	struct fixture *f = *state;
	struct buf small = {0}, large = {0};

	assert_int_equal(run("cd %s && touch c a && mkdir b && echo x >b/z && "
			     "mkdir ../other && cd ../other && mkdir b && "
			     "echo x >b/z && touch a c && chmod 750 .",
			     f->from),
			 0);
	assert_int_equal(read_all(f, f->from, 1, &small), 0);
	char *other = mem_printf("%s/other", f->dir);
	assert_int_equal(read_all(f, other, 1 << 20, &large), 0);
	assert_int_equal(small.len, large.len);
	assert_memory_equal(buf_data(&small), buf_data(&large), small.len);
	buf_done(&small);
	buf_done(&large);
	free(other);
}

/* --- what is not copied --------------------------------------------------- */

static void a_fifo_is_named(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run("mkdir %s/d && mkfifo %s/d/p", f->from, f->from),
			 0);
	check_fails(f, -EINVAL, "/from/d/p' here is a FIFO: ");
}

static void a_socket_is_named(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", f->from);

	assert_in_range(n, 1, sizeof(a.sun_path) - 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	check_fails(f, -EINVAL, "/from/s' here is a socket: ");
	close(fd);
}

static void a_device_is_named(void **state)
{
	struct fixture *f = *state;
	struct buf out = {0};

	assert_int_equal(read_all(f, "/dev", 4096, &out), -EINVAL);
	assert_non_null(strstr(f->err.text, "'/dev/"));
	buf_done(&out);
}

static void depth_has_a_limit(void **state)
{
	struct fixture *f = *state;
	struct buf out = {0};

	assert_int_equal(run("cd %s && for i in $(seq %u); do mkdir d && cd d "
			     "|| exit; done",
			     f->from, TREE_DEPTH_MAX - 1),
			 0);
	assert_int_equal(read_all(f, f->from, 4096, &out), 0);
	assert_int_equal(run("cd %s && for i in $(seq %u); do cd d || exit; "
			     "done; mkdir d",
			     f->from, TREE_DEPTH_MAX - 1),
			 0);
	check_fails(f, -EFBIG, "here: directories are more than 128 deep");
	buf_done(&out);
}

/* --- what changes meanwhile ----------------------------------------------- */

static void what_vanishes_is_left_out(void **state)
{
	struct fixture *f = *state;
	struct buf out = {0}, want = {0};
	struct tree_reader *t;
	int more;

	assert_int_equal(
	    run("cd %s && touch a b && mkdir c d && echo x >d/x", f->from), 0);
	t = open_reader(f->from);
	/* The names are listed now. */
	assert_int_equal(tree_reader_next(t, &out, 1, &f->err), 1);
	assert_int_equal(run("cd %s && rm -r b c && touch e", f->from), 0);
	do
		more = tree_reader_next(t, &out, 1, &f->err);
	while (more > 0);
	assert_int_equal(more, 0);
	tree_reader_free(t);
	tree_dir(&want, "", 0750);
	tree_file(&want, "a", 0644, "");
	tree_dir(&want, "d", 0755);
	tree_file(&want, "x", 0644, "x\n");
	tree_up(&want);
	tree_up(&want);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(buf_data(&out), buf_data(&want), want.len);
	buf_done(&out);
	buf_done(&want);
}

static void a_file_that_becomes_shorter_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct buf out = {0};
	struct tree_reader *t;
	int more;

	assert_int_equal(run("head -c 200000 /dev/zero >%s/f", f->from), 0);
	t = open_reader(f->from);
	while (out.len < 40000)
		assert_int_equal(tree_reader_next(t, &out, 1, &f->err), 1);
	assert_int_equal(run("truncate -s 50000 %s/f", f->from), 0);
	do
		more = tree_reader_next(t, &out, 1, &f->err);
	while (more > 0);
	assert_int_equal(more, -ENODATA);
	assert_non_null(strstr(f->err.text, "f' here has become shorter"));
	tree_reader_free(t);
	buf_done(&out);
}

/* A link that takes a directory's place is not followed. */
static void a_link_in_place_of_a_directory_is_no_way_out(void **state)
{
	struct fixture *f = *state;
	struct buf out = {0};
	struct tree_reader *t;

	assert_int_equal(run("mkdir %s/d", f->from), 0);
	t = open_reader(f->from);
	assert_int_equal(tree_reader_next(t, &out, 1, &f->err), 1);
	assert_int_equal(run("cd %s && rmdir d && ln -s / d", f->from), 0);
	while (tree_reader_next(t, &out, 1, &f->err) > 0)
		;
	assert_true(out.len < 100);
	tree_reader_free(t);
	buf_done(&out);
}

static void files_that_the_kernel_makes_are_read_to_their_end(void **state)
{
	struct fixture *f = *state;
	struct buf out = {0};

	assert_int_equal(read_all(f, "/proc/sys/kernel/random", 4096, &out), 0);
	assert_non_null(memmem(buf_data(&out), out.len, "boot_id", 7));
	/* The identifier is 36 bytes and a newline, of a file of size 0. */
	assert_true(out.len > 100);
	buf_done(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_directory_is_made_again_as_it_was),
	    TEST(the_bytes_do_not_depend_on_the_pieces_nor_the_order),
	    TEST(a_fifo_is_named),
	    TEST(a_socket_is_named),
	    TEST(a_device_is_named),
	    TEST(depth_has_a_limit),
	    TEST(what_vanishes_is_left_out),
	    TEST(a_file_that_becomes_shorter_is_an_error),
	    TEST(a_link_in_place_of_a_directory_is_no_way_out),
	    TEST(files_that_the_kernel_makes_are_read_to_their_end),
	};

	umask(022);
	return cmocka_run_group_tests_name("tree read", tests, NULL, NULL);
}
