/* SPDX-License-Identifier: MIT */
#include "vmm/host.h"

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

#define INTEL  "processor\t: 0\nflags\t\t: fpu vme vmx ssse3\nbugs\t: x\n"
#define AMD    "flags\t\t: fpu lahf_lm svm\n"
#define NOBODY 65534
#define NONE   "vendor_id\t: vmx\nflags\t\t: fpu xvmx svm_lock vmx_\n"

/* A host of files: a device that opens is a file that exists. */
struct fix {
	char *dir, *kvm, *vsock, *cpuinfo;
	struct host_probe p;
	struct host_choice c;
	struct err err;
};

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));

	f->dir = tmp_new();
	f->kvm = mem_printf("%s/kvm", f->dir);
	f->vsock = mem_printf("%s/vhost-vsock", f->dir);
	f->cpuinfo = mem_printf("%s/cpuinfo", f->dir);
	f->p = (struct host_probe){f->kvm, f->vsock, f->cpuinfo};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	free(f->kvm);
	free(f->vsock);
	free(f->cpuinfo);
	tmp_remove(f->dir);
	free(f);
	return 0;
}

static void make(struct fix *f, const char *name, const char *text)
{
	free(tmp_write_str(f->dir, name, text));
}

static void kvm_needs_device_and_flag(void **state)
{
	struct fix *f = *state;

	make(f, "kvm", "");
	make(f, "cpuinfo", INTEL);
	assert_int_equal(host_probe_accel(&f->p, ACCEL_AUTO, &f->c, &f->err),
			 0);
	assert_int_equal(f->c.value, ACCEL_KVM);
	assert_non_null(strstr(f->c.why, "vmx"));
	assert_string_equal(f->c.faster, "");
	make(f, "cpuinfo", AMD);
	host_probe_accel(&f->p, ACCEL_AUTO, &f->c, &f->err);
	assert_int_equal(f->c.value, ACCEL_KVM);
	assert_non_null(strstr(f->c.why, "svm"));
}

static void device_without_cpu_flag_is_tcg(void **state)
{
	struct fix *f = *state;

	make(f, "kvm", "");
	make(f, "cpuinfo", NONE);
	assert_int_equal(host_probe_accel(&f->p, ACCEL_AUTO, &f->c, &f->err),
			 0);
	assert_int_equal(f->c.value, ACCEL_TCG);
	assert_non_null(strstr(f->c.why, "neither vmx nor svm"));
	assert_non_null(strstr(f->c.faster, "firmware"));
}

static void flag_without_device_is_tcg(void **state)
{
	struct fix *f = *state;

	make(f, "cpuinfo", INTEL);
	assert_int_equal(host_probe_accel(&f->p, ACCEL_AUTO, &f->c, &f->err),
			 0);
	assert_int_equal(f->c.value, ACCEL_TCG);
	assert_non_null(strstr(f->c.why, "does not open"));
	assert_non_null(strstr(f->c.faster, "kvm_intel"));
}

static void missing_cpuinfo_is_tcg(void **state)
{
	struct fix *f = *state;

	make(f, "kvm", "");
	assert_int_equal(host_probe_accel(&f->p, ACCEL_AUTO, &f->c, &f->err),
			 0);
	assert_int_equal(f->c.value, ACCEL_TCG);
}

static void forbidden_device_names_the_group(void **state)
{
	struct fix *f = *state;
	uid_t uid = geteuid();

	make(f, "kvm", "");
	chmod(f->kvm, 0);
	chmod(f->dir, 0755);
	make(f, "cpuinfo", INTEL);
	if (uid == 0) /* who may open everything */
		assert_int_equal(seteuid(NOBODY), 0);
	host_probe_accel(&f->p, ACCEL_AUTO, &f->c, &f->err);
	assert_int_equal(seteuid(uid), 0);
	assert_int_equal(f->c.value, ACCEL_TCG);
	assert_non_null(strstr(f->c.faster, "adduser"));
}

static void wish_for_kvm_is_honoured_or_an_error(void **state)
{
	struct fix *f = *state;

	assert_int_equal(host_probe_accel(&f->p, ACCEL_KVM, &f->c, &f->err),
			 -ENOENT);
	assert_non_null(strstr(f->err.text, f->kvm));
	make(f, "kvm", "");
	make(f, "cpuinfo", NONE);
	assert_int_equal(host_probe_accel(&f->p, ACCEL_KVM, &f->c, &f->err), 0);
	assert_int_equal(f->c.value, ACCEL_KVM);
	assert_string_equal(f->c.why, "asked for");
}

static void wish_for_tcg_looks_at_nothing(void **state)
{
	struct fix *f = *state;

	make(f, "kvm", "");
	make(f, "cpuinfo", INTEL);
	assert_int_equal(host_probe_accel(&f->p, ACCEL_TCG, &f->c, &f->err), 0);
	assert_int_equal(f->c.value, ACCEL_TCG);
}

static void vsock_is_taken_where_the_device_opens(void **state)
{
	struct fix *f = *state;

	make(f, "vhost-vsock", "");
	assert_int_equal(
	    host_probe_transport(&f->p, TRANSPORT_AUTO, &f->c, &f->err), 0);
	assert_int_equal(f->c.value, TRANSPORT_VSOCK);
	assert_non_null(strstr(f->c.why, "opens"));
	assert_string_equal(f->c.faster, "");
	assert_int_equal(
	    host_probe_transport(&f->p, TRANSPORT_SERIAL, &f->c, &f->err), 0);
	assert_int_equal(f->c.value, TRANSPORT_SERIAL);
}

static void serial_is_taken_elsewhere(void **state)
{
	struct fix *f = *state;

	assert_int_equal(
	    host_probe_transport(&f->p, TRANSPORT_AUTO, &f->c, &f->err), 0);
	assert_int_equal(f->c.value, TRANSPORT_SERIAL);
	assert_non_null(strstr(f->c.why, f->vsock));
	assert_non_null(strstr(f->c.faster, "vhost_vsock"));
	assert_int_equal(
	    host_probe_transport(&f->p, TRANSPORT_VSOCK, &f->c, &f->err),
	    -ENOENT);
	assert_non_null(strstr(f->err.text, "modprobe vhost_vsock"));
}

static void this_host_always_has_a_choice(void **state)
{
	struct fix *f = *state;

	assert_int_equal(host_choose_accel(ACCEL_AUTO, &f->c, &f->err), 0);
	assert_true(f->c.value == ACCEL_KVM || f->c.value == ACCEL_TCG);
	assert_true(f->c.why[0] != '\0');
	assert_int_equal(host_choose_transport(TRANSPORT_AUTO, &f->c, &f->err),
			 0);
	assert_true(f->c.value == TRANSPORT_VSOCK ||
		    f->c.value == TRANSPORT_SERIAL);
}

static void names_and_values_agree(void **state)
{
	enum transport t;
	enum network n;
	enum accel a;

	(void)state;
	for (int i = ACCEL_AUTO; i <= ACCEL_TCG; i++) {
		assert_int_equal(accel_parse(accel_name((enum accel)i), &a), 0);
		assert_int_equal(a, i);
	}
	for (int i = TRANSPORT_AUTO; i <= TRANSPORT_SERIAL; i++) {
		const char *name = transport_name((enum transport)i);

		assert_int_equal(transport_parse(name, &t), 0);
		assert_int_equal(t, i);
	}
	assert_int_equal(network_parse("kernel", &n), 0);
	assert_string_equal(network_name(n), "kernel");
	assert_int_equal(network_parse("user", &n), 0);
	assert_string_equal(network_name(n), "user");
	assert_int_equal(network_parse("bridge", &n), -EINVAL);
	assert_int_equal(accel_parse("KVM", &a), -EINVAL);
	assert_int_equal(accel_parse("", &a), -EINVAL);
	assert_int_equal(transport_parse("vsock ", &t), -EINVAL);
}

static void qemu_of_the_environment_is_used(void **state)
{
	struct fix *f = *state;
	char *fake = tmp_write_str(
	    f->dir, "qemu", "#!/bin/sh\necho \"QEMU fake $1\"\necho more\n");
	char *path, *version;

	setenv("PROVIUM_QEMU", fake, 1);
	assert_null(host_find_qemu(&f->err)); /* not executable */
	assert_int_equal(f->err.code, -ENOENT);
	assert_non_null(strstr(f->err.text, fake));
	chmod(fake, 0755);
	path = host_find_qemu(&f->err);
	assert_string_equal(path, fake);
	version = host_qemu_version(path, &f->err);
	assert_string_equal(version, "QEMU fake --version");
	unsetenv("PROVIUM_QEMU");
	free(version);
	free(path);
	free(fake);
}

static void missing_qemu_says_what_to_install(void **state)
{
	struct fix *f = *state;
	char *old = mem_strdup(getenv("PATH"));
	char *path;

	unsetenv("PROVIUM_QEMU");
	setenv("PATH", f->dir, 1);
	path = host_find_qemu(&f->err);
	assert_null(path);
	assert_non_null(strstr(f->err.text, "apt-get install"));
	path = tmp_write_str(f->dir, "qemu-system-x86_64", "#!/bin/sh\n");
	chmod(path, 0755);
	free(path);
	path = host_find_qemu(&f->err);
	assert_non_null(path);
	assert_null(host_qemu_version(path, &f->err)); /* it says nothing */
	assert_non_null(strstr(f->err.text, "nothing"));
	setenv("PATH", old, 1);
	free(path);
	free(old);
}

static void networks_need_streams_of_qemu(void **state)
{
	struct fix *f = *state;
	char *new = tmp_write_str(f->dir, "new",
				  "#!/bin/sh\nprintf 'types:\\ndgram\\n"
				  "stream\\ntap\\n'\n");
	char *old = tmp_write_str(f->dir, "old",
				  "#!/bin/sh\nprintf 'types:\\nsocket\\n'\n");

	chmod(new, 0755);
	chmod(old, 0755);
	assert_int_equal(host_qemu_check_net(new, &f->err), 0);
	assert_int_equal(host_qemu_check_net(old, &f->err), -ENOTSUP);
	assert_non_null(strstr(f->err.text, "QEMU 7.2 or later"));
	free(new);
	free(old);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(kvm_needs_device_and_flag),
	    T(device_without_cpu_flag_is_tcg),
	    T(flag_without_device_is_tcg),
	    T(missing_cpuinfo_is_tcg),
	    T(forbidden_device_names_the_group),
	    T(wish_for_kvm_is_honoured_or_an_error),
	    T(wish_for_tcg_looks_at_nothing),
	    T(vsock_is_taken_where_the_device_opens),
	    T(serial_is_taken_elsewhere),
	    T(this_host_always_has_a_choice),
	    T(names_and_values_agree),
	    T(qemu_of_the_environment_is_used),
	    T(missing_qemu_says_what_to_install),
	    T(networks_need_streams_of_qemu),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
