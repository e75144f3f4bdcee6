/* SPDX-License-Identifier: MIT */
/* What a guest's console shows, with real guests under TCG. */
#include "tests/unit/vmm/lib_vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "vmm/vm_private.h"

struct told {
	unsigned texts, panics;
	struct err last;
	bool fails_calls;
};

static struct told *told_of(struct fixture *f)
{
	return f->user;
}

static bool on_alarm(void *ctx, enum vm_alarm what, const struct err *err)
{
	struct told *t = told_of(ctx);

	if (what == VM_ALARM_PANIC)
		t->panics++;
	else
		t->texts++;
	t->last = *err;
	return t->fails_calls;
}

static void watch(struct fixture *f, struct told *t)
{
	struct alarm_rules rules = {0};

	*t = (struct told){.fails_calls = true};
	f->user = t;
	alarm_rules_add(&rules, "BUG:");
	alarm_rules_except(&rules, "harmless");
	f->spec.alarms = &rules;
	vm_make(f);
	alarm_rules_done(&rules);
	f->spec.alarms = NULL;
	vm_on_alarm(f->vm, on_alarm);
}

static int boot(struct fixture *f)
{
	vm_boot_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	f->pid = vm_pid(f->vm);
	return vm_wait_op(f);
}

static void an_alarm_fails_calls_and_the_vm_lives(void **state)
{
	struct fixture *f = *state;
	struct told told;

	watch(f, &told);
	assert_int_equal(boot(f), 0);
	vm_exec(f, "echo BUG: a test >/dev/console; sleep 1000");
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	vm_expect_text(f->exec->op.err.text,
		       "VM a: the console shows `BUG:`: BUG: a test");
	assert_string_equal(f->exec->op.err.text, told.last.text);
	assert_int_equal(told.texts, 1);
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	vm_ping(f);
	assert_int_equal(f->deaths + told.panics, 0);
}

static void an_alarm_fails_expects_and_streams(void **state)
{
	static const struct stream_label label = {.kind = "console",
						  .detail = "a"};
	struct fixture *f = *state;
	struct console_expect x;
	struct stream_wait w;
	struct told told;

	watch(f, &told);
	assert_int_equal(boot(f), 0);
	struct console *c = vm_console(f->vm);
	struct stream *s = console_stream_new(c, &label, vm_streams(f->vm));
	struct stream_pattern never = {(const uint8_t *)"never", 5};
	stream_wait_init(&w, s);
	stream_match(&w, "expect", &never, 1, false, CLOCK_NEVER);
	console_expect_start(&x, c, "never", 5, CLOCK_NEVER);
	vm_exec(f, "echo BUG: all >/dev/console; sleep 1000");
	assert_int_equal(op_wait(&x.op), -EHOSTDOWN);
	assert_int_equal(op_wait(&w.op), -EHOSTDOWN);
	assert_false(stream_eof(s));
	console_expect_done(&x);
	stream_wait_done(&w);
	stream_free(s);
}

static void the_owner_decides_whether_calls_fail(void **state)
{
	struct fixture *f = *state;
	struct told told;

	watch(f, &told);
	told.fails_calls = false;
	assert_int_equal(boot(f), 0);
	vm_exec(f, "echo a harmless BUG: x >/dev/console; "
		   "echo BUG: one >/dev/console; sleep 1000");
	while (!told.texts && !op_is_done(&f->exec->op))
		loop_turn(f->loop);
	vm_expect_text(told.last.text, "the console shows `BUG:`: BUG: one");
	assert_false(op_is_done(&f->exec->op));
}

/* Returns when it has begun, with some of it on its way. */
static void complain_for_ever(struct fixture *f, const struct told *t)
{
	free(vm_exec_out(f, "(while :; do echo BUG: more; done) "
			    ">/dev/console 2>&1 </dev/null &"));
	while (!t->texts)
		loop_turn(f->loop);
	/* Lines pile up: the next turn reads some, whatever else comes. */
	usleep(500000);
}

/* It is another guest than the one that had a file. */
static bool is_new(struct fixture *f)
{
	vm_exec(f, "test -e /left-over");
	return op_wait(&f->exec->op) == 0 && f->exec->status == 1;
}

static void an_alarm_ends_a_reset_and_the_guest_comes_back(void **state)
{
	struct fixture *f = *state;
	struct told told;

	watch(f, &told);
	told.fails_calls = false;
	assert_int_equal(boot(f), 0);
	free(vm_exec_out(f, "touch /left-over"));
	complain_for_ever(f, &told);
	told.fails_calls = true;
	vm_reset_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	assert_int_equal(vm_wait_op(f), -EHOSTDOWN);
	assert_string_equal(f->op.err.text, told.last.text);
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	told.fails_calls = false;
	int64_t deadline_ns = clock_deadline_ns(BOOT_NS);
	while (!is_new(f) && clock_now_ns() < deadline_ns)
		loop_poll(f->loop);
	vm_ping(f);
}

static void an_alarm_while_booting_ends_the_boot(void **state)
{
	struct fixture *f = *state;
	struct told told;

	f->spec.cmdline = "word=BUG:";
	watch(f, &told);
	assert_int_equal(boot(f), -EHOSTDOWN);
	vm_expect_text(f->op.err.text, "the console shows `BUG:`: ");
	assert_int_equal(vm_state(f->vm), VM_DEAD);
	assert_int_equal(told.texts, 1);
	assert_int_equal(told.panics + f->deaths, 0);
}

static void a_panic_is_told_as_one(void **state)
{
	struct fixture *f = *state;
	struct told told;

	watch(f, &told);
	assert_int_equal(boot(f), 0);
	vm_exec(f, "echo c >/proc/sysrq-trigger");
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	assert_int_equal(told.panics, 1);
	vm_expect_text(told.last.text, "the guest's kernel panicked");
	vm_wait_state(f, VM_DEAD);
	assert_int_equal(f->deaths, 1);
}

static void a_panic_is_the_kernels_own_line(void **state)
{
	static const char *const panics[] = {
	    "Kernel panic - not syncing: sysrq triggered crash",
	    "[    2.345678] Kernel panic - not syncing: x",
	    "[12345.000001][    T1] Kernel panic - not syncing",
	    "[    0.000000][   C12] Kernel panic - not syncing: x",
	    "login: [   42.000001] Kernel panic - not syncing: x",
	    "[ [    1.000000] Kernel panic - not syncing: x",
	};
	static const char *const others[] = {
	    "",
	    "Kernel panic",
	    "no Kernel panic - not syncing: seen",
	    " Kernel panic - not syncing: x",
	    "[    2.345678] no Kernel panic - not syncing",
	    "[    2.345678] ---[ end Kernel panic - not syncing: x ]---",
	    "[    2.345678]Kernel panic - not syncing",
	    "[    2.345678][    X1] Kernel panic - not syncing",
	    "[    2.345678][    T] Kernel panic - not syncing",
	    "[    2.345678][    T1 Kernel panic - not syncing",
	    "[    2] Kernel panic - not syncing",
	    "[ .345678] Kernel panic - not syncing",
	    "[2.] Kernel panic - not syncing",
	    "[    2.345678] Kernel panic - not syncin",
	    "[",
	    "[1",
	    "[1.",
	    "[1.2",
	    "[1.2]",
	    "[1.2][",
	    "[1.2][T",
	    "[1.2] ",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(panics); i++)
		assert_true(vm_is_panic(panics[i]));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(vm_is_panic(others[i]));
}

/* Also behind a line that a program has not ended. */
static void a_panic_behind_a_prompt_is_seen(void **state)
{
	struct fixture *f = *state;
	struct told told;

	watch(f, &told);
	assert_int_equal(boot(f), 0);
	free(vm_exec_out(f, "printf 'no Kernel panic - not syncing: ' "
			    ">/dev/console; sleep 1"));
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	vm_exec(f, "echo c >/proc/sysrq-trigger");
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	assert_int_equal(told.panics, 1);
}

static void a_guest_that_may_panic_lives_on(void **state)
{
	struct fixture *f = *state;
	struct told told;
	unsigned restarts;

	f->spec.may_panic = true;
	f->spec.cmdline = "panic=1";
	watch(f, &told);
	assert_int_equal(boot(f), 0);
	restarts = vm_restarts(f->vm);
	free(vm_exec_out(f, "touch /left-over"));
	vm_exec(f, "echo c >/proc/sysrq-trigger; sleep 1000");
	assert_int_equal(op_wait(&f->exec->op), -EHOSTDOWN);
	vm_expect_text(f->exec->op.err.text, "the guest's kernel panicked: ");
	int64_t deadline_ns = clock_deadline_ns(BOOT_NS);
	while (vm_restarts(f->vm) == restarts && clock_now_ns() < deadline_ns)
		loop_turn(f->loop);
	while (!is_new(f) && clock_now_ns() < deadline_ns)
		loop_poll(f->loop);
	vm_ping(f);
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	assert_int_equal(told.panics + told.texts + f->deaths, 0);
}

static void a_panic_while_booting_is_the_end_all_the_same(void **state)
{
	static const char agent[] = "#!/bin/busybox nonexistent\n";
	struct fixture *f = *state;
	struct told told;

	f->spec.may_panic = true;
	f->spec.cmdline = "panic=1";
	/* Without a usable rdinit the kernel looks for a root file system. */
	f->spec.agent = agent;
	f->spec.agent_n = strlen(agent);
	watch(f, &told);
	assert_int_equal(boot(f), -EHOSTDOWN);
	vm_expect_text(f->op.err.text, "the guest's kernel panicked");
	assert_int_equal(vm_state(f->vm), VM_DEAD);
	assert_int_equal(told.panics, 1);
}

static void an_alarm_does_not_stop_a_shutdown(void **state)
{
	struct fixture *f = *state;
	struct told told;

	watch(f, &told);
	told.fails_calls = false;
	assert_int_equal(boot(f), 0);
	complain_for_ever(f, &told);
	told = (struct told){.fails_calls = true};
	vm_shutdown_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_SHUTDOWN);
	assert_true(told.texts > 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, vm_setup, vm_teardown)
static const struct CMUnitTest tests[] = {
    T(an_alarm_fails_calls_and_the_vm_lives),
    T(an_alarm_fails_expects_and_streams),
    T(the_owner_decides_whether_calls_fail),
    T(an_alarm_ends_a_reset_and_the_guest_comes_back),
    T(an_alarm_while_booting_ends_the_boot),
    T(a_panic_is_told_as_one),
    cmocka_unit_test(a_panic_is_the_kernels_own_line),
    T(a_panic_behind_a_prompt_is_seen),
    T(a_guest_that_may_panic_lives_on),
    T(a_panic_while_booting_is_the_end_all_the_same),
    T(an_alarm_does_not_stop_a_shutdown),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
