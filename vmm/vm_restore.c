/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * A restore starts a new QEMU that waits (-incoming defer), with the
 * snapshot's image of the RAM mapped privately: nothing is read ahead, and any
 * number of guests share its pages. When QMP answers,
 *
 *	gpa2hva			the BIOS is put in its place, and over the RAM
 *				what was changed since (vmm/ram.h)
 *	migrate-incoming	loads the devices; then the guest goes on
 *	HELLO			begins a new session with its agent, which
 *				waits from the start
 *	RESTORED		tells the agent: it needs new random numbers
 *
 * The links of its NICs are told last: QEMU has set them as they were.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "agent-proto/msg.h"
#include "vmm/ram.h"
#include "vmm/snapshot.h"
#include "vmm/vm_private.h"

#define TURN_MAX      ((size_t)4 << 20)
#define ENTROPY_BYTES 64

enum step { STEP_BIOS, STEP_RAM_AT, STEP_RAM, STEP_DEVICES, STEP_GUEST };

struct vm_revival {
	enum step step;
	bool is_begun;
	bool sets_clock;
	char *qemu; /* the version that it must be */
	struct buf bios;
	uint64_t bios_addr;
	int state_fd;
	int delta_fd; /* -1: nothing was changed */
	struct ram_copy *load;
	uint64_t next_handle;
	struct call *word; /* RESTORED */
};

void vm_revival_free(struct vm *vm)
{
	struct vm_revival *r = TAKE(vm->revival);

	if (!r)
		return;
	free(r->qemu);
	buf_done(&r->bios);
	fd_closep(&r->state_fd);
	fd_closep(&r->delta_fd);
	ram_copy_free(r->load);
	call_free(r->word);
	free(r);
}

int vm_revival_fds(const struct vm *vm, int *ret_state)
{
	*ret_state = vm->revival ? vm->revival->state_fd : -1;
	return vm->revival ? vm->base_ram_fd : -1;
}

uint64_t vm_revival_handles(const struct vm *vm)
{
	return vm->revival ? vm->revival->next_handle : 0;
}

/* --- QEMU ------------------------------------------------------------------
 */

static int vm_restore_check_qemu(const struct vm *vm, struct err *err)
{
	const char *now = qmp_version(vm->qmp);

	if (!strcmp(now, vm->revival->qemu))
		return 0;
	return err_set(err, -ESTALE,
		       "the snapshot is of QEMU %s, this one is %s: take it "
		       "anew",
		       vm->revival->qemu, now);
}

static json_t *vm_restore_ask_bios(const struct vm *vm)
{
	CLEANUP(free_ptr)
	char *line = mem_printf("gpa2hva 0x%llx",
				(unsigned long long)vm->revival->bios_addr);

	return json_pack("{s:s}", "command-line", line);
}

static int put_bios(struct vm *vm, struct err *err)
{
	struct ram_map m = {.pid = vm_pid(vm), .size = vm->revival->bios.len};
	int r = vm_parse_hva(vm->command.ret, &m.addr, err);

	return r < 0 ? r : ram_poke(&m, buf_data(&vm->revival->bios), err);
}

static int begin_load(struct vm *vm, struct err *err)
{
	struct vm_revival *r = vm->revival;
	struct ram_map m = {.pid = vm_pid(vm), .size = vm->copy.spec.memory};
	int rc = vm_parse_hva(vm->command.ret, &m.addr, err);

	if (rc == 0)
		r->load = ram_load_new(&m, r->delta_fd, err);
	return r->load ? 0 : err->code;
}

static void vm_restore_start_step(struct vm *vm, enum step step)
{
	struct vm_revival *r = vm->revival;

	r->step = step;
	switch (step) {
	case STEP_BIOS:
		vm_start_command(vm, "human-monitor-command",
				 vm_restore_ask_bios(vm));
		break;
	case STEP_RAM_AT:
		vm_start_command(vm, "human-monitor-command", vm_ask_ram(vm));
		break;
	case STEP_DEVICES: {
		CLEANUP(free_ptr) char *uri = mem_printf("fd:%d", r->state_fd);

		vm_start_command(vm, "migrate-incoming",
				 json_pack("{s:s}", "uri", uri));
		break;
	}
	case STEP_RAM:
	case STEP_GUEST:
		vm_kick(vm);
		break;
	}
}

/* A command was answered. */
static int answered(struct vm *vm, struct err *err)
{
	struct vm_revival *r = vm->revival;
	int rc = 0;

	switch (r->step) {
	case STEP_BIOS:
		rc = put_bios(vm, err);
		if (rc == 0)
			vm_restore_start_step(
			    vm, r->delta_fd < 0 ? STEP_DEVICES : STEP_RAM_AT);
		break;
	case STEP_RAM_AT:
		rc = begin_load(vm, err);
		if (rc == 0)
			vm_restore_start_step(vm, STEP_RAM);
		break;
	case STEP_DEVICES:
		vm_restore_start_step(vm, STEP_GUEST);
		break;
	case STEP_RAM:
	case STEP_GUEST:
		break;
	}
	return rc;
}

static int load_some(struct vm *vm, struct err *err)
{
	struct vm_revival *r = vm->revival;
	int rc = ram_copy_step(r->load, TURN_MAX, err);

	if (rc > 0) {
		r->load = ram_copy_free(r->load);
		vm_restore_start_step(vm, STEP_DEVICES);
	} else if (rc == 0) {
		vm_kick(vm);
	}
	return rc < 0 ? rc : 0;
}

/* Called in each step of a VM whose QEMU answers. May end the VM. */
void vm_step_revival(struct vm *vm)
{
	struct vm_revival *r = vm->revival;
	struct err err = {0};
	int rc = 0;

	if (!r->is_begun) {
		r->is_begun = true;
		rc = vm_restore_check_qemu(vm, &err);
		if (rc == 0)
			vm_restore_start_step(vm, STEP_BIOS);
	} else if (r->step == STEP_RAM) {
		rc = load_some(vm, &err);
	} else if (r->step != STEP_GUEST && op_is_done(&vm->command.op)) {
		err = vm->command.op.err;
		rc = vm->command.op.result;
		/* A QEMU that is gone has told why, or will. */
		if (rc < 0 && rc != -EREMOTEIO)
			return;
		if (rc >= 0)
			rc = answered(vm, &err);
	}
	/* A QEMU whose memory is gone will tell why in a moment. */
	if (rc >= 0 || rc == -ESRCH)
		return;
	err_wrap(&err, "VM %s: it cannot be restored", vm_name(vm));
	vm_die(vm, &err);
}

/* --- the guest -------------------------------------------------------------
 */

void vm_revival_greeted(struct vm *vm)
{
	struct vm_revival *r = vm->revival;
	uint8_t entropy[ENTROPY_BYTES];
	struct msg m = {.type = MSG_RESTORED};

	vm_tell_links(vm);
	/* Never short for so few bytes (getrandom(2)). */
	if (getrandom(entropy, sizeof(entropy), 0) != sizeof(entropy))
		abort();
	m.restored.entropy.p = entropy;
	m.restored.entropy.n = sizeof(entropy);
	m.restored.realtime_ns = r->sets_clock ? clock_realtime_ns() : 0;
	vm->link = LINK_WORD;
	call_free(r->word); /* of a session that ended meanwhile */
	r->word = call_new(vm->client);
	call_start(r->word, &m, NULL, 0, CLOCK_NEVER);
	r->word->op.on_done = vm_on_op;
	r->word->op.done_ctx = vm;
	if (op_is_done(&r->word->op))
		vm_kick(vm);
}

bool vm_revival_is_done(const struct vm *vm, struct err *ret)
{
	const struct op *op = &vm->revival->word->op;

	if (!op_is_done(op))
		return false;
	*ret = op->err;
	ret->code = op->result < 0 ? op->result : 0;
	return true;
}

/* --- the start -------------------------------------------------------------
 */

static int continue_console(struct vm *vm, const struct snapshot *s,
			    struct err *err)
{
	CLEANUP(buf_done) struct buf log = {0};
	int r = snapshot_read_file(s, SNAPSHOT_CONSOLE, &log, err);

	if (r == 0)
		console_continue(vm->console, buf_data(&log), log.len,
				 s->console_mark);
	return r;
}

/* What a later snapshot of this guest is based on. */
static int open_base(struct vm *vm, const struct snapshot *s, struct err *err)
{
	const json_t *ram =
	    json_object_get(json_object_get(s->json, "files"), "ram");
	const char *hash = json_string_value(json_object_get(ram, "hash"));
	struct stat st;

	vm->base_ram_fd = snapshot_open_file(s, SNAPSHOT_RAM, err);
	if (vm->base_ram_fd >= 0)
		vm->base_initrd_fd =
		    snapshot_open_file(s, SNAPSHOT_INITRD, err);
	if (vm->base_ram_fd < 0 || vm->base_initrd_fd < 0)
		return err->code;
	snprintf(vm->base_ram_hash, sizeof(vm->base_ram_hash), "%s",
		 hash ? hash : "");
	if (fstat(vm->base_ram_fd, &st) == 0)
		vm->base_ram_bytes = (uint64_t)st.st_blocks * 512;
	return 0;
}

static int open_all(struct vm *vm, const struct snapshot *s, struct err *err)
{
	struct vm_revival *r = vm->revival;
	int rc = open_base(vm, s, err);

	if (rc == 0)
		rc = vm_revive_disks(vm, s, err);
	if (rc == 0)
		rc = r->state_fd = snapshot_open_file(s, SNAPSHOT_STATE, err);
	if (rc >= 0 && s->has[SNAPSHOT_DELTA])
		rc = r->delta_fd = snapshot_open_file(s, SNAPSHOT_DELTA, err);
	if (rc >= 0)
		rc = snapshot_read_file(s, SNAPSHOT_BIOS, &r->bios, err);
	if (rc >= 0)
		rc = continue_console(vm, s, err);
	return rc < 0 ? rc : 0;
}

void vm_restore_start(struct vm *vm, const struct snapshot *s, bool sets_clock,
		      struct op *op, int64_t deadline_ns)
{
	struct vm_revival *r = mem_zalloc(sizeof(*r));
	struct err err = {0};

	r->qemu = mem_strdup(s->qemu);
	r->bios_addr = s->bios_addr;
	r->sets_clock = sets_clock;
	r->next_handle = s->next_handle;
	r->state_fd = r->delta_fd = -1;
	vm->revival = r;
	for (size_t i = 0; i < vm->n_nics; i++)
		memcpy(vm->nics[i].mac, s->nics[i].mac, MAC_LEN);
	if (open_all(vm, s, &err) < 0)
		err_wrap(&err, "VM %s", vm_name(vm));
	vm_begin_boot(vm, op, deadline_ns, err.code ? &err : NULL);
}

void snapshot_spec(const struct snapshot *s, struct vm_spec *ret)
{
	ret->kernel = s->kernel;
	ret->cmdline = s->cmdline;
	ret->net_setup = s->net_setup;
	ret->memory = s->memory;
	ret->cpus = s->cpus;
	ret->initial_time = s->initial_time;
	ret->may_suspend = s->may_suspend;
	ret->may_panic = s->may_panic;
	ret->has_rng_seed = s->has_rng_seed;
	ret->rng_seed = s->rng_seed;
	ret->accel = s->accel;
	ret->transport = s->transport;
	ret->qemu_args = (const char *const *)s->qemu_args;
	ret->n_qemu_args = s->n_qemu_args;
	ret->disks = s->specs;
	ret->n_disks = s->n_disks;
}
