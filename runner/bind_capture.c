/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: a frame of a capture is the record of one packet,
 * except the first one, which is the header of the file. So packets() takes
 * whole frames, as next() does, wherever the stream stands between two of
 * them, and the header goes together with the first packet: nothing is taken
 * before there is one.
 */
#include "runner/bind_capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_stream.h"
#include "runner/lua_state.h"

#define PACKET_DEFAULT_NS (10 * NS_PER_SEC)

/* What a record begins with, in the byte order of this machine
 * (pcap-savefile(5)). */
struct record_head {
	uint32_t seconds;
	uint32_t microseconds;
	uint32_t caplen;
	uint32_t len;
};

void capture_check_options(lua_State *L, const char *method, int idx,
			   struct capture_options *ret)
{
	struct values {
		const char *filter;
		int snaplen;
	} v = {0};
	static const struct opt opts[] = {
	    {"filter", OPT_STRING, offsetof(struct values, filter)},
	    {"snaplen", OPT_VALUE, offsetof(struct values, snaplen)},
	    {NULL, OPT_BOOL, 0},
	};

	bind_options(L, method, arg_opt_table(L, method, idx, "options"), opts,
		     &v);
	*ret = (struct capture_options){.filter = v.filter};
	if (v.snaplen)
		ret->snaplen = (uint32_t)arg_int(L, method, v.snaplen,
						 "snaplen", 1, CAPTURE_SNAPLEN);
}

/* --- packets -------------------------------------------------------------
 */

/* Raises unless the stream at 1 is a capture, and what is at 2 a time-out;
 * NULL when the stream is closed. */
static struct stream *capture_check(lua_State *L, const char *method,
				    int64_t *ret_span)
{
	enum stream_type type;
	struct stream *s = stream_object_check(L, method, &type);

	*ret_span = arg_duration(L, method, 2, "timeout", PACKET_DEFAULT_NS);
	if (type != STREAM_CAPTURE)
		bind_fail_arg(L, method,
			      "this stream is no capture, "
			      "it has bytes, not packets");
	return s;
}

static void packet_push(lua_State *L, const struct buf *record)
{
	struct record_head head;

	memcpy(&head, buf_data(record), sizeof(head));
	lua_createtable(L, 0, 3);
	lua_pushnumber(L, head.seconds + head.microseconds / 1e6);
	lua_setfield(L, -2, "time");
	lua_pushinteger(L, (lua_Integer)head.len);
	lua_setfield(L, -2, "len");
	lua_pushlstring(L, (const char *)buf_data(record) + sizeof(head),
			record->len - sizeof(head));
	lua_setfield(L, -2, "data");
}

struct packet_call {
	struct stream_wait wait;
	const char *method;
};

static int packet_finish(lua_State *L, void *p)
{
	struct packet_call *c = p;
	struct stream_wait *w = &c->wait;

	stream_wait_accept(w);
	if (w->op.result < 0)
		bind_fail_err(L, c->method, &w->op.err);
	if (w->op.result)
		packet_push(L, &w->bytes);
	else
		lua_pushnil(L);
	return 1;
}

static void packet_release(void *p)
{
	struct packet_call *c = p;

	stream_wait_done(&c->wait);
}

/* The next packet; nil at the end, at the time-out and after close, as for
 * next(). */
static int next_packet(lua_State *L, const char *method)
{
	int64_t span;
	struct stream *s = capture_check(L, method, &span);

	if (!s)
		return lua_pushnil(L), 1;
	if (stream_is_cut(s))
		bind_fail_arg(L, method,
			      "a part of the next packet was taken already, "
			      "by read_until() or expect(): "
			      "take its rest with next()");
	int64_t deadline = await_deadline(L, method, span);
	struct packet_call *c =
	    await_new(L, method, sizeof(*c), packet_release);
	struct stream_wait *w = &c->wait;
	c->method = method;
	stream_wait_init(w, s);
	w->hold = true;
	w->skip = stream_taken(s) == 0;
	await_keep(L, lua_gettop(L), 1);
	await_tell(c, stream_tell_pending);
	stream_next(w, deadline);
	return await(L, c, &w->op, packet_finish);
}

static int l_next_packet(lua_State *L)
{
	return next_packet(L, "stream:next_packet");
}

/* One step of cap:packets(t). */
static int l_packets_step(lua_State *L)
{
	return next_packet(L, "stream:packets");
}

/* cap:packets(t): an iterator. */
static int l_packets(lua_State *L)
{
	int64_t span;

	capture_check(L, "stream:packets", &span);
	lua_settop(L, 2);
	bind_push_function(L, l_packets_step);
	lua_state_run_blob(L, "runner/lua/steps.lua", 3);
	return 1;
}

static const struct bind_method capture_methods[] = {
    {"packets", l_packets, 1},
    {"next_packet", l_next_packet, 1},
    {NULL, NULL, 0},
};

void bind_capture_extend(lua_State *L)
{
	bind_class_extend(L, &stream_class, capture_methods);
}
