/* SPDX-License-Identifier: MIT */
/* The agent's port while a guest boots; with real guests under TCG. */
#include "tests/unit/vmm/lib_vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/vm_private.h"

/* Agents as process 1: each opens the port, as provium-agent does. */
#define PORT_OPENER                                                            \
	"#!/bin/busybox sh\n"                                                  \
	"export PATH=/bin:/sbin\n"                                             \
	"mount -t proc proc /proc; mount -t devtmpfs dev /dev\n"               \
	"sed -n 's/^module //p' /.provium/config | while read m; do\n"         \
	"    insmod $m\n"                                                      \
	"done\n"                                                               \
	"until [ -c /dev/vport*p1 ]; do usleep 10000; done\n"                  \
	"port=$(echo /dev/vport*p1); exec 3<>$port\n"

static void an_agent_that_ends_while_it_boots_is_told_at_once(void **state)
{
	static const char agent[] =
	    PORT_OPENER "exec 3>&-; echo the port is closed >/dev/console\n"
			"sleep 100000\n";
	struct fixture *f = *state;

	f->spec.agent = agent;
	f->spec.agent_n = strlen(agent);
	assert_int_equal(vm_try_boot(f, BOOT_NS), -EHOSTDOWN);
	vm_expect_text(f->op.err.text, "VM a: the agent in the guest ended "
				       "before it had answered");
	assert_int_equal(vm_state(f->vm), VM_DEAD);
	assert_int_equal(f->deaths, 0);
}

/* The port is closed by the reset, and QEMU may tell of that a second later. */
static void a_reset_while_it_boots_is_no_end_of_the_agent(void **state)
{
	static const char agent[] = PORT_OPENER "echo b >/proc/sysrq-trigger\n"
						"sleep 100000\n";
	struct fixture *f = *state;

	f->spec.agent = agent;
	f->spec.agent_n = strlen(agent);
	/* It resets itself for ever. */
	vm_make(f);
	vm_boot_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	f->pid = vm_pid(f->vm);
	while (vm_restarts(f->vm) < 3 && !op_is_done(&f->op))
		loop_turn(f->loop);
	assert_int_equal(vm_restarts(f->vm), 3);
	assert_false(op_is_done(&f->op));
}

/* The guest stands there without it: nothing that could be waited for. */
static void
a_guest_whose_agent_ends_when_it_is_to_shut_down_is_forced(void **state)
{
	struct fixture *f = *state;
	int64_t start_ns;

	vm_must_boot(f);
	vm_exec(f, "(sleep 2; kill -9 $PPID) & echo it stands >/dev/console; "
		   "kill -STOP $PPID; sleep 1000");
	while (!vm_logged(f, "it stands"))
		loop_turn(f->loop);
	start_ns = clock_now_ns();
	vm_shutdown_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_SHUTDOWN);
	assert_int_equal(f->deaths, 0);
	assert_true(clock_now_ns() - start_ns < VM_OFF_GRACE_NS);
}

/* As an init does: every process ends long before the machine. */
static void kill_agent(struct fixture *f, const char *then)
{
	CLEANUP(free_ptr)
	char *script = mem_printf("(sleep 4; echo %s >/proc/sysrq-trigger) & "
				  "sleep 1.2; kill -9 $PPID; sleep 1000",
				  then);

	vm_must_boot(f);
	vm_exec(f, script);
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	vm_expect_text(f->exec->op.err.text, "VM a lost its agent");
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	assert_false(vm_is_restarting(f->vm));
}

static void a_guest_may_power_off_after_its_agent_ended(void **state)
{
	struct fixture *f = *state;

	kill_agent(f, "o");
	vm_wait_state(f, VM_SHUTDOWN);
	assert_int_equal(f->deaths, 0);
}

static void a_guest_may_restart_after_its_agent_ended(void **state)
{
	struct fixture *f = *state;

	kill_agent(f, "b");
	while (!vm_restarts(f->vm))
		loop_turn(f->loop);
	assert_true(vm_is_restarting(f->vm));
	/* It waits for the guest, and needs no second try. */
	vm_ping(f);
	assert_false(vm_is_restarting(f->vm));
	assert_int_equal(f->deaths, 0);
}

static void a_guest_without_an_agent_can_be_reset_and_shut_down(void **state)
{
	struct fixture *f = *state;

	kill_agent(f, "h");
	vm_reset_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	assert_int_equal(vm_wait_op(f), 0);
	vm_ping(f);
	f->exec = exec_free(f->exec);
	vm_exec(f, "sleep 1.2; kill -9 $PPID; sleep 1000");
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	vm_shutdown_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_SHUTDOWN);
	assert_int_equal(f->deaths, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, vm_setup, vm_teardown)
static const struct CMUnitTest tests[] = {
    T(an_agent_that_ends_while_it_boots_is_told_at_once),
    T(a_reset_while_it_boots_is_no_end_of_the_agent),
    T(a_guest_whose_agent_ends_when_it_is_to_shut_down_is_forced),
    T(a_guest_may_power_off_after_its_agent_ended),
    T(a_guest_may_restart_after_its_agent_ended),
    T(a_guest_without_an_agent_can_be_reset_and_shut_down),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
