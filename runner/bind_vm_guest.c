/* SPDX-License-Identifier: MIT */
/* A VM as a guest: what bindings that serve VMs and workers alike need. */
#include "runner/bind_guest.h"
#include "runner/bind_vm.h"

static struct client *bind_vm_guest_client_of(lua_State *L,
					      const struct object *g,
					      const char *method)
{
	return vm_object_client(L, (const struct vm_object *)g, method);
}

static struct client *bind_vm_guest_live_client_of(const struct object *g)
{
	const struct vm_object *v = (const struct vm_object *)g;

	return v->vm ? vm_client(v->vm) : NULL;
}

static unsigned bind_vm_guest_epoch_of(const struct object *g)
{
	const struct vm_object *v = (const struct vm_object *)g;

	return v->boots + (v->vm ? vm_restarts(v->vm) : 0);
}

static bool bind_vm_guest_has(const struct object *g, unsigned epoch,
			      uint64_t handle)
{
	const struct vm_object *v = (const struct vm_object *)g;
	unsigned now = bind_vm_guest_epoch_of(g);

	return epoch == now || (now == v->restored_epoch &&
				lineage_has(&v->lineage, epoch, handle));
}

static struct client *bind_vm_guest_numbers_of(const struct object *g)
{
	return vm_client(((const struct vm_object *)g)->vm);
}

static struct stream_list *bind_vm_guest_streams_of(const struct object *g)
{
	return vm_streams(((const struct vm_object *)g)->vm);
}

static void bind_vm_guest_describe(const struct object *g, struct buf *out)
{
	buf_printf(out, "VM %s", ((const struct vm_object *)g)->name);
}

const struct guest_ops vm_guest_ops = {
    .describe = bind_vm_guest_describe,
    .client = bind_vm_guest_client_of,
    .client_if_live = bind_vm_guest_live_client_of,
    .epoch = bind_vm_guest_epoch_of,
    .has = bind_vm_guest_has,
    .numbers = bind_vm_guest_numbers_of,
    .streams = bind_vm_guest_streams_of,
};
