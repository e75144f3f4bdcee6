/* SPDX-License-Identifier: MIT */
/*
 * vm:forward(port). Its port of the host stays the same for as long as the VM
 * object lives, however often the guest boots; while the guest is off, who
 * connects is reset.
 */
#include <stdlib.h>

#include "agent-proto/mem.h"
#include "runner/bind_vm.h"
#include "streams/forward.h"

/* Of one VM. */
#define FORWARDS_MAX 64

struct vm_forward {
	struct forward *forward;
	SLIST_ENTRY(vm_forward) link;
};

void bind_forward_close_all(struct vm_object *v)
{
	struct vm_forward *e;

	while ((e = SLIST_FIRST(&v->forwards))) {
		SLIST_REMOVE_HEAD(&v->forwards, link);
		forward_free(e->forward);
		free(e);
	}
}

/* Connections go to the guest that runs when they are made. */
static struct client *current_client(void *ctx)
{
	const struct vm_object *v = ctx;

	return v->vm ? vm_client(v->vm) : NULL;
}

static struct forward *bind_forward_find(const struct vm_object *v,
					 uint16_t port, size_t *ret_n)
{
	struct vm_forward *e;

	*ret_n = 0;
	SLIST_FOREACH(e, &v->forwards, link)
	{
		++*ret_n;
		if (forward_guest_port(e->forward) == port)
			return e->forward;
	}
	return NULL;
}

static int l_forward(lua_State *L)
{
	static const char method[] = "vm:forward";
	struct vm_object *v = vm_check(L, 1, method);
	uint16_t port = (uint16_t)arg_int(L, method, 2, "port", 1, UINT16_MAX);
	struct client *c = vm_check_client(L, 1, method);
	struct err err = {0};
	size_t n;
	struct forward *f = bind_forward_find(v, port, &n);

	if (!f && n == FORWARDS_MAX)
		bind_fail_arg(L, method, "VM '%s' has %d forwards already",
			      v->name, FORWARDS_MAX);
	if (!f) {
		f = forward_new(client_loop(c), port, current_client, v, &err);
		if (!f)
			bind_fail_err(L, method, &err);
		struct vm_forward *e = mem_zalloc(sizeof(*e));
		e->forward = f;
		SLIST_INSERT_HEAD(&v->forwards, e, link);
	}
	lua_pushfstring(L, "127.0.0.1:%d", (int)forward_port(f));
	return 1;
}

void bind_forward_register(lua_State *L)
{
	static const struct bind_method methods[] = {
	    {"forward", l_forward, 1},
	    {NULL, NULL, 0},
	};

	bind_class_extend(L, &vm_class, methods);
}
