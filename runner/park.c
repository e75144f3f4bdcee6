/* SPDX-License-Identifier: MIT */
#include "runner/park.h"

#include <signal.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "runner/await_private.h"
#include "runner/claims.h"
#include "runner/event.h"
#include "runner/interrupt.h"
#include "runner/task.h"
#include "runner/worker.h"

/* --- time -----------------------------------------------------------------*/

static bool only_waits_for_pool(struct worker *w)
{
	const struct block *b;

	if (!claims_pending(w->claims))
		return false;
	/* In a nested wait nobody is resumed, ready or not. */
	if (w->await.depth == 1 && task_any_ready(w))
		return false;
	LIST_FOREACH (b, &w->await.blocks, link)
		if (!b->is_passive)
			return false;
	return true;
}

static void stop_time(struct worker *w)
{
	struct await *a = &w->await;
	struct block *b;

	a->parked_since_ns = clock_now_ns();
	if (a->deadline_ns == CLOCK_NEVER)
		return;
	LIST_FOREACH (b, &a->blocks, link) {
		if (op_is_done(b->op) ||
		    b->op->deadline_ns != a->deadline_ns + b->lingers_ns)
			continue;
		op_set_deadline(b->op, CLOCK_NEVER);
		b->is_stopped = true;
	}
}

void park_end(struct worker *w)
{
	struct await *a = &w->await;
	struct block *b;

	if (!a->parked_since_ns)
		return;
	int64_t span_ns = clock_now_ns() - a->parked_since_ns;
	a->parked_since_ns = 0;
	a->waited_ns += span_ns;
	if (a->deadline_ns == CLOCK_NEVER)
		return;
	a->deadline_ns += span_ns;
	interrupt_arm(w->L, a->deadline_ns);
	LIST_FOREACH (b, &a->blocks, link) {
		if (b->is_stopped && !op_is_done(b->op))
			op_set_deadline(b->op, a->deadline_ns + b->lingers_ns);
		b->is_stopped = false;
	}
}

void park_check(struct worker *w)
{
	park_answer(w, NULL);
	if (!only_waits_for_pool(w)) {
		park_end(w);
		return;
	}
	if (!w->await.parked_since_ns)
		stop_time(w);
	claims_park(w->claims);
}

/* --- what it waits for ----------------------------------------------------*/

/* What the handler needs: a signal brings no context along. */
static struct worker *volatile signal_worker;
static volatile sig_atomic_t signal_asked;

static void park_on_signal(int signo)
{
	(void)signo;
	signal_asked = 1;
	if (!signal_worker)
		return;
	loop_wake(signal_worker->loop);
	interrupt_poke(signal_worker->L);
}

void park_listen(struct worker *w)
{
	struct sigaction sa = {.sa_handler = park_on_signal,
			       .sa_flags = SA_RESTART};

	signal_worker = w;
	sigaction(SIGUSR1, &sa, NULL);
}

static json_t *park_describe(lua_State *L, const char *method, int64_t since_ns)
{
	json_t *call = json_object();
	struct site at;

	json_object_set_new(call, "method",
			    event_string(method, strlen(method)));
	if (lua_state_site(L, &at))
		json_object_set_new(
		    call, "location",
		    json_pack("{s:o,s:i}", "file",
			      event_string(at.file, strlen(at.file)), "line",
			      at.line));
	if (since_ns)
		json_object_set_new(
		    call, "seconds",
		    json_real((double)(clock_now_ns() - since_ns) /
			      (double)NS_PER_SEC));
	return call;
}

void park_answer(struct worker *w, lua_State *L)
{
	const char *test = suite_running_name(&w->suite);
	const struct block *b;
	json_t *calls, *ev;

	if (!signal_asked)
		return;
	signal_asked = 0;
	calls = json_array();
	if (L)
		json_array_append_new(calls, park_describe(L, "Lua code", 0));
	LIST_FOREACH (b, &w->await.blocks, link)
		json_array_append_new(
		    calls, park_describe(b->L, b->method, b->op->started_ns));
	ev = event_begin("waiting");
	if (test)
		json_object_set_new(ev, "test",
				    event_string(test, strlen(test)));
	json_object_set_new(ev, "calls", calls);
	worker_emit(w, ev);
}
