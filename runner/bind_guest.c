/* SPDX-License-Identifier: MIT */
#include "runner/bind_guest.h"

#include <errno.h>

#include "agent-proto/clock.h"

struct object *guest_check(lua_State *L, const struct guest_method *m)
{
	struct object *g = object_check(L, 1, m->class, m->name);

	if (object_is_closed(g))
		bind_fail_closed(L, m->name, g,
				 m->class == &vm_class ? "the VM"
						       : "the worker");
	return g;
}

struct client *guest_client(lua_State *L, const struct object *g,
			    const char *method)
{
	return g->class->guest->client(L, g, method);
}

struct stream_list *guest_streams(const struct object *g)
{
	return g->class->guest->streams(g);
}

static void call_release(void *p)
{
	struct guest_call *gc = p;

	call_free(gc->call);
}

int guest_ask(lua_State *L, const char *method, struct client *c,
	      const struct msg *m, int body_idx, await_cb finish)
{
	int64_t deadline = await_deadline(L, method, CLOCK_NEVER);
	struct guest_call *gc = await_new(L, method, sizeof(*gc), call_release);
	int block = lua_gettop(L);
	const char *body = NULL;
	size_t n = 0;

	await_keep(L, block, 1);
	if (body_idx) {
		await_keep(L, block, body_idx);
		body = lua_tolstring(L, body_idx, &n);
	}
	gc->method = method;
	gc->call = call_new(c);
	call_start(gc->call, m, body, n, deadline);
	return await(L, gc, &gc->call->op, finish);
}

void guest_call_check(lua_State *L, const struct guest_call *gc)
{
	if (gc->call->op.result < 0)
		bind_fail_err(L, gc->method, &gc->call->op.err);
}

int guest_finish_nothing(lua_State *L, void *p)
{
	guest_call_check(L, p);
	return 0;
}

int guest_finish_kill(lua_State *L, void *p)
{
	const struct guest_call *gc = p;

	if (gc->call->op.result != -ESRCH)
		guest_call_check(L, gc);
	return 0;
}

int guest_finish_data(lua_State *L, void *p)
{
	const struct guest_call *gc = p;
	const struct buf *d = &gc->call->data;

	guest_call_check(L, gc);
	lua_pushlstring(L, d->len ? (char *)buf_data(d) : "", d->len);
	return 1;
}

int guest_finish_value(lua_State *L, void *p)
{
	const struct guest_call *gc = p;

	guest_call_check(L, gc);
	bind_push_i64(L, gc->call->reply.done.value);
	return 1;
}

struct guest_handle guest_handle_new(struct object *g)
{
	const struct guest_ops *ops = g->class->guest;

	return (struct guest_handle){
	    .guest = g,
	    .id = client_new_handle(ops->numbers(g)),
	    .epoch = ops->epoch(g),
	};
}

bool guest_handle_is_current(const struct guest_handle *h)
{
	return !object_is_closed(h->guest) &&
	       h->guest->class->guest->has(h->guest, h->epoch, h->id);
}

struct client *guest_handle_client(lua_State *L, const struct guest_handle *h,
				   const char *noun, const char *method)
{
	if (!object_is_closed(h->guest) && !guest_handle_is_current(h))
		bind_fail_arg(L, method,
			      "the %s is gone: the guest was shut down or "
			      "started anew since",
			      noun);
	return guest_client(L, h->guest, method);
}

void guest_handle_release(struct guest_handle *h)
{
	struct msg m = {.type = MSG_RELEASE};

	if (!h->id)
		return;
	const struct guest_ops *ops = h->guest->class->guest;
	struct client *c = ops->client_if_live(h->guest);
	if (c && ops->has(h->guest, h->epoch, h->id)) {
		m.release.handle = h->id;
		client_post(c, &m);
	}
	h->id = 0;
}
