/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. LuaJIT's interpreter looks at hooks; the machine code
 * that it makes of a loop does not. While LuaJIT's profiler is on, that code
 * looks at each line whether the profiler wants a sample, and if so goes back
 * to the interpreter (IR_PROF of lj_record.c). The profiler's handler of
 * SIGPROF asks for a sample. So the profiler is on, its timer never fires, and
 * whoever plants a hook sends a SIGPROF as well.
 *
 * A test may use the profiler itself, which is one a process. After that,
 * compiled loops look at nothing, and SIGPROF is ignored.
 */
#include "runner/interrupt.h"

#include <luajit.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>

#include "agent-proto/clock.h"
#include "runner/await.h"
#include "runner/park.h"
#include "runner/worker.h"

/* For a wait to notice its deadline first, on a busy machine too. */
#define GRACE_NS (500 * NS_PER_MS)

/* Looks at each line; the timer's interval in ms is the longest there is. */
#define PROFILE_MODE "li2000000000"

/* What the handler needs: a signal brings no context along. */
static lua_State *volatile signal_lua;
static volatile sig_atomic_t signal_alarms; /* since the deadline was set */

/* A function of C is called. It may be the handler of an error: what is raised
 * there replaces that error by "error in error handling". */
static bool begins_c(lua_State *L, lua_Debug *ar)
{
	if (ar->event != LUA_HOOKCALL)
		return false;
	lua_getinfo(L, "S", ar);
	return *ar->what == 'C';
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
	struct worker *w = worker_of(L);

	park_answer(w, L);
	/* Lua runs again soon, or the error is told. */
	if (begins_c(L, ar))
		return;
	/* A pcall of the test may swallow the first error. From the second
	 * alarm on the hook stays, so that whatever follows raises as well. */
	if (signal_alarms < 2 || !await_is_expired(&w->await))
		lua_sethook(L, NULL, 0, 0);
	await_check_expired(L, NULL);
}

static void on_sample(void *data, lua_State *L, int samples, int vmstate)
{
	(void)data;
	(void)L;
	(void)samples;
	(void)vmstate;
}

void interrupt_init(lua_State *L)
{
	/* The profiler's end brings this back. */
	signal(SIGPROF, SIG_IGN);
	luaJIT_profile_start(L, PROFILE_MODE, on_sample, NULL);
}

/* lua_sethook() is what may be called from a handler (lua.c does so), and so
 * may raise(). */
void interrupt_poke(lua_State *L)
{
	lua_sethook(L, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
	raise(SIGPROF);
}

static void interrupt_on_alarm(int signo)
{
	(void)signo;
	signal_alarms += signal_alarms < 2;
	if (signal_lua)
		interrupt_poke(signal_lua);
}

void interrupt_arm(lua_State *L, int64_t deadline_ns)
{
	struct sigaction sa = {.sa_handler = interrupt_on_alarm,
			       .sa_flags = SA_RESTART};
	struct itimerval it = {0};

	if (deadline_ns == CLOCK_NEVER)
		return;
	signal_lua = L;
	signal_alarms = 0;
	sigaction(SIGALRM, &sa, NULL);
	int64_t span = deadline_ns - clock_now_ns();
	if (span < 0)
		span = 0;
	span += GRACE_NS;
	it.it_value.tv_sec = span / NS_PER_SEC;
	it.it_value.tv_usec = span % NS_PER_SEC / NS_PER_US;
	it.it_interval.tv_usec = GRACE_NS / NS_PER_US;
	setitimer(ITIMER_REAL, &it, NULL);
}

void interrupt_disarm(void)
{
	struct itimerval it = {0};

	setitimer(ITIMER_REAL, &it, NULL);
	if (signal_lua)
		lua_sethook(signal_lua, NULL, 0, 0);
	signal_lua = NULL;
}
