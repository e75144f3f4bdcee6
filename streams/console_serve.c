/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: a client is a position in the log, like a cursor, and a
 * socket that tells when it takes more. Nothing is queued for it: a client
 * that does not read, or is slow, is one that is behind in the log. The other
 * way there is one block at a time: it is read from the client when the
 * console has taken the one before, so a guest that does not read its console
 * stops the clients that write to it, and nobody else.
 *
 * Each is given TURN_MAX bytes a turn of the loop; connections are accepted
 * ACCEPTS_MAX at a time.
 *
 * A client that has shut down its sending half (socat at the end of its input)
 * still gets output. That it has gone altogether shows when something is sent
 * to it; or is looked at (console_serve_sweep()) when its place is wanted.
 */
#include "streams/console_serve.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/console_private.h"

#define BACKLOG	    64
#define ACCEPTS_MAX 16
#define TURN_MAX    ((size_t)16 << 10)
#define INPUT_MAX   ((size_t)4 << 10)
/* What a client may take in its last moment: more than a socket holds. */
#define FAREWELL_MAX ((uint64_t)1 << 20)
/* When there are no descriptors left, for a connection more. */
#define RETRY_NS (100 * NS_PER_MS)

struct client {
	TAILQ_ENTRY(client) link;
	struct console_server *server; /* borrowed */
	int fd;
	struct watch *watch;
	uint64_t at;  /* log offset of the next byte to send */
	uint64_t end; /* where it ends; UINT64_MAX: not yet known */
	struct console_write input; /* its last block */
	bool is_writing;	    /* which the console has not yet taken */
	bool is_half_closed;	    /* it will send no more */
};
TAILQ_HEAD(client_list, client);

struct console_server {
	struct console *console; /* the owner */
	char *path;
	int fd; /* listens */
	struct watch *watch;
	struct timer *retry;
	struct client_list clients;
	unsigned n_clients;
};

/* --- a client's end --------------------------------------------------------
 */

/* What is left unread would make the other end see an error, not the end. */
static void console_serve_hang_up(int fd)
{
	char rest[1024];

	/* Nothing more can come after this. */
	shutdown(fd, SHUT_RDWR);
	while (recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
	close(fd);
}

static void console_serve_drop(struct client *k)
{
	struct console_server *s = k->server;

	TAILQ_REMOVE(&s->clients, k, link);
	s->n_clients--;
	watch_free(k->watch);
	if (k->is_writing)
		console_write_done(&k->input);
	console_serve_hang_up(k->fd);
	/* One of its callbacks may be up the stack. */
	loop_defer_free(s->console->loop, k, free);
}

static bool has_gone(const struct client *k)
{
	struct pollfd p = {.fd = k->fd};

	return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

/* Those that would not show by themselves that they have gone. */
static void console_serve_sweep(struct console_server *s)
{
	struct client *k, *next;

	for (k = TAILQ_FIRST(&s->clients); k; k = next) {
		next = TAILQ_NEXT(k, link);
		if ((k->is_half_closed || k->is_writing) && has_gone(k))
			console_serve_drop(k);
	}
}

/* --- output ----------------------------------------------------------------
 */

/* What there is for k now. */
static uint64_t limit_of(const struct client *k)
{
	uint64_t size = console_log_size(&k->server->console->log);

	return k->end < size ? k->end : size;
}

/* Watches for what k waits for; drops it when that is nothing any more. */
static void update(struct client *k)
{
	unsigned events = 0;

	if (k->at >= k->end) {
		console_serve_drop(k);
		return;
	}
	if (k->at < limit_of(k))
		events |= LOOP_WRITE;
	if (!k->is_half_closed && !k->is_writing && k->end == UINT64_MAX)
		events |= LOOP_READ;
	watch_set(k->watch, events);
}

/* Sends some of what k has not got. Returns how much, 0 when it takes nothing
 * now, or negative when nothing more can be sent to it. */
static ssize_t console_serve_send_some(struct client *k, size_t max)
{
	struct console *c = k->server->console;
	uint64_t limit = limit_of(k), at = k->at;
	size_t got = console_log_read(&c->log, &at, c->out, max);

	/* The log cannot be read back. */
	if (!got)
		return -1;
	/* Over a gap in the log. */
	k->at = at - got;
	if (k->at >= limit)
		return -1;
	if (got > limit - k->at)
		got = (size_t)(limit - k->at);
	ssize_t n = send(k->fd, c->out, got, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	k->at += (uint64_t)n;
	return n;
}

static void bid_farewell(struct client *k)
{
	uint64_t from = k->at;

	while (k->at < limit_of(k) && k->at - from < FAREWELL_MAX &&
	       console_serve_send_some(k, TURN_MAX) > 0)
		;
	console_serve_drop(k);
}

/* --- input -----------------------------------------------------------------
 */

static void on_written(struct op *op, void *ctx)
{
	struct client *k = ctx;

	(void)op;
	/* With an error: the chardev is gone, and console_server_end() comes or
	 * has come. */
	console_write_done(&k->input);
	k->is_writing = false;
	update(k);
}

static void console_serve_pass_on(struct client *k, const uint8_t *p, size_t n)
{
	console_write_start(&k->input, k->server->console, p, n, CLOCK_NEVER);
	if (op_is_done(&k->input.op)) {
		console_write_done(&k->input);
		return;
	}
	k->is_writing = true;
	k->input.is_kept = true;
	k->input.op.on_done = on_written;
	k->input.op.done_ctx = k;
}

/* Returns false when k has gone. */
static bool take_input(struct client *k)
{
	uint8_t in[INPUT_MAX];
	ssize_t n = recv(k->fd, in, sizeof(in), MSG_DONTWAIT);

	if (n > 0)
		console_serve_pass_on(k, in, (size_t)n);
	else if (n == 0)
		k->is_half_closed = true;
	else if (errno != EAGAIN && errno != EINTR)
		return false;
	return !k->is_half_closed || !has_gone(k);
}

static void on_client(void *ctx, int fd, unsigned ready)
{
	struct client *k = ctx;
	bool is_there = ready & LOOP_READ
			    ? take_input(k)
			    : console_serve_send_some(k, TURN_MAX) >= 0;

	(void)fd;
	if (is_there)
		update(k);
	else
		console_serve_drop(k);
}

/* --- connections -----------------------------------------------------------
 */

static void add_client(struct console_server *s, int take_fd)
{
	struct console *c = s->console;
	struct client *k;

	if (s->n_clients >= CONSOLE_CLIENTS_MAX)
		console_serve_sweep(s);
	if (s->n_clients >= CONSOLE_CLIENTS_MAX) {
		console_serve_hang_up(take_fd);
		return;
	}
	k = mem_zalloc(sizeof(*k));
	k->server = s;
	k->fd = take_fd;
	k->watch = watch_new(c->loop, take_fd, on_client, k);
	k->at = console_log_size(&c->log);
	k->end = c->fd >= 0 ? UINT64_MAX : console_log_size(&c->log);
	TAILQ_INSERT_TAIL(&s->clients, k, link);
	s->n_clients++;
	update(k);
}

void console_server_accept(struct console_server *s)
{
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int fd =
		    accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			add_client(s, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS) {
			watch_set(s->watch, 0);
			timer_set(s->retry, clock_deadline_ns(RETRY_NS));
		}
		return;
	}
}

static void console_serve_on_listener(void *ctx, int fd, unsigned ready)
{
	(void)fd;
	(void)ready;
	console_server_accept(ctx);
}

static void on_retry(void *ctx)
{
	struct console_server *s = ctx;

	watch_set(s->watch, LOOP_READ);
}

void console_server_wake(struct console_server *s)
{
	struct client *k, *next;

	for (k = TAILQ_FIRST(&s->clients); k; k = next) {
		next = TAILQ_NEXT(k, link);
		update(k);
	}
}

void console_server_end(struct console_server *s)
{
	struct client *k, *next;

	console_server_accept(s);
	for (k = TAILQ_FIRST(&s->clients); k; k = next) {
		next = TAILQ_NEXT(k, link);
		if (k->end == UINT64_MAX)
			k->end = console_log_size(&s->console->log);
		update(k);
	}
}

/* --- life ------------------------------------------------------------------
 */

static int open_listener(const char *path, struct err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	CLEANUP(fd_closep) int fd = -1;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, -ENAMETOOLONG,
			       "'%s' is longer than the %zu bytes that the "
			       "path of a unix socket may have; is "
			       "$XDG_RUNTIME_DIR or $TMPDIR that long?",
			       path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* On Linux the file gets the mode that the socket has at bind(), less
	 * the umask. */
	if (fd < 0 || fchmod(fd, 0600) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return err_set(err, -errno,
			       "cannot serve the console at '%s': "
			       "%s",
			       path, strerror(errno));
	return TAKE_FD(fd);
}

struct console_server *console_server_new(struct console *c, const char *path,
					  struct err *err)
{
	int fd = open_listener(path, err);

	if (fd < 0)
		return NULL;
	struct console_server *s = mem_zalloc(sizeof(*s));
	s->console = c;
	s->path = mem_strdup(path);
	s->fd = fd;
	s->retry = timer_new(c->loop, on_retry, s);
	s->watch = watch_new(c->loop, fd, console_serve_on_listener, s);
	watch_set(s->watch, LOOP_READ);
	TAILQ_INIT(&s->clients);
	return s;
}

struct console_server *console_server_free(struct console_server *s)
{
	if (!s)
		return NULL;
	unlink(s->path);
	while (!TAILQ_EMPTY(&s->clients))
		bid_farewell(TAILQ_FIRST(&s->clients));
	watch_free(s->watch);
	timer_free(s->retry);
	close(s->fd);
	free(s->path);
	free(s);
	return NULL;
}
