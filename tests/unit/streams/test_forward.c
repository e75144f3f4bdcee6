/* SPDX-License-Identifier: MIT */
/*
 * Ports that are carried by the real agent, as a process of this machine: so
 * the guest's loopback is the host's. Servers and peers are processes of their
 * own, with plain blocking sockets, and say by their exit status how it went.
 */
#include "streams/forward.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "tests/unit/streams/lib_real_agent.h"

#define PATIENCE_NS (60 * NS_PER_SEC)
#define SOME	    (3u << 20) /* bytes: more than any window on the way */
#define KIDS_MAX    100

struct fix {
	struct loop *loop;
	struct client *client;
	struct op hello;
	pid_t agent;
	struct forward *f;
	int listener; /* the guest's server; -1: nobody listens */
	size_t n_kids;
	pid_t kids[KIDS_MAX];
	int ends[KIDS_MAX]; /* a pipe's: its end is the kid's */
};

static struct client *client_of(void *ctx)
{
	return ((struct fix *)ctx)->client;
}

static void on_lost(void *ctx, const struct err *err)
{
	client_fail(((struct fix *)ctx)->client, err);
}

static int listen_at(uint16_t *ret_port)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(0, bind(fd, (struct sockaddr *)&at, n));
	assert_int_equal(0, listen(fd, 200));
	assert_int_equal(0, getsockname(fd, (struct sockaddr *)&at, &n));
	*ret_port = ntohs(at.sin_port);
	return fd;
}

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));
	uint16_t port;
	int fd[2];

	f->loop = loop_new(NULL);
	assert_non_null(f->loop);
	assert_int_equal(
	    0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	f->agent = real_agent_run(fd[1]);
	close(fd[1]);
	f->client = client_new(f->loop, fd[0], on_lost, f);
	client_hello(f->client, &f->hello, clock_deadline_ns(PATIENCE_NS));
	assert_int_equal(0, op_wait(&f->hello));
	f->listener = listen_at(&port);
	f->f = forward_new(f->loop, port, client_of, f, NULL);
	assert_non_null(f->f);
	assert_int_equal(port, forward_guest_port(f->f));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	for (size_t i = 0; i < f->n_kids; i++) {
		kill(f->kids[i], SIGKILL);
		waitpid(f->kids[i], NULL, 0);
		close(f->ends[i]);
	}
	forward_free(f->f);
	op_done(&f->hello);
	client_free(f->client);
	loop_free(f->loop);
	kill(f->agent, SIGKILL);
	waitpid(f->agent, NULL, 0);
	if (f->listener >= 0)
		close(f->listener);
	free(f);
	return 0;
}

/* --- processes --------------------------------------------------------------
 */

typedef int (*kid_fn)(int fd);

static size_t start(struct fix *f, kid_fn fn, int fd)
{
	int end[2];

	assert_true(f->n_kids < KIDS_MAX);
	assert_int_equal(0, pipe(end));
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(end[0]);
		_exit(fn(fd));
	}
	close(end[1]);
	f->kids[f->n_kids] = pid;
	f->ends[f->n_kids] = end[0];
	return f->n_kids++;
}

static void on_end(void *ctx, int fd, unsigned ready)
{
	(void)fd;
	(void)ready;
	*(bool *)ctx = true;
}

static void on_too_long(void *ctx)
{
	(void)ctx;
	fail_msg("a process did not end in time");
}

/* Its exit status; the loop turns meanwhile. */
static int status_of(struct fix *f, size_t kid)
{
	struct timer *t = timer_new(f->loop, on_too_long, NULL);
	bool has_ended = false;
	struct watch *w = watch_new(f->loop, f->ends[kid], on_end, &has_ended);
	int status;

	timer_set(t, clock_deadline_ns(PATIENCE_NS));
	watch_set(w, LOOP_READ);
	while (!has_ended)
		loop_turn(f->loop);
	watch_free(w);
	timer_free(t);
	assert_int_equal(f->kids[kid], waitpid(f->kids[kid], &status, 0));
	close(f->ends[kid]);
	f->n_kids--;
	f->kids[kid] = f->kids[f->n_kids];
	f->ends[kid] = f->ends[f->n_kids];
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static size_t serve(struct fix *f, kid_fn fn)
{
	return start(f, fn, f->listener);
}

static size_t visit(struct fix *f, kid_fn fn)
{
	return start(f, fn, forward_port(f->f));
}

static int accept_one(int listener)
{
	return accept(listener, NULL, NULL);
}

static int connect_to(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		_exit(99);
	return fd;
}

static void reset(int fd)
{
	const struct linger at_once = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

/* n bytes that count; 0: all were taken. */
static int put(int fd, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint8_t b[4096];
		ssize_t w;

		for (size_t k = 0; k < sizeof(b); k++)
			b[k] = (uint8_t)((i + k) * 7 >> 3);
		w = send(fd, b, n - i < sizeof(b) ? n - i : sizeof(b),
			 MSG_NOSIGNAL);
		if (w < 0)
			return 1;
		i += (size_t)w;
	}
	return 0;
}

/* Exactly n such bytes and then the end; 0: so it was, 2: it was reset. */
static int get(int fd, size_t n)
{
	uint8_t b[4096];
	size_t i = 0;
	ssize_t r;

	while ((r = recv(fd, b, sizeof(b), 0)) > 0)
		for (ssize_t k = 0; k < r; k++, i++)
			if (b[k] != (uint8_t)(i * 7 >> 3))
				return 1;
	if (r < 0)
		return errno == ECONNRESET ? 2 : 3;
	return i == n ? 0 : 4;
}

/* --- whole conversations ----------------------------------------------------
 */

static int server_gets_then_puts(int listener)
{
	int fd = accept_one(listener);

	return get(fd, SOME) || put(fd, SOME + 1);
}

static int peer_puts_then_gets(int port)
{
	int fd = connect_to(port);

	if (put(fd, SOME))
		return 10;
	shutdown(fd, SHUT_WR);
	return get(fd, SOME + 1);
}

static void the_peer_may_end_first(void **state)
{
	struct fix *f = *state;
	size_t server = serve(f, server_gets_then_puts);
	size_t peer = visit(f, peer_puts_then_gets);

	assert_int_equal(0, status_of(f, peer));
	assert_int_equal(0, status_of(f, server));
}

static int server_puts_then_gets(int listener)
{
	int fd = accept_one(listener);

	if (put(fd, SOME))
		return 10;
	shutdown(fd, SHUT_WR);
	return get(fd, SOME + 1);
}

static int peer_gets_then_puts(int port)
{
	int fd = connect_to(port);

	return get(fd, SOME) || put(fd, SOME + 1);
}

static void the_guest_may_end_first(void **state)
{
	struct fix *f = *state;
	size_t server = serve(f, server_puts_then_gets);
	size_t peer = visit(f, peer_gets_then_puts);

	assert_int_equal(0, status_of(f, peer));
	assert_int_equal(0, status_of(f, server));
}

static int server_takes_many(int listener)
{
	for (int i = 0; i < 50; i++)
		if (get(accept_one(listener), 1000))
			return 1;
	return 0;
}

static int peer_puts_a_little(int port)
{
	return put(connect_to(port), 1000);
}

static void many_may_come_at_once(void **state)
{
	struct fix *f = *state;
	size_t server = serve(f, server_takes_many);

	for (int i = 0; i < 50; i++)
		visit(f, peer_puts_a_little);
	for (int i = 0; i < 50; i++)
		assert_int_equal(0, status_of(f, server + 1));
	assert_int_equal(0, status_of(f, server));
}

/* --- resets ------------------------------------------------------------------
 */

static int peer_gets_nothing(int port)
{
	return get(connect_to(port), 0);
}

static void what_the_guest_refuses_is_reset(void **state)
{
	struct fix *f = *state;

	close(f->listener);
	f->listener = -1;
	assert_int_equal(2, status_of(f, visit(f, peer_gets_nothing)));
}

static struct client *no_client(void *ctx)
{
	(void)ctx;
	return NULL;
}

static void without_a_guest_a_connection_is_reset(void **state)
{
	struct fix *f = *state;

	forward_free(f->f);
	f->f = forward_new(f->loop, 1, no_client, NULL, NULL);
	assert_int_equal(2, status_of(f, visit(f, peer_gets_nothing)));
}

static int server_resets(int listener)
{
	int fd = accept_one(listener);
	char c;

	if (recv(fd, &c, 1, 0) != 1)
		return 1;
	reset(fd);
	return 0;
}

static int peer_puts_one_and_gets(int port)
{
	int fd = connect_to(port);

	return put(fd, 1) ? 10 : get(fd, 0);
}

static void the_guests_reset_is_the_peers(void **state)
{
	struct fix *f = *state;
	size_t server = serve(f, server_resets);
	size_t peer = visit(f, peer_puts_one_and_gets);

	assert_int_equal(2, status_of(f, peer));
	assert_int_equal(0, status_of(f, server));
}

static int server_puts_one_and_gets(int listener)
{
	int fd = accept_one(listener);

	return put(fd, 1) ? 10 : get(fd, 0);
}

static int peer_resets(int port)
{
	int fd = connect_to(port);
	char c;

	if (recv(fd, &c, 1, 0) != 1)
		return 1;
	reset(fd);
	return 0;
}

static void the_peers_reset_is_the_guests(void **state)
{
	struct fix *f = *state;
	size_t server = serve(f, server_puts_one_and_gets);
	size_t peer = visit(f, peer_resets);

	assert_int_equal(0, status_of(f, peer));
	assert_int_equal(2, status_of(f, server));
}

/* A pipe on which a kid says that it has come so far. */
static int told[2];

/* Says so when it is connected, and waits for the end. */
static int peer_waits_for_the_end(int port)
{
	int fd = connect_to(port);
	char c;

	if (recv(fd, &c, 1, 0) != 1 || write(told[1], &c, 1) != 1)
		return 1;
	return get(fd, 0);
}

static void wait_until_told(struct fix *f)
{
	bool is_told = false;
	struct timer *t = timer_new(f->loop, on_too_long, NULL);
	struct watch *w = watch_new(f->loop, told[0], on_end, &is_told);

	timer_set(t, clock_deadline_ns(PATIENCE_NS));
	watch_set(w, LOOP_READ);
	while (!is_told)
		loop_turn(f->loop);
	watch_free(w);
	timer_free(t);
}

static void an_agent_that_is_gone_resets_all(void **state)
{
	struct fix *f = *state;
	size_t peer;

	assert_int_equal(0, pipe(told));
	serve(f, server_puts_one_and_gets);
	peer = visit(f, peer_waits_for_the_end);
	wait_until_told(f);
	kill(f->agent, SIGKILL);
	assert_int_equal(2, status_of(f, peer));
	status_of(f, 0); /* its kernel ends that, one way or the other */
	close(told[0]);
	close(told[1]);
}

static void a_forward_that_is_freed_resets_its_connections(void **state)
{
	struct fix *f = *state;
	size_t server, peer;

	assert_int_equal(0, pipe(told));
	server = serve(f, server_puts_one_and_gets);
	peer = visit(f, peer_waits_for_the_end);
	wait_until_told(f);
	assert_int_equal(1, forward_connections(f->f));
	f->f = forward_free(f->f);
	assert_int_equal(2, status_of(f, peer));
	assert_int_equal(2, status_of(f, server));
	close(told[0]);
	close(told[1]);
}

/* --- back-pressure -----------------------------------------------------------
 */

static int server_floods(int listener)
{
	int fd = accept_one(listener);

	return put(fd, SIZE_MAX) ? 0 : 1;
}

static int peer_reads_nothing(int port)
{
	int fd = connect_to(port);

	pause();
	close(fd);
	return 0;
}

static void who_does_not_read_holds_up_nobody_else(void **state)
{
	struct fix *f = *state;
	struct call *call;

	serve(f, server_floods);
	visit(f, peer_reads_nothing);
	while (forward_connections(f->f) == 0)
		loop_turn(f->loop);
	for (int i = 0; i < 500; i++) {
		const struct msg ping = {.type = MSG_PING, .ping.value = i};

		call = call_new(f->client);
		call_start(call, &ping, NULL, 0,
			   clock_deadline_ns(PATIENCE_NS));
		assert_int_equal(0, op_wait(&call->op));
		assert_int_equal(i, call->reply.done.value);
		call_free(call);
	}
	assert_true(forward_pending(f->f) <= 2 * CHAN_WINDOW);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(the_peer_may_end_first),
	    T(the_guest_may_end_first),
	    T(many_may_come_at_once),
	    T(what_the_guest_refuses_is_reset),
	    T(without_a_guest_a_connection_is_reset),
	    T(the_guests_reset_is_the_peers),
	    T(the_peers_reset_is_the_guests),
	    T(an_agent_that_is_gone_resets_all),
	    T(a_forward_that_is_freed_resets_its_connections),
	    T(who_does_not_read_holds_up_nobody_else),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
