/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * QMP is a line of JSON a message, both ways. QEMU greets; the client answers
 * with qmp_capabilities; from then on commands carry an id that comes back
 * with the reply, and events come at any time between.
 *
 *	waiting --greeting--> ready --end of file, bad line--> lost
 *
 * Commands are queued while waiting, so that nobody has to watch the state. A
 * reply whose id nobody waits for belongs to a call that was given up. What
 * cannot be QMP loses the connection: there is no way back into step.
 *
 * Handlers may free the connection: input is consumed before it is handled, and
 * the memory outlives the turn (loop_defer_free()).
 */
#include "vmm/qmp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "vmm/qmp_msg.h"

#define READ_CHUNK 16384

enum qmp_state { QMP_WAITING, QMP_READY, QMP_LOST };

struct qmp {
	struct loop *loop;
	struct watch *watch;
	const struct qmp_event *events;
	qmp_lost_cb on_lost;
	void *ctx;
	struct buf in;
	size_t scanned; /* bytes of in known to hold no newline */
	struct buf out;
	TAILQ_HEAD(qmp_call_list, qmp_call) calls;
	struct err lost_err;
	enum qmp_state state;
	json_int_t last_id;
	size_t logged;
	int fd;
	int log_fd;
	pid_t peer;
	bool is_freed;
	char version[QMP_VERSION_MAX];
};

static void log_bytes(struct qmp *q, const void *p, size_t n)
{
	if (q->log_fd < 0 || n > QMP_LOG_MAX - q->logged)
		return;
	q->logged += n;
	if (write(q->log_fd, p, n) < 0) /* full disk: go on without */
		fd_closep(&q->log_fd);
}

static void end_call(struct qmp_call *call, int result, const struct err *err)
{
	TAILQ_REMOVE(&call->qmp->calls, call, link);
	call->qmp = NULL;
	op_finish(&call->op, result, err);
}

static void on_call_stop(struct op *op, int reason)
{
	struct qmp_call *call = CONTAINER_OF(op, struct qmp_call, op);

	if (reason == -ETIMEDOUT)
		err_set(&op->err, reason, "QEMU did not answer '%s' in time",
			call->command);
	TAILQ_REMOVE(&call->qmp->calls, call, link);
	call->qmp = NULL;
}

/* Fails every call, then tells the owner, which may free q. */
static void qmp_lose(struct qmp *q, const struct err *err)
{
	struct qmp_call *call;

	if (q->state == QMP_LOST)
		return;
	q->state = QMP_LOST;
	q->lost_err = *err;
	watch_set(q->watch, 0);
	buf_reset(&q->out);
	while (!q->is_freed && (call = TAILQ_FIRST(&q->calls)))
		end_call(call, q->lost_err.code, &q->lost_err);
	if (!q->is_freed)
		q->on_lost(q->ctx, &q->lost_err);
}

static void qmp_lose_errno(struct qmp *q, int code)
{
	struct err err;

	err_set(&err, -code, "the QMP connection broke: %s", strerror(code));
	qmp_lose(q, &err);
}

static void flush_output(struct qmp *q)
{
	if (q->state != QMP_READY)
		return;
	while (q->out.len) {
		ssize_t n = send(q->fd, buf_data(&q->out), q->out.len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		/* A broken connection shows when it is read. */
		if (n < 0)
			break;
		buf_consume(&q->out, (size_t)n);
	}
	watch_set(q->watch, q->out.len ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static struct qmp_call *find_call(struct qmp *q, const struct qmp_msg *m)
{
	struct qmp_call *call;

	TAILQ_FOREACH (call, &q->calls, link)
		if (m->has_id && call->id == m->id)
			return call;
	return NULL;
}

static int handle_greeting(struct qmp *q, const struct qmp_msg *m,
			   struct err *err)
{
	int major = 0, minor = 0, micro = 0;
	const char *package = "";

	if (q->state == QMP_READY)
		return err_set(err, -EPROTO, "QEMU greeted twice");
	q->state = QMP_READY;
	json_unpack(m->root, "{s:{s:{s:{s:i, s:i, s:i}, s?s}}}", "QMP",
		    "version", "qemu", "major", &major, "minor", &minor,
		    "micro", &micro, "package", &package);
	snprintf(q->version, sizeof(q->version), "%d.%d.%d %s", major, minor,
		 micro, package);
	flush_output(q);
	return 0;
}

static int handle_return(struct qmp *q, const struct qmp_msg *m,
			 struct err *err)
{
	struct qmp_call *call = find_call(q, m);

	(void)err;
	if (!call)
		return 0;
	call->ret = json_incref(m->data);
	end_call(call, 0, NULL);
	return 0;
}

static int handle_error(struct qmp *q, const struct qmp_msg *m, struct err *err)
{
	struct qmp_call *call = find_call(q, m);
	struct err refused;

	/* QEMU names no id where it could not parse what we sent. */
	if (!m->has_id)
		return err_set(err, -EPROTO, "QEMU: %s", m->text);
	if (!call)
		return 0;
	err_set(&refused, -EREMOTEIO, "QEMU refused '%s': %s", call->command,
		m->text);
	end_call(call, refused.code, &refused);
	return 0;
}

static int handle_event(struct qmp *q, const struct qmp_msg *m, struct err *err)
{
	(void)err;
	for (const struct qmp_event *e = q->events; e->name; e++) {
		if (strcmp(e->name, m->name) != 0)
			continue;
		e->fn(q->ctx, m->data);
		break;
	}
	return 0;
}

typedef int (*handle_fn)(struct qmp *q, const struct qmp_msg *m,
			 struct err *err);

static const handle_fn handlers[] = {
    [QMP_GREETING] = handle_greeting,
    [QMP_RETURN] = handle_return,
    [QMP_ERROR] = handle_error,
    [QMP_EVENT] = handle_event,
};

static int handle_line(struct qmp *q, const char *line, size_t n,
		       struct err *err)
{
	struct qmp_msg m;
	int r = qmp_msg_decode(&m, line, n, err);

	if (r == 0 && q->state == QMP_WAITING && m.kind != QMP_GREETING)
		r = err_set(err, -EPROTO,
			    "QEMU did not greet on the QMP connection");
	else if (r == 0)
		r = handlers[m.kind](q, &m, err);
	if (r != 0 && q->state == QMP_WAITING)
		err_wrap(err, "no QMP greeting");
	qmp_msg_done(&m);
	return r;
}

const char *qmp_version(const struct qmp *q)
{
	return q->version;
}

/* Takes the first line off q->in, without its end; NULL when there is none. */
static char *qmp_take_line(struct qmp *q, size_t *ret_n)
{
	char *start = (char *)buf_data(&q->in);
	char *end, *line;
	size_t n;

	if (q->in.len == q->scanned)
		return NULL;
	end = memchr(start + q->scanned, '\n', q->in.len - q->scanned);
	if (!end) {
		q->scanned = q->in.len;
		return NULL;
	}
	n = (size_t)(end - start);
	log_bytes(q, start, n + 1);
	line = mem_strndup(start, n);
	*ret_n = strlen(line);
	if (*ret_n && line[*ret_n - 1] == '\r')
		line[--*ret_n] = '\0';
	buf_consume(&q->in, n + 1);
	q->scanned = 0;
	return line;
}

static void handle_input(struct qmp *q)
{
	struct err err;
	char *line;
	size_t n;

	while (!q->is_freed && q->state != QMP_LOST &&
	       (line = qmp_take_line(q, &n))) {
		int r = handle_line(q, line, n, &err);

		free(line);
		if (r != 0 && !q->is_freed)
			qmp_lose(q, &err);
	}
	if (q->is_freed || q->state == QMP_LOST || q->in.len <= QMP_LINE_MAX)
		return;
	err_set(&err, -EPROTO, "QEMU sent a QMP line of more than %u bytes",
		QMP_LINE_MAX);
	qmp_lose(q, &err);
}

static void note_peer(struct qmp *q, struct msghdr *m)
{
	struct ucred who;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET ||
		    c->cmsg_type != SCM_CREDENTIALS ||
		    c->cmsg_len < CMSG_LEN(sizeof(who)))
			continue;
		memcpy(&who, CMSG_DATA(c), sizeof(who));
		q->peer = who.pid;
	}
}

/* One read; false when there is nothing (more) to read. */
static bool qmp_read_some(struct qmp *q)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {buf_room(&q->in, READ_CHUNK), READ_CHUNK};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(q->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n > 0) {
		note_peer(q, &m);
		buf_commit(&q->in, (size_t)n);
		handle_input(q);
	} else if (n == 0 || errno == ECONNRESET) {
		/* A reset is an end with something of ours left unread. */
		qmp_lose_errno(q, EPIPE);
	} else if (errno != EAGAIN && errno != EINTR) {
		qmp_lose_errno(q, errno);
	}
	return n > 0;
}

static void qmp_on_ready(void *ctx, int fd, unsigned ready)
{
	struct qmp *q = ctx;

	(void)fd;
	if (ready & LOOP_WRITE)
		flush_output(q);
	if (ready & LOOP_READ)
		qmp_read_some(q);
}

pid_t qmp_peer(const struct qmp *q)
{
	return q->peer;
}

void qmp_drain(struct qmp *q)
{
	while (!q->is_freed && q->state != QMP_LOST && qmp_read_some(q))
		;
}

struct qmp *qmp_new(struct loop *l, int take_fd, const struct qmp_event *events,
		    qmp_lost_cb on_lost, void *ctx)
{
	struct qmp *q = mem_zalloc(sizeof(*q));
	const int on = 1;

	setsockopt(take_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	q->loop = l;
	q->events = events;
	q->on_lost = on_lost;
	q->ctx = ctx;
	q->fd = take_fd;
	q->log_fd = -1;
	TAILQ_INIT(&q->calls);
	q->watch = watch_new(l, take_fd, qmp_on_ready, q);
	watch_set(q->watch, LOOP_READ);
	return q;
}

struct qmp *qmp_free(struct qmp *q)
{
	struct qmp_call *call;

	if (!q || q->is_freed)
		return NULL;
	q->is_freed = true;
	while ((call = TAILQ_FIRST(&q->calls)))
		op_cancel(&call->op);
	watch_free(q->watch);
	fd_closep(&q->fd);
	fd_closep(&q->log_fd);
	buf_done(&q->in);
	buf_done(&q->out);
	loop_defer_free(q->loop, q, free);
	return NULL;
}

void qmp_set_log(struct qmp *q, int take_fd)
{
	fd_closep(&q->log_fd);
	q->log_fd = take_fd;
}

void qmp_call_start(struct qmp_call *call, struct qmp *q, const char *command,
		    json_t *take_arguments, int64_t deadline_ns)
{
	json_t *request = json_object();
	char *text;

	*call = (struct qmp_call){.command = mem_strdup(command)};
	op_init(&call->op, q->loop, on_call_stop);
	op_start(&call->op, deadline_ns);
	call->id = ++q->last_id;
	json_object_set_new(request, "execute", json_string(command));
	if (take_arguments)
		json_object_set_new(request, "arguments", take_arguments);
	json_object_set_new(request, "id", json_integer(call->id));
	text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	assert(text); /* commands are ours, and UTF-8 */
	if (q->state == QMP_LOST) {
		free(text);
		op_finish(&call->op, q->lost_err.code, &q->lost_err);
		return;
	}
	call->qmp = q;
	TAILQ_INSERT_TAIL(&q->calls, call, link);
	buf_printf(&q->out, "%s\n", text);
	log_bytes(q, text, strlen(text));
	log_bytes(q, "\n", 1);
	free(text);
	flush_output(q);
}

void qmp_call_skip(struct qmp_call *call, struct loop *l)
{
	*call = (struct qmp_call){0};
	op_init(&call->op, l, NULL);
	op_start(&call->op, CLOCK_NEVER);
	op_finish(&call->op, 0, NULL);
}

void qmp_call_done(struct qmp_call *call)
{
	op_done(&call->op);
	json_decref(call->ret);
	free(call->command);
	call->ret = NULL;
	call->command = NULL;
}
