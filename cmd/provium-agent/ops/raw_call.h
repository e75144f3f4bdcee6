/* SPDX-License-Identifier: MIT */
/* A raw system call, put together: run here and now, or on a thread. */
#ifndef AGENT_RAW_CALL_H
#define AGENT_RAW_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/msg.h"
#include "cmd/provium-agent/core/server.h"
#include "cmd/provium-agent/core/task.h"

#define SLOTS 6

struct raw_call {
	long nr;
	long args[SLOTS];
	uint8_t *p[MSG_SYSCALL_BUFS]; /* in block */
	uint32_t n[MSG_SYSCALL_BUFS];
	unsigned bufs;
	uint8_t *block; /* owned */
	long ret;
	int errnum;
};

void raw_call_run(struct raw_call *c);
/* The answer to a call that was run; borrows from items, an empty buffer. */
struct msg raw_call_reply(const struct raw_call *c, struct buf *items);

/* raw_thread.c: the same on this thread, unless channel is given up before or
 * while it runs: then false. */
bool raw_call_run_for(struct raw_call *c, const struct guest *g,
		      uint32_t channel);

/* Threads at a time. */
#define RAW_THREADS_MAX 256

/* raw_thread.c: answers r when a thread has run *c; takes its block. */
void raw_call_start(const struct req *r, struct raw_call *c);

/* raw_thread.c: the calls of one server that are on threads. Its end interrupts
 * and forgets those that still run. */
extern const struct service raw_threads_service;

#endif
