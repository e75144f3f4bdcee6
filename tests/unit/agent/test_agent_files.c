/* SPDX-License-Identifier: MIT */
/* Files of the boot options, in a tree of the test's own. The agent is a
 * program, so its source is taken. */
#include "cmd/provium-agent/init/files.c"

#include "agent-proto/buf.h"
#include "tests/unit/agent/lib_agent_peer.h"

/* A tree, and what is staged in it. */
struct tree {
	char *root;
	struct buf list;
	size_t n;
	struct files files;
	struct err err;
};

static char *at(const struct tree *t, const char *path)
{
	static char paths[4][512];
	static unsigned next;
	char *p = paths[next++ % ARRAY_LEN(paths)];

	snprintf(p, sizeof(paths[0]), "%s%s", t->root, path);
	return p;
}

static int setup(void **state)
{
	static int number;
	struct tree *t = mem_zalloc(sizeof(*t));
	char name[16];

	snprintf(name, sizeof(name), "tree%d", ++number);
	t->root = mem_strdup(peer_tmp(name));
	assert_int_equal(mkdir(t->root, 0700), 0);
	assert_int_equal(mkdir(at(t, "/.provium"), 0755), 0);
	assert_int_equal(mkdir(at(t, FILES_DIR), 0755), 0);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct tree *t = *state;

	files_done(&t->files);
	buf_done(&t->list);
	free(t->root);
	free(t);
	return 0;
}

static void list_file(struct tree *t, const char *kind, size_t size,
		      const char *path)
{
	buf_printf(&t->list, "%s %zu %s", kind, size, path);
	buf_append(&t->list, "", 1);
	t->n++;
}

static void stage(struct tree *t, const char *path, const char *text)
{
	char name[64];

	snprintf(name, sizeof(name), FILES_DIR "/%zu", t->n);
	peer_write(at(t, name), text, false);
	list_file(t, "staged", strlen(text), path);
}

static int place(struct tree *t)
{
	FILE *f = fopen(at(t, FILES_DIR "/list"), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(buf_data(&t->list), 1, t->list.len, f),
			 t->list.len);
	assert_int_equal(fclose(f), 0);
	return files_place(&t->files, t->root, t->n, &t->err);
}

static void expect(const struct tree *t, const char *path, const char *text)
{
	char have[64] = "";
	FILE *f = fopen(at(t, path), "r");

	assert_non_null(f);
	assert_non_null(fgets(have, sizeof(have), f));
	fclose(f);
	assert_string_equal(have, text);
}

static mode_t mode_of(const struct tree *t, const char *path)
{
	struct stat st;

	assert_int_equal(lstat(at(t, path), &st), 0);
	return st.st_mode;
}

static void expect_fault(struct tree *t, int code, const char *text)
{
	assert_int_equal(place(t), code);
	assert_int_equal(t->err.code, code);
	assert_string_equal(t->err.text, text);
}

static void files_reach_their_places_and_leave_no_trace(void **state)
{
	struct tree *t = *state;

	stage(t, "/etc/deep/x", "one");
	stage(t, "/y", "two");
	stage(t, "/etc/deep/x", "three");
	assert_int_equal(place(t), 0);
	expect(t, "/etc/deep/x", "three");
	expect(t, "/y", "two");
	assert_int_equal(access(at(t, FILES_DIR), F_OK), -1);
	assert_int_equal(files_check_visible(&t->files, &t->err), 0);
}

static void directories_that_exist_stay_as_they_are(void **state)
{
	struct tree *t = *state;

	assert_int_equal(mkdir(at(t, "/home"), 0700), 0);
	assert_int_equal(chmod(at(t, "/home"), 02751), 0);
	stage(t, "/home/x", "x");
	assert_int_equal(place(t), 0);
	assert_int_equal(mode_of(t, "/home"), S_IFDIR | 02751);
}

static void missing_directories_have_their_usual_modes(void **state)
{
	mode_t mask = umask(077);
	struct tree *t = *state;

	stage(t, "/tmp/x", "x");
	stage(t, "/root/x", "x");
	stage(t, "/var/tmp/sub/x", "x");
	assert_int_equal(place(t), 0);
	umask(mask);
	assert_int_equal(mode_of(t, "/tmp"), S_IFDIR | 01777);
	assert_int_equal(mode_of(t, "/root"), S_IFDIR | 0700);
	assert_int_equal(mode_of(t, "/var"), S_IFDIR | 0755);
	assert_int_equal(mode_of(t, "/var/tmp"), S_IFDIR | 01777);
	assert_int_equal(mode_of(t, "/var/tmp/sub"), S_IFDIR | 0755);
}

static void other_names_of_a_file_keep_it(void **state)
{
	struct tree *t = *state;

	peer_write(at(t, "/one"), "old", false);
	assert_int_equal(link(at(t, "/one"), at(t, "/two")), 0);
	assert_int_equal(symlink("one", at(t, "/three")), 0);
	stage(t, "/two", "new");
	stage(t, "/three", "newer");
	assert_int_equal(place(t), 0);
	expect(t, "/one", "old");
	expect(t, "/two", "new");
	expect(t, "/three", "newer");
	assert_true(S_ISREG(mode_of(t, "/three")));
}

static void an_empty_directory_makes_way(void **state)
{
	struct tree *t = *state;

	assert_int_equal(mkdir(at(t, "/empty"), 0755), 0);
	stage(t, "/empty", "x");
	assert_int_equal(place(t), 0);
	expect(t, "/empty", "x");
}

static void a_full_directory_is_named(void **state)
{
	struct tree *t = *state;

	assert_int_equal(mkdir(at(t, "/full"), 0755), 0);
	peer_write(at(t, "/full/inside"), "x", false);
	stage(t, "/full", "x");
	expect_fault(t, -ENOTEMPTY,
		     "file '/full' for the guest: the image has a directory "
		     "there that is not empty");
	expect(t, "/full/inside", "x");
}

static void a_symlink_to_a_directory_is_named(void **state)
{
	struct tree *t = *state;

	assert_int_equal(mkdir(at(t, "/dir"), 0755), 0);
	assert_int_equal(symlink("dir", at(t, "/link")), 0);
	stage(t, "/link/x", "x");
	stage(t, "/link", "x");
	expect_fault(t, -EISDIR,
		     "file '/link' for the guest: the image has a symlink to a "
		     "directory there");
	expect(t, "/dir/x", "x");
	assert_true(S_ISLNK(mode_of(t, "/link")));
}

static void a_parent_that_is_a_file_is_named(void **state)
{
	struct tree *t = *state;

	peer_write(at(t, "/text"), "x", false);
	stage(t, "/text/a/b", "x");
	expect_fault(t, -ENOTDIR,
		     "file '/text/a/b' for the guest: '/text' of the image is "
		     "not a directory");
}

static void a_parent_that_leads_nowhere_is_named(void **state)
{
	struct tree *t = *state;

	assert_int_equal(symlink("nowhere", at(t, "/link")), 0);
	stage(t, "/link/a", "x");
	expect_fault(t, -ENOENT,
		     "file '/link/a' for the guest: '/link' of the image is a "
		     "symlink without a target");
}

static void what_the_kernel_placed_is_only_looked_at(void **state)
{
	struct tree *t = *state;

	peer_write(at(t, "/blob"), "blob", false);
	list_file(t, "placed", 4, "/blob");
	stage(t, "/x", "x");
	assert_int_equal(place(t), 0);
	expect(t, "/blob", "blob");
	expect(t, "/x", "x");
}

static void what_the_kernel_could_not_place_is_named(void **state)
{
	struct tree *t = *state;

	assert_int_equal(mkdir(at(t, "/dir"), 0755), 0);
	peer_write(at(t, "/dir/inside"), "x", false);
	list_file(t, "placed", 4, "/dir");
	expect_fault(t, -ENOTEMPTY,
		     "file '/dir' for the guest: the image has a directory "
		     "there that is not empty");
}

#define NOT_ALL                                                                \
	"the kernel did not unpack all of it: the guest needs more memory"

static void a_file_that_is_cut_off_is_named(void **state)
{
	struct tree *t = *state;

	stage(t, "/x", "x");
	stage(t, "/y", "y");
	peer_write(at(t, FILES_DIR "/1"), "", false);
	expect_fault(t, -ENOSPC, "file '/y' for the guest: " NOT_ALL);
	expect(t, "/x", "x");
}

/* As the kernel leaves it: of its full size. */
static void a_file_with_a_hole_is_named(void **state)
{
	struct tree *t = *state;

	list_file(t, "staged", 1 << 20, "/x");
	peer_write(at(t, FILES_DIR "/0"), "x", false);
	assert_int_equal(truncate(at(t, FILES_DIR "/0"), 1 << 20), 0);
	expect_fault(t, -ENOSPC, "file '/x' for the guest: " NOT_ALL);
}

static void a_placed_file_that_is_cut_off_is_named(void **state)
{
	struct tree *t = *state;

	peer_write(at(t, "/blob"), "bl", false);
	list_file(t, "placed", 4, "/blob");
	expect_fault(t, -ENOSPC, "file '/blob' for the guest: " NOT_ALL);
}

/* At any byte; the file that it is about is then unknown. */
static void a_list_that_is_cut_off_is_told_of(void **state)
{
	struct tree *t = *state;
	size_t first;

	stage(t, "/x", "x");
	first = t->list.len;
	stage(t, "/long", "y");
	for (size_t n = t->list.len; n-- > first;) {
		t->list.len = n;
		peer_write(at(t, FILES_DIR "/0"), "x", false);
		expect_fault(t, -ENOSPC,
			     "the kernel unpacked 1 of 2 files for the guest: "
			     "it needs more memory");
		files_done(&t->files);
	}
}

static void a_missing_list_is_told_of(void **state)
{
	struct tree *t = *state;

	assert_int_equal(files_place(&t->files, t->root, 1, &t->err), -ENOENT);
	assert_string_equal(t->err.text, "the list of the files for the guest: "
					 "No such file or directory");
}

static void no_file_needs_no_list(void **state)
{
	struct tree *t = *state;

	assert_int_equal(files_place(&t->files, t->root, 0, &t->err), 0);
	assert_int_equal(files_check_visible(&t->files, &t->err), 0);
}

/* The end tells long paths apart, and leaves room for the reason. */
static void the_end_of_a_long_path_is_shown(void **state)
{
	struct tree *t = *state;
	char dir[201], path[640], want[1024];

	memset(dir, 'd', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	snprintf(path, sizeof(path), "/text/%s/%s", dir, dir);
	peer_write(at(t, "/text"), "x", false);
	stage(t, path, "x");
	snprintf(want, sizeof(want),
		 "file '%s' for the guest: '/text' of the image is not a "
		 "directory",
		 path + strlen(path) - SHOWN_MAX);
	expect_fault(t, -ENOTDIR, want);
}

static void a_file_that_a_mount_hides_is_named(void **state)
{
	struct tree *t = *state;

	stage(t, "/dev/x", "x");
	stage(t, "/y", "y");
	assert_int_equal(place(t), 0);
	/* As a mount there would have it. */
	assert_int_equal(unlink(at(t, "/dev/x")), 0);
	assert_int_equal(files_check_visible(&t->files, &t->err), -EBUSY);
	assert_string_equal(t->err.text,
			    "file '/dev/x' for the guest: a file system that "
			    "is mounted at the start hides it");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(files_reach_their_places_and_leave_no_trace),
	    T(directories_that_exist_stay_as_they_are),
	    T(missing_directories_have_their_usual_modes),
	    T(other_names_of_a_file_keep_it),
	    T(an_empty_directory_makes_way),
	    T(a_full_directory_is_named),
	    T(a_symlink_to_a_directory_is_named),
	    T(a_parent_that_is_a_file_is_named),
	    T(a_parent_that_leads_nowhere_is_named),
	    T(what_the_kernel_placed_is_only_looked_at),
	    T(what_the_kernel_could_not_place_is_named),
	    T(a_file_that_is_cut_off_is_named),
	    T(a_file_with_a_hole_is_named),
	    T(a_placed_file_that_is_cut_off_is_named),
	    T(a_list_that_is_cut_off_is_told_of),
	    T(a_missing_list_is_told_of),
	    T(no_file_needs_no_list),
	    T(the_end_of_a_long_path_is_shown),
	    T(a_file_that_a_mount_hides_is_named),
	};

	return cmocka_run_group_tests_name("agent files", tests, NULL, NULL);
}
