/* SPDX-License-Identifier: MIT */
/*
 * Owns the forms in which a command may be given, and run. struct run_args is
 * what they come to, for run and whatever else starts one.
 */
#include "runner/bind_run.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_guest.h"
#include "runner/bind_result.h"
#include "runner/bind_vm.h"
#include "runner/bind_worker.h"
#include "streams/exec.h"

#define COMMAND_SHOWN_MAX 200

void run_args_done(struct run_args *a)
{
	strvec_done(&a->argv);
	strvec_done(&a->env);
	free(a->command);
	free(a->cwd);
	*a = (struct run_args){0};
}

static int run_args_gc(lua_State *L)
{
	run_args_done(lua_touserdata(L, 1));
	return 0;
}

/* Pushes run_args that Lua releases: reading the arguments may raise. */
static struct run_args *push_run_args(lua_State *L)
{
	struct run_args *a = lua_newuserdata(L, sizeof(*a));

	*a = (struct run_args){.timeout_ns = CLOCK_NEVER};
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, run_args_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	return a;
}

struct run_opts {
	struct run_args *args;
	const char *cwd;
	int arg_list; /* stack indexes; 0: absent */
	int env;
	int stdin_text;
	bool env_clear;
	bool check;
	int64_t timeout_ns;
};

/* vm:run takes all of them, vm:run_async those before `timeout`. */
static const struct opt run_options[] = {
    {"args", OPT_TABLE, offsetof(struct run_opts, arg_list)},
    {"env", OPT_TABLE, offsetof(struct run_opts, env)},
    {"env_clear", OPT_BOOL, offsetof(struct run_opts, env_clear)},
    {"cwd", OPT_STRING, offsetof(struct run_opts, cwd)},
    {"stdin", OPT_VALUE, offsetof(struct run_opts, stdin_text)},
    {"timeout", OPT_DURATION, offsetof(struct run_opts, timeout_ns)},
    {"check", OPT_BOOL, offsetof(struct run_opts, check)},
    {NULL, 0, 0},
};
static const struct opt async_options[] = {
    {"args", OPT_TABLE, offsetof(struct run_opts, arg_list)},
    {"env", OPT_TABLE, offsetof(struct run_opts, env)},
    {"env_clear", OPT_BOOL, offsetof(struct run_opts, env_clear)},
    {"cwd", OPT_STRING, offsetof(struct run_opts, cwd)},
    {"stdin", OPT_VALUE, offsetof(struct run_opts, stdin_text)},
    {NULL, 0, 0},
};

/* Options may stand beside a list in one table, {"a", cwd="/"}: pushes a table
 * of the named ones, and returns its index. */
static int named_part(lua_State *L, const char *method, int idx)
{
	if (!arg_list_part(L, method, idx, "args"))
		return idx;
	lua_newtable(L);
	int out = lua_gettop(L);
	lua_pushnil(L);
	while (lua_next(L, idx)) {
		if (lua_type(L, -2) == LUA_TNUMBER) {
			lua_pop(L, 1);
			continue;
		}
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, out);
	}
	return out;
}

/* Two tables, and a key in both. */
static void check_twice(lua_State *L, const char *method, int one, int two)
{
	lua_pushnil(L);
	while (lua_next(L, one)) {
		lua_pop(L, 1);
		lua_pushvalue(L, -1);
		lua_rawget(L, two);
		if (!lua_isnil(L, -1))
			bind_fail_arg(L, method, "%s is given twice",
				      arg_shown(L, -2));
		lua_pop(L, 1);
	}
}

static void read_env(lua_State *L, const char *method, int idx,
		     struct strvec *env)
{
	lua_pushnil(L);
	while (lua_next(L, idx)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			bind_fail_arg(L, method,
				      "env must have names as keys, got %s as "
				      "a key",
				      arg_type_name(L, -2));
		const char *name =
		    arg_string(L, method, lua_gettop(L) - 1, "a name in env");
		const char *value = lua_tostring(L, -1);
		if (!*name || strchr(name, '='))
			bind_fail_arg(L, method, "bad name '%s' in env", name);
		if (!value || strlen(value) != lua_objlen(L, -1))
			bind_fail_arg(L, method,
				      "env.%s must be a string without NUL "
				      "bytes, got %s",
				      name, arg_type_name(L, -1));
		strvec_addf(env, "%s=%s", name, value);
		lua_pop(L, 1);
	}
}

/* What a message calls the command: argv, spaced, cut. */
static char *bind_run_describe(const struct strvec *argv, bool is_shell)
{
	struct buf b = {0};

	if (is_shell)
		return mem_strndup(argv->v[2], COMMAND_SHOWN_MAX);
	for (size_t i = 0; i < argv->n && b.len < COMMAND_SHOWN_MAX; i++)
		buf_printf(&b, "%s%s", i ? " " : "", argv->v[i]);
	char *s =
	    mem_strndup((char *)buf_data(&b),
			b.len < COMMAND_SHOWN_MAX ? b.len : COMMAND_SHOWN_MAX);
	buf_done(&b);
	return s;
}

/* The program, or the shell text, and the list of arguments. */
static void read_argv(lua_State *L, const char *method, const char *program,
		      int opts_idx, const struct run_opts *o,
		      struct strvec *argv, bool *ret_is_shell)
{
	bool has_list = opts_idx && arg_list_part(L, method, opts_idx, "args");

	if (has_list && o->arg_list)
		bind_fail_arg(L, method, "args is given twice");
	*ret_is_shell = program && !has_list && !o->arg_list;
	if (*ret_is_shell) {
		strvec_add(argv, "/bin/sh");
		strvec_add(argv, "-c");
	}
	if (program)
		strvec_add(argv, program);
	if (has_list)
		arg_strings_part(L, method, opts_idx, "args", argv);
	else if (o->arg_list)
		arg_strings(L, method, o->arg_list, "args", argv);
	if (!argv->n || !*argv->v[0])
		bind_fail_arg(L, method, "there is no program to run");
}

struct run_args *run_args_read(lua_State *L, const char *method, int idx,
			       bool is_async)
{
	const struct opt *valid = is_async ? async_options : run_options;
	/* What is not given is nil, not the next thing that is pushed. */
	if (lua_gettop(L) < idx + 1)
		lua_settop(L, idx + 1);
	struct run_args *a = push_run_args(L);
	int a_idx = lua_gettop(L);
	struct run_opts o = {.timeout_ns = CLOCK_NEVER};
	const char *program = NULL;
	int opts = arg_opt_table(L, method, idx + 1, "options");
	bool is_shell;

	luaL_checkstack(L, LUA_MINSTACK, method);
	if (lua_istable(L, idx)) {
		/* {"prog", "a"}, and then, perhaps, options. */
		bind_options(L, method, opts, valid, &o);
		int named = named_part(L, method, idx);
		if (opts && named != idx)
			check_twice(L, method, named, opts);
		bind_options(L, method, named, valid, &o);
		opts = idx;
	} else {
		program = arg_path(L, method, idx, "command");
		if (opts)
			bind_options(L, method, named_part(L, method, opts),
				     valid, &o);
	}
	read_argv(L, method, program, opts, &o, &a->argv, &is_shell);
	if (o.env)
		read_env(L, method, o.env, &a->env);
	if (o.stdin_text) {
		a->stdin_bytes =
		    arg_bytes(L, method, o.stdin_text, "stdin", &a->stdin_len);
		a->stdin_idx = o.stdin_text;
	}
	a->command = bind_run_describe(&a->argv, is_shell);
	a->cwd = o.cwd ? mem_strdup(o.cwd) : NULL;
	a->env_clear = o.env_clear;
	a->check = o.check;
	a->timeout_ns = o.timeout_ns;
	a->idx = a_idx;
	return a;
}

struct exec_spec run_args_spec(const struct run_args *a)
{
	return (struct exec_spec){
	    .argv = (const char *const *)a->argv.v,
	    .env = (const char *const *)a->env.v,
	    .env_clear = a->env_clear,
	    .cwd = a->cwd,
	    .stdin_bytes = (const uint8_t *)a->stdin_bytes,
	    .stdin_len = a->stdin_len,
	};
}

/* --- run --- */

struct run_call {
	struct exec *exec;
	const char *method;
	const struct run_args *args; /* kept */
};

static void run_release(void *p)
{
	struct run_call *r = p;

	exec_free(r->exec);
}

static struct run_outcome run_outcome(const struct run_call *r)
{
	const struct exec *x = r->exec;

	return (struct run_outcome){
	    .command = r->args->command,
	    .out = &x->out,
	    .err_out = &x->err_out,
	    .signalled = x->signalled,
	    .timed_out = x->timed_out,
	    .status = x->status,
	    .duration_ns = x->duration_ns,
	};
}

static void push_result(lua_State *L, const struct run_call *r)
{
	struct run_outcome o = run_outcome(r);

	bind_result_push(L, &o);
}

/* What the call's own time-out would say. */
static void run_tell(lua_State *L, void *p)
{
	push_result(L, p);
	bind_result_push_text(L);
	lua_remove(L, -2);
}

static int run_finish(lua_State *L, void *p)
{
	struct run_call *r = p;
	const struct exec *x = r->exec;
	struct run_outcome o = run_outcome(r);

	if (x->op.result < 0)
		bind_fail_err(L, r->method, &x->op.err);
	await_take_note(r, bind_result_note(&o));
	if (x->timed_out)
		await_check_expired_call(L, r);
	push_result(L, r);
	if (r->args->check)
		bind_result_check(L, r->method);
	return 1;
}

static int bind_run_run(lua_State *L, const struct guest_method *m)
{
	struct client *c = guest_client(L, guest_check(L, m), m->name);
	const struct run_args *a = run_args_read(L, m->name, 2, false);
	int64_t deadline = await_deadline(L, m->name, a->timeout_ns);

	struct run_call *r = await_new(L, m->name, sizeof(*r), run_release);
	int block = lua_gettop(L);
	await_keep(L, block, 1);
	await_keep(L, block, a->idx);
	if (a->stdin_idx)
		await_keep(L, block, a->stdin_idx);
	struct exec_spec spec = run_args_spec(a);
	r->method = m->name;
	r->args = a;
	await_tell(r, run_tell);
	await_note(r, "`%s`", a->command);
	r->exec = exec_new(c);
	exec_start(r->exec, &spec, deadline);
	return await(L, r, &r->exec->op, run_finish);
}

static int bind_run_l_vm_run(lua_State *L)
{
	static const struct guest_method m = {&vm_class, "vm:run"};

	return bind_run_run(L, &m);
}

static int bind_run_l_worker_run(lua_State *L)
{
	static const struct guest_method m = {&guest_worker_class,
					      "worker:run"};

	return bind_run_run(L, &m);
}

const struct bind_method vm_run_methods[] = {
    {"run", bind_run_l_vm_run, 2},
    {NULL, NULL, 0},
};
const struct bind_method worker_run_methods[] = {
    {"run", bind_run_l_worker_run, 2},
    {NULL, NULL, 0},
};
