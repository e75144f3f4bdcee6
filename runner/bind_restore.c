/* SPDX-License-Identifier: MIT */
/*
 * vm:restore(): a new struct vm under the same object. What the object holds of
 * the old guest ends, but for the handles that the snapshot has: files,
 * processes and workers opened before it was taken are there again.
 */
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind_bridge.h"
#include "runner/bind_guest.h"
#include "runner/bind_snapshot.h"
#include "runner/bind_stream.h"
#include "runner/bind_worker.h"
#include "runner/vm_factory.h"
#include "runner/worker.h"
#include "vmm/snapshot.h"

static const char method[] = "vm:restore";

struct restore_opts {
	const char *clock;
	int64_t agent_timeout_ns;
};

static const struct opt restore_options[] = {
    {"clock", OPT_STRING, offsetof(struct restore_opts, clock)},
    {"agent_timeout", OPT_DURATION,
     offsetof(struct restore_opts, agent_timeout_ns)},
    {NULL, 0, 0},
};

/* What prepare leaves for start; the VM's. */
struct restoring {
	struct snapshot snapshot;
	bool sets_clock;
	int64_t timeout_ns;
};

void bind_restore_forget(struct vm_object *v)
{
	if (v->restoring)
		snapshot_done(&v->restoring->snapshot);
	free(v->restoring);
	v->restoring = NULL;
}

/* --- prepare ----------------------------------------------------------------
 */

static struct object *find_stream(struct worker *w, const struct vm_object *v)
{
	struct object *o;

	for (const struct scope *s = w->scope; s; s = s->parent)
		TAILQ_FOREACH (o, &s->objects[RANK_STREAM], link)
			if (object_hangs_on(o, &v->obj))
				return o;
	return NULL;
}

bool restore_arg_clock(lua_State *L, const char *as, const char *clock)
{
	bool is_now = clock && !strcmp(clock, "now");

	if (clock && !is_now && strcmp(clock, "continue") != 0)
		bind_fail_arg(L, as,
			      "clock must be \"continue\" or \"now\", got "
			      "\"%s\"",
			      clock);
	return is_now;
}

static void bind_restore_read_options(lua_State *L, int idx,
				      struct restoring *r)
{
	struct restore_opts o = {.agent_timeout_ns = VM_AGENT_TIMEOUT_NS};

	bind_options(L, method, arg_opt_table(L, method, idx, "options"),
		     restore_options, &o);
	r->sets_clock = restore_arg_clock(L, method, o.clock);
	r->timeout_ns = o.agent_timeout_ns;
}

/* Every bridge that the VM is on now must be one of the snapshot's NICs. */
static void check_attachments(lua_State *L, const struct vm_object *v,
			      const struct snapshot *s)
{
	const struct attachment *a;

	TAILQ_FOREACH (a, &v->attachments, of_vm) {
		size_t i = 0;

		while (i < s->n_nics &&
		       (!s->nics[i].bridge ||
			strcmp(s->nics[i].bridge, a->bridge->name) != 0))
			i++;
		if (i == s->n_nics)
			bind_fail_arg(L, method,
				      "VM '%s' is on bridge '%s', where it was "
				      "not when the snapshot was taken: detach "
				      "it first, and attach it again after "
				      "(a NIC without a cable takes one)",
				      v->name, a->bridge->name);
	}
}

static void end_guest(struct worker *w, struct vm_object *v)
{
	struct object *stream;

	while ((stream = find_stream(w, v)))
		object_close(stream);
	if (v->vm && vm_pid(v->vm) > 0)
		vm_object_tell(v, "ended", -1);
	v->boots += 1 + (v->vm ? vm_restarts(v->vm) : 0);
	vm_object_drop(v);
}

void vm_object_discard(struct vm_object *v)
{
	if (v->vm)
		end_guest(v->worker, v);
}

static void bind_restore_make_vm(lua_State *L, struct vm_object *v,
				 const struct snapshot *s)
{
	struct worker *w = worker_of(L);
	struct err err = {0};

	end_guest(w, v);
	v->vm = vm_factory_restore(worker_vms(w), v->name, s, v, &err);
	if (!v->vm)
		bind_fail_err(L, method, &err);
	vm_object_watch(v);
	v->restored_epoch = v->boots;
	v->need = (struct pool_amount){s->memory, s->cpus};
}

static int open_verified(lua_State *L, const char *path, struct snapshot *s,
			 struct err *err)
{
	if (snapshot_open(s, path, err) < 0)
		return err->code;
	int r = worker_verify_snapshot(worker_of(L), s, err);
	if (r < 0)
		snapshot_done(s);
	return r;
}

int restore_l_check(lua_State *L)
{
	const char *as = luaL_checkstring(L, 1);
	struct snapshot s;
	struct err err = {0};

	if (open_verified(L, snapshot_arg(L, as, 2, NULL), &s, &err) < 0)
		bind_fail_err(L, as, &err);
	snapshot_done(&s);
	return 0;
}

int restore_l_prepare(lua_State *L)
{
	struct vm_object *v = vm_check(L, 1, method);
	enum vm_state state = vm_object_state(v);
	struct snapshot_object *so;
	struct err err = {0};

	if (state == VM_BOOTING)
		vm_object_fail_state(L, method, v);
	lua_settop(L, 3);
	const char *path = snapshot_arg(L, method, 2, &so);
	await_check_expired(L, method);
	bind_restore_forget(v);
	v->restoring = mem_zalloc(sizeof(*v->restoring));
	bind_restore_read_options(L, 3, v->restoring);
	if (open_verified(L, path, &v->restoring->snapshot, &err) < 0) {
		bind_restore_forget(v);
		bind_fail_err(L, method, &err);
	}
	check_attachments(L, v, &v->restoring->snapshot);
	bind_restore_make_vm(L, v, &v->restoring->snapshot);
	lineage_done(&v->lineage);
	if (so && so->vm == v)
		lineage_copy(&v->lineage, &so->lineage);
	return 0;
}

/* --- start ------------------------------------------------------------------
 */

struct restore_call {
	struct op op;
	bool is_started;
	struct vm_object *v;
};

static void restore_release(void *p)
{
	struct restore_call *c = p;

	if (!c->is_started)
		return;
	op_done(&c->op);
	vm_object_tell_end(c->v, &c->op);
}

static int restore_finish(lua_State *L, void *p)
{
	struct restore_call *c = p;

	if (c->op.result < 0)
		bind_fail_err(L, method, &c->op.err);
	return 0;
}

static void plug_nics(struct vm_object *v, const struct snapshot *s)
{
	struct port *ports[VM_NICS_MAX] = {NULL};
	const struct attachment *a;

	TAILQ_FOREACH (a, &v->attachments, of_vm)
		for (size_t i = 0; i < s->n_nics; i++)
			if (s->nics[i].bridge &&
			    !strcmp(s->nics[i].bridge, a->bridge->name))
				ports[i] = a->port;
	vm_set_nics(v->vm, ports, s->n_nics);
}

int restore_l_start(lua_State *L)
{
	struct vm_object *v = vm_check(L, 1, method);

	/* While it waited for the pool, a sibling task may have been here. */
	if (!v->restoring || !v->vm || vm_object_state(v) != VM_CREATED)
		vm_object_fail_state(L, method, v);
	int64_t deadline = await_deadline(L, method, v->restoring->timeout_ns);
	struct restore_call *c =
	    await_new(L, method, sizeof(*c), restore_release);

	await_keep(L, lua_gettop(L), 1);
	c->v = v;
	c->is_started = true;
	v->agent_timeout_ns = v->restoring->timeout_ns;
	plug_nics(v, &v->restoring->snapshot);
	vm_object_tell(v, "restoring", -1);
	vm_restore_start(v->vm, &v->restoring->snapshot,
			 v->restoring->sets_clock, &c->op, deadline);
	bind_restore_forget(v);
	v->is_restored = true;
	return await(L, c, &c->op, restore_finish);
}

/* --- afterwards --------------------------------------------------------------
 */

int restore_l_workers(lua_State *L)
{
	struct vm_object *v = vm_check(L, 1, method);
	struct object *o;
	int n = 0;

	lua_newtable(L);
	for (const struct scope *s = worker_of(L)->scope; s; s = s->parent)
		TAILQ_FOREACH (o, &s->objects[RANK_WORKER], link) {
			if (o->owner != &v->obj || !worker_object_is_current(o))
				continue;
			object_push(L, o);
			lua_rawseti(L, -2, ++n);
		}
	return 1;
}

/* A NIC whose port has another MAC of its own came to another place: its guest
 * has to ask for the address anew. */
int restore_l_commands(lua_State *L)
{
	struct vm_object *v = vm_check(L, 1, method);
	const struct attachment *a;
	int n = 0;

	lua_newtable(L);
	TAILQ_FOREACH (a, &v->attachments, of_vm) {
		if (vm_object_state(v) != VM_BOOTED || port_is_home(a->port))
			continue;
		struct strvec *argv = bind_push_strvec(L);
		vm_net_command(v->vm, a->port, "up", argv);
		if (argv->n) {
			bind_push_strings(L, argv);
			lua_rawseti(L, -3, ++n);
		}
		lua_pop(L, 1);
	}
	return 1;
}

/* --- the two halves, in Lua ------------------------------------------------
 */

static const char finish_key;

int restore_l_set_finish(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&finish_key);
	lua_pushvalue(L, 1);
	lua_rawset(L, LUA_REGISTRYINDEX);
	return 0;
}

int restore_l_finish(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&finish_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	return 1;
}
