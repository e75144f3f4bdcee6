/* SPDX-License-Identifier: MIT */
/*
 * What runner/lua/fixture.lua needs. A fixture that the cache has not is built
 * by a process of its own, `provium fixture build`: what its file does to a
 * Lua state, and whatever befalls it, is no business of the test's.
 */
#include "runner/bind_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_lab.h"
#include "runner/bind_lab_snapshot.h"
#include "runner/bind_vm.h"
#include "runner/fixture.h"
#include "runner/fixture_failure.h"
#include "runner/load.h"
#include "runner/text.h"
#include "runner/worker.h"
#include "vmm/process.h"
#include "vmm/snapshot.h"

#define SELF	     "/proc/self/exe"
#define OUTPUT_SHOWN 2000 /* bytes of what a builder says */

static const char source_key; /* of the source, in an object's fields */

static struct fixtures fixtures_of(lua_State *L)
{
	struct worker *w = worker_of(L);

	return (struct fixtures){&w->config, worker_vms(w)};
}

void bind_fixture_used_file(lua_State *L, const char *path)
{
	struct worker *w = worker_of(L);

	if (w->deps)
		deps_add_file(w->deps, path);
}

void bind_fixture_used_tree(lua_State *L, const char *path)
{
	struct worker *w = worker_of(L);

	if (w->deps)
		deps_add_tree(w->deps, path);
}

/* --- the cache
 * ---------------------------------------------------------------- */

/* (method, name) -> path of the source */
static int core_find(lua_State *L)
{
	const char *method = luaL_checkstring(L, 1);
	const char *name = arg_path(L, method, 2, "fixture");
	struct err err = {0};
	char *source = fixture_find(&worker_of(L)->config, name, &err);

	if (!source)
		bind_fail_err(L, method, &err);
	lua_pushstring(L, source);
	free(source);
	return 1;
}

/* Whether every VM's snapshot in the entry holds what was written. */
static int verify(struct worker *w, const struct fixture_entry *e,
		  struct err *err)
{
	CLEANUP(strvec_done) struct strvec dirs = {0};
	int r = 0;

	fixture_snapshots(e, &dirs);
	for (size_t i = 0; r == 0 && i < dirs.n; i++) {
		struct snapshot s;

		r = snapshot_open(&s, dirs.v[i], err);
		if (r < 0)
			break;
		r = worker_verify_snapshot(w, &s, err);
		snapshot_done(&s);
	}
	return r;
}

static void bind_fixture_fail_kind(lua_State *L, const char *method,
				   const struct fixture_entry *e,
				   const char *source)
{
	bool is_lab = e->kind == FIXTURE_LAB;

	lua_pushstring(L, source);
	bind_fail_arg(L, method, "'%s' is a fixture of a %s: call %s",
		      lua_tostring(L, -1), is_lab ? "lab" : "VM",
		      is_lab ? "lab_fixture" : "vm_fixture");
}

/* Pushes nil and why the cache has no good one. */
static int push_missing(lua_State *L, const char *why)
{
	lua_pushnil(L);
	lua_pushstring(L, strcmp(why, FIXTURE_NOT_BUILT) ? why : "first build");
	return 2;
}

/* (method, source, kind) -> folder of the snapshot, or nil and why there is
 * none. What it finds stays in the cache while this process lives. */
static int core_lookup(lua_State *L)
{
	const char *method = luaL_checkstring(L, 1);
	const char *source = luaL_checkstring(L, 2);
	bool wants_lab = !strcmp(luaL_checkstring(L, 3), "lab");
	struct worker *w = worker_of(L);
	struct fixtures f = fixtures_of(L);
	struct fixture_entry e;
	struct err err = {0};

	if (fixture_lookup(&f, source, &e, &err) < 0)
		return push_missing(L, err.text);
	if (wants_lab != (e.kind == FIXTURE_LAB))
		bind_fixture_fail_kind(L, method, &e, source);
	if (verify(w, &e, &err) < 0) {
		struct err ignored;

		fixture_entry_done(&e);
		fixture_remove(&f, source, false, &ignored);
		return push_missing(L, err.text);
	}
	if (w->deps)
		deps_add_fixture(w->deps, source, e.key);
	lua_pushstring(L, e.snapshot);
	worker_keep_fd(w, TAKE_FD(e.lock_fd));
	fixture_entry_done(&e);
	return 1;
}

/* --- building
 * ------------------------------------------------------------------ */

struct build_call {
	struct op op;
	bool is_started;
	bool is_built;
	lua_State *L; /* the main coroutine's, for events */
	const char *method;
	char *source; /* owned */
	char *why;    /* it is built, owned */
	struct process *process;
	int status;
};

static void on_build_stop(struct op *op, int reason)
{
	struct build_call *c = CONTAINER_OF(op, struct build_call, op);

	c->process = process_free(c->process);
	if (reason == -ETIMEDOUT)
		err_set(&op->err, reason,
			"fixture '%s' was not built in time: build it before, "
			"with provium fixture build",
			c->source);
}

static void on_build_exit(void *ctx, int status)
{
	struct build_call *c = ctx;

	c->status = status;
	op_finish(&c->op, 0, NULL);
}

/* What the event says that the reports show. */
static void bind_fixture_tell(lua_State *L, const char *source,
			      const char *state, const char *why)
{
	struct worker *w = worker_of(L);
	struct fixtures f = fixtures_of(L);
	struct fixture_entry e = {.lock_fd = -1};
	char display[SITE_FILE_MAX];
	struct err err;
	json_t *ev;

	if (w->is_over)
		return;
	ev = event_begin("fixture");
	load_display(source, display, sizeof(display));
	json_object_set_new(ev, "fixture",
			    event_string(display, strlen(display)));
	json_object_set_new(ev, "state", json_string(state));
	json_object_set_new(ev, "reason", event_string(why, strlen(why)));
	if (!strcmp(state, "built") &&
	    fixture_lookup(&f, source, &e, &err) == 0) {
		json_object_set_new(ev, "seconds", json_real(e.seconds));
		if (*e.output)
			json_object_set_new(
			    ev, "output",
			    event_string(e.output, strlen(e.output)));
	}
	fixture_entry_done(&e);
	worker_emit(w, ev);
}

static void build_release(void *p)
{
	struct build_call *c = p;

	if (c->is_started) {
		op_done(&c->op);
		bind_fixture_tell(c->L, c->source,
				  c->is_built ? "built" : "failed", c->why);
	}
	process_free(c->process);
	free(c->source);
	free(c->why);
}

/* What the builder says of the failure, without its progress. */
static void bind_fixture_add_reason(struct buf *text,
				    const struct build_call *c)
{
	CLEANUP(free_ptr)
	char *intro = mem_printf("provium: fixture '%s': ", c->source);
	const struct buf *b = process_output(c->process);
	const char *p = b->len ? (const char *)buf_data(b) : "";
	const char *at = memmem(p, b->len, intro, strlen(intro));
	size_t n = b->len;

	if (at) {
		n -= (size_t)(at + strlen(intro) - p);
		p = at + strlen(intro);
	}
	while (n && p[n - 1] == '\n')
		n--;
	/* Without a word of its own, how it ended comes first. */
	if (!at)
		process_describe(c->status, text);
	if (!at && n)
		buf_printf(text, "\n");
	buf_append(text, p, n < OUTPUT_SHOWN ? n : OUTPUT_SHOWN);
}

/* 1: the source. */
static int build_finish(lua_State *L, void *p)
{
	struct build_call *c = p;

	if (c->op.result < 0)
		bind_fail_err(L, c->method, &c->op.err);
	c->is_built = WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0;
	if (c->is_built)
		return 0;
	struct buf *text = bind_push_buf(L);
	buf_printf(text, "fixture '%s' cannot be built: ", c->source);
	size_t n = text->len;
	bind_fixture_add_reason(text, c);
	/* The builder has done that, unless it ended without a word. */
	if (WIFEXITED(c->status)) {
		char *why =
		    text_c_string((char *)buf_data(text) + n, text->len - n);

		fixture_failure_remember(c->source, why);
		free(why);
	}
	lua_pushlstring(L, (char *)buf_data(text), text->len);
	bind_fail_text(L, c->method, lua_gettop(L));
}

/* Raises what an earlier build in this run has failed with. */
static void check_failed(lua_State *L, const char *method, const char *source)
{
	struct buf *text = bind_push_buf(L);

	buf_printf(text, "fixture '%s' cannot be built: ", source);
	if (!fixture_failure_find(source, text)) {
		lua_pop(L, 1);
		return;
	}
	lua_pushlstring(L, (char *)buf_data(text), text->len);
	bind_fail_text(L, method, lua_gettop(L));
}

/* A run's folder is above that of the worker; a fixture has it from its run. */
static void keep_failures(const struct worker *w)
{
	CLEANUP(free_ptr) char *dir = NULL;

	if (w->deps || !w->job->run_dir)
		return;
	dir = mem_printf("%s/..", w->job->run_dir);
	fixture_failure_keep_in(dir);
}

/* (method, source, why): why it is not there. */
static int core_build(lua_State *L)
{
	static const char *const names[] = {"lab:vm_fixture", "lab:lab_fixture",
					    NULL};
	const char *method = names[luaL_checkoption(L, 1, NULL, names)];
	struct worker *w = worker_of(L);
	const char *argv[8] = {SELF, "fixture", "build"};
	size_t n = 3;
	struct err err = {0};

	if (w->config.path) {
		argv[n++] = "--config";
		argv[n++] = w->config.path;
	}
	argv[n++] = "--";
	keep_failures(w);
	check_failed(L, method, luaL_checkstring(L, 2));
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct build_call *c = await_new(L, method, sizeof(*c), build_release);

	await_keep(L, lua_gettop(L), 2);
	c->method = method;
	c->why = mem_strdup(luaL_checkstring(L, 3));
	c->source = mem_strdup(luaL_checkstring(L, 2));
	argv[n] = c->source;
	c->process =
	    process_new(w->loop, argv, NULL, 0, on_build_exit, c, &err);
	if (!c->process)
		bind_fail_err(L, method, &err);
	bind_fixture_tell(L, c->source, "building", c->why);
	op_init(&c->op, w->loop, on_build_stop);
	c->L = w->L;
	c->is_started = true;
	op_start(&c->op, deadline);
	return await(L, c, &c->op, build_finish);
}

/* --- what it becomes
 * ------------------------------------------------------------- */

/* Raises unless what is on top was made from that source. */
static void check_source(lua_State *L, const char *method, const char *name,
			 const char *source)
{
	object_push_fields(L, -1);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&source_key);
	lua_rawget(L, -2);
	if (!lua_isstring(L, -1) || strcmp(lua_tostring(L, -1), source) != 0)
		bind_fail_arg(L, method,
			      "'%s' is the name of something else here: name "
			      "this one, %s(fixture, name)",
			      name, method);
	lua_pop(L, 2);
}

static void set_source(lua_State *L, const char *source)
{
	object_push_fields(L, -1);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&source_key);
	lua_pushstring(L, source);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

/* Where names are looked up: a test's scope, if one runs, hides nothing. */
static struct scope *innermost(const struct worker *w)
{
	return w->file_scope->child ? w->file_scope->child : w->file_scope;
}

/* (lab, name, source, folder) -> VM */
static int core_vm(lua_State *L)
{
	static const char method[] = "lab:vm_fixture";
	struct worker *w = worker_of(L);
	const char *profile;
	struct snapshot s;
	struct err err = {0};

	bind_lab_check(L, method);
	const char *name = bind_lab_check_name(L, method, 2);
	const char *source = luaL_checkstring(L, 3);
	scope_find(innermost(w), L, 1, &vm_class, name);
	if (!lua_isnil(L, -1)) {
		check_source(L, method, name, source);
		return 1;
	}
	lua_pop(L, 1);
	bind_lab_check_not_reserved(L, method, name);
	if (snapshot_open(&s, luaL_checkstring(L, 4), &err) < 0)
		bind_fail_err(L, method, &err);
	profile = json_string_value(json_object_get(s.note, "profile"));
	lua_pushstring(L, profile ? profile : "");
	snapshot_done(&s);
	profile = lua_tostring(L, -1);
	if (vm_factory_check_profile(worker_vms(w), *profile ? profile : NULL,
				     &err))
		bind_fail_err(L, method, &err);
	vm_object_new(L, method, name, *profile ? profile : NULL, 0);
	set_source(L, source);
	scope_name(w->scope, L, 1, name, lua_gettop(L));
	return 1;
}

/* (lab, name, source) -> lab */
static int core_lab(lua_State *L)
{
	static const char method[] = "lab:lab_fixture";
	struct worker *w = worker_of(L);

	bind_lab_check(L, method);
	const char *name = bind_lab_check_name(L, method, 2);
	const char *source = luaL_checkstring(L, 3);
	scope_find(innermost(w), L, 1, &lab_class, name);
	if (!lua_isnil(L, -1)) {
		check_source(L, method, name, source);
		return 1;
	}
	lua_pop(L, 1);
	bind_lab_check_not_reserved(L, method, name);
	bind_lab_new(L, name, 1);
	set_source(L, source);
	scope_name(w->scope, L, 1, name, lua_gettop(L));
	return 1;
}

/* (on) -> what was before: whether new objects go to the file's scope. */
static int bind_fixture_core_file_scope(lua_State *L)
{
	struct worker *w = worker_of(L);
	bool was = w->scope == w->file_scope;

	w->scope = lua_toboolean(L, 1) || !w->file_scope->child
		       ? w->file_scope
		       : w->file_scope->child;
	lua_pushboolean(L, was);
	return 1;
}

static int core_check_name(lua_State *L)
{
	if (!lua_isnoneornil(L, 2))
		bind_lab_check_name(L, luaL_checkstring(L, 1), 2);
	return 0;
}

static int core_root(lua_State *L)
{
	lua_getglobal(L, "provium");
	return 1;
}

/* --- depends_on_file ---------------------------------------------------------
 */

static int lab_depends_on_file(lua_State *L)
{
	static const char method[] = "lab:depends_on_file";

	bind_lab_check(L, method);
	char *path = bind_host_path(L, arg_path(L, method, 2, "path"));
	lua_pushstring(L, path);
	free(path);
	bind_fixture_used_file(L, lua_tostring(L, -1));
	return 0;
}

/* (path), (name): for what runner/lua/fixture_env.lua replaces. */
static int core_used_file(lua_State *L)
{
	bind_fixture_used_file(L, luaL_checkstring(L, 1));
	return 0;
}

static int core_used_env(lua_State *L)
{
	struct worker *w = worker_of(L);

	if (w->deps)
		deps_add_env(w->deps, luaL_checkstring(L, 1));
	return 0;
}

void bind_fixture_watch_env(lua_State *L)
{
	static const struct bind_function core[] = {
	    {"used_file", core_used_file},
	    {"used_env", core_used_env},
	    {NULL, NULL},
	};

	lua_newtable(L);
	bind_functions(L, core);
	lua_state_run_blob(L, "runner/lua/fixture_env.lua", 1);
	lua_pop(L, 1);
}

void bind_fixture_register(lua_State *L)
{
	static const struct bind_method methods[] = {
	    {"depends_on_file", lab_depends_on_file, 1},
	    {NULL, NULL, 0},
	};
	static const struct bind_function core[] = {
	    {"find", core_find},
	    {"lookup", core_lookup},
	    {"build", core_build},
	    {"vm", core_vm},
	    {"lab", core_lab},
	    {"file_scope", bind_fixture_core_file_scope},
	    {"check", bind_lab_l_check},
	    {"check_name", core_check_name},
	    {"root", core_root},
	    {"fail", bind_l_fail},
	    {NULL, NULL},
	};

	bind_class_extend(L, &lab_class, methods);
	bind_class_extend_lua(L, &lab_class, core, "runner/lua/fixture.lua");
}
