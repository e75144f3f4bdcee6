/* SPDX-License-Identifier: MIT */
#include "cmd/provium-agent/ops/raw_call.h"

#include <errno.h>
#include <unistd.h>

void raw_call_run(struct raw_call *c)
{
	const long *a = c->args;

	errno = 0;
	c->ret = syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	c->errnum = c->ret == -1 ? errno : 0;
}

struct msg raw_call_reply(const struct raw_call *c, struct buf *items)
{
	struct msg m = {.type = MSG_SYSCALL_DONE};
	uint32_t count = 0;

	for (unsigned i = 0; i < c->bufs; i++)
		msg_list_add(items, &count, c->p[i], c->n[i]);
	m.syscall_done.ret = c->ret;
	m.syscall_done.errnum = c->errnum;
	m.syscall_done.bufs = msg_list_of(items, count);
	return m;
}
