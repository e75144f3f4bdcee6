/* SPDX-License-Identifier: MIT */
/*
 * Owns the type snapshot: a folder (vmm/snapshot.h) that a test has asked for.
 * One without a path of the author's goes with the scope.
 */
#include "runner/bind_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind_bridge.h"
#include "runner/bind_guest.h"
#include "runner/worker.h"
#include "vmm/snapshot.h"

/* Streams that a refusal names; it counts the rest. */
#define STREAMS_SHOWN 5

static const char vm_key; /* of the VM, in the object's fields */

/* --- folders ----------------------------------------------------------------
 */

static struct snapshot_folder *
bind_snapshot_check_open(lua_State *L, struct snapshot_folder *f,
			 const char *method)
{
	if (object_is_closed(&f->obj))
		bind_fail_closed(L, method, &f->obj, "the snapshot");
	if (!f->path)
		bind_fail_arg(L, method, "the snapshot was deleted");
	return f;
}

struct snapshot_folder *snapshot_folder_check(lua_State *L, int idx,
					      const struct snapshot_kind *k,
					      const char *method)
{
	return bind_snapshot_check_open(
	    L, object_check(L, idx, k->class, method), method);
}

void snapshot_folder_close(struct snapshot_folder *f,
			   const struct snapshot_kind *k)
{
	struct err err;

	if (f->is_temporary && f->path)
		k->remove(f->path, &err);
	free(f->path);
	f->path = NULL;
}

int snapshot_folder_path(lua_State *L, const struct snapshot_kind *k,
			 const char *method)
{
	lua_pushstring(L, snapshot_folder_check(L, 1, k, method)->path);
	return 1;
}

int snapshot_folder_size(lua_State *L, const struct snapshot_kind *k,
			 const char *method)
{
	bind_push_u64(L, k->size(snapshot_folder_check(L, 1, k, method)->path));
	return 1;
}

int snapshot_folder_delete(lua_State *L, const struct snapshot_kind *k,
			   const char *method)
{
	struct snapshot_folder *f = object_check(L, 1, k->class, method);
	struct err err;

	if (object_is_closed(&f->obj) || !f->path)
		return 0;
	if (k->remove(f->path, &err) < 0)
		bind_fail_err(L, method, &err);
	free(f->path);
	f->path = NULL;
	return 0;
}

int snapshot_folder_l_tostring(lua_State *L)
{
	const struct snapshot_folder *f = lua_touserdata(L, 1);

	lua_pushfstring(L, "%s '%s': %p", f->obj.class->name,
			f->path ? f->path : "(gone)", (const void *)f);
	return 1;
}

/* --- of a VM -----------------------------------------------------------------
 */

static const struct snapshot_kind kind = {
    .class = &snapshot_class,
    .remove = snapshot_remove,
    .size = snapshot_disk_size,
};

static void snapshot_object_close(void *p)
{
	struct snapshot_object *s = p;

	snapshot_folder_close(&s->folder, &kind);
	lineage_done(&s->lineage);
}

struct snapshot_object *snapshot_object_push(lua_State *L, const char *path)
{
	struct snapshot_object *s = object_new(L, &snapshot_class, 0);

	s->folder.path = mem_strdup(path);
	return s;
}

const char *snapshot_arg(lua_State *L, const char *method, int idx,
			 struct snapshot_object **ret)
{
	struct snapshot_object *s = object_test(L, idx, &snapshot_class);

	if (ret)
		*ret = s;
	if (s) {
		lua_pushstring(
		    L, bind_snapshot_check_open(L, &s->folder, method)->path);
		return lua_tostring(L, -1);
	}
	if (lua_type(L, idx) != LUA_TSTRING)
		bind_fail_arg(L, method,
			      "snapshot must be a Snapshot, or the path of "
			      "one, got %s",
			      arg_type_name(L, idx));
	char *path = bind_host_path(L, arg_path(L, method, idx, "snapshot"));
	lua_pushstring(L, path);
	free(path);
	return lua_tostring(L, -1);
}

/* --- what keeps a snapshot from being taken ---------------------------------
 */

static void describe_stream(const struct stream *s, struct buf *out)
{
	const struct stream_label *l = stream_label(s);

	buf_printf(out, "\n  %s of %s", l->kind, l->detail);
	if (l->file)
		buf_printf(out, ", opened at %s:%d", l->file, l->line);
	if (l->test)
		buf_printf(out, " by test '%s'", l->test);
}

static size_t describe_streams(const struct stream_list *list, size_t n,
			       struct buf *out)
{
	const struct stream *s = TAILQ_FIRST(list);

	for (; s; s = stream_list_next(s))
		if (n++ < STREAMS_SHOWN)
			describe_stream(s, out);
	return n;
}

void snapshot_check_streams(lua_State *L, const char *method,
			    const struct vm_object *v)
{
	struct buf *text = bind_push_buf(L);
	const struct attachment *a;
	size_t n = describe_streams(vm_streams(v->vm), 0, text);

	TAILQ_FOREACH (a, &v->attachments, of_vm)
		n = describe_streams(attachment_captures(a), n, text);
	if (n > STREAMS_SHOWN)
		buf_printf(text, "\n  and %zu more", n - STREAMS_SHOWN);
	if (n)
		bind_fail_arg(L, method,
			      "VM '%s' has %zu open stream%s, which a snapshot "
			      "would tear: close %s first%.*s",
			      v->name, n, n == 1 ? "" : "s",
			      n == 1 ? "it" : "them", (int)text->len,
			      (char *)buf_data(text));
	lua_pop(L, 1);
}

/* --- vm:snapshot ------------------------------------------------------------
 */

struct take_call {
	struct op op;
	bool is_started;
	struct vm_object *v;
	char *path; /* owned */
	bool is_temporary;
	unsigned epoch;
	uint64_t next_handle;
};

static void bind_snapshot_take_release(void *p)
{
	struct take_call *c = p;

	if (c->is_started)
		op_done(&c->op);
	free(c->path);
}

/* 1: the VM. */
static int take_finish(lua_State *L, void *p)
{
	struct take_call *c = p;

	if (c->op.result < 0)
		bind_fail_err(L, "vm:snapshot", &c->op.err);
	struct snapshot_object *s = snapshot_object_push(L, c->path);
	s->folder.is_temporary = c->is_temporary;
	s->vm = c->v;
	lineage_descend(&s->lineage, &c->v->lineage, c->epoch, c->next_handle);
	object_push_fields(L, -1);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&vm_key);
	lua_pushvalue(L, 1);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return 1;
}

/* What a restore is to know of the VM besides the machine. */
static json_t *note_of(const struct vm_object *v)
{
	json_t *o = json_object();

	if (v->profile)
		json_object_set_new(o, "profile", json_string(v->profile));
	json_object_set_new(o, "name", json_string(v->name));
	return o;
}

int snapshot_l_take(lua_State *L)
{
	static const char method[] = "vm:snapshot";
	struct vm_object *v = vm_check(L, 1, method);
	enum vm_state state = vm_object_state(v);
	struct err err = {0};
	char *path;

	if (state != VM_BOOTED && state != VM_PAUSED)
		vm_object_fail_state(L, method, v);
	if (!lua_isnoneornil(L, 2))
		arg_path(L, method, 2, "path");
	snapshot_check_streams(L, method, v);
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	if (lua_isnoneornil(L, 2))
		path = worker_new_snapshot_dir(worker_of(L), &err);
	else
		path = bind_host_path(L, lua_tostring(L, 2));
	if (!path)
		bind_fail_err(L, method, &err);
	struct take_call *c =
	    await_new(L, method, sizeof(*c), bind_snapshot_take_release);

	c->path = path;
	/* That of a fixture stays. */
	c->is_temporary = lua_isnoneornil(L, 2) && !worker_of(L)->deps;
	await_keep(L, lua_gettop(L), 1);
	c->v = v;
	c->epoch = vm_guest_ops.epoch(&v->obj);
	c->next_handle = client_next_handle(vm_client(v->vm));
	c->is_started = true;
	vm_snapshot_start(v->vm, c->path, note_of(v), &c->op, deadline);
	return await(L, c, &c->op, take_finish);
}

/* --- answers ----------------------------------------------------------------
 */

static int bind_snapshot_l_path(lua_State *L)
{
	return snapshot_folder_path(L, &kind, "snapshot:path");
}

static int bind_snapshot_l_size(lua_State *L)
{
	return snapshot_folder_size(L, &kind, "snapshot:size");
}

static int bind_snapshot_l_delete(lua_State *L)
{
	return snapshot_folder_delete(L, &kind, "snapshot:delete");
}

static const struct bind_method methods[] = {
    {"path", bind_snapshot_l_path, 0},
    {"size", bind_snapshot_l_size, 0},
    {"delete", bind_snapshot_l_delete, 0},
    {NULL, NULL, 0},
};

static const struct bind_function meta[] = {
    {"__tostring", snapshot_folder_l_tostring},
    {NULL, NULL},
};

const struct object_class snapshot_class = {
    .name = "snapshot",
    .rank = RANK_FILE,
    .size = sizeof(struct snapshot_object),
    .close = snapshot_object_close,
    .methods = methods,
    .meta = meta,
};

void bind_snapshot_register(lua_State *L)
{
	bind_class(L, &snapshot_class);
}
