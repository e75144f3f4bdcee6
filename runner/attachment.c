/* SPDX-License-Identifier: MIT */
#include "runner/attachment.h"

#include <errno.h>
#include <stdlib.h>

#include "agent-proto/mem.h"
#include "runner/bind_bridge.h"
#include "runner/bind_vm.h"
#include "runner/worker.h"
#include "vmm/net/bridge_state.h"
#include "vmm/qmp.h"

struct attachment *attachment_new(struct vm_object *v, struct bridge_object *b,
				  struct err *err)
{
	return attachment_new_at(v, b, PORTS_MAX, err);
}

struct attachment *attachment_new_at(struct vm_object *v,
				     struct bridge_object *b, unsigned slot,
				     struct err *err)
{
	struct port *port = bridge_attach_at(b->bridge, v->name, slot, err);

	if (!port)
		return NULL;
	struct attachment *a = mem_zalloc(sizeof(*a));
	a->vm = v;
	a->bridge = b;
	a->port = port;
	TAILQ_INSERT_TAIL(&v->attachments, a, of_vm);
	TAILQ_INSERT_TAIL(&b->attachments, a, of_bridge);
	return a;
}

struct attachment *attachment_free(struct attachment *a)
{
	if (!a)
		return NULL;
	TAILQ_REMOVE(&a->vm->attachments, a, of_vm);
	TAILQ_REMOVE(&a->bridge->attachments, a, of_bridge);
	if (a->vm->vm)
		vm_drop_nic(a->vm->vm, a->port);
	port_free(a->port);
	free(a);
	return NULL;
}

struct attachment *attachment_find(const struct vm_object *v,
				   const struct bridge_object *b)
{
	struct attachment *a;

	TAILQ_FOREACH (a, &v->attachments, of_vm)
		if (a->bridge == b)
			return a;
	return NULL;
}

static size_t attachment_count(const struct vm_object *v)
{
	struct attachment *a;
	size_t n = 0;

	TAILQ_FOREACH (a, &v->attachments, of_vm)
		n++;
	return n;
}

static bool is_running(const struct vm_object *v)
{
	enum vm_state s = vm_object_state(v);

	return s == VM_BOOTING || s == VM_BOOTED || s == VM_PAUSED ||
	       s == VM_SUSPENDED;
}

bool attachment_is_live(const struct vm_object *v)
{
	return vm_object_state(v) == VM_BOOTED;
}

int attachment_may_attach(const struct vm_object *v,
			  const struct bridge_object *b, struct err *err)
{
	enum vm_state s = vm_object_state(v);

	if (attachment_find(v, b))
		return err_set(err, -EEXIST,
			       "VM '%s' is on bridge '%s' already", v->name,
			       b->name);
	if (attachment_is_live(v) && !vm_has_free_nic(v->vm))
		return err_set(err, -EBUSY,
			       "VM '%s' runs, and has no NIC without a cable: "
			       "attach it before vm:boot(), or boot it with "
			       "spare_nics = 1",
			       v->name);
	if (is_running(v) && !attachment_is_live(v))
		return err_set(err, -EBUSY,
			       "VM '%s' is %s: attach it while it is off, or "
			       "booted",
			       v->name, vm_state_name(s));
	if (s == VM_DEAD)
		return err_set(err, -EHOSTDOWN,
			       "VM '%s' is dead: declare a new one", v->name);
	if (attachment_count(v) >= VM_NICS_MAX)
		return err_set(err, -ENOSPC,
			       "VM '%s' has %d NICs, more do not fit", v->name,
			       VM_NICS_MAX);
	return 0;
}

int attachment_may_detach(const struct vm_object *v, struct err *err)
{
	if (!is_running(v) || attachment_is_live(v))
		return 0;
	return err_set(err, -EBUSY,
		       "VM '%s' is %s: detach it while it is off, or booted",
		       v->name, vm_state_name(vm_object_state(v)));
}

void attachment_link(struct attachment *a, bool is_up, struct qmp_call *call,
		     int64_t deadline_ns)
{
	port_set_link(a->port, is_up);
	if (a->vm->vm)
		vm_link_start(a->vm->vm, a->port, is_up, call, deadline_ns);
	else
		qmp_call_skip(call, a->vm->worker->loop);
}

int attachment_plug_all(const struct vm_object *v, struct err *err)
{
	struct port *ports[VM_NICS_MAX];
	struct attachment *a;
	size_t n = 0;

	if (attachment_count(v) + vm_spare_nics(v->vm) > VM_NICS_MAX)
		return err_set(err, -ENOSPC,
			       "VM '%s' is on %zu bridges, and has %u spare "
			       "NICs: at most %d fit",
			       v->name, attachment_count(v),
			       vm_spare_nics(v->vm), VM_NICS_MAX);
	TAILQ_FOREACH (a, &v->attachments, of_vm)
		ports[n++] = a->port;
	vm_set_nics(v->vm, ports, n);
	return 0;
}
