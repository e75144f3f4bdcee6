/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of real guests under TCG, whose QEMU fails at each step where it
 * is told to (qmp_faults.c).
 */
#include "tests/unit/vmm/lib_vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_image.h"
#include "vmm/snapshot.h"

#define FAULTY	   "tests/unit/vmm/qemu_faulty.sh"
#define FAULTS	   PROVIUM_B "/qmp_faults.so"
#define RESTORE_NS (120 * NS_PER_SEC)
#define SHORT_NS   (300 * NS_PER_MS)

/* What QEMU is asked for, by a part of the command that no other has. */
static const char *const saving[] = {
    "\"stop\"",
    "\"query-migrate\"",
    "\"query-block\"",
    "info ramblock",
    "gpa2hva 0xf",
    "gpa2hva 0\"",
    "xen-save-devices-state",
};
static const char *const restoring[] = {
    "gpa2hva 0xf",
    "gpa2hva 0\"",
    "migrate-incoming",
};

/* The test's: where snapshots go, and how QMP fails. */
struct shelf {
	char *tmp;
	char *rule;
	char *dir;
};

static struct shelf *shelf_of(struct fixture *f)
{
	return f->user;
}

static int setup(void **state)
{
	CLEANUP(free_ptr) char *faults = realpath(FAULTS, NULL);
	int r = vm_setup(state);
	struct fixture *f = *state;
	struct shelf *s = mem_zalloc(sizeof(*s));

	s->tmp = tmp_new();
	s->rule = mem_printf("%s/rule", s->tmp);
	s->dir = mem_printf("%s/snapshot", s->tmp);
	f->user = s;
	f->spec.qemu = FAULTY;
	if (!faults)
		fail_msg("'%s' is not built", FAULTS);
	setenv("PROVIUM_TEST_FAULTS", faults, 1);
	setenv("PROVIUM_TEST_QEMU", f->qemu, 1);
	setenv("PROVIUM_TEST_QMP", s->rule, 1);
	return r;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct shelf *s = shelf_of(f);
	int r = vm_teardown(state);

	tmp_remove(s->tmp);
	free(s->rule);
	free(s->dir);
	free(s);
	return r;
}

/* --- helpers ----------------------------------------------------------------
 */

static void set_rule(struct fixture *f, const char *action, const char *text)
{
	CLEANUP(free_ptr) char *line = mem_printf("%s %s", action, text);

	unlink(shelf_of(f)->rule);
	free(tmp_write_str(shelf_of(f)->tmp, "rule", line));
}

static void no_rule(struct fixture *f)
{
	unlink(shelf_of(f)->rule);
}

static void start_snapshot(struct fixture *f, int64_t deadline_ns)
{
	vm_snapshot_start(f->vm, shelf_of(f)->dir, NULL, &f->op, deadline_ns);
}

static int snapshot(struct fixture *f)
{
	start_snapshot(f, clock_deadline_ns(PATIENCE_NS));
	return vm_wait_op(f);
}

static void must_snapshot(struct fixture *f)
{
	if (snapshot(f) < 0)
		fail_msg("%s", f->op.err.text);
}

static void assert_no_folder(struct fixture *f)
{
	assert_int_equal(access(shelf_of(f)->dir, F_OK), -1);
}

/* A new VM in place of f->vm, about to be what the snapshot says. */
static void start_restore(struct fixture *f, int64_t deadline_ns)
{
	struct snapshot s;
	struct err err;

	f->vm = vm_free(f->vm);
	loop_poll(f->loop);
	if (snapshot_open(&s, shelf_of(f)->dir, &err) < 0)
		fail_msg("%s", err.text);
	snapshot_spec(&s, &f->spec);
	vm_make(f);
	vm_restore_start(f->vm, &s, false, &f->op, deadline_ns);
	if (vm_pid(f->vm) > 0)
		f->pid = vm_pid(f->vm);
	/* What the fixture keeps does not point into it. */
	f->spec.kernel = f->image.kernel;
	f->spec.cmdline = "";
	f->spec.qemu_args = NULL;
	f->spec.net_setup = NULL;
	snapshot_done(&s);
}

static int restore(struct fixture *f)
{
	start_restore(f, clock_deadline_ns(RESTORE_NS));
	return vm_wait_op(f);
}

static void must_restore(struct fixture *f)
{
	if (restore(f) < 0)
		fail_msg("%s", f->op.err.text);
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
}

static void expect_out(struct fixture *f, const char *script, const char *want)
{
	CLEANUP(free_ptr) char *out = vm_exec_out(f, script);

	assert_string_equal(out, want);
}

/* The CPUs run. */
static void assert_goes_on(struct fixture *f)
{
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
	vm_ping(f);
}

/* A snapshot to restore from, of a guest that was itself restored. */
static void make_deep(struct fixture *f)
{
	vm_must_boot(f);
	must_snapshot(f);
	must_restore(f);
	expect_out(f, "echo deep >/tmp/x", "");
	must_snapshot(f);
}

/* --- what works --------------------------------------------------------------
 */

static void a_restored_guest_is_what_it_was(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	expect_out(f, "echo one >/tmp/x", "");
	must_snapshot(f);
	assert_goes_on(f);
	expect_out(f, "echo two >/tmp/x; cat /tmp/x", "two\n");
	for (int i = 0; i < 3; i++) {
		must_restore(f);
		expect_out(f, "cat /tmp/x; echo three >/tmp/x", "one\n");
	}
}

static void a_paused_guest_stays_paused(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	vm_pause_start(f->vm, &f->op, CLOCK_NEVER);
	assert_int_equal(vm_wait_op(f), 0);
	must_snapshot(f);
	assert_int_equal(vm_state(f->vm), VM_PAUSED);
	must_restore(f);
	assert_goes_on(f);
}

static void a_snapshot_of_a_restored_guest_holds_what_changed(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr)
	char *delta = mem_printf("%s/delta", shelf_of(f)->dir);
	struct stat st;

	make_deep(f);
	assert_int_equal(stat(delta, &st), 0);
	assert_in_range(st.st_size, 4096, 32 << 20);
	must_restore(f);
	expect_out(f, "cat /tmp/x", "deep\n");
}

static void a_restored_guest_resets_and_shuts_down(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	must_snapshot(f);
	must_restore(f);
	vm_reset_start(f->vm, &f->op, clock_deadline_ns(BOOT_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_goes_on(f);
	must_snapshot(f);
	must_restore(f);
	vm_shutdown_start(f->vm, &f->op, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(vm_wait_op(f), 0);
	assert_int_equal(vm_state(f->vm), VM_SHUTDOWN);
	assert_int_equal(snapshot(f), -EINVAL);
}

/* --- a snapshot that fails
 * ---------------------------------------------------- */

static void the_guest_goes_on_after_a_step_that_qemu_refuses(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	for (size_t i = 0; i < ARRAY_LEN(saving); i++) {
		set_rule(f, "refuse", saving[i]);
		assert_int_equal(snapshot(f), -EREMOTEIO);
		vm_expect_text(f->op.err.text, "VM a: no snapshot was taken: ");
		vm_expect_text(f->op.err.text, "QEMU refused '");
		vm_expect_text(f->op.err.text, "not today");
		assert_no_folder(f);
		assert_goes_on(f);
	}
	no_rule(f);
	must_snapshot(f);
	must_restore(f);
}

static void an_answer_that_is_not_understood_is_told(void **state)
{
	static const char *const asked[] = {"info ramblock", "gpa2hva 0xf",
					    "gpa2hva 0\""};
	struct fixture *f = *state;

	vm_must_boot(f);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		set_rule(f, "garble", asked[i]);
		assert_int_equal(snapshot(f), -EPROTO);
		vm_expect_text(f->op.err.text, "no snapshot was taken: QEMU's "
					       "answer to '");
		assert_no_folder(f);
		assert_goes_on(f);
	}
}

static void the_guest_goes_on_after_a_deadline_at_any_step(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	for (size_t i = 0; i < ARRAY_LEN(saving); i++) {
		set_rule(f, "hang", saving[i]);
		start_snapshot(f, clock_deadline_ns(SHORT_NS));
		assert_int_equal(vm_wait_op(f), -ETIMEDOUT);
		vm_expect_text(f->op.err.text, "VM a: no answer in time");
		assert_no_folder(f);
		assert_goes_on(f);
	}
	no_rule(f);
	must_snapshot(f);
}

static void a_snapshot_may_be_given_up_at_any_step(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	for (size_t i = 0; i < ARRAY_LEN(saving); i++) {
		set_rule(f, "hang", saving[i]);
		start_snapshot(f, CLOCK_NEVER);
		loop_poll(f->loop);
		op_cancel(&f->op);
		op_done(&f->op);
		assert_no_folder(f);
		assert_goes_on(f);
	}
}

/* While pages are copied, there is nothing that hangs. */
static void a_snapshot_may_be_given_up_while_it_copies(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) char *ram = mem_printf("%s/ram", shelf_of(f)->dir);

	vm_must_boot(f);
	start_snapshot(f, CLOCK_NEVER);
	while (!op_is_done(&f->op) && access(ram, F_OK) != 0)
		loop_turn(f->loop);
	assert_false(op_is_done(&f->op));
	op_cancel(&f->op);
	op_done(&f->op);
	assert_no_folder(f);
	assert_goes_on(f);
}

static void a_qemu_that_dies_at_any_step_says_so(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(saving); i++) {
		no_rule(f);
		vm_must_boot(f);
		set_rule(f, "kill", saving[i]);
		assert_int_equal(snapshot(f), -EHOSTDOWN);
		vm_expect_text(f->op.err.text,
			       "VM a: QEMU was killed by signal 9");
		assert_int_equal(vm_state(f->vm), VM_DEAD);
		assert_no_folder(f);
		f->vm = vm_free(f->vm);
	}
}

static void a_vm_may_be_freed_while_a_snapshot_is_taken(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		no_rule(f);
		vm_must_boot(f);
		if (i)
			set_rule(f, "hang", "xen-save-devices-state");
		start_snapshot(f, CLOCK_NEVER);
		loop_turn(f->loop);
		f->vm = vm_free(f->vm);
		assert_int_equal(vm_wait_op(f), -ECANCELED);
		assert_no_folder(f);
		loop_poll(f->loop);
	}
}

/* RLIMIT_FSIZE stands for a full disk; QEMU's own is another. */
static void a_full_disk_leaves_nothing_and_the_guest_goes_on(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, small;

	vm_must_boot(f);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 1 << 20;
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(snapshot(f), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	vm_expect_text(f->op.err.text, "no snapshot was taken: cannot write");
	vm_expect_text(f->op.err.text, "File too large");
	assert_no_folder(f);
	assert_goes_on(f);
	must_snapshot(f);
}

static void a_folder_that_is_not_ours_is_an_error(void **state)
{
	struct fixture *f = *state;
	char *kept = tmp_write_str(shelf_of(f)->dir, "thesis.tex", "x");

	vm_must_boot(f);
	assert_int_equal(snapshot(f), -EEXIST);
	vm_expect_text(f->op.err.text, "it holds 'thesis.tex'");
	assert_int_equal(access(kept, F_OK), 0);
	assert_goes_on(f);
	free(kept);
}

/* --- a restore that fails
 * ----------------------------------------------------- */

static void a_restore_that_qemu_refuses_says_which_step(void **state)
{
	struct fixture *f = *state;

	make_deep(f);
	for (size_t i = 0; i < ARRAY_LEN(restoring); i++) {
		set_rule(f, "refuse", restoring[i]);
		assert_int_equal(restore(f), -EREMOTEIO);
		vm_expect_text(f->op.err.text,
			       "VM a: it cannot be restored: QEMU refused '");
		assert_int_equal(vm_state(f->vm), VM_DEAD);
		assert_false(vm_is_running(f->pid));
	}
	no_rule(f);
	must_restore(f);
	expect_out(f, "cat /tmp/x", "deep\n");
}

static void a_qemu_that_dies_in_a_restore_says_so(void **state)
{
	struct fixture *f = *state;

	make_deep(f);
	for (size_t i = 0; i < ARRAY_LEN(restoring); i++) {
		set_rule(f, "kill", restoring[i]);
		assert_int_equal(restore(f), -EHOSTDOWN);
		vm_expect_text(f->op.err.text,
			       "VM a: QEMU was killed by signal 9");
		assert_int_equal(vm_state(f->vm), VM_DEAD);
	}
}

static void a_restore_has_a_deadline_at_any_step(void **state)
{
	struct fixture *f = *state;

	make_deep(f);
	for (size_t i = 0; i < ARRAY_LEN(restoring); i++) {
		set_rule(f, "hang", restoring[i]);
		start_restore(f, clock_deadline_ns(2 * NS_PER_SEC));
		assert_int_equal(vm_wait_op(f), -ETIMEDOUT);
		vm_expect_text(f->op.err.text,
			       "the guest did not answer within");
		assert_int_equal(vm_state(f->vm), VM_DEAD);
	}
}

static void a_vm_may_be_freed_while_it_is_restored(void **state)
{
	struct fixture *f = *state;

	make_deep(f);
	for (unsigned turns = 0; turns < 12; turns++) {
		start_restore(f, CLOCK_NEVER);
		for (unsigned i = 0; i < turns; i++)
			loop_turn(f->loop);
		f->vm = vm_free(f->vm);
		vm_wait_op(f);
		loop_poll(f->loop);
		assert_false(vm_is_running(f->pid));
	}
	must_restore(f);
}

static void overwrite(struct fixture *f, const char *name, const char *text)
{
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/%s", shelf_of(f)->dir, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* As if nobody had compared the hashes. */
static void a_state_that_qemu_cannot_load_is_told(void **state)
{
	struct fixture *f = *state;

	vm_must_boot(f);
	must_snapshot(f);
	overwrite(f, "state", "nonsense");
	assert_int_equal(restore(f), -EHOSTDOWN);
	vm_expect_text(f->op.err.text, "VM a: QEMU exited with status 1");
	vm_expect_text(f->op.err.text, "load of migration failed");
}

static void a_delta_that_is_none_is_told(void **state)
{
	struct fixture *f = *state;

	make_deep(f);
	overwrite(f, "delta", "nonsense");
	assert_int_equal(restore(f), -EBADMSG);
	vm_expect_text(f->op.err.text, "VM a: it cannot be restored: the "
				       "snapshot's RAM is damaged");
	assert_false(vm_is_running(f->pid));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
    T(a_restored_guest_is_what_it_was),
    T(a_paused_guest_stays_paused),
    T(a_snapshot_of_a_restored_guest_holds_what_changed),
    T(a_restored_guest_resets_and_shuts_down),
    T(the_guest_goes_on_after_a_step_that_qemu_refuses),
    T(an_answer_that_is_not_understood_is_told),
    T(the_guest_goes_on_after_a_deadline_at_any_step),
    T(a_snapshot_may_be_given_up_at_any_step),
    T(a_snapshot_may_be_given_up_while_it_copies),
    T(a_qemu_that_dies_at_any_step_says_so),
    T(a_vm_may_be_freed_while_a_snapshot_is_taken),
    T(a_full_disk_leaves_nothing_and_the_guest_goes_on),
    T(a_folder_that_is_not_ours_is_an_error),
    T(a_restore_that_qemu_refuses_says_which_step),
    T(a_qemu_that_dies_in_a_restore_says_so),
    T(a_restore_has_a_deadline_at_any_step),
    T(a_vm_may_be_freed_while_it_is_restored),
    T(a_state_that_qemu_cannot_load_is_told),
    T(a_delta_that_is_none_is_told),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
