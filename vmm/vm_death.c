/* SPDX-License-Identifier: MIT */
/* How a VM ends: why, when to act on it, and what users are told. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "vmm/vm_private.h"

#define CONSOLE_LOOK 2048	  /* bytes from which the lines are taken */
#define NEWS_LOOK    (256u << 10) /* bytes that are searched for trouble */
#define LINE_LOOK    2048	  /* bytes of a line before the news */
#define OUTPUT_SHOWN 240	  /* bytes of QEMU's own output */
#define REASON_SHOWN 300	  /* so that some console fits in */

void vm_condemn(struct vm *vm, enum vm_doom doom, const struct err *err)
{
	int64_t wait_ns = 0;

	if (doom == DOOM_LOST || doom == DOOM_AGENT)
		wait_ns = vm->copy.spec.may_suspend ? VM_SUSPEND_GRACE_NS
						    : VM_LOST_GRACE_NS;
	if (doom <= vm->doom || vm->state == VM_DEAD)
		return;
	vm->doom = doom;
	vm->doom_at_ns = clock_deadline_ns(wait_ns);
	vm->doom_err = *err;
	vm_kick(vm);
}

/* Asked anew each time: that the guest powers off may be told later. */
int64_t vm_doom_due(const struct vm *vm)
{
	if (vm->doom == DOOM_NONE)
		return CLOCK_NEVER;
	if ((vm->doom == DOOM_LOST || vm->doom == DOOM_AGENT) &&
	    (vm->guest_off || (vm->is_shutting_down && vm_has_parted(vm))))
		return vm->doom_at_ns + VM_OFF_GRACE_NS;
	return vm->doom_at_ns;
}

static bool is_blank(uint8_t c)
{
	return c == '\n' || c == '\r' || c == ' ';
}

void vm_news(struct vm *vm, size_t max, struct news *news)
{
	CLEANUP(buf_done) struct buf all = {0}, rest = {0};
	uint64_t size = console_size(vm->console);
	uint64_t n = size > vm->news_from ? size - vm->news_from : 0;

	size_t look = n < NEWS_LOOK ? (size_t)n : NEWS_LOOK;
	if (!look)
		return;
	/* All of a line counts in whose middle the mark was set. */
	console_tail(vm->console, &all, look + LINE_LOOK);
	size_t from = all.len > look ? all.len - look : 0;
	const uint8_t *p = buf_data(&all);
	/* Of a boot that fails, every line tells how far it came. */
	if (vm->was_up) {
		from = news_line_start(p, from);
		news_skip_boot(&rest, p + from, all.len - from);
	} else {
		buf_append(&rest, p + from, all.len - from);
	}
	news_pick(news, buf_data(&rest), rest.len, max);
}

void vm_news_mark(struct vm *vm)
{
	vm->news_from = console_size(vm->console);
}

void vm_add_console(struct vm *vm, struct err *err)
{
	CLEANUP(news_done) struct news news = {0};
	CLEANUP(buf_done) struct buf text = {0};
	size_t n;

	vm_news(vm, CONSOLE_LOOK, &news);
	if (strlen(err->text) > REASON_SHOWN)
		memcpy(err->text + REASON_SHOWN - 3, "...", 4);
	n = strlen(err->text);
	news_quote(&text, &news, sizeof(err->text) - n - 1);
	buf_append(&text, "", 1);
	memcpy(err->text + n, buf_data(&text), text.len);
}

/* The end of what QEMU printed, as one line. */
static void add_output(const struct process *p, struct buf *out)
{
	const struct buf *b = process_output(p);
	CLEANUP(buf_done) struct buf line = {0};
	size_t n = b->len;

	while (n && is_blank(buf_data(b)[n - 1]))
		n--;
	if (!n)
		return;
	stream_escape_tail(&line, buf_data(b), n, OUTPUT_SHOWN);
	buf_printf(out, ": %.*s", (int)line.len, (char *)buf_data(&line));
}

/* QEMU's complaint about an option that came with 7.2. */
static bool lacks_stream(const struct vm *vm)
{
	static const char option[] = "-netdev stream";
	const struct buf *b = process_output(vm->process);

	return vm->n_nics && b->len &&
	       memmem(buf_data(b), b->len, option, strlen(option));
}

static void describe_exit(struct vm *vm, struct err *err)
{
	CLEANUP(buf_done) struct buf text = {0};

	if (vm->guest_off) {
		err_set(err, -EHOSTDOWN,
			"VM %s: the guest powered off before its agent "
			"answered",
			vm_name(vm));
		return;
	}
	buf_printf(&text, "VM %s: QEMU ", vm_name(vm));
	process_describe(vm->exit_status, &text);
	if (vm->off_reason[0])
		buf_printf(&text, " (%s)", vm->off_reason);
	add_output(vm->process, &text);
	if (lacks_stream(vm))
		buf_printf(&text, "; networks need QEMU 7.2 or later");
	err_set(err, -EHOSTDOWN, "%.*s", (int)text.len,
		(char *)buf_data(&text));
}

/* Everyone is told, and any of them may free the VM. */
static void tell_death(struct vm *vm, bool was_booting, enum vm_doom doom)
{
	const struct err err = vm->death;

	if (doom >= DOOM_TEXT && vm->on_alarm)
		vm->on_alarm(
		    vm->ctx,
		    doom == DOOM_PANIC ? VM_ALARM_PANIC : VM_ALARM_TEXT, &err);
	vm_retire_client(vm, &err);
	if (!vm->is_freed)
		vm_power_done(vm);
	if (!vm->is_freed)
		vm_finish_op(vm, err.code, &err);
	if (!vm->is_freed && !was_booting && vm->on_dead)
		vm->on_dead(vm->ctx, &err);
}

bool vm_is_panicking(const struct vm *vm)
{
	return vm->panic_lingers;
}

static void linger(struct vm *vm)
{
	vm->lingering_size = console_size(vm->console);
	vm->silent_at_ns = clock_deadline_ns(VM_PANIC_SILENCE_NS);
}

void vm_die(struct vm *vm, const struct err *reason)
{
	bool was_booting = vm->state == VM_BOOTING;
	enum vm_doom doom = vm->doom;
	bool lingers = doom == DOOM_PANIC && vm->process && !vm->has_exited;

	vm->death = *reason;
	vm->doom = DOOM_NONE;
	vm->kill_at_ns = CLOCK_NEVER;
	vm->panic_lingers = lingers;
	vm->linger_until_ns = clock_deadline_ns(VM_PANIC_LINGER_NS);
	linger(vm);
	if (!lingers)
		vm_stop_qemu(vm);
	vm->reason = vm->death;
	vm_add_console(vm, &vm->death);
	vm_set_state(vm, VM_DEAD);
	tell_death(vm, was_booting, doom);
}

/* QEMU ended because it was asked to, by us or by the guest. */
static void vm_death_settle(struct vm *vm)
{
	struct err err;

	err_set(&err, -EHOSTDOWN, "VM %s: %s", vm_name(vm),
		vm->is_shutting_down ? "it was shut down"
				     : "the guest powered off");
	vm->kill_at_ns = CLOCK_NEVER;
	vm->doom = DOOM_NONE;
	vm_power_done(vm);
	vm_stop_qemu(vm);
	vm_set_state(vm, VM_SHUTDOWN);
	vm_retire_client(vm, &err);
	if (vm->is_freed)
		return;
	if (vm->is_shutting_down)
		vm_finish_op(vm, 0, NULL);
	else
		vm_finish_op(vm, err.code, &err);
}

static bool step_exit(struct vm *vm)
{
	struct err err;

	if (vm->is_shutting_down ||
	    (vm->guest_off && vm->state != VM_BOOTING)) {
		vm_death_settle(vm);
		return true;
	}
	describe_exit(vm, &err);
	vm_die(vm, &err);
	return true;
}

/*
 * The agent ended, and no other cause became known. QEMU lives, so the guest
 * may be about to power off or to restart: its init kills every process before.
 * Calls fail with that; provium waits for an event of QEMU.
 */
static void lose_agent(struct vm *vm)
{
	struct err err = vm->doom_err;
	int64_t span_ns = vm->copy.spec.agentless_ns
			      ? vm->copy.spec.agentless_ns
			      : VM_AGENTLESS_NS;

	vm->doom = DOOM_NONE;
	vm->link = LINK_GONE;
	vm->gone_until_ns = clock_deadline_ns(span_ns);
	err_set(&vm->gone_err, err.code,
		"%s; the guest neither powered off nor restarted within %lld s",
		err.text, (long long)(span_ns / NS_PER_SEC));
	err_wrap(&err, "VM %s lost its agent", vm_name(vm));
	vm_add_console(vm, &err);
	if (vm->cid)
		vm_retire_client(vm, &err);
	else
		client_end_session(vm->client, &err);
}

/* Gives the VM up when the guest's time is over. */
static void step_gone(struct vm *vm)
{
	if (vm->link == LINK_GONE && vm->state != VM_PAUSED &&
	    clock_now_ns() >= vm->gone_until_ns)
		vm_condemn(vm, DOOM_ALARM, &vm->gone_err);
}

/* A guest without an agent can end or restart, but only once it was up. */
static bool may_outlive_agent(const struct vm *vm)
{
	return vm->doom == DOOM_AGENT && vm->state != VM_BOOTING &&
	       !vm->is_shutting_down && vm->client;
}

/* The trace of a panic is still being printed. */
static void step_linger(struct vm *vm)
{
	int64_t now_ns = clock_now_ns();

	if (!vm->panic_lingers)
		return;
	if (console_size(vm->console) != vm->lingering_size)
		linger(vm);
	if (vm->has_exited || now_ns >= vm->linger_until_ns ||
	    now_ns >= vm->silent_at_ns)
		vm_stop_qemu(vm);
}

bool vm_step_death(struct vm *vm)
{
	step_linger(vm);
	if (vm->state == VM_DEAD)
		return true;
	if (vm->has_exited && vm->doom < DOOM_ALARM && vm->process)
		return step_exit(vm);
	step_gone(vm);
	if (clock_now_ns() < vm_doom_due(vm))
		return false;
	if (may_outlive_agent(vm)) {
		lose_agent(vm);
		return vm->is_freed;
	}
	/* It is to end, and there is nobody left who would do it. */
	if (vm->doom <= DOOM_LOST && vm->is_shutting_down) {
		vm->doom = DOOM_NONE;
		process_kill(vm->process, SIGKILL);
		return false;
	}
	struct err err = vm->doom_err;
	err_wrap(&err, "VM %s", vm_name(vm));
	vm_die(vm, &err);
	return true;
}
