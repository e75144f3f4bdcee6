/* SPDX-License-Identifier: MIT */
/*
 * Raw system calls. The buffers of the request are copied into one block,
 * each aligned for anything the kernel may want to find in it; addresses are
 * put into argument slots and into other buffers, and all buffers go back as
 * the call left them.
 */
#include "cmd/provium-agent/ops/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "cmd/provium-agent/ops/raw_call.h"

#define BUF_ALIGN 16

static uint64_t read_le(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	for (int i = bytes; i--;)
		v = v << 8 | p[i];
	return v;
}

static size_t align(size_t n)
{
	return (n + BUF_ALIGN - 1) & ~(size_t)(BUF_ALIGN - 1);
}

/* The list is at most a message long, so the sum cannot overflow. */
static const char *copy_bufs(struct raw_call *c, struct msg_list bufs)
{
	struct msg_list list = bufs;
	struct msg_bytes item;
	size_t total = BUF_ALIGN;
	uint8_t *at;

	if (bufs.count > MSG_SYSCALL_BUFS)
		return "more buffers than a call may have";
	while (msg_list_next(&list, &item))
		total += align(item.n);
	c->block = aligned_alloc(BUF_ALIGN, total);
	if (!c->block)
		return "no memory for the buffers";
	at = c->block;
	while (msg_list_next(&bufs, &item)) {
		memcpy(at, item.p, item.n);
		c->p[c->bufs] = at;
		c->n[c->bufs++] = item.n;
		at += align(item.n);
	}
	return NULL;
}

static const char *place_args(struct raw_call *c, struct msg_bytes ptrs)
{
	if (ptrs.n > c->bufs)
		return "more pointers than buffers";
	for (uint32_t i = 0; i < ptrs.n; i++) {
		if (ptrs.p[i] == MSG_PTR_NONE)
			continue;
		if (ptrs.p[i] >= SLOTS)
			return "a pointer for an argument slot above 5";
		c->args[ptrs.p[i]] = (long)(uintptr_t)c->p[i];
	}
	return NULL;
}

static const char *place_nested(struct raw_call *c, struct msg_bytes nested)
{
	if (nested.n % MSG_NESTED_RECORD)
		return "nested records of a wrong size";
	for (uint32_t at = 0; at < nested.n; at += MSG_NESTED_RECORD) {
		const uint8_t *rec = nested.p + at;
		uint64_t parent = read_le(rec, 4);
		uint64_t child = read_le(rec + 4, 4);
		uint64_t offset = read_le(rec + 8, 8);

		if (parent >= c->bufs || child >= c->bufs)
			return "a nested record of a buffer that is not there";
		if (c->n[parent] < sizeof(uintptr_t) ||
		    offset > c->n[parent] - sizeof(uintptr_t))
			return "a nested pointer outside its buffer";
		uintptr_t address = (uintptr_t)c->p[child];
		memcpy(c->p[parent] + offset, &address, sizeof(address));
	}
	return NULL;
}

static const char *raw_call_read(struct raw_call *c,
				 const struct msg_syscall *q)
{
	*c = (struct raw_call){
	    .nr = (long)q->nr,
	    .args = {(long)q->a0, (long)q->a1, (long)q->a2, (long)q->a3,
		     (long)q->a4, (long)q->a5},
	};
	const char *wrong = copy_bufs(c, q->bufs);

	if (!wrong)
		wrong = place_args(c, q->ptrs);
	if (!wrong)
		wrong = place_nested(c, q->nested);
	if (!wrong && q->flags & ~MSG_SYSCALL_THREAD)
		wrong = "unknown flags";
	return wrong;
}

/* Nobody reads the answer to a call that was given up. */
static void answer_here(const struct req *r, struct raw_call *c)
{
	struct buf items = {0};

	if (!raw_call_run_for(c, server_guest(r->srv), chan_id(r->ch))) {
		req_error(r, EINTR, "syscall %ld", c->nr);
		return;
	}
	struct msg m = raw_call_reply(c, &items);
	req_reply(r, &m);
	buf_done(&items);
}

void op_syscall(const struct req *r)
{
	const struct msg_syscall *q = &r->m->syscall;
	struct raw_call c;
	const char *wrong = raw_call_read(&c, q);

	if (wrong) {
		req_error(r, EINVAL, "syscall %lld: %s", (long long)q->nr,
			  wrong);
	} else if (q->flags & MSG_SYSCALL_THREAD &&
		   !server_guest(r->srv)->is_worker) {
		raw_call_start(r, &c);
	} else {
		answer_here(r, &c);
	}
	free(c.block);
}
