/* SPDX-License-Identifier: MIT */
/*
 * A Console object is a name for its VM's console, which the VM owns: making
 * many, or closing one, changes nothing for the others. It works in every
 * state of the VM; the log outlives reset and shutdown.
 */
#include "runner/bind_console.h"

#include <errno.h>

#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind_stream.h"
#include "runner/bind_vm.h"
#include "streams/console.h"

#define EXPECT_DEFAULT_NS (30 * NS_PER_SEC)

struct console_object {
	struct object obj;
	struct vm_object *vm; /* the owner */
	bool is_open;
};

static void console_object_close(void *p)
{
	struct console_object *c = p;

	c->is_open = false;
}

static struct console *console_check(lua_State *L, const char *method,
				     struct vm_object **ret_vm)
{
	struct console_object *c = object_check(L, 1, &console_class, method);

	if (!c->is_open)
		bind_fail_closed(L, method, &c->obj, "console");
	if (ret_vm)
		*ret_vm = c->vm;
	return vm_console(c->vm->vm);
}

static struct vm_object *check_powered(lua_State *L, const char *method)
{
	struct vm_object *vm = vm_check(L, 1, method);

	if (!vm->vm || !vm_console(vm->vm))
		vm_object_fail_state(L, method, vm);
	return vm;
}

static int vm_console_socket_path(lua_State *L)
{
	static const char method[] = "vm:console_socket_path";
	struct vm_object *vm = check_powered(L, method);
	struct err err = {0};
	const char *path = vm_console_socket(vm->vm, &err);

	if (!path)
		bind_fail_err(L, method, &err);
	lua_pushstring(L, path);
	return 1;
}

static int vm_console_object(lua_State *L)
{
	struct vm_object *vm = check_powered(L, "vm:console");

	struct console_object *c = object_new(L, &console_class, 1);
	c->vm = vm;
	c->is_open = true;
	return 1;
}

static int bind_console_l_read(lua_State *L)
{
	struct vm_object *vm;
	struct console *c = console_check(L, "console:read", &vm);
	struct stream_label label;
	struct site site;

	stream_label_here(L, "console_stream", vm_name(vm->vm), &site, &label);
	stream_push(L, console_stream_new(c, &label, vm_streams(vm->vm)), 1);
	return 1;
}

static int l_read_log(lua_State *L)
{
	struct console *c = console_check(L, "console:read_log", NULL);
	struct err err = {0};
	struct buf *log = bind_push_buf(L);

	if (console_read_log(c, log, &err) < 0)
		bind_fail_err(L, "console:read_log", &err);
	lua_pushlstring(L, log->len ? (const char *)buf_data(log) : "",
			log->len);
	/* It may be large; the collector does not know that. */
	buf_done(log);
	return 1;
}

/* --- expect ----------------------------------------------------------------
 */

static void expect_release(void *p)
{
	console_expect_done(p);
}

/* 1: the console, 2: the text. */
static int expect_finish(lua_State *L, void *p)
{
	struct console_expect *x = p;

	if (x->op.result < 0)
		bind_fail_err(L, "console:expect", &x->op.err);
	lua_pushvalue(L, 2);
	return 1;
}

static int bind_console_l_expect(lua_State *L)
{
	static const char method[] = "console:expect";
	struct console *c = console_check(L, method, NULL);
	size_t n;
	const char *text = arg_bytes(L, method, 2, "text", &n);
	int64_t span = arg_duration(L, method, 3, "timeout", EXPECT_DEFAULT_NS);

	if (!n)
		bind_fail_arg(L, method, "text is empty");
	int64_t deadline = await_deadline(L, method, span);
	struct console_expect *x =
	    await_new(L, method, sizeof(*x), expect_release);
	await_keep(L, lua_gettop(L), 1);
	await_keep(L, lua_gettop(L), 2);
	await_take_note(x, bind_stream_pattern_note(text, n));
	console_expect_start(x, c, text, n, deadline);
	return await(L, x, &x->op, expect_finish);
}

/* --- write -----------------------------------------------------------------
 */

static void bind_console_write_release(void *p)
{
	console_write_done(p);
}

/* 1: the console. */
static int bind_console_write_finish(lua_State *L, void *p)
{
	static const char method[] = "console:write";
	const struct console_object *c = lua_touserdata(L, 1);
	struct console_write *w = p;

	if (w->op.result == -EPIPE && c->is_open) {
		enum vm_state s = vm_object_state(c->vm);

		if (s == VM_SHUTDOWN || s == VM_DEAD)
			vm_object_fail_state(L, method, c->vm);
	}
	if (w->op.result < 0)
		bind_fail_err(L, method, &w->op.err);
	return 0;
}

static int bind_console_l_write(lua_State *L)
{
	static const char method[] = "console:write";
	struct write_options {
		int64_t timeout;
	} o = {.timeout = EXPECT_DEFAULT_NS};
	static const struct opt opts[] = {
	    {"timeout", OPT_DURATION, offsetof(struct write_options, timeout)},
	    {NULL, OPT_BOOL, 0},
	};
	struct console *c = console_check(L, method, NULL);
	size_t n;
	const char *p = arg_bytes(L, method, 2, "data", &n);

	bind_options(L, method, arg_opt_table(L, method, 3, "options"), opts,
		     &o);
	int64_t deadline = await_deadline(L, method, o.timeout);
	struct console_write *w =
	    await_new(L, method, sizeof(*w), bind_console_write_release);
	await_keep(L, lua_gettop(L), 1);
	console_write_start(w, c, p, n, deadline);
	return await(L, w, &w->op, bind_console_write_finish);
}

static const struct bind_method console_methods[] = {
    {"read", bind_console_l_read, 0},
    {"read_log", l_read_log, 0},
    {"expect", bind_console_l_expect, 2},
    {"write", bind_console_l_write, 2},
    {NULL, NULL, 0},
};

const struct object_class console_class = {
    .name = "console",
    .rank = RANK_PROCESS,
    .size = sizeof(struct console_object),
    .close = console_object_close,
    .methods = console_methods,
};

void bind_console_register(lua_State *L)
{
	static const struct bind_method vm_methods[] = {
	    {"console", vm_console_object, 0},
	    {"console_socket_path", vm_console_socket_path, 0},
	    {NULL, NULL, 0},
	};

	bind_class(L, &console_class);
	bind_class_extend(L, &vm_class, vm_methods);
}
