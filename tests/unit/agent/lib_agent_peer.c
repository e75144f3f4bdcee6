/* SPDX-License-Identifier: MIT */
#include "tests/unit/agent/lib_agent_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/tmp.h"

/* --- what the session says ------------------------------------------------ */

static void on_established(void *ctx, const struct hello *h)
{
	struct peer *p = ctx;

	p->established = true;
	p->agent = *h;
}

static void on_message(void *ctx, struct chan *ch, const uint8_t *bytes,
		       size_t n)
{
	struct exchange *x = chan_ctx(ch);
	struct msg m;

	(void)ctx;
	assert_int_equal(msg_decode(&m, bytes, n), 0);
	assert_false(msg_is_request(m.type));
	if (m.type == MSG_ERROR) {
		x->errnum = m.error.errnum;
		snprintf(x->text, sizeof(x->text), "%s", m.error.text);
	}
	if (x->replies++)
		return;
	buf_append(&x->reply_bytes, bytes, n);
	assert_int_equal(msg_decode(&x->reply, buf_data(&x->reply_bytes), n),
			 0);
}

static void on_data(void *ctx, struct chan *ch, const uint8_t *bytes, size_t n,
		    bool more)
{
	struct exchange *x = chan_ctx(ch);

	(void)ctx;
	(void)more;
	buf_append(&x->data, bytes, n);
	x->frames++;
	if (x->hold)
		x->held += n;
	else
		chan_consumed(ch, n);
}

static void on_finished(void *ctx, struct chan *ch)
{
	struct exchange *x = chan_ctx(ch);

	(void)ctx;
	x->fin = true;
}

static void on_closed(void *ctx, struct chan *ch, int reason)
{
	struct exchange *x = chan_ctx(ch);

	(void)ctx;
	x->chan = NULL;
	x->reason = reason;
}

static const struct session_ops peer_ops = {
    .established = on_established,
    .message = on_message,
    .data = on_data,
    .finished = on_finished,
    .closed = on_closed,
};

/* --- moving bytes --------------------------------------------------------- */

static void move_in(struct peer *p)
{
	struct err err;
	size_t room;
	uint8_t *to = session_input_room(p->session, &room);
	ssize_t n = read(p->fd, to, room);

	if (n > 0 && session_input(p->session, (size_t)n, &err) < 0)
		fail_msg("%s", err.text);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		p->ended = true;
}

static bool has_out(struct peer *p)
{
	if (!p->out.len)
		session_output(p->session, &p->out, FRAME_PAYLOAD_MAX);
	return p->out.len;
}

static void move_out(struct peer *p)
{
	while (has_out(p)) {
		ssize_t n =
		    send(p->fd, buf_data(&p->out), p->out.len, MSG_NOSIGNAL);
		if (n < 0) {
			p->ended |= errno != EAGAIN;
			return;
		}
		buf_consume(&p->out, (size_t)n);
	}
}

/* Returns whether anything could be moved within ms. */
static bool turn(struct peer *p, int ms)
{
	struct pollfd pfd = {.fd = p->fd, .events = POLLIN};

	move_out(p);
	if (p->out.len)
		pfd.events |= POLLOUT;
	if (p->ended || poll(&pfd, 1, ms) <= 0)
		return false;
	if (pfd.revents & POLLOUT)
		move_out(p);
	if (pfd.revents & (POLLIN | POLLHUP | POLLERR))
		move_in(p);
	move_out(p);
	return true;
}

void peer_turn(struct peer *p)
{
	if (!turn(p, PEER_WAIT_S * 1000) && !p->ended)
		fail_msg("the agent said nothing for %d s", PEER_WAIT_S);
}

void peer_settle(struct peer *p, int quiet_ms)
{
	while (turn(p, quiet_ms) && !p->ended)
		;
}

/* A turn on the way to something that a hangup makes impossible. */
static void turn_or_fail(struct peer *p)
{
	if (p->ended)
		fail_msg("the agent hung up");
	peer_turn(p);
}

/* --- life ----------------------------------------------------------------- */

void peer_hello(struct peer *p)
{
	p->established = false;
	session_hello(p->session, ++p->nonce);
	while (!p->established)
		turn_or_fail(p);
}

struct peer *peer_wrap(int take_fd)
{
	struct peer *p = mem_zalloc(sizeof(*p));

	fcntl(take_fd, F_SETFL, O_RDWR | O_NONBLOCK);
	p->fd = take_fd;
	p->next_handle = 1;
	p->session = session_new(SESSION_HOST, 0, &peer_ops, p);
	peer_hello(p);
	return p;
}

static pid_t run_agent(int fd)
{
	char arg[16];
	char path[] = PROVIUM_B "/provium-agent-test";
	char mode[] = "--fd";
	char *argv[] = {path, mode, arg, NULL};
	pid_t pid;
	int copy = dup(fd); /* the dup has no CLOEXEC */

	snprintf(arg, sizeof(arg), "%d", copy);
	assert_int_equal(posix_spawn(&pid, path, NULL, NULL, argv, environ), 0);
	close(copy);
	return pid;
}

struct peer *peer_start(void)
{
	struct peer *p;
	int fds[2];
	pid_t pid;

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	pid = run_agent(fds[1]);
	close(fds[1]);
	p = peer_wrap(fds[0]);
	p->pid = pid;
	return p;
}

static void exchange_free(struct exchange *x)
{
	buf_done(&x->reply_bytes);
	buf_done(&x->data);
	free(x);
}

void peer_stop(struct peer *p)
{
	int wstatus = 0;

	close(p->fd);
	while (p->all) {
		struct exchange *x = p->all;
		p->all = x->next;
		exchange_free(x);
	}
	session_free(p->session);
	buf_done(&p->out);
	if (p->pid) {
		assert_int_equal(waitpid(p->pid, &wstatus, 0), p->pid);
		assert_int_equal(wstatus, 0);
	}
	/* What outlived its leader, and so the agent. */
	for (unsigned i = 0; p->pid && i < p->n_groups; i++)
		kill(-p->groups[i], SIGKILL);
	free(p);
}

int peer_setup(void **state)
{
	*state = peer_start();
	return 0;
}

int peer_teardown(void **state)
{
	peer_stop(*state);
	return 0;
}

/* --- exchanges ------------------------------------------------------------ */

struct exchange *peer_send(struct peer *p, const struct msg *m, bool fin)
{
	struct exchange *x = mem_zalloc(sizeof(*x));
	struct buf bytes = {0};

	assert_int_equal(msg_encode(m, &bytes), 0);
	x->p = p;
	x->next = p->all;
	p->all = x;
	x->chan = chan_open(p->session, buf_data(&bytes), bytes.len, fin, x);
	assert_non_null(x->chan);
	buf_done(&bytes);
	return x;
}

void peer_body(struct exchange *x, const void *bytes, size_t n, bool fin)
{
	const uint8_t *at = bytes;

	for (;;) {
		assert_non_null(x->chan);
		size_t took = chan_write(x->chan, at, n, fin);
		at += took;
		n -= took;
		if (!n)
			return;
		turn_or_fail(x->p);
	}
}

void peer_wait_reply(struct exchange *x)
{
	while (!x->replies)
		turn_or_fail(x->p);
}

void peer_wait_fin(struct exchange *x)
{
	while (!x->fin)
		turn_or_fail(x->p);
}

void peer_wait_data(struct exchange *x, size_t n)
{
	while (x->data.len < n && !x->fin)
		turn_or_fail(x->p);
	assert_true(x->data.len >= n);
}

void peer_unhold(struct exchange *x)
{
	size_t n = x->held;

	x->hold = false;
	x->held = 0;
	if (x->chan)
		chan_consumed(x->chan, n);
}

struct exchange *peer_call(struct peer *p, const struct msg *m)
{
	struct exchange *x = peer_send(p, m, true);

	peer_wait_fin(x);
	return x;
}

int64_t peer_done(struct peer *p, const struct msg *m)
{
	struct exchange *x = peer_call(p, m);

	if (x->errnum)
		fail_msg("%s: %s", msg_name(m->type), x->text);
	assert_int_equal(x->reply.type, MSG_DONE);
	return x->reply.done.value;
}

void peer_fails(struct peer *p, const struct msg *m, int errnum,
		const char *text)
{
	struct exchange *x = peer_call(p, m);

	assert_int_equal(x->errnum, errnum);
	if (!strstr(x->text, text))
		fail_msg("'%s' is not in '%s'", text, x->text);
}

/* --- processes ------------------------------------------------------------ */

static struct msg_list list_of(struct buf *items, const char *const *v)
{
	uint32_t count = 0;

	for (; v && *v; v++)
		msg_list_add(items, &count, *v, strlen(*v));
	return msg_list_of(items, count);
}

uint64_t peer_spawn(struct peer *p, const char *const *argv, uint32_t flags)
{
	struct msg m = {.type = MSG_SPAWN};
	struct buf items = {0};

	m.spawn.handle = p->next_handle++;
	m.spawn.flags = flags;
	m.spawn.argv = list_of(&items, argv);
	int64_t pid = peer_done(p, &m);
	assert_true(pid > 0);
	if (p->n_groups < ARRAY_LEN(p->groups))
		p->groups[p->n_groups++] = (pid_t)pid;
	buf_done(&items);
	return m.spawn.handle;
}

uint64_t peer_sh(struct peer *p, const char *script)
{
	const char *const argv[] = {"sh", "-c", script, NULL};

	return peer_spawn(p, argv, 0);
}

struct exchange *peer_output(struct peer *p, uint64_t handle, int fd,
			     unsigned flags)
{
	struct msg m = {.type = MSG_PROC_OUTPUT};

	m.proc_output.handle = handle;
	m.proc_output.fd = (uint8_t)fd;
	m.proc_output.flags = (uint8_t)flags;
	return peer_send(p, &m, true);
}

struct msg_exited peer_wait_exit(struct peer *p, uint64_t handle)
{
	struct msg m = {.type = MSG_PROC_WAIT, .proc_wait.handle = handle};
	struct exchange *x = peer_call(p, &m);

	assert_int_equal(x->reply.type, MSG_EXITED);
	return x->reply.exited;
}

/* --- files ---------------------------------------------------------------- */

static char tmp_dir[TMP_PATH_MAX];

static void remove_tmp(void)
{
	char cmd[TMP_PATH_MAX + 32];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", tmp_dir);
	if (*tmp_dir && system(cmd) != 0)
		fprintf(stderr, "cannot remove %s\n", tmp_dir);
}

const char *peer_tmp(const char *name)
{
	static char paths[8][TMP_PATH_MAX + 32];
	static unsigned next;
	char *path = paths[next++ % ARRAY_LEN(paths)];

	if (!*tmp_dir) {
		tmp_template(tmp_dir);
		assert_non_null(mkdtemp(tmp_dir));
		atexit(remove_tmp);
	}
	snprintf(path, sizeof(paths[0]), "%s/%s", tmp_dir, name);
	return path;
}

void peer_write(const char *path, const char *text, bool append)
{
	FILE *f = fopen(path, append ? "a" : "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

void assert_data(const struct exchange *x, const char *want)
{
	assert_int_equal(x->data.len, strlen(want));
	if (x->data.len)
		assert_memory_equal(buf_data(&x->data), want, strlen(want));
}
