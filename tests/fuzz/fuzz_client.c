/* SPDX-License-Identifier: MIT */
/*
 * The host's end of a session with an agent that means harm: calls, commands
 * and tails in flight on a socketpair whose other end says anything. The input
 * is a program: an opcode byte, at times with operands, until it ends.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "streams/client.h"
#include "streams/exec.h"
#include "streams/tail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS	 8
#define SEEN_MAX 16
#define DATA_MAX 3000 /* small, so that it is reached */
#define SOON_NS	 (5 * NS_PER_MS)

enum job { JOB_NONE, JOB_CALL, JOB_EXEC, JOB_TAIL, JOB_STREAM };

struct host;

struct slot {
	struct host *h;
	enum job job;
	struct call *call;
	struct exec *exec;
	struct tail_open tail;
	struct stream *stream;
	struct stream_wait wait;
	int done; /* how often it was told */
	bool free_when_done;
};

struct host {
	const uint8_t *p; /* the rest of the program */
	size_t n;
	struct loop *loop;
	struct client *client;
	struct op hello;
	int agent; /* the other end; -1: closed */
	uint64_t nonce;
	uint32_t seen[SEEN_MAX]; /* channels that the host opened last */
	size_t n_seen;
	struct buf heard; /* from the host, not looked at */
	bool is_lost;
	struct slot slots[SLOTS];
};

static void require(bool ok)
{
	if (!ok)
		abort();
}

static uint8_t next(struct host *h)
{
	if (!h->n)
		return 0;
	h->n--;
	return *h->p++;
}

/* --- the host ------------------------------------------------------------ */

static void check_call(const struct call *c)
{
	require(c->data.len <= DATA_MAX);
	if (c->op.result < 0) {
		require(c->op.err.code == c->op.result && c->op.err.text[0]);
		return;
	}
	/* The right answer to what was asked, never another. */
	if (c->request == MSG_STAT)
		require(c->reply.type == MSG_FILE_STATUS);
	else if (c->request == MSG_PROC_WAIT)
		require(c->reply.type == MSG_EXITED);
	else
		require(c->reply.type == MSG_DONE);
}

static void slot_clear(struct slot *s)
{
	struct host *h = s->h;

	if (s->job == JOB_CALL)
		call_free(s->call);
	if (s->job == JOB_EXEC)
		exec_free(s->exec);
	if (s->job == JOB_TAIL)
		tail_open_done(&s->tail);
	if (s->job == JOB_STREAM) {
		stream_wait_done(&s->wait);
		stream_free(s->stream);
	}
	*s = (struct slot){.h = h};
}

static void take_stream(struct slot *s)
{
	if (s->tail.op.result < 0) {
		require(!s->tail.stream);
		return;
	}
	s->stream = s->tail.stream;
	s->tail.stream = NULL;
	tail_open_done(&s->tail);
	s->job = JOB_STREAM;
	stream_wait_init(&s->wait, s->stream);
}

/* The slot's op is over: by its callback, or at its start. */
static void finished(struct slot *s)
{
	require(++s->done == 1);
	if (s->job == JOB_CALL) {
		check_call(s->call);
	} else if (s->job == JOB_EXEC) {
		require(s->exec->out.len <= DATA_MAX);
		require(s->exec->err_out.len <= DATA_MAX);
	} else if (s->job == JOB_TAIL) {
		take_stream(s);
	}
	if (s->free_when_done)
		slot_clear(s);
}

static void on_done(struct op *op, void *ctx)
{
	require(op_is_done(op));
	finished(ctx);
}

static void watch_op(struct slot *s, struct op *op)
{
	op->on_done = on_done;
	op->done_ctx = s;
	if (op_is_done(op))
		finished(s);
}

static void start_call(struct slot *s, uint8_t what, int64_t deadline_ns)
{
	static const enum msg_type types[] = {
	    MSG_PING,	   MSG_STAT,	   MSG_READ_FILE,
	    MSG_PROC_WAIT, MSG_WRITE_FILE, MSG_LISTDIR,
	};
	static const uint8_t body[100000];
	struct msg m = {0};

	m.type = types[what % 6];
	s->job = JOB_CALL;
	s->call = call_new(s->h->client);
	s->call->max_data = DATA_MAX;
	call_start(s->call, &m, body,
		   m.type == MSG_WRITE_FILE ? sizeof(body) : 0, deadline_ns);
	watch_op(s, &s->call->op);
}

static void start_exec(struct slot *s, uint8_t what, int64_t deadline_ns)
{
	static const char *const argv[] = {"sh", NULL};
	struct exec_spec spec = {.argv = argv};

	if (what & 1) {
		spec.stdin_bytes = (const uint8_t *)"in";
		spec.stdin_len = 2;
	}
	s->job = JOB_EXEC;
	s->exec = exec_new(s->h->client);
	s->exec->max_output = DATA_MAX;
	exec_start(s->exec, &spec, deadline_ns);
	watch_op(s, &s->exec->op);
}

static void start_tail(struct slot *s, int64_t deadline_ns)
{
	struct stream_label label = {.kind = "tail_file", .detail = "x"};
	struct msg m = {.type = MSG_TAIL};

	m.tail.path = "x";
	s->job = JOB_TAIL;
	tail_open_start(&s->tail, s->h->client, &m, &label, NULL, deadline_ns);
	watch_op(s, &s->tail.op);
}

static void start(struct host *h)
{
	uint8_t what = next(h);
	struct slot *s = &h->slots[what % SLOTS];
	int64_t deadline_ns =
	    what & 64 ? clock_deadline_ns(SOON_NS) : CLOCK_NEVER;

	slot_clear(s);
	s->free_when_done = what & 128;
	what = next(h);
	if (what % 8 == 7)
		start_exec(s, what >> 3, deadline_ns);
	else if (what % 8 == 6)
		start_tail(s, deadline_ns);
	else
		start_call(s, what, deadline_ns);
}

static void read_stream(struct host *h)
{
	static const struct stream_pattern p = {(const uint8_t *)"\0\0", 2};
	uint8_t what = next(h);
	struct slot *s = &h->slots[what % SLOTS];

	if (s->job != JOB_STREAM)
		return;
	op_cancel(&s->wait.op);
	what >>= 3;
	s->wait.hold = what & 4;
	if (what % 4 == 0)
		stream_next(&s->wait, CLOCK_NEVER);
	else if (what % 4 == 1)
		stream_drain(&s->wait, 0);
	else if (what % 4 == 2)
		stream_match(&s->wait, "expect", &p, 1, true, CLOCK_NEVER);
	else
		stream_take(&s->wait, "take", next(h), CLOCK_NEVER);
	require(stream_taken(s->stream) <= stream_bytes(s->stream));
}

static void on_lost(void *ctx, const struct err *err)
{
	struct host *h = ctx;

	require(!h->is_lost && err->code < 0 && err->text[0]);
	h->is_lost = true;
}

/* --- the agent ----------------------------------------------------------- */

static void say(struct host *h, const void *p, size_t n)
{
	if (h->agent >= 0 && n)
		/* What does not fit is cut off: one more hostile thing. */
		(void)!send(h->agent, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void note_hello(struct host *h, const uint8_t *p)
{
	struct hello hello;

	hello_decode(&hello, p + HELLO_MARKER);
	h->nonce = hello.nonce;
}

/* Looks at what the host said: whole frames and HELLOs. */
static void hear(struct host *h)
{
	const uint8_t *p = buf_data(&h->heard);
	size_t left = h->heard.len, n;
	struct frame f;

	for (; left >= FRAME_HEADER; left -= n, p += n) {
		if (!memcmp(p, hello_marker, FRAME_HEADER)) {
			n = HELLO_SIZE;
			if (left < n)
				break;
			note_hello(h, p);
			continue;
		}
		require(!frame_decode(&f, p));
		n = FRAME_HEADER + f.length;
		if (left < n)
			break;
		if (f.flags & FRAME_OPEN)
			h->seen[h->n_seen++ % SEEN_MAX] = f.channel;
	}
	buf_consume(&h->heard, h->heard.len - left);
}

static void turn(struct host *h)
{
	uint8_t bytes[65536];
	ssize_t n;

	loop_poll(h->loop);
	while (h->agent >= 0 &&
	       (n = recv(h->agent, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		buf_append(&h->heard, bytes, (size_t)n);
		hear(h);
	}
}

static void fail(struct host *h)
{
	struct err err;

	err_set(&err, -ECONNABORTED, "the VM died");
	client_fail(h->client, &err);
	/* Everyone has been told, but those that came later: by a turn. */
	turn(h);
	for (int i = 0; i < SLOTS; i++)
		require(h->slots[i].job == JOB_NONE ||
			h->slots[i].job == JOB_STREAM || h->slots[i].done == 1);
}

static void say_hello(struct host *h, uint8_t what)
{
	struct hello hello = {
	    .version = PROTO_VERSION + (what == 0xff),
	    .nonce = h->nonce + (what == 0xfe),
	    .instance = 1 + (what & 1),
	    .window = what * 64u,
	};
	uint8_t b[HELLO_SIZE];

	hello_encode(&hello, b);
	say(h, b, sizeof(b));
}

static void say_frame(struct host *h, enum frame_kind kind, unsigned flags,
		      const void *p, size_t n)
{
	uint8_t which = next(h);
	uint32_t channel = which & 0x80 ? which : h->seen[which % SEEN_MAX];
	/* By hand: frame_encode() makes none that are wrong. */
	uint8_t head[FRAME_HEADER] = {
	    (uint8_t)kind,
	    (uint8_t)channel,
	    (uint8_t)(channel >> 8),
	    (uint8_t)(channel >> 16),
	    (uint8_t)n,
	    (uint8_t)(n >> 8),
	    (uint8_t)(n >> 16),
	    (uint8_t)flags,
	};

	say(h, head, sizeof(head));
	say(h, p, n);
}

static void say_message(struct host *h)
{
	static const enum msg_type types[] = {
	    MSG_DONE, MSG_ERROR,       MSG_EXITED,
	    MSG_DONE, MSG_FILE_STATUS, MSG_SYSCALL_DONE,
	};
	struct buf out = {0};
	struct msg m = {0};
	uint8_t what = next(h);

	m.type = types[what % 6];
	if (m.type == MSG_DONE)
		m.done.value = (int8_t)next(h);
	if (m.type == MSG_ERROR) {
		m.error.errnum = (int8_t)next(h);
		m.error.text = what & 64 ? "no" : "";
	}
	if (m.type == MSG_EXITED)
		m.exited.signalled = next(h);
	require(!msg_encode(&m, &out));
	say_frame(h, FRAME_MSG, what & 128 ? FRAME_FIN : 0, buf_data(&out),
		  out.len);
	buf_done(&out);
}

static void say_data(struct host *h)
{
	static const uint8_t bytes[FRAME_PAYLOAD_MAX];
	uint8_t what = next(h);
	size_t n = what & 4 ? next(h) * 256u : next(h);

	say_frame(h, FRAME_DATA, what & (FRAME_MORE | FRAME_FIN), bytes, n);
}

static void say_other(struct host *h)
{
	uint8_t what = next(h), credit[4] = {what, what >> 4};

	if (what & 1)
		say_frame(h, FRAME_CREDIT, 0, credit, sizeof(credit));
	else
		say_frame(h, FRAME_RESET, 0, NULL, 0);
}

static void say_program(struct host *h)
{
	size_t n = next(h);

	n = n < h->n ? n : h->n;
	say(h, h->p, n);
	h->p += n;
	h->n -= n;
}

static void rare(struct host *h)
{
	uint8_t what = next(h);

	if (what < 8 && h->agent >= 0) {
		close(h->agent);
		h->agent = -1;
	} else if (what < 16) {
		fail(h);
	} else if (what < 24 && op_is_done(&h->hello)) {
		client_hello(h->client, &h->hello, CLOCK_NEVER);
	} else {
		slot_clear(&h->slots[what % SLOTS]);
	}
}

/* --- the program ---------------------------------------------------------- */

static void step(struct host *h)
{
	static void (*const steps[])(struct host *) = {
	    turn,     start,	 say_message, say_data,	   say_message,
	    say_data, say_other, read_stream, say_program, rare,
	};
	uint8_t what = next(h);

	if (what == 0xff)
		say_hello(h, next(h));
	else
		steps[what % (sizeof(steps) / sizeof(steps[0]))](h);
	if (what & 0x80)
		turn(h);
}

static void open_host(struct host *h)
{
	struct err err;
	int fds[2];

	h->loop = loop_new(&err);
	require(h->loop && !socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	h->agent = fds[1];
	for (int i = 0; i < SLOTS; i++)
		h->slots[i].h = h;
	h->client = client_new(h->loop, fds[0], on_lost, h);
	client_hello(h->client, &h->hello, CLOCK_NEVER);
	turn(h);
	say_hello(h, next(h));
	turn(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host *h = mem_zalloc(sizeof(*h));

	h->p = data;
	h->n = size;
	open_host(h);
	while (h->n)
		step(h);
	turn(h);
	fail(h);
	op_done(&h->hello);
	for (int i = 0; i < SLOTS; i++)
		slot_clear(&h->slots[i]);
	client_free(h->client);
	if (h->agent >= 0)
		close(h->agent);
	loop_free(h->loop);
	buf_done(&h->heard);
	free(h);
	return 0;
}
