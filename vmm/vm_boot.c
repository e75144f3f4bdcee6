/* SPDX-License-Identifier: MIT */
/* Starting QEMU, and reaching the agent: at boot, and after each reset. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "vmm/vm_private.h"

/* A HELLO over vsock that is not answered in this time was sent on a
 * connection that the guest's reset of its transport has killed silently. */
#define VSOCK_HELLO_NS (3 * NS_PER_SEC)

/* Bytes; the default guest of Debian's kernel 6.1 booted with 80 MiB, and not
 * with 72 MiB. */
#define MEMORY_LEAST (80u << 20)

int vm_write_initrd(struct vm *vm, const char *path, struct err *err)
{
	const struct vm_spec *spec = &vm->copy.spec;
	CLEANUP(buf_done) struct buf config = {0};

	buf_printf(&config, "transport %s\n", transport_name(spec->transport));
	if (spec->transport == TRANSPORT_VSOCK)
		buf_printf(&config, "port %d\n", VSOCK_AGENT_PORT);
	for (size_t i = 0; i < spec->n_modules; i++)
		buf_printf(&config, "module %s\n", spec->modules[i]);
	for (size_t i = 0; vm->n_nics && i < spec->n_net_modules; i++)
		buf_printf(&config, "module %s\n", spec->net_modules[i]);
	for (size_t i = 0; spec->n_disks && i < spec->n_disk_modules; i++)
		buf_printf(&config, "module %s\n", spec->disk_modules[i]);
	if (spec->n_files)
		buf_printf(&config, "files %zu\n", spec->n_files);
	buf_append(&config, "", 1);
	return overlay_write(path, spec->initrd, spec->agent, spec->agent_n,
			     (char *)buf_data(&config), spec->files,
			     spec->n_files, err);
}

void vm_on_qemu_exit(void *ctx, int status)
{
	struct vm *vm = ctx;

	vm->has_exited = true;
	vm->exit_status = status;
	/* What QEMU said last is still in the sockets. */
	qmp_drain(vm->qmp);
	console_detach(vm->console);
	vm_kick(vm);
}

static void on_qmp_lost(void *ctx, const struct err *err)
{
	vm_condemn(ctx, err->code == -EPROTO ? DOOM_ALARM : DOOM_LOST, err);
}

static void start_qmp(struct vm *vm, int take_fd)
{
	int log =
	    open(vm->qmp_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	vm->qmp = qmp_new(vm->loop, take_fd, vm_events, on_qmp_lost, vm);
	qmp_set_log(vm->qmp, log);
	qmp_call_start(&vm->greet, vm->qmp, "qmp_capabilities", NULL,
		       CLOCK_NEVER);
	vm->greet.op.on_done = vm_on_op;
	vm->greet.op.done_ctx = vm;
	if (!vm->revival)
		vm_start_nics(vm);
}

/* Over vsock a reset ends the connection, and QMP tells of it a moment later;
 * while the link is being made, a lost connection is one more try. */
static void on_client_lost(void *ctx, const struct err *err)
{
	struct vm *vm = ctx;

	if (err->code != -EPROTO && vm->cid && vm->link == LINK_HELLO) {
		vm->hello_lost = true;
		vm_kick(vm);
		return;
	}
	/* A connection over vsock ends with the agent. */
	vm_condemn(vm,
		   err->code == -EPROTO ? DOOM_ALARM
		   : vm->cid		? DOOM_AGENT
					: DOOM_LOST,
		   err);
}

static void start_hello(struct vm *vm)
{
	vm_files_stop(vm);
	vm_net_stop(vm);
	op_done(&vm->hello);
	vm->link = LINK_HELLO;
	vm->hello_lost = false;
	client_hello(vm->client, &vm->hello,
		     vm->cid ? clock_deadline_ns(VSOCK_HELLO_NS) : CLOCK_NEVER);
	vm->hello.on_done = vm_on_op;
	vm->hello.done_ctx = vm;
	if (op_is_done(&vm->hello))
		vm_kick(vm);
}

/* Over vsock a client has its first connection later than its first requests,
 * after a reset, and may have several until the agent answers. */
static void start_client(struct vm *vm, int take_fd)
{
	if (vm->client) {
		client_link(vm->client, take_fd);
	} else {
		vm->client = client_new(vm->loop, take_fd, on_client_lost, vm);
		client_skip_handles(vm->client, vm_revival_handles(vm));
	}
	start_hello(vm);
}

static void start_dial(struct vm *vm)
{
	vm->link = LINK_DIALING;
	dial_vsock_start(&vm->dial, vm->loop, vm->cid, VSOCK_AGENT_PORT,
			 CLOCK_NEVER);
	vm->dial.op.on_done = vm_on_op;
	vm->dial.op.done_ctx = vm;
}

static int launch(struct vm *vm, struct err *err)
{
	CLEANUP(vm_close_boot_fds) struct boot_fds f;
	int r = 0;

	vm_init_boot_fds(&f);
	if (!vm->revival)
		r = vm_write_initrd(vm, vm->initrd_path, err);
	if (r == 0)
		r = vm_prepare_disks(vm, err);
	if (r == 0)
		r = vm_open_boot_fds(vm, &f, err);
	if (r == 0)
		r = vm_start_qemu(vm, &f, err);
	if (r < 0)
		return r;
	if (!vm->revival)
		console_mark_boot(vm->console);
	vm_news_mark(vm);
	vm->was_up = false;
	r = console_attach(vm->console, TAKE_FD(f.console), TAKE_FD(f.typed),
			   err);
	if (r < 0)
		return r;
	start_qmp(vm, TAKE_FD(f.qmp));
	if (vm->cid)
		start_dial(vm);
	else
		start_client(vm, TAKE_FD(f.agent));
	return 0;
}

/* Tells of memory that may be too little: the kernel then has no room for the
 * initrd, and the guest never answers. */
static const char *memory_hint(const struct vm *vm)
{
	return vm->copy.spec.memory < MEMORY_LEAST
		   ? "; it has less than 80M of memory, the least with which "
		     "the default guest boots"
		   : "";
}

void vm_add_activity(const struct vm *vm, struct err *err)
{
	int64_t last_ns = console_last_ns(vm->console);
	size_t n = strlen(err->text);

	/* What an earlier boot printed says nothing of this one. */
	if (console_size(vm->console) == vm->news_from)
		snprintf(err->text + n, sizeof(err->text) - n,
			 "; its console printed nothing");
	else
		snprintf(err->text + n, sizeof(err->text) - n,
			 "; its console printed %.1f s ago",
			 (double)(clock_now_ns() - last_ns) / NS_PER_SEC);
}

/* The deadline, or the caller gave up: either way it cannot be used. */
static void on_boot_stop(struct op *op, int reason)
{
	struct vm *vm = op->owner;
	/* In tenths: the deadline was made a moment before the start. */
	int64_t tenth = 100 * NS_PER_MS;
	int64_t span = (op->deadline_ns - op->started_ns + tenth / 2) / tenth;

	vm->op = NULL;
	if (reason == -ETIMEDOUT)
		err_set(&op->err, reason, "VM %s: %s within %g s%s%s",
			vm_name(vm),
			vm->link == LINK_NET ? "the guest's network was not up"
					     : "the guest did not answer",
			(double)span / 10,
			vm->resets ? "; it was reset meanwhile" : "",
			memory_hint(vm));
	else
		err_set(&op->err, reason, "VM %s: its boot was given up",
			vm_name(vm));
	if (reason == -ETIMEDOUT)
		vm_add_activity(vm, &op->err);
	if (vm->is_freed)
		return;
	/* Nobody has the client yet: nobody who hears of this frees the VM. */
	vm_die(vm, &op->err);
	op->err = vm->death;
}

void vm_boot_start(struct vm *vm, struct op *op, int64_t deadline_ns)
{
	if (!vm_refuse(vm, op, "booted", 1u << VM_CREATED | 1u << VM_SHUTDOWN))
		vm_begin_boot(vm, op, deadline_ns, NULL);
}

void vm_begin_boot(struct vm *vm, struct op *op, int64_t deadline_ns,
		   const struct err *why_not)
{
	struct err err;

	op_init(op, vm->loop, on_boot_stop);
	op->owner = vm;
	op_start(op, deadline_ns);
	vm->op = op;
	vm_set_state(vm, VM_BOOTING);
	vm->has_exited = vm->guest_off = vm->reset_seen = false;
	vm->is_shutting_down = vm->is_greeted = false;
	/* The agent of a guest that is restored has it open. */
	vm->port_opened = vm->revival != NULL;
	vm->doom = DOOM_NONE;
	vm->off_reason[0] = '\0';
	vm->resets = 0;
	if (why_not) {
		vm_die(vm, why_not);
	} else if (launch(vm, &err) < 0) {
		err_wrap(&err, "VM %s", vm_name(vm));
		vm_die(vm, &err);
	}
}

/* A new connection needs a new client; the old one's users keep theirs. */
void vm_retire_client(struct vm *vm, const struct err *err)
{
	struct client *c = TAKE(vm->client);

	vm_files_stop(vm);
	vm_net_stop(vm);
	op_done(&vm->hello);
	if (!c)
		return;
	vm->retired = mem_realloc_array(vm->retired, vm->n_retired + 1,
					sizeof(*vm->retired));
	vm->retired[vm->n_retired++] = c;
	client_fail(c, err);
}

void vm_stop_qemu(struct vm *vm)
{
	vm->link = LINK_NONE;
	vm->gone_until_ns = CLOCK_NEVER;
	dial_done(&vm->dial);
	qmp_call_done(&vm->greet);
	qmp_call_done(&vm->probe);
	vm->process = process_free(vm->process);
	vm_unplug_nics(vm);
	vm_disconnect_disks(vm);
	vm->qmp = qmp_free(vm->qmp);
	if (vm->console)
		console_detach(vm->console);
	vm->panic_lingers = false;
	vm->cid = 0;
	vm_remove_boot_files(vm);
}

/* Over vsock a reset ends the connection. The users of the last client keep it,
 * failed; the new one has no connection yet. */
static void redial(struct vm *vm)
{
	struct err err;

	err_set(&err, -ECONNRESET, "the guest was reset");
	vm_retire_client(vm, &err);
	if (vm->is_freed)
		return;
	vm->client = client_new(vm->loop, -1, on_client_lost, vm);
	client_postpone(vm->client);
	start_dial(vm);
}

/* A connection that was lost has another cause than the agent's end. */
static void clear_loss(struct vm *vm)
{
	if (vm->doom == DOOM_LOST || vm->doom == DOOM_AGENT)
		vm->doom = DOOM_NONE;
}

/* The guest starts anew, and so does the conversation. */
static void handle_reset(struct vm *vm)
{
	vm->reset_seen = false;
	vm->resets++;
	vm->restarts++;
	clear_loss(vm);
	vm->gone_until_ns = CLOCK_NEVER;
	vm_net_restarted(vm);
	console_mark_boot(vm->console);
	vm_news_mark(vm);
	vm->was_up = false;
	if (vm->link == LINK_DIALING)
		return;
	if (vm->cid) {
		redial(vm);
		return;
	}
	/* Requests from now on wait until the guest is up. */
	client_postpone(vm->client);
	start_hello(vm);
}

static void dialed(struct vm *vm)
{
	int fd = TAKE_FD(vm->dial.fd);

	dial_done(&vm->dial);
	start_client(vm, fd);
}

static void hello_failed(struct vm *vm)
{
	struct err err = vm->hello.err;

	if (vm->cid && err.code != -EPROTO) {
		op_done(&vm->hello);
		start_dial(vm);
		return;
	}
	vm->link = LINK_NONE;
	vm_condemn(vm, err.code == -EPROTO ? DOOM_ALARM : DOOM_LOST, &err);
}

/* The guest is as its users want it, or after a reset as near as it gets:
 * vm_step_power() tells who asked for that. */
static void link_up(struct vm *vm)
{
	struct err err = vm->net_err;

	vm->link = LINK_UP;
	vm_news_mark(vm);
	vm->was_up = true;
	if (vm->state == VM_SUSPENDED)
		vm_set_state(vm, VM_BOOTED);
	if (vm->state != VM_BOOTING || !err.code)
		client_send_postponed(vm->client);
	if (vm->is_freed || vm->state != VM_BOOTING)
		return;
	if (err.code) {
		vm_die(vm, &err);
		return;
	}
	vm_set_state(vm, VM_BOOTED);
	vm_finish_op(vm, 0, NULL);
}

static void start_net(struct vm *vm)
{
	if (!vm_net_start(vm))
		link_up(vm);
}

/* A guest without its files is not what the test asked for. */
static void know_files(struct vm *vm)
{
	struct err err;

	if (!vm_files_are_known(vm, &err))
		return;
	if (!err.code) {
		start_net(vm);
		return;
	}
	err_wrap(&err, "VM %s", vm_name(vm));
	vm_die(vm, &err);
}

/* The agent knows of the restore. */
static void revived(struct vm *vm)
{
	struct err err;

	if (!vm_revival_is_done(vm, &err))
		return;
	vm_revival_free(vm);
	vm->net_err.code = 0;
	if (err.code) {
		err_wrap(&err, "VM %s: after the restore", vm_name(vm));
		vm_die(vm, &err);
	} else {
		link_up(vm);
	}
}

/* The loss of the agent's port was none of the agent. */
static void forget_loss(struct vm *vm)
{
	qmp_call_done(&vm->probe);
	clear_loss(vm);
}

/* The guest resumes, and its agent with it. */
static void reopened(struct vm *vm)
{
	if (!vm->copy.spec.may_suspend)
		return;
	forget_loss(vm);
	if (vm->state == VM_SUSPENDED)
		vm_set_state(vm, VM_BOOTED);
	vm_kick(vm);
}

/*
 * The agent ended, or the machine is being reset, which closes every port, but
 * is told only when all devices are through with it: that takes a busy host
 * longer than any grace. QEMU answers a command when it is over. Or the guest
 * suspends: SUSPEND follows; or is here first, as QEMU tells of one change of a
 * port a second. For that reason, too, what is told after a reset may be of
 * before: it concerns the new agent only once that has opened its port.
 */
static void vm_boot_on_port(void *ctx, const json_t *data)
{
	struct vm *vm = ctx;
	const char *id = json_string_value(json_object_get(data, "id"));

	if (!id || strcmp(id, QEMU_AGENT_ID) != 0)
		return;
	if (json_is_true(json_object_get(data, "open"))) {
		vm->port_opened = true;
		if (vm->link > LINK_HELLO)
			reopened(vm);
		return;
	}
	/* An agent that has answered has it open, whatever was told. */
	if ((!vm->port_opened && vm->link <= LINK_HELLO) || vm->probe.command ||
	    vm->state == VM_SUSPENDED || vm->link == LINK_GONE)
		return;
	vm->resets_at_closing = vm->resets;
	qmp_call_start(&vm->probe, vm->qmp, "query-status", NULL, CLOCK_NEVER);
	vm->probe.op.on_done = vm_on_op;
	vm->probe.op.done_ctx = vm;
	vm_kick(vm);
}

/* Where the machine is powered off, that is seen in a moment, and is the
 * better reason. */
static void probed(struct vm *vm)
{
	struct err err;

	qmp_call_done(&vm->probe);
	if (vm->reset_seen || vm->resets != vm->resets_at_closing)
		return;
	err_set(&err, -EHOSTDOWN, "the agent in the guest ended%s",
		vm->link == LINK_HELLO ? " before it had answered" : "");
	vm_condemn(vm, DOOM_AGENT, &err);
}

void vm_step_link(struct vm *vm)
{
	if (vm->probe.command && op_is_done(&vm->probe.op))
		probed(vm);
	if (vm->greet.command && op_is_done(&vm->greet.op) &&
	    vm->greet.op.result == 0) {
		/* QEMU's main loop runs: it has read its files. */
		qmp_call_done(&vm->greet);
		vm_remove_boot_files(vm);
		vm->is_greeted = true;
	}
	if (vm->revival && vm->is_greeted) {
		vm_step_revival(vm);
		if (vm->state == VM_DEAD || vm->is_freed)
			return;
	}
	if (vm->reset_seen)
		handle_reset(vm);
	else if (vm->link == LINK_DIALING && op_is_done(&vm->dial.op))
		dialed(vm);
	else if (vm->link == LINK_HELLO && vm->hello_lost)
		hello_failed(vm);
	else if (vm->link == LINK_HELLO && op_is_done(&vm->hello) &&
		 vm->hello.result == 0) {
		if (vm->revival)
			vm_revival_greeted(vm);
		else if (!vm_files_start(vm))
			start_net(vm);
	} else if (vm->link == LINK_HELLO && op_is_done(&vm->hello))
		hello_failed(vm);
	else if (vm->link == LINK_FILES)
		know_files(vm);
	else if (vm->link == LINK_NET && vm_net_is_done(vm))
		link_up(vm);
	else if (vm->link == LINK_WORD)
		revived(vm);
}

static void on_shutdown(void *ctx, const json_t *data)
{
	struct vm *vm = ctx;
	const char *reason = json_string_value(json_object_get(data, "reason"));

	vm->guest_off = reason && strcmp(reason, "guest-shutdown") == 0;
	snprintf(vm->off_reason, sizeof(vm->off_reason), "%s",
		 reason ? reason : "unknown");
}

static void vm_boot_on_reset(void *ctx, const json_t *data)
{
	struct vm *vm = ctx;

	(void)data;
	vm->reset_seen = true;
	vm->port_opened = false;
	vm_kick(vm);
}

/* The virtual CPUs stand still; QEMU waits for the disks. */
static void vm_boot_on_stop(void *ctx, const json_t *data)
{
	struct vm *vm = ctx;

	(void)data;
	if (vm->ask == ASK_CUT)
		vm_set_disk_mode(vm, NBD_VOID);
}

static void on_suspend(void *ctx, const json_t *data)
{
	struct vm *vm = ctx;
	struct err err;

	(void)data;
	if (!vm->copy.spec.may_suspend) {
		err_set(&err, -EHOSTDOWN,
			"the guest suspended to RAM, and could not wake up: "
			"boot it with suspend = true");
		vm_condemn(vm, DOOM_ALARM, &err);
		return;
	}
	forget_loss(vm);
	if (vm->state == VM_BOOTED)
		vm_set_state(vm, VM_SUSPENDED);
	vm_kick(vm);
}

static void on_panicked(void *ctx, const json_t *data)
{
	struct err err;

	(void)data;
	err_set(&err, -EHOSTDOWN, "the guest's kernel panicked");
	vm_panicked(ctx, &err);
}

const struct qmp_event vm_events[] = {
    {"SHUTDOWN", on_shutdown},
    {"RESET", vm_boot_on_reset},
    {"SUSPEND", on_suspend},
    {"GUEST_PANICKED", on_panicked},
    {"VSERPORT_CHANGE", vm_boot_on_port},
    {"STOP", vm_boot_on_stop},
    {NULL, NULL},
};
