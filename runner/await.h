/* SPDX-License-Identifier: MIT */
/*
 * Waiting: how a Lua call that takes time is written. The one module that
 * turns the loop, and the only one that resumes coroutines.
 *
 * A binding that waits has three parts:
 *
 *	struct read_call {
 *		struct call *call;
 *	};
 *
 *	static void read_release(void *p)        // always runs, exactly once
 *	{
 *		struct read_call *r = p;
 *		call_free(r->call);
 *	}
 *
 *	static int read_finish(lua_State *L, void *p)    // the op is done
 *	{
 *		struct read_call *r = p;
 *		if (r->call->op.result < 0)
 *			bind_fail(L, "vm:read_file: %s", r->call->op.err.text);
 *		lua_pushlstring(L, ...);
 *		return 1;
 *	}
 *
 *	static int vm_read_file(lua_State *L)
 *	{
 *		// 1. read and check every argument: may raise
 *		struct vm_object *vm = vm_check(L, 1, "vm:read_file");
 *		const char *path = arg_path(L, "vm:read_file", 2, "path");
 *		int64_t deadline = await_deadline(L, "vm:read_file",
 *		    CLOCK_NEVER);
 *		// 2. make the block, start the operation: nothing raises
 *		struct read_call *r = await_new(L, "vm:read_file",
 *		    sizeof(*r), read_release);
 *		r->call = call_new(vm_object_client(vm));
 *		call_start(r->call, &msg, NULL, 0, deadline);
 *		// 3. wait
 *		return await(L, r, &r->call->op, read_finish);
 *	}
 *
 * In the main coroutine await() turns the loop until the operation is over
 * and returns what finish pushed. In a task it yields, and finish runs when
 * the task is resumed. The binding cannot tell, and must not: nothing may
 * follow await() but return. That works because every method that
 * bind_class() registers is wrapped by runner/lua/settle.lua.
 *
 * A test's time-out is an ordinary deadline: await_deadline() never gives a
 * later one. await() raises "timed out after 30s in vm:run at x.test.lua:12"
 * when the operation's deadline ended it after that of the test; the text of
 * the operation's error follows, or else what await_tell() was given. finish
 * runs for every other end.
 */
#ifndef RUNNER_AWAIT_H
#define RUNNER_AWAIT_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/clock.h"
#include "runner/trail.h"
#include "streams/op.h"

/* So long after the test's deadline calls may ask what else there is to tell:
 * await_ask(). */
#define AWAIT_ASK_NS (200 * NS_PER_MS)

struct task;
struct block;
struct worker;
TAILQ_HEAD(task_list, task);
LIST_HEAD(block_list, block);

/* The worker's; private to await.c and suite.c. */
struct await {
	int64_t deadline_ns;	  /* of the running test; CLOCK_NEVER between */
	int64_t timeout_ns;	  /* the span that it came from, for messages */
	int64_t parked_since_ns;  /* 0: time goes on; see park.h */
	int64_t waited_ns;	  /* that the test stood still */
	struct trail trail;	  /* what its calls took */
	struct block_list blocks; /* of the calls that wait */
	struct task_list tasks;
	struct buf told;      /* by tasks whose calls the test's end cut off */
	struct task *running; /* the one being resumed now */
	unsigned depth;	      /* nested waits */
};

void await_init(struct await *a);
void await_done(struct await *a);
/* Sets the deadline of what runs from now on; CLOCK_NEVER: none. */
void await_set_timeout(struct await *a, int64_t timeout_ns);

/*
 * now + span_ns, or the test's deadline when that is earlier. Raises when the
 * test's time is over already, and where a guest's alarm has failed the file.
 * span_ns CLOCK_NEVER: the test's own.
 */
int64_t await_deadline(lua_State *L, const char *method, int64_t span_ns);
/* Raises the test's time-out if its time is over. method NULL: the test is in
 * no call, but computes. */
void await_check_expired(lua_State *L, const char *method);
/* The same in a finish, with what the call's await_tell() pushes: where the
 * operation has a timer of its own (exec). */
void await_check_expired_call(lua_State *L, void *p);
bool await_is_expired(const struct await *a);

/* Pushes what results finish returns; may raise. Its stack holds the values
 * that were kept, from index 1. */
typedef int (*await_cb)(lua_State *L, void *p);
/* Pushes a text, the output of the call so far, or nothing. May raise. */
typedef void (*await_tell_cb)(lua_State *L, void *p);

/* Starts to ask for what await_tell() is to push. Returns the operation to wait
 * for, which takes less than AWAIT_ASK_NS; NULL: there is nothing more. */
typedef struct op *(*await_ask_cb)(lua_State *L, void *p);

/*
 * Pushes a block of memory for one call and returns it: size zeroed bytes.
 * release(p) runs once, when the call is over, whatever way it went. method
 * is static.
 */
void *await_new(lua_State *L, const char *method, size_t size,
		void (*release)(void *p));
/* The call does nothing by itself: it waits for the pool, or for tasks. */
void await_passive(void *p);
/* What a report says of the call beside its method, in one line: before the
 * wait what it is about, in finish also what came of it. The last one counts.
 */
void await_note(void *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void await_take_note(void *p, char *take_note);
/* What the test's time-out in this call shows, in place of the operation's
 * error. */
void await_tell(void *p, await_tell_cb tell);
/* Before that: what has to be asked of the guest first. */
void await_ask(void *p, await_ask_cb ask);
/* Says by how much the operation's deadline is behind the test's. */
void await_lingers(void *p, int64_t span_ns);
/* Keeps the value at idx alive as long as the block at block_idx (strings whose
 * bytes the operation borrows, objects it uses); finish finds the kept values
 * at 1.. in the order they were kept. Both indexes absolute. */
void await_keep(lua_State *L, int block_idx, int idx);

/* For `return`: waits for op (started, possibly done), then finish. */
int await(lua_State *L, void *p, struct op *op, await_cb finish);
/* Inside finish, for `return`: goes on waiting, for another op. */
int await_again(lua_State *L, void *p, struct op *op, await_cb finish);

/* C functions for settle.lua and wait_until: await_settle(block) and
 * sleep(seconds). */
int await_l_settle(lua_State *L);
int await_l_sleep(lua_State *L);
/* tells_awaited(fn): while fn runs, the test's time-out names the string that
 * its local variable `awaited` holds. */
int await_l_tells_awaited(lua_State *L);
/* provium.all(...), provium.race(...). */
int await_l_all(lua_State *L);
/* all(method, ...): for methods that are written in Lua. The method's name must
 * live as long as they do. */
int await_l_all_for(lua_State *L);
int await_l_race(lua_State *L);

#endif
