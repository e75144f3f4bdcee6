/* SPDX-License-Identifier: MIT */
/*
 * A client and the fake agent at its other end, for tests of the client. In a
 * header, as programs that put a fake in place of the client do not want it.
 */
#ifndef CLIENT_FIXTURE_H
#define CLIENT_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "streams/client.h"
#include "tests/unit/streams/lib_fake_agent.h"

struct fixture {
	struct loop *loop;
	struct client *client;
	struct fake_agent *agent;
	struct op hello;
	int losses;
	struct err lost;
	bool keep_lost; /* on_lost does not call client_fail() */
};

/* For what must happen: a machine may be slow, and busy. */
#define FIXTURE_PATIENCE_NS (60 * NS_PER_SEC)

static const struct fake_script fixture_silent_script = {0};

static inline void fixture_on_lost(void *ctx, const struct err *err)
{
	struct fixture *f = ctx;
	struct err why;

	f->losses++;
	f->lost = *err;
	if (f->keep_lost)
		return;
	err_set(&why, -ECONNABORTED, "the VM died of it");
	client_fail(f->client, &why);
}

/* Client and agent, without a session. */
static inline void fixture_init_silent(struct fixture *f,
				       const struct fake_script *script)
{
	struct err err;
	int fd;

	*f = (struct fixture){0};
	f->loop = loop_new(&err);
	assert_non_null(f->loop);
	f->agent = fake_agent_new(
	    f->loop, script ? script : &fixture_silent_script, f, &fd);
	f->client = client_new(f->loop, fd, fixture_on_lost, f);
}

/* With a session that is open; script NULL: never answers. */
static inline void fixture_init(struct fixture *f,
				const struct fake_script *script)
{
	fixture_init_silent(f, script);
	client_hello(f->client, &f->hello,
		     clock_deadline_ns(FIXTURE_PATIENCE_NS));
	assert_int_equal(0, op_wait(&f->hello));
}

static inline void fixture_done(struct fixture *f)
{
	op_done(&f->hello);
	client_free(f->client);
	fake_agent_free(f->agent);
	loop_free(f->loop);
}

/* One of its own, as fixture_init() makes it; for cmocka's state. */
static inline struct fixture *fixture_new(const struct fake_script *script)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	fixture_init(f, script);
	return f;
}

/* The teardown of a test whose state it is. */
static inline int fixture_free(void **state)
{
	fixture_done(*state);
	free(*state);
	return 0;
}

static inline void fixture_on_too_long(void *ctx)
{
	(void)ctx;
	fail_msg("it did not happen in time");
}

/* Turns the loop until *flag or, failing the test, for a minute. */
static inline void fixture_until(struct fixture *f, const bool *flag)
{
	struct timer *t = timer_new(f->loop, fixture_on_too_long, NULL);

	timer_set(t, clock_deadline_ns(FIXTURE_PATIENCE_NS));
	while (!*flag)
		loop_turn(f->loop);
	timer_free(t);
}

/* Some turns, for what must not happen. */
static inline void fixture_settle(struct fixture *f)
{
	for (int i = 0; i < 20; i++)
		loop_poll(f->loop);
}

static inline struct msg msg_ping(int64_t value)
{
	return (struct msg){.type = MSG_PING, .ping.value = value};
}

static inline struct msg msg_stat_of(const char *path)
{
	return (struct msg){.type = MSG_STAT, .stat.path = path};
}

static inline struct msg msg_read_of(const char *path)
{
	return (struct msg){.type = MSG_READ_FILE, .read_file.path = path};
}

/* Starts a call with a deadline that a broken client does not outlive. */
static inline struct call *fixture_call(struct fixture *f, const struct msg *m)
{
	struct call *call = call_new(f->client);

	call_start(call, m, NULL, 0, clock_deadline_ns(FIXTURE_PATIENCE_NS));
	return call;
}

/* A ping that must be answered: the session works. */
static inline void fixture_check_ping(struct fixture *f)
{
	const struct msg m = msg_ping(77);
	struct call *call = fixture_call(f, &m);

	assert_int_equal(0, op_wait(&call->op));
	assert_int_equal(MSG_DONE, call->reply.type);
	assert_int_equal(77, call->reply.done.value);
	call_free(call);
}

#endif
