/* SPDX-License-Identifier: MIT */
/*
 * Owns the type lab_snapshot: a folder with a snapshot of each VM that ran, and
 * lab.json. What is done with it is runner/lua/lab_snapshot.lua's.
 */
#include "runner/bind_lab_snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/baseline.h"
#include "runner/bind.h"
#include "runner/bind_bridge.h"
#include "runner/bind_claim.h"
#include "runner/bind_lab.h"
#include "runner/bind_snapshot.h"
#include "runner/worker.h"
#include "vmm/net/bridge_state.h"
#include "vmm/snapshot.h"
#include "vmm/store.h"

#define LAB_JSON     "lab.json"
#define LAB_JSON_MAX (4u << 20)

static const char parts_key; /* of the VMs' snapshots, in its fields */

/* --- folders ----------------------------------------------------------------
 */

static bool is_part(const char *name)
{
	return !strncmp(name, "vm-", 3) && name[3];
}

/* Each part, then lab.json, then the folder, if nothing else is in it. */
static int remove_folder(const char *path, struct err *err)
{
	CLEANUP(free_ptr) char *json = mem_printf("%s/" LAB_JSON, path);
	DIR *d = opendir(path);
	const struct dirent *e;
	int r = 0;

	if (!d)
		return errno == ENOENT
			   ? 0
			   : err_set(err, -errno, "cannot read folder '%s': %s",
				     path, strerror(errno));
	while (r == 0 && (e = readdir(d))) {
		CLEANUP(free_ptr)
		char *part = mem_printf("%s/%s", path, e->d_name);

		if (is_part(e->d_name))
			r = snapshot_remove(part, err);
	}
	closedir(d);
	if (r < 0)
		return r;
	unlink(json);
	if (rmdir(path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "cannot remove '%s': %s", path,
			       strerror(errno));
	return 0;
}

static uint64_t size_of(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;
	uint64_t sum = 0;

	while (d && (e = readdir(d))) {
		CLEANUP(free_ptr)
		char *part = mem_printf("%s/%s", path, e->d_name);

		if (is_part(e->d_name))
			sum += snapshot_disk_size(part);
	}
	if (d)
		closedir(d);
	return sum;
}

/* --- the type ---------------------------------------------------------------
 */

static const struct object_class lab_snapshot_class;

static const struct snapshot_kind kind = {
    .class = &lab_snapshot_class,
    .remove = remove_folder,
    .size = size_of,
};

static void lab_snapshot_close(void *p)
{
	snapshot_folder_close(p, &kind);
}

static int bind_lab_snapshot_l_path(lua_State *L)
{
	return snapshot_folder_path(L, &kind, "lab_snapshot:path");
}

static int bind_lab_snapshot_l_size(lua_State *L)
{
	return snapshot_folder_size(L, &kind, "lab_snapshot:size");
}

static int bind_lab_snapshot_l_delete(lua_State *L)
{
	return snapshot_folder_delete(L, &kind, "lab_snapshot:delete");
}

static const struct bind_method methods[] = {
    {"path", bind_lab_snapshot_l_path, 0},
    {"size", bind_lab_snapshot_l_size, 0},
    {"delete", bind_lab_snapshot_l_delete, 0},
    {NULL, NULL, 0},
};

static const struct bind_function meta[] = {
    {"__tostring", snapshot_folder_l_tostring},
    {NULL, NULL},
};

static const struct object_class lab_snapshot_class = {
    .name = "lab_snapshot",
    .rank = RANK_FILE,
    .size = sizeof(struct snapshot_folder),
    .close = lab_snapshot_close,
    .methods = methods,
    .meta = meta,
};

/* --- for Lua: folders --------------------------------------------------------
 */

/* (method, path?) -> folder, is_kept */
static int core_folder(lua_State *L)
{
	const char *method = luaL_checkstring(L, 1);
	bool is_kept = !lua_isnoneornil(L, 2);
	struct err err = {0};
	char *path;

	if (is_kept) {
		arg_path(L, method, 2, "path");
		path = bind_host_path(L, lua_tostring(L, 2));
	} else {
		path = worker_new_snapshot_dir(worker_of(L), &err);
	}
	if (!path)
		bind_fail_err(L, method, &err);
	lua_pushstring(L, path);
	free(path);
	path = NULL;
	if (remove_folder(lua_tostring(L, -1), &err) < 0 ||
	    store_mkdirs(lua_tostring(L, -1), &err) < 0)
		bind_fail_err(L, method, &err);
	lua_pushboolean(L, is_kept);
	return 2;
}

/* (folder) */
static int core_discard(lua_State *L)
{
	struct err err;

	remove_folder(luaL_checkstring(L, 1), &err);
	return 0;
}

/* (method, folder, text) */
static int core_write(lua_State *L)
{
	const char *method = luaL_checkstring(L, 1);
	size_t n;
	const char *text = luaL_checklstring(L, 3, &n);
	struct err err = {0};
	char *path = mem_printf("%s/" LAB_JSON, luaL_checkstring(L, 2));
	int r = store_write(path, text, n, &err);

	free(path);
	if (r < 0)
		bind_fail_err(L, method, &err);
	return 0;
}

/* (folder, is_kept, parts) */
static int core_object(lua_State *L)
{
	struct snapshot_folder *s = object_new(L, &lab_snapshot_class, 0);

	s->path = mem_strdup(luaL_checkstring(L, 1));
	s->is_temporary = !lua_toboolean(L, 2) && !worker_of(L)->deps;
	object_push_fields(L, -1);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&parts_key);
	lua_pushvalue(L, 3);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return 1;
}

/* Pushes the folder of what is at idx, and a table of parts. */
static void push_folder(lua_State *L, const char *method, int idx)
{
	const struct snapshot_folder *s =
	    object_test(L, idx, &lab_snapshot_class);

	if (s) {
		lua_pushvalue(L, idx);
		lua_replace(L, 1);
		lua_pushstring(
		    L, snapshot_folder_check(L, 1, &kind, method)->path);
		object_push_fields(L, 1);
		lua_pushlightuserdata(L, (void *)(uintptr_t)&parts_key);
		lua_rawget(L, -2);
		lua_remove(L, -2);
		return;
	}
	if (lua_type(L, idx) != LUA_TSTRING)
		bind_fail_arg(L, method,
			      "snapshot must be a LabSnapshot, or the path of "
			      "one, got %s",
			      arg_type_name(L, idx));
	char *path = bind_host_path(L, arg_path(L, method, idx, "snapshot"));
	lua_pushstring(L, path);
	free(path);
	lua_newtable(L);
}

/* (method, snapshot) -> text, folder, parts */
static int core_read(lua_State *L)
{
	const char *method = luaL_checkstring(L, 1);
	struct buf *text = bind_push_buf(L);
	struct err err = {0};

	lua_pushstring(L, method); /* push_folder() takes the first place */
	push_folder(L, method, 2);
	char *path = mem_printf("%s/" LAB_JSON, lua_tostring(L, -2));
	int r = store_read(path, LAB_JSON_MAX, text, &err);
	free(path);
	if (r == -ENOENT)
		bind_fail_arg(L, method, "there is no lab's snapshot in '%s'",
			      lua_tostring(L, -2));
	if (r < 0)
		bind_fail_err(L, method, &err);
	lua_pushlstring(L, (char *)buf_data(text), text->len);
	lua_insert(L, -3);
	return 3;
}

/* --- for Lua: VMs and bridges ------------------------------------------------
 */

/* (method, vm) */
static int core_check_streams(lua_State *L)
{
	snapshot_check_streams(L, luaL_checkstring(L, 1),
			       vm_check(L, 2, "lab:snapshot"));
	return 0;
}

/* (vm): what ran is gone, and it can be attached and restored. */
static int core_off(lua_State *L)
{
	vm_object_discard(vm_check(L, 1, "lab:restore"));
	return 0;
}

static json_t *saved_arg(lua_State *L, int idx)
{
	size_t n;
	const char *text = luaL_checklstring(L, idx, &n);
	json_t *o = json_loadb(text, n, 0, NULL);

	if (!json_is_object(o)) {
		json_decref(o);
		bind_fail_arg(L, "lab:restore", "a bridge is damaged");
	}
	return o;
}

/* (bridge) -> text */
static int core_bridge_save(lua_State *L)
{
	const struct bridge_object *b = bridge_check(L, "lab:snapshot");
	json_t *saved = bridge_save(b->bridge);
	char *text = json_dumps(saved, JSON_COMPACT);

	json_decref(saved);
	lua_pushstring(L, text ? text : "{}");
	free(text);
	return 1;
}

/* (lab, name, text) -> bridge */
static int core_bridge_make(lua_State *L)
{
	static const char method[] = "lab:restore";
	bind_lab_check(L, method);
	const char *name = bind_lab_check_name(L, method, 2);
	json_t *saved = saved_arg(L, 3);
	struct err err = {0};
	bool made;

	made = bridge_object_restore(L, name, saved, &err);
	json_decref(saved);
	if (!made)
		bind_fail_err(L, method, &err);
	return 1;
}

/* (bridge, text) */
static int core_bridge_load(lua_State *L)
{
	struct bridge_object *b = bridge_check(L, "lab:restore");
	json_t *saved = saved_arg(L, 2);
	struct err err = {0};
	int r = bridge_load(b->bridge, saved, &err);

	json_decref(saved);
	if (r < 0)
		bind_fail_err(L, "lab:restore", &err);
	return 0;
}

/* (bridge, vm, slot): of a VM that is off. */
static int bind_lab_snapshot_core_attach(lua_State *L)
{
	static const char method[] = "lab:restore";
	struct bridge_object *b = bridge_check(L, method);
	struct vm_object *v = bridge_check_vm(L, method, 2, "vm");
	unsigned slot = (unsigned)luaL_checkinteger(L, 3);
	struct err err = {0};

	if (attachment_may_attach(v, b, &err) < 0 ||
	    !attachment_new_at(v, b, slot, &err))
		bind_fail_err(L, method, &err);
	return 0;
}

/* (bridge, vm) */
static int bind_lab_snapshot_core_detach(lua_State *L)
{
	struct bridge_object *b = bridge_check(L, "lab:restore");

	attachment_free(
	    attachment_find(bridge_check_vm(L, "lab:restore", 2, "vm"), b));
	return 0;
}

/* The open ones of a rank, as a list. */
static void push_objects(lua_State *L, enum rank rank)
{
	struct object *o;
	int n = 0;

	lua_newtable(L);
	TAILQ_FOREACH (o, &worker_of(L)->file_scope->objects[rank], link) {
		object_push(L, o);
		lua_rawseti(L, -2, ++n);
	}
}

/* () -> VMs, bridges */
static int bind_lab_snapshot_core_file_scope(lua_State *L)
{
	push_objects(L, RANK_VM);
	push_objects(L, RANK_BRIDGE);
	return 2;
}

/* (lab) -> for leave_scope: new objects go to the lab's scope. */
static int core_enter_scope(lua_State *L)
{
	struct worker *w = worker_of(L);
	const struct object *lab =
	    object_check(L, 1, &lab_class, "lab:restore");

	lua_pushlightuserdata(L, w->scope);
	w->scope = lab->scope;
	return 1;
}

static int core_leave_scope(lua_State *L)
{
	worker_of(L)->scope = lua_touserdata(L, 1);
	return 0;
}

void lab_snapshot_parts(const char *path, struct strvec *ret)
{
	DIR *d = opendir(path);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (is_part(e->d_name))
			strvec_addf(ret, "%s/%s", path, e->d_name);
	if (d)
		closedir(d);
}

const char *snapshot_path_of(lua_State *L, int idx, bool *ret_is_lab)
{
	const struct snapshot_folder *l =
	    object_test(L, idx, &lab_snapshot_class);
	const struct snapshot_object *s = object_test(L, idx, &snapshot_class);

	*ret_is_lab = l;
	return l ? l->path : s ? s->folder.path : NULL;
}

static const struct bind_function core[] = {
    {"all", await_l_all_for},
    {"check", bind_lab_l_check},
    {"folder", core_folder},
    {"discard", core_discard},
    {"write", core_write},
    {"read", core_read},
    {"object", core_object},
    {"check_streams", core_check_streams},
    {"off", core_off},
    {"acquire", bind_claim_l_acquire},
    {"check_snapshot", restore_l_check},
    {"prepare_restore", restore_l_prepare},
    {"restore_finish", restore_l_finish},
    {"bridge_save", core_bridge_save},
    {"bridge_make", core_bridge_make},
    {"bridge_load", core_bridge_load},
    {"attach", bind_lab_snapshot_core_attach},
    {"detach", bind_lab_snapshot_core_detach},
    {"file_scope", bind_lab_snapshot_core_file_scope},
    {"enter_scope", core_enter_scope},
    {"leave_scope", core_leave_scope},
    {"set_baseline", baseline_l_set},
    {NULL, NULL},
};

void bind_lab_snapshot_register(lua_State *L)
{
	bind_class(L, &lab_snapshot_class);
	bind_class_extend_lua(L, &lab_class, core,
			      "runner/lua/lab_snapshot.lua");
}
