/* SPDX-License-Identifier: MIT */
#include "vmm/overlay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/vmm/lib_image.h"
#include "vmm/cpio.h"

struct fix {
	char *dir;
	char *out;
	struct err err;
	struct buf bytes;
	struct archive a;
};

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));

	f->dir = tmp_new();
	f->out = mem_printf("%s/out", f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	archive_done(&f->a);
	buf_done(&f->bytes);
	free(f->out);
	tmp_remove(f->dir);
	free(f);
	return 0;
}

static int write_files(struct fix *f, const char *initrd,
		       const struct overlay_file *files, size_t n)
{
	return overlay_write(f->out, initrd, "AGENT", 5, "transport serial\n",
			     files, n, &f->err);
}

static const struct archive *read_back(struct fix *f)
{
	f->bytes = tmp_read(f->out);
	f->a = archive_read(&f->bytes);
	return &f->a;
}

static void agent_and_config_are_there(void **state)
{
	struct fix *f = *state;
	const struct archive *a;
	const struct entry *e;

	assert_int_equal(write_files(f, NULL, NULL, 0), 0);
	a = read_back(f);
	e = archive_find(a, ".provium/agent");
	assert_int_equal(e->mode, S_IFREG | 0755);
	assert_string_equal(e->content, "AGENT");
	e = archive_find(a, ".provium/config");
	assert_string_equal(e->content, "transport serial\n");
	assert_int_equal(archive_find(a, ".provium/")->mode, S_IFDIR | 0755);
}

static void files_are_staged_with_mode_and_bytes(void **state)
{
	static const struct overlay_file files[] = {
	    {"/etc/motd", "hi\0\n", 4, 0},
	    {"/usr/bin/tool", "#!", 2, 04711},
	    {"/etc/motd", "later", 5, 0600},
	};
	static const char list[] = "staged 4 /etc/motd\0"
				   "staged 2 /usr/bin/tool\0"
				   "staged 5 /etc/motd";
	struct fix *f = *state;
	const struct archive *a;
	const struct entry *e;

	assert_int_equal(write_files(f, NULL, files, 3), 0);
	a = read_back(f);
	e = archive_find(a, ".provium/files/list");
	assert_int_equal(e->n, sizeof(list));
	assert_memory_equal(e->content, list, sizeof(list));
	e = archive_find(a, ".provium/files/0");
	assert_int_equal(e->mode, S_IFREG);
	assert_int_equal(e->n, 4);
	assert_memory_equal(e->content, "hi\0\n", 4);
	assert_int_equal(archive_find(a, ".provium/files/1")->mode,
			 S_IFREG | 04711);
	assert_string_equal(archive_find(a, ".provium/files/2")->content,
			    "later");
}

/* The kernel would change their owner and mode. */
static void directories_of_files_are_not_in_the_archive(void **state)
{
	static const struct overlay_file file = {"/home/u/x", "x", 1, 0644};
	struct fix *f = *state;
	const struct archive *a;

	assert_int_equal(write_files(f, NULL, &file, 1), 0);
	a = read_back(f);
	/* The last entry is the trailer. */
	for (size_t i = 0; i + 1 < a->n; i++)
		assert_int_equal(strncmp(a->e[i].name, ".provium/", 9), 0);
}

static void firmware_is_in_its_place_before_the_agent_runs(void **state)
{
	static const struct overlay_file files[] = {
	    {"/x", "1", 1, 0644},
	    {"/lib/firmware/v/blob", "22", 2, 0600},
	    {"/usr/lib/firmware/blob", "333", 3, 0600},
	    {"/lib/firmwares/blob", "4444", 4, 0600},
	};
	static const char list[] = "staged 1 /x\0"
				   "placed 2 /lib/firmware/v/blob\0"
				   "placed 3 /usr/lib/firmware/blob\0"
				   "staged 4 /lib/firmwares/blob";
	struct fix *f = *state;
	const struct archive *a;
	const struct entry *e;

	assert_int_equal(write_files(f, NULL, files, 4), 0);
	a = read_back(f);
	e = archive_find(a, ".provium/files/list");
	assert_int_equal(e->n, sizeof(list));
	assert_memory_equal(e->content, list, sizeof(list));
	e = archive_find(a, "lib/firmware/v/blob");
	assert_string_equal(e->content, "22");
	assert_int_equal(e->mode, S_IFREG | 0600);
	assert_non_null(archive_find(a, "usr/lib/firmware/blob"));
	assert_string_equal(archive_find(a, ".provium/files/3")->content,
			    "4444");
	assert_null(archive_find(a, ".provium/files/1"));
}

static void initrd_comes_first_and_unchanged(void **state)
{
	struct fix *f = *state;
	char *initrd = tmp_write_str(f->dir, "initrd", "compressed, say");

	assert_int_equal(write_files(f, initrd, NULL, 0), 0);
	f->bytes = tmp_read(f->out);
	assert_true(f->bytes.len > CPIO_ALIGN);
	assert_memory_equal(buf_data(&f->bytes), "compressed, say", 15);
	for (size_t i = 15; i < CPIO_ALIGN; i++)
		assert_int_equal(buf_data(&f->bytes)[i], 0);
	buf_consume(&f->bytes, CPIO_ALIGN);
	f->a = archive_read(&f->bytes);
	assert_non_null(archive_find(&f->a, ".provium/agent"));
	free(initrd);
}

/* The kernel's reader of LZ4 takes four bytes behind the initrd. */
static void four_zeros_at_least_follow_an_initrd(void **state)
{
	static const size_t sizes[] = {1024, 1021, 1022, 1023, 1020, 1019};
	struct fix *f = *state;
	char bytes[1024];

	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char *initrd = tmp_write(f->dir, "initrd", bytes, sizes[i]);
		size_t start = sizes[i] > 1020 ? 1536 : 1024;

		assert_int_equal(write_files(f, initrd, NULL, 0), 0);
		f->bytes = tmp_read(f->out);
		assert_true(f->bytes.len > start);
		for (size_t k = sizes[i]; k < start; k++)
			assert_int_equal(buf_data(&f->bytes)[k], 0);
		buf_consume(&f->bytes, start);
		f->a = archive_read(&f->bytes);
		assert_non_null(archive_find(&f->a, ".provium/agent"));
		archive_done(&f->a);
		buf_done(&f->bytes);
		free(initrd);
	}
	f->a = (struct archive){0};
}

/* A file onto a file would change all hard links of that. */
static void a_symlink_makes_way_for_each_file(void **state)
{
	static const struct overlay_file file = {"/bin/tool", "x", 1, 0755};
	struct fix *f = *state;
	const struct archive *a;
	size_t n_files = 0;

	assert_int_equal(write_files(f, NULL, &file, 1), 0);
	a = read_back(f);
	for (size_t i = 0; i < a->n; i++) {
		if (!S_ISREG(a->e[i].mode))
			continue;
		assert_true(i > 0);
		assert_string_equal(a->e[i - 1].name, a->e[i].name);
		assert_true(S_ISLNK(a->e[i - 1].mode));
		/* The kernel makes no symlink of an empty one. */
		assert_true(a->e[i - 1].n > 0);
		n_files++;
	}
	assert_int_equal(n_files, 4);
}

/* sysfs and procfs refuse copy_file_range; sizes there say 0 or 4096. */
static void initrd_of_any_filesystem_is_copied(void **state)
{
	struct fix *f = *state;
	struct buf want = tmp_read("/proc/version");

	assert_int_equal(write_files(f, "/proc/version", NULL, 0), 0);
	f->bytes = tmp_read(f->out);
	assert_memory_equal(buf_data(&f->bytes), buf_data(&want), want.len);
	buf_done(&want);
}

static void refuse(struct fix *f, const struct overlay_file *files, size_t n,
		   int code, const char *part)
{
	assert_int_equal(write_files(f, NULL, files, n), code);
	assert_int_equal(f->err.code, code);
	assert_non_null(strstr(f->err.text, part));
	assert_int_equal(access(f->out, F_OK), -1);
}

static void bad_paths_are_errors_that_name_them(void **state)
{
	static const struct overlay_file rel = {"etc/x", "", 0, 0};
	static const struct overlay_file dots = {"/a/../b", "", 0, 0};
	static const struct overlay_file own = {"/.provium/x", "", 0, 0};
	static const struct overlay_file mode = {"/x", "", 0, 0100644};
	static const struct overlay_file both[] = {
	    {"/b", "", 0, 0},	{"/a/b", "", 0, 0}, {"/a-b", "", 0, 0},
	    {"/a!b", "", 0, 0}, {"/a", "", 0, 0},   {"/a", "", 0, 0},
	};
	struct fix *f = *state;

	refuse(f, &rel, 1, -EINVAL, "'etc/x'");
	refuse(f, &dots, 1, -EINVAL, "'/a/../b'");
	refuse(f, &own, 1, -EINVAL, "agent's own");
	refuse(f, &mode, 1, -EINVAL, "0100644");
	refuse(f, both, 6, -ENOTDIR, "'/a' for the guest is a directory");
}

static void names_that_only_share_a_prefix_are_fine(void **state)
{
	static const struct overlay_file files[] = {
	    {"/a", "1", 1, 0},
	    {"/ab", "2", 1, 0},
	    {"/.provium2", "3", 1, 0},
	};
	struct fix *f = *state;

	assert_int_equal(write_files(f, NULL, files, 3), 0);
	assert_string_equal(
	    archive_find(read_back(f), ".provium/files/1")->content, "2");
}

static void oversized_config_is_refused(void **state)
{
	struct fix *f = *state;
	char *config = mem_zalloc(OVERLAY_CONFIG_MAX + 2);

	memset(config, 'x', OVERLAY_CONFIG_MAX + 1);
	assert_int_equal(
	    overlay_write(f->out, NULL, "", 0, config, NULL, 0, &f->err),
	    -E2BIG);
	config[OVERLAY_CONFIG_MAX] = '\0';
	assert_int_equal(
	    overlay_write(f->out, NULL, "", 0, config, NULL, 0, &f->err), 0);
	free(config);
}

static void missing_initrd_leaves_no_file(void **state)
{
	struct fix *f = *state;

	assert_int_equal(write_files(f, "/nonexistent", NULL, 0), -ENOENT);
	assert_non_null(strstr(f->err.text, "/nonexistent"));
	assert_int_equal(access(f->out, F_OK), -1);
	assert_int_equal(write_files(f, f->dir, NULL, 0), -EINVAL);
	assert_int_equal(access(f->out, F_OK), -1);
}

static void unwritable_place_is_an_error(void **state)
{
	struct fix *f = *state;

	assert_int_equal(overlay_write("/nonexistent/out", NULL, "", 0, "",
				       NULL, 0, &f->err),
			 -ENOENT);
	assert_non_null(strstr(f->err.text, "/nonexistent/out"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(agent_and_config_are_there),
	    T(files_are_staged_with_mode_and_bytes),
	    T(directories_of_files_are_not_in_the_archive),
	    T(firmware_is_in_its_place_before_the_agent_runs),
	    T(initrd_comes_first_and_unchanged),
	    T(four_zeros_at_least_follow_an_initrd),
	    T(a_symlink_makes_way_for_each_file),
	    T(initrd_of_any_filesystem_is_copied),
	    T(bad_paths_are_errors_that_name_them),
	    T(names_that_only_share_a_prefix_are_fine),
	    T(oversized_config_is_refused),
	    T(missing_initrd_leaves_no_file),
	    T(unwritable_place_is_an_error),
	};

	return cmocka_run_group_tests_name("overlay", tests, NULL, NULL);
}
