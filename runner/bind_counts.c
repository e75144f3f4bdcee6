/* SPDX-License-Identifier: MIT */
/*
 * What hangs on a guest: vm:open_file_count, vm:open_stream_count and
 * vm:is_quiescent. That of its workers is its own; a capture counts for every
 * VM on its bridge, as a snapshot of any of them would tear it.
 */
#include "runner/attachment.h"
#include "runner/bind_file.h"
#include "runner/bind_guest.h"
#include "runner/bind_vm.h"
#include "runner/worker.h"

static int count_files_in(const struct scope *s, const struct object *vm)
{
	const struct object *o;
	int n = 0;

	TAILQ_FOREACH (o, &s->objects[RANK_FILE], link)
		n += o->class == &file_class && object_hangs_on(o, vm) &&
		     file_is_current(o);
	return n;
}

static int count_files(const struct worker *w, const struct vm_object *v)
{
	int n = 0;

	for (const struct scope *s = w->scope; s; s = s->parent)
		n += count_files_in(s, &v->obj);
	return n;
}

static int count_list(const struct stream_list *list)
{
	struct stream *s = TAILQ_FIRST(list);
	int n = 0;

	for (; s; s = stream_list_next(s))
		n++;
	return n;
}

static int count_streams(const struct vm_object *v)
{
	int n = v->vm ? count_list(vm_streams(v->vm)) : 0;
	const struct attachment *a;

	TAILQ_FOREACH (a, &v->attachments, of_vm)
		n += count_list(attachment_captures(a));
	return n;
}

static int l_open_file_count(lua_State *L)
{
	const struct vm_object *v = vm_check(L, 1, "vm:open_file_count");

	lua_pushinteger(L, count_files(worker_of(L), v));
	return 1;
}

static int l_open_stream_count(lua_State *L)
{
	lua_pushinteger(L,
			count_streams(vm_check(L, 1, "vm:open_stream_count")));
	return 1;
}

static int l_is_quiescent(lua_State *L)
{
	const struct vm_object *v = vm_check(L, 1, "vm:is_quiescent");
	const struct client *c = v->vm ? vm_client(v->vm) : NULL;

	lua_pushboolean(L, !count_files(worker_of(L), v) && !count_streams(v) &&
			       (!c || client_is_idle(c)));
	return 1;
}

void bind_counts_register(lua_State *L)
{
	static const struct bind_method methods[] = {
	    {"open_file_count", l_open_file_count, 0},
	    {"open_stream_count", l_open_stream_count, 0},
	    {"is_quiescent", l_is_quiescent, 0},
	    {NULL, NULL, 0},
	};

	bind_class_extend(L, &vm_class, methods);
}
