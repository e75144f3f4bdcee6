/* SPDX-License-Identifier: MIT */
/*
 * The disks of a VM in its snapshots. A snapshot takes no time for what is on a
 * disk: the file that was written until then becomes a layer, and a new one is
 * put on it (QMP: blockdev-snapshot-sync, all disks in one transaction). A disk
 * that was not written since the last one keeps its file. Layers go into the
 * snapshot as hard links.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/disk_err.h"
#include "vmm/qcow2.h"
#include "vmm/vm_private.h"

int vm_revive_disks(struct vm *vm, const struct snapshot *s, struct err *err)
{
	for (size_t i = 0; i < s->n_disks; i++) {
		struct vm_disk *d = &vm->disks[i];

		for (size_t k = 0; k < s->disks[i].n_layers; k++) {
			int fd = snapshot_open_layer(s, i, k, err);

			if (fd < 0)
				return fd;
			d->layers[k] = fd;
			d->n_layers = k + 1;
			snprintf(d->hashes[k], sizeof(d->hashes[k]), "%s",
				 snapshot_layer_hash(s, i, k));
		}
	}
	return 0;
}

bool vm_is_disk_node(const struct vm *vm, const char *name)
{
	char node[QEMU_NODE_MAX];

	for (size_t i = 0; i < vm->copy.spec.n_disks; i++) {
		qemu_disk_node(node, i,
			       vm->disks[i].cow ? 0 : vm->disks[i].generation);
		if (!strcmp(name, node))
			return true;
	}
	return false;
}

/* The top has data; -errno: that cannot be said. */
static int has_data(const struct vm *vm, size_t i, int *ret_fd, struct err *err)
{
	const struct vm_disk *d = &vm->disks[i];
	CLEANUP(free_ptr) char *path = vm_disk_top(vm, i, d->generation);
	CLEANUP(fd_closep) int fd = -1;
	struct stat st;
	int r;

	if (d->cow) {
		r = cow_flush(d->cow);
		return r < 0 ? disk_err(err, r, path, "cannot write '%s'", path)
			     : cow_has_data(d->cow);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot open '%s': %s", path,
			       strerror(errno));
	*ret_fd = TAKE_FD(fd);
	return (uint64_t)st.st_size != qcow2_empty_bytes(d->size);
}

/* The next top, where the one that there is has data. */
static int make_next(struct vm *vm, size_t i, struct err *err)
{
	struct vm_disk *d = &vm->disks[i];
	CLEANUP(free_ptr) char *next = vm_disk_top(vm, i, d->generation + 1);
	CLEANUP(fd_closep) int fd = -1;
	int r = has_data(vm, i, &fd, err);

	if (r <= 0)
		return r;
	/* There is always a top. */
	if (d->n_layers == DISK_LAYERS_MAX - 1)
		return err_set(err, -E2BIG,
			       "it lies on %d snapshots already, each of what "
			       "was written since the one before: restore an "
			       "earlier one, or boot anew",
			       DISK_LAYERS_MAX - 1);
	unlink(next); /* of an attempt that failed */
	if (d->cow)
		return vm_mediated_freeze(vm, i, err);
	if (qcow2_create(next, d->size, err) < 0)
		return err->code;
	d->frozen_fd = TAKE_FD(fd);
	return 0;
}

static int begin(struct vm *vm, size_t i, struct err *err)
{
	const struct disk_spec *spec = vm->disks[i].spec;

	if (vm_disk_has_top(&vm->disks[i]))
		return make_next(vm, i, err);
	if (spec->is_readonly)
		return 0;
	return err_set(err, -ENOTSUP,
		       "the guest writes '%s' itself, which a snapshot would "
		       "not hold: give the image as template",
		       spec->path);
}

int vm_begin_freeze(struct vm *vm, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < vm->copy.spec.n_disks; i++)
		fd_closep(&vm->disks[i].frozen_fd);
	for (size_t i = 0; i < vm->copy.spec.n_disks && r == 0; i++) {
		r = begin(vm, i, err);
		if (r < 0)
			err_wrap(err, "disk '%s'", vm->disks[i].spec->id);
	}
	return r;
}

json_t *vm_ask_freeze(const struct vm *vm)
{
	json_t *actions = json_array();

	for (size_t i = 0; i < vm->copy.spec.n_disks; i++) {
		const struct vm_disk *d = &vm->disks[i];
		char from[QEMU_NODE_MAX], to[QEMU_NODE_MAX];

		if (d->frozen_fd < 0)
			continue;
		CLEANUP(free_ptr)
		char *path = vm_disk_top(vm, i, d->generation + 1);
		qemu_disk_node(from, i, d->generation);
		qemu_disk_node(to, i, d->generation + 1);
		json_array_append_new(
		    actions,
		    json_pack("{s:s, s:{s:s, s:s, s:s, s:s, s:s}}", "type",
			      "blockdev-snapshot-sync", "data", "node-name",
			      from, "snapshot-file", path, "snapshot-node-name",
			      to, "format", "qcow2", "mode", "existing"));
	}
	return json_pack("{s:o}", "actions", actions);
}

void vm_end_freeze(struct vm *vm)
{
	for (size_t i = 0; i < vm->copy.spec.n_disks; i++) {
		struct vm_disk *d = &vm->disks[i];

		if (d->frozen_fd < 0)
			continue;
		d->hashes[d->n_layers][0] = '\0';
		d->layers[d->n_layers++] = TAKE_FD(d->frozen_fd);
		d->generation++;
	}
}

static bool find_unhashed(struct vm *vm, struct vm_disk **ret, size_t *ret_k)
{
	for (size_t i = 0; i < vm->copy.spec.n_disks; i++)
		for (size_t k = 0; k < vm->disks[i].n_layers; k++) {
			*ret = &vm->disks[i];
			*ret_k = k;
			if (!vm->disks[i].hashes[k][0])
				return true;
		}
	return false;
}

int vm_hash_layers(struct vm *vm, struct filehash **h, size_t max,
		   struct err *err)
{
	struct vm_disk *d;
	size_t k;
	int r;

	if (!find_unhashed(vm, &d, &k))
		return 1;
	if (!*h)
		*h = filehash_new(d->layers[k]);
	r = filehash_step(*h, max, err);
	if (r <= 0)
		return r;
	filehash_text(*h, d->hashes[k]);
	*h = filehash_free(*h);
	return 0;
}

int vm_save_disks(const struct vm *vm, struct snapshot_draft *draft,
		  struct err *err)
{
	json_t *list = json_array();
	int r = 0;

	json_object_set_new(draft->json, "disks", list);
	for (size_t i = 0; i < vm->copy.spec.n_disks && r == 0; i++) {
		const struct vm_disk *d = &vm->disks[i];

		r = vm_disk_check_image(d, err);
		for (size_t k = 0; k < d->n_layers && r == 0; k++)
			r = snapshot_draft_add_layer(draft, i, k, d->layers[k],
						     d->hashes[k], err);
		json_array_append_new(list, snapshot_describe_disk(
						d->spec, d->size, d->n_layers));
	}
	return r;
}
