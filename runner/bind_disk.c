/* SPDX-License-Identifier: MIT */
/*
 * A Disk object is a name for a disk, which the VM owns: it goes on meaning the
 * one of that id when the VM boots again, or is restored.
 */
#include "runner/bind_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_vm.h"
#include "runner/bind_vm_opts.h"
#include "vmm/cow.h"
#include "vmm/nbd.h"

/* Read or written by one call. */
#define SECTORS_MAX (UINT32_C(128) * 1024)
#define SLOW_NS	    (100 * NS_PER_MS)

struct disk_object {
	struct object obj;
	struct vm_object *vm; /* kept by the fields */
	char *id;	      /* owned */
};

static const struct object_class disk_class;

/* Where the VM is kept among the object's fields: as its owner it would close
 * the disk at its next boot. */
static const char vm_key;

static const struct {
	const char *name;
	unsigned fault;
} modes[] = {
    {"eio_read", FAULT_EIO_READ},
    {"eio_write", FAULT_EIO_WRITE},
    {"slow", FAULT_SLOW},
};

static void disk_object_close(void *p)
{
	struct disk_object *d = p;

	free(d->id);
	d->id = NULL;
}

static struct disk_object *check_disk(lua_State *L, const char *method)
{
	struct disk_object *d = object_check(L, 1, &disk_class, method);

	if (object_is_closed(&d->obj))
		bind_fail_closed(L, method, &d->obj, "the disk");
	if (object_is_closed(&d->vm->obj))
		bind_fail_closed(L, method, &d->vm->obj, "its VM");
	return d;
}

/* Where it is in the VM, which has been booted. */
static size_t bind_disk_check_place(lua_State *L, const char *method,
				    const struct disk_object *d)
{
	int i = d->vm->vm ? vm_disk_find(d->vm->vm, d->id) : -ENOENT;

	if (!d->vm->vm)
		vm_object_fail_state(L, method, d->vm);
	if (i < 0)
		bind_fail_arg(L, method, "VM '%s' has no disk '%s' any more",
			      d->vm->name, d->id);
	return (size_t)i;
}

/* The same, and it is mediated. */
static size_t check_mediated(lua_State *L, const char *method,
			     const struct disk_object *d)
{
	size_t i = bind_disk_check_place(L, method, d);

	if (!vm_disk_spec(d->vm->vm, i)->is_mediated)
		bind_fail_arg(L, method,
			      "disk '%s' of VM '%s' is QEMU's alone: declare "
			      "it with mediated = true",
			      d->id, d->vm->name);
	if (!vm_disk_content(d->vm->vm, i))
		vm_object_fail_state(L, method, d->vm);
	return i;
}

/* --- sectors ---------------------------------------------------------------
 */

static uint64_t check_first(lua_State *L, const char *method)
{
	return (uint64_t)arg_int(L, method, 2, "off", 0,
				 (int64_t)(COW_SIZE_MAX / DISK_SECTOR));
}

/* [first, first + n) is on the disk; returns its byte. */
static uint64_t check_range(lua_State *L, const char *method,
			    const struct disk_object *d, size_t i,
			    uint64_t first, uint64_t n)
{
	uint64_t sectors = vm_disk_size(d->vm->vm, i) / DISK_SECTOR;

	if (first > sectors || n > sectors - first)
		bind_fail_arg(L, method,
			      "sectors %llu to %llu are not on disk '%s', "
			      "which has %llu",
			      (unsigned long long)first,
			      (unsigned long long)(first + n - 1), d->id,
			      (unsigned long long)sectors);
	return first * DISK_SECTOR;
}

static _Noreturn void fail_io(lua_State *L, const char *method,
			      const struct disk_object *d, int code)
{
	bind_fail_arg(L, method, "disk '%s': %s", d->id, strerror(-code));
}

static int l_read_sectors(lua_State *L)
{
	static const char method[] = "disk:read_sectors";
	struct disk_object *d = check_disk(L, method);
	size_t i = check_mediated(L, method, d);
	uint64_t first = check_first(L, method);
	uint64_t n = (uint64_t)arg_int(L, method, 3, "n", 1, SECTORS_MAX);
	uint64_t at = check_range(L, method, d, i, first, n);
	struct buf *b = bind_push_buf(L);
	size_t bytes = (size_t)n * DISK_SECTOR;
	int r = cow_read(vm_disk_content(d->vm->vm, i), at, buf_room(b, bytes),
			 bytes);

	if (r < 0)
		fail_io(L, method, d, r);
	buf_commit(b, bytes);
	lua_pushlstring(L, (char *)buf_data(b), bytes);
	return 1;
}

static int l_write_sectors(lua_State *L)
{
	static const char method[] = "disk:write_sectors";
	struct disk_object *d = check_disk(L, method);
	size_t i = check_mediated(L, method, d);
	uint64_t first = check_first(L, method);
	size_t n;
	const char *data = arg_bytes(L, method, 3, "data", &n);

	if (!n || n % DISK_SECTOR || n / DISK_SECTOR > SECTORS_MAX)
		bind_fail_arg(L, method,
			      "data must be whole sectors of %d bytes, 1 to "
			      "%u, got %zu bytes",
			      DISK_SECTOR, (unsigned)SECTORS_MAX, n);
	if (vm_disk_spec(d->vm->vm, i)->is_readonly)
		bind_fail_arg(L, method, "disk '%s' is declared readonly",
			      d->id);
	uint64_t at = check_range(L, method, d, i, first, n / DISK_SECTOR);
	int r = cow_write(vm_disk_content(d->vm->vm, i), at, data, n, true);

	if (r < 0)
		fail_io(L, method, d, r);
	return 0;
}

/* --- faults ----------------------------------------------------------------
 */

struct fault_opts {
	int64_t delay_ns;
};

static const struct opt fault_options[] = {
    {"delay", OPT_DURATION, offsetof(struct fault_opts, delay_ns)},
    {NULL, 0, 0},
};

static int l_fault_inject(lua_State *L)
{
	static const char method[] = "disk:fault_inject";
	const char *names[ARRAY_LEN(modes) + 1] = {NULL};
	struct fault_opts o = {.delay_ns = SLOW_NS};
	struct disk_object *d = check_disk(L, method);
	size_t i = check_mediated(L, method, d);

	for (size_t k = 0; k < ARRAY_LEN(modes); k++)
		names[k] = modes[k].name;
	unsigned fault = modes[arg_enum(L, method, 2, "mode", names)].fault;
	bind_options(L, method, arg_opt_table(L, method, 3, "options"),
		     fault_options, &o);
	if (lua_istable(L, 3) && fault != FAULT_SLOW)
		bind_fail_arg(L, method, "delay is of mode \"slow\" alone");
	vm_disk_set_faults(d->vm->vm, i, vm_disk_faults(d->vm->vm, i) | fault,
			   fault == FAULT_SLOW ? o.delay_ns : -1);
	return 0;
}

static int l_clear_faults(lua_State *L)
{
	static const char method[] = "disk:clear_faults";
	struct disk_object *d = check_disk(L, method);

	vm_disk_set_faults(d->vm->vm, check_mediated(L, method, d), 0, -1);
	return 0;
}

static int l_active_faults(lua_State *L)
{
	static const char method[] = "disk:active_faults";
	struct disk_object *d = check_disk(L, method);
	unsigned faults =
	    vm_disk_faults(d->vm->vm, check_mediated(L, method, d));
	int n = 0;

	lua_newtable(L);
	for (size_t k = 0; k < ARRAY_LEN(modes); k++) {
		if (!(faults & modes[k].fault))
			continue;
		lua_pushstring(L, modes[k].name);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* --- power -----------------------------------------------------------------
 */

struct cut_call {
	struct op op;
	bool is_started;
};

static void cut_release(void *p)
{
	struct cut_call *c = p;

	if (c->is_started)
		op_done(&c->op);
}

static int cut_finish(lua_State *L, void *p)
{
	struct cut_call *c = p;

	if (c->op.result < 0)
		bind_fail_err(L, "disk:power_cut", &c->op.err);
	return 0;
}

static int l_power_cut(lua_State *L)
{
	static const char method[] = "disk:power_cut";
	struct disk_object *d = check_disk(L, method);
	struct vm_object *v = d->vm;

	check_mediated(L, method, d);
	if (vm_object_state(v) != VM_BOOTED)
		vm_object_fail_state(L, method, v);
	int64_t deadline = await_deadline(L, method, v->agent_timeout_ns);
	struct cut_call *c = await_new(L, method, sizeof(*c), cut_release);

	await_keep(L, lua_gettop(L), 1);
	c->is_started = true;
	vm_power_cut_start(v->vm, &c->op, deadline);
	if (!op_is_done(&c->op))
		v->boots++;
	return await(L, c, &c->op, cut_finish);
}

/* --- answers ---------------------------------------------------------------
 */

static int l_id(lua_State *L)
{
	lua_pushstring(L, check_disk(L, "disk:id")->id);
	return 1;
}

static int bind_disk_l_size(lua_State *L)
{
	static const char method[] = "disk:size";
	struct disk_object *d = check_disk(L, method);
	uint64_t size =
	    vm_disk_size(d->vm->vm, bind_disk_check_place(L, method, d));

	if (!size)
		vm_object_fail_state(L, method, d->vm);
	bind_push_u64(L, size);
	return 1;
}

static int bind_disk_l_tostring(lua_State *L)
{
	const struct disk_object *d = lua_touserdata(L, 1);

	if (object_is_closed(&d->obj) || object_is_closed(&d->vm->obj))
		lua_pushfstring(L, "disk (closed): %p", (const void *)d);
	else
		lua_pushfstring(L, "disk '%s' of '%s': %p", d->id, d->vm->name,
				(const void *)d);
	return 1;
}

/* --- vm:disk ---------------------------------------------------------------
 */

static _Noreturn void fail_no_disk(lua_State *L, const struct vm_object *v,
				   const char *id)
{
	const struct disk_spec *spec;
	struct buf *text = bind_push_buf(L);

	for (size_t i = 0; (spec = vm_disk_spec(v->vm, i)); i++)
		buf_printf(text, "%s'%s'", i ? ", " : "", spec->id);
	if (!text->len)
		bind_fail_arg(L, "vm:disk",
			      "VM '%s' has no disks: give it the option disks",
			      v->name);
	bind_fail_arg(L, "vm:disk", "VM '%s' has no disk '%s'; it has: %.*s",
		      v->name, id, (int)text->len, (char *)buf_data(text));
}

static int push_disk(lua_State *L, struct vm_object *v, const char *id)
{
	struct disk_object *d = object_new(L, &disk_class, 0);

	d->vm = v;
	d->id = mem_strdup(id);
	object_push_fields(L, -1);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&vm_key);
	lua_pushvalue(L, 1);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return 1;
}

static int vm_disk(lua_State *L)
{
	static const char method[] = "vm:disk";
	struct vm_object *v = vm_check(L, 1, method);
	const char *id = arg_path(L, method, 2, "id");

	if (!v->vm)
		vm_object_fail_state(L, method, v);
	if (vm_disk_find(v->vm, id) < 0)
		fail_no_disk(L, v, id);
	return push_disk(L, v, id);
}

struct attach_opts {
	const char *id, *image;
	uint64_t size;
	bool readonly;
};

static const struct opt attach_options[] = {
    {"id", OPT_STRING, offsetof(struct attach_opts, id)},
    {"size", OPT_SIZE, offsetof(struct attach_opts, size)},
    {"image", OPT_STRING, offsetof(struct attach_opts, image)},
    {"readonly", OPT_BOOL, offsetof(struct attach_opts, readonly)},
    {NULL, 0, 0},
};

static void check_attach(lua_State *L, const char *method,
			 const struct attach_opts *o)
{
	struct err err;

	if (!o->id || !disk_id_is_good(o->id))
		bind_fail_arg(L, method,
			      "id must be 1 to %d letters, digits, '.', '_' or "
			      "'-', got %s",
			      DISK_ID_MAX, o->id ? o->id : "nothing");
	if (!o->image == !o->size)
		bind_fail_arg(L, method,
			      "there must be one of size and image, got %s",
			      o->image ? "both" : "none");
	if (o->size && disk_check_size(o->size, &err) < 0)
		bind_fail_arg(L, method, "size: %s", err.text);
}

/* As an entry of the option disks. */
static void push_entry(lua_State *L, const struct attach_opts *o)
{
	lua_newtable(L);
	lua_pushstring(L, o->id);
	lua_setfield(L, -2, "id");
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "mediated");
	lua_pushboolean(L, o->readonly);
	lua_setfield(L, -2, "readonly");
	if (o->image)
		lua_pushstring(L, o->image);
	else
		bind_push_u64(L, o->size);
	lua_setfield(L, -2, o->image ? "template" : "scratch");
}

static int vm_attach_disk(lua_State *L)
{
	static const char method[] = "vm:attach_disk";
	struct vm_object *v = vm_check(L, 1, method);
	struct attach_opts o = {0};

	if (!lua_istable(L, 2))
		bind_fail_arg(L, method, "options must be a table, got %s",
			      arg_type_name(L, 2));
	bind_options(L, method, 2, attach_options, &o);
	check_attach(L, method, &o);
	if (vm_object_state(v) != VM_CREATED)
		bind_fail_arg(L, method,
			      "VM '%s' is %s, and a disk cannot be plugged in "
			      "later: attach it before the first vm:boot()",
			      v->name, vm_state_name(vm_object_state(v)));
	push_entry(L, &o);
	vm_opts_attach_disk(L, method, 1, lua_gettop(L));
	return push_disk(L, v, o.id);
}

static const struct bind_method methods[] = {
    {"id", l_id, 0},
    {"size", bind_disk_l_size, 0},
    {"read_sectors", l_read_sectors, 2},
    {"write_sectors", l_write_sectors, 2},
    {"fault_inject", l_fault_inject, 2},
    {"clear_faults", l_clear_faults, 0},
    {"active_faults", l_active_faults, 0},
    {"power_cut", l_power_cut, 0},
    {NULL, NULL, 0},
};

static const struct bind_function meta[] = {
    {"__tostring", bind_disk_l_tostring},
    {NULL, NULL},
};

static const struct object_class disk_class = {
    .name = "disk",
    .rank = RANK_FILE,
    .size = sizeof(struct disk_object),
    .close = disk_object_close,
    .methods = methods,
    .meta = meta,
};

void bind_disk_register(lua_State *L)
{
	static const struct bind_method vm_methods[] = {
	    {"disk", vm_disk, 1},
	    {"attach_disk", vm_attach_disk, 1},
	    {NULL, NULL, 0},
	};

	bind_class(L, &disk_class);
	bind_class_extend(L, &vm_class, vm_methods);
}
