/* SPDX-License-Identifier: MIT */
#include "runner/last_words.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind_process.h"
#include "runner/bind_stream.h"
#include "streams/client.h"
#include "streams/stream.h"

#define OUTPUT_SHOW 400 /* bytes of the other output */

struct last_words {
	char *command; /* owned */
	const char *other;
	struct call *exited;
	struct call *output; /* the other one */
};

struct last_words *last_words_new(lua_State *L)
{
	struct process_ask ask;
	/* An ended process answers at once; one that runs is not waited for. */
	int64_t deadline = clock_deadline_ns(AWAIT_ASK_NS);

	if (!process_of_stream(L, 1, &ask))
		return NULL;
	struct last_words *w = mem_zalloc(sizeof(*w));
	struct msg m = {.type = MSG_PROC_WAIT};
	w->command = mem_strdup(ask.command);
	w->other = ask.fd == 1 ? "stderr" : "stdout";
	m.proc_wait.handle = ask.handle;
	w->exited = call_new(ask.client);
	call_start(w->exited, &m, NULL, 0, deadline);
	w->output = process_start_output(ask.client, ask.handle,
					 ask.fd == 1 ? 2 : 1, deadline);
	return w;
}

struct last_words *last_words_free(struct last_words *w)
{
	if (!w)
		return NULL;
	call_free(w->exited);
	call_free(w->output);
	free(w->command);
	free(w);
	return NULL;
}

struct op *last_words_pending(const struct last_words *w)
{
	if (!op_is_done(&w->exited->op))
		return &w->exited->op;
	return op_is_done(&w->output->op) ? NULL : &w->output->op;
}

static void last_words_put_end(struct buf *b, const struct last_words *w)
{
	const struct msg_exited *e = &w->exited->reply.exited;
	const char *name = e->signalled ? sigabbrev_np(e->status) : NULL;

	buf_printf(b, "\n`%s` ", w->command);
	if (w->exited->op.result == -ETIMEDOUT)
		buf_printf(b, "is still running");
	else if (name)
		buf_printf(b, "was killed by SIG%s", name);
	else
		buf_printf(b,
			   e->signalled ? "was killed by signal %d"
					: "exited with %d",
			   e->status);
}

void last_words_push(lua_State *L, const struct last_words *w)
{
	CLEANUP(buf_done) struct buf b = {0};
	const struct buf *out = &w->output->data;
	size_t n = out->len;

	if (w->exited->op.result >= 0 || w->exited->op.result == -ETIMEDOUT)
		last_words_put_end(&b, w);
	while (n && buf_data(out)[n - 1] == '\n')
		n--;
	if (n) {
		size_t from = n > OUTPUT_SHOW ? n - OUTPUT_SHOW : 0;

		buf_printf(&b, "\n%s%s:\n", w->other, from ? " ends" : "");
		buf_append(&b, buf_data(out) + from, n - from);
	}
	lua_pushlstring(L, b.len ? (char *)buf_data(&b) : "", b.len);
}
