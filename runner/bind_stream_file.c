/* SPDX-License-Identifier: MIT */
/*
 * s:write_to(host_path, timeout?): the stream goes to a file in the
 * background. What goes wrong there is raised by the author's next call on
 * the stream; if there is none, it fails the test.
 */
#include <stdlib.h>

#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind_stream_object.h"
#include "runner/suite.h"
#include "runner/worker.h"

static const char method[] = "stream:write_to";

void stream_file_check_error(lua_State *L, const char *caller,
			     struct stream_object *so)
{
	const struct err *err = so->spool ? spool_file_error(so->spool) : NULL;

	if (!err)
		return;
	so->is_told = true;
	bind_fail_arg(L, caller, "%s (write_to at %s:%d)", err->text,
		      so->write_site.file, so->write_site.line);
}

void stream_file_check_reader(lua_State *L, const char *caller,
			      const struct stream_object *so)
{
	if (so->spool && !spool_file_is_over(so->spool))
		bind_fail_arg(L, caller,
			      "the stream is being written to %s "
			      "(write_to at %s:%d)",
			      spool_file_path(so->spool), so->write_site.file,
			      so->write_site.line);
}

/* Nobody asked: the test hears of it. */
static void bind_stream_file_report(struct stream_object *so)
{
	const struct err *err = spool_file_error(so->spool);

	if (!err || so->is_told)
		return;
	so->is_told = true;
	char *text = mem_printf("%s: %s", method, err->text);
	suite_mark_at(so->suite, &so->write_site, text);
	free(text);
}

void stream_file_close(struct stream_object *so)
{
	if (!so->spool)
		return;
	spool_file_finish(so->spool);
	bind_stream_file_report(so);
	so->written = spool_file_written(so->spool);
	so->spool = spool_file_free(so->spool);
}

void stream_file_test_end(void *object, bool is_last)
{
	struct stream_object *so = object;

	if (!so->spool)
		return;
	if (is_last)
		spool_file_finish(so->spool);
	bind_stream_file_report(so);
}

/* --- write_to --------------------------------------------------------------
 */

struct write_call {
	struct op op;
	struct stream_object *so; /* kept */
};

static void bind_stream_file_write_release(void *p)
{
	struct write_call *c = p;

	op_done(&c->op);
}

static int bind_stream_file_write_finish(lua_State *L, void *p)
{
	struct write_call *c = p;
	struct stream_object *so = c->so;

	if (so->spool)
		stream_file_check_error(L, method, so);
	if (c->op.result < 0)
		bind_fail_err(L, method, &c->op.err);
	bind_push_u64(L,
		      so->spool ? spool_file_written(so->spool) : so->written);
	lua_pushboolean(L, c->op.result);
	return 2;
}

static void bind_stream_file_start(lua_State *L, struct stream_object *so,
				   const char *path)
{
	struct err err;
	char *full = bind_host_path(L, path);

	so->spool = spool_file_new(worker_of(L)->loop, so->stream, full, &err);
	free(full);
	if (!so->spool)
		bind_fail_err(L, method, &err);
	so->is_written = true;
	lua_state_site(L, &so->write_site);
}

int stream_l_write_to(lua_State *L)
{
	struct stream_object *so = stream_check(L, method);
	const char *path = arg_path(L, method, 2, "host path");
	int64_t span = arg_duration(L, method, 3, "timeout", 0);

	stream_file_check_reader(L, method, so);
	if (so->is_written)
		bind_fail_arg(L, method,
			      "the stream was written to a file already "
			      "(write_to at %s:%d)",
			      so->write_site.file, so->write_site.line);
	if (!so->stream)
		bind_fail_arg(L, method, "%s", stream_closed_text(so->type));
	int64_t deadline = await_deadline(L, method, span);
	bind_stream_file_start(L, so, path);
	struct write_call *c =
	    await_new(L, method, sizeof(*c), bind_stream_file_write_release);
	c->so = so;
	await_keep(L, lua_gettop(L), 1);
	spool_file_wait(so->spool, &c->op, deadline);
	return await(L, c, &c->op, bind_stream_file_write_finish);
}
