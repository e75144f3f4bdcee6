/* SPDX-License-Identifier: MIT */
/* A peer that breaks the rules gets -EPROTO and nothing more. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "agent-proto/session.h"
#include "agent-proto/session_impl.h"
#include "tests/unit/agent-proto/lib_end.h"
#include "tests/unit/agent-proto/lib_rnd.h"

struct ends {
	struct end host;  /* has channel 1 open */
	struct end agent; /* has channel 1 open */
	uint8_t *zeros;	  /* FRAME_PAYLOAD_MAX bytes */
};

static int setup(void **state)
{
	struct ends *t = mem_zalloc(sizeof(*t));

	end_connect(&t->host, &t->agent);
	end_open(&t->host, "hi", false);
	end_pump(&t->host, &t->agent);
	end_expect(&t->agent, "opened 1; msg 1 hi");
	t->zeros = mem_zalloc(FRAME_PAYLOAD_MAX);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct ends *t = *state;

	end_done(&t->host);
	end_done(&t->agent);
	free(t->zeros);
	free(t);
	return 0;
}

/* The agent's session closes its channels, waits, and works again. */
static void expect_agent_recovers(struct end *agent, unsigned n_channels)
{
	unsigned closed = agent->n_closed;

	assert_false(session_is_established(agent->s));
	assert_int_equal(closed, n_channels);
	assert_int_equal(agent->s->n_chans, 0);
	assert_int_equal(agent->s->partial, 0);
	buf_reset(&agent->log);
	/* What follows is not looked at. */
	assert_int_equal(
	    end_feed_frame(agent, FRAME_MSG, 9, FRAME_OPEN, "x", 1), 0);
	end_expect(agent, "");
	assert_int_equal(end_feed_hello(agent, PROTO_VERSION, 8, 1), 0);
	assert_int_equal(
	    end_feed_frame(agent, FRAME_MSG, 9, FRAME_OPEN, "x", 1), 0);
	end_expect(agent, "established 0; opened 9; msg 9 x");
}

/* Both roles refuse the frame; text is part of the reason. */
static void both_refuse(struct ends *t, enum frame_kind kind, uint32_t id,
			unsigned flags, const void *p, size_t n)
{
	assert_int_equal(end_feed_frame(&t->host, kind, id, flags, p, n),
			 -EPROTO);
	end_expect(&t->host, "");
	assert_false(session_is_established(t->host.s));
	assert_int_equal(end_feed_frame(&t->agent, kind, id, flags, p, n),
			 -EPROTO);
	expect_agent_recovers(&t->agent, 1);
}

static void bytes_that_are_no_frame(void **state)
{
	struct ends *t = *state;
	struct err err;

	assert_int_equal(end_feed(&t->host, "GET / HTTP/1.0\r\n", 16, 0, &err),
			 -EPROTO);
	assert_string_equal(
	    err.text, "the agent broke the protocol: what it sent is no frame "
		      "(kind 71, flags 84, 4726831 bytes)");
	assert_int_equal(end_feed(&t->agent, "GET / HTTP/1.0\r\n", 16, 0, &err),
			 -EPROTO);
	assert_memory_equal(err.text, "the host broke the protocol", 27);
	expect_agent_recovers(&t->agent, 1);
}

static void a_violation_names_what_was_wrong(void **state)
{
	struct ends *t = *state;
	const uint8_t open[] = {FRAME_MSG, 5, 0, 0, 1, 0, 0, FRAME_OPEN, 'x'};
	struct err err;

	assert_int_equal(end_feed(&t->host, open, sizeof(open), 0, &err),
			 -EPROTO);
	assert_string_equal(err.text,
			    "the agent broke the protocol: it opens a channel "
			    "(channel 5, 1 bytes)");
}

static void data_beyond_the_credit(void **state)
{
	struct ends *t = *state;

	t->agent.holds = true;
	for (size_t n = 0; n < CHAN_WINDOW; n += FRAME_PAYLOAD_MAX)
		assert_int_equal(end_feed_frame(&t->agent, FRAME_DATA, 1, 0,
						t->zeros, FRAME_PAYLOAD_MAX),
				 0);
	assert_int_equal(t->agent.n_data, CHAN_WINDOW);
	assert_int_equal(end_feed_frame(&t->agent, FRAME_DATA, 1, 0, "x", 1),
			 -EPROTO);
	assert_int_equal(t->agent.n_data, CHAN_WINDOW);
	expect_agent_recovers(&t->agent, 1);
}

static void credit_counts_only_once_it_was_sent(void **state)
{
	struct ends *t = *state;
	struct buf out = {0};

	for (size_t n = 0; n < CHAN_WINDOW; n += FRAME_PAYLOAD_MAX)
		assert_int_equal(end_feed_frame(&t->agent, FRAME_DATA, 1, 0,
						t->zeros, FRAME_PAYLOAD_MAX),
				 0);
	end_take(&t->agent, &out);
	assert_int_equal(out.len, FRAME_HEADER + 4);
	for (size_t n = 0; n < CHAN_WINDOW; n += FRAME_PAYLOAD_MAX)
		assert_int_equal(end_feed_frame(&t->agent, FRAME_DATA, 1, 0,
						t->zeros, FRAME_PAYLOAD_MAX),
				 0);
	/* This time the credit was earned, and is still here. */
	assert_int_equal(end_feed_frame(&t->agent, FRAME_DATA, 1, 0, "x", 1),
			 -EPROTO);
	buf_done(&out);
}

static void credit_that_was_not_used(void **state)
{
	struct ends *t = *state;

	both_refuse(t, FRAME_CREDIT, 1, 0, "\1\0\0\0", 4);
}

static void credit_of_nothing(void **state)
{
	struct ends *t = *state;

	chan_write(t->agent.chans[1], "abc", 3, false);
	assert_int_equal(
	    end_feed_frame(&t->agent, FRAME_CREDIT, 1, 0, "\3\0\0\0", 4), 0);
	both_refuse(t, FRAME_CREDIT, 1, 0, "\0\0\0\0", 4);
}

static void credit_that_overflows(void **state)
{
	struct ends *t = *state;

	chan_write(t->agent.chans[1], "abc", 3, false);
	chan_write(t->host.chans[1], "abc", 3, false);
	both_refuse(t, FRAME_CREDIT, 1, 0, "\xff\xff\xff\xff", 4);
}

static void anything_after_a_fin(void **state)
{
	struct ends *t = *state;

	assert_int_equal(
	    end_feed_frame(&t->host, FRAME_DATA, 1, FRAME_FIN, NULL, 0), 0);
	end_expect(&t->host, "fin 1");
	assert_int_equal(end_feed_frame(&t->host, FRAME_DATA, 1, 0, "x", 1),
			 -EPROTO);
	assert_int_equal(
	    end_feed_frame(&t->agent, FRAME_MSG, 1, FRAME_FIN, "x", 1), 0);
	assert_int_equal(end_feed_frame(&t->agent, FRAME_MSG, 1, 0, "x", 1),
			 -EPROTO);
	expect_agent_recovers(&t->agent, 1);
}

static void data_inside_of_a_message(void **state)
{
	struct ends *t = *state;

	assert_int_equal(
	    end_feed_frame(&t->host, FRAME_MSG, 1, FRAME_MORE, "x", 1), 0);
	assert_int_equal(
	    end_feed_frame(&t->agent, FRAME_MSG, 1, FRAME_MORE, "x", 1), 0);
	both_refuse(t, FRAME_DATA, 1, 0, "x", 1);
}

static void a_message_inside_of_data(void **state)
{
	struct ends *t = *state;

	assert_int_equal(
	    end_feed_frame(&t->host, FRAME_DATA, 1, FRAME_MORE, "x", 1), 0);
	end_expect(&t->host, "data 1 x+");
	assert_int_equal(
	    end_feed_frame(&t->agent, FRAME_DATA, 1, FRAME_MORE, "x", 1), 0);
	both_refuse(t, FRAME_MSG, 1, 0, "x", 1);
}

static void an_agent_that_opens_a_channel(void **state)
{
	struct ends *t = *state;

	assert_int_equal(
	    end_feed_frame(&t->host, FRAME_MSG, 2, FRAME_OPEN, "x", 1),
	    -EPROTO);
	end_expect(&t->host, "");
}

static void a_channel_opened_twice(void **state)
{
	struct ends *t = *state;

	assert_int_equal(
	    end_feed_frame(&t->agent, FRAME_MSG, 1, FRAME_OPEN, "x", 1),
	    -EPROTO);
	expect_agent_recovers(&t->agent, 1);
}

static void too_many_channels(void **state)
{
	struct ends *t = *state;

	for (uint32_t id = 2; id <= CHANNELS_MAX; id++)
		assert_int_equal(end_feed_frame(&t->agent, FRAME_MSG, id,
						FRAME_OPEN, "x", 1),
				 0);
	assert_int_equal(t->agent.n_opened, CHANNELS_MAX);
	assert_int_equal(end_feed_frame(&t->agent, FRAME_MSG, CHANNELS_MAX + 1,
					FRAME_OPEN, "x", 1),
			 -EPROTO);
	expect_agent_recovers(&t->agent, CHANNELS_MAX);
}

static void half_opened_channels_count(void **state)
{
	struct ends *t = *state;

	for (uint32_t id = 2; id <= CHANNELS_MAX; id++)
		assert_int_equal(end_feed_frame(&t->agent, FRAME_MSG, id,
						FRAME_OPEN | FRAME_MORE, "x",
						1),
				 0);
	assert_int_equal(end_feed_frame(&t->agent, FRAME_MSG, CHANNELS_MAX + 1,
					FRAME_OPEN | FRAME_MORE, "x", 1),
			 -EPROTO);
	/* Those were never opened, so they are not closed either. */
	expect_agent_recovers(&t->agent, 1);
}

static void a_message_longer_than_the_limit(void **state)
{
	struct ends *t = *state;

	for (size_t n = 0; n < MSG_MAX; n += FRAME_PAYLOAD_MAX)
		assert_int_equal(end_feed_frame(&t->agent, FRAME_MSG, 1,
						FRAME_MORE, t->zeros,
						FRAME_PAYLOAD_MAX),
				 0);
	assert_int_equal(t->agent.s->partial, MSG_MAX);
	assert_int_equal(end_feed_frame(&t->agent, FRAME_MSG, 1, 0, "x", 1),
			 -EPROTO);
	expect_agent_recovers(&t->agent, 1);
}

static void half_sent_messages_beyond_the_limit(void **state)
{
	struct ends *t = *state;
	size_t sum = 0;
	int ret = 0;

	for (uint32_t id = 2; !ret; id++) {
		unsigned flags = FRAME_OPEN | FRAME_MORE;
		for (size_t n = 0; !ret && n < MSG_MAX / 2;
		     n += FRAME_PAYLOAD_MAX) {
			ret = end_feed_frame(&t->agent, FRAME_MSG, id, flags,
					     t->zeros, FRAME_PAYLOAD_MAX);
			flags = FRAME_MORE;
			sum += FRAME_PAYLOAD_MAX;
		}
	}
	assert_int_equal(ret, -EPROTO);
	assert_int_equal(sum, SESSION_PARTIAL_MAX + FRAME_PAYLOAD_MAX);
	expect_agent_recovers(&t->agent, 1);
}

/* Honest ends stay below it, however many long messages they send. */
static void many_long_messages_at_once_keep_the_limit(void **state)
{
	struct ends *t = *state;
	uint8_t *big = mem_zalloc(MSG_MAX);

	for (int i = 0; i < 8; i++)
		assert_non_null(chan_open(t->host.s, big, MSG_MAX, true, NULL));
	end_pump(&t->host, &t->agent);
	assert_int_equal(t->agent.n_opened, 9);
	free(big);
}

static void a_violation_and_a_hello_in_one_read(void **state)
{
	struct ends *t = *state;
	struct hello h = {.version = PROTO_VERSION, .nonce = 8, .window = 1};
	uint8_t b[20 + HELLO_SIZE] = "this is not a frame";

	hello_encode(&h, b + 20);
	assert_int_equal(end_feed(&t->agent, b, sizeof(b), 0, NULL), -EPROTO);
	end_expect(&t->agent, "closed 1 -104; established 0");
	assert_true(session_is_established(t->agent.s));
}

static void a_host_can_begin_anew_after_a_violation(void **state)
{
	struct ends *t = *state;

	end_feed(&t->host, "not a frame", 11, 0, NULL);
	end_expect(&t->host, "");
	assert_null(end_open(&t->host, "x", true));
	session_hello(t->host.s, 5);
	end_pump(&t->host, &t->agent);
	end_expect(&t->host, "closed 1 -104; established 77");
	end_expect(&t->agent, "closed 1 -104; established 0");
}

/* Bytes of all kinds, most of them nearly right. */
static void noise_never_breaks_an_agent(void **state)
{
	struct ends *t = *state;
	uint8_t b[64];
	struct rnd r;

	rnd_init(&r, 12);
	for (int i = 0; i < 100000; i++) {
		size_t n = rnd_below(&r, sizeof(b)) + 1;
		rnd_fill(&r, b, n);
		b[0] %= 6;
		if (n >= FRAME_HEADER) {
			memset(b + 2, 0, 6);
			b[1] %= 4;
			b[4] = (uint8_t)(n - FRAME_HEADER);
			b[7] = (uint8_t)rnd_below(&r, 8);
		}
		int ret = end_feed(&t->agent, b, n, rnd_below(&r, 20), NULL);
		assert_true(ret == 0 || ret == -EPROTO);
		if (!session_is_established(t->agent.s))
			end_feed_hello(&t->agent, PROTO_VERSION, 1, 1000);
		buf_reset(&t->agent.log);
	}
	assert_true(t->agent.n_closed > 1000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(bytes_that_are_no_frame),
	    T(a_violation_names_what_was_wrong),
	    T(data_beyond_the_credit),
	    T(credit_counts_only_once_it_was_sent),
	    T(credit_that_was_not_used),
	    T(credit_of_nothing),
	    T(credit_that_overflows),
	    T(anything_after_a_fin),
	    T(data_inside_of_a_message),
	    T(a_message_inside_of_data),
	    T(an_agent_that_opens_a_channel),
	    T(a_channel_opened_twice),
	    T(too_many_channels),
	    T(half_opened_channels_count),
	    T(a_message_longer_than_the_limit),
	    T(half_sent_messages_beyond_the_limit),
	    T(many_long_messages_at_once_keep_the_limit),
	    T(a_violation_and_a_hello_in_one_read),
	    T(a_host_can_begin_anew_after_a_violation),
	    T(noise_never_breaks_an_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
