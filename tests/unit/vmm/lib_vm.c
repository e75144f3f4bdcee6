/* SPDX-License-Identifier: MIT */
#include "tests/unit/vmm/lib_vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_image.h"
#include "vmm/agent_blob.h"

static void on_dead(void *ctx, const struct err *err)
{
	struct fixture *f = ctx;

	f->deaths++;
	f->death = *err;
	if (f->free_on_death)
		f->vm = vm_free(f->vm);
}

static void must(int r, const struct err *err)
{
	if (r < 0)
		fail_msg("%s", err->text);
}

static void find_image(struct fixture *f)
{
	const char *dir = getenv("PROVIUM_CACHE_DIR");
	struct err err;

	must(guest_default(dir ? dir : "build/cache", NULL, NULL, &f->image,
			   &err),
	     &err);
	must(
	    guest_image_modules(&f->image, TRANSPORT_SERIAL, &f->modules, &err),
	    &err);
}

int vm_setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	struct err err;

	*state = f;
	f->loop = loop_new(&err);
	f->run_dir = tmp_new();
	f->qemu = host_find_qemu(&err);
	if (!f->qemu)
		fail_msg("%s", err.text);
	find_image(f);
	f->spec = (struct vm_spec){
	    .name = "a",
	    .run_dir = f->run_dir,
	    .qemu = f->qemu,
	    .kernel = f->image.kernel,
	    .initrd = f->image.initrd,
	    .cmdline = "",
	    .is_linux_pvh = true,
	    .memory = UINT64_C(256) << 20,
	    .cpus = 1,
	    .accel = ACCEL_TCG,
	    .transport = TRANSPORT_SERIAL,
	    .modules = (const char *const *)f->modules.v,
	    .n_modules = f->modules.n,
	    .agent = agent_blob,
	    .agent_n = (size_t)(agent_blob_end - agent_blob),
	};
	return 0;
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && !strcmp(s + n - m, end);
}

/* What a freed VM leaves behind is its logs. */
static void assert_only_logs(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || ends_in(e->d_name, ".console") ||
		    ends_in(e->d_name, ".qmp"))
			continue;
		fail_msg("'%s' was left behind", e->d_name);
	}
	closedir(d);
}

int vm_teardown(void **state)
{
	struct fixture *f = *state;

	exec_free(f->exec);
	call_free(f->call);
	op_done(&f->op);
	vm_free(f->vm);
	assert_false(f->pid && vm_is_running(f->pid));
	assert_only_logs(f->run_dir);
	loop_poll(f->loop);
	loop_free(f->loop);
	tmp_remove(f->run_dir);
	guest_image_done(&f->image);
	strvec_done(&f->modules);
	free(f->qemu);
	free(f);
	return 0;
}

void vm_make(struct fixture *f)
{
	struct err err;

	f->vm = vm_new(f->loop, &f->spec, on_dead, f, &err);
	if (!f->vm)
		fail_msg("%s", err.text);
}

int vm_wait_op(struct fixture *f)
{
	int r = op_wait(&f->op);

	op_done(&f->op); /* it may be started again; op.err stays */
	return r;
}

int vm_try_boot(struct fixture *f, int64_t span_ns)
{
	if (!f->vm)
		vm_make(f);
	vm_boot_start(f->vm, &f->op, clock_deadline_ns(span_ns));
	if (vm_pid(f->vm) > 0)
		f->pid = vm_pid(f->vm);
	return vm_wait_op(f);
}

void vm_must_boot(struct fixture *f)
{
	must(vm_try_boot(f, BOOT_NS), &f->op.err);
	assert_int_equal(vm_state(f->vm), VM_BOOTED);
}

void vm_exec(struct fixture *f, const char *script)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct exec_spec spec = {.argv = argv};

	exec_free(f->exec);
	f->exec = exec_new(vm_client(f->vm));
	exec_start(f->exec, &spec, clock_deadline_ns(PATIENCE_NS));
}

char *vm_exec_out(struct fixture *f, const char *script)
{
	vm_exec(f, script);
	must(op_wait(&f->exec->op), &f->exec->op.err);
	assert_false(f->exec->signalled || f->exec->timed_out);
	assert_int_equal(f->exec->status, 0);
	if (!f->exec->out.len)
		return mem_strdup("");
	return mem_strndup((char *)buf_data(&f->exec->out), f->exec->out.len);
}

static int ping(struct fixture *f)
{
	const struct msg req = {.type = MSG_PING, .ping.value = 42};

	call_free(f->call);
	f->call = call_new(vm_client(f->vm));
	call_start(f->call, &req, NULL, 0, clock_deadline_ns(PATIENCE_NS));
	return op_wait(&f->call->op);
}

void vm_ping(struct fixture *f)
{
	int r = ping(f);

	must(r, &f->call->op.err);
	assert_int_equal(f->call->reply.type, MSG_DONE);
	assert_int_equal(f->call->reply.done.value, 42);
}

void vm_wait_ping(struct fixture *f)
{
	int64_t deadline_ns = clock_deadline_ns(BOOT_NS);

	while (ping(f) < 0 && clock_now_ns() < deadline_ns)
		loop_turn(f->loop);
	vm_ping(f);
}

static void on_patience(void *ctx)
{
	*(bool *)ctx = true;
}

void vm_wait_state(struct fixture *f, enum vm_state s)
{
	bool impatient = false;
	struct timer *t = timer_new(f->loop, on_patience, &impatient);

	timer_set(t, clock_deadline_ns(PATIENCE_NS));
	while (vm_state(f->vm) != s && !impatient)
		loop_turn(f->loop);
	timer_free(t);
	assert_string_equal(vm_state_name(vm_state(f->vm)), vm_state_name(s));
}

bool vm_is_running(pid_t pid)
{
	return kill(pid, 0) == 0;
}

bool vm_logged(struct fixture *f, const char *text)
{
	CLEANUP(buf_done) struct buf log = {0};

	if (console_read_log(vm_console(f->vm), &log, NULL) < 0)
		return false;
	return memmem(buf_data(&log), log.len, text, strlen(text));
}

void vm_expect_text(const char *have, const char *want)
{
	if (!strstr(have, want))
		fail_msg("`%s` lacks `%s`", have, want);
}
