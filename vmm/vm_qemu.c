/* SPDX-License-Identifier: MIT */
/* What a VM's QEMU is started with: sockets, files, arguments. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/disk_err.h"
#include "vmm/cmdline.h"
#include "vmm/qemu_argv.h"
#include "vmm/vm_private.h"

void vm_init_boot_fds(struct boot_fds *f)
{
	*f = (struct boot_fds){-1, -1, -1, -1, -1, -1, -1, -1, -1, {{0}}, {0}};
	for (size_t i = 0; i < VM_NICS_MAX; i++)
		f->nics[i].fd = -1;
	for (size_t i = 0; i < VM_DISKS_MAX; i++)
		f->disks[i] = -1;
}

void vm_close_boot_fds(struct boot_fds *f)
{
	fd_closep(&f->console);
	fd_closep(&f->console_theirs);
	fd_closep(&f->typed);
	fd_closep(&f->typed_theirs);
	fd_closep(&f->qmp);
	fd_closep(&f->qmp_theirs);
	fd_closep(&f->agent);
	fd_closep(&f->agent_theirs);
	fd_closep(&f->vhost);
	for (size_t i = 0; i < VM_NICS_MAX; i++)
		fd_closep(&f->nics[i].fd);
	for (size_t i = 0; i < VM_DISKS_MAX; i++)
		fd_closep(&f->disks[i]);
}

/* The files that a chardev `pipe` opens beside its path. */
static const char *const tty_suffixes[] = {"out", "in"};

static char *tty_file(const struct vm *vm, size_t i)
{
	return mem_printf("%s.%s", vm->tty_path, tty_suffixes[i]);
}

void vm_remove_boot_files(struct vm *vm)
{
	if (!vm->initrd_path)
		return;
	unlink(vm->initrd_path);
	for (size_t i = 0; i < ARRAY_LEN(tty_suffixes); i++) {
		CLEANUP(free_ptr) char *path = tty_file(vm, i);

		unlink(path);
	}
}

/*
 * QEMU has no chardev that takes the descriptor of a pipe; `pipe` opens
 * PATH.out and PATH.in (QEMU, chardev/char-pipe.c). They are links to the
 * descriptors that it inherits. It keeps those until it ends, which is the end
 * of file that we see.
 */
static int link_console(struct vm *vm, const struct boot_fds *f,
			struct err *err)
{
	const int fds[] = {f->console_theirs, f->typed_theirs};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		CLEANUP(free_ptr) char *path = tty_file(vm, i);
		char target[32];

		snprintf(target, sizeof(target), "/proc/self/fd/%d", fds[i]);
		unlink(path);
		if (symlink(target, path) < 0)
			return disk_err(err, -errno, path, "cannot create '%s'",
					path);
	}
	return 0;
}

int vm_open_boot_fds(struct vm *vm, struct boot_fds *f, struct err *err)
{
	int r = transport_pipe_from(&f->console, &f->console_theirs, err);

	if (r == 0)
		r = transport_pipe_to(&f->typed, &f->typed_theirs, err);
	if (r == 0)
		r = link_console(vm, f, err);
	if (r == 0)
		r = transport_pair(&f->qmp, &f->qmp_theirs, err);
	if (r == 0 && vm->copy.spec.transport == TRANSPORT_SERIAL)
		r = transport_pair(&f->agent, &f->agent_theirs, err);
	else if (r == 0)
		r = f->vhost = transport_reserve_cid(&vm->cid, err);
	if (r >= 0)
		r = vm_connect_disks(vm, f->disks, err);
	return r < 0 ? r : vm_plug_nics(vm, f->nics, err);
}

/* What QEMU inherits: sockets, and open files. */
struct inherited {
	int fds[7 + VM_NICS_MAX + VM_DISKS_MAX * (DISK_LAYERS_MAX + 1)];
	size_t n;
};

static void inherit(struct inherited *in, int fd)
{
	assert(in->n < ARRAY_LEN(in->fds));
	in->fds[in->n++] = fd;
}

static void inherit_all(struct inherited *in, const struct vm *vm,
			const struct boot_fds *f, int ram_fd, int state_fd)
{
	inherit(in, f->console_theirs);
	inherit(in, f->typed_theirs);
	inherit(in, f->qmp_theirs);
	inherit(in, f->vhost < 0 ? f->agent_theirs : f->vhost);
	if (ram_fd >= 0) {
		inherit(in, ram_fd);
		inherit(in, state_fd);
		inherit(in, vm->base_initrd_fd);
	}
	for (size_t i = 0; i < vm->n_nics; i++)
		inherit(in, f->nics[i].fd);
	for (size_t i = 0; i < VM_DISKS_MAX; i++)
		if (f->disks[i] >= 0)
			inherit(in, f->disks[i]);
	for (size_t i = 0; i < vm->copy.spec.n_disks; i++)
		for (size_t k = 0; k < vm->disks[i].n_layers; k++)
			inherit(in, vm->disks[i].layers[k]);
}

static void vm_qemu_fill_spec(struct vm *vm, const struct boot_fds *f,
			      struct qemu_spec *ret)
{
	const struct vm_spec *spec = &vm->copy.spec;

	*ret = (struct qemu_spec){
	    .name = spec->name,
	    .qemu = spec->qemu,
	    .kernel = spec->kernel,
	    .initrd = vm->initrd_path,
	    .memory = spec->memory,
	    .cpus = spec->cpus,
	    .initial_time = spec->initial_time,
	    .may_suspend = spec->may_suspend,
	    .has_rng_seed = spec->has_rng_seed,
	    .rng_seed = spec->rng_seed,
	    .accel = spec->accel,
	    .transport = spec->transport,
	    .console_path = vm->tty_path,
	    .qmp_fd = f->qmp_theirs,
	    .agent_fd = f->agent_theirs,
	    .vhost_fd = f->vhost,
	    .guest_cid = vm->cid,
	    .nics = f->nics,
	    .n_nics = vm->n_nics,
	    .n_disks = spec->n_disks,
	    .extra = spec->qemu_args,
	    .n_extra = spec->n_qemu_args,
	};
}

int vm_start_qemu(struct vm *vm, const struct boot_fds *f, struct err *err)
{
	const struct vm_spec *spec = &vm->copy.spec;
	CLEANUP(strvec_done) struct strvec argv = {0};
	CLEANUP(free_ptr) char *user = NULL;
	CLEANUP(free_ptr) char *cmdline = NULL;
	CLEANUP(free_ptr) char *initrd = NULL;
	struct qemu_disk disks[VM_DISKS_MAX];
	char *tops[VM_DISKS_MAX] = {NULL};
	int state_fd, ram_fd = vm_revival_fds(vm, &state_fd);
	struct inherited in = {.n = 0};
	struct qemu_spec qemu;

	user = cmdline_complete(spec->cmdline, spec->qemu_args,
				spec->n_qemu_args, spec->alarms->n > 0);
	cmdline = kernel_cmdline(user, spec->accel, spec->cpus, err);
	if (!cmdline)
		return err->code;
	vm_qemu_fill_spec(vm, f, &qemu);
	qemu.cmdline = cmdline;
	qemu.ram_fd = ram_fd;
	if (ram_fd >= 0) {
		initrd = mem_printf("/proc/self/fd/%d", vm->base_initrd_fd);
		qemu.initrd = initrd;
	}
	vm_describe_disks(vm, f->disks, disks, tops);
	qemu.disks = disks;
	qemu_argv(&argv, &qemu);
	for (size_t i = 0; i < ARRAY_LEN(tops); i++)
		free(tops[i]);
	inherit_all(&in, vm, f, ram_fd, state_fd);
	vm->process = process_new(vm->loop, (const char *const *)argv.v, in.fds,
				  in.n, vm_on_qemu_exit, vm, err);
	return vm->process ? 0 : err->code;
}
