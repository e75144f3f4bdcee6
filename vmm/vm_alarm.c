/* SPDX-License-Identifier: MIT */
/*
 * Alarms of the console: the kernel's own line about its panic, and the lines
 * that spec.alarms tell of. A panic ends the VM, unless spec.may_panic. While
 * the VM boots, any alarm ends it. Else the VM lives on, so that a test can
 * look at it: the calls that wait for it fail at once, with the line.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/printk.h"
#include "vmm/vm_private.h"

/* Linux, kernel/panic.c, panic(). */
static const char panic_text[] = "Kernel panic - not syncing";

/*
 * Whether a line of the console is the kernel's about its panic: it begins with
 * the text, or the text follows a time stamp. That may stand anywhere, as the
 * kernel ends no line that a program has begun: a prompt, for one.
 */
bool vm_is_panic(const char *line)
{
	size_t n = strlen(panic_text);

	if (strncmp(line, panic_text, n) == 0)
		return true;
	for (const char *p = line; (p = strchr(p, '[')); p++) {
		const char *text = printk_text(p);

		if (text && strncmp(text, panic_text, n) == 0)
			return true;
	}
	return false;
}

void vm_panicked(struct vm *vm, const struct err *err)
{
	if (!vm->copy.spec.may_panic || vm->state == VM_BOOTING) {
		vm_condemn(vm, DOOM_PANIC, err);
		return;
	}
	/* Another alarm, which fails the test, goes before this one. */
	if (vm->alarm.code)
		return;
	vm->alarm = *err;
	vm->is_alarm_expected = true;
	vm_kick(vm);
}

static void vm_alarm_on_alarm(void *ctx, const char *alarm, const char *line)
{
	struct vm *vm = ctx;
	struct err err;

	if (strcmp(alarm, panic_text) == 0 && vm_is_panic(line)) {
		err_set(&err, -EHOSTDOWN, "the guest's kernel panicked: %s",
			line);
		vm_panicked(vm, &err);
		return;
	}
	/* One of them may have the text of a panic. */
	if (!alarm_rules_hold(vm->copy.spec.alarms, alarm, line))
		return;
	err_set(&err, -EHOSTDOWN, "the console shows `%s`: %s", alarm, line);
	if (vm->state == VM_BOOTING) {
		vm_condemn(vm, DOOM_TEXT, &err);
	} else if (!vm->alarm.code || vm->is_alarm_expected) {
		vm->alarm = err;
		vm->is_alarm_expected = false;
		vm_kick(vm);
	}
}

void vm_set_alarms(struct vm *vm)
{
	const struct alarm_rules *rules = vm->copy.spec.alarms;
	const char **texts =
	    mem_realloc_array(NULL, rules->n + 1, sizeof(*texts));

	texts[0] = panic_text;
	for (size_t i = 0; i < rules->n; i++)
		texts[i + 1] = rules->v[i].text;
	console_set_alarms(vm->console, texts, rules->n + 1, vm_alarm_on_alarm,
			   vm);
	free(texts);
}

void vm_on_alarm(struct vm *vm, vm_alarm_cb cb)
{
	vm->on_alarm = cb;
}

/* Any of those who are told may free the VM. A pause or a resume ends by
 * itself; so does a shutdown, which fails what is in flight. */
static void vm_alarm_interrupt(struct vm *vm, const struct err *err)
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
	bool is_expected = vm->is_alarm_expected;

	if (!err.code)
		return;
	vm->alarm.code = 0;
	vm->is_alarm_expected = false;
	if (vm->state == VM_DEAD)
		return;
	err_wrap(&err, "VM %s", vm_name(vm));
	vm_add_console(vm, &err);
	if (is_expected || !vm->on_alarm ||
	    vm->on_alarm(vm->ctx, VM_ALARM_TEXT, &err))
		vm_alarm_interrupt(vm, &err);
}
