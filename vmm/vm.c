/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * A VM hears of its guest through five mouths: the process (exit), QMP
 * (events, replies), the console (alarms), the agent's byte stream (its end),
 * and operations that finish. They speak in any order: when QEMU is killed the
 * sockets close some milliseconds before the exit is seen, and a panic may be
 * followed by a reset.
 *
 * So no callback decides anything. Each records a fact and kicks a timer;
 * vm_step(), called from the loop with nothing of ours on the stack, looks at
 * all facts and takes the one step that they allow:
 *
 *	vm_step_alarm	has the console shown a string that fails calls
 *	vm_step_death	is there a cause of death, and is it time to act on
 *			it; has QEMU exited, and was that asked for
 *	vm_step_link	reset seen, dial finished, HELLO answered, NICs up
 *	vm_step_power	pause, resume, reset, shutdown: replies and deadlines
 *
 * That makes it safe for users to free the VM in whatever they are called
 * from, and lets the better reason win: a broken connection is a cause of
 * death only when nothing better came up within VM_LOST_GRACE_NS, so that the
 * calls in flight fail with "QEMU was killed by signal 9" and not "end of
 * file". A panic is acted on at once; QEMU lives on for VM_PANIC_LINGER_NS, for
 * the rest of the trace to reach the console log.
 *
 * Files: vm.c objects and states; vm_boot.c starting QEMU and reaching the
 * agent; vm_net.c its NICs; vm_disk.c its disks; vm_power.c what can be done to
 *a booted VM; vm_snapshot.c and vm_restore.c what its name says; vm_alarm.c
 *what its console shows; vm_death.c its end.
 */
#include "vmm/vm.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "streams/disk_err.h"
#include "vmm/vm_private.h"

#define STEM_MAX   64
#define STEM_TRIES 10000

struct vm_state_def {
	const char *name;
	unsigned next; /* bits of the states that may follow */
};

#define TO(s) (1u << (s))
static const struct vm_state_def states[] = {
    [VM_CREATED] = {"created", TO(VM_BOOTING)},
    [VM_BOOTING] = {"booting", TO(VM_BOOTED) | TO(VM_DEAD)},
    [VM_BOOTED] = {"booted", TO(VM_PAUSED) | TO(VM_SUSPENDED) |
				 TO(VM_SHUTDOWN) | TO(VM_DEAD)},
    [VM_PAUSED] = {"paused", TO(VM_BOOTED) | TO(VM_SHUTDOWN) | TO(VM_DEAD)},
    [VM_SUSPENDED] = {"suspended",
		      TO(VM_BOOTED) | TO(VM_SHUTDOWN) | TO(VM_DEAD)},
    [VM_SHUTDOWN] = {"shutdown", TO(VM_BOOTING)},
    [VM_DEAD] = {"dead", 0},
};
#undef TO

void vm_set_state(struct vm *vm, enum vm_state to)
{
	int64_t now_ns = clock_now_ns();

	assert(states[vm->state].next & (1u << to));
	if (to == VM_PAUSED)
		vm->paused_ns = now_ns;
	/* A guest that stood still could neither end nor restart. */
	if (vm->state == VM_PAUSED && vm->gone_until_ns != CLOCK_NEVER)
		vm->gone_until_ns += now_ns - vm->paused_ns;
	vm->state = to;
	if ((to == VM_SHUTDOWN || to == VM_DEAD) && vm->on_end)
		vm->on_end(vm->ctx);
}

void vm_on_end(struct vm *vm, void (*cb)(void *ctx))
{
	vm->on_end = cb;
}

void vm_kick(struct vm *vm)
{
	if (vm->is_freed)
		return;
	vm->kicked = true;
	timer_set(vm->step_timer, clock_now_ns());
}

void vm_on_op(struct op *op, void *ctx)
{
	(void)op;
	vm_kick(ctx);
}

void vm_finish_op(struct vm *vm, int result, const struct err *err)
{
	struct op *op = TAKE(vm->op);

	if (op)
		op_finish(op, result, err);
}

/* The next time at which something is due without any event. */
static int64_t next_due(const struct vm *vm)
{
	int64_t at = vm->kill_at_ns;

	if (vm_doom_due(vm) < at)
		at = vm_doom_due(vm);
	if (vm->state != VM_PAUSED && vm->gone_until_ns < at)
		at = vm->gone_until_ns;
	if (vm->panic_lingers && vm->linger_until_ns < at)
		at = vm->linger_until_ns;
	if (vm->panic_lingers && vm->silent_at_ns < at)
		at = vm->silent_at_ns;
	return at;
}

static void vm_destroy(void *ptr)
{
	struct vm *vm = ptr;
	struct stream *s;

	timer_free(vm->step_timer);
	/* They outlive us only where their owner forgot them. */
	while ((s = TAILQ_FIRST(&vm->streams)))
		stream_close(s);
	op_done(&vm->hello);
	vm_files_stop(vm);
	vm_net_stop(vm);
	fd_closep(&vm->base_ram_fd);
	fd_closep(&vm->base_initrd_fd);
	client_free(vm->client);
	for (size_t i = 0; i < vm->n_retired; i++)
		client_free(vm->retired[i]);
	free(vm->retired);
	console_free(vm->console);
	free(vm->console_path);
	free(vm->socket_path);
	free(vm->stem_path);
	free(vm->initrd_path);
	free(vm->qmp_path);
	free(vm->tty_path);
	vm_spec_copy_done(&vm->copy);
	free(vm);
}

static void vm_step(void *ctx)
{
	struct vm *vm = ctx;

	vm->in_step = true;
	vm->kicked = false;
	vm_step_alarm(vm);
	if (!vm->is_freed && !vm_step_death(vm) && !vm->is_freed) {
		vm_step_link(vm);
		if (!vm->is_freed)
			vm_step_power(vm);
	}
	vm->in_step = false;
	if (vm->is_freed)
		loop_defer_free(vm->loop, vm, vm_destroy);
	else if (!vm->kicked)
		timer_set(vm->step_timer, next_due(vm));
}

/* A name that any file system takes. */
static void make_stem(const char *name, char stem[STEM_MAX])
{
	size_t n = 0;

	for (; *name && n < STEM_MAX - 1; name++, n++) {
		unsigned char c = (unsigned char)*name;

		stem[n] = isalnum(c) || strchr("._-", c) ? (char)c : '_';
	}
	stem[n] = '\0';
	if (stem[0] == '.' || !stem[0])
		stem[0] = '_', stem[n ? n : 1] = '\0';
}

/* VMs of one name may follow each other (or live in two labs) in one run_dir;
 * the log, which stays, tells which names are taken. */
static int claim_paths(struct vm *vm, struct err *err)
{
	const char *dir = vm->copy.spec.run_dir;
	char stem[STEM_MAX];
	int fd;

	make_stem(vm->copy.spec.name, stem);
	for (int i = 1; i <= STEM_TRIES; i++) {
		CLEANUP(free_ptr)
		char *base = i == 1 ? mem_printf("%s/%s", dir, stem)
				    : mem_printf("%s/%s-%d", dir, stem, i);

		free(vm->console_path);
		vm->console_path = mem_printf("%s.console", base);
		fd = open(vm->console_path,
			  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			break;
		close(fd);
		vm->stem_path = mem_strdup(base);
		vm->initrd_path = mem_printf("%s.initrd", base);
		vm->qmp_path = mem_printf("%s.qmp", base);
		vm->tty_path = mem_printf("%s.tty", base);
		return 0;
	}
	return disk_err(err, -errno, vm->console_path, "cannot create '%s'",
			vm->console_path);
}

/* Its name is short, whatever the VM's is. A host that cannot have it runs the
 * VM all the same: who asks for the path is told. */
static void serve_console(struct vm *vm)
{
	const char *dir = vm->copy.spec.run_dir;
	int r = -EADDRINUSE;

	for (int i = 1; r == -EADDRINUSE && i <= STEM_TRIES; i++) {
		free(vm->socket_path);
		vm->socket_path = i == 1 ? mem_printf("%s/console", dir)
					 : mem_printf("%s/console-%d", dir, i);
		r = console_listen(vm->console, vm->socket_path,
				   &vm->socket_err);
	}
	if (r < 0)
		free_ptr(&vm->socket_path);
}

struct vm *vm_new(struct loop *l, const struct vm_spec *spec,
		  vm_dead_cb on_dead, void *ctx, struct err *err)
{
	struct vm *vm = mem_zalloc(sizeof(*vm));

	assert(spec->accel != ACCEL_AUTO);
	assert(spec->transport != TRANSPORT_AUTO);
	vm->loop = l;
	vm->on_dead = on_dead;
	vm->ctx = ctx;
	vm->kill_at_ns = CLOCK_NEVER;
	vm->gone_until_ns = CLOCK_NEVER;
	vm->dial.fd = -1;
	vm->base_ram_fd = vm->base_initrd_fd = -1;
	TAILQ_INIT(&vm->streams);
	vm_spec_copy_init(&vm->copy, spec);
	vm->step_timer = timer_new(l, vm_step, vm);
	if (claim_paths(vm, err) == 0)
		vm->console = console_new(l, vm->console_path, err);
	if (!vm->console) {
		err_wrap(err, "VM %s", spec->name);
		return vm_free(vm);
	}
	serve_console(vm);
	vm_set_alarms(vm);
	vm_set_nics(vm, NULL, 0);
	vm_init_disks(vm);
	return vm;
}

struct vm *vm_free(struct vm *vm)
{
	if (!vm || vm->is_freed)
		return NULL;
	vm->is_freed = true;
	vm->on_dead = NULL;
	vm->on_alarm = NULL;
	vm->on_end = NULL;
	timer_set(vm->step_timer, CLOCK_NEVER);
	if (vm->op)
		op_cancel(vm->op);
	vm_power_done(vm);
	vm_stop_qemu(vm);
	vm->n_nics = 0;
	vm_free_disks(vm);
	/* Someone in the client or the console may be calling us. */
	if (vm->in_step)
		return NULL;
	if (loop_is_turning(vm->loop))
		loop_defer_free(vm->loop, vm, vm_destroy);
	else
		vm_destroy(vm);
	return NULL;
}

enum vm_state vm_state(const struct vm *vm)
{
	return vm->state;
}

const char *vm_state_name(enum vm_state s)
{
	return states[s].name;
}

const char *vm_state_text(const struct vm *vm)
{
	return vm_state_name(vm_is_restarting(vm) ? VM_BOOTING : vm->state);
}

const char *vm_name(const struct vm *vm)
{
	return vm->copy.spec.name;
}

bool vm_is_restarting(const struct vm *vm)
{
	return vm->state == VM_BOOTED && vm->link != LINK_UP &&
	       vm->link != LINK_GONE;
}

unsigned vm_restarts(const struct vm *vm)
{
	return vm->restarts;
}

pid_t vm_pid(const struct vm *vm)
{
	pid_t pid = vm->process ? process_pid(vm->process) : -1;
	pid_t peer = vm->qmp ? qmp_peer(vm->qmp) : 0;

	/* What we started may be a wrapper that QEMU is a child of. */
	return pid > 0 && peer > 0 ? peer : pid;
}

int64_t vm_cid(const struct vm *vm)
{
	return vm->cid ? (int64_t)vm->cid : -1;
}

struct client *vm_client(struct vm *vm)
{
	if (vm->state != VM_BOOTED && vm->state != VM_PAUSED &&
	    vm->state != VM_SUSPENDED)
		return NULL;
	/* Over vsock the connection ended with the agent, and the client with
	 * it: the last one then says so. */
	if (!vm->client && vm->n_retired)
		return vm->retired[vm->n_retired - 1];
	return vm->client;
}

struct console *vm_console(struct vm *vm)
{
	return vm->console;
}

struct stream_list *vm_streams(struct vm *vm)
{
	return &vm->streams;
}

const struct err *vm_death_reason(const struct vm *vm)
{
	return vm->state == VM_DEAD ? &vm->reason : NULL;
}

const struct err *vm_death(const struct vm *vm)
{
	return vm->state == VM_DEAD ? &vm->death : NULL;
}

const char *vm_console_socket(const struct vm *vm, struct err *err)
{
	if (!vm->socket_path)
		*err = vm->socket_err;
	return vm->socket_path;
}

const char *vm_qmp_path(const struct vm *vm)
{
	return vm->qmp_path;
}

const char *vm_console_path(const struct vm *vm)
{
	return vm->console_path;
}
