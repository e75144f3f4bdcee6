/* SPDX-License-Identifier: MIT */
/* Workers of the real agent program, as processes of this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "streams/client.h"
#include "streams/exec.h"
#include "tests/unit/streams/lib_real_agent.h"
#include "tests/unit/tmp.h"

#define PATIENCE_NS (60 * NS_PER_SEC)

struct guest {
	struct loop *loop;
	struct client *client;
	struct client *worker; /* a client over client */
	struct op hello;
	struct op worker_hello;
	uint64_t handle;
	pid_t agent;
	pid_t worker_pid;
	struct err lost;
};

static int64_t patience(void)
{
	return clock_deadline_ns(PATIENCE_NS);
}

/* The DONE value of a request, which must succeed. */
static int64_t ask(struct client *c, const struct msg *req)
{
	struct call *call = call_new(c);

	call_start(call, req, NULL, 0, patience());
	if (op_wait(&call->op) < 0)
		fail_msg("%s", call->op.err.text);
	int64_t value = call->reply.done.value;
	call_free(call);
	return value;
}

static struct call *start_syscall(struct client *c, long nr, uint64_t a0,
				  uint64_t a1)
{
	struct msg m = {.type = MSG_SYSCALL};
	struct call *call = call_new(c);

	m.syscall.nr = nr;
	m.syscall.a0 = a0;
	m.syscall.a1 = a1;
	call_start(call, &m, NULL, 0, patience());
	return call;
}

static int64_t end_syscall(struct call *call, int *ret_errnum)
{
	if (op_wait(&call->op) < 0)
		fail_msg("%s", call->op.err.text);
	int64_t ret = call->reply.syscall_done.ret;
	if (ret_errnum)
		*ret_errnum = call->reply.syscall_done.errnum;
	call_free(call);
	return ret;
}

static int64_t sys(struct client *c, long nr, uint64_t a0)
{
	return end_syscall(start_syscall(c, nr, a0, 0), NULL);
}

static void on_lost(void *ctx, const struct err *err)
{
	struct guest *g = ctx;

	g->lost = *err;
	client_fail(g->worker, err);
}

static void link_worker(struct guest *g)
{
	g->lost.code = 0;
	g->worker = client_new_worker(g->client, g->handle, on_lost, g);
	client_hello(g->worker, &g->worker_hello, patience());
}

static int setup(void **state)
{
	struct guest *g = mem_zalloc(sizeof(*g));
	struct msg m = {.type = MSG_WORKER_SPAWN};
	int fd[2];

	g->loop = loop_new(NULL);
	assert_int_equal(
	    0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	g->agent = real_agent_run(fd[1]);
	close(fd[1]);
	g->client = client_new(g->loop, fd[0], NULL, NULL);
	client_hello(g->client, &g->hello, patience());
	assert_int_equal(0, op_wait(&g->hello));
	g->handle = client_new_handle(g->client);
	m.worker_spawn.handle = g->handle;
	g->worker_pid = (pid_t)ask(g->client, &m);
	link_worker(g);
	assert_int_equal(0, op_wait(&g->worker_hello));
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;

	op_done(&g->worker_hello);
	client_free(g->worker);
	op_done(&g->hello);
	client_free(g->client);
	loop_free(g->loop);
	kill(g->agent, SIGTERM);
	waitpid(g->agent, NULL, 0);
	free(g);
	return 0;
}

static void send_signal(struct guest *g, int signo)
{
	struct msg m = {.type = MSG_PROC_SIGNAL};

	m.proc_signal.handle = g->handle;
	m.proc_signal.signo = signo;
	ask(g->client, &m);
}

static void wait_lost(struct guest *g)
{
	while (!g->lost.code)
		loop_turn(g->loop);
}

static void calls_run_in_the_worker(void **state)
{
	struct guest *g = *state;

	assert_int_equal(sys(g->worker, SYS_getpid, 0), g->worker_pid);
	assert_int_equal(sys(g->client, SYS_getpid, 0), g->agent);
	assert_int_equal(sys(g->worker, SYS_gettid, 0), g->worker_pid);
	assert_int_equal(sys(g->worker, SYS_getsid, 0), g->worker_pid);
}

static void what_a_call_changes_stays(void **state)
{
	struct guest *g = *state;
	int64_t mask = sys(g->client, SYS_umask, 022);

	sys(g->worker, SYS_umask, 0123);
	assert_int_equal(sys(g->worker, SYS_umask, 0), 0123);
	assert_int_equal(sys(g->client, SYS_umask, (uint64_t)mask), 022);
}

/* unshare(2) of a user namespace is EINVAL for a process of several threads. */
static void a_worker_has_one_thread(void **state)
{
	struct guest *g = *state;
	const char *const argv[] = {"/bin/sh", "-c",
				    "grep Threads /proc/$PPID/status", NULL};
	const struct exec_spec spec = {.argv = argv};
	struct exec *x = exec_new(g->worker);

	exec_start(x, &spec, patience());
	assert_int_equal(0, op_wait(&x->op));
	assert_int_equal(x->out.len, strlen("Threads:\t1\n"));
	exec_free(x);
}

static void it_has_no_files_of_others(void **state)
{
	struct guest *g = *state;
	int errnum = 0;

	/* eventfd2: the lowest free number in the agent, closed at exec. */
	int64_t fd =
	    end_syscall(start_syscall(g->client, SYS_eventfd2, 0, 0), NULL);
	struct msg m = {.type = MSG_WORKER_SPAWN};
	uint64_t handle = client_new_handle(g->client);
	m.worker_spawn.handle = handle;
	ask(g->client, &m);
	struct client *second =
	    client_new_worker(g->client, handle, NULL, NULL);
	struct op hello;
	client_hello(second, &hello, patience());
	assert_int_equal(0, op_wait(&hello));
	assert_int_equal(
	    end_syscall(start_syscall(second, SYS_fcntl, (uint64_t)fd, 1),
			&errnum),
	    -1);
	assert_int_equal(errnum, EBADF);
	op_done(&hello);
	client_free(second);
}

static void a_blocked_call_delays_nobody_else(void **state)
{
	struct guest *g = *state;
	struct call *pause = start_syscall(g->worker, SYS_pause, 0, 0);
	struct call *behind = start_syscall(g->worker, SYS_getpid, 0, 0);

	for (int i = 0; i < 20; i++)
		assert_int_equal(sys(g->client, SYS_getpid, 0), g->agent);
	assert_false(op_is_done(&pause->op));
	assert_false(op_is_done(&behind->op));
	/* One that comes before the call has begun ends nothing. */
	while (!op_is_done(&pause->op))
		send_signal(g, MSG_SIGNAL_INTERRUPT);
	int errnum = 0;
	assert_int_equal(end_syscall(pause, &errnum), -1);
	assert_int_equal(errnum, EINTR);
	assert_int_equal(end_syscall(behind, NULL), g->worker_pid);
}

static void much_goes_through_both_ways(void **state)
{
	struct guest *g = *state;
	char path[TMP_PATH_MAX];
	size_t n = (size_t)5 << 20;
	uint8_t *bytes = mem_alloc(n);

	tmp_template(path);
	int fd = mkstemp(path);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 9));
	struct msg m = {.type = MSG_WRITE_FILE};
	m.write_file.path = path;
	m.write_file.perm = MSG_PERM_DEFAULT;
	struct call *call = call_new(g->worker);
	call_start(call, &m, bytes, n, patience());
	assert_int_equal(0, op_wait(&call->op));
	call_free(call);

	m = (struct msg){.type = MSG_READ_FILE};
	m.read_file.path = path;
	call = call_new(g->worker);
	call_start(call, &m, NULL, 0, patience());
	assert_int_equal(0, op_wait(&call->op));
	assert_int_equal(call->data.len, n);
	assert_memory_equal(buf_data(&call->data), bytes, n);
	call_free(call);
	free(bytes);
	close(fd);
	unlink(path);
}

static void a_killed_worker_fails_its_calls(void **state)
{
	struct guest *g = *state;
	struct call *pause = start_syscall(g->worker, SYS_pause, 0, 0);
	struct msg m = {.type = MSG_PROC_WAIT};

	send_signal(g, SIGKILL);
	assert_int_equal(op_wait(&pause->op), -ESRCH);
	assert_string_equal(pause->op.err.text, "the worker is gone");
	call_free(pause);
	assert_int_equal(g->lost.code, -ESRCH);
	m.proc_wait.handle = g->handle;
	struct call *wait = call_new(g->client);
	call_start(wait, &m, NULL, 0, patience());
	assert_int_equal(0, op_wait(&wait->op));
	assert_true(wait->reply.exited.signalled);
	assert_int_equal(wait->reply.exited.status, SIGKILL);
	call_free(wait);
}

static void an_interrupt_reaches_calls_of_a_worker(void **state)
{
	struct guest *g = *state;
	struct call *pause = start_syscall(g->worker, SYS_pause, 0, 0);
	struct err err;

	loop_poll(g->loop);
	err_set(&err, -EHOSTDOWN, "the console shows it");
	client_interrupt(g->client, &err);
	assert_int_equal(op_wait(&pause->op), -EHOSTDOWN);
	assert_string_equal(pause->op.err.text, "the console shows it");
	call_free(pause);
	assert_int_equal(g->lost.code, 0);
	sys(g->client, SYS_getpid, 0);
}

static void a_second_link_takes_over(void **state)
{
	struct guest *g = *state;

	sys(g->worker, SYS_umask, 0111);
	struct client *old = g->worker;
	op_done(&g->worker_hello);
	/* With a call on its way, cut at any byte. */
	struct call *call = start_syscall(old, SYS_getpid, 0, 0);
	loop_poll(g->loop);
	call_free(call);
	client_free(old);
	link_worker(g);
	assert_int_equal(0, op_wait(&g->worker_hello));
	assert_int_equal(sys(g->worker, SYS_umask, 0), 0111);
	assert_int_equal(sys(g->worker, SYS_getpid, 0), g->worker_pid);
}

static void a_new_session_loses_the_link_and_keeps_the_worker(void **state)
{
	struct guest *g = *state;

	op_done(&g->hello);
	client_hello(g->client, &g->hello, patience());
	assert_int_equal(0, op_wait(&g->hello));
	wait_lost(g);
	assert_int_equal(g->lost.code, -ECONNRESET);
	op_done(&g->worker_hello);
	client_free(g->worker);
	link_worker(g);
	assert_int_equal(0, op_wait(&g->worker_hello));
	assert_int_equal(sys(g->worker, SYS_getpid, 0), g->worker_pid);
}

static void no_such_worker_is_told(void **state)
{
	struct guest *g = *state;

	op_done(&g->worker_hello);
	client_free(g->worker);
	g->handle++;
	link_worker(g);
	assert_int_equal(op_wait(&g->worker_hello), -EBADF);
	assert_int_equal(g->lost.code, -EBADF);
}

static void the_client_may_be_freed_before_the_worker(void **state)
{
	struct guest *g = *state;

	op_done(&g->hello);
	g->client = client_free(g->client);
	wait_lost(g);
	assert_int_equal(g->lost.code, -ECANCELED);
}

/* Gone already, or soon. */
static void wait_gone(pid_t pid)
{
	struct pollfd p = {.events = POLLIN};

	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.fd < 0) {
		assert_int_equal(errno, ESRCH);
		return;
	}
	assert_int_equal(1, poll(&p, 1, (int)(PATIENCE_NS / NS_PER_MS)));
	close(p.fd);
}

/* Both requests are there before the worker has run at all. */
static void a_worker_given_up_at_once_is_gone(void **state)
{
	struct guest *g = *state;
	struct msg m = {.type = MSG_WORKER_SPAWN};
	struct msg release = {.type = MSG_RELEASE};

	for (int i = 0; i < 20; i++) {
		struct call *call = call_new(g->client);
		uint64_t handle = client_new_handle(g->client);

		m.worker_spawn.handle = release.release.handle = handle;
		call_start(call, &m, NULL, 0, patience());
		client_post(g->client, &release);
		assert_int_equal(0, op_wait(&call->op));
		pid_t pid = (pid_t)call->reply.done.value;
		call_free(call);
		wait_gone(pid);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(calls_run_in_the_worker),
	    T(what_a_call_changes_stays),
	    T(a_worker_has_one_thread),
	    T(it_has_no_files_of_others),
	    T(a_blocked_call_delays_nobody_else),
	    T(much_goes_through_both_ways),
	    T(a_killed_worker_fails_its_calls),
	    T(an_interrupt_reaches_calls_of_a_worker),
	    T(a_second_link_takes_over),
	    T(a_new_session_loses_the_link_and_keeps_the_worker),
	    T(no_such_worker_is_told),
	    T(the_client_may_be_freed_before_the_worker),
	    T(a_worker_given_up_at_once_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
