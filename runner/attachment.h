/* SPDX-License-Identifier: MIT */
/*
 * A VM on a bridge, from attach to detach: a port of the bridge, and a NIC of
 * every boot of the VM meanwhile. It ends with the bridge or with the VM,
 * whichever is closed first. No Lua: what Lua holds of it is bind_nic.h.
 */
#ifndef RUNNER_ATTACHMENT_H
#define RUNNER_ATTACHMENT_H

#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/err.h"
#include "vmm/net/bridge.h"

struct vm_object;
struct bridge_object;

struct attachment {
	struct vm_object *vm;
	struct bridge_object *bridge;
	struct port *port; /* owned */
	TAILQ_ENTRY(attachment) of_vm;
	TAILQ_ENTRY(attachment) of_bridge;
};
/* Each in the order of attach. */
TAILQ_HEAD(attachment_list, attachment);

/* attachment_may_attach() has said yes. NULL with err. */
struct attachment *attachment_new(struct vm_object *v, struct bridge_object *b,
				  struct err *err);
/* The same, in that place on the bridge where it is free. */
struct attachment *attachment_new_at(struct vm_object *v,
				     struct bridge_object *b, unsigned slot,
				     struct err *err);
/* Legal in every state of the VM: its guest, if it runs, hears nothing on that
 * NIC from now on. attachment_free(NULL) is a no-op. */
struct attachment *attachment_free(struct attachment *a);

/* What VM and bridge have in common, or NULL. */
struct attachment *attachment_find(const struct vm_object *v,
				   const struct bridge_object *b);

/* The guest runs, and can be told what becomes of its NICs. */
bool attachment_is_live(const struct vm_object *v);

/* Whether the VM may be put on b, and whether it may be taken off one: while it
 * is off, or booted. 0, or a negative errno and err, which says what helps. */
int attachment_may_attach(const struct vm_object *v,
			  const struct bridge_object *b, struct err *err);
int attachment_may_detach(const struct vm_object *v, struct err *err);

/* vm_link_start(), where there is a VM; else for its boots to come. */
struct qmp_call;
void attachment_link(struct attachment *a, bool is_up, struct qmp_call *call,
		     int64_t deadline_ns);

/* Gives the NICs to the VM, which must be there, for its next boot. -ENOSPC:
 * with its spare ones they are too many. */
int attachment_plug_all(const struct vm_object *v, struct err *err);

/* The captures that are open on its bridge: each counts as an open stream of
 * every VM there. */
static inline struct stream_list *
attachment_captures(const struct attachment *a)
{
	return bridge_captures(port_bridge(a->port));
}

#endif
