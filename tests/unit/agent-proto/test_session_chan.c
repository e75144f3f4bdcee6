/* SPDX-License-Identifier: MIT */
/* Channels: messages, data, credit, order, ends. */
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

struct pair {
	struct end host;
	struct end agent;
	uint8_t *big; /* BIG bytes */
};

#define BIG (1u << 20)

static int setup(void **state)
{
	struct pair *p = mem_zalloc(sizeof(*p));
	struct rnd r;

	end_connect(&p->host, &p->agent);
	p->big = mem_alloc(BIG);
	rnd_init(&r, 1);
	rnd_fill(&r, p->big, BIG);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	end_done(&p->host);
	end_done(&p->agent);
	free(p->big);
	free(p);
	return 0;
}

static void pump(struct pair *p)
{
	end_pump(&p->host, &p->agent);
}

/* Opened by the host with "hi"; nothing written down is left. */
static struct chan *open_quietly(struct pair *p)
{
	struct chan *ch = end_open(&p->host, "hi", false);

	pump(p);
	buf_reset(&p->agent.log);
	return ch;
}

static struct chan *agents(struct pair *p, const struct chan *ch)
{
	return p->agent.chans[chan_id(ch) % END_CHANS];
}

/* --- messages, ends -------------------------------------------------------*/

static void a_request_and_its_answer(void **state)
{
	struct pair *p = *state;
	int ctx;

	struct chan *ch = end_open(&p->host, "hi", true);
	chan_set_ctx(ch, &ctx);
	assert_ptr_equal(chan_ctx(ch), &ctx);
	assert_ptr_equal(chan_session(ch), p->host.s);
	assert_int_equal(chan_id(ch), 1);
	end_expect_output(&p->agent, "");
	pump(p);
	end_expect(&p->agent, "opened 1; msg 1 hi; fin 1");
	assert_null(chan_ctx(agents(p, ch)));
	end_send(agents(p, ch), "there", true);
	pump(p);
	end_expect(&p->host, "msg 1 there; fin 1; closed 1 0");
	end_expect(&p->agent, "closed 1 0");
}

static void a_fin_may_come_alone(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);

	assert_int_equal(chan_write(ch, NULL, 0, true), 0);
	end_expect_output(&p->host, "DATA 1 fin #0");
	assert_int_equal(
	    end_feed_frame(&p->agent, FRAME_DATA, 1, FRAME_FIN, NULL, 0), 0);
	end_expect(&p->agent, "fin 1");
}

static void closing_waits_for_both_sides_and_the_next_input(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);

	end_send(agents(p, ch), "bye", true);
	pump(p);
	end_expect(&p->host, "msg 1 bye; fin 1");
	end_expect(&p->agent, "");
	chan_write(ch, "rest", 4, true);
	end_expect_output(&p->host, "DATA 1 fin #4");
	end_expect(&p->host, "");
	assert_int_equal(end_feed(&p->host, NULL, 0, 0, NULL), 0);
	end_expect(&p->host, "closed 1 0");
}

static void a_channel_that_waits_to_be_closed_can_be_given_up(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);

	end_send(agents(p, ch), "bye", true);
	pump(p);
	end_expect(&p->host, "msg 1 bye; fin 1");
	chan_write(ch, NULL, 0, true);
	end_expect_output(&p->host, "DATA 1 fin #0");
	chan_reset(ch);
	end_expect_output(&p->host, "");
	end_feed(&p->host, NULL, 0, 0, NULL);
	end_expect(&p->host, "");
}

static void long_messages_arrive_whole(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);

	chan_send(ch, p->big, BIG, false);
	chan_send(ch, "small", 5, true);
	pump(p);
	end_expect(&p->agent, "msg 1 #1048576; msg 1 small; fin 1");
	chan_open(p->host.s, p->big, BIG, true, NULL);
	pump(p);
	end_expect(&p->agent, "opened 2; msg 2 #1048576; fin 2");
}

static void a_message_may_have_any_length_around_a_frame(void **state)
{
	struct pair *p = *state;

	for (size_t n = FRAME_PAYLOAD_MAX - 1; n < FRAME_PAYLOAD_MAX + 2; n++) {
		chan_open(p->host.s, p->big, n, true, NULL);
		pump(p);
	}
	end_expect(
	    &p->agent,
	    "opened 1; msg 1 #65535; fin 1; opened 2; msg 2 #65536; fin 2; "
	    "opened 3; msg 3 #65537; fin 3");
}

/* --- order ----------------------------------------------------------------*/

static void messages_overtake_data_of_other_channels(void **state)
{
	struct pair *p = *state;
	struct chan *bulk = open_quietly(p), *quick = open_quietly(p);
	struct buf out = {0};

	chan_write(bulk, p->big, 3 * FRAME_PAYLOAD_MAX, false);
	assert_true(session_output(p->host.s, &out, 1));
	assert_int_equal(out.len, FRAME_HEADER + FRAME_PAYLOAD_MAX);
	end_send(quick, "first!", false);
	end_expect_output(&p->host,
			  "MSG 2 #6; DATA 1 more #65536; DATA 1 #65536");
	buf_done(&out);
}

static void short_messages_overtake_long_ones(void **state)
{
	struct pair *p = *state;
	struct chan *slow = open_quietly(p), *other = open_quietly(p);
	struct chan *quick = open_quietly(p);
	struct buf out = {0};

	chan_send(slow, p->big, 2 * FRAME_PAYLOAD_MAX + 1, false);
	chan_send(other, p->big, FRAME_PAYLOAD_MAX + 1, false);
	session_output(p->host.s, &out, 1);
	end_send(quick, "first!", false);
	/* Long ones one after the other, so that a peer holds one in pieces. */
	end_expect_output(
	    &p->host,
	    "MSG 3 #6; MSG 1 more #65536; MSG 1 #1; MSG 2 more #65536; "
	    "MSG 2 #1");
	buf_done(&out);
}

static void credit_and_resets_go_before_messages(void **state)
{
	struct pair *p = *state;
	struct chan *a = open_quietly(p), *b = open_quietly(p);
	struct chan *c = open_quietly(p);

	p->host.holds = true;
	chan_write(agents(p, a), p->big, 100000, false);
	pump(p);
	end_send(b, "message", false);
	chan_consumed(a, 100000);
	chan_reset(c);
	end_expect_output(&p->host, "RESET 3; CREDIT 1; MSG 2 #7");
}

static void channels_send_data_in_turn(void **state)
{
	struct pair *p = *state;
	struct chan *a = open_quietly(p), *b = open_quietly(p);

	chan_write(a, p->big, 3 * FRAME_PAYLOAD_MAX, false);
	chan_write(b, p->big, FRAME_PAYLOAD_MAX, false);
	chan_write(b, p->big, 5, true);
	end_expect_output(
	    &p->host, "DATA 1 more #65536; DATA 2 #65536; DATA 1 more #65536; "
		      "DATA 2 fin #5; DATA 1 #65536");
}

static void order_within_a_channel_is_kept(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);

	chan_write(ch, "one", 3, false);
	end_send(ch, "two", false);
	chan_write(ch, "three", 5, false);
	chan_write(ch, "four", 4, false);
	end_send(ch, "five", true);
	pump(p);
	end_expect(
	    &p->agent,
	    "data 1 one; msg 1 two; data 1 three; data 1 four; msg 1 five; "
	    "fin 1");
}

static void writes_keep_their_borders(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);
	uint8_t marked[40];

	chan_write(ch, p->big, 2 * FRAME_PAYLOAD_MAX + 17, false);
	chan_write(ch, "x", 1, false);
	memset(marked, 'm', sizeof(marked));
	memcpy(marked + 15, hello_marker, HELLO_MARKER);
	chan_write(ch, marked, sizeof(marked), false);
	pump(p);
	end_expect(&p->agent,
		   "data 1 #65536+; data 1 #65536+; data 1 #17; data 1 x; "
		   "data 1 #23+; data 1 #17");
}

static void output_stops_at_the_frame_that_reaches_the_limit(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);
	struct buf out = {0};

	assert_false(session_output(p->host.s, &out, 100));
	for (int i = 0; i < 10; i++)
		chan_write(ch, p->big, 12, false);
	assert_true(session_output(p->host.s, &out, 41));
	assert_int_equal(out.len, 60);
	assert_true(session_output(p->host.s, &out, 60));
	assert_int_equal(out.len, 60);
	assert_true(session_has_output(p->host.s));
	buf_done(&out);
}

/* --- credit ---------------------------------------------------------------*/

static void a_writer_stops_at_its_credit_and_is_told_of_more(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);

	p->agent.holds = true;
	assert_int_equal(chan_room(ch), CHAN_WINDOW);
	assert_int_equal(chan_write(ch, p->big, BIG, true), CHAN_WINDOW);
	assert_int_equal(chan_room(ch), 0);
	assert_int_equal(chan_write(ch, p->big, 1, true), 0);
	pump(p);
	assert_int_equal(p->agent.n_data, CHAN_WINDOW);
	end_expect(&p->host, "");
	chan_consumed(agents(p, ch), 100000);
	pump(p);
	end_expect(&p->host, "writable 1");
	assert_int_equal(chan_room(ch), 100000);
	/* A fin counts only with all of the bytes. */
	assert_int_equal(chan_write(ch, p->big, 100000, true), 100000);
	pump(p);
	end_expect(
	    &p->agent,
	    "data 1 #65536+; data 1 #65536+; data 1 #65536+; data 1 #65536; "
	    "data 1 #65536+; data 1 #34464; fin 1");
}

static void nobody_is_told_of_room_that_did_not_lack(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);

	for (int i = 0; i < 20; i++) {
		assert_int_equal(chan_write(ch, p->big, 200000, false), 200000);
		pump(p);
	}
	end_expect(&p->host, "");
	assert_int_equal(p->agent.n_data, 20 * 200000);
}

static void a_reader_that_stops_stops_only_its_own_writer(void **state)
{
	struct pair *p = *state;
	struct chan *stopped = open_quietly(p), *going = open_quietly(p);

	p->agent.holds = true;
	assert_int_equal(chan_write(stopped, p->big, BIG, false), CHAN_WINDOW);
	pump(p);
	p->agent.holds = false;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(chan_write(going, p->big, CHAN_WINDOW, false),
				 CHAN_WINDOW);
		pump(p);
		assert_int_equal(chan_room(stopped), 0);
	}
	end_send(stopped, "messages need no credit", false);
	buf_reset(&p->agent.log);
	pump(p);
	end_expect(&p->agent, "msg 1 #23");
	/* All is there still, and goes on. */
	chan_consumed(agents(p, stopped), CHAN_WINDOW);
	pump(p);
	assert_int_equal(chan_room(stopped), CHAN_WINDOW);
}

static void the_window_of_the_peers_hello_is_what_counts(void **state)
{
	const uint32_t windows[] = {0, 1, 100, UINT32_MAX};
	struct pair *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(windows); i++) {
		session_hello(p->host.s, 50 + i);
		assert_int_equal(
		    end_feed_hello(&p->host, PROTO_VERSION, 50 + i, windows[i]),
		    0);
		struct chan *ch = end_open(&p->host, "hi", false);
		size_t want = windows[i] < WINDOW_MAX ? windows[i] : WINDOW_MAX;
		assert_int_equal(chan_room(ch), want);
	}
}

static void data_after_the_peers_fin_needs_no_credit(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);

	p->agent.holds = true;
	chan_write(ch, p->big, 200000, false);
	pump(p);
	chan_consumed(agents(p, ch), 100000);
	assert_true(session_has_output(p->agent.s));
	chan_write(ch, p->big, 10, true);
	struct buf out = {0};
	end_take(&p->host, &out);
	end_feed(&p->agent, buf_data(&out), out.len, 0, NULL);
	chan_consumed(agents(p, ch), 100010);
	end_expect_output(&p->agent, "");
	buf_done(&out);
}

/* --- resets ---------------------------------------------------------------*/

static void a_reset_by_the_host_closes_at_the_agent(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);

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
	struct chan *ch = open_quietly(p);

	chan_write(agents(p, ch), p->big, 100000, false);
	chan_reset(agents(p, ch));
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
	struct chan *ch = open_quietly(p);

	chan_reset(agents(p, ch));
	chan_reset(ch);
	pump(p);
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
	struct chan *ch = open_quietly(p);
	struct buf out = {0};

	chan_write(agents(p, ch), p->big, 200000, false);
	chan_send(agents(p, ch), p->big, 200000, true);
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
		pump(p);
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
	pump(p);
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
		open_quietly(p);
	p->agent.hook = reset_all;
	assert_int_equal(end_feed_hello(&p->agent, PROTO_VERSION, 9, 9), 0);
	end_expect(&p->agent, "closed 1 -104; established 0");
}

static void writable_may_write_and_reset(void **state)
{
	struct pair *p = *state;
	struct chan *ch = open_quietly(p);
	char event[] = "writable";

	p->agent.holds = true;
	chan_write(ch, p->big, BIG, false);
	pump(p);
	p->host.hook = reset_it;
	p->host.hook_ctx = event;
	chan_consumed(agents(p, ch), CHAN_WINDOW);
	buf_reset(&p->agent.log);
	pump(p);
	end_expect(&p->host, "writable 1");
	end_expect(&p->agent, "closed 1 -125");
}

/* --- ids ------------------------------------------------------------------*/

static void ids_go_round_and_skip_those_in_use(void **state)
{
	struct pair *p = *state;
	struct chan *one = open_quietly(p), *two = open_quietly(p);

	assert_int_equal(chan_id(one), 1);
	assert_int_equal(chan_id(two), 2);
	p->host.s->next_id = FRAME_CHANNEL_MAX;
	assert_int_equal(chan_id(end_open(&p->host, "a", false)),
			 FRAME_CHANNEL_MAX);
	assert_int_equal(chan_id(end_open(&p->host, "b", false)), 0);
	assert_int_equal(chan_id(end_open(&p->host, "c", false)), 3);
	pump(p);
	end_expect(
	    &p->agent,
	    "opened 16777215; msg 16777215 a; opened 0; msg 0 b; opened 3; "
	    "msg 3 c");
	/* One that is free again is used again, from the start. */
	chan_write(one, p->big, 1000, true);
	end_send(agents(p, one), "bye", true);
	pump(p);
	buf_reset(&p->agent.log);
	p->host.s->next_id = FRAME_CHANNEL_MAX + 2;
	struct chan *again = end_open(&p->host, "again", false);
	assert_int_equal(chan_id(again), 1);
	assert_int_equal(chan_room(again), CHAN_WINDOW);
	pump(p);
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
	pump(p);
	assert_int_equal(p->agent.n_opened, CHANNELS_MAX);
	/* The reset goes first, so the agent has room for the new one. */
	chan_reset(last);
	assert_non_null(chan_open(p->host.s, "x", 1, false, NULL));
	assert_null(chan_open(p->host.s, "x", 1, false, NULL));
	pump(p);
	assert_int_equal(p->agent.n_opened, CHANNELS_MAX + 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_request_and_its_answer),
	    T(a_fin_may_come_alone),
	    T(closing_waits_for_both_sides_and_the_next_input),
	    T(a_channel_that_waits_to_be_closed_can_be_given_up),
	    T(long_messages_arrive_whole),
	    T(a_message_may_have_any_length_around_a_frame),
	    T(messages_overtake_data_of_other_channels),
	    T(short_messages_overtake_long_ones),
	    T(credit_and_resets_go_before_messages),
	    T(channels_send_data_in_turn),
	    T(order_within_a_channel_is_kept),
	    T(writes_keep_their_borders),
	    T(output_stops_at_the_frame_that_reaches_the_limit),
	    T(a_writer_stops_at_its_credit_and_is_told_of_more),
	    T(nobody_is_told_of_room_that_did_not_lack),
	    T(a_reader_that_stops_stops_only_its_own_writer),
	    T(the_window_of_the_peers_hello_is_what_counts),
	    T(data_after_the_peers_fin_needs_no_credit),
	    T(a_reset_by_the_host_closes_at_the_agent),
	    T(a_reset_by_the_agent_closes_at_the_host),
	    T(resets_may_cross),
	    T(a_channel_reset_before_it_was_sent_never_was),
	    T(a_channel_reset_inside_its_first_message_never_was),
	    T(late_frames_for_a_closed_channel_are_ignored),
	    T(a_channel_may_be_reset_in_each_of_its_callbacks),
	    T(a_long_message_outlives_its_channel_in_the_callback),
	    T(closed_may_take_other_channels_along),
	    T(writable_may_write_and_reset),
	    T(ids_go_round_and_skip_those_in_use),
	    T(frames_for_a_channel_not_sent_yet_are_ignored),
	    T(a_host_opens_no_more_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
