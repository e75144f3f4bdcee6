/* SPDX-License-Identifier: MIT */
/*
 * A call: one request, its body, one answer and the data that follows it. It
 * is over when the agent has ended its direction; an ERROR is held in op.err
 * until then.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "streams/client_impl.h"

/* Of a file, read at a time. */
#define PIECE_MAX ((size_t)64 << 10)

static const struct client_user_ops call_user_ops;

static struct call *call_of(struct client_user *u)
{
	return CONTAINER_OF(u, struct call, user);
}

static void call_on_stop(struct op *op, int reason)
{
	struct call *call = CONTAINER_OF(op, struct call, op);
	struct client *c = call->user.client;

	(void)reason;
	if (c && c->tunnel && call->user.chan && call->request == MSG_SYSCALL)
		tunnel_abandon(c, call->user.chan);
	client_user_leave(&call->user, true);
}

/* The last thing a call does: it may be gone afterwards. */
static void call_finish_op(struct call *call, const struct err *err)
{
	client_user_leave(&call->user, false);
	op_finish(&call->op, err ? err->code : 0, err);
}

static void call_give_up(struct call *call, const struct err *err)
{
	client_user_leave(&call->user, true);
	op_finish(&call->op, err->code, err);
}

static void call_give_up_broken(struct call *call, const char *what)
{
	struct err err;

	reply_broken(&err, call->request, what);
	call_give_up(call, &err);
}

/* --- what comes ----------------------------------------------------------- */

static void call_message(struct client_user *u, const uint8_t *p, size_t n)
{
	struct call *call = call_of(u);
	struct err *err = &call->op.err;
	struct msg m;

	if (call->is_refused) {
		call_give_up_broken(call, "was answered again after its ERROR");
		return;
	}
	struct buf bytes = {0};
	buf_append(&bytes, p, n);
	if (reply_decode(call->request, buf_data(&bytes), n, &m, err) < 0) {
		buf_done(&bytes);
		call_give_up(call, err);
		return;
	}
	if (m.type == MSG_ERROR || call->has_reply)
		buf_done(&bytes);
	if (m.type == MSG_ERROR) {
		call->is_refused = true;
	} else if (call->has_reply) {
		call_give_up_broken(call, "was answered twice");
	} else {
		call->has_reply = true;
		call->reply = m;
		call->reply_bytes = bytes;
	}
}

static void call_data(struct client_user *u, const uint8_t *p, size_t n,
		      bool more)
{
	struct call *call = call_of(u);
	struct err err;

	(void)more;
	chan_consumed(u->chan, n);
	if (!call->has_reply || call->is_refused) {
		call_give_up_broken(call, "got data where none belongs");
		return;
	}
	if (n > call->max_data - call->data.len) {
		err_set(&err, -EFBIG, "%s: the guest sent more than %zu bytes",
			msg_name(call->request), call->max_data);
		call_give_up(call, &err);
		return;
	}
	buf_append(&call->data, p, n);
}

static void call_finished(struct client_user *u)
{
	struct call *call = call_of(u);

	if (call->is_refused)
		call_finish_op(call, &call->op.err);
	else if (!call->has_reply)
		call_give_up_broken(call, "was not answered");
	else if (!u->fin_sent)
		call_give_up_broken(call, "was answered before its end");
	else
		call_finish_op(call, NULL);
}

static void call_fail(struct client_user *u, const struct err *err)
{
	op_finish(&call_of(u)->op, err->code, err);
}

static void call_interrupt(struct client_user *u, const struct err *err)
{
	client_user_leave(u, true);
	call_fail(u, err);
}

/* --- what goes ------------------------------------------------------------ */

/* Reads the next piece of the file. Returns its length, 0 after a failure. */
static size_t call_read_piece(struct call *call, uint8_t *p, size_t n)
{
	struct err err;
	ssize_t got;

	do
		got = pread(call->body_fd, p, n, (off_t)call->body_sent);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		return (size_t)got;
	if (got < 0)
		err_set(&err, -errno, "%s: cannot read what to send: %s",
			msg_name(call->request), strerror(errno));
	else
		err_set(&err, -ENODATA,
			"%s: what to send has become shorter meanwhile: %zu "
			"bytes of %zu",
			msg_name(call->request), call->body_sent,
			call->body_len);
	call_give_up(call, &err);
	return 0;
}

/* What there is no room for is read again later. */
static void send_file(struct client_user *u)
{
	struct call *call = call_of(u);
	uint8_t piece[PIECE_MAX];
	size_t left, want, n;

	do {
		left = call->body_len - call->body_sent;
		want = left < PIECE_MAX ? left : PIECE_MAX;
		want = call_read_piece(call, piece, want);
		if (!want)
			return;
		n = chan_write(u->chan, piece, want, want == left);
		call->body_sent += n;
	} while (n == want && n < left);
	u->fin_sent = n == left;
	link_kick(u->client);
}

/* Makes the next record of the file. Returns false if that failed the call. */
static bool make_record(struct call *call)
{
	uint8_t record[SPARSE_HEADER + PIECE_MAX];
	uint64_t hole =
	    sparse_hole_at(&call->body_map, call->body_fd, call->body_sent);
	size_t left, n = 0;

	if (hole > call->body_len - call->body_sent)
		hole = call->body_len - call->body_sent;
	call->body_sent += hole;
	left = call->body_len - call->body_sent;
	if (left)
		n = call_read_piece(call, record + SPARSE_HEADER,
				    left < PIECE_MAX ? left : PIECE_MAX);
	if (left && !n)
		return false;
	call->body_sent += n;
	sparse_encode(record, hole, n);
	buf_append(&call->body_record, record, SPARSE_HEADER + n);
	return true;
}

/* Reads the next piece of the directory; false after a failure. */
static bool make_tree_piece(struct call *call)
{
	struct err err;
	int more = tree_reader_next(call->body_tree, &call->body_record,
				    PIECE_MAX, &err);

	if (more < 0) {
		call_give_up(call, &err);
		return false;
	}
	call->body_tree_ended = !more;
	return true;
}

/* What is made as it is sent: records, or a tree. */
static void send_made(struct client_user *u)
{
	struct call *call = call_of(u);
	struct buf *b = &call->body_record;
	bool is_last;

	do {
		if (!b->len && !(call->body_tree ? make_tree_piece(call)
						 : make_record(call)))
			return;
		is_last = call->body_tree ? call->body_tree_ended
					  : call->body_sent == call->body_len;
		buf_consume(b,
			    chan_write(u->chan, buf_data(b), b->len, is_last));
	} while (!b->len && !is_last);
	u->fin_sent = is_last && !b->len;
	link_kick(u->client);
}

static void send_body(struct client_user *u)
{
	struct call *call = call_of(u);
	size_t left = call->body_len - call->body_sent;

	if (call->body_is_sparse || call->body_tree) {
		send_made(u);
		return;
	}
	if (call->body_fd >= 0) {
		send_file(u);
		return;
	}
	size_t n =
	    chan_write(u->chan, call->body + call->body_sent, left, true);

	call->body_sent += n;
	u->fin_sent = n == left;
	link_kick(u->client);
}

void call_init(struct call *call, struct client *c)
{
	op_init(&call->op, c->loop, call_on_stop);
	memset(&call->user, 0, sizeof(*call) - offsetof(struct call, user));
	call->max_data = CALL_DATA_MAX;
	call->body_fd = -1;
	call->op.owner = c;
	call->user.ops = &call_user_ops;
}

void call_done(struct call *call)
{
	op_done(&call->op);
	buf_done(&call->reply_bytes);
	buf_done(&call->data);
	buf_done(&call->body_record);
}

struct call *call_new(struct client *c)
{
	struct call *call = mem_alloc(sizeof(*call));

	call_init(call, c);
	return call;
}

struct call *call_free(struct call *call)
{
	if (!call)
		return NULL;
	call_done(call);
	free(call);
	return NULL;
}

void call_start_file(struct call *call, const struct msg *req, int body_fd,
		     size_t body_len, int64_t deadline_ns)
{
	call->body_fd = body_fd;
	call_start(call, req, NULL, body_len, deadline_ns);
}

void call_start_sparse(struct call *call, const struct msg *req, int body_fd,
		       size_t body_len, int64_t deadline_ns)
{
	call->body_is_sparse = true;
	call_start_file(call, req, body_fd, body_len, deadline_ns);
}

void call_start_tree(struct call *call, const struct msg *req,
		     struct tree_reader *tree, int64_t deadline_ns)
{
	call->body_tree = tree;
	call_start(call, req, NULL, 0, deadline_ns);
}

void call_start(struct call *call, const struct msg *req, const void *body,
		size_t body_len, int64_t deadline_ns)
{
	struct client_user *u = &call->user;
	bool has_body = body_len || call->body_tree;
	struct err err;

	assert(call->op.state == OP_IDLE);
	call->request = req->type;
	call->body = body;
	call->body_len = body_len;
	op_start(&call->op, deadline_ns);
	if (client_user_open(call->op.owner, u, req, !has_body, &err) < 0) {
		op_finish(&call->op, err.code, &err);
		return;
	}
	if (has_body && u->chan)
		send_body(u);
}

static const struct client_user_ops call_user_ops = {
    .interrupt = call_interrupt,
    .message = call_message,
    .data = call_data,
    .writable = send_body,
    .finished = call_finished,
    .fail = call_fail,
};
