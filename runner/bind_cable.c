/* SPDX-License-Identifier: MIT */
/* What runner/lua/cable.lua needs: the steps of which none waits for another,
 * and the one that waits for QEMU. */
#include "runner/bind_cable.h"

#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind_bridge.h"
#include "runner/bind_nic.h"
#include "runner/bind_vm.h"
#include "vmm/qmp.h"

#define LINK_TIMEOUT_NS (10 * NS_PER_SEC)

/* --- VMs ------------------------------------------------------------------ */

/* One VM or a list of them at 2: pushes an array, *ret_n long. */
static struct vm_object **check_vms(lua_State *L, const char *method,
				    size_t *ret_n)
{
	lua_settop(L, 2);
	bool is_list = lua_istable(L, 2);
	size_t n = is_list
		       ? arg_list(L, method, 2, "vms", "a VM, or a list of VMs")
		       : 1;
	struct vm_object **vms =
	    lua_newuserdata(L, (n + 1) * sizeof(struct vm_object *));
	char name[32] = "vm";

	if (!is_list && !object_test(L, 2, &vm_class))
		bind_fail_arg(L, method,
			      "vms must be a VM, or a list of VMs, got %s",
			      arg_type_name(L, 2));
	if (!n)
		bind_fail_arg(L, method, "the list of VMs is empty");
	for (size_t i = 0; i < n; i++) {
		if (is_list) {
			lua_rawgeti(L, 2, (int)i + 1);
			snprintf(name, sizeof(name), "vms[%zu]", i + 1);
		} else {
			lua_pushvalue(L, 2);
		}
		vms[i] = bridge_check_vm(L, method, -1, name);
		lua_pop(L, 1);
	}
	*ret_n = n;
	return vms;
}

static int attach_one(struct vm_object *v, struct bridge_object *b,
		      struct err *err)
{
	struct attachment *a;
	int r = attachment_may_attach(v, b, err);

	if (r < 0)
		return r;
	a = attachment_new(v, b, err);
	if (!a)
		return err->code;
	r = attachment_is_live(v) ? vm_plug_nic(v->vm, a->port, err) : 0;
	if (r < 0)
		attachment_free(a);
	return r;
}

static int bind_cable_core_attach(lua_State *L)
{
	static const char method[] = "bridge:attach";
	struct bridge_object *b = bridge_check(L, method);
	struct err err = {0};
	size_t n, done = 0;
	struct vm_object **vms = check_vms(L, method, &n);
	int n_live = 0;

	while (done < n && attach_one(vms[done], b, &err) == 0)
		done++;
	if (done < n) {
		while (done)
			attachment_free(attachment_find(vms[--done], b));
		bind_fail_err(L, method, &err);
	}
	lua_newtable(L);
	for (size_t i = 0; i < n; i++) {
		if (!attachment_is_live(vms[i]))
			continue;
		object_push(L, &vms[i]->obj);
		lua_rawseti(L, -2, ++n_live);
	}
	return 1;
}

static int core_check_detach(lua_State *L)
{
	static const char method[] = "bridge:detach";
	struct bridge_object *b = bridge_check(L, method);
	struct attachment *a = bridge_check_attached(L, method, b, 2, "vm");
	struct err err = {0};

	if (attachment_may_detach(a->vm, &err))
		bind_fail_err(L, method, &err);
	lua_pushboolean(L, attachment_is_live(a->vm));
	return 1;
}

/* One or a list, whatever of it is attached; of what was closed meanwhile
 * nothing is. */
static int bind_cable_core_detach(lua_State *L)
{
	struct bridge_object *b =
	    object_check(L, 1, &bridge_class, "bridge:detach");
	size_t n = lua_istable(L, 2)
		       ? arg_list(L, "bridge:detach", 2, "vms", "a list of VMs")
		       : 1;

	for (size_t i = 0; i < n; i++) {
		if (lua_istable(L, 2))
			lua_rawgeti(L, 2, (int)i + 1);
		else
			lua_pushvalue(L, 2);
		struct vm_object *v = object_test(L, -1, &vm_class);
		if (v && !object_is_closed(&v->obj) &&
		    !object_is_closed(&b->obj))
			attachment_free(attachment_find(v, b));
		lua_pop(L, 1);
	}
	return 0;
}

/* --- links ---------------------------------------------------------------- */

struct link_call {
	struct qmp_call call;
	const char *method;
	bool is_started;
};

static void link_release(void *p)
{
	struct link_call *c = p;

	if (c->is_started)
		qmp_call_done(&c->call);
}

static int link_finish(lua_State *L, void *p)
{
	struct link_call *c = p;

	if (c->call.op.result < 0)
		bind_fail_err(L, c->method, &c->call.op.err);
	return 0;
}

/* What bridge and VM, at these indexes, have in common; raises where one of
 * them has gone meanwhile. */
static struct attachment *
bind_cable_check_pair(lua_State *L, const char *method, int bridge, int vm)
{
	struct bridge_object *b =
	    object_check(L, bridge, &bridge_class, method);

	if (object_is_closed(&b->obj))
		bind_fail_arg(L, method, "the bridge was closed meanwhile");
	return bridge_check_attached(L, method, b, vm, "vm");
}

/* link(method, bridge, vm, up) */
static int core_link(lua_State *L)
{
	const char *method = luaL_checkstring(L, 1);
	struct attachment *a = bind_cable_check_pair(L, method, 2, 3);
	bool is_up = lua_toboolean(L, 4);
	int64_t deadline = await_deadline(L, method, LINK_TIMEOUT_NS);
	struct link_call *c = await_new(L, method, sizeof(*c), link_release);

	await_keep(L, lua_gettop(L), 3);
	c->method = method;
	c->is_started = true;
	attachment_link(a, is_up, &c->call, deadline);
	return await(L, c, &c->call.op, link_finish);
}

static int core_command(lua_State *L)
{
	struct attachment *a = bind_cable_check_pair(L, "bridge:attach", 1, 2);
	const char *verb = luaL_checkstring(L, 3);
	struct strvec *argv = bind_push_strvec(L);

	if (attachment_is_live(a->vm))
		vm_net_command(a->vm->vm, a->port, verb, argv);
	if (!argv->n)
		return 0;
	bind_push_strings(L, argv);
	return 1;
}

void bind_cable_register(lua_State *L)
{
	static const struct bind_function core[] = {
	    {"attach", bind_cable_core_attach},
	    {"check_detach", core_check_detach},
	    {"detach", bind_cable_core_detach},
	    {"ends", nic_l_ends},
	    {"link", core_link},
	    {"command", core_command},
	    {"fail", bind_l_fail},
	    {NULL, NULL},
	};

	bind_push_methods(L, &bridge_class);
	bind_push_methods(L, &nic_class);
	lua_newtable(L);
	bind_functions(L, core);
	lua_state_run_blob(L, "runner/lua/cable.lua", 3);
	lua_pop(L, 1);
	bind_class_limit(L, &bridge_class);
	bind_class_limit(L, &nic_class);
}
