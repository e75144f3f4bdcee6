/* SPDX-License-Identifier: MIT */
/*
 * The disks of a VM that provium serves itself, for what no other disk can do:
 * errors, delays, and the loss of what was not flushed. Images are raw, the
 * VM's own files those of cow.h; each QEMU has a connection for each of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "streams/disk_err.h"
#include "vmm/transport.h"
#include "vmm/vm_private.h"

/* The bytes on which QEMU's programs lock images (block/file-posix.c). */
#define LOCK_FROM  100
#define LOCK_BYTES 200

static int lock_image(int fd, const char *path, struct err *err)
{
	struct flock lock = {
	    .l_type = F_WRLCK,
	    .l_whence = SEEK_SET,
	    .l_start = LOCK_FROM,
	    .l_len = LOCK_BYTES,
	};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return err_set(err, -EBUSY,
		       "image '%s' is in use by another guest or program",
		       path);
}

/* The image is the base, or the top itself. */
static int vm_mediated_open_image(struct vm_disk *d, bool is_top,
				  struct err *err)
{
	const char *path = d->spec->path;
	int fd = open(path, (is_top ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "cannot open '%s': %s", path,
			       strerror(errno));
	if (!is_top) {
		d->base_fd = fd;
		return 0;
	}
	d->top_fd = fd;
	return lock_image(fd, path, err);
}

static int create_top(const struct vm *vm, size_t i, unsigned generation,
		      struct err *err)
{
	CLEANUP(free_ptr) char *path = vm_disk_top(vm, i, generation);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? disk_err(err, -errno, path, "cannot create '%s'", path)
		      : fd;
}

int vm_mediated_prepare(struct vm *vm, size_t i, struct err *err)
{
	struct vm_disk *d = &vm->disks[i];
	bool is_whole =
	    d->spec->source == DISK_IN_PLACE && !d->spec->is_readonly;
	int r = 0;

	if (d->image.is_qcow2)
		return err_set(err, -ENOTSUP,
			       "image '%s' is qcow2: a disk that is mediated "
			       "takes raw ones (qemu-img convert -O raw)",
			       d->spec->path);
	if (d->spec->path)
		r = vm_mediated_open_image(d, is_whole, err);
	if (r == 0 && vm_disk_has_top(d))
		r = d->top_fd = create_top(vm, i, 0, err);
	if (r < 0)
		return r;
	d->cow = cow_new(d->size, vm->copy.spec.run_dir, d->base_fd, err);
	if (!d->cow)
		return err->code;
	for (size_t k = 0; k < d->n_layers; k++)
		if ((r = cow_add_layer(d->cow, d->layers[k], err)) < 0)
			return r;
	if (d->top_fd >= 0)
		cow_set_top(d->cow, d->top_fd, is_whole);
	d->export.cow = d->cow;
	d->export.size = d->size;
	d->export.is_readonly = d->spec->is_readonly;
	return 0;
}

void vm_mediated_free(struct vm_disk *d)
{
	d->nbd = nbd_free(d->nbd);
	d->cow = cow_free(d->cow);
	fd_closep(&d->base_fd);
	fd_closep(&d->top_fd);
}

int vm_mediated_freeze(struct vm *vm, size_t i, struct err *err)
{
	struct vm_disk *d = &vm->disks[i];
	int r = cow_freeze(d->cow, err);
	int fd;

	if (r < 0)
		return r;
	fd = create_top(vm, i, d->generation + 1, err);
	if (fd < 0)
		return fd;
	r = cow_add_layer(d->cow, d->top_fd, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	cow_set_top(d->cow, fd, false);
	d->hashes[d->n_layers][0] = '\0';
	d->layers[d->n_layers++] = d->top_fd;
	d->top_fd = fd;
	d->generation++;
	return 0;
}

/* --- QEMU ------------------------------------------------------------------
 */

int vm_connect_disks(struct vm *vm, int ret[VM_DISKS_MAX], struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < vm->copy.spec.n_disks && r == 0; i++) {
		struct vm_disk *d = &vm->disks[i];
		int ours;

		if (!d->spec->is_mediated)
			continue;
		r = transport_pair(&ours, &ret[i], err);
		if (r < 0)
			break;
		d->export.mode = NBD_SERVES;
		d->nbd = nbd_new(vm->loop, ours, &d->export);
	}
	return r;
}

void vm_disconnect_disks(struct vm *vm)
{
	for (size_t i = 0; i < vm->copy.spec.n_disks; i++)
		vm->disks[i].nbd = nbd_free(vm->disks[i].nbd);
}

void vm_set_disk_mode(struct vm *vm, enum nbd_mode mode)
{
	for (size_t i = 0; i < vm->copy.spec.n_disks; i++) {
		vm->disks[i].export.mode = mode;
		nbd_update(vm->disks[i].nbd);
	}
}

bool vm_cut_disks(struct vm *vm)
{
	bool has_any = false;

	for (size_t i = 0; i < vm->copy.spec.n_disks; i++) {
		if (!vm->disks[i].cow)
			continue;
		cow_cut(vm->disks[i].cow);
		has_any = true;
	}
	return has_any;
}

/* --- the owner's hand ------------------------------------------------------
 */

int vm_disk_find(const struct vm *vm, const char *id)
{
	for (size_t i = 0; i < vm->copy.spec.n_disks; i++)
		if (!strcmp(vm->disks[i].spec->id, id))
			return (int)i;
	return -ENOENT;
}

const struct disk_spec *vm_disk_spec(const struct vm *vm, size_t i)
{
	return i < vm->copy.spec.n_disks ? vm->disks[i].spec : NULL;
}

uint64_t vm_disk_size(const struct vm *vm, size_t i)
{
	return vm->disks[i].is_ready ? vm->disks[i].size : 0;
}

struct cow *vm_disk_content(const struct vm *vm, size_t i)
{
	return vm->disks[i].is_ready ? vm->disks[i].cow : NULL;
}

unsigned vm_disk_faults(const struct vm *vm, size_t i)
{
	return vm->disks[i].export.faults;
}

void vm_disk_set_faults(struct vm *vm, size_t i, unsigned faults,
			int64_t delay_ns)
{
	vm->disks[i].export.faults = faults;
	if (delay_ns >= 0)
		vm->disks[i].export.delay_ns = delay_ns;
	nbd_update(vm->disks[i].nbd);
}
