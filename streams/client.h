/* SPDX-License-Identifier: MIT */
/*
 * The agent client: the host's end of the session with one guest, on one
 * byte stream (a connected, non-blocking fd). Requests are pipelined; any
 * number may be in flight, each with its own deadline.
 */
#ifndef STREAMS_CLIENT_H
#define STREAMS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "agent-proto/msg.h"
#include "agent-proto/session.h"
#include "agent-proto/sparse.h"
#include "agent-proto/tree_read.h"
#include "streams/loop.h"
#include "streams/op.h"

struct client;

/*
 * on_lost: the byte stream ended or the agent broke the protocol; err says
 * how. Nothing was failed yet: the owner finds out why (QEMU's exit is seen a
 * moment later) and calls client_fail() with the better reason, soon. Called
 * once, from the loop, never after client_fail() or client_free().
 */
typedef void (*client_lost_cb)(void *ctx, const struct err *err);

/* take_fd -1: client_link() gives it its byte stream later. */
struct client *client_new(struct loop *l, int take_fd, client_lost_cb on_lost,
			  void *ctx);
/* Gives the client its byte stream, or another one in place of the last.
 * client_hello() then starts the session anew. on_lost may be called once
 * more. */
void client_link(struct client *c, int take_fd);
/*
 * The session with a worker (WORKER_SPAWN) of outer's agent: a client like any
 * other, whose bytes travel in a channel of outer, opened here. It is lost
 * when the worker ends, and with outer: by its failure, its end, or a new
 * session of it. The worker lives on in the last case: link it anew.
 */
struct client *client_new_worker(struct client *outer, uint64_t handle,
				 client_lost_cb on_lost, void *ctx);
/* Whom it tells of its loss from now on. */
void client_set_owner(struct client *c, client_lost_cb on_lost, void *ctx);
/* Calls still in flight are finished with -ECANCELED, streams end. Allowed in
 * any callback. What is over may be freed after the client. */
struct client *client_free(struct client *c);
struct loop *client_loop(const struct client *c);
/* No request is in flight on it, and nothing is streamed. */
bool client_is_idle(const struct client *c);

/*
 * How it fails: -ENOTCONN before a session was started, the error of the loss
 * or of client_fail() afterwards, -ECONNRESET when a new session began.
 * Requests made in one go leave in one write, when the loop is about to wait.
 *
 * Starts a session (the first, or a new one): sends HELLO. op is finished 0
 * when the agent answered. Calls and streams of an earlier session fail with
 * -ECONNRESET. op is the caller's, initialised by this call; release it with
 * op_done() before the client.
 */
void client_hello(struct client *c, struct op *op, int64_t deadline_ns);
/*
 * After client_postpone(), later requests wait instead of failing; their
 * deadlines run. They outlast new sessions and new byte streams meanwhile.
 * client_send_postponed() sends them in the order in which they were made, and
 * ends the postponing. client_pass() lets the owner's own requests through:
 * those that are made while it is true.
 */
void client_postpone(struct client *c);
void client_pass(struct client *c, bool passes);
void client_send_postponed(struct client *c);
/*
 * The agent is gone, but may come back: fails every request and every stream
 * with err, and later requests at once, until client_hello().
 */
void client_end_session(struct client *c, const struct err *err);
/* The agent's instance number of the last HELLO; 0 before. */
uint64_t client_instance(const struct client *c);

/* The VM is gone: fails every call in flight, and every later one, with err;
 * ends every stream with it. */
void client_fail(struct client *c, const struct err *err);

/* Fails the calls in flight with err, workers' too, and nothing else: feeds,
 * sessions and what the guest does go on. Only from the loop. */
void client_interrupt(struct client *c, const struct err *err);

/* A handle for SPAWN or FILE_OPEN, unique in this client and across sessions
 * (the agent keeps handles over a restore). */
uint64_t client_new_handle(struct client *c);
/* The next one it would give. */
uint64_t client_next_handle(const struct client *c);
/* Gives none below next: the agent may have those already. */
void client_skip_handles(struct client *c, uint64_t next);

/* Whoever has a channel: the part of it that the client knows. Private. */
struct client_user {
	const struct client_user_ops *ops;
	struct client *client; /* NULL when it is over */
	struct chan *chan;     /* NULL: none yet, or none any more */
	bool fin_sent;	       /* or queued: nothing else will be sent */
	bool is_postponed;     /* waits for client_send_postponed() */
	struct buf postponed;  /* its request then, encoded */
	unsigned interrupts;   /* the client's, when it joined */
	TAILQ_ENTRY(client_user) link;
};

/*
 * One request. The op finishes with 0 when the agent has answered and ended
 * the channel; a guest-side failure finishes with -errnum (the guest's errno,
 * Linux numbering on both sides) and the agent's text in op.err.
 * Data that the agent sends is collected in data, up to max_data bytes, more
 * is -EFBIG; an answer that is none is -EPROTO. Freeing a call in flight
 * resets its channel.
 */
struct call {
	struct op op;
	struct client_user user; /* private */
	enum msg_type request;	 /* what was asked */
	struct msg reply;	 /* valid after success; of the type that the
				  * request is answered by, never another;
				  * borrows from reply_bytes */
	struct buf reply_bytes;
	struct buf data;
	size_t max_data; /* CALL_DATA_MAX, or less as set before the start */
	const uint8_t *body; /* borrowed until done */
	int body_fd;	     /* has it in place of body; -1: no */
	size_t body_len;
	size_t body_sent;
	bool body_is_sparse;	    /* body_fd is sent as records */
	struct sparse_map body_map; /* of body_fd */
	struct tree_reader
	    *body_tree;		/* borrowed; it in place of both, or NULL */
	bool body_tree_ended;	/* all of it was read */
	struct buf body_record; /* of records or tree, no room for it yet */
	bool has_reply;
	bool is_refused; /* op.err holds what the agent said */
};

#define CALL_DATA_MAX ((size_t)1 << 30)

/* Owned by the caller; call_free(NULL) is a no-op. */
struct call *call_new(struct client *c);
/*
 * Sends req, then body as data (borrowed until done; may be NULL), then fin.
 * Never fails by itself: errors come through the op.
 */
void call_start(struct call *call, const struct msg *req, const void *body,
		size_t body_len, int64_t deadline_ns);
/*
 * The same with the first body_len bytes of a file, which are read as they are
 * sent. fd is borrowed until done. A file that has become shorter meanwhile
 * is -ENODATA.
 */
void call_start_file(struct call *call, const struct msg *req, int body_fd,
		     size_t body_len, int64_t deadline_ns);
/* The same as records (sparse.h): holes of the file are not sent. req says
 * MSG_FILE_SPARSE. fd's offset is moved. */
void call_start_sparse(struct call *call, const struct msg *req, int body_fd,
		       size_t body_len, int64_t deadline_ns);
/* The same with a directory (tree.h), which is read as it is sent. tree is
 * borrowed until done. Its errors are the op's. */
void call_start_tree(struct call *call, const struct msg *req,
		     struct tree_reader *tree, int64_t deadline_ns);
struct call *call_free(struct call *call);

/* Fire and forget: the reply is dropped (RELEASE of a closed handle). */
void client_post(struct client *c, const struct msg *req);

/*
 * For long-lived data channels (streams/tail.h, streams/exec.h): the owner is
 * told what arrives and returns credit itself. reply comes once, before any
 * data, as does fail when there is no reply. fail and fin are last words: the
 * feed is closed by then.
 */
struct feed_ops {
	void (*reply)(void *ctx, const struct msg *m);
	void (*data)(void *ctx, const uint8_t *p, size_t n, bool more);
	void (*fin)(void *ctx);
	void (*fail)(void *ctx, const struct err *err);
};

struct feed;
/* Never calls back before it returns, except through a later loop turn. */
struct feed *feed_open(struct client *c, const struct msg *req,
		       const struct feed_ops *ops, void *ctx);
/* n bytes that data() handed over were used up: the agent may send more. */
void feed_consumed(struct feed *f, size_t n);
/* Frees it, and resets the channel if it is open. No callback afterwards. Due
 * once for each feed, also after fin and fail; may come from its callbacks. */
struct feed *feed_close(struct feed *f);

#endif
