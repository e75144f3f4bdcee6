/* SPDX-License-Identifier: MIT */
/*
 * A guest, as a binding sees it that makes requests: a VM, or a worker in one.
 * Both have methods of the same names; such a method is written once, for a
 * struct object, and has a function of two lines for each class.
 *
 *	static int open_file(lua_State *L, const struct guest_method *m)
 *	{
 *		struct object *g = guest_check(L, m);
 *		struct client *c = guest_client(L, g, m->name);
 *		...
 *	}
 *	static int vm_open_file(lua_State *L)
 *	{
 *		static const struct guest_method m = {&vm_class, "vm:..."};
 *
 *		return open_file(L, &m);
 *	}
 */
#ifndef RUNNER_BIND_GUEST_H
#define RUNNER_BIND_GUEST_H

#include <lua.h>
#include <stdint.h>

#include "runner/await.h"
#include "runner/bind.h"
#include "runner/bind_vm.h"
#include "streams/client.h"
#include "streams/stream.h"

/* What a class whose objects are guests says of them; in object_class. */
struct guest_ops {
	/* The session with it; raises with what would help. */
	struct client *(*client)(lua_State *L, const struct object *g,
				 const char *method);
	/* The same, or NULL. */
	struct client *(*client_if_live)(const struct object *g);
	/* Differs whenever the handles of before are void. */
	unsigned (*epoch)(const struct object *g);
	/* Whether it has a handle that was made in that epoch. */
	bool (*has)(const struct object *g, unsigned epoch, uint64_t handle);
	/* Appends "VM a", "worker 123". */
	void (*describe)(const struct object *g, struct buf *out);
	/* The client that numbers its handles, given that it is live: the VM's,
	 * so that one number tells what a snapshot of that has. */
	struct client *(*numbers)(const struct object *g);
	/* Where its streams are counted. */
	struct stream_list *(*streams)(const struct object *g);
};

struct guest_method {
	const struct object_class *class;
	const char *name; /* "vm:run" */
};

extern const struct object_class guest_worker_class;

/* The guest at 1, open; raises. */
struct object *guest_check(lua_State *L, const struct guest_method *m);
struct client *guest_client(lua_State *L, const struct object *g,
			    const char *method);
struct stream_list *guest_streams(const struct object *g);

/* One request in flight. */
struct guest_call {
	struct call *call;
	const char *method;
};

/* For `return`: sends m and, as its data, the string at body_idx (0: none);
 * the value at 1 is kept. finish gets a struct guest_call. */
int guest_ask(lua_State *L, const char *method, struct client *c,
	      const struct msg *m, int body_idx, await_cb finish);
/* Raises when the request failed: the first words of a finish. */
void guest_call_check(lua_State *L, const struct guest_call *gc);
/* Finishes that push nothing; the data, as a string; the DONE value. */
int guest_finish_nothing(lua_State *L, void *p);
/* As guest_finish_nothing(), of a signal that is to end a process: one that has
 * ended already (-ESRCH) is no error. */
int guest_finish_kill(lua_State *L, void *p);
int guest_finish_data(lua_State *L, void *p);
int guest_finish_value(lua_State *L, void *p);

/* A handle in a guest, as objects hold it. */
struct guest_handle {
	struct object *guest; /* the owner */
	uint64_t id;	      /* 0: none */
	unsigned epoch;
};

/* Its guest is open, and has it: was not started anew since, but for a restore
 * of what had it. */
bool guest_handle_is_current(const struct guest_handle *h);
/* A new handle, not yet known to the agent. */
struct guest_handle guest_handle_new(struct object *g);
/* The client for a request on it; raises when its guest was started anew:
 * "the <noun> is gone". */
struct client *guest_handle_client(lua_State *L, const struct guest_handle *h,
				   const char *noun, const char *method);
/* Has the agent forget it, if that is still of use, and clears it; never
 * raises. */
void guest_handle_release(struct guest_handle *h);

#endif
