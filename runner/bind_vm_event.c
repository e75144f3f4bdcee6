/* SPDX-License-Identifier: MIT */
/* What events tell of a VM. */
#include <string.h>

#include "agent-proto/clock.h"
#include "runner/bind_claim.h"
#include "runner/bind_vm.h"
#include "runner/event.h"
#include "runner/worker.h"

void vm_object_tell(const struct vm_object *v, const char *state,
		    double seconds)
{
	struct worker *w = v->worker;
	const char *test = suite_running_name(&w->suite);
	json_t *ev;

	if (w->is_over)
		return;
	ev = event_begin("vm");
	if (test)
		json_object_set_new(ev, "test",
				    event_string(test, strlen(test)));
	json_object_set_new(ev, "vm", event_string(v->name, strlen(v->name)));
	json_object_set_new(ev, "state", event_string(state, strlen(state)));
	if (seconds >= 0)
		json_object_set_new(ev, "seconds", json_real(seconds));
	if (v->need.memory)
		json_object_set_new(ev, "memory",
				    json_integer((json_int_t)v->need.memory));
	if (v->need.cpus)
		json_object_set_new(ev, "cpus",
				    json_integer((json_int_t)v->need.cpus));
	worker_emit(w, ev);
}

void vm_object_tell_end(const struct vm_object *v, const struct op *op)
{
	double s = (double)(clock_now_ns() - op->started_ns) / NS_PER_SEC;

	if (!object_is_closed(&v->obj))
		vm_object_tell(v,
			       op->result < 0
				   ? "failed"
				   : vm_state_name(vm_object_state(v)),
			       s);
}

void vm_object_ended(void *ctx)
{
	const struct vm_object *v = ctx;

	bind_claim_give_back(ctx);
	vm_object_tell(v, "ended", -1);
}
