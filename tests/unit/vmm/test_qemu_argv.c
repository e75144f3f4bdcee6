/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "vmm/net/addr.h"
#include "vmm/qemu_argv.h"

#define GOLDEN "tests/golden/argv/"

/* Compares with tests/golden/argv/<name>; PROVIUM_GOLDEN=write renews it. */
static void assert_golden(const char *name, const struct strvec *argv)
{
	CLEANUP(buf_done) struct buf have = {0};
	CLEANUP(buf_done) struct buf want = {0};
	CLEANUP(free_ptr) char *path = mem_printf(GOLDEN "%s", name);
	CLEANUP(file_closep) FILE *f = NULL;
	const char *mode = getenv("PROVIUM_GOLDEN");

	for (size_t i = 0; i < argv->n; i++)
		buf_printf(&have, "%s\n", argv->v[i]);
	if (mode && strcmp(mode, "write") == 0) {
		f = fopen(path, "we");
		assert_non_null(f);
		fwrite(buf_data(&have), 1, have.len, f);
		return;
	}
	f = fopen(path, "re");
	assert_non_null(f);
	buf_commit(&want, fread(buf_room(&want, 16384), 1, 16384, f));
	buf_append(&want, "", 1);
	buf_append(&have, "", 1);
	assert_string_equal((char *)buf_data(&have), (char *)buf_data(&want));
}

static struct qemu_spec serial_spec(void)
{
	return (struct qemu_spec){
	    .name = "a",
	    .qemu = "/usr/bin/qemu-system-x86_64",
	    .kernel = "/cache/vmlinux",
	    .initrd = "/run/a.initrd",
	    .cmdline = "console=ttyS0 x=1,2",
	    .memory = UINT64_C(256) << 20,
	    .cpus = 1,
	    .accel = ACCEL_TCG,
	    .transport = TRANSPORT_SERIAL,
	    .ram_fd = -1,
	    .console_path = "/run/a,b.tty",
	    .qmp_fd = 11,
	    .agent_fd = 12,
	    .vhost_fd = -1,
	};
}

static void serial_guest_under_tcg(void **state)
{
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct qemu_spec s = serial_spec();

	(void)state;
	qemu_argv(&argv, &s);
	assert_golden("serial-tcg", &argv);
}

static void vsock_guest_under_kvm_with_extra_arguments(void **state)
{
	static const char *const extra[] = {"-device", "virtio-balloon-pci"};
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct qemu_spec s = serial_spec();

	(void)state;
	s.accel = ACCEL_KVM;
	s.transport = TRANSPORT_VSOCK;
	s.agent_fd = -1;
	s.vhost_fd = 13;
	s.guest_cid = 0xdeadbeef;
	s.cpus = 4;
	s.memory = UINT64_C(3) << 30;
	s.extra = extra;
	s.n_extra = 2;
	qemu_argv(&argv, &s);
	assert_golden("vsock-kvm", &argv);
}

static void nics_follow_in_order(void **state)
{
	static const uint8_t mac[2][MAC_LEN] = {{0x52, 0x54, 0, 0, 1, 0x0a},
						{0x52, 0x54, 0, 0, 2, 0xfe}};
	const struct qemu_nic nics[] = {{.fd = 14, .mac = mac[0]},
					{.fd = 15, .mac = mac[1]}};
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct qemu_spec s = serial_spec();

	(void)state;
	s.nics = nics;
	s.n_nics = ARRAY_LEN(nics);
	qemu_argv(&argv, &s);
	assert_golden("two-nics", &argv);
}

static void a_nic_may_be_a_tap(void **state)
{
	static const uint8_t mac[2][MAC_LEN] = {{0x52, 0x54, 0, 0, 1, 0x0a},
						{0x52, 0x54, 0, 0, 2, 0xfe}};
	const struct qemu_nic nics[] = {
	    {.fd = 14, .mac = mac[0]},
	    {.fd = 15, .mac = mac[1], .is_tap = true}};
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct qemu_spec s = serial_spec();

	(void)state;
	s.nics = nics;
	s.n_nics = ARRAY_LEN(nics);
	qemu_argv(&argv, &s);
	assert_golden("socket-and-tap", &argv);
}

static void a_restored_guest_waits_for_its_devices(void **state)
{
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct qemu_spec s = serial_spec();

	(void)state;
	s.ram_fd = 13;
	s.initrd = "/proc/self/fd/15";
	qemu_argv(&argv, &s);
	assert_golden("restore", &argv);
}

static void disks_are_files_on_each_other(void **state)
{
	static const int layers[] = {20, 21};
	const struct qemu_disk disks[] = {
	    {.id = "scratch", .top = "/run/a.disk0.0", .nbd_fd = -1},
	    {.id = "tpl",
	     .image = "/images/a,b",
	     .layers = layers,
	     .n_layers = ARRAY_LEN(layers),
	     .top = "/run/a.disk1.2",
	     .generation = 2,
	     .nbd_fd = -1},
	    {.id = "ro",
	     .image = "/images/c.qcow2",
	     .image_is_qcow2 = true,
	     .nbd_fd = -1},
	    {.id = "own",
	     .image = "/images/d",
	     .image_is_written = true,
	     .nbd_fd = -1},
	    {.id = "mediated", .top = "/run/a.disk4.0", .nbd_fd = 22},
	};
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct qemu_spec s = serial_spec();

	(void)state;
	s.disks = disks;
	s.n_disks = ARRAY_LEN(disks);
	qemu_argv(&argv, &s);
	assert_golden("disks", &argv);
}

static void a_comma_in_the_name_is_doubled(void **state)
{
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct qemu_spec s = serial_spec();

	(void)state;
	s.name = "a,process=b";
	qemu_argv(&argv, &s);
	assert_string_equal(argv.v[1], "-name");
	assert_string_equal(argv.v[2], "provium-a,,process=b");
}

static void the_clock_may_start_at_another_time(void **state)
{
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct qemu_spec s = serial_spec();
	size_t i = 0;

	(void)state;
	s.initial_time = 951782400;
	qemu_argv(&argv, &s);
	while (i < argv.n && strcmp(argv.v[i], "-rtc") != 0)
		i++;
	assert_true(i + 1 < argv.n);
	assert_string_equal(argv.v[i + 1], "base=2000-02-29T00:00:00");
}

static void random_numbers_may_have_a_seed(void **state)
{
	CLEANUP(strvec_done) struct strvec without = {0}, with = {0};
	struct qemu_spec s = serial_spec();
	size_t i = 0;

	(void)state;
	qemu_argv(&without, &s);
	s.has_rng_seed = true;
	s.rng_seed = 9223372036854775807;
	qemu_argv(&with, &s);
	assert_int_equal(with.n, without.n + 2);
	while (i < with.n && strcmp(with.v[i], "-seed") != 0)
		i++;
	assert_true(i + 1 < with.n);
	assert_string_equal(with.v[i + 1], "9223372036854775807");
}

static void a_guest_that_may_suspend_is_a_pc(void **state)
{
	CLEANUP(strvec_done) struct strvec argv = {0};
	struct qemu_spec s = serial_spec();
	size_t i = 0;

	(void)state;
	s.may_suspend = true;
	qemu_argv(&argv, &s);
	while (i < argv.n && strcmp(argv.v[i], "-machine") != 0)
		i++;
	assert_in_range(i + 1, 0, argv.n - 1);
	assert_int_equal(strncmp(argv.v[i + 1], "pc,", 3), 0);
}

static void cmdline_has_ours_then_the_users(void **state)
{
	struct err err = {0};
	CLEANUP(free_ptr)
	char *line = kernel_cmdline("quiet audit=1", ACCEL_TCG, 1, &err);

	(void)state;
	assert_non_null(line);
	assert_ptr_equal(strstr(line, "console=ttyS0"), line);
	assert_non_null(strstr(line, " rdinit=/.provium/agent "));
	assert_non_null(strstr(line, " tsc=reliable "));
	assert_non_null(strstr(line, " no_timer_check "));
	assert_string_equal(line + strlen(line) - 14, " quiet audit=1");
}

static void cmdline_under_kvm_leaves_the_clock_alone(void **state)
{
	struct err err = {0};
	CLEANUP(free_ptr) char *line = kernel_cmdline("", ACCEL_KVM, 1, &err);

	(void)state;
	assert_non_null(line);
	assert_null(strstr(line, "tsc="));
	assert_null(strstr(line, "no_timer_check"));
	assert_int_not_equal(line[strlen(line) - 1], ' ');
}

static void only_a_single_cpu_does_without_the_apic_timer(void **state)
{
	struct err err;
	CLEANUP(free_ptr) char *one = kernel_cmdline("", ACCEL_TCG, 1, &err);
	CLEANUP(free_ptr) char *two = kernel_cmdline("", ACCEL_TCG, 2, &err);

	(void)state;
	assert_non_null(strstr(one, " nolapic_timer "));
	assert_null(strstr(two, "nolapic_timer"));
}

static void another_rdinit_is_refused(void **state)
{
	static const char *const bad[] = {
	    "rdinit=/bin/sh", "quiet rdinit=/bin/sh",
	    "rdinit=", "a=\"b c\"\trdinit=/x", "rdinit=/.provium/agent2",
	    /* The kernel strips these quotes. */
	    "\"rdinit=/bin/x\"", "quiet \"rdinit=/bin/x\" a",
	    "rdinit=\"/bin/x\"", "\"rdinit=/bin/x -- y\"", "\"rdinit=/bin/x",
	    "x\xa0rdinit=/bin/x"};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_null(kernel_cmdline(bad[i], ACCEL_TCG, 1, &err));
		assert_int_equal(err.code, -EINVAL);
		assert_non_null(strstr(err.text, "rdinit="));
	}
}

static void what_only_looks_like_rdinit_is_taken(void **state)
{
	static const char *const good[] = {"rdinit=/.provium/agent",
					   "x=\"a rdinit=/b\"",
					   "nordinit=1",
					   "\"rdinit=/.provium/agent\"",
					   "rdinit=\"/.provium/agent\"",
					   "quiet -- rdinit=/argument/of/init",
					   "\"--\" rdinit=/argument/of/init"};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		char *line = kernel_cmdline(good[i], ACCEL_TCG, 1, &err);

		assert_non_null(line);
		free(line);
	}
}

static void a_cmdline_that_the_kernel_would_cut_is_refused(void **state)
{
	struct err err;
	char user[KERNEL_CMDLINE_MAX];
	char *line;

	(void)state;
	memset(user, 'x', sizeof(user) - 1);
	user[sizeof(user) - 1] = '\0';
	assert_null(kernel_cmdline(user, ACCEL_TCG, 1, &err));
	assert_int_equal(err.code, -E2BIG);
	user[1000] = '\0';
	line = kernel_cmdline(user, ACCEL_TCG, 1, &err);
	assert_non_null(line);
	free(line);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(serial_guest_under_tcg),
    cmocka_unit_test(vsock_guest_under_kvm_with_extra_arguments),
    cmocka_unit_test(nics_follow_in_order),
    cmocka_unit_test(a_nic_may_be_a_tap),
    cmocka_unit_test(a_restored_guest_waits_for_its_devices),
    cmocka_unit_test(disks_are_files_on_each_other),
    cmocka_unit_test(a_comma_in_the_name_is_doubled),
    cmocka_unit_test(the_clock_may_start_at_another_time),
    cmocka_unit_test(random_numbers_may_have_a_seed),
    cmocka_unit_test(a_guest_that_may_suspend_is_a_pc),
    cmocka_unit_test(cmdline_has_ours_then_the_users),
    cmocka_unit_test(cmdline_under_kvm_leaves_the_clock_alone),
    cmocka_unit_test(only_a_single_cpu_does_without_the_apic_timer),
    cmocka_unit_test(another_rdinit_is_refused),
    cmocka_unit_test(what_only_looks_like_rdinit_is_taken),
    cmocka_unit_test(a_cmdline_that_the_kernel_would_cut_is_refused),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
