/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * A snapshot is taken of a machine that stands still: QMP's stop, what the
 * table below asks for, the RAM, piece by piece so that the loop goes on, and
 * then cont. What QEMU is asked for:
 *
 *	query-migrate		does a device refuse to be saved
 *	query-block		is there a disk of the user's own making, whose
 *				state would be lost
 *	info ramblock		is there memory besides what is known here
 *	gpa2hva			where RAM and BIOS are in QEMU's memory
 *	transaction		disks: what was written is frozen (vm_freeze.c)
 *	xen-save-devices-state	the devices. It writes no RAM; Xen is not
 *				involved (QEMU, migration/savevm.c)
 *
 * At the first failure the machine goes on, and the draft is removed.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "streams/disk_err.h"
#include "vmm/filehash.h"
#include "vmm/ram.h"
#include "vmm/snapshot.h"
#include "vmm/vm_private.h"

/* Copied, and hashed, in a turn of the loop. */
#define TURN_MAX ((size_t)4 << 20)
/* More than any state of devices takes. */
#define STATE_ROOM ((uint64_t)4 << 20)

struct vm_saving {
	struct snapshot_draft draft;
	size_t step; /* in steps[] */
	bool was_running;
	struct ram_map ram;
	struct ram_map bios;
	struct ram_copy *copy;
	struct filehash *hash;
	struct filehash *layer_hash;
	int fd; /* of the file that is being written, or hashed; or -1 */
	enum snapshot_file file;
};

void vm_saving_free(struct vm *vm)
{
	struct vm_saving *s = TAKE(vm->saving);

	if (!s)
		return;
	ram_copy_free(s->copy);
	filehash_free(s->hash);
	filehash_free(s->layer_hash);
	fd_closep(&s->fd);
	snapshot_draft_done(&s->draft);
	free(s);
}

/* --- what QEMU answers -----------------------------------------------------
 */

static int no_answer(struct err *err, const char *command)
{
	return err_set(err, -EPROTO, "QEMU's answer to '%s' is not understood",
		       command);
}

static int take_migrate(struct vm *vm, const json_t *ret, struct err *err)
{
	const json_t *why = json_object_get(ret, "blocked-reasons");
	const char *first = json_string_value(json_array_get(why, 0));

	(void)vm;
	return first
		   ? err_set(err, -ENOTSUP,
			     "it has a device that cannot be saved: %s", first)
		   : 0;
}

static int vm_snapshot_take_block(struct vm *vm, const json_t *ret,
				  struct err *err)
{
	size_t i;
	json_t *o;

	json_array_foreach (ret, i, o) {
		const json_t *medium = json_object_get(o, "inserted");
		const char *node =
		    json_string_value(json_object_get(medium, "node-name"));
		const char *name =
		    json_string_value(json_object_get(o, "device"));

		if (!medium || json_is_true(json_object_get(medium, "ro")) ||
		    (node && vm_is_disk_node(vm, node)))
			continue;
		return err_set(
		    err, -ENOTSUP,
		    "its qemu_args give it a disk that can be written (%s), "
		    "which a snapshot would not hold: use the option disks",
		    name && *name ? name : "without a name");
	}
	return 0;
}

/* "NAME SIZE KiB OFFSET USED TOTAL"; what follows came with later versions. */
static int take_ram_line(struct vm *vm, const char *line, struct err *err)
{
	struct vm_saving *s = vm->saving;
	char name[256];
	uint64_t used;

	if (sscanf(line, " %255s %*s %*s 0x%*x 0x%" SCNx64, name, &used) != 2)
		return 0; /* the heading */
	if (!strcmp(name, "pc.bios")) {
		s->bios.size = used;
		return used && used <= SNAPSHOT_BIOS_MAX
			   ? 0
			   : no_answer(err, "info ramblock");
	}
	/* pc.rom is hidden by RAM once the firmware has run; /rom@ are files of
	 * fw_cfg, the same whenever this machine is made. */
	if (!strcmp(name, "ram") || !strcmp(name, "pc.rom") ||
	    !strncmp(name, "/rom@", 5))
		return 0;
	return err_set(err, -ENOTSUP,
		       "its qemu_args give it memory (%s) that a snapshot "
		       "would not hold",
		       name);
}

static int take_ramblock(struct vm *vm, const json_t *ret, struct err *err)
{
	CLEANUP(free_ptr)
	char *text =
	    mem_strdup(json_is_string(ret) ? json_string_value(ret) : "");
	char *rest = text, *line;
	int r = 0;

	while (r == 0 && (line = strsep(&rest, "\n")))
		r = take_ram_line(vm, line, err);
	return r == 0 && !vm->saving->bios.size
		   ? no_answer(err, "info ramblock")
		   : r;
}

int vm_parse_hva(const json_t *ret, uint64_t *ret_addr, struct err *err)
{
	static const char before[] = " is 0x";
	const char *text = json_string_value(ret);
	const char *at = text ? strstr(text, before) : NULL;

	if (!at || sscanf(at, " is 0x%" SCNx64, ret_addr) != 1 ||
	    *ret_addr % RAM_PAGE)
		return no_answer(err, "gpa2hva");
	return 0;
}

static int take_bios(struct vm *vm, const json_t *ret, struct err *err)
{
	struct vm_saving *s = vm->saving;
	int r = vm_parse_hva(ret, &s->bios.addr, err);
	CLEANUP(free_ptr) uint8_t *bytes = NULL;

	s->bios.pid = vm_pid(vm);
	if (r == 0)
		bytes = mem_alloc(s->bios.size);
	if (r == 0)
		r = ram_peek(&s->bios, bytes, err);
	json_object_set_new(
	    s->draft.json, "bios_addr",
	    json_integer((json_int_t)(SNAPSHOT_BIOS_END - s->bios.size)));
	return r < 0 ? r
		     : snapshot_draft_write(&s->draft, SNAPSHOT_BIOS, bytes,
					    s->bios.size, err);
}

static int take_ram(struct vm *vm, const json_t *ret, struct err *err)
{
	struct vm_saving *s = vm->saving;

	s->ram.pid = vm_pid(vm);
	s->ram.size = vm->copy.spec.memory;
	return vm_parse_hva(ret, &s->ram.addr, err);
}

static int take_state(struct vm *vm, const json_t *ret, struct err *err)
{
	(void)ret;
	return snapshot_draft_note(&vm->saving->draft, SNAPSHOT_STATE, NULL,
				   err);
}

/* QEMU says "An IO error has occurred" and no more. */
static void explain_state(const struct vm *vm, struct err *err)
{
	CLEANUP(free_ptr)
	char *path = snapshot_draft_path(&vm->saving->draft, SNAPSHOT_STATE);
	struct statvfs fs;

	if (statvfs(vm->saving->draft.dir, &fs) == 0 &&
	    fs.f_bavail * fs.f_bsize < STATE_ROOM)
		disk_err(err, -ENOSPC, path, "cannot write '%s'", path);
	else
		err_wrap(err, "cannot write '%s'", path);
}

/* --- steps -----------------------------------------------------------------
 */

static json_t *hmp(const char *line)
{
	return json_pack("{s:s}", "command-line", line);
}

static json_t *ask_ramblock(const struct vm *vm)
{
	(void)vm;
	return hmp("info ramblock");
}

static json_t *vm_snapshot_ask_bios(const struct vm *vm)
{
	CLEANUP(free_ptr)
	char *line = mem_printf("gpa2hva 0x%" PRIx64,
				SNAPSHOT_BIOS_END - vm->saving->bios.size);

	return hmp(line);
}

json_t *vm_ask_ram(const struct vm *vm)
{
	(void)vm;
	return hmp("gpa2hva 0");
}

static json_t *ask_state(const struct vm *vm)
{
	CLEANUP(free_ptr)
	char *path = snapshot_draft_path(&vm->saving->draft, SNAPSHOT_STATE);

	return json_pack("{s:s, s:b}", "filename", path, "live", 0);
}

static int begin_freeze(struct vm *vm, struct err *err);
static int end_freeze(struct vm *vm, const json_t *ret, struct err *err);
static int copy_ram(struct vm *vm, struct err *err);
static int hash_disks(struct vm *vm, struct err *err);
static int vm_snapshot_write_rest(struct vm *vm, struct err *err);

/* Either asks QEMU, or does something until it returns 1. */
struct saving_step {
	const char *command;
	json_t *(*arguments)(const struct vm *vm); /* NULL: none */
	int (*take)(struct vm *vm, const json_t *ret, struct err *err);
	int (*work)(struct vm *vm, struct err *err);
};

static const struct saving_step steps[] = {
    {"stop", NULL, NULL, NULL},
    {"query-migrate", NULL, take_migrate, NULL},
    {NULL, NULL, NULL, begin_freeze},
    {"query-block", NULL, vm_snapshot_take_block, NULL},
    {"human-monitor-command", ask_ramblock, take_ramblock, NULL},
    {"human-monitor-command", vm_snapshot_ask_bios, take_bios, NULL},
    {"human-monitor-command", vm_ask_ram, take_ram, NULL},
    {"transaction", vm_ask_freeze, end_freeze, NULL},
    {"xen-save-devices-state", ask_state, take_state, NULL},
    {NULL, NULL, NULL, copy_ram},
    {NULL, NULL, NULL, hash_disks},
    {NULL, NULL, NULL, vm_snapshot_write_rest},
};

/* --- the RAM ---------------------------------------------------------------
 */

/* Of a guest that was restored, what it changed; unless that has become so
 * much that an image of its own is better. */
static int begin_ram(struct vm *vm, struct err *err)
{
	struct vm_saving *s = vm->saving;
	uint64_t own = 0, base;
	bool is_patch;
	int r;

	s->file = SNAPSHOT_RAM;
	if (vm->base_ram_fd < 0) {
		s->fd = snapshot_draft_create(&s->draft, SNAPSHOT_RAM, err);
		if (s->fd < 0)
			return s->fd;
		s->copy = ram_save_new(&s->ram, RAM_IMAGE, s->fd, err);
		return s->copy ? 0 : err->code;
	}
	r = ram_own_bytes(&s->ram, &own, err);
	base = vm->base_ram_bytes;
	is_patch = own > base / 2;
	if (r == 0)
		r = snapshot_draft_link(&s->draft, SNAPSHOT_RAM,
					vm->base_ram_fd, is_patch, err);
	if (r == 0 && !is_patch) {
		s->file = SNAPSHOT_DELTA;
		r = snapshot_draft_note(&s->draft, SNAPSHOT_RAM,
					vm->base_ram_hash, err);
	}
	if (r < 0)
		return r;
	s->fd = is_patch
		    ? snapshot_draft_open(&s->draft, SNAPSHOT_RAM, err)
		    : snapshot_draft_create(&s->draft, SNAPSHOT_DELTA, err);
	if (s->fd < 0)
		return s->fd;
	s->copy =
	    ram_save_new(&s->ram, is_patch ? RAM_PATCH : RAM_DELTA, s->fd, err);
	return s->copy ? 0 : err->code;
}

static int hash_ram(struct vm_saving *s, struct err *err)
{
	char text[FILEHASH_TEXT_MAX];
	int r = filehash_step(s->hash, 2 * TURN_MAX, err);

	if (r <= 0)
		return r;
	filehash_text(s->hash, text);
	r = snapshot_draft_note(&s->draft, s->file, text, err);
	return r < 0 ? r : 1;
}

/* In pieces: the copy, then its hash. */
static int copy_ram(struct vm *vm, struct err *err)
{
	struct vm_saving *s = vm->saving;
	int r = 0;

	if (s->hash)
		return hash_ram(s, err);
	if (!s->copy)
		r = begin_ram(vm, err);
	if (r == 0)
		r = ram_copy_step(s->copy, TURN_MAX, err);
	if (r > 0) {
		s->hash = filehash_new(s->fd);
		r = 0;
	}
	return r;
}

/* --- disks -----------------------------------------------------------------
 */

static int begin_freeze(struct vm *vm, struct err *err)
{
	int r = vm_begin_freeze(vm, err);

	return r < 0 ? r : 1;
}

static int end_freeze(struct vm *vm, const json_t *ret, struct err *err)
{
	(void)ret;
	(void)err;
	vm_end_freeze(vm);
	return 0;
}

static int hash_disks(struct vm *vm, struct err *err)
{
	return vm_hash_layers(vm, &vm->saving->layer_hash, 2 * TURN_MAX, err);
}

/* --- the rest --------------------------------------------------------------
 */

static void vm_snapshot_add_nics(struct vm *vm)
{
	json_t *list = json_array();

	for (size_t i = 0; i < vm->n_nics; i++) {
		const struct vm_nic *nic = &vm->nics[i];
		char mac[MAC_TEXT_MAX];
		json_t *o;

		mac_format(nic->mac, mac);
		o = json_pack("{s:s}", "mac", mac);
		if (nic->port)
			json_object_set_new(
			    o, "bridge",
			    json_string(bridge_name(port_bridge(nic->port))));
		json_array_append_new(list, o);
	}
	json_object_set_new(vm->saving->draft.json, "nics", list);
}

static int vm_snapshot_write_initrd(struct vm *vm, struct err *err)
{
	struct snapshot_draft *d = &vm->saving->draft;
	CLEANUP(free_ptr) char *path = snapshot_draft_path(d, SNAPSHOT_INITRD);
	int r;

	if (vm->base_initrd_fd >= 0)
		r = snapshot_draft_link(d, SNAPSHOT_INITRD, vm->base_initrd_fd,
					false, err);
	else
		r = vm_write_initrd(vm, path, err);
	return r < 0 ? r : snapshot_draft_note(d, SNAPSHOT_INITRD, NULL, err);
}

static int write_console(struct vm *vm, struct err *err)
{
	CLEANUP(buf_done) struct buf log = {0};
	int r = console_read_log(vm->console, &log, err);

	return r < 0
		   ? r
		   : snapshot_draft_write(&vm->saving->draft, SNAPSHOT_CONSOLE,
					  buf_data(&log), log.len, err);
}

static int vm_snapshot_write_rest(struct vm *vm, struct err *err)
{
	struct snapshot_draft *d = &vm->saving->draft;
	int r = snapshot_draft_describe(d, &vm->copy.spec, qmp_version(vm->qmp),
					err);

	vm_snapshot_add_nics(vm);
	json_object_set_new(
	    d->json, "console_mark",
	    json_integer((json_int_t)console_boot_mark(vm->console)));
	json_object_set_new(
	    d->json, "next_handle",
	    json_integer((json_int_t)client_next_handle(vm->client)));
	if (r == 0 && (r = vm_save_disks(vm, d, err)) == 0 &&
	    (r = vm_snapshot_write_initrd(vm, err)) == 0 &&
	    (r = write_console(vm, err)) == 0)
		r = snapshot_draft_commit(d, err);
	return r < 0 ? r : 1;
}

/* --- the way through -------------------------------------------------------
 */

void vm_resume_quietly(struct vm *vm)
{
	if (!vm->saving || !vm->saving->was_running || !vm->qmp || vm->is_freed)
		return;
	vm_start_command(vm, "cont", NULL);
}

/* Its CPUs go on; r: how it ended. */
static void vm_snapshot_finish(struct vm *vm, int r, struct err *err)
{
	qmp_call_done(&vm->command);
	vm_resume_quietly(vm);
	vm_saving_free(vm);
	vm->ask = ASK_NONE;
	if (r < 0)
		err_wrap(err, "VM %s: no snapshot was taken", vm_name(vm));
	vm_finish_op(vm, r < 0 ? r : 0, err);
}

/* The next step that is to be made; skipping the stop of one that stands. */
static void begin_step(struct vm *vm)
{
	struct vm_saving *s = vm->saving;

	if (s->step == 0 && !s->was_running)
		s->step++;
	if (s->step < ARRAY_LEN(steps) && steps[s->step].command)
		vm_start_command(vm, steps[s->step].command,
				 steps[s->step].arguments
				     ? steps[s->step].arguments(vm)
				     : NULL);
	else
		vm_kick(vm);
}

void vm_step_saving(struct vm *vm)
{
	struct vm_saving *s = vm->saving;
	const struct saving_step *step = &steps[s->step];
	struct err err = {0};
	int r = 1;

	if (step->command) {
		if (!op_is_done(&vm->command.op))
			return;
		err = vm->command.op.err;
		r = vm->command.op.result;
		/* A QEMU that is gone has told why, or will. */
		if (r < 0 && r != -EREMOTEIO)
			return;
		if (r < 0 && step->take == take_state)
			explain_state(vm, &err);
		if (r >= 0 && step->take)
			r = step->take(vm, vm->command.ret, &err);
		/* Its memory is gone: the same. */
		if (r == -ESRCH)
			return;
		qmp_call_done(&vm->command);
		r = r < 0 ? r : 1;
	} else if ((r = step->work(vm, &err)) == -ESRCH) {
		return;
	}
	if (r < 0 || (r > 0 && ++s->step == ARRAY_LEN(steps))) {
		vm_snapshot_finish(vm, r, &err);
		return;
	}
	if (r > 0)
		begin_step(vm);
	else
		vm_kick(vm);
}

void vm_snapshot_start(struct vm *vm, const char *dir, json_t *take_note,
		       struct op *op, int64_t deadline_ns)
{
	struct err err;

	if (!vm_ask(vm, ASK_SNAPSHOT, op, deadline_ns)) {
		json_decref(take_note);
		return;
	}
	vm->saving = mem_zalloc(sizeof(*vm->saving));
	vm->saving->fd = -1;
	vm->saving->was_running = vm->state == VM_BOOTED;
	if (snapshot_draft_init(&vm->saving->draft, dir, &err) < 0) {
		json_decref(take_note);
		vm->saving->was_running = false;
		vm_snapshot_finish(vm, err.code, &err);
		return;
	}
	if (take_note)
		json_object_set_new(vm->saving->draft.json, "note", take_note);
	begin_step(vm);
}
