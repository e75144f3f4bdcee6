/* SPDX-License-Identifier: MIT */
/*
 * Owns lab:claim, and the step of every boot that waits for the pool: the
 * file asks for all that it is going to boot, its time stands still until the
 * answer, and each VM keeps its part until it ends.
 */
#include "runner/bind_claim.h"

#include <stdio.h>

#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_snapshot.h"
#include "runner/bind_vm.h"
#include "runner/bind_vm_opts.h"
#include "runner/bind_worker.h"
#include "runner/claims.h"
#include "runner/worker.h"

#define WHAT_MAX  128
#define PLACE_MAX (SITE_FILE_MAX + 16)

static bool bind_claim_is_none(const struct pool_amount *a)
{
	return !a->memory && !a->cpus;
}

void bind_claim_give_back(void *vm_object)
{
	struct vm_object *v = vm_object;

	if (bind_claim_is_none(&v->held))
		return;
	claims_give_back(v->claims, &v->held);
	v->held = (struct pool_amount){0};
}

static bool can_boot(const struct vm_object *v)
{
	enum vm_state s = vm_object_state(v);

	return s == VM_CREATED || s == VM_SHUTDOWN;
}

struct pool_amount bind_claim_need(const struct worker *w,
				   const struct vm_object *v,
				   const struct vm_request *r)
{
	const struct config_profile *p =
	    config_find_profile(&w->config, v->profile, NULL);

	return (struct pool_amount){r->memory || !p ? r->memory : p->memory,
				    r->cpus || !p ? (uint64_t)r->cpus
						  : p->cpus};
}

/* What a boot of the VM at idx takes: one that is prepared knows. */
static struct pool_amount need_of(lua_State *L, const char *method, int idx)
{
	const struct vm_object *v = lua_touserdata(L, idx);

	if (v->vm)
		return v->need;
	struct vm_request r = vm_opts_sizes(L, method, idx);
	return bind_claim_need(worker_of(L), v, &r);
}

static const char *bind_claim_place_of(lua_State *L, char out[PLACE_MAX])
{
	struct site at;

	out[0] = '\0';
	if (lua_state_site(L, &at))
		snprintf(out, PLACE_MAX, "%s:%d", at.file, at.line);
	return out;
}

/* An ask in flight, and whom it is for. The VMs are kept. */
struct acquire_call {
	struct op op;
	const char *method;
	struct worker *w;
	size_t n;
	struct {
		struct vm_object *v;
		struct pool_amount need;
	} parts[];
};

static void acquire_release(void *p)
{
	struct acquire_call *c = p;

	op_done(&c->op);
}

static int acquire_finish(lua_State *L, void *p)
{
	struct acquire_call *c = p;

	if (c->op.result < 0)
		bind_fail_arg(L, c->method, "%s", c->op.err.text);
	for (size_t i = 0; i < c->n; i++) {
		struct vm_object *v = c->parts[i].v;

		const struct pool_amount *need = &c->parts[i].need;
		v->claims = c->w->claims;
		/* A sibling task may have been faster, or have closed it. */
		if (object_is_closed(&v->obj) ||
		    !bind_claim_is_none(&v->held) || !can_boot(v))
			claims_give_back(c->w->claims, need);
		else
			v->held = *need;
	}
	return 0;
}

/* Adds the VM at idx to the call, unless it has what it needs. */
static void add_part(lua_State *L, struct acquire_call *c, int idx)
{
	struct vm_object *v = vm_check(L, idx, c->method);

	/* Else the boot will say what is wrong. */
	if (!can_boot(v))
		return;
	struct pool_amount need = need_of(L, c->method, idx);
	if (v->held.memory == need.memory && v->held.cpus == need.cpus)
		return;
	bind_claim_give_back(v);
	c->parts[c->n].v = v;
	c->parts[c->n].need = need;
	c->n++;
}

static int bind_claim_start(lua_State *L, struct acquire_call *c,
			    enum pool_kind kind, struct pool_amount amount,
			    const char *what)
{
	char place[PLACE_MAX];
	struct pool_request r = {
	    .kind = kind,
	    .amount = amount,
	    .what = what,
	    .place = bind_claim_place_of(L, place),
	};
	int64_t deadline = await_deadline(L, c->method, CLOCK_NEVER);

	claims_ask(c->w->claims, &c->op, &r, deadline);
	await_passive(c);
	return await(L, c, &c->op, acquire_finish);
}

static struct acquire_call *new_call(lua_State *L, const char *method,
				     size_t n_parts)
{
	struct acquire_call *c =
	    await_new(L, method, sizeof(*c) + n_parts * sizeof(c->parts[0]),
		      acquire_release);

	c->method = method;
	c->w = worker_of(L);
	return c;
}

int bind_claim_l_acquire(lua_State *L)
{
	/* Static, as await_new() wants it. */
	static const char *const methods[] = {"vm:boot", "lab:boot",
					      "vm:restore", "lab:restore"};
	const char *method = methods[luaL_checkoption(
	    L, 1, NULL,
	    (const char *const[]){"vm:boot", "lab:boot", "vm:restore",
				  "lab:restore", NULL})];
	int last = lua_gettop(L);
	struct pool_amount sum = {0};
	char what[WHAT_MAX];

	luaL_checkstack(L, LUA_MINSTACK, method);
	struct acquire_call *c = new_call(L, method, (size_t)last);
	int block = lua_gettop(L);
	for (int i = 2; i <= last; i++)
		add_part(L, c, i);
	for (size_t i = 0; i < c->n; i++) {
		sum.memory += c->parts[i].need.memory;
		sum.cpus += c->parts[i].need.cpus;
	}
	if (!c->n)
		return 0;
	for (int i = 2; i <= last; i++)
		await_keep(L, block, i);
	if (c->n == 1)
		snprintf(what, sizeof(what), "VM '%s'", c->parts[0].v->name);
	else
		snprintf(what, sizeof(what), "%zu VMs", c->n);
	return bind_claim_start(L, c, POOL_VMS, sum, what);
}

int bind_claim_l_release(lua_State *L)
{
	for (int i = 1; i <= lua_gettop(L); i++) {
		struct vm_object *v = object_test(L, i, &vm_class);

		if (v && !object_is_closed(&v->obj) && can_boot(v))
			bind_claim_give_back(v);
	}
	return 0;
}

/* --- lab:claim --- */

struct claim_opts {
	uint64_t memory;
	int64_t cpus;
};

static const struct opt claim_options[] = {
    {"memory", OPT_SIZE, offsetof(struct claim_opts, memory)},
    {"cpus", OPT_INT, offsetof(struct claim_opts, cpus)},
    {NULL, 0, 0},
};

int bind_claim_l_claim(lua_State *L)
{
	static const char method[] = "lab:claim";
	struct site *at = &worker_of(L)->claim_site;
	struct claim_opts o = {0};

	if (!lua_istable(L, 2))
		bind_fail_arg(L, method, "what must be a table, got %s",
			      arg_type_name(L, 2));
	bind_options(L, method, 2, claim_options, &o);
	if (o.cpus < 0 || (!o.memory && !o.cpus))
		bind_fail_arg(L, method, "memory or cpus must be more than 0");
	if (at->line)
		bind_fail_arg(L, method,
			      "a file claims once, and this one did at %s:%d",
			      at->file, at->line);
	struct acquire_call *c = new_call(L, method, 0);
	await_check_expired(L, method);
	lua_state_site(L, at);
	return bind_claim_start(
	    L, c, POOL_CLAIM, (struct pool_amount){o.memory, (uint64_t)o.cpus},
	    "lab:claim");
}

static const struct bind_function core[] = {
    {"prepare", vm_l_prepare},
    {"acquire", bind_claim_l_acquire},
    {"start", vm_l_start},
    {"take_snapshot", snapshot_l_take},
    {"prepare_restore", restore_l_prepare},
    {"start_restore", restore_l_start},
    {"workers", restore_l_workers},
    {"relink", worker_l_relink},
    {"net_commands", restore_l_commands},
    {"set_finish", restore_l_set_finish},
    {NULL, NULL},
};

void bind_claim_register(lua_State *L)
{
	bind_class_extend_lua(L, &vm_class, core, "runner/lua/vm.lua");
}
