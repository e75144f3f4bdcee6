/* SPDX-License-Identifier: MIT */
#include "runner/bind_vm_opts.h"

#include <string.h>

#include "runner/bind.h"
#include "runner/bind_disk_opts.h"
#include "runner/bind_vm.h"

/* The kernel unpacks some ten thousand a second. */
#define FILES_MAX 65536

/* Where the options given to lab:vm() are kept among the object's fields. */
static const char options_key;
/* And the paths of its disks. */
static const char paths_key;
/* Disks that were attached since, and their paths. */
static const char attached_key;
static const char attached_paths_key;

#define NO_SEED INT64_MIN

struct vm_opts {
	struct vm_request req;
	int64_t rng_seed;
	int files; /* stack indexes; 0: absent */
	int disks;
	int qemu_args;
};

static const struct opt vm_options[] = {
    {"memory", OPT_SIZE, offsetof(struct vm_opts, req.memory)},
    {"cpus", OPT_INT, offsetof(struct vm_opts, req.cpus)},
    {"kernel_cmdline", OPT_STRING,
     offsetof(struct vm_opts, req.kernel_cmdline)},
    {"kernel_cmdline_append", OPT_STRING,
     offsetof(struct vm_opts, req.kernel_cmdline_append)},
    {"initial_time", OPT_INT, offsetof(struct vm_opts, req.initial_time)},
    {"rng_seed", OPT_INT, offsetof(struct vm_opts, rng_seed)},
    {"spare_nics", OPT_INT, offsetof(struct vm_opts, req.spare_nics)},
    {"suspend", OPT_BOOL, offsetof(struct vm_opts, req.suspend)},
    {"panic", OPT_BOOL, offsetof(struct vm_opts, req.panic)},
    {"disks", OPT_TABLE, offsetof(struct vm_opts, disks)},
    {"files", OPT_TABLE, offsetof(struct vm_opts, files)},
    {"agent_timeout", OPT_DURATION,
     offsetof(struct vm_opts, req.agent_timeout_ns)},
    {"qemu_args", OPT_TABLE, offsetof(struct vm_opts, qemu_args)},
    {NULL, 0, 0},
};

/* What was read last wins; 0 is a seed like others. */
static void take_seed(lua_State *L, const char *method, struct vm_opts *o)
{
	if (o->rng_seed == NO_SEED)
		return;
	if (o->rng_seed < 0)
		bind_fail_arg(L, method,
			      "rng_seed must be an integer of 0 or more, got "
			      "%lld",
			      (long long)o->rng_seed);
	o->req.has_rng_seed = true;
	o->req.rng_seed = (uint64_t)o->rng_seed;
}

static void bind_vm_opts_read_options(lua_State *L, const char *method, int idx,
				      struct vm_opts *o)
{
	o->rng_seed = NO_SEED;
	bind_options(L, method, idx, vm_options, o);
	take_seed(L, method, o);
	if (o->req.memory && o->req.memory < VM_MEMORY_MIN)
		bind_fail_arg(L, method,
			      "memory is %llu bytes, no kernel boots in less "
			      "than 32M",
			      (unsigned long long)o->req.memory);
	if (o->req.initial_time < 0 || o->req.initial_time > VM_TIME_MAX)
		bind_fail_arg(L, method,
			      "initial_time must be seconds since 1970, up to "
			      "the year 9999, got %lld",
			      (long long)o->req.initial_time);
	if (o->req.spare_nics < 0 || o->req.spare_nics > VM_NICS_MAX)
		bind_fail_arg(L, method, "spare_nics must be 0 to %d, got %lld",
			      VM_NICS_MAX, (long long)o->req.spare_nics);
	if (o->req.cpus < 0 || o->req.cpus > VM_CPUS_MAX)
		bind_fail_arg(L, method, "cpus must be 1 to %d, got %lld",
			      VM_CPUS_MAX, (long long)o->req.cpus);
}

struct file_opts {
	const char *path;
	struct opt_bytes content;
	int64_t mode;
};

static const struct opt file_options[] = {
    {"path", OPT_STRING, offsetof(struct file_opts, path)},
    {"content", OPT_BYTES, offsetof(struct file_opts, content)},
    {"mode", OPT_INT, offsetof(struct file_opts, mode)},
    {NULL, 0, 0},
};

/* The i-th of the list at idx. Its strings are borrowed from the table. */
static struct overlay_file read_file_option(lua_State *L, const char *method,
					    int idx, int i)
{
	struct file_opts o = {.mode = 0644};

	lua_rawgeti(L, idx, i);
	if (!lua_istable(L, -1))
		bind_fail_arg(L, method, "files[%d] must be a table, got %s", i,
			      arg_type_name(L, -1));
	const char *where = lua_pushfstring(L, "%s: files[%d]", method, i);
	lua_insert(L, -2);
	bind_options(L, where, lua_gettop(L), file_options, &o);
	if (!o.path || o.path[0] != '/')
		bind_fail_arg(L, method,
			      "files[%d] needs a path that begins with /", i);
	if (!o.content.p)
		bind_fail_arg(L, method, "files[%d] needs content", i);
	if (o.mode < 0 || o.mode > 07777)
		bind_fail_arg(L, method,
			      "files[%d].mode must be permission bits, 0 to "
			      "07777 (octal), got %lld",
			      i, (long long)o.mode);
	lua_pop(L, 2);
	return (struct overlay_file){.path = o.path,
				     .content = o.content.p,
				     .n = o.content.n,
				     .mode = (uint32_t)o.mode};
}

/* The list of files into an array that is pushed. */
static void bind_vm_opts_read_files(lua_State *L, const char *method, int list,
				    struct vm_request *req)
{
	size_t n =
	    list ? arg_list(L, method, list, "files", "a list of tables") : 0;

	if (n > FILES_MAX)
		bind_fail_arg(L, method, "files are %zu, %d at the most", n,
			      FILES_MAX);
	struct overlay_file *files =
	    lua_newuserdata(L, (n + 1) * sizeof(*files));
	for (size_t i = 0; i < n; i++)
		files[i] = read_file_option(L, method, list, (int)i + 1);
	req->files = files;
	req->n_files = n;
}

/* Pushes the options that lab:vm() was given, or nil; returns their index. */
static int push_kept(lua_State *L, int vm_idx, const char *key)
{
	object_push_fields(L, vm_idx);
	lua_pushlightuserdata(L, (void *)(uintptr_t)key);
	lua_rawget(L, -2);
	lua_remove(L, -2);
	return lua_istable(L, -1) ? lua_gettop(L) : 0;
}

static void bind_vm_opts_keep(lua_State *L, int vm_idx, const char *key,
			      int idx)
{
	object_push_fields(L, vm_idx);
	lua_pushlightuserdata(L, (void *)(uintptr_t)key);
	lua_pushvalue(L, idx);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

void vm_opts_check(lua_State *L, const char *method, int opts_idx)
{
	struct vm_opts checked = {0};
	struct vm_request req = {0};
	int top = lua_gettop(L);

	bind_vm_opts_read_options(L, method, opts_idx, &checked);
	bind_vm_opts_read_files(L, method, checked.files, &req);
	disk_opts_push_paths(L, method, checked.disks);
	lua_settop(L, top);
}

void vm_opts_keep(lua_State *L, int vm_idx, int opts_idx)
{
	static const char method[] = "lab:vm";
	struct vm_opts o = {0};
	int top = lua_gettop(L);

	bind_vm_opts_keep(L, vm_idx, &options_key, opts_idx);
	bind_vm_opts_read_options(L, method, opts_idx, &o);
	disk_opts_push_paths(L, method, o.disks);
	bind_vm_opts_keep(L, vm_idx, &paths_key, lua_gettop(L));
	lua_settop(L, top);
}

/* Appends the list at from (0: none), of disks or of their paths, to the one at
 * to, which has n; returns how many it has then. */
static int append_all(lua_State *L, const char *method, int to, int n, int from)
{
	int more =
	    from ? (int)arg_list(L, method, from, "disks", "a list of tables")
		 : 0;

	for (int i = 1; i <= more; i++) {
		lua_rawgeti(L, from, i);
		lua_rawseti(L, to, n + i);
	}
	return n + more;
}

/* Pushes a table of the lists at a and b (0: none), and returns its index. */
static int bind_vm_opts_join(lua_State *L, const char *method, int a, int b)
{
	lua_newtable(L);
	int out = lua_gettop(L);
	append_all(L, method, out, append_all(L, method, out, 0, a), b);
	return out;
}

static void append(lua_State *L, int vm_idx, const char *key, int idx)
{
	int list = push_kept(L, vm_idx, key);

	if (!list) {
		lua_newtable(L);
		list = lua_gettop(L);
		bind_vm_opts_keep(L, vm_idx, key, list);
	}
	lua_pushvalue(L, idx);
	lua_rawseti(L, list, (int)lua_objlen(L, list) + 1);
}

void vm_opts_attach_disk(lua_State *L, const char *method, int vm_idx,
			 int disk_idx)
{
	int top = lua_gettop(L);

	lua_newtable(L);
	lua_pushvalue(L, disk_idx);
	lua_rawseti(L, -2, 1);
	disk_opts_push_paths(L, method, top + 1);
	lua_rawgeti(L, -1, 1);
	int path = lua_gettop(L);
	append(L, vm_idx, &attached_key, disk_idx);
	append(L, vm_idx, &attached_paths_key, path);
	lua_settop(L, top);
}

struct vm_request vm_opts_sizes(lua_State *L, const char *method, int vm_idx)
{
	struct vm_opts o = {0};
	int top = lua_gettop(L);

	bind_vm_opts_read_options(L, method, push_kept(L, vm_idx, &options_key),
				  &o);
	lua_settop(L, top);
	return o.req;
}

struct vm_request vm_opts_request(lua_State *L, const char *method, int vm_idx,
				  int opts_idx)
{
	struct vm_opts o = {.req.agent_timeout_ns = VM_AGENT_TIMEOUT_NS};
	struct strvec *args;

	luaL_checkstack(L, LUA_MINSTACK, method);
	int declared = push_kept(L, vm_idx, &options_key);
	int paths = push_kept(L, vm_idx, &paths_key);

	bind_vm_opts_read_options(L, method, declared, &o);
	int declared_disks = o.disks;
	bind_vm_opts_read_options(L, method, opts_idx, &o);
	if (o.disks != declared_disks) {
		disk_opts_push_paths(L, method, o.disks);
		paths = lua_gettop(L);
	}
	int attached = push_kept(L, vm_idx, &attached_key);
	if (attached) {
		o.disks = bind_vm_opts_join(L, method, o.disks, attached);
		int more = push_kept(L, vm_idx, &attached_paths_key);
		paths = bind_vm_opts_join(L, method, paths, more);
	}
	disk_opts_read(L, method, o.disks, paths, &o.req);
	bind_vm_opts_read_files(L, method, o.files, &o.req);
	args = bind_push_strvec(L);
	if (o.qemu_args)
		arg_strings(L, method, o.qemu_args, "qemu_args", args);
	o.req.qemu_args = *args;
	return o.req;
}
