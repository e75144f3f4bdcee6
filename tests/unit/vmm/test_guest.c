/* SPDX-License-Identifier: MIT */
#include "vmm/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "tests/unit/skip.h"
#include "tests/unit/vmm/lib_image.h"
#include "tests/unit/vmm/lib_pack.h"
#include "vmm/cpio.h"
#include "vmm/guest_build.h"
#include "vmm/guest_package.h"
#include "vmm/guest_source.h"

#define REL "6.9.1-made-up"
#define IN  "lib/modules/" REL "/"

/* A machine of files: boot folder, modules, cache. busybox is the real one,
 * which the guest needs in any case. */
struct fix {
	char *dir, *boot, *modules, *cache;
	struct guest_image g;
	struct err err;
	int n_progress;
	bool may_fetch; /* with a boot folder that is empty */
};

static void make_old(const char *path)
{
	struct timespec t[2] = {{1000000, 5}, {1000000, 5}};

	assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void put(const char *dir, const char *name, const void *p, size_t n)
{
	char *path = tmp_write(dir, name, p, n);

	make_old(path);
	free(path);
}

static void put_kernel(const char *dir, const char *name, const char *release,
		       uint32_t note)
{
	struct buf elf = make_vmlinux(release, note);
	struct buf image = make_bzimage(release, UNPACK_LZ4, &elf);

	put(dir, name, buf_data(&image), image.len);
	buf_done(&image);
	buf_done(&elf);
}

static void put_module(const char *dir, const char *name, enum unpack_format f)
{
	static const char info[] = "alias=virtio:d1v*\0depends=";
	struct buf ko = make_module(info, sizeof(info));
	struct buf packed = pack(f, buf_data(&ko), ko.len);

	put(dir, name, buf_data(&packed), packed.len);
	buf_done(&packed);
	buf_done(&ko);
}

#define DEP                                                                    \
	"kernel/ring.ko:\n"                                                    \
	"kernel/virtio_pci.ko.xz: kernel/ring.ko\n"                            \
	"kernel/virtio_console.ko.zst: kernel/ring.ko\n"                       \
	"kernel/virtio-rng.ko: kernel/ring.ko\n"                               \
	"kernel/failover.ko:\n"                                                \
	"kernel/virtio_net.ko: kernel/failover.ko kernel/ring.ko\n"            \
	"kernel/other.ko: kernel/ring.ko\n"                                    \
	"kernel/vmw_vsock_virtio_transport.ko:\n"

static void put_modules(const char *modules)
{
	char *dir = mem_printf("%s/" REL, modules);

	put_module(dir, "kernel/ring.ko", UNPACK_NONE);
	put_module(dir, "kernel/virtio_pci.ko.xz", UNPACK_XZ);
	put_module(dir, "kernel/virtio_console.ko.zst", UNPACK_ZSTD);
	put_module(dir, "kernel/virtio-rng.ko", UNPACK_NONE);
	put_module(dir, "kernel/failover.ko", UNPACK_NONE);
	put_module(dir, "kernel/virtio_net.ko", UNPACK_NONE);
	put_module(dir, "kernel/other.ko", UNPACK_NONE);
	put_module(dir, "kernel/vmw_vsock_virtio_transport.ko", UNPACK_NONE);
	put(dir, "modules.builtin", "kernel/vsock.ko\n", 16);
	put(dir, "modules.dep", DEP, strlen(DEP));
	free(dir);
}

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));

	f->dir = tmp_new();
	f->boot = mem_printf("%s/boot", f->dir);
	f->modules = mem_printf("%s/modules", f->dir);
	f->cache = mem_printf("%s/cache", f->dir);
	put_kernel(f->boot, "vmlinuz-" REL, REL, NOTE_PVH);
	put_modules(f->modules);
	make_old(f->boot);
	unsetenv("PROVIUM_KERNEL");
	unsetenv("PROVIUM_BUSYBOX");
	setenv("PROVIUM_BOOT_DIR", f->boot, 1);
	setenv("PROVIUM_MODULES_DIR", f->modules, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	guest_image_done(&f->g);
	free(f->boot);
	free(f->modules);
	free(f->cache);
	tmp_remove(f->dir);
	free(f);
	return 0;
}

static void on_progress(void *ctx, const char *what)
{
	struct fix *f = ctx;

	assert_true(*what != '\0');
	f->n_progress++;
}

static void put_program(const char *dir, const char *name, const char *text)
{
	char *path = tmp_write_str(dir, name, text);

	assert_int_equal(chmod(path, 0755), 0);
	free(path);
}

static int find(struct fix *f)
{
	struct guest_places places;

	guest_image_done(&f->g);
	f->n_progress = 0;
	if (!f->may_fetch)
		return guest_default(f->cache, on_progress, f, &f->g, &f->err);
	guest_places_get(&places);
	places.wants_boot = false;
	return guest_default_from(f->cache, &places, on_progress, f, &f->g,
				  &f->err);
}

static char *find_key(struct fix *f)
{
	if (find(f) < 0)
		fail_msg("%s", f->err.text);
	return mem_strdup(f->g.key);
}

static struct archive read_initrd(struct fix *f)
{
	struct buf b = tmp_read(f->g.initrd);
	struct archive a = archive_read(&b);

	assert_int_equal(b.len % CPIO_ALIGN, 0);
	buf_done(&b);
	return a;
}

/* --- what an image holds --------------------------------------------------*/

static void kernel_is_the_vmlinux_inside(void **state)
{
	struct buf want = make_vmlinux(REL, NOTE_PVH), got;
	struct fix *f = *state;
	char *path;

	assert_int_equal(find(f), 0);
	assert_string_equal(f->g.release, REL);
	got = tmp_read(f->g.kernel);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(buf_data(&got), buf_data(&want), want.len);
	assert_true(guest_kernel_is_pvh(f->g.kernel));
	buf_done(&want);
	buf_done(&got);
	path = mem_printf("%s/vmlinuz-" REL, f->boot);
	want = tmp_read(path);
	free(path);
	got = tmp_read(f->g.bzimage);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(buf_data(&got), buf_data(&want), want.len);
	buf_done(&want);
	buf_done(&got);
}

static void kernel_without_pvh_stays_a_bzimage(void **state)
{
	struct fix *f = *state;
	struct buf want, got;
	char *path;

	put_kernel(f->boot, "vmlinuz-" REL, REL, NOTE_PVH + 1);
	assert_int_equal(find(f), 0);
	path = mem_printf("%s/vmlinuz-" REL, f->boot);
	want = tmp_read(path);
	free(path);
	got = tmp_read(f->g.kernel);
	assert_int_equal(got.len, want.len);
	assert_false(guest_kernel_is_pvh(f->g.kernel));
	assert_string_equal(f->g.bzimage, f->g.kernel);
	buf_done(&want);
	buf_done(&got);
}

static void initrd_has_a_shell_and_no_init(void **state)
{
	struct fix *f = *state;
	const struct entry *e;
	struct archive a;

	assert_int_equal(find(f), 0);
	a = read_initrd(f);
	e = archive_find(&a, "bin/sh");
	assert_non_null(e);
	assert_int_equal(e->mode, S_IFLNK | 0777);
	assert_string_equal(e->content, "/bin/busybox");
	e = archive_find(&a, "bin/busybox");
	assert_int_equal(e->mode, S_IFREG | 0755);
	assert_memory_equal(e->content, "\177ELF", 4);
	assert_null(archive_find(&a, "init"));
	assert_int_equal(archive_find(&a, "tmp/")->mode, S_IFDIR | 01777);
	assert_int_equal(archive_find(&a, "root/")->mode, S_IFDIR | 0700);
	assert_int_equal(archive_find(&a, "proc/")->mode, S_IFDIR | 0755);
	assert_int_equal(archive_find(&a, "dev/console")->mode, S_IFCHR | 0600);
	assert_non_null(
	    strstr(archive_find(&a, "etc/passwd")->content, "root:"));
	assert_int_equal(a.n_trailers, 1);
	archive_done(&a);
}

static void modules_are_uncompressed_and_only_the_wanted(void **state)
{
	struct fix *f = *state;
	const struct entry *e;
	struct archive a;

	assert_int_equal(find(f), 0);
	a = read_initrd(f);
	assert_null(archive_find(&a, IN "kernel/other.ko"));
	e = archive_find(&a, IN "kernel/virtio_pci.ko");
	assert_non_null(e);
	assert_memory_equal(e->content, "\177ELF", 4);
	assert_non_null(archive_find(&a, IN "kernel/virtio_console.ko"));
	assert_non_null(archive_find(&a, IN "kernel/virtio-rng.ko"));
	e = archive_find(&a, IN "modules.dep");
	assert_non_null(strstr(e->content, "kernel/ring.ko:\n"));
	assert_non_null(
	    strstr(e->content, "kernel/virtio_pci.ko: kernel/ring.ko\n"));
	assert_null(strstr(e->content, "other"));
	e = archive_find(&a, IN "modules.alias");
	assert_non_null(strstr(e->content, "alias virtio:d1v* virtio_rng\n"));
	archive_done(&a);
}

static void expect_list(struct fix *f, enum transport t,
			const char *const *want, size_t n)
{
	struct strvec got = {0};

	assert_int_equal(guest_image_modules(&f->g, t, &got, &f->err), 0);
	assert_int_equal(got.n, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(got.v[i], want[i]);
	strvec_done(&got);
}

static void each_transport_has_its_modules_in_order(void **state)
{
	static const char *const serial[] = {
	    "/" IN "kernel/ring.ko",
	    "/" IN "kernel/virtio_pci.ko",
	    "/" IN "kernel/virtio_console.ko",
	};
	static const char *const vsock[] = {
	    "/" IN "kernel/ring.ko",
	    "/" IN "kernel/virtio_pci.ko",
	    "/" IN "kernel/vmw_vsock_virtio_transport.ko",
	};
	struct fix *f = *state;

	assert_int_equal(find(f), 0);
	expect_list(f, TRANSPORT_SERIAL, serial, ARRAY_LEN(serial));
	expect_list(f, TRANSPORT_VSOCK, vsock, ARRAY_LEN(vsock));
}

/* Over any transport; the test before is about a kernel that has none. */
static void the_driver_for_panics_is_loaded_where_there_is_one(void **state)
{
	static const char dep[] =
	    DEP "kernel/pvpanic/pvpanic.ko:\n"
		"kernel/pvpanic/pvpanic-mmio.ko: kernel/pvpanic/pvpanic.ko\n";
	static const char *const serial[] = {
	    "/" IN "kernel/ring.ko",
	    "/" IN "kernel/virtio_pci.ko",
	    "/" IN "kernel/virtio_console.ko",
	    "/" IN "kernel/pvpanic/pvpanic.ko",
	    "/" IN "kernel/pvpanic/pvpanic-mmio.ko",
	};
	static const char *const vsock[] = {
	    "/" IN "kernel/ring.ko",
	    "/" IN "kernel/virtio_pci.ko",
	    "/" IN "kernel/vmw_vsock_virtio_transport.ko",
	    "/" IN "kernel/pvpanic/pvpanic.ko",
	    "/" IN "kernel/pvpanic/pvpanic-mmio.ko",
	};
	struct fix *f = *state;
	char *dir = mem_printf("%s/" REL, f->modules);

	put_module(dir, "kernel/pvpanic/pvpanic.ko", UNPACK_NONE);
	put_module(dir, "kernel/pvpanic/pvpanic-mmio.ko", UNPACK_NONE);
	put(dir, "modules.dep", dep, strlen(dep));
	assert_int_equal(find(f), 0);
	expect_list(f, TRANSPORT_SERIAL, serial, ARRAY_LEN(serial));
	expect_list(f, TRANSPORT_VSOCK, vsock, ARRAY_LEN(vsock));
	free(dir);
}

static void nics_have_modules_beside_those_of_a_transport(void **state)
{
	struct fix *f = *state;
	struct strvec list = {0};

	assert_int_equal(find(f), 0);
	assert_int_equal(guest_image_net_modules(&f->g, &list, &f->err), 0);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.v[0], "/" IN "kernel/failover.ko");
	assert_string_equal(list.v[1], "/" IN "kernel/virtio_net.ko");
	strvec_done(&list);
}

static void initrd_has_a_program_for_nics(void **state)
{
	struct fix *f = *state;
	const struct entry *e;
	struct archive a;

	assert_int_equal(find(f), 0);
	a = read_initrd(f);
	e = archive_find(&a, GUEST_NET_SETUP + 1);
	assert_non_null(e);
	assert_int_equal(e->mode, S_IFREG | 0755);
	/* A test may bring another /bin/sh. */
	assert_memory_equal(e->content, "#!/bin/busybox sh\n", 18);
	archive_done(&a);
}

/* --- the cache ------------------------------------------------------------*/

static void second_look_up_reads_nothing(void **state)
{
	struct fix *f = *state;
	char *first = find_key(f), *second, *info;

	assert_int_equal(f->n_progress, 1);
	/* Content that changed behind an equal stat goes unseen: so nothing
	 * was read. */
	info = mem_printf("%s/" REL "/kernel/ring.ko", f->modules);
	{
		int fd = open(info, O_WRONLY | O_CLOEXEC);

		assert_int_equal(pwrite(fd, "x", 1, 0), 1);
		close(fd);
		make_old(info);
	}
	second = find_key(f);
	assert_int_equal(f->n_progress, 0);
	assert_string_equal(first, second);
	free(info);
	free(first);
	free(second);
}

static void changed_parts_give_another_image(void **state)
{
	struct fix *f = *state;
	char *first = find_key(f), *second, *third;

	put_kernel(f->boot, "vmlinuz-" REL, REL, NOTE_PVH + 1);
	second = find_key(f);
	assert_int_equal(f->n_progress, 1);
	assert_string_not_equal(first, second);
	put_kernel(f->boot, "vmlinuz-" REL, REL, NOTE_PVH);
	third = find_key(f); /* is still there */
	assert_int_equal(f->n_progress, 0);
	assert_string_equal(first, third);
	free(first);
	free(second);
	free(third);
}

static void touched_parts_give_the_same_image(void **state)
{
	struct fix *f = *state;
	char *first = find_key(f), *second;

	put_modules(f->modules); /* new inodes are not needed: new times */
	utimensat(AT_FDCWD, f->boot, NULL, 0);
	second = find_key(f);
	assert_int_equal(f->n_progress, 0);
	assert_string_equal(first, second);
	free(first);
	free(second);
}

static void a_newer_kernel_is_noticed(void **state)
{
	struct fix *f = *state;
	char *modules = mem_printf("%s/" REL, f->modules);
	char *newer = mem_printf("%s/6.10.0-made-up", f->modules);

	assert_int_equal(find(f), 0);
	assert_int_equal(symlink(modules, newer), 0);
	put_kernel(f->boot, "vmlinuz-6.10.0-made-up", "6.10.0-made-up",
		   NOTE_PVH);
	assert_int_equal(find(f), 0);
	assert_string_equal(f->g.release, "6.10.0-made-up");
	free(modules);
	free(newer);
}

static void images_of_an_older_format_are_made_again(void **state)
{
	struct fix *f = *state;
	char *first = find_key(f), *second, *info, *text;

	info = mem_printf("guests/%s/info", first);
	text = mem_printf("format %d\n", GUEST_FORMAT - 1);
	free(tmp_write_str(f->cache, info, text));
	second = find_key(f);
	assert_int_equal(f->n_progress, 1);
	assert_string_equal(first, second);
	free(text);
	free(info);
	free(first);
	free(second);
}

static void damaged_images_are_made_again(void **state)
{
	struct fix *f = *state;
	char *key = find_key(f), *again;
	struct archive a;

	assert_int_equal(truncate(f->g.initrd, 100), 0);
	again = find_key(f);
	assert_int_equal(f->n_progress, 1);
	assert_string_equal(key, again);
	a = read_initrd(f);
	assert_non_null(archive_find(&a, "bin/sh"));
	archive_done(&a);
	assert_int_equal(unlink(f->g.kernel), 0);
	assert_int_equal(find(f), 0);
	assert_int_equal(access(f->g.kernel, R_OK), 0);
	free(key);
	free(again);
}

static void what_a_killed_builder_left_is_removed(void **state)
{
	struct fix *f = *state;
	char *left = tmp_write_str(f->cache, "guests/tmp-abc/vmlinux", "half");
	struct guest_image *all;
	size_t n;

	assert_int_equal(find(f), 0);
	assert_int_equal(access(left, F_OK), -1);
	assert_int_equal(guest_list(f->cache, &all, &n, &f->err), 0);
	assert_int_equal(n, 1);
	guest_image_done(&all[0]);
	free(all);
	free(left);
}

static void append_line(void *ctx, const char *what)
{
	int fd = *(int *)ctx;

	if (!strncmp(what, "building", 8))
		assert_int_equal(write(fd, "b", 1), 1);
}

static void builders_at_once_make_one_image(void **state)
{
	struct fix *f = *state;
	char *log = tmp_write_str(f->dir, "log", "");
	int fd = open(log, O_WRONLY | O_APPEND | O_CLOEXEC);
	int status, bad = 0;
	struct buf b;

	for (int i = 0; i < 4; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			_exit(guest_default(f->cache, append_line, &fd, &f->g,
					    NULL) < 0 ||
			      access(f->g.initrd, R_OK) < 0);
	}
	for (int i = 0; i < 4; i++) {
		assert_true(wait(&status) > 0);
		bad += status != 0;
	}
	assert_int_equal(bad, 0);
	b = tmp_read(log);
	assert_int_equal(b.len, 1);
	buf_done(&b);
	close(fd);
	free(log);
}

static void list_has_the_newest_first(void **state)
{
	struct fix *f = *state;
	char *first = find_key(f), *second, *dir;
	struct guest_image *all;
	size_t n;

	dir = mem_printf("%s/guests/%s", f->cache, first);
	make_old(dir);
	put_kernel(f->boot, "vmlinuz-" REL, REL, NOTE_PVH + 1);
	second = find_key(f);
	free(tmp_write_str(f->cache, "guests/0123456789abcdef/info", "x"));
	free(tmp_write_str(f->cache,
			   "guests/00000000000000000000000000000000/info",
			   "format 2\nfile 3 ../../../boot\n"));
	assert_int_equal(guest_list(f->cache, &all, &n, &f->err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(all[0].key, second);
	assert_string_equal(all[1].key, first);
	for (size_t i = 0; i < n; i++)
		guest_image_done(&all[i]);
	free(all);
	assert_int_equal(guest_list("/nonexistent", &all, &n, &f->err), 0);
	assert_int_equal(n, 0);
	free(all);
	free(dir);
	free(first);
	free(second);
}

/* --- sources --------------------------------------------------------------*/

static void cloud_kernels_then_newer_ones_are_preferred(void **state)
{
	static const char *const names[] = {"6.1.0-9-amd64", "6.1.0-10-amd64",
					    "5.10.0-cloud-amd64",
					    "6.9.0-no-modules"};
	struct fix *f = *state;
	struct guest_source s = {0};
	char *boot = mem_printf("%s/boot2", f->dir);

	assert_false(guest_source_scan("/nonexistent", f->modules, true, &s));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *file = mem_printf("vmlinuz-%s", names[i]);
		char *dep = mem_printf("%s/modules.dep", names[i]);

		free(tmp_write_str(boot, file, ""));
		if (i < 3)
			free(tmp_write_str(f->modules, dep, ""));
		assert_true(guest_source_scan(boot, f->modules, true, &s));
		assert_string_equal(s.release, names[i < 3 ? i : 2]);
		guest_source_done(&s);
		free(file);
		free(dep);
	}
	free(boot);
}

static void kernel_of_the_environment_is_used(void **state)
{
	struct fix *f = *state;
	char *mine = mem_printf("%s/bzImage", f->dir);
	struct strvec modules = {0};

	put_kernel(f->dir, "bzImage", "7.0-mine", NOTE_PVH);
	setenv("PROVIUM_KERNEL", mine, 1);
	unsetenv("PROVIUM_MODULES_DIR");
	assert_int_equal(find(f), 0);
	assert_string_equal(f->g.release, "7.0-mine");
	/* It has no modules: all is built in. */
	assert_int_equal(
	    guest_image_modules(&f->g, TRANSPORT_SERIAL, &modules, &f->err), 0);
	assert_int_equal(modules.n, 0);
	free(tmp_write_str(f->dir, "bzImage", "text"));
	assert_int_equal(find(f), -ENOEXEC);
	assert_non_null(strstr(f->err.text, mine));
	assert_int_equal(unlink(mine), 0);
	assert_int_equal(find(f), -ENOENT);
	assert_non_null(strstr(f->err.text, "PROVIUM_KERNEL"));
	free(mine);
}

/* Such a guest would have no driver, and never answer. */
static void modules_of_another_kernel_are_refused(void **state)
{
	struct fix *f = *state;
	char *mine = mem_printf("%s/bzImage", f->dir);

	put_kernel(f->dir, "bzImage", "7.0-mine", NOTE_PVH);
	setenv("PROVIUM_KERNEL", mine, 1);
	assert_int_equal(find(f), -ENOENT);
	assert_non_null(strstr(f->err.text, "PROVIUM_MODULES_DIR"));
	assert_non_null(strstr(f->err.text, f->modules));
	assert_non_null(strstr(f->err.text, "'7.0-mine/modules.dep'"));
	free(mine);
}

/* Another kernel would be fetched, or taken from the cache, without a word. */
static void a_boot_folder_without_a_kernel_is_refused(void **state)
{
	struct fix *f = *state;
	char *dir = mem_printf("%s/elsewhere", f->dir);
	char *bin = mem_printf("%s/bin", f->dir);
	char *old = mem_strdup(getenv("PATH"));

	setenv("PROVIUM_BOOT_DIR", dir, 1);
	put_program(bin, "apt-cache", "#!/bin/sh\necho E: none >&2; exit 1\n");
	setenv("PATH", bin, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(find(f), -ENOENT);
		assert_non_null(strstr(f->err.text, "PROVIUM_BOOT_DIR is '"));
		assert_non_null(strstr(f->err.text, dir));
		assert_non_null(strstr(f->err.text, "holds no kernel"));
		unsetenv("PROVIUM_MODULES_DIR");
	}
	/* A kernel is there, but not its modules. */
	put_kernel(dir, "vmlinuz-7.0-lone", "7.0-lone", NOTE_PVH);
	assert_int_equal(find(f), -ENOENT);
	assert_non_null(strstr(f->err.text, "set PROVIUM_MODULES_DIR"));
	/* It is not looked into where the kernel is named. */
	setenv("PROVIUM_MODULES_DIR", f->modules, 1);
	char *kernel = mem_printf("%s/vmlinuz-" REL, f->boot);
	setenv("PROVIUM_KERNEL", kernel, 1);
	setenv("PATH", old, 1);
	assert_int_equal(find(f), 0);
	free(kernel);
	free(dir);
	free(bin);
	free(old);
}

/* The same. */
static void modules_of_no_kernel_that_is_here_are_refused(void **state)
{
	struct fix *f = *state;
	char *dir = mem_printf("%s/elsewhere", f->dir);

	setenv("PROVIUM_MODULES_DIR", dir, 1);
	assert_int_equal(find(f), -ENOENT);
	assert_non_null(strstr(f->err.text, "PROVIUM_MODULES_DIR is '"));
	assert_non_null(strstr(f->err.text, dir));
	assert_non_null(strstr(f->err.text, f->boot));
	assert_non_null(strstr(f->err.text, "set PROVIUM_KERNEL"));
	setenv("PROVIUM_MODULES_DIR", f->modules, 1);
	assert_int_equal(find(f), 0);
	free(dir);
}

static void kernel_without_virtio_is_refused(void **state)
{
	struct fix *f = *state;

	put(f->modules, REL "/modules.dep", "kernel/ring.ko:\n", 16);
	assert_int_equal(find(f), -ENOENT);
	assert_non_null(strstr(f->err.text, "virtio_pci"));
}

static void busybox_must_be_static_and_there(void **state)
{
	struct fix *f = *state;

	setenv("PROVIUM_BUSYBOX", "/proc/self/exe", 1); /* this is dynamic */
	assert_int_equal(find(f), -ENOEXEC);
	assert_non_null(strstr(f->err.text, "busybox-static"));
	setenv("PROVIUM_BUSYBOX", "/nonexistent/busybox", 1);
	assert_int_equal(find(f), -ENOENT);
	assert_non_null(strstr(f->err.text, "/nonexistent/busybox"));
}

/* apt-cache, apt-get and dpkg-deb that give a package of two files. */
#define FAKE_CACHE                                                             \
	"#!/bin/sh\n"                                                          \
	"case $3 in\n"                                                         \
	"linux-image-cloud-amd64) echo 'Depends: linux-image-x (= 1), a';;\n"  \
	"linux-image-x) echo 'Depends: kmod | b, linux-modules-x';;\n"         \
	"linux-modules-x) ;;\n"                                                \
	"*) exit 100;;\n"                                                      \
	"esac\n"
#define FAKE_GET                                                               \
	"#!/bin/sh\n"                                                          \
	"[ $* = '-q' ] 2>/dev/null\n"                                          \
	"shift 2\n"                                                            \
	"for p; do echo $p >$p.deb; done\n"                                    \
	"echo $* >>\"$FAKE_DIR/fetched\"\n"
#define FAKE_DEB                                                               \
	"#!/bin/sh\n"                                                          \
	"case $2 in\n"                                                         \
	"*/linux-image-x.deb) mkdir -p $3/boot\n"                              \
	"  cp $FAKE_DIR/kernel $3/boot/vmlinuz-" REL ";;\n"                    \
	"*/linux-modules-x.deb) mkdir -p $3/usr/lib/modules\n"                 \
	"  cp -r $FAKE_DIR/modules/" REL " $3/usr/lib/modules\n"               \
	"  rm $3/usr/lib/modules/" REL "/modules.dep;;\n"                      \
	"esac\n"

static void packages_are_fetched_once_and_unpacked(void **state)
{
	struct fix *f = *state;
	char *bin = mem_printf("%s/bin", f->dir);
	char *old = mem_strdup(getenv("PATH"));
	char *path = mem_printf("%s:%s", bin, old);
	char *boot = mem_printf("%s/empty", f->dir), *key, *again;
	struct strvec modules = {0};
	struct buf b;

	put_kernel(f->dir, "kernel", REL, NOTE_PVH);
	put_program(bin, "apt-cache", FAKE_CACHE);
	put_program(bin, "apt-get", FAKE_GET);
	put_program(bin, "dpkg-deb", FAKE_DEB);
	setenv("PATH", path, 1);
	setenv("FAKE_DIR", f->dir, 1);
	setenv("PROVIUM_BOOT_DIR", boot, 1);
	f->may_fetch = true;
	unsetenv("PROVIUM_MODULES_DIR");
	key = find_key(f);
	assert_int_equal(f->n_progress, 3);
	assert_string_equal(f->g.release, REL);
	assert_int_equal(
	    guest_image_modules(&f->g, TRANSPORT_SERIAL, &modules, &f->err), 0);
	/* Their .modinfo names no need, whatever modules.dep said. */
	assert_int_equal(modules.n, 2);
	again = find_key(f);
	assert_int_equal(f->n_progress, 0);
	assert_string_equal(key, again);
	free(again);
	free(tmp_write_str(boot, "something", "new")); /* no kernel though */
	again = find_key(f);
	assert_string_equal(key, again);
	/* What the cache has does not make the folder hold a kernel. */
	f->may_fetch = false;
	assert_int_equal(find(f), -ENOENT);
	assert_non_null(strstr(f->err.text, "PROVIUM_BOOT_DIR is '"));
	free(path);
	path = mem_printf("%s/fetched", f->dir);
	b = tmp_read(path);
	buf_append(&b, "", 1);
	assert_string_equal(
	    (char *)buf_data(&b),
	    "linux-image-cloud-amd64 linux-image-x linux-modules-x\n");
	setenv("PATH", old, 1);
	buf_done(&b);
	strvec_done(&modules);
	free(again);
	free(key);
	free(boot);
	free(path);
	free(old);
	free(bin);
}

static void without_kernel_and_package_the_way_out_is_said(void **state)
{
	struct fix *f = *state;
	char *bin = mem_printf("%s/bin", f->dir);
	char *old = mem_strdup(getenv("PATH"));

	put_program(bin, "apt-cache", "#!/bin/sh\necho E: none >&2; exit 1\n");
	setenv("PATH", bin, 1);
	setenv("PROVIUM_BOOT_DIR", "/nonexistent", 1);
	f->may_fetch = true;
	unsetenv("PROVIUM_MODULES_DIR");
	assert_true(find(f) < 0);
	setenv("PATH", old, 1);
	assert_non_null(strstr(f->err.text, "E: none"));
	assert_non_null(
	    strstr(f->err.text, "apt-get install linux-image-cloud-amd64"));
	free(old);
	free(bin);
}

static void dependencies_are_read_from_control_text(void **state)
{
	static const char text[] =
	    "Package: linux-image-x\n"
	    "Depends: linux-image-a (= 1), kmod | linux-image-b,"
	    "linux-modules-c:amd64|linux-modules-d,, linux-image-a\n"
	    "Suggests: linux-image-e\n"
	    "Pre-Depends: linux-image-f";
	struct strvec got = {0};

	(void)state;
	guest_package_parse(text, sizeof(text) - 1, &got);
	assert_int_equal(got.n, 3);
	assert_string_equal(got.v[0], "linux-image-a");
	assert_string_equal(got.v[1], "linux-modules-c");
	assert_string_equal(got.v[2], "linux-image-f");
	guest_package_parse("", 0, &got);
	guest_package_parse("Depends:", 8, &got);
	guest_package_parse("Depends: ,", 10, &got);
	assert_int_equal(got.n, 3);
	strvec_done(&got);
}

static void cache_dir_follows_the_environment(void **state)
{
	char *dir;

	(void)state;
	setenv("PROVIUM_CACHE_DIR", "/own", 1);
	setenv("XDG_CACHE_HOME", "/xdg", 1);
	setenv("HOME", "/home/x", 1);
	dir = guest_cache_dir();
	assert_string_equal(dir, "/own");
	free(dir);
	unsetenv("PROVIUM_CACHE_DIR");
	dir = guest_cache_dir();
	assert_string_equal(dir, "/xdg/provium");
	free(dir);
	setenv("XDG_CACHE_HOME", "relative", 1);
	dir = guest_cache_dir();
	assert_string_equal(dir, "/home/x/.cache/provium");
	free(dir);
	unsetenv("HOME");
	dir = guest_cache_dir();
	assert_non_null(strstr(dir, "/var/tmp/provium-"));
	free(dir);
}

/* --- kernels of the user --------------------------------------------------*/

static void user_kernel_is_extracted_once(void **state)
{
	struct fix *f = *state;
	char *image = mem_printf("%s/boot/vmlinuz-" REL, f->dir);
	struct buf want = make_vmlinux(REL, NOTE_PVH), got;
	struct stat first, second;
	char *a, *b;

	assert_int_equal(guest_kernel_for_boot(f->cache, image, &a, &f->err),
			 0);
	assert_string_not_equal(a, image);
	got = tmp_read(a);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(buf_data(&got), buf_data(&want), want.len);
	assert_true(guest_kernel_is_pvh(a));
	assert_int_equal(stat(a, &first), 0);
	utimensat(AT_FDCWD, image, NULL, 0); /* hashed again, not written */
	assert_int_equal(guest_kernel_for_boot(f->cache, image, &b, &f->err),
			 0);
	assert_string_equal(a, b);
	assert_int_equal(stat(b, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	free(b);
	assert_int_equal(truncate(a, 3), 0); /* damaged: made again */
	assert_int_equal(guest_kernel_for_boot(f->cache, image, &b, &f->err),
			 0);
	assert_true(guest_kernel_is_pvh(b));
	buf_done(&want);
	buf_done(&got);
	free(image);
	free(a);
	free(b);
}

static void other_kernels_are_booted_as_they_are(void **state)
{
	struct fix *f = *state;
	char *no_pvh = mem_printf("%s/no-pvh", f->dir);
	char *vmlinux = mem_printf("%s/vmlinux", f->dir);
	struct buf elf = make_vmlinux(REL, NOTE_PVH);
	char *got;

	put_kernel(f->dir, "no-pvh", REL, NOTE_PVH - 1);
	put(f->dir, "vmlinux", buf_data(&elf), elf.len);
	for (int i = 0; i < 2; i++) { /* the second time by its stamp */
		assert_int_equal(
		    guest_kernel_for_boot(f->cache, no_pvh, &got, &f->err), 0);
		assert_string_equal(got, no_pvh);
		free(got);
	}
	assert_false(guest_kernel_is_pvh(no_pvh));
	assert_int_equal(
	    guest_kernel_for_boot(f->cache, vmlinux, &got, &f->err), 0);
	assert_string_equal(got, vmlinux);
	free(got);
	assert_int_equal(
	    guest_kernel_for_boot(f->cache, "/nonexistent", &got, &f->err),
	    -ENOENT);
	assert_non_null(strstr(f->err.text, "/nonexistent"));
	assert_false(guest_kernel_is_pvh("/nonexistent"));
	buf_done(&elf);
	free(no_pvh);
	free(vmlinux);
}

/* Whoever rebuilds a kernel all day does not fill the disk. */
static void unused_extracted_kernels_go(void **state)
{
	struct fix *f = *state;
	char *image = mem_printf("%s/k", f->dir);
	char *got[6];
	int left = 0;

	for (int i = 0; i < 6; i++) {
		char release[8] = "6.1.x";

		release[4] = (char)('0' + i);
		put_kernel(f->dir, "k", release, NOTE_PVH);
		utimensat(AT_FDCWD, image, NULL, 0);
		assert_int_equal(
		    guest_kernel_for_boot(f->cache, image, &got[i], &f->err),
		    0);
		make_old(got[i]);
	}
	for (int i = 0; i < 6; i++) {
		left += access(got[i], F_OK) == 0;
		free(got[i]);
	}
	assert_true(left >= 4 && left < 6);
	free(image);
}

/* --- the real thing -------------------------------------------------------*/

/* Every path that modules.list names must be in the initrd. */
static void check_lists(struct fix *f, const struct archive *a)
{
	for (int t = TRANSPORT_VSOCK; t <= TRANSPORT_SERIAL; t++) {
		struct strvec got = {0};

		assert_int_equal(guest_image_modules(&f->g, (enum transport)t,
						     &got, &f->err),
				 0);
		for (size_t i = 0; i < got.n; i++)
			assert_non_null(archive_find(a, got.v[i] + 1));
		strvec_done(&got);
	}
}

static void this_machine_gets_a_guest(void **state)
{
	struct guest_places places;
	struct fix *f = *state;
	char *first, *second;
	struct archive a;
	int r;

	unsetenv("PROVIUM_BOOT_DIR");
	unsetenv("PROVIUM_MODULES_DIR");
	guest_places_get(&places);
	r = find(f);
	if (r < 0 && !guest_source_is_local(&places))
		skip_because(f->err.text);
	if (r < 0)
		fail_msg("%s", f->err.text);
	assert_true(f->n_progress > 0);
	assert_true(guest_kernel_is_pvh(f->g.kernel));
	a = read_initrd(f);
	assert_non_null(archive_find(&a, "bin/sh"));
	check_lists(f, &a);
	archive_done(&a);
	first = mem_strdup(f->g.key);
	second = find_key(f);
	assert_int_equal(f->n_progress, 0);
	assert_string_equal(first, second);
	free(first);
	free(second);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(kernel_is_the_vmlinux_inside),
	    T(kernel_without_pvh_stays_a_bzimage),
	    T(initrd_has_a_shell_and_no_init),
	    T(modules_are_uncompressed_and_only_the_wanted),
	    T(each_transport_has_its_modules_in_order),
	    T(the_driver_for_panics_is_loaded_where_there_is_one),
	    T(nics_have_modules_beside_those_of_a_transport),
	    T(initrd_has_a_program_for_nics),
	    T(images_of_an_older_format_are_made_again),
	    T(second_look_up_reads_nothing),
	    T(changed_parts_give_another_image),
	    T(touched_parts_give_the_same_image),
	    T(a_newer_kernel_is_noticed),
	    T(damaged_images_are_made_again),
	    T(what_a_killed_builder_left_is_removed),
	    T(builders_at_once_make_one_image),
	    T(list_has_the_newest_first),
	    T(cloud_kernels_then_newer_ones_are_preferred),
	    T(kernel_of_the_environment_is_used),
	    T(modules_of_another_kernel_are_refused),
	    T(a_boot_folder_without_a_kernel_is_refused),
	    T(modules_of_no_kernel_that_is_here_are_refused),
	    T(kernel_without_virtio_is_refused),
	    T(busybox_must_be_static_and_there),
	    T(packages_are_fetched_once_and_unpacked),
	    T(without_kernel_and_package_the_way_out_is_said),
	    T(dependencies_are_read_from_control_text),
	    T(cache_dir_follows_the_environment),
	    T(user_kernel_is_extracted_once),
	    T(other_kernels_are_booted_as_they_are),
	    T(unused_extracted_kernels_go),
	    T(this_machine_gets_a_guest),
	};

	return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
