/* SPDX-License-Identifier: MIT */
/*
 * A call: a request, perhaps a body, and the whole answer. It is over when the
 * agent has ended its direction, whether or not all of the body was sent: an
 * agent that refuses does not wait for it.
 */
#include <errno.h>
#include <stdlib.h>

#include "agent-proto/mem.h"
#include "streams/client_impl.h"

static struct call *call_of(struct port *p)
{
	return CONTAINER_OF(p, struct call, port);
}

/* Closes the channel and finishes; call may be gone afterwards. */
static void call_end(struct call *call, int result, const struct err *err)
{
	port_close(&call->port);
	op_finish(&call->op, result, err);
}

static void call_message(struct port *p, const uint8_t *msg, size_t n)
{
	struct call *call = call_of(p);
	struct err err;

	if (call->has_reply) {
		/* Behind an answer only an error may come. */
		struct msg late;

		if (client_decode_reply(&late, msg, n, &err) == 0)
			err_set(&err, -EPROTO, "the agent answered twice");
		call_end(call, err.code, &err);
		return;
	}
	buf_append(&call->reply_bytes, msg, n);
	if (client_decode_reply(&call->reply, buf_data(&call->reply_bytes), n,
				&err) < 0) {
		call_end(call, err.code, &err);
		return;
	}
	call->has_reply = true;
}

static void call_data(struct port *p, const uint8_t *bytes, size_t n, bool more)
{
	struct call *call = call_of(p);
	struct err err;

	(void)more;
	if (n > call->max_data - call->data.len) {
		err_set(&err, -EFBIG, "the answer is larger than %zu bytes",
			call->max_data);
		call_end(call, err.code, &err);
		return;
	}
	buf_append(&call->data, bytes, n);
	chan_consumed(p->chan, n);
}

static void send_body(struct call *call)
{
	call->body_sent +=
	    chan_write(call->port.chan, call->body + call->body_sent,
		       call->body_len - call->body_sent, true);
	client_kick(call->port.client);
}

static void call_writable(struct port *p)
{
	struct call *call = call_of(p);

	if (call->body_sent < call->body_len)
		send_body(call);
}

static void call_finished(struct port *p)
{
	struct call *call = call_of(p);
	struct err err;

	if (!call->has_reply) {
		err_set(&err, -EPROTO, "the agent ended without an answer");
		call_end(call, err.code, &err);
		return;
	}
	if (call->body_sent < call->body_len)
		port_close(p);
	else
		port_forget(p);
	op_finish(&call->op, 0, NULL);
}

static void call_lost(struct port *p, const struct err *err)
{
	op_finish(&call_of(p)->op, err->code, err);
}

static const struct port_ops call_ops = {
    .message = call_message,
    .data = call_data,
    .writable = call_writable,
    .finished = call_finished,
    .lost = call_lost,
};

static void call_stop(struct op *op, int reason)
{
	(void)reason;
	port_close(&CONTAINER_OF(op, struct call, op)->port);
}

struct call *call_new(struct client *c)
{
	struct call *call = mem_zalloc(sizeof(*call));

	op_init(&call->op, client_loop(c), call_stop);
	call->port.client = c;
	call->max_data = CALL_DATA_MAX;
	return call;
}

void call_start(struct call *call, const struct msg *req, const void *body,
		size_t body_len, int64_t deadline_ns)
{
	struct err err;

	op_start(&call->op, deadline_ns);
	call->body = body;
	call->body_len = body_len;
	if (port_open(&call->port, call->port.client, &call_ops, req, !body_len,
		      &err) < 0) {
		op_finish(&call->op, err.code, &err);
		return;
	}
	if (body_len && call->port.chan)
		send_body(call);
}

struct call *call_free(struct call *call)
{
	if (!call)
		return NULL;
	op_done(&call->op);
	buf_done(&call->reply_bytes);
	buf_done(&call->data);
	free(call);
	return NULL;
}

static void on_posted(struct op *op, void *ctx)
{
	(void)op;
	call_free(ctx);
}

void client_post(struct client *c, const struct msg *req)
{
	struct call *call = call_new(c);

	call_start(call, req, NULL, 0, CLOCK_NEVER);
	if (op_is_done(&call->op)) {
		call_free(call);
		return;
	}
	call->op.on_done = on_posted;
	call->op.done_ctx = call;
}
