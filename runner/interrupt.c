/* SPDX-License-Identifier: MIT */
#include "runner/interrupt.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "agent-proto/clock.h"
#include "runner/await.h"
#include "runner/park.h"
#include "runner/worker.h"

/* For a wait to notice its deadline first, on a busy machine too. */
#define GRACE_NS (500 * NS_PER_MS)

/* What the handler needs: a signal brings no context along. */
static lua_State *volatile signal_lua;

static void on_hook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	lua_sethook(L, NULL, 0, 0);
	park_answer(worker_of(L), L);
	await_check_expired(L, "Lua code");
}

/* lua_sethook() is what may be called from a handler (lua.c does so). */
void interrupt_poke(lua_State *L)
{
	lua_sethook(L, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static void on_alarm(int signo)
{
	(void)signo;
	if (signal_lua)
		interrupt_poke(signal_lua);
}

void interrupt_arm(lua_State *L, int64_t deadline_ns)
{
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval it = {0};

	if (deadline_ns == CLOCK_NEVER)
		return;
	signal_lua = L;
	sigaction(SIGALRM, &sa, NULL);
	int64_t span = deadline_ns - clock_now_ns();
	if (span < 0)
		span = 0;
	span += GRACE_NS;
	it.it_value.tv_sec = span / NS_PER_SEC;
	it.it_value.tv_usec = span % NS_PER_SEC / NS_PER_US;
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
