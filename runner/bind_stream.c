/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: the object holds the engine's stream until it is
 * closed, and a copy of what is still asked afterwards (kind, detail, site,
 * bytes). A closed stream answers as one that has ended, except that waiting
 * for bytes on it is an error that says so.
 */
#include "runner/bind_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/await.h"
#include "runner/bind_capture.h"
#include "runner/bind_stream_object.h"
#include "runner/last_words.h"
#include "runner/suite.h"
#include "runner/worker.h"

#define NOTE_PATTERN	 60 /* bytes of a pattern in a note */
#define NEXT_DEFAULT_NS	 (10 * NS_PER_SEC)
#define DRAIN_DEFAULT_NS (NS_PER_SEC / 2)

struct stream_object *stream_check(lua_State *L, const char *method)
{
	struct stream_object *so = object_check(L, 1, &stream_class, method);

	stream_file_check_error(L, method, so);
	return so;
}

struct stream_object *stream_check_reader(lua_State *L, const char *method)
{
	struct stream_object *so = stream_check(L, method);

	stream_file_check_reader(L, method, so);
	return so;
}

struct stream *stream_object_check(lua_State *L, const char *method,
				   enum stream_type *ret_type)
{
	struct stream_object *so = stream_check_reader(L, method);

	*ret_type = so->type;
	return so->stream;
}

const char *stream_closed_text(enum stream_type type)
{
	static const char *const texts[] = {
	    [STREAM_TAIL] = "stream closed",
	    [STREAM_CAPTURE] = "capture closed",
	    [STREAM_CONSOLE] = "console closed",
	};

	return texts[type];
}

static void stream_object_close(void *p)
{
	struct stream_object *so = p;

	if (!so->stream)
		return;
	stream_file_close(so);
	so->bytes = stream_bytes(so->stream);
	stream_close(so->stream);
	so->stream = stream_free(so->stream);
}

void stream_object_describe(const struct object *o, struct buf *out)
{
	const struct stream_object *so = (const struct stream_object *)o;

	buf_printf(out, "%s of %s", so->kind, so->detail);
	if (so->test_site.file[0])
		buf_printf(out, ", opened at %s:%d", so->test_site.file,
			   so->test_site.line);
}

void stream_push(lua_State *L, struct stream *take_s, int owner_idx)
{
	struct stream_object *so = object_new(L, &stream_class, owner_idx);
	const struct stream_label *label = stream_label(take_s);

	so->suite = &worker_of(L)->suite;
	so->stream = take_s;
	so->type = stream_type(take_s);
	snprintf(so->kind, sizeof(so->kind), "%s", label->kind);
	snprintf(so->detail, sizeof(so->detail), "%s", label->detail);
	if (label->file) {
		snprintf(so->test_site.file, sizeof(so->test_site.file), "%s",
			 label->file);
		so->test_site.line = label->line;
	}
}

void stream_label_here(lua_State *L, const char *kind, const char *detail,
		       struct site *site, struct stream_label *ret)
{
	lua_state_test_site(L, site);
	*ret = (struct stream_label){
	    .kind = kind,
	    .detail = detail,
	    .file = site->file[0] ? site->file : NULL,
	    .line = site->line,
	    .test = suite_running_name(&worker_of(L)->suite),
	};
}

/* --- next, drain -----------------------------------------------------------
 */

/* First in every finish: from here on the bytes are the author's. */
static void wait_check(lua_State *L, const char *method, struct stream_wait *w)
{
	stream_wait_accept(w);
	if (w->op.result < 0)
		bind_fail_err(L, method, &w->op.err);
}

void stream_tell_pending(lua_State *L, void *p)
{
	const struct stream_object *so = object_test(L, 1, &stream_class);

	(void)p;
	/* Another task may have closed it meanwhile. */
	if (!so || !so->stream)
		return;
	struct buf *text = bind_push_buf(L);
	stream_pending_text(so->stream, text);
	stream_tell_held_up(so->stream, text);
	lua_pushlstring(L, (char *)buf_data(text), text->len);
	lua_remove(L, -2);
}

/* A call that reads, first in its block. */
struct reading {
	struct stream_wait wait;
	struct last_words *words; /* of the process, once it has failed */
};

static void reading_release(void *p)
{
	struct reading *r = p;

	stream_wait_done(&r->wait);
	last_words_free(r->words);
}

/* For await_ask(): the process, if it is of one, may explain why nothing
 * came. */
static struct op *reading_ask(lua_State *L, void *p)
{
	struct reading *r = p;

	if (!r->words)
		r->words = last_words_new(L);
	return r->words ? last_words_pending(r->words) : NULL;
}

/* For await_tell(): what the wait says or else what is pending, and the last
 * words. */
static void reading_tell(lua_State *L, void *p)
{
	const struct reading *r = p;
	int top = lua_gettop(L);

	if (r->wait.op.result < 0)
		lua_pushstring(L, r->wait.op.err.text);
	else
		stream_tell_pending(L, p);
	if (!r->words || lua_gettop(L) == top)
		return;
	last_words_push(L, r->words);
	lua_concat(L, 2);
}

/* Begins a wait on the stream of so, the object at 1, in a block of its own. It
 * holds: a task that is given up before its turn comes takes nothing. */
static void reading_init(lua_State *L, struct reading *r,
			 struct stream_object *so)
{
	stream_wait_init(&r->wait, so->stream);
	r->wait.hold = true;
	await_keep(L, lua_gettop(L), 1);
	await_ask(r, reading_ask);
	await_tell(r, reading_tell);
}

static void bind_stream_push_buf(lua_State *L, const struct buf *b)
{
	lua_pushlstring(L, (const char *)buf_data(b), b->len);
}

static int next_finish(lua_State *L, void *p)
{
	struct stream_wait *w = &((struct reading *)p)->wait;

	wait_check(L, "stream:next", w);
	if (w->op.result)
		bind_stream_push_buf(L, &w->bytes);
	else
		lua_pushnil(L);
	return 1;
}

static int l_next(lua_State *L)
{
	static const char method[] = "stream:next";
	struct stream_object *so = stream_check_reader(L, method);
	int64_t span = arg_duration(L, method, 2, "timeout", NEXT_DEFAULT_NS);

	if (!so->stream)
		return lua_pushnil(L), 1;
	int64_t deadline = await_deadline(L, method, span);
	struct reading *r = await_new(L, method, sizeof(*r), reading_release);
	reading_init(L, r, so);
	stream_next(&r->wait, deadline);
	return await(L, r, &r->wait.op, next_finish);
}

static int drain_finish(lua_State *L, void *p)
{
	struct stream_wait *w = &((struct reading *)p)->wait;

	wait_check(L, "stream:drain", w);
	lua_createtable(L, (int)w->n_frames, 0);
	for (size_t i = 0; i < w->n_frames; i++) {
		bind_stream_push_buf(L, &w->frames[i]);
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 1;
}

static int l_drain(lua_State *L)
{
	static const char method[] = "stream:drain";
	struct stream_object *so = stream_check_reader(L, method);
	int64_t span = arg_duration(L, method, 2, "timeout", DRAIN_DEFAULT_NS);

	if (!so->stream)
		return lua_newtable(L), 1;
	int64_t deadline = await_deadline(L, method, span);
	struct reading *r = await_new(L, method, sizeof(*r), reading_release);
	reading_init(L, r, so);
	stream_drain(&r->wait, deadline);
	return await(L, r, &r->wait.op, drain_finish);
}

/* --- expect, read_until ----------------------------------------------------
 */

struct match_call {
	struct reading reading;
	const char *method;
	struct stream_pattern *patterns; /* owned; bytes are kept strings */
	size_t n;
	bool is_list;
};

static void match_release(void *p)
{
	struct match_call *m = p;

	reading_release(m);
	free(m->patterns);
}

/* The wait has failed. */
static int match_failed(lua_State *L, void *p)
{
	struct match_call *m = p;
	struct op *pending = reading_ask(L, m);

	if (pending)
		return await_again(L, m, pending, match_failed);
	reading_tell(L, m);
	bind_fail_text(L, m->method, lua_gettop(L));
}

static int match_finish(lua_State *L, void *p)
{
	struct match_call *m = p;
	struct stream_wait *w = &m->reading.wait;

	stream_wait_accept(w);
	if (w->op.result == -ETIMEDOUT || w->op.result == -EPIPE)
		return match_failed(L, m);
	if (w->op.result < 0)
		bind_fail_err(L, m->method, &w->op.err);
	int n = 0;
	if (w->keep) {
		bind_stream_push_buf(L, &w->bytes);
		n++;
	}
	if (m->is_list) {
		lua_pushinteger(L, (lua_Integer)w->index + 1);
		n++;
	}
	return n;
}

char *bind_stream_pattern_note(const void *p, size_t n)
{
	CLEANUP(buf_done) struct buf b = {0};

	buf_printf(&b, "for `");
	stream_escape_tail(&b, p, n < NOTE_PATTERN ? n : NOTE_PATTERN,
			   NOTE_PATTERN);
	buf_printf(&b, n > NOTE_PATTERN ? "...`" : "`");
	return mem_strndup((char *)buf_data(&b), b.len);
}

/* How many patterns there are at 2; raises on anything that is not a
 * non-empty string, or a list of such. */
static size_t bind_stream_check_patterns(lua_State *L, const char *method)
{
	size_t n;

	if (!lua_istable(L, 2)) {
		arg_bytes(L, method, 2, "pattern", &n);
		if (!n)
			bind_fail_arg(L, method, "pattern is empty");
		return 1;
	}
	size_t count =
	    arg_list(L, method, 2, "pattern", "a string or a list of strings");
	if (!count || count > STREAM_PATTERNS_MAX)
		bind_fail_arg(L, method,
			      "pattern is a list of %zu: give 1 to %d", count,
			      STREAM_PATTERNS_MAX);
	for (size_t i = 1; i <= count; i++) {
		lua_rawgeti(L, 2, (int)i);
		if (lua_type(L, -1) != LUA_TSTRING)
			bind_fail_arg(L, method,
				      "pattern[%zu]: got %s, "
				      "want a string",
				      i, arg_type_name(L, -1));
		if (!lua_objlen(L, -1))
			bind_fail_arg(L, method, "pattern[%zu] is empty", i);
		lua_pop(L, 1);
	}
	return count;
}

/* The strings are kept one by one: the list itself may be changed by another
 * task meanwhile. */
static void take_patterns(lua_State *L, struct match_call *m, int block)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->is_list)
			lua_rawgeti(L, 2, (int)i + 1);
		else
			lua_pushvalue(L, 2);
		await_keep(L, block, lua_gettop(L));
		m->patterns[i].p =
		    (const uint8_t *)lua_tolstring(L, -1, &m->patterns[i].n);
		lua_pop(L, 1);
	}
}

static int match(lua_State *L, const char *method, const char *verb, bool keep)
{
	struct stream_object *so = stream_check_reader(L, method);
	size_t n = bind_stream_check_patterns(L, method);
	int64_t span = arg_duration(L, method, 3, "timeout", NEXT_DEFAULT_NS);

	if (!so->stream)
		bind_fail_arg(L, method, "%s", stream_closed_text(so->type));
	int64_t deadline = await_deadline(L, method, span);
	struct match_call *m = await_new(L, method, sizeof(*m), match_release);
	m->method = method;
	m->is_list = lua_istable(L, 2);
	m->n = n;
	m->patterns = mem_zalloc(n * sizeof(*m->patterns));
	reading_init(L, &m->reading, so);
	take_patterns(L, m, lua_gettop(L));
	await_take_note(
	    m, bind_stream_pattern_note(m->patterns[0].p, m->patterns[0].n));
	stream_match(&m->reading.wait, verb, m->patterns, n, keep, deadline);
	return await(L, m, &m->reading.wait.op, match_finish);
}

static int bind_stream_l_expect(lua_State *L)
{
	return match(L, "stream:expect", "expect", false);
}

static int l_read_until(lua_State *L)
{
	return match(L, "stream:read_until", "read_until", true);
}

/* --- lines -----------------------------------------------------------------
 */

struct line_call {
	struct reading reading;
	const char *method;
	const struct stream_object *so; /* kept */
	struct stream_pattern newline;
	bool is_rest; /* the end has come: what is pending is the last line */
};

static int line_finish(lua_State *L, void *p)
{
	struct line_call *c = p;
	struct stream_wait *w = &c->reading.wait;

	if (w->op.result == -EPIPE && !c->is_rest) {
		/* Another task may have closed it meanwhile. */
		if (!c->so->stream)
			return lua_pushnil(L), 1;
		c->is_rest = true;
		stream_drain(w, 0);
		return await_again(L, c, &w->op, line_finish);
	}
	/* Closed is an end like any other, as for next(). */
	if (w->op.result == -ESHUTDOWN)
		return lua_pushnil(L), 1;
	wait_check(L, c->method, w);
	if (!c->is_rest) {
		lua_pushlstring(L, (const char *)buf_data(&w->bytes),
				w->bytes.len - 1);
		return 1;
	}
	if (!w->n_frames)
		return lua_pushnil(L), 1;
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (size_t i = 0; i < w->n_frames; i++)
		luaL_addlstring(&b, (const char *)buf_data(&w->frames[i]),
				w->frames[i].len);
	luaL_pushresult(&b);
	return 1;
}

/* The next line without its end, nil at the end. */
static int bind_stream_next_line(lua_State *L, const char *method)
{
	struct stream_object *so = stream_check_reader(L, method);
	int64_t span = arg_duration(L, method, 2, "timeout", NEXT_DEFAULT_NS);

	if (!so->stream)
		return lua_pushnil(L), 1;
	int64_t deadline = await_deadline(L, method, span);
	struct line_call *c = await_new(L, method, sizeof(*c), reading_release);
	c->newline = (struct stream_pattern){
	    .p = (const uint8_t *)"\n",
	    .n = 1,
	};
	c->so = so;
	c->method = method;
	reading_init(L, &c->reading, so);
	stream_match(&c->reading.wait, "lines", &c->newline, 1, true, deadline);
	return await(L, c, &c->reading.wait.op, line_finish);
}

static int l_next_line(lua_State *L)
{
	return bind_stream_next_line(L, "stream:next_line");
}

/* One step of s:lines(t). */
static int l_lines_step(lua_State *L)
{
	return bind_stream_next_line(L, "stream:lines");
}

/* --- state -----------------------------------------------------------------
 */

static int l_eof(lua_State *L)
{
	struct stream_object *so = stream_check(L, "stream:eof");

	bool is_eof = !so->stream || stream_eof(so->stream);

	/* Not before the last byte is in the file. */
	if (so->spool && !spool_file_is_over(so->spool))
		is_eof = false;
	lua_pushboolean(L, is_eof);
	return 1;
}

static int l_bytes(lua_State *L)
{
	struct stream_object *so = stream_check(L, "stream:bytes");

	bind_push_u64(L, so->stream ? stream_bytes(so->stream) : so->bytes);
	return 1;
}

static int l_kind(lua_State *L)
{
	lua_pushstring(L, stream_check(L, "stream:kind")->kind);
	return 1;
}

static int l_detail(lua_State *L)
{
	lua_pushstring(L, stream_check(L, "stream:detail")->detail);
	return 1;
}

static int l_creation_site(lua_State *L)
{
	struct stream_object *so = stream_check(L, "stream:creation_site");

	if (!so->test_site.file[0])
		return lua_pushnil(L), 1;
	lua_createtable(L, 0, 2);
	lua_pushstring(L, so->test_site.file);
	lua_setfield(L, -2, "file");
	lua_pushinteger(L, so->test_site.line);
	lua_setfield(L, -2, "line");
	return 1;
}

/* --- tables ----------------------------------------------------------------
 */

/* s:lines(t): an iterator. */
static int l_lines(lua_State *L)
{
	stream_check_reader(L, "stream:lines");
	arg_duration(L, "stream:lines", 2, "timeout", NEXT_DEFAULT_NS);
	lua_settop(L, 2);
	bind_push_function(L, l_lines_step);
	lua_state_run_blob(L, "runner/lua/steps.lua", 3);
	return 1;
}

static const struct bind_method stream_methods[] = {
    {"next", l_next, 1},
    {"read_until", l_read_until, 2},
    {"expect", bind_stream_l_expect, 2},
    {"drain", l_drain, 1},
    {"lines", l_lines, 1},
    {"next_line", l_next_line, 1},
    {"write_to", stream_l_write_to, 2},
    {"eof", l_eof, 0},
    {"bytes", l_bytes, 0},
    {"kind", l_kind, 0},
    {"detail", l_detail, 0},
    {"creation_site", l_creation_site, 0},
    {NULL, NULL, 0},
};

const struct object_class stream_class = {
    .name = "stream",
    .rank = RANK_STREAM,
    .size = sizeof(struct stream_object),
    .close = stream_object_close,
    .test_end = stream_file_test_end,
    .methods = stream_methods,
};

void bind_stream_register(lua_State *L)
{
	bind_class(L, &stream_class);
	bind_tail_extend(L);
	bind_capture_extend(L);
}
