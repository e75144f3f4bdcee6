/* SPDX-License-Identifier: MIT */
/* What a booted VM is asked for: shutdown, pause, resume, reset; its power
 * button, and the end of a suspend. */
#include <errno.h>
#include <signal.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "agent-proto/msg.h"
#include "vmm/vm_private.h"

struct ask_def {
	const char *participle; /* "it cannot be ..." */
	const char *command;	/* QMP's, or NULL */
	unsigned legal;		/* bits of states */
	enum vm_state to;
};

#define IN(s) (1u << (s))
static const struct ask_def asks[] = {
    [ASK_PAUSE] = {"paused", "stop", IN(VM_BOOTED), VM_PAUSED},
    [ASK_RESUME] = {"resumed", "cont", IN(VM_PAUSED), VM_BOOTED},
    [ASK_RESET] = {"reset", "system_reset", IN(VM_BOOTED), VM_BOOTED},
    /* What follows that: step_cut(). */
    [ASK_CUT] = {"cut off from its power", "stop", IN(VM_BOOTED), VM_BOOTED},
    /* Its command comes later: start_press(). */
    [ASK_BUTTON] = {"told by its power button", NULL, IN(VM_BOOTED), VM_BOOTED},
    /* Its command comes when it sleeps: vm_step_power(). */
    [ASK_WAKEUP] = {"woken up", NULL, IN(VM_BOOTED) | IN(VM_SUSPENDED),
		    VM_BOOTED},
    /* Its commands: vm_snapshot.c. */
    [ASK_SNAPSHOT] = {"snapshotted", NULL, IN(VM_BOOTED) | IN(VM_PAUSED),
		      VM_BOOTED},
    [ASK_SHUTDOWN] = {"shut down", NULL,
		      IN(VM_BOOTED) | IN(VM_PAUSED) | IN(VM_SUSPENDED),
		      VM_SHUTDOWN},
};
#undef IN

static void fail_at_once(struct vm *vm, struct op *op, const struct err *err)
{
	op_init(op, vm->loop, NULL);
	op_start(op, CLOCK_NEVER);
	op_finish(op, err->code, err);
}

bool vm_refuse(struct vm *vm, struct op *op, const char *what, unsigned legal)
{
	struct err err = {0};

	if (!(legal & 1u << vm->state))
		err_set(&err, -EINVAL, "VM %s is %s: it cannot be %s",
			vm_name(vm), vm_state_text(vm), what);
	else if (vm->op)
		err_set(&err, -EBUSY,
			"VM %s: it cannot be %s while an earlier boot, "
			"shutdown, pause, resume or reset is going on",
			vm_name(vm), what);
	if (!err.code)
		return false;
	fail_at_once(vm, op, &err);
	return true;
}

void vm_power_done(struct vm *vm)
{
	qmp_call_done(&vm->command);
	vm->parting = call_free(vm->parting);
	vm_saving_free(vm);
	vm_revival_free(vm);
	vm->kill_at_ns = CLOCK_NEVER;
	vm->ask = ASK_NONE;
}

static void on_power_stop(struct op *op, int reason)
{
	struct vm *vm = op->owner;

	bool is_unslept = vm->ask == ASK_WAKEUP && !vm->command.command;

	vm->op = NULL;
	qmp_call_done(&vm->command);
	vm_resume_quietly(vm);
	vm_saving_free(vm);
	if (vm->ask == ASK_CUT) {
		/* It may stand still. */
		vm_set_disk_mode(vm, NBD_SERVES);
		if (vm->qmp)
			vm_start_command(vm, "cont", NULL);
	}
	if (vm->ask == ASK_SHUTDOWN) {
		process_kill(vm->process, SIGKILL);
	} else {
		vm->parting = call_free(vm->parting);
		vm->ask = ASK_NONE;
	}
	if (reason == -ETIMEDOUT && is_unslept)
		err_set(&op->err, reason,
			"VM %s: the guest did not suspend in time",
			vm_name(vm));
	else if (reason == -ETIMEDOUT)
		err_set(&op->err, reason,
			"VM %s: no answer in time, the VM is %s", vm_name(vm),
			vm_state_text(vm));
	if (reason == -ETIMEDOUT && vm_is_restarting(vm))
		vm_add_activity(vm, &op->err);
}

void vm_start_command(struct vm *vm, const char *command,
		      json_t *take_arguments)
{
	/* One that nobody waited for. */
	qmp_call_done(&vm->command);
	qmp_call_start(&vm->command, vm->qmp, command, take_arguments,
		       CLOCK_NEVER);
	vm->command.op.on_done = vm_on_op;
	vm->command.op.done_ctx = vm;
	vm_kick(vm); /* it may be done already, badly */
}

/* To the agent, without an answer's deadline. */
static void send_parting(struct vm *vm, const struct msg *m)
{
	vm->parting = call_new(vm->client);
	client_pass(vm->client, true);
	call_start(vm->parting, m, NULL, 0, CLOCK_NEVER);
	client_pass(vm->client, false);
	vm->parting->op.on_done = vm_on_op;
	vm->parting->op.done_ctx = vm;
}

bool vm_ask(struct vm *vm, enum vm_ask ask, struct op *op, int64_t deadline_ns)
{
	const struct ask_def *def = &asks[ask];

	if (vm_refuse(vm, op, def->participle, def->legal))
		return false;
	op_init(op, vm->loop, on_power_stop);
	op->owner = vm;
	op_start(op, deadline_ns);
	vm->op = op;
	vm->ask = ask;
	vm->resets_before = vm->resets;
	if (def->command)
		vm_start_command(vm, def->command, NULL);
	return true;
}

/* A guest whose agent does not answer gets its press all the same. */
static void start_press(struct vm *vm)
{
	vm->parting = call_free(vm->parting);
	vm_start_command(vm, "system_powerdown", NULL);
}

void vm_pause_start(struct vm *vm, struct op *op, int64_t deadline_ns)
{
	vm_ask(vm, ASK_PAUSE, op, deadline_ns);
}

void vm_resume_start(struct vm *vm, struct op *op, int64_t deadline_ns)
{
	vm_ask(vm, ASK_RESUME, op, deadline_ns);
}

void vm_reset_start(struct vm *vm, struct op *op, int64_t deadline_ns)
{
	vm_ask(vm, ASK_RESET, op, deadline_ns);
}

/*
 * The disks hold still until the virtual CPUs do (the event STOP): a guest
 * shall hear nothing of what is lost. Then they answer, without effect,
 * whatever is on its way, as QEMU waits for that; and serve again when the
 * machine was reset.
 */
void vm_power_cut_start(struct vm *vm, struct op *op, int64_t deadline_ns)
{
	struct err err;
	bool has_any = false;

	for (size_t i = 0; i < vm->copy.spec.n_disks; i++)
		has_any = has_any || vm->disks[i].cow;
	if (!has_any) {
		err_set(&err, -EINVAL, "VM %s has no disk that is mediated",
			vm_name(vm));
		fail_at_once(vm, op, &err);
		return;
	}
	if (!vm_ask(vm, ASK_CUT, op, deadline_ns))
		return;
	vm->cut_step = 0;
	vm_set_disk_mode(vm, NBD_HOLDS);
	vm_cut_disks(vm);
}

/* True while there is more to come. */
static bool step_cut(struct vm *vm)
{
	static const char *const commands[] = {"stop", "system_reset", "cont"};

	if (vm->command.op.result < 0 ||
	    vm->cut_step + 1 == ARRAY_LEN(commands))
		return false;
	/* The reset is over when its event has come. */
	if (vm->cut_step == 1 && vm->resets == vm->resets_before)
		return true;
	vm->cut_step++;
	if (vm->cut_step == 2)
		vm_set_disk_mode(vm, NBD_SERVES);
	vm_start_command(vm, commands[vm->cut_step], NULL);
	return true;
}

void vm_power_button_start(struct vm *vm, struct op *op, int64_t deadline_ns)
{
	static const struct msg ready = {.type = MSG_BUTTON_READY};

	if (!vm_ask(vm, ASK_BUTTON, op, deadline_ns))
		return;
	if (vm->client)
		send_parting(vm, &ready);
	else
		start_press(vm);
}

void vm_wakeup_start(struct vm *vm, struct op *op, int64_t deadline_ns)
{
	struct err err;

	if (vm->copy.spec.may_suspend) {
		vm_ask(vm, ASK_WAKEUP, op, deadline_ns);
		vm_kick(vm);
		return;
	}
	err_set(&err, -EINVAL,
		"VM %s cannot be suspended: boot it with suspend = true",
		vm_name(vm));
	fail_at_once(vm, op, &err);
}

/* The deadline ends the guest, not the operation. */
void vm_shutdown_start(struct vm *vm, struct op *op, int64_t deadline_ns)
{
	const struct msg bye = {.type = MSG_SHUTDOWN,
				.shutdown.how = MSG_SHUTDOWN_POWEROFF};

	if (!vm_ask(vm, ASK_SHUTDOWN, op, CLOCK_NEVER))
		return;
	vm->is_shutting_down = true;
	vm->kill_at_ns = deadline_ns;
	if (vm->state == VM_PAUSED)
		vm_start_command(vm, "cont", NULL);
	if (vm->state == VM_SUSPENDED)
		vm_start_command(vm, "system_wakeup", NULL);
	if (vm->client) {
		send_parting(vm, &bye);
	} else {
		/* The guest restarts just now: nobody to say it to. */
		vm->kill_at_ns = clock_now_ns();
	}
	vm_kick(vm);
}

bool vm_has_parted(const struct vm *vm)
{
	return vm->parting && op_is_done(&vm->parting->op) &&
	       vm->parting->op.result >= 0;
}

/* An agent that cannot power off will not do so later. */
static void step_shutdown(struct vm *vm)
{
	bool refused = vm->parting && op_is_done(&vm->parting->op) &&
		       vm->parting->op.result < 0;

	if (!refused && clock_now_ns() < vm->kill_at_ns)
		return;
	vm->kill_at_ns = CLOCK_NEVER;
	process_kill(vm->process, SIGKILL);
}

static bool is_fulfilled(const struct vm *vm)
{
	if (vm->ask == ASK_WAKEUP)
		return vm->state == VM_BOOTED;
	if (vm->ask != ASK_RESET && vm->ask != ASK_CUT)
		return true;
	return vm->resets != vm->resets_before && vm->link == LINK_UP;
}

void vm_step_power(struct vm *vm)
{
	const struct ask_def *def = &asks[vm->ask];

	if (vm->ask == ASK_SHUTDOWN)
		step_shutdown(vm);
	if (vm->ask == ASK_SNAPSHOT)
		vm_step_saving(vm);
	if (vm->ask == ASK_SHUTDOWN || vm->ask == ASK_SNAPSHOT ||
	    vm->ask == ASK_NONE)
		return;
	if (vm->parting) {
		if (op_is_done(&vm->parting->op))
			start_press(vm);
		return;
	}
	if (vm->ask == ASK_WAKEUP && !vm->command.command) {
		if (vm->state == VM_SUSPENDED)
			vm_start_command(vm, "system_wakeup", NULL);
		return;
	}
	if (!op_is_done(&vm->command.op))
		return;
	if (vm->ask == ASK_CUT && step_cut(vm))
		return;
	int result = vm->command.op.result;
	struct err err = vm->command.op.err;
	if (result >= 0 && !is_fulfilled(vm))
		return;
	bool is_net_down =
	    (vm->ask == ASK_RESET || vm->ask == ASK_CUT) && vm->net_err.code;
	bool is_anew = vm->ask == ASK_WAKEUP && vm->resets != vm->resets_before;
	vm_power_done(vm);
	if (result >= 0 && vm->state != def->to)
		vm_set_state(vm, def->to);
	if (result >= 0 && is_net_down) {
		err = vm->net_err;
		result = err.code;
	} else if (result >= 0 && is_anew) {
		result = err_set(&err, -ECONNRESET,
				 "VM %s: the guest restarted, it did not wake "
				 "up",
				 vm_name(vm));
	} else if (result < 0) {
		err_wrap(&err, "VM %s", vm_name(vm));
	}
	vm_finish_op(vm, result < 0 ? result : 0, &err);
}
