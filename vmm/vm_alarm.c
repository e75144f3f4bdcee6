/* SPDX-License-Identifier: MIT */
/*
 * What the console shows that is bad news: "Kernel panic", and the strings of
 * spec.alarms. A panic is a cause of death, and so is any of them while the
 * VM is booting. Else the VM lives on, to be looked at: the calls that wait
 * for it fail, at once and with the line.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/vm_private.h"

static const char panic_text[] = "Kernel panic";

static void on_alarm(void *ctx, const char *alarm, const char *line)
{
	struct vm *vm = ctx;
	struct err err;

	if (strcmp(alarm, panic_text) == 0) {
		err_set(&err, -EHOSTDOWN, "the guest's kernel panicked: %s",
			line);
		vm_condemn(vm, DOOM_PANIC, &err);
		return;
	}
	err_set(&err, -EHOSTDOWN, "the console shows `%s`: %s", alarm, line);
	if (vm->state == VM_BOOTING) {
		vm_condemn(vm, DOOM_TEXT, &err);
	} else if (!vm->alarm.code) {
		vm->alarm = err;
		vm_kick(vm);
	}
}

void vm_set_alarms(struct vm *vm)
{
	const struct vm_spec *spec = &vm->copy.spec;
	const char **alarms =
	    mem_realloc_array(NULL, spec->n_alarms + 1, sizeof(*alarms));

	alarms[0] = panic_text;
	for (size_t i = 0; i < spec->n_alarms; i++)
		alarms[i + 1] = spec->alarms[i];
	console_set_alarms(vm->console, alarms, spec->n_alarms + 1, on_alarm,
			   vm);
	free(alarms);
}

void vm_on_alarm(struct vm *vm, vm_alarm_cb cb)
{
	vm->on_alarm = cb;
}

/* Any of those who are told may free the VM. A pause or a resume ends by
 * itself; so does a shutdown, which fails what is in flight. */
static void interrupt(struct vm *vm, const struct err *err)
{
	if (vm->is_shutting_down)
		return;
	if (vm->client)
		client_interrupt(vm->client, err);
	if (!vm->is_freed)
		console_interrupt(vm->console, err);
	if (!vm->is_freed)
		stream_list_interrupt(&vm->streams, err);
	if (!vm->is_freed && vm->ask == ASK_RESET) {
		vm_power_done(vm);
		vm_finish_op(vm, err->code, err);
	}
}

void vm_step_alarm(struct vm *vm)
{
	struct err err = vm->alarm;

	if (!err.code)
		return;
	vm->alarm.code = 0;
	if (vm->state == VM_DEAD)
		return;
	err_wrap(&err, "VM %s", vm_name(vm));
	vm_add_console(vm, &err);
	if (!vm->on_alarm || vm->on_alarm(vm->ctx, VM_ALARM_TEXT, &err))
		interrupt(vm, &err);
}
