/* SPDX-License-Identifier: MIT */
/* NICs of real guests under TCG: a second or two each. */
#include "tests/unit/vmm/lib_vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_image.h"
#include "vmm/net/bridge.h"

struct nics {
	struct fixture *f;
	struct strvec modules;
	struct net *net;
	struct bridge *lan, *wan;
	struct port *a_lan, *a_wan;
};

static int setup(void **state)
{
	struct nics *n = mem_zalloc(sizeof(*n));
	void *vm_state;
	struct err err;

	*state = n;
	vm_setup(&vm_state);
	n->f = vm_state;
	assert_int_equal(
	    guest_image_net_modules(&n->f->image, &n->modules, &err), 0);
	n->f->spec.net_modules = (const char *const *)n->modules.v;
	n->f->spec.n_net_modules = n->modules.n;
	n->f->spec.net_setup = GUEST_NET_SETUP;
	n->net = net_new(n->f->loop, n->f->run_dir);
	n->lan = bridge_new(n->net, "lan", &err);
	n->wan = bridge_new(n->net, "wan", &err);
	n->a_lan = bridge_attach(n->lan, "a", &err);
	n->a_wan = bridge_attach(n->wan, "a", &err);
	assert_non_null(n->a_wan);
	return 0;
}

static int teardown(void **state)
{
	struct nics *n = *state;
	void *vm_state = n->f;

	/* Ports are borrowed until the VM is freed. */
	n->f->vm = vm_free(n->f->vm);
	bridge_free(n->lan);
	bridge_free(n->wan);
	net_free(n->net);
	strvec_done(&n->modules);
	free(n);
	return vm_teardown(&vm_state);
}

/* A VM with a NIC on each bridge. */
static void make_with_both(struct nics *n)
{
	struct port *const ports[] = {n->a_wan, n->a_lan};

	vm_make(n->f);
	vm_set_nics(n->f->vm, ports, 2);
}

static void expect_out(struct nics *n, const char *script, const char *want)
{
	CLEANUP(free_ptr) char *out = vm_exec_out(n->f, script);

	assert_string_equal(out, want);
}

static void nics_come_in_order_and_are_configured(void **state)
{
	struct nics *n = *state;
	char lan[IPV4_TEXT_MAX], wan[IPV4_TEXT_MAX], mac[MAC_TEXT_MAX];

	make_with_both(n);
	vm_must_boot(n->f);
	ipv4_format(port_ip(n->a_lan), lan);
	ipv4_format(port_ip(n->a_wan), wan);
	mac_format(port_mac(n->a_wan), mac);
	CLEANUP(free_ptr) char *out = vm_exec_out(n->f, "ip -4 -o addr");
	const char *eth0 = strstr(out, "eth0"), *eth1 = strstr(out, "eth1");
	assert_non_null(eth0);
	assert_non_null(eth1);
	assert_non_null(strstr(eth0, wan));
	assert_non_null(strstr(eth1, lan));
	CLEANUP(free_ptr) char *want = mem_printf("%s\n", mac);
	expect_out(n, "cat /sys/class/net/eth0/address", want);
	expect_out(n, "head -n 1 /etc/resolv.conf", "search wan lan\n");
	expect_out(n, "uname -n", "a\n");
	assert_true(port_has_lease(n->a_lan) && port_has_lease(n->a_wan));
}

static void without_nics_no_driver_is_loaded(void **state)
{
	struct nics *n = *state;

	vm_make(n->f);
	vm_must_boot(n->f);
	expect_out(n, "ls /sys/class/net", "lo\n");
	expect_out(n, "ls -d /sys/module/virtio_net 2>/dev/null; true", "");
	expect_out(n, "ping -c 1 127.0.0.1 >/dev/null && echo up", "up\n");
}

static void a_reset_configures_them_again(void **state)
{
	struct nics *n = *state;

	make_with_both(n);
	vm_must_boot(n->f);
	vm_reset_start(n->f->vm, &n->f->op, clock_deadline_ns(BOOT_NS));
	assert_int_equal(vm_wait_op(n->f), 0);
	expect_out(n, "head -n 1 /etc/resolv.conf", "search wan lan\n");
	expect_out(n, "ip -4 -o addr | grep -c 'eth.*scope global'", "2\n");
}

static void a_boot_after_a_shutdown_has_the_nics_of_then(void **state)
{
	struct nics *n = *state;

	make_with_both(n);
	vm_must_boot(n->f);
	vm_shutdown_start(n->f->vm, &n->f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(n->f), 0);
	assert_false(port_has_lease(n->a_wan));
	vm_set_nics(n->f->vm, &n->a_lan, 1);
	vm_must_boot(n->f);
	expect_out(n, "ls /sys/class/net", "eth0\nlo\n");
	expect_out(n, "head -n 1 /etc/resolv.conf", "search lan\n");
}

static void a_dropped_nic_is_silent_and_the_guest_lives_on(void **state)
{
	struct nics *n = *state;

	make_with_both(n);
	vm_must_boot(n->f);
	vm_drop_nic(n->f->vm, n->a_wan);
	n->a_wan = port_free(n->a_wan);
	n->wan = bridge_free(n->wan);
	expect_out(n, "ls /sys/class/net", "eth0\neth1\nlo\n");
	expect_out(n, "ip -4 -o addr show dev eth0 | wc -l", "1\n");
	/* A reset does without it, the next boot has none. */
	vm_reset_start(n->f->vm, &n->f->op, clock_deadline_ns(BOOT_NS));
	assert_int_equal(vm_wait_op(n->f), 0);
	expect_out(n, "ip -4 -o addr show dev eth0 | wc -l", "0\n");
	expect_out(n, "ip -4 -o addr show dev eth1 | wc -l", "1\n");
	vm_shutdown_start(n->f->vm, &n->f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(n->f), 0);
	vm_must_boot(n->f);
	expect_out(n, "ls /sys/class/net", "eth0\nlo\n");
}

/* In place of the image's own, so that it needs no network to fail. */
static void set_setup(struct nics *n, const struct overlay_file *script)
{
	n->f->spec.net_setup = script->path;
	n->f->spec.files = script;
	n->f->spec.n_files = 1;
}

static void a_nic_that_is_not_configured_fails_the_boot(void **state)
{
	static const char text[] = "#!/bin/sh\necho \"no luck with $2\" >&2\n"
				   "exit 1\n";
	static const struct overlay_file script = {"/sbin/setup", text,
						   sizeof(text) - 1, 0755};
	struct nics *n = *state;

	set_setup(n, &script);
	make_with_both(n);
	assert_int_equal(vm_try_boot(n->f, BOOT_NS), -ENETUNREACH);
	vm_expect_text(n->f->op.err.text, "VM a: the guest's network: ");
	vm_expect_text(n->f->op.err.text, "no luck with ");
	vm_expect_text(n->f->op.err.text, "=lan");
	assert_int_equal(vm_state(n->f->vm), VM_DEAD);
}

static void a_nic_that_is_not_there_fails_the_boot(void **state)
{
	struct nics *n = *state;
	char mac[MAC_TEXT_MAX];

	n->f->spec.n_net_modules = 0;
	make_with_both(n);
	assert_int_equal(vm_try_boot(n->f, BOOT_NS), -ENETUNREACH);
	mac_format(port_mac(n->a_wan), mac);
	vm_expect_text(n->f->op.err.text, mac);
	vm_expect_text(n->f->op.err.text, "is the driver virtio_net there?");
}

static void after_a_reset_that_is_an_error_and_the_vm_lives(void **state)
{
	struct nics *n = *state;

	make_with_both(n);
	vm_must_boot(n->f);
	port_unplug(n->a_wan);
	vm_reset_start(n->f->vm, &n->f->op, clock_deadline_ns(BOOT_NS));
	assert_int_equal(vm_wait_op(n->f), -ENETUNREACH);
	vm_expect_text(n->f->op.err.text, "NIC eth0 on bridge wan got no "
					  "address by DHCP: udhcpc: no lease");
	assert_int_equal(vm_state(n->f->vm), VM_BOOTED);
	expect_out(n, "head -n 1 /etc/resolv.conf", "search lan\n");
	assert_true(vm_logged(n->f, "provium-net: NIC eth0 on bridge wan"));
}

static void a_time_out_says_what_it_was_waiting_for(void **state)
{
	static const char text[] = "#!/bin/sh\nsleep 1000\n";
	static const struct overlay_file script = {"/sbin/setup", text,
						   sizeof(text) - 1, 0755};
	struct nics *n = *state;

	set_setup(n, &script);
	make_with_both(n);
	assert_int_equal(vm_try_boot(n->f, 30 * NS_PER_SEC), -ETIMEDOUT);
	vm_expect_text(n->f->op.err.text,
		       "the guest's network was not up within 30 s");
	assert_false(vm_is_running(n->f->pid));
}

static void an_image_of_its_own_is_left_alone(void **state)
{
	struct nics *n = *state;

	n->f->spec.net_setup = NULL;
	make_with_both(n);
	vm_must_boot(n->f);
	expect_out(n, "ip -4 -o addr | grep -c eth; true", "0\n");
	expect_out(n, "ls /sys/class/net", "eth0\neth1\nlo\n");
}

static void a_qemu_that_is_too_old_is_named_as_such(void **state)
{
	static const char script[] = "#!/bin/sh\n"
				     "echo \"-netdev stream: Parameter 'type'"
				     " expects a netdev backend type\" >&2\n"
				     "exit 1\n";
	struct nics *n = *state;
	char *dir = tmp_new();
	CLEANUP(free_ptr) char *qemu = tmp_write_str(dir, "qemu", script);

	chmod(qemu, 0755);
	n->f->spec.qemu = qemu;
	make_with_both(n);
	assert_int_equal(vm_try_boot(n->f, BOOT_NS), -EHOSTDOWN);
	vm_expect_text(n->f->op.err.text, "networks need QEMU 7.2 or later");
	tmp_remove(dir);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(nics_come_in_order_and_are_configured),
	    T(without_nics_no_driver_is_loaded),
	    T(a_reset_configures_them_again),
	    T(a_boot_after_a_shutdown_has_the_nics_of_then),
	    T(a_dropped_nic_is_silent_and_the_guest_lives_on),
	    T(a_nic_that_is_not_configured_fails_the_boot),
	    T(a_nic_that_is_not_there_fails_the_boot),
	    T(after_a_reset_that_is_an_error_and_the_vm_lives),
	    T(a_time_out_says_what_it_was_waiting_for),
	    T(an_image_of_its_own_is_left_alone),
	    T(a_qemu_that_is_too_old_is_named_as_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
