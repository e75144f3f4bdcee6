/* SPDX-License-Identifier: MIT */
/*
 * Owns the type vm: its life from created to closed, and what it answers
 * about itself. The struct vm below it is made by boot, when what the
 * author asked for is complete.
 *
 * vm_boot is the example of a method that waits.
 */
#include "runner/bind_vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "runner/await.h"
#include "runner/bind_claim.h"
#include "runner/bind_guest.h"
#include "runner/bind_transfer.h"
#include "runner/bind_vm_opts.h"
#include "runner/evidence.h"
#include "runner/vm_factory.h"
#include "runner/worker.h"
#include "streams/console.h"
#include "vmm/news.h"

#define CONSOLE_EXCERPT	 8192
#define POWER_TIMEOUT_NS (60 * NS_PER_SEC)
/* --- objects --- */

struct vm_object *vm_object_new(lua_State *L, const char *method,
				const char *name, const char *profile,
				int opts_idx)
{
	vm_opts_check(L, method, opts_idx);
	struct vm_object *v = object_new(L, &vm_class, 0);
	TAILQ_INIT(&v->attachments);
	v->worker = worker_of(L);
	SLIST_INIT(&v->forwards);
	v->name = mem_strdup(name);
	v->profile = profile ? mem_strdup(profile) : NULL;
	if (opts_idx)
		vm_opts_keep(L, lua_gettop(L), opts_idx);
	return v;
}

void vm_object_drop(struct vm_object *v)
{
	if (v->vm) {
		evidence_add_file(v->worker, vm_console_path(v->vm));
		evidence_add_file(v->worker, vm_qmp_path(v->vm));
	}
	v->vm = vm_free(v->vm);
}

static void vm_object_close(void *p)
{
	struct vm_object *v = p;
	struct attachment *a;

	while ((a = TAILQ_FIRST(&v->attachments)))
		attachment_free(a);
	if (v->vm && vm_pid(v->vm) > 0)
		vm_object_tell(v, "closed", -1);
	bind_forward_close_all(v);
	vm_object_drop(v);
	bind_restore_forget(v);
	lineage_done(&v->lineage);
	bind_claim_give_back(v);
	free(v->name);
	free(v->profile);
	v->name = v->profile = NULL;
}

static void vm_object_report(void *p, void *json_array)
{
	const struct vm_object *v = p;
	CLEANUP(news_done) struct news news = {0};
	json_t *o;

	if (!v->vm)
		return;
	const struct err *log_err = console_log_error(vm_console(v->vm));
	if (log_err)
		buf_printf(&news.text, "[provium: %s]\n", log_err->text);
	vm_news(v->vm, CONSOLE_EXCERPT, &news);
	o = json_object();
	json_object_set_new(o, "vm", event_string(v->name, strlen(v->name)));
	json_object_set_new(
	    o, "text",
	    event_string(news.text.len ? (char *)buf_data(&news.text) : "",
			 news.text.len));
	if (news.alarm.len)
		json_object_set_new(o, "alarm",
				    event_string((char *)buf_data(&news.alarm),
						 news.alarm.len));
	json_array_append_new(json_array, o);
}

static bool vm_object_transcript(const void *p, size_t max, json_t *ev)
{
	const struct vm_object *v = p;
	CLEANUP(buf_done) struct buf text = {0};
	uint64_t left_out;

	if (!v->vm)
		return false;
	console_tail(vm_console(v->vm), &text, max);
	if (!text.len)
		return false;
	left_out = console_size(vm_console(v->vm)) - text.len;
	/* The first line that is whole is the first one. */
	const uint8_t *nl =
	    left_out ? memchr(buf_data(&text), '\n', text.len) : NULL;
	if (nl) {
		size_t cut = (size_t)(nl + 1 - buf_data(&text));

		left_out += cut;
		buf_consume(&text, cut);
	}
	json_object_set_new(ev, "vm", event_string(v->name, strlen(v->name)));
	json_object_set_new(
	    ev, "text",
	    event_string(text.len ? (char *)buf_data(&text) : "", text.len));
	if (left_out)
		json_object_set_new(ev, "left_out",
				    json_integer((json_int_t)left_out));
	return true;
}

static void vm_object_logs(const void *p, struct strvec *paths)
{
	const struct vm_object *v = p;

	if (!v->vm)
		return;
	strvec_add(paths, vm_console_path(v->vm));
	strvec_add(paths, vm_qmp_path(v->vm));
}

/* The console's old lines explain nothing of the test that begins. */
static void vm_object_test_begin(void *p)
{
	const struct vm_object *v = p;

	if (v->vm && vm_object_state(v) != VM_BOOTING)
		vm_news_mark(v->vm);
}

static bool vm_object_is_busy(const void *p)
{
	const struct vm_object *v = p;

	return v->vm && vm_is_panicking(v->vm);
}

struct vm_object *vm_check(lua_State *L, int idx, const char *method)
{
	struct vm_object *v = object_check(L, idx, &vm_class, method);

	if (object_is_closed(&v->obj))
		bind_fail_closed(L, method, &v->obj, "the VM");
	return v;
}

enum vm_state vm_object_state(const struct vm_object *v)
{
	return v->vm ? vm_state(v->vm) : VM_CREATED;
}

static const char *state_name(const struct vm_object *v)
{
	return v->vm ? vm_state_text(v->vm) : vm_state_name(VM_CREATED);
}

/* What would help, by state. */
static const char *const state_advice[] = {
    [VM_CREATED] = "call vm:boot() first",
    [VM_BOOTING] = "wait for vm:boot() to return",
    [VM_BOOTED] = "call vm:shutdown() first",
    [VM_PAUSED] = "call vm:resume() first",
    [VM_SUSPENDED] = "call vm:wakeup() first",
    [VM_SHUTDOWN] = "call vm:boot() to start it again",
    [VM_DEAD] = "declare a new one",
};

void vm_object_fail_state(lua_State *L, const char *method,
			  const struct vm_object *v)
{
	enum vm_state s = vm_object_state(v);
	const struct err *death = v->vm ? vm_death(v->vm) : NULL;

	if (s == VM_DEAD && death)
		bind_fail_arg(L, method, "VM '%s' is dead: %s: %s", v->name,
			      state_advice[s], death->text);
	bind_fail_arg(L, method, "VM '%s' is %s: %s", v->name, vm_state_name(s),
		      state_advice[s]);
}

struct client *vm_object_client(lua_State *L, const struct vm_object *v,
				const char *method)
{
	if (object_is_closed(&v->obj))
		bind_fail_closed(L, method, &v->obj, "its VM");
	struct client *c =
	    vm_object_state(v) == VM_BOOTED ? vm_client(v->vm) : NULL;
	if (!c)
		vm_object_fail_state(L, method, v);
	return c;
}

struct client *vm_check_client(lua_State *L, int idx, const char *method)
{
	return vm_object_client(L, vm_check(L, idx, method), method);
}

/* --- boot and shutdown --- */

/* Fails the test that runs, whoever waits for what. The first one that it
 * hears of also ends its calls; then it may look around in peace. */
static bool bind_vm_on_alarm(void *ctx, enum vm_alarm what,
			     const struct err *err)
{
	struct vm_object *v = ctx;
	struct worker *w = worker_of(v->obj.scope->L);
	bool is_first = v->alarm_mark != w->suite.marks;

	(void)what;
	v->alarm_mark = w->suite.marks;
	suite_alarm(&w->suite, w->L, err->text);
	return is_first;
}

void vm_object_watch(struct vm_object *v)
{
	vm_on_alarm(v->vm, bind_vm_on_alarm);
	vm_on_end(v->vm, vm_object_ended);
}

/* An operation on the VM in flight; the VM is kept. */
struct power_call {
	struct op op;
	const char *method;
	struct vm_object *v;
	bool is_started;
};

static void power_release(void *p)
{
	struct power_call *c = p;

	if (!c->is_started)
		return;
	op_done(&c->op);
	vm_object_tell_end(c->v, &c->op);
}

static struct power_call *new_power_call(lua_State *L, const char *method,
					 struct vm_object *v)
{
	struct power_call *c = await_new(L, method, sizeof(*c), power_release);

	await_keep(L, lua_gettop(L), 1);
	c->method = method;
	c->v = v;
	await_note(c, "%s", v->name);
	c->is_started = true;
	return c;
}

static int boot_finish(lua_State *L, void *p)
{
	struct power_call *c = p;
	const struct err *why = &c->op.err;

	if (c->op.result >= 0) {
		lua_settop(L, 1); /* the VM */
		return 1;
	}
	struct buf *text = bind_push_buf(L);
	struct news news = {0};

	if (!object_is_closed(&c->v->obj) && c->v->vm) {
		vm_news(c->v->vm, CONSOLE_EXCERPT, &news);
		if (vm_death_reason(c->v->vm))
			why = vm_death_reason(c->v->vm);
	}
	buf_append(text, why->text, strlen(why->text));
	news_quote(text, &news, CONSOLE_EXCERPT);
	news_done(&news);
	lua_pushlstring(L, (char *)buf_data(text), text->len);
	bind_fail_text(L, "vm:boot", lua_gettop(L));
}

/* Makes the struct vm that the request describes; files and lists are read
 * into values that stay on the stack. */
static void bind_vm_make_vm(lua_State *L, struct vm_object *v, int opts_idx,
			    int64_t *ret_timeout_ns)
{
	struct worker *w = worker_of(L);
	struct err err = {0};
	struct vm_request req = vm_opts_request(L, "vm:boot", 1, opts_idx);

	req.name = v->name;
	req.profile = v->profile;
	object_close_owned(&v->obj);
	if (v->vm)
		v->boots += vm_restarts(v->vm);
	vm_object_drop(v);
	v->vm = vm_factory_make(worker_vms(w), &req, NULL, v, &err);
	if (!v->vm || (w->deps && deps_add_profile(w->deps, worker_vms(w),
						   v->profile, &err) < 0))
		bind_fail_err(L, "vm:boot", &err);
	vm_object_watch(v);
	v->is_restored = false;
	/* A sibling task's, which waits for the pool: it is another machine. */
	bind_restore_forget(v);
	v->need = bind_claim_need(w, v, &req);
	*ret_timeout_ns = req.agent_timeout_ns;
}

int vm_l_prepare(lua_State *L)
{
	struct vm_object *v = vm_check(L, 1, "vm:boot");
	int opts = arg_opt_table(L, "vm:boot", 2, "options");
	enum vm_state s = vm_object_state(v);
	int64_t timeout_ns = VM_AGENT_TIMEOUT_NS;

	if (s != VM_CREATED && s != VM_SHUTDOWN)
		vm_object_fail_state(L, "vm:boot", v);
	await_check_expired(L, "vm:boot");
	/* Again as it was, it keeps its console log. */
	if (s == VM_CREATED || opts || v->is_restored)
		bind_vm_make_vm(L, v, opts, &timeout_ns);
	else
		timeout_ns = v->agent_timeout_ns;
	v->agent_timeout_ns = timeout_ns;
	return 0;
}

int vm_l_start(lua_State *L)
{
	struct vm_object *v = vm_check(L, 1, "vm:boot");
	enum vm_state s = vm_object_state(v);
	struct err err = {0};

	/* While it waited for the pool, a sibling task may have booted it. */
	if (!v->vm || (s != VM_CREATED && s != VM_SHUTDOWN))
		vm_object_fail_state(L, "vm:boot", v);
	if (attachment_plug_all(v, &err) < 0)
		bind_fail_err(L, "vm:boot", &err);
	int64_t deadline = await_deadline(L, "vm:boot", v->agent_timeout_ns);

	struct power_call *c = new_power_call(L, "vm:boot", v);
	v->boots++;
	vm_object_tell(v, "booting", -1);
	vm_boot_start(v->vm, &c->op, deadline);
	return await(L, c, &c->op, boot_finish);
}

static int power_finish(lua_State *L, void *p)
{
	struct power_call *c = p;

	if (c->op.result < 0)
		bind_fail_err(L, c->method, &c->op.err);
	return 0;
}

struct power {
	const char *method;
	void (*start)(struct vm *vm, struct op *op, int64_t deadline_ns);
	unsigned from; /* bits of the states it is legal in */
	enum vm_state to;
	bool ends_handles; /* what was open in the guest is gone */
	bool awaits_agent; /* as a boot does, and as long */
};

static int power(lua_State *L, const struct power *what)
{
	struct vm_object *v = vm_check(L, 1, what->method);
	enum vm_state s = vm_object_state(v);
	bool is_legal = what->from & 1u << s;

	if (s == what->to && !is_legal)
		return 0;
	if (!is_legal)
		vm_object_fail_state(L, what->method, v);
	int64_t deadline = await_deadline(
	    L, what->method,
	    what->awaits_agent ? v->agent_timeout_ns : POWER_TIMEOUT_NS);

	struct power_call *c = new_power_call(L, what->method, v);
	what->start(v->vm, &c->op, deadline);
	bool is_refused = op_is_done(&c->op) && c->op.result < 0;
	if (what->ends_handles && !is_refused)
		v->boots++;
	return await(L, c, &c->op, power_finish);
}

static int l_shutdown(lua_State *L)
{
	static const struct power p = {
	    .method = "vm:shutdown",
	    .start = vm_shutdown_start,
	    .from = 1u << VM_BOOTED | 1u << VM_PAUSED | 1u << VM_SUSPENDED,
	    .to = VM_SHUTDOWN,
	    .ends_handles = true};

	return power(L, &p);
}

static int l_pause(lua_State *L)
{
	static const struct power p = {.method = "vm:pause",
				       .start = vm_pause_start,
				       .from = 1u << VM_BOOTED,
				       .to = VM_PAUSED};

	return power(L, &p);
}

static int l_resume(lua_State *L)
{
	static const struct power p = {.method = "vm:resume",
				       .start = vm_resume_start,
				       .from = 1u << VM_PAUSED,
				       .to = VM_BOOTED};

	return power(L, &p);
}

static int l_power_button(lua_State *L)
{
	static const struct power p = {.method = "vm:power_button",
				       .start = vm_power_button_start,
				       .from = 1u << VM_BOOTED,
				       .to = VM_BOOTED};

	return power(L, &p);
}

static int l_wakeup(lua_State *L)
{
	static const struct power p = {.method = "vm:wakeup",
				       .start = vm_wakeup_start,
				       .from =
					   1u << VM_BOOTED | 1u << VM_SUSPENDED,
				       .to = VM_BOOTED};

	return power(L, &p);
}

static int bind_vm_l_reset(lua_State *L)
{
	static const struct power p = {.method = "vm:reset",
				       .start = vm_reset_start,
				       .from = 1u << VM_BOOTED,
				       .to = VM_BOOTED,
				       .ends_handles = true,
				       .awaits_agent = true};

	return power(L, &p);
}

int vm_l_resume(lua_State *L)
{
	return l_resume(L);
}

/* --- answers --- */

static int bind_vm_l_name(lua_State *L)
{
	lua_pushstring(L, vm_check(L, 1, "vm:name")->name);
	return 1;
}

static int l_profile(lua_State *L)
{
	struct vm_object *v = vm_check(L, 1, "vm:profile");

	lua_pushstring(L, v->profile ? v->profile
				     : worker_of(L)->config.default_profile);
	return 1;
}

static int l_state(lua_State *L)
{
	lua_pushstring(L, state_name(vm_check(L, 1, "vm:state")));
	return 1;
}

static int l_cid(lua_State *L)
{
	struct vm_object *v = vm_check(L, 1, "vm:cid");
	int64_t cid = v->vm ? vm_cid(v->vm) : -1;

	if (cid >= 0)
		bind_push_i64(L, cid);
	else
		lua_pushnil(L);
	return 1;
}

static int bind_vm_l_pid(lua_State *L)
{
	struct vm_object *v = vm_check(L, 1, "vm:pid");
	pid_t pid = v->vm ? vm_pid(v->vm) : -1;

	if (pid > 0)
		lua_pushinteger(L, pid);
	else
		lua_pushnil(L);
	return 1;
}

static int bind_vm_l_tostring(lua_State *L)
{
	const struct vm_object *v = lua_touserdata(L, 1);

	if (object_is_closed(&v->obj))
		lua_pushfstring(L, "vm (closed): %p", (const void *)v);
	else
		lua_pushfstring(L, "vm '%s' (%s): %p", v->name, state_name(v),
				(const void *)v);
	return 1;
}

/* --- tables --- */

static const struct bind_method methods[] = {
    {"shutdown", l_shutdown, 0},
    {"pause", l_pause, 0},
    {"reset", bind_vm_l_reset, 0},
    {"power_button", l_power_button, 0},
    {"wakeup", l_wakeup, 0},
    {"name", bind_vm_l_name, 0},
    {"profile", l_profile, 0},
    {"state", l_state, 0},
    {"cid", l_cid, 0},
    {"pid", bind_vm_l_pid, 0},
    {NULL, NULL, 0},
};

static const struct bind_function meta[] = {
    {"__tostring", bind_vm_l_tostring},
    {NULL, NULL},
};

const struct object_class vm_class = {
    .name = "vm",
    .rank = RANK_VM,
    .size = sizeof(struct vm_object),
    .close = vm_object_close,
    .methods = methods,
    .meta = meta,
    .guest = &vm_guest_ops,
    .report = vm_object_report,
    .logs = vm_object_logs,
    .transcript = vm_object_transcript,
    .test_begin = vm_object_test_begin,
    .is_busy = vm_object_is_busy,
};

void bind_vm_register(lua_State *L)
{
	bind_class(L, &vm_class);
	bind_claim_register(L);
	bind_class_extend(L, &vm_class, vm_run_methods);
	bind_class_extend(L, &vm_class, vm_file_methods);
	bind_class_extend(L, &vm_class, vm_transfer_methods);
	bind_class_extend(L, &vm_class, vm_syscall_methods);
}
