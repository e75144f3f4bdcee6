/* SPDX-License-Identifier: MIT */
#include "vmm/qemu_disk.h"

#include <stdio.h>

#include "agent-proto/cleanup.h"
#include "vmm/qemu_argv.h"

void qemu_disk_node(char ret[QEMU_NODE_MAX], size_t i, unsigned generation)
{
	snprintf(ret, QEMU_NODE_MAX, "disk%zu-top%u", i, generation);
}

/* Names the node that was added last; of the first there is none below. */
struct nodes {
	struct strvec *argv;
	char last[QEMU_NODE_MAX];
};

static void qemu_disk_add(struct nodes *n, const char *name, const char *driver,
			  const char *path, const char *options)
{
	CLEANUP(free_ptr) char *file = qemu_escape(path);

	strvec_add(n->argv, "-blockdev");
	strvec_addf(n->argv,
		    "driver=%s,node-name=%s,file.driver=file,"
		    "file.filename=%s%s%s%s",
		    driver, name, file, options, *n->last ? ",backing=" : "",
		    n->last);
	snprintf(n->last, sizeof(n->last), "%s", name);
}

static void qemu_disk_add_socket(struct nodes *n, const struct qemu_disk *d,
				 size_t i)
{
	qemu_disk_node(n->last, i, 0);
	strvec_add(n->argv, "-blockdev");
	strvec_addf(n->argv,
		    "driver=nbd,node-name=%s,server.type=fd,server.str=%d%s",
		    n->last, d->nbd_fd, d->is_readonly ? ",read-only=on" : "");
}

/*
 * What only a guest of ours has need not be brought to the host's disk, however
 * often the guest asks: it does not outlive a crash of the host.
 *
 * Errors are the guest's: with QEMU's default a full disk of the host would
 * stop it without a word.
 */
void qemu_disk_argv(struct strvec *argv, const struct qemu_disk *d, size_t i)
{
	struct nodes n = {.argv = argv};
	char name[QEMU_NODE_MAX];

	if (d->nbd_fd >= 0) {
		qemu_disk_add_socket(&n, d, i);
	} else if (d->image) {
		snprintf(name, sizeof(name), "disk%zu-image", i);
		qemu_disk_add(
		    &n, name, d->image_is_qcow2 ? "qcow2" : "raw", d->image,
		    d->image_is_written ? ",discard=unmap" : ",read-only=on");
	}
	for (size_t k = 0; d->nbd_fd < 0 && k < d->n_layers; k++) {
		CLEANUP(free_ptr)
		char *path = mem_printf("/proc/self/fd/%d", d->layers[k]);

		snprintf(name, sizeof(name), "disk%zu-layer%zu", i, k);
		qemu_disk_add(&n, name, "qcow2", path, ",read-only=on");
	}
	if (d->nbd_fd < 0 && d->top) {
		qemu_disk_node(name, i, d->generation);
		qemu_disk_add(&n, name, "qcow2", d->top,
			      ",discard=unmap,cache.no-flush=on");
	}
	strvec_add(argv, "-device");
	/* A power cut holds back every answer until QEMU has told of its stop.
	 * With an ioeventfd, QEMU 10 waits for those answers first. */
	strvec_addf(argv,
		    "virtio-blk-pci,id=disk%zu,drive=%s,serial=%s,"
		    "werror=report,rerror=report%s",
		    i, n.last, d->id, d->nbd_fd < 0 ? "" : ",ioeventfd=off");
}
