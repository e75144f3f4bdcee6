/* SPDX-License-Identifier: MIT */
/*
 * Any bytes from QEMU: a connection fed with them survives, and a message that
 * decodes has the members that its kind promises.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/clock.h"
#include "agent-proto/err.h"
#include "vmm/qmp.h"
#include "vmm/qmp_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_lines(const char *p, size_t n)
{
	struct qmp_msg m;
	struct err err;

	while (n) {
		const char *nl = memchr(p, '\n', n);
		size_t len = nl ? (size_t)(nl - p) : n;

		if (qmp_msg_decode(&m, p, len, &err) == 0) {
			assert(json_is_object(m.root));
			assert(m.kind != QMP_EVENT || m.name);
			assert(m.kind != QMP_ERROR || (m.name && m.text));
			assert(m.kind != QMP_RETURN || m.data);
			qmp_msg_done(&m);
		} else {
			assert(err.code == -EPROTO);
		}
		p += len + (nl ? 1 : 0);
		n -= len + (nl ? 1 : 0);
	}
}

static void on_event(void *ctx, const json_t *data)
{
	(void)ctx;
	assert(!data || json_is_object(data));
}

static void on_lost(void *ctx, const struct err *err)
{
	assert(err->code < 0);
	++*(unsigned *)ctx;
}

static void check_connection(const uint8_t *p, size_t n)
{
	static const struct qmp_event events[] = {
	    {"STOP", on_event}, {"SHUTDOWN", on_event}, {NULL, NULL}};
	struct loop *l = loop_new(NULL);
	struct qmp_call call;
	unsigned lost = 0;
	int fds[2];

	if (!l || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		abort();
	struct qmp *q = qmp_new(l, fds[0], events, on_lost, &lost);
	qmp_call_start(&call, q, "qmp_capabilities", NULL, CLOCK_NEVER);
	if (send(fds[1], p, n, MSG_DONTWAIT) < 0)
		n = 0;
	close(fds[1]);
	qmp_drain(q);
	assert(lost == 1);
	assert(op_is_done(&call.op));
	qmp_call_done(&call);
	qmp_free(q);
	loop_poll(l);
	loop_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	check_lines((const char *)p, n);
	check_connection(p, n);
	return 0;
}
