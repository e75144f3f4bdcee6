/* SPDX-License-Identifier: MIT */
/*
 * The disks of a VM: there from its first boot until it is freed. What the
 * guest writes goes into a file beside the VM's log, <name>.disk<i>.<n>, unless
 * it is the user's own. That file lies on those that snapshots have frozen,
 * which are held open: they are read whatever becomes of the snapshot.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/qcow2.h"
#include "vmm/snapshot_private.h"
#include "vmm/vm_private.h"

bool vm_disk_has_top(const struct vm_disk *d)
{
	return !d->spec->is_readonly && d->spec->source != DISK_IN_PLACE;
}

char *vm_disk_top(const struct vm *vm, size_t i, unsigned generation)
{
	return mem_printf("%s.disk%zu.%u", vm->stem_path, i, generation);
}

void vm_init_disks(struct vm *vm)
{
	assert(vm->copy.spec.n_disks <= VM_DISKS_MAX);
	for (size_t i = 0; i < vm->copy.spec.n_disks; i++) {
		vm->disks[i].spec = &vm->copy.spec.disks[i];
		vm->disks[i].frozen_fd = -1;
		vm->disks[i].base_fd = vm->disks[i].top_fd = -1;
	}
}

/* A template that changed under what was written would be no disk any more. */
int vm_disk_check_image(const struct vm_disk *d, struct err *err)
{
	json_t *now;
	bool same;

	if (!d->image_id)
		return 0;
	now = snapshot_image_id(d->spec->path);
	same = json_equal(now, d->image_id);
	json_decref(now);
	return same ? 0
		    : err_set(err, -ESTALE,
			      "image '%s' is not what it was when the VM "
			      "booted first",
			      d->spec->path);
}

static int prepare(struct vm *vm, size_t i, struct err *err)
{
	struct vm_disk *d = &vm->disks[i];
	bool in_place = d->spec->source == DISK_IN_PLACE;
	CLEANUP(free_ptr) char *top = vm_disk_top(vm, i, 0);
	int r = 0;

	if (d->is_ready)
		return vm_disk_check_image(d, err);
	d->size = d->spec->size;
	if (d->spec->path) {
		r = disk_inspect(d->spec->path,
				 in_place && !d->spec->is_readonly, &d->image,
				 err);
		if (!d->size)
			d->size = d->image.size;
	}
	if (r == 0 && d->spec->path && (!in_place || d->spec->is_readonly))
		d->image_id = snapshot_image_id(d->spec->path);
	if (r == 0 && d->spec->is_mediated)
		r = vm_mediated_prepare(vm, i, err);
	else if (r == 0 && vm_disk_has_top(d))
		r = qcow2_create(top, d->size, err);
	d->is_ready = r == 0;
	return r;
}

int vm_prepare_disks(struct vm *vm, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < vm->copy.spec.n_disks && r == 0; i++) {
		r = prepare(vm, i, err);
		if (r < 0)
			err_wrap(err, "disk '%s'", vm->disks[i].spec->id);
	}
	return r;
}

void vm_describe_disks(const struct vm *vm, const int *nbd_fds,
		       struct qemu_disk *ret, char **take_tops)
{
	for (size_t i = 0; i < vm->copy.spec.n_disks; i++) {
		const struct vm_disk *d = &vm->disks[i];

		take_tops[i] = vm_disk_has_top(d)
				   ? vm_disk_top(vm, i, d->generation)
				   : NULL;
		ret[i] = (struct qemu_disk){
		    .id = d->spec->id,
		    .image = d->spec->path,
		    .image_is_qcow2 = d->image.is_qcow2,
		    .image_is_written = !d->spec->is_readonly &&
					d->spec->source == DISK_IN_PLACE,
		    .layers = d->layers,
		    .n_layers = d->n_layers,
		    .top = take_tops[i],
		    .generation = d->generation,
		    .nbd_fd = nbd_fds[i],
		    .is_readonly = d->spec->is_readonly,
		};
	}
}

void vm_free_disks(struct vm *vm)
{
	for (size_t i = 0; i < vm->copy.spec.n_disks; i++) {
		struct vm_disk *d = &vm->disks[i];

		/* And of one that was to follow. */
		for (unsigned g = 0; vm_disk_has_top(d) && d->is_ready &&
				     g <= d->generation + 1;
		     g++) {
			CLEANUP(free_ptr) char *path = vm_disk_top(vm, i, g);

			unlink(path);
		}
		for (size_t k = 0; k < d->n_layers; k++)
			close(d->layers[k]);
		fd_closep(&d->frozen_fd);
		vm_mediated_free(d);
		json_decref(d->image_id);
		*d = (struct vm_disk){.spec = d->spec,
				      .base_fd = -1,
				      .top_fd = -1,
				      .frozen_fd = -1};
	}
}
