/* SPDX-License-Identifier: MIT */
/* Channels that are given up, and the numbers they go by. */
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
#include "tests/unit/agent-proto/lib_pair.h"

static void a_reset_by_the_host_closes_at_the_agent(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);

	chan_write(ch, p->big, 100000, false);
	chan_reset(ch);
	end_expect_output(&p->host, "RESET 1");
	assert_int_equal(end_feed_frame(&p->agent, FRAME_RESET, 1, 0, NULL, 0),
			 0);
	end_expect(&p->agent, "closed 1 -125");
	end_feed(&p->host, NULL, 0, 0, NULL);
	end_expect(&p->host, "");
}

static void a_reset_by_the_agent_closes_at_the_host(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);

	chan_write(pair_agents(p, ch), p->big, 100000, false);
	chan_reset(pair_agents(p, ch));
	end_expect_output(&p->agent, "RESET 1");
	chan_write(ch, p->big, 100000, true);
	assert_int_equal(end_feed_frame(&p->host, FRAME_RESET, 1, 0, NULL, 0),
			 0);
	end_expect(&p->host, "closed 1 -125");
	end_expect_output(&p->host, "");
}

static void resets_may_cross(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);

	chan_reset(pair_agents(p, ch));
	chan_reset(ch);
	pair_pump(p);
	end_expect(&p->host, "");
	end_expect(&p->agent, "");
	assert_int_equal(p->host.s->n_chans, 0);
	assert_int_equal(p->agent.s->n_chans, 0);
}

static void a_channel_reset_before_it_was_sent_never_was(void **state)
{
	struct pair *p = *state;
	struct chan *ch = end_open(&p->host, "hi", false);

	chan_reset(ch);
	end_expect_output(&p->host, "");
}

static void a_channel_reset_inside_its_first_message_never_was(void **state)
{
	struct pair *p = *state;
	struct chan *ch = chan_open(p->host.s, p->big, BIG, false, NULL);
	struct buf out = {0};

	session_output(p->host.s, &out, 1);
	chan_reset(ch);
	end_take(&p->host, &out);
	assert_int_equal(end_feed(&p->agent, buf_data(&out), out.len, 0, NULL),
			 0);
	end_expect(&p->agent, "");
	assert_int_equal(p->agent.s->n_chans, 0);
	assert_int_equal(p->agent.s->partial, 0);
	buf_done(&out);
}

static void late_frames_for_a_closed_channel_are_ignored(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);
	struct buf out = {0};

	chan_write(pair_agents(p, ch), p->big, 200000, false);
	chan_send(pair_agents(p, ch), p->big, 200000, true);
	end_take(&p->agent, &out);
	chan_reset(ch);
	assert_int_equal(end_feed(&p->host, buf_data(&out), out.len, 0, NULL),
			 0);
	assert_int_equal(
	    end_feed_frame(&p->host, FRAME_CREDIT, 1, 0, "\1\0\0\0", 4), 0);
	assert_int_equal(end_feed_frame(&p->host, FRAME_RESET, 1, 0, NULL, 0),
			 0);
	end_expect(&p->host, "");
	buf_done(&out);
}

static void reset_it(struct end *e, const char *event, struct chan *ch)
{
	const char *on = e->hook_ctx;

	if (strncmp(event, on, strlen(on)) == 0)
		chan_reset(ch);
}

static void a_channel_may_be_reset_in_each_of_its_callbacks(void **state)
{
	static const char *const wants[] = {
	    "opened 1", "opened 2; msg 2 hi", "opened 3; msg 3 hi; data 3 abc",
	    "opened 4; msg 4 hi; data 4 abc; fin 4"};
	char events[][8] = {"opened", "msg", "data", "fin"};
	struct pair *p = *state;

	p->agent.hook = reset_it;
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		p->agent.hook_ctx = events[i];
		struct chan *ch = end_open(&p->host, "hi", false);
		chan_write(ch, "abc", 3, true);
		pair_pump(p);
		end_expect(&p->agent, wants[i]);
		assert_int_equal(p->agent.s->n_chans, 0);
		assert_int_equal(p->host.s->n_chans, 0);
	}
	end_expect(
	    &p->host,
	    "closed 1 -125; closed 2 -125; closed 3 -125; closed 4 -125");
}

static void a_long_message_outlives_its_channel_in_the_callback(void **state)
{
	struct pair *p = *state;
	char event[] = "msg";

	p->agent.hook = reset_it;
	p->agent.hook_ctx = event;
	chan_open(p->host.s, p->big, BIG, true, NULL);
	pair_pump(p);
	end_expect(&p->agent, "opened 1; msg 1 #1048576");
}

static void reset_all(struct end *e, const char *event, struct chan *ch)
{
	(void)ch;
	if (strncmp(event, "closed", 6) != 0)
		return;
	for (size_t i = 0; i < END_CHANS; i++) {
		if (e->chans[i])
			chan_reset(e->chans[i]);
		e->chans[i] = NULL;
	}
}

static void closed_may_take_other_channels_along(void **state)
{
	struct pair *p = *state;

	for (int i = 0; i < 5; i++)
		pair_open(p);
	p->agent.hook = reset_all;
	assert_int_equal(end_feed_hello(&p->agent, PROTO_VERSION, 9, 9), 0);
	end_expect(&p->agent, "closed 1 -104; established 0");
}

static void writable_may_write_and_reset(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);
	char event[] = "writable";

	p->agent.holds = true;
	chan_write(ch, p->big, BIG, false);
	pair_pump(p);
	p->host.hook = reset_it;
	p->host.hook_ctx = event;
	chan_consumed(pair_agents(p, ch), CHAN_WINDOW);
	buf_reset(&p->agent.log);
	pair_pump(p);
	end_expect(&p->host, "writable 1");
	end_expect(&p->agent, "closed 1 -125");
}

/* --- ids ------------------------------------------------------------------*/

static void ids_go_round_and_skip_those_in_use(void **state)
{
	struct pair *p = *state;
	struct chan *one = pair_open(p), *two = pair_open(p);

	assert_int_equal(chan_id(one), 1);
	assert_int_equal(chan_id(two), 2);
	p->host.s->next_id = FRAME_CHANNEL_MAX;
	assert_int_equal(chan_id(end_open(&p->host, "a", false)),
			 FRAME_CHANNEL_MAX);
	assert_int_equal(chan_id(end_open(&p->host, "b", false)), 0);
	assert_int_equal(chan_id(end_open(&p->host, "c", false)), 3);
	pair_pump(p);
	end_expect(
	    &p->agent,
	    "opened 16777215; msg 16777215 a; opened 0; msg 0 b; opened 3; "
	    "msg 3 c");
	/* One that is free again is used again, from the start. */
	chan_write(one, p->big, 1000, true);
	end_send(pair_agents(p, one), "bye", true);
	pair_pump(p);
	buf_reset(&p->agent.log);
	p->host.s->next_id = FRAME_CHANNEL_MAX + 2;
	struct chan *again = end_open(&p->host, "again", false);
	assert_int_equal(chan_id(again), 1);
	assert_int_equal(chan_room(again), CHAN_WINDOW);
	pair_pump(p);
	end_expect(&p->agent, "opened 1; msg 1 again");
}

static void frames_for_a_channel_not_sent_yet_are_ignored(void **state)
{
	struct pair *p = *state;

	end_open(&p->host, "hi", false);
	assert_int_equal(
	    end_feed_frame(&p->host, FRAME_MSG, 1, FRAME_FIN, "?", 1), 0);
	assert_int_equal(end_feed_frame(&p->host, FRAME_RESET, 1, 0, NULL, 0),
			 0);
	end_expect(&p->host, "");
	end_expect_output(&p->host, "MSG 1 open #2");
}

static void a_host_opens_no_more_than_the_limit(void **state)
{
	struct pair *p = *state;
	struct chan *last = NULL;

	for (int i = 0; i < CHANNELS_MAX; i++) {
		last = chan_open(p->host.s, "x", 1, false, NULL);
		assert_non_null(last);
	}
	assert_null(chan_open(p->host.s, "x", 1, false, NULL));
	pair_pump(p);
	assert_int_equal(p->agent.n_opened, CHANNELS_MAX);
	/* The reset goes first, so the agent has room for the new one. */
	chan_reset(last);
	assert_non_null(chan_open(p->host.s, "x", 1, false, NULL));
	assert_null(chan_open(p->host.s, "x", 1, false, NULL));
	pair_pump(p);
	assert_int_equal(p->agent.n_opened, CHANNELS_MAX + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PAIR_TEST(a_reset_by_the_host_closes_at_the_agent),
	    PAIR_TEST(a_reset_by_the_agent_closes_at_the_host),
	    PAIR_TEST(resets_may_cross),
	    PAIR_TEST(a_channel_reset_before_it_was_sent_never_was),
	    PAIR_TEST(a_channel_reset_inside_its_first_message_never_was),
	    PAIR_TEST(late_frames_for_a_closed_channel_are_ignored),
	    PAIR_TEST(a_channel_may_be_reset_in_each_of_its_callbacks),
	    PAIR_TEST(a_long_message_outlives_its_channel_in_the_callback),
	    PAIR_TEST(closed_may_take_other_channels_along),
	    PAIR_TEST(writable_may_write_and_reset),
	    PAIR_TEST(ids_go_round_and_skip_those_in_use),
	    PAIR_TEST(frames_for_a_channel_not_sent_yet_are_ignored),
	    PAIR_TEST(a_host_opens_no_more_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
