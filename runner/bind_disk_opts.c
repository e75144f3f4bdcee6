/* SPDX-License-Identifier: MIT */
#include "runner/bind_disk_opts.h"

#include <stdlib.h>
#include <string.h>

#include "runner/bind.h"

#define NO_SIZE UINT64_MAX

struct disk_opts {
	const char *id;
	const char *path;
	const char *template;
	uint64_t scratch;
	bool readonly;
	bool mediated;
};

static const struct opt disk_options[] = {
    {"id", OPT_STRING, offsetof(struct disk_opts, id)},
    {"path", OPT_STRING, offsetof(struct disk_opts, path)},
    {"template", OPT_STRING, offsetof(struct disk_opts, template)},
    {"scratch", OPT_SIZE, offsetof(struct disk_opts, scratch)},
    {"readonly", OPT_BOOL, offsetof(struct disk_opts, readonly)},
    {"mediated", OPT_BOOL, offsetof(struct disk_opts, mediated)},
    {NULL, 0, 0},
};

static void check_sources(lua_State *L, const char *method, int i,
			  const struct disk_opts *o)
{
	int n = !!o->path + !!o->template + (o->scratch != NO_SIZE);
	struct err err;

	if (n != 1)
		bind_fail_arg(L, method,
			      "disks[%d] must have exactly one of path, "
			      "template and scratch, got %s",
			      i, n ? "several" : "none");
	if ((o->path && !*o->path) || (o->template && !*o->template))
		bind_fail_arg(L, method, "disks[%d]: the path is empty", i);
	if (o->scratch != NO_SIZE && o->readonly)
		bind_fail_arg(L, method,
			      "disks[%d]: a scratch disk that cannot be "
			      "written would stay empty: readonly is for path "
			      "and template",
			      i);
	if (o->scratch != NO_SIZE && disk_check_size(o->scratch, &err) < 0)
		bind_fail_arg(L, method, "disks[%d].scratch: %s", i, err.text);
}

/* The i-th of the list. Its strings are borrowed from the table. */
static struct disk_opts
bind_disk_opts_read_one(lua_State *L, const char *method, int list, int i)
{
	struct disk_opts o = {.scratch = NO_SIZE};

	lua_rawgeti(L, list, i);
	if (!lua_istable(L, -1))
		bind_fail_arg(L, method, "disks[%d] must be a table, got %s", i,
			      arg_type_name(L, -1));
	const char *where = lua_pushfstring(L, "%s: disks[%d]", method, i);
	lua_insert(L, -2);
	bind_options(L, where, lua_gettop(L), disk_options, &o);
	if (o.id && !disk_id_is_good(o.id))
		bind_fail_arg(
		    L, method,
		    "disks[%d].id must be 1 to %d letters, digits, "
		    "'.', '_' or '-' (the guest gets it as the serial "
		    "number), got '%s'",
		    i, DISK_ID_MAX, o.id);
	check_sources(L, method, i, &o);
	lua_pop(L, 2);
	return o;
}

static size_t bind_disk_opts_count(lua_State *L, const char *method, int list)
{
	size_t n =
	    list ? arg_list(L, method, list, "disks", "a list of tables") : 0;

	if (n > VM_DISKS_MAX)
		bind_fail_arg(L, method, "disks are %zu, %d at the most", n,
			      VM_DISKS_MAX);
	return n;
}

/* As the author means it, and as QEMU finds it from anywhere. */
static void push_absolute(lua_State *L, const char *path)
{
	char *host = bind_host_path(L, path);
	char *cwd = host[0] == '/' ? NULL : realpath(".", NULL);

	if (cwd)
		lua_pushfstring(L, "%s/%s", cwd, host);
	else
		lua_pushstring(L, host);
	free(cwd);
	free(host);
}

void disk_opts_push_paths(lua_State *L, const char *method, int list)
{
	size_t n = bind_disk_opts_count(L, method, list);

	lua_createtable(L, (int)n, 0);
	for (int i = 1; i <= (int)n; i++) {
		struct disk_opts o =
		    bind_disk_opts_read_one(L, method, list, i);
		const char *path = o.path ? o.path : o.template;

		if (path)
			push_absolute(L, path);
		else
			lua_pushboolean(L, 0);
		lua_rawseti(L, -2, i);
	}
}

void disk_opts_read(lua_State *L, const char *method, int list, int paths,
		    struct vm_request *req)
{
	size_t n = bind_disk_opts_count(L, method, list);
	struct disk_spec *disks = lua_newuserdata(L, (n + 1) * sizeof(*disks));

	for (size_t i = 0; i < n; i++) {
		struct disk_opts o =
		    bind_disk_opts_read_one(L, method, list, (int)i + 1);

		lua_rawgeti(L, paths, (int)i + 1);
		disks[i] = (struct disk_spec){
		    .id = o.id,
		    .source = o.path	   ? DISK_IN_PLACE
			      : o.template ? DISK_TEMPLATE
					   : DISK_SCRATCH,
		    .path = lua_tostring(L, -1),
		    .size = o.scratch == NO_SIZE ? 0 : o.scratch,
		    .is_readonly = o.readonly,
		    .is_mediated = o.mediated,
		};
		lua_pop(L, 1);
	}
	req->disks = disks;
	req->n_disks = n;
}
