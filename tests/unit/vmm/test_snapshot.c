/* SPDX-License-Identifier: MIT */
/* Folders of snapshots: written, read, and damaged in every way. */
#include "vmm/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_image.h"
#include "vmm/store.h"

#define MEMORY	  (UINT64_C(1) << 20)
#define BIOS_SIZE 8192

struct fixture {
	char *tmp;
	char *dir; /* of the snapshot */
	char *kernel;
	struct vm_spec spec;
	struct snapshot s; /* open where s.dir is set */
	struct err err;
};

static int setup(void **state)
{
	static const char *const args[] = {"-device", "pci-testdev"};
	struct fixture *f = mem_zalloc(sizeof(*f));

	f->tmp = tmp_new();
	f->dir = mem_printf("%s/a/b", f->tmp);
	f->kernel = tmp_write_str(f->tmp, "kernel", "ELF");
	f->spec = (struct vm_spec){
	    .name = "a",
	    .kernel = f->kernel,
	    .cmdline = "quiet",
	    .memory = MEMORY,
	    .cpus = 2,
	    .initial_time = 12345,
	    .has_rng_seed = true,
	    .rng_seed = UINT64_MAX - 1,
	    .accel = ACCEL_TCG,
	    .transport = TRANSPORT_SERIAL,
	    .net_setup = "/bin/setup",
	    .qemu_args = args,
	    .n_qemu_args = 2,
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	snapshot_done(&f->s);
	tmp_remove(f->tmp);
	free(f->dir);
	free(f->kernel);
	free(f);
	return 0;
}

static void must(int r, const struct fixture *f)
{
	if (r < 0)
		fail_msg("%s", f->err.text);
}

static void draft(struct fixture *f, struct snapshot_draft *d)
{
	must(snapshot_draft_init(d, f->dir, &f->err), f);
}

static void write_ram(struct fixture *f, struct snapshot_draft *d)
{
	int fd = snapshot_draft_create(d, SNAPSHOT_RAM, &f->err);

	must(fd, f);
	assert_int_equal(ftruncate(fd, MEMORY), 0);
	assert_int_equal(pwrite(fd, "ram", 3, MEMORY / 2), 3);
	close(fd);
	must(snapshot_draft_note(d, SNAPSHOT_RAM, NULL, &f->err), f);
}

static void put_number(struct snapshot_draft *d, const char *key, uint64_t v)
{
	json_object_set_new(d->json, key, json_integer((json_int_t)v));
}

/* All but the last step. */
static void fill(struct fixture *f, struct snapshot_draft *d)
{
	static const uint8_t bios[BIOS_SIZE] = {1};

	draft(f, d);
	write_ram(f, d);
	must(snapshot_draft_write(d, SNAPSHOT_STATE, "state", 5, &f->err), f);
	must(
	    snapshot_draft_write(d, SNAPSHOT_BIOS, bios, sizeof(bios), &f->err),
	    f);
	must(snapshot_draft_write(d, SNAPSHOT_INITRD, "initrd", 6, &f->err), f);
	must(snapshot_draft_write(d, SNAPSHOT_CONSOLE, NULL, 0, &f->err), f);
	must(snapshot_draft_describe(d, &f->spec, "7.2.0 x", &f->err), f);
	json_object_set_new(d->json, "nics",
			    json_pack("[{s:s, s:s}, {s:s}]", "mac",
				      "52:54:00:00:01:0a", "bridge", "lan",
				      "mac", "52:54:00:00:01:ff"));
	put_number(d, "next_handle", UINT64_MAX - 16);
	put_number(d, "console_mark", 5);
	put_number(d, "bios_addr", SNAPSHOT_BIOS_END - BIOS_SIZE);
}

static void make(struct fixture *f)
{
	struct snapshot_draft d;

	fill(f, &d);
	must(snapshot_draft_commit(&d, &f->err), f);
	snapshot_draft_done(&d);
}

static char *path_of(const struct fixture *f, const char *name)
{
	return mem_printf("%s/%s", f->dir, name);
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static void assert_open(struct fixture *f)
{
	must(snapshot_open(&f->s, f->dir, &f->err), f);
}

static void assert_refused(struct fixture *f, int code, const char *text)
{
	assert_int_equal(snapshot_open(&f->s, f->dir, &f->err), code);
	if (!strstr(f->err.text, text))
		fail_msg("`%s` lacks `%s`", f->err.text, text);
	assert_null(f->s.dir);
}

/* --- what was written is read ----------------------------------------------
 */

static void what_a_spec_says_is_read_again(void **state)
{
	struct fixture *f = *state;
	struct vm_spec spec = {0};

	make(f);
	assert_open(f);
	snapshot_spec(&f->s, &spec);
	assert_string_equal(spec.kernel, f->kernel);
	assert_string_equal(spec.cmdline, "quiet");
	assert_string_equal(spec.net_setup, "/bin/setup");
	assert_int_equal(spec.memory, MEMORY);
	assert_int_equal(spec.cpus, 2);
	assert_int_equal(spec.initial_time, 12345);
	assert_true(spec.has_rng_seed);
	assert_true(spec.rng_seed == UINT64_MAX - 1);
	assert_int_equal(spec.accel, ACCEL_TCG);
	assert_int_equal(spec.transport, TRANSPORT_SERIAL);
	assert_int_equal(spec.n_qemu_args, 2);
	assert_string_equal(spec.qemu_args[1], "pci-testdev");
	must(snapshot_verify(&f->s, true, &f->err), f);
}

static void what_a_vm_says_is_read_again(void **state)
{
	struct fixture *f = *state;

	make(f);
	assert_open(f);
	assert_string_equal(f->s.qemu, "7.2.0 x");
	assert_int_equal(f->s.n_nics, 2);
	assert_string_equal(f->s.nics[0].bridge, "lan");
	assert_int_equal(f->s.nics[0].mac[5], 0x0a);
	assert_null(f->s.nics[1].bridge);
	assert_true(f->s.next_handle == UINT64_MAX - 16);
	assert_int_equal(f->s.console_mark, 5);
	assert_false(f->s.has[SNAPSHOT_DELTA]);
	assert_true(f->s.has[SNAPSHOT_CONSOLE]);
}

static void a_spec_may_lack_what_may_be_lacking(void **state)
{
	struct fixture *f = *state;

	f->spec.net_setup = NULL;
	f->spec.has_rng_seed = false;
	f->spec.n_qemu_args = 0;
	make(f);
	assert_open(f);
	assert_null(f->s.net_setup);
	assert_false(f->s.has_rng_seed);
	assert_int_equal(f->s.n_qemu_args, 0);
}

static void a_folder_may_be_moved(void **state)
{
	struct fixture *f = *state;
	char *to = mem_printf("%s/moved", f->tmp);

	make(f);
	assert_int_equal(rename(f->dir, to), 0);
	free(f->dir);
	f->dir = to;
	assert_open(f);
	must(snapshot_verify(&f->s, true, &f->err), f);
}

static void a_file_is_read_whole(void **state)
{
	CLEANUP(buf_done) struct buf b = {0};
	struct fixture *f = *state;

	make(f);
	assert_open(f);
	must(snapshot_read_file(&f->s, SNAPSHOT_STATE, &b, &f->err), f);
	assert_int_equal(b.len, 5);
	assert_memory_equal(buf_data(&b), "state", 5);
}

static void names_that_are_no_utf8_are_refused(void **state)
{
	static const char *const args[] = {"-name", "\xff"};
	struct fixture *f = *state;
	struct snapshot_draft d;
	struct vm_spec bad[3];

	draft(f, &d);
	bad[0] = bad[1] = bad[2] = f->spec;
	bad[0].kernel = "/\xff";
	bad[1].cmdline = "a=\xc3";
	bad[2].qemu_args = args;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
		    snapshot_draft_describe(&d, &bad[i], "7", &f->err),
		    -EINVAL);
		assert_non_null(strstr(f->err.text, "no UTF-8"));
	}
	snapshot_draft_done(&d);
}

/* --- drafts ----------------------------------------------------------------
 */

static void a_draft_is_no_snapshot(void **state)
{
	struct fixture *f = *state;
	struct snapshot_draft d;

	fill(f, &d);
	assert_refused(f, -ENOENT, "there is no snapshot in");
	snapshot_draft_done(&d);
	assert_false(is_there(f->dir));
	assert_refused(f, -ENOENT, f->dir);
}

/* What a writer that was killed leaves. */
static void a_draft_that_nobody_ended_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct snapshot_draft d;

	fill(f, &d);
	json_decref(d.json);
	json_decref(d.files);
	free(d.dir);
	make(f);
	assert_open(f);
}

static void a_draft_replaces_a_snapshot(void **state)
{
	struct fixture *f = *state;

	make(f);
	f->spec.cmdline = "second";
	make(f);
	assert_open(f);
	assert_string_equal(f->s.cmdline, "second");
}

static void a_mapped_file_outlives_its_snapshot(void **state)
{
	struct fixture *f = *state;
	char bytes[3];
	int fd;

	make(f);
	assert_open(f);
	fd = snapshot_open_file(&f->s, SNAPSHOT_RAM, &f->err);
	must(fd, f);
	make(f);
	assert_int_equal(pread(fd, bytes, 3, MEMORY / 2), 3);
	assert_memory_equal(bytes, "ram", 3);
	close(fd);
}

static void the_folder_is_the_owners_alone(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	make(f);
	assert_int_equal(stat(f->dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_linked_file_is_shared_and_costs_nothing(void **state)
{
	struct fixture *f = *state;
	CLEANUP(fd_closep) int fd = -1;
	char *first = TAKE(f->dir);
	struct snapshot_draft d;
	struct stat a, b;
	uint64_t before;

	f->dir = mem_printf("%s", first);
	make(f);
	before = snapshot_disk_size(f->dir);
	assert_open(f);
	fd = snapshot_open_file(&f->s, SNAPSHOT_RAM, &f->err);
	free(f->dir);
	f->dir = mem_printf("%s/second", f->tmp);
	draft(f, &d);
	must(snapshot_draft_link(&d, SNAPSHOT_RAM, fd, false, &f->err), f);
	char *path = snapshot_draft_path(&d, SNAPSHOT_RAM);
	assert_int_equal(stat(path, &a), 0);
	assert_int_equal(fstat(fd, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(snapshot_disk_size(f->dir), 0);
	assert_true(snapshot_disk_size(first) < before);
	free(path);
	free(first);
	snapshot_draft_done(&d);
}

static void assert_copy(struct fixture *f, int fd, bool as_copy)
{
	struct snapshot_draft d;
	struct stat a, b;
	char bytes[3];

	draft(f, &d);
	must(snapshot_draft_link(&d, SNAPSHOT_RAM, fd, as_copy, &f->err), f);
	int copy = snapshot_draft_open(&d, SNAPSHOT_RAM, &f->err);
	must(copy, f);
	assert_int_equal(fstat(copy, &a), 0);
	assert_int_equal(fstat(fd, &b), 0);
	assert_int_not_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_size, MEMORY);
	assert_true(a.st_blocks * 512 < (blkcnt_t)MEMORY / 2);
	assert_int_equal(pread(copy, bytes, 3, MEMORY / 2), 3);
	assert_memory_equal(bytes, "ram", 3);
	close(copy);
	snapshot_draft_done(&d);
}

/* The snapshot that a guest came from was removed, or is being replaced. */
static void a_file_without_a_name_is_copied_with_its_holes(void **state)
{
	struct fixture *f = *state;
	int fd;

	make(f);
	assert_open(f);
	fd = snapshot_open_file(&f->s, SNAPSHOT_RAM, &f->err);
	must(snapshot_remove(f->dir, &f->err), f);
	assert_copy(f, fd, false);
	close(fd);
}

static void a_file_is_copied_where_that_is_asked_for(void **state)
{
	struct fixture *f = *state;
	int fd;

	make(f);
	assert_open(f);
	fd = snapshot_open_file(&f->s, SNAPSHOT_RAM, &f->err);
	free(f->dir);
	f->dir = mem_printf("%s/second", f->tmp);
	assert_copy(f, fd, true);
	close(fd);
}

/* --- folders of others -----------------------------------------------------
 */

static void assert_left_alone(struct fixture *f, const char *kept)
{
	struct snapshot_draft d;

	assert_int_equal(snapshot_draft_init(&d, f->dir, &f->err), -EEXIST);
	assert_non_null(strstr(f->err.text, "is no snapshot's folder"));
	assert_int_equal(snapshot_remove(f->dir, &f->err), -EEXIST);
	assert_true(is_there(kept));
}

static void a_folder_with_other_things_is_left_alone(void **state)
{
	struct fixture *f = *state;
	char *info, *other;

	make(f);
	other = tmp_write_str(f->dir, "thesis.tex", "x");
	info = path_of(f, "info.json");
	assert_left_alone(f, other);
	assert_non_null(strstr(f->err.text, "it holds 'thesis.tex'"));
	assert_true(is_there(info));
	free(other);
	free(info);
}

static void files_of_those_names_alone_are_no_snapshot(void **state)
{
	struct fixture *f = *state;
	char *log = tmp_write_str(f->dir, "console", "a log");

	assert_left_alone(f, log);
	free(log);
}

static void a_folder_of_such_a_name_is_left_alone(void **state)
{
	struct fixture *f = *state;
	char *info = tmp_write_str(f->dir, "info.json", "{}");
	char *below = tmp_write_str(f->dir, "state/mine", "x");

	assert_left_alone(f, below);
	assert_true(is_there(info));
	free(info);
	free(below);
}

static void a_file_is_no_folder(void **state)
{
	struct fixture *f = *state;
	char *file = tmp_write_str(f->tmp, "file", "x");
	struct snapshot_draft d;

	assert_int_equal(snapshot_draft_init(&d, file, &f->err), -ENOTDIR);
	assert_non_null(strstr(f->err.text, file));
	assert_int_equal(snapshot_remove(file, &f->err), -ENOTDIR);
	assert_true(is_there(file));
	free(file);
}

static void an_empty_folder_is_taken(void **state)
{
	struct fixture *f = *state;

	must(store_mkdirs(f->dir, &f->err), f);
	make(f);
	assert_open(f);
	must(snapshot_remove(f->dir, &f->err), f);
	assert_false(is_there(f->dir));
	must(snapshot_remove(f->dir, &f->err), f);
}

/* --- damage ----------------------------------------------------------------
 */

static const char *const files[] = {"ram", "state", "bios", "initrd",
				    "console"};

static void a_file_that_is_missing_is_told(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		CLEANUP(free_ptr) char *path = path_of(f, files[i]);
		CLEANUP(free_ptr)
		char *text =
		    mem_printf("its file '%s' is missing or cut", files[i]);

		make(f);
		unlink(path);
		assert_refused(f, -EBADMSG, text);
	}
}

static void a_file_that_is_cut_or_longer_is_told(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		CLEANUP(free_ptr) char *path = path_of(f, files[i]);
		struct stat st;

		make(f);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(truncate(path, st.st_size + 1), 0);
		assert_refused(f, -EBADMSG, files[i]);
		if (!st.st_size)
			continue;
		assert_int_equal(truncate(path, st.st_size - 1), 0);
		assert_refused(f, -EBADMSG, files[i]);
	}
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char c;

	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 4;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

static void a_flipped_bit_is_told(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i + 1 < ARRAY_LEN(files); i++) {
		CLEANUP(free_ptr) char *path = path_of(f, files[i]);

		make(f);
		flip(path, 3);
		assert_open(f);
		assert_int_equal(snapshot_verify(&f->s, true, &f->err),
				 -EBADMSG);
		assert_non_null(strstr(f->err.text, files[i]));
		assert_non_null(strstr(f->err.text, "is not what was written"));
		assert_int_equal(snapshot_verify(&f->s, false, &f->err),
				 i == 0 ? 0 : -EBADMSG);
		snapshot_done(&f->s);
	}
}

static json_t *load_info(const struct fixture *f)
{
	CLEANUP(free_ptr) char *path = path_of(f, "info.json");
	json_t *o = json_load_file(path, 0, NULL);

	assert_non_null(o);
	return o;
}

static void write_info(const struct fixture *f, const char *text)
{
	CLEANUP(free_ptr) char *path = path_of(f, "info.json");

	unlink(path);
	free(tmp_write_str(f->dir, "info.json", text));
}

/* A fresh snapshot whose info.json has that at a key; NULL: has it not. */
static void with(struct fixture *f, const char *key, json_t *take_value)
{
	make(f);
	json_t *o = load_info(f);
	char *text;

	if (take_value)
		json_object_set_new(o, key, take_value);
	else
		json_object_del(o, key);
	text = json_dumps(o, 0);
	write_info(f, text);
	free(text);
	json_decref(o);
}

static void an_info_that_is_no_object_is_told(void **state)
{
	static const char *const bad[] = {"", "{", "[]", "7", "{} x", "\xff"};
	struct fixture *f = *state;

	make(f);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		write_info(f, bad[i]);
		assert_refused(f, -EBADMSG, "info.json is no JSON object");
	}
}

static void an_info_of_any_length_is_not_read(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) char *path = path_of(f, "info.json");

	make(f);
	assert_int_equal(truncate(path, SNAPSHOT_INFO_MAX + 1), 0);
	assert_refused(f, -EFBIG, "info.json");
}

static void other_versions_are_refused(void **state)
{
	struct fixture *f = *state;

	with(f, "version", json_integer(SNAPSHOT_VERSION + 1));
	assert_refused(f, -ESTALE, "with another format: take it anew");
	with(f, "protocol", json_integer(1));
	assert_refused(f, -ESTALE, "with another format: take it anew");
	with(f, "provium", json_string("0.0.1"));
	assert_refused(f, -ESTALE, "is of provium 0.0.1, this is");
	with(f, "provium", NULL);
	assert_refused(f, -ESTALE, "is of provium ?");
	write_info(f, "{}");
	assert_refused(f, -ESTALE, "take it anew");
}

static void a_kernel_that_changed_is_told(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr)
	char *text =
	    mem_printf("the kernel '%s' is not what it was", f->kernel);

	make(f);
	assert_int_equal(truncate(f->kernel, 1), 0);
	assert_refused(f, -ESTALE, text);
	unlink(f->kernel);
	assert_refused(f, -ESTALE, text);
}

static void fields_of_the_machine_are_checked(void **state)
{
	static const char *const needed[] = {
	    "qemu", "kernel", "cmdline", "memory", "cpus", "accel", "transport",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		with(f, needed[i], NULL);
		assert_refused(f, -EBADMSG, "describes no machine");
	}
	with(f, "memory", json_integer(-4096));
	assert_refused(f, -EBADMSG, "'ram' is missing or cut");
	with(f, "memory", json_integer(MEMORY + 4096));
	assert_refused(f, -EBADMSG, "'ram' is missing or cut");
	with(f, "memory", json_integer(MEMORY + 1));
	assert_refused(f, -EBADMSG, "describes no machine");
	with(f, "cpus", json_integer(100000));
	assert_refused(f, -EBADMSG, "describes no machine");
	with(f, "accel", json_string("auto"));
	assert_refused(f, -EBADMSG, "describes no machine");
	with(f, "transport", json_string("pigeon"));
	assert_refused(f, -EBADMSG, "describes no machine");
}

/* Where it says is where QEMU's memory is written to. */
static void a_bios_has_one_place(void **state)
{
	static const uint64_t bad[] = {0, SNAPSHOT_BIOS_END - BIOS_SIZE + 1,
				       SNAPSHOT_BIOS_END - BIOS_SIZE - 4096,
				       UINT64_MAX};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		with(f, "bios_addr", json_integer((json_int_t)bad[i]));
		assert_refused(f, -EBADMSG, "its BIOS has another place");
	}
}

static void lists_are_checked(void **state)
{
	struct fixture *f = *state;
	json_t *many = json_array();

	with(f, "qemu_args", json_pack("[s,i]", "-x", 7));
	assert_refused(f, -EBADMSG, "qemu_args");
	with(f, "nics", json_pack("[{s:s}]", "mac", "52:54:00:00:01"));
	assert_refused(f, -EBADMSG, "nics");
	with(f, "nics", json_pack("[s]", "52:54:00:00:01:02"));
	assert_refused(f, -EBADMSG, "nics");
	for (int i = 0; i <= VM_NICS_MAX; i++)
		json_array_append_new(
		    many, json_pack("{s:s}", "mac", "52:54:00:00:01:02"));
	with(f, "nics", many);
	assert_refused(f, -EBADMSG, "nics");
	with(f, "files", json_object());
	assert_refused(f, -EBADMSG, "a file is not in its list");
	with(f, "files", NULL);
	assert_refused(f, -EBADMSG, "a file is not in its list");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
    T(what_a_spec_says_is_read_again),
    T(what_a_vm_says_is_read_again),
    T(a_spec_may_lack_what_may_be_lacking),
    T(a_folder_may_be_moved),
    T(a_file_is_read_whole),
    T(names_that_are_no_utf8_are_refused),
    T(a_draft_is_no_snapshot),
    T(a_draft_that_nobody_ended_is_replaced),
    T(a_draft_replaces_a_snapshot),
    T(a_mapped_file_outlives_its_snapshot),
    T(the_folder_is_the_owners_alone),
    T(a_linked_file_is_shared_and_costs_nothing),
    T(a_file_without_a_name_is_copied_with_its_holes),
    T(a_file_is_copied_where_that_is_asked_for),
    T(a_folder_with_other_things_is_left_alone),
    T(files_of_those_names_alone_are_no_snapshot),
    T(a_folder_of_such_a_name_is_left_alone),
    T(a_file_is_no_folder),
    T(an_empty_folder_is_taken),
    T(a_file_that_is_missing_is_told),
    T(a_file_that_is_cut_or_longer_is_told),
    T(a_flipped_bit_is_told),
    T(an_info_that_is_no_object_is_told),
    T(an_info_of_any_length_is_not_read),
    T(other_versions_are_refused),
    T(a_kernel_that_changed_is_told),
    T(fields_of_the_machine_are_checked),
    T(a_bios_has_one_place),
    T(lists_are_checked),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
