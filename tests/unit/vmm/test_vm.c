/* SPDX-License-Identifier: MIT */
/* With real guests under TCG: a second or two each. */
#include "tests/unit/vmm/lib_vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_image.h"
#include "vmm/vm_private.h"

/* Below any deadline in use here, far above what a busy machine adds. */
#define AT_ONCE_NS (PATIENCE_NS - 5 * NS_PER_SEC)

static void assert_at_once(int64_t since_ns)
{
	assert_true(clock_now_ns() - since_ns < AT_ONCE_NS);
}

static void it_boots_answers_and_shuts_down(void **state)
{
	struct fixture *f = *state;
	char *initrd = mem_printf("%s/a.initrd", f->run_dir);

	vm_must_boot(f);
	assert_true(vm_is_running(vm_pid(f->vm)));
	assert_int_equal(vm_cid(f->vm), -1);
	assert_int_not_equal(access(initrd, F_OK), 0);
	free(initrd);
	vm_ping(f);
	CLEANUP(free_ptr) char *kernel = vm_exec_out(f, "uname -s");
	assert_string_equal(kernel, "Linux\n");
	assert_true(vm_logged(f, "Linux version"));
	vm_shutdown_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_SHUTDOWN);
	assert_int_equal(vm_pid(f->vm), -1);
	assert_false(vm_is_running(f->pid));
	assert_null(vm_client(f->vm));
	assert_true(vm_logged(f, "reboot: Power down"));
	assert_int_equal(f->deaths, 0);
}

static void on_resume(void *ctx)
{
	kill(((struct fixture *)ctx)->pid, SIGCONT);
}

/* A busy machine: the connection is gone, and QEMU takes its time to exit. */
static void a_shutdown_waits_for_a_slow_exit(void **state)
{
	struct fixture *f = *state;
	struct timer *resume = timer_new(f->loop, on_resume, f);
	struct err lost;

	vm_must_boot(f);
	vm_shutdown_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	kill(f->pid, SIGSTOP);
	err_set(&lost, -EPIPE, "the agent closed the connection");
	vm_condemn(f->vm, DOOM_LOST, &lost);
	timer_set(resume, clock_deadline_ns(2 * VM_LOST_GRACE_NS));
	int r = vm_wait_op(f);
	timer_free(resume);
	assert_int_equal(r, 0);
	assert_int_equal(vm_state(f->vm), VM_SHUTDOWN);
	assert_int_equal(f->deaths, 0);
}

static void after_a_shutdown_it_boots_again(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	free(vm_exec_out(f, "touch /left-over"));
	vm_shutdown_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	vm_must_boot(f);
	free(vm_exec_out(f, "! test -e /left-over"));
}

static void boot_options_reach_the_guest(void **state)
{
	static const struct overlay_file file = {"/etc/greeting", "hello", 5,
						 0600};
	struct fixture *f = *state;

	f->spec.files = &file;
	f->spec.n_files = 1;
	f->spec.cmdline = "provium.word=42";
	f->spec.cpus = 2;
	vm_must_boot(f);
	CLEANUP(free_ptr)
	char *out = vm_exec_out(f, "stat -c %a /etc/greeting; "
				   "cat /etc/greeting; "
				   "grep -o 'provium.word=.*' /proc/cmdline; "
				   "nproc");
	assert_string_equal(out, "600\nhelloprovium.word=42\n2\n");
}

static void a_killed_qemu_fails_calls_at_once(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	vm_exec(f, "echo last words >/dev/console; sleep 1000");
	while (!vm_logged(f, "last words"))
		loop_turn(f->loop);
	int64_t since = clock_now_ns();
	kill(f->pid, SIGKILL);
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	assert_at_once(since);
	vm_expect_text(f->exec->op.err.text,
		       "VM a: QEMU was killed by signal 9");
	vm_expect_text(f->exec->op.err.text, "\n  | last words");
	vm_wait_state(f, VM_DEAD);
	assert_int_equal(f->deaths, 1);
	assert_string_equal(f->death.text, vm_death(f->vm)->text);
	assert_int_equal(vm_pid(f->vm), -1);
}

static void a_panic_fails_calls_at_once_and_its_trace_is_logged(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	int64_t since = clock_now_ns();
	vm_exec(f, "echo 1 >/proc/sys/kernel/sysrq; "
		   "echo c >/proc/sysrq-trigger");
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	assert_at_once(since);
	vm_expect_text(f->exec->op.err.text,
		       "VM a: the guest's kernel panicked");
	vm_expect_text(f->exec->op.err.text, "Kernel panic - not syncing");
	assert_int_equal(vm_state(f->vm), VM_DEAD);
	while (vm_pid(f->vm) > 0)
		loop_turn(f->loop);
	assert_false(vm_is_running(f->pid));
	assert_true(vm_logged(f, "end Kernel panic"));
}

static void a_panic_while_booting_is_told(void **state)
{
	static const char agent[] = "#!/bin/busybox nonexistent\n";
	struct fixture *f = *state;

	f->spec.agent = agent;
	f->spec.agent_n = strlen(agent);
	/* Without a usable rdinit the kernel looks for a root file system. */
	assert_int_equal(vm_try_boot(f, BOOT_NS), -EHOSTDOWN);
	vm_expect_text(f->op.err.text, "the guest's kernel panicked");
	assert_int_equal(vm_state(f->vm), VM_DEAD);
	assert_int_equal(f->deaths, 0);
}

static void a_silent_guest_times_out_with_its_last_lines(void **state)
{
	static const char agent[] = "#!/bin/busybox sh\n"
				    "echo my own init >/dev/console\n"
				    "exec /bin/busybox sleep 1000\n";
	struct fixture *f = *state;

	f->spec.agent = agent;
	f->spec.agent_n = strlen(agent);
	/* As long as this machine takes to come so far. */
	for (int64_t span = 8; span <= 64; span *= 2) {
		f->vm = vm_free(f->vm);
		assert_int_equal(vm_try_boot(f, span * NS_PER_SEC), -ETIMEDOUT);
		CLEANUP(free_ptr)
		char *want =
		    mem_printf("did not answer within %d s", (int)span);
		vm_expect_text(f->op.err.text, want);
		if (vm_logged(f, "my own init"))
			break;
	}
	vm_expect_text(f->op.err.text, "my own init");
	assert_int_equal(vm_state(f->vm), VM_DEAD);
	assert_false(vm_is_running(f->pid));
}

static void an_early_exit_of_qemu_tells_what_it_said(void **state)
{
	static const char *const args[] = {"-device", "nonexistent"};
	struct fixture *f = *state;
	int64_t since = clock_now_ns();

	f->spec.qemu_args = args;
	f->spec.n_qemu_args = 2;
	assert_int_equal(vm_try_boot(f, BOOT_NS), -EHOSTDOWN);
	assert_at_once(since);
	vm_expect_text(f->op.err.text, "VM a: QEMU exited with status 1");
	vm_expect_text(f->op.err.text,
		       "'nonexistent' is not a valid device model name");
	assert_int_equal(vm_state(f->vm), VM_DEAD);
	assert_int_equal(f->deaths, 0);
}

static void a_missing_kernel_is_named(void **state)
{
	struct fixture *f = *state;

	f->spec.kernel = "/nonexistent/vmlinux";
	assert_int_equal(vm_try_boot(f, BOOT_NS), -EHOSTDOWN);
	vm_expect_text(f->op.err.text, "/nonexistent/vmlinux");
}

static void a_missing_qemu_is_named_before_the_call_returns(void **state)
{
	struct fixture *f = *state;

	f->spec.qemu = "/nonexistent/qemu";
	vm_make(f);
	vm_boot_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	assert_true(op_is_done(&f->op));
	assert_int_equal(f->op.result, -ENOENT);
	vm_expect_text(f->op.err.text, "/nonexistent/qemu");
	assert_int_equal(vm_state(f->vm), VM_DEAD);
}

static void another_rdinit_is_refused(void **state)
{
	struct fixture *f = *state;

	f->spec.cmdline = "quiet rdinit=/init";
	assert_int_equal(vm_try_boot(f, BOOT_NS), -EINVAL);
	vm_expect_text(f->op.err.text, "VM a: ");
	vm_expect_text(f->op.err.text, "rdinit=/init");
}

static void a_guest_that_powers_itself_off_is_not_dead(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	vm_exec(f, "poweroff -f");
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	vm_expect_text(f->exec->op.err.text, "VM a: the guest powered off");
	assert_int_equal(vm_state(f->vm), VM_SHUTDOWN);
	assert_int_equal(f->deaths, 0);
}

static void a_guest_that_reboots_comes_back(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	free(vm_exec_out(f, "touch /left-over"));
	vm_exec(f, "reboot -f");
	assert_int_equal(op_wait(&f->exec->op), -ECONNRESET);
	vm_expect_text(f->exec->op.err.text, "the guest was reset");
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	vm_wait_ping(f);
	free(vm_exec_out(f, "! test -e /left-over"));
	assert_int_equal(vm_pid(f->vm), f->pid);
	assert_int_equal(f->deaths, 0);
}

static void reset_is_done_when_the_agent_is_back(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	free(vm_exec_out(f, "touch /left-over"));
	vm_reset_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	free(vm_exec_out(f, "! test -e /left-over"));
}

static void a_reset_that_takes_too_long_says_that_the_guest_boots(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	vm_reset_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	while (!vm_is_restarting(f->vm))
		loop_turn(f->loop);
	op_set_deadline(&f->op, clock_now_ns());
	assert_int_equal(vm_wait_op(f), -ETIMEDOUT);
	vm_expect_text(f->op.err.text,
		       "VM a: no answer in time, the VM is booting; its "
		       "console printed ");
	vm_boot_start(f->vm, &f->op, CLOCK_NEVER);
	assert_string_equal(f->op.err.text,
			    "VM a is booting: it cannot be booted");
	vm_wait_ping(f);
}

static void a_paused_guest_answers_when_resumed(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	vm_pause_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_PAUSED);
	vm_exec(f, "true");
	for (int i = 0; i < 10; i++)
		loop_poll(f->loop);
	assert_false(op_is_done(&f->exec->op));
	vm_resume_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	assert_int_equal(op_wait(&f->exec->op), 0);
}

static void a_paused_guest_can_be_shut_down(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	vm_pause_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	vm_shutdown_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_SHUTDOWN);
	assert_true(vm_logged(f, "reboot: Power down"));
}

static void
a_wakeup_waits_in_vain_for_a_guest_that_does_not_suspend(void **state)
{
	struct fixture *f = *state;

	f->spec.may_suspend = true;
	f->spec.kernel = f->image.bzimage;
	f->spec.is_linux_pvh = false;
	vm_must_boot(f);
	vm_wakeup_start(f->vm, &f->op, clock_deadline_ns(NS_PER_MS));
	assert_int_equal(vm_wait_op(f), -ETIMEDOUT);
	vm_expect_text(f->op.err.text,
		       "VM a: the guest did not suspend in time");
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	/* Given up, it does not wake up a guest that suspends later. */
	vm_exec(f, "echo mem >/sys/power/state");
	vm_wait_state(f, VM_SUSPENDED);
	vm_wakeup_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	assert_int_equal(op_wait(&f->exec->op), 0);
}

/* A wake-up begins with a reset of the machine, and what QEMU has put into
 * memory itself is put there again: the guest begins anew. */
static void a_vmlinux_does_not_wake_up(void **state)
{
	struct fixture *f = *state;

	f->spec.may_suspend = true;
	vm_must_boot(f);
	vm_exec(f, "echo mem >/sys/power/state");
	vm_wait_state(f, VM_SUSPENDED);
	vm_wakeup_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	assert_int_equal(vm_wait_op(f), -ECONNRESET);
	vm_expect_text(f->op.err.text,
		       "VM a: the guest restarted, it did not wake up");
	vm_wait_ping(f);
}

static void the_deadline_of_a_shutdown_kills(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	vm_shutdown_start(f->vm, &f->op, clock_now_ns());
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_SHUTDOWN);
	assert_false(vm_is_running(f->pid));
}

static void the_death_of_the_agent_is_noticed(void **state)
{
	struct fixture *f = *state;

	f->spec.agentless_ns = NS_PER_SEC;
	vm_must_boot(f);
	/* QEMU tells of one change of a port a second. */
	free(vm_exec_out(f, "sleep 1.2"));
	vm_exec(f, "kill -9 $PPID; sleep 1000");
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	vm_expect_text(f->exec->op.err.text,
		       "VM a lost its agent: the agent in the guest ended");
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	assert_int_equal(f->deaths, 0);
	vm_wait_state(f, VM_DEAD);
	assert_int_equal(f->deaths, 1);
	vm_expect_text(f->death.text,
		       "VM a: the agent in the guest ended; the guest neither "
		       "powered off nor restarted within 1 s");
}

static void on_time_over(void *ctx)
{
	*(bool *)ctx = true;
}

static void turn_for(struct fixture *f, int64_t span_ns)
{
	bool is_over = false;
	struct timer *timer = timer_new(f->loop, on_time_over, &is_over);

	timer_set(timer, clock_deadline_ns(span_ns));
	while (!is_over)
		loop_turn(f->loop);
	timer_free(timer);
}

static void a_paused_guest_without_an_agent_is_not_given_up(void **state)
{
	struct fixture *f = *state;

	f->spec.agentless_ns = 4 * NS_PER_SEC;
	vm_must_boot(f);
	free(vm_exec_out(f, "sleep 1.2"));
	vm_exec(f, "kill -9 $PPID; sleep 1000");
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	vm_pause_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	turn_for(f, 5 * NS_PER_SEC);
	assert_int_equal(vm_state(f->vm), VM_PAUSED);
	vm_resume_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	/* The time before the pause counts, and the pause does not. */
	turn_for(f, NS_PER_SEC / 2);
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	vm_wait_state(f, VM_DEAD);
	assert_int_equal(f->deaths, 1);
}

static void freeing_a_booting_vm_kills_it(void **state)
{
	struct fixture *f = *state;

	vm_make(f);
	vm_boot_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	f->pid = vm_pid(f->vm);
	while (!vm_logged(f, "Linux version"))
		loop_turn(f->loop);
	f->vm = vm_free(f->vm);
	assert_false(vm_is_running(f->pid));
	assert_int_equal(f->op.result, -ECANCELED);
}

static void giving_up_a_boot_kills_it(void **state)
{
	struct fixture *f = *state;

	vm_make(f);
	vm_boot_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	f->pid = vm_pid(f->vm);
	loop_turn(f->loop);
	op_cancel(&f->op);
	assert_int_equal(f->op.result, -ECANCELED);
	assert_int_equal(vm_state(f->vm), VM_DEAD);
	assert_false(vm_is_running(f->pid));
}

static void free_when_told_of_the_death(void **state)
{
	struct fixture *f = *state;

	f->free_on_death = true;
	vm_must_boot(f);
	kill(f->pid, SIGKILL);
	while (f->vm)
		loop_turn(f->loop);
	assert_int_equal(f->deaths, 1);
}

static void on_done_free_vm(struct op *op, void *ctx)
{
	struct fixture *f = ctx;

	(void)op;
	f->vm = vm_free(f->vm);
}

static void free_when_a_call_fails(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	vm_exec(f, "sleep 1000");
	f->exec->op.on_done = on_done_free_vm;
	f->exec->op.done_ctx = f;
	kill(f->pid, SIGKILL);
	while (f->vm)
		loop_turn(f->loop);
	assert_int_equal(f->deaths, 0);
}

static void free_when_a_call_succeeds(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	vm_exec(f, "true");
	f->exec->op.on_done = on_done_free_vm;
	f->exec->op.done_ctx = f;
	while (f->vm)
		loop_turn(f->loop);
	assert_false(vm_is_running(f->pid));
}

static void what_is_not_legal_finishes_at_once_and_says_why(void **state)
{
	struct fixture *f = *state;

	vm_make(f);
	vm_shutdown_start(f->vm, &f->op, CLOCK_NEVER);
	assert_true(op_is_done(&f->op));
	assert_int_equal(f->op.result, -EINVAL);
	assert_string_equal(f->op.err.text,
			    "VM a is created: it cannot be shut down");
	vm_boot_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	f->pid = vm_pid(f->vm);
	struct op second;
	vm_boot_start(f->vm, &second, CLOCK_NEVER);
	assert_int_equal(second.result, -EINVAL);
	vm_expect_text(second.err.text, "VM a is booting");
	op_done(&second);
}

static void two_vms_of_one_name_have_files_of_their_own(void **state)
{
	struct fixture *f = *state;
	struct vm *other;

	vm_make(f);
	other = vm_new(f->loop, &f->spec, NULL, NULL, NULL);
	assert_non_null(other);
	assert_string_not_equal(vm_console_path(f->vm), vm_console_path(other));
	vm_free(other);
}

static void a_name_cannot_leave_the_run_dir(void **state)
{
	struct fixture *f = *state;

	f->spec.name = "../../etc/x";
	vm_make(f);
	assert_int_equal(
	    strncmp(vm_console_path(f->vm), f->run_dir, strlen(f->run_dir)), 0);
	assert_null(
	    strchr(vm_console_path(f->vm) + strlen(f->run_dir) + 1, '/'));
}

/* As where there are no descriptors left for it: the VM is as good without. */
static void a_console_socket_that_cannot_be_made_costs_the_socket(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr)
	char *deep = mem_printf("%s/%0100d", f->run_dir, 0);
	struct err err;

	assert_int_equal(mkdir(deep, 0700), 0);
	f->spec.run_dir = deep;
	vm_make(f);
	assert_null(vm_console_socket(f->vm, &err));
	assert_int_equal(err.code, -ENAMETOOLONG);
	f->vm = vm_free(f->vm);
	loop_poll(f->loop);
	tmp_remove(TAKE(deep));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, vm_setup, vm_teardown)
static const struct CMUnitTest tests[] = {
    T(it_boots_answers_and_shuts_down),
    T(a_shutdown_waits_for_a_slow_exit),
    T(after_a_shutdown_it_boots_again),
    T(boot_options_reach_the_guest),
    T(a_killed_qemu_fails_calls_at_once),
    T(a_panic_fails_calls_at_once_and_its_trace_is_logged),
    T(a_panic_while_booting_is_told),
    T(a_silent_guest_times_out_with_its_last_lines),
    T(an_early_exit_of_qemu_tells_what_it_said),
    T(a_missing_kernel_is_named),
    T(a_missing_qemu_is_named_before_the_call_returns),
    T(another_rdinit_is_refused),
    T(a_guest_that_powers_itself_off_is_not_dead),
    T(a_guest_that_reboots_comes_back),
    T(reset_is_done_when_the_agent_is_back),
    T(a_reset_that_takes_too_long_says_that_the_guest_boots),
    T(a_paused_guest_answers_when_resumed),
    T(a_paused_guest_can_be_shut_down),
    T(a_wakeup_waits_in_vain_for_a_guest_that_does_not_suspend),
    T(a_vmlinux_does_not_wake_up),
    T(the_deadline_of_a_shutdown_kills),
    T(the_death_of_the_agent_is_noticed),
    T(a_paused_guest_without_an_agent_is_not_given_up),
    T(freeing_a_booting_vm_kills_it),
    T(giving_up_a_boot_kills_it),
    T(free_when_told_of_the_death),
    T(free_when_a_call_fails),
    T(free_when_a_call_succeeds),
    T(what_is_not_legal_finishes_at_once_and_says_why),
    T(two_vms_of_one_name_have_files_of_their_own),
    T(a_name_cannot_leave_the_run_dir),
    T(a_console_socket_that_cannot_be_made_costs_the_socket),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
