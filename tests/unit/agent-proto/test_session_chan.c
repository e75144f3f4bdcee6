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
#include "tests/unit/agent-proto/lib_pair.h"

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
	pair_pump(p);
	end_expect(&p->agent, "opened 1; msg 1 hi; fin 1");
	assert_null(chan_ctx(pair_agents(p, ch)));
	end_send(pair_agents(p, ch), "there", true);
	pair_pump(p);
	end_expect(&p->host, "msg 1 there; fin 1; closed 1 0");
	end_expect(&p->agent, "closed 1 0");
}

static void a_fin_may_come_alone(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);

	assert_int_equal(chan_write(ch, NULL, 0, true), 0);
	end_expect_output(&p->host, "DATA 1 fin #0");
	assert_int_equal(
	    end_feed_frame(&p->agent, FRAME_DATA, 1, FRAME_FIN, NULL, 0), 0);
	end_expect(&p->agent, "fin 1");
}

static void closing_waits_for_both_sides_and_the_next_input(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);

	end_send(pair_agents(p, ch), "bye", true);
	pair_pump(p);
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
	struct chan *ch = pair_open(p);

	end_send(pair_agents(p, ch), "bye", true);
	pair_pump(p);
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
	struct chan *ch = pair_open(p);

	chan_send(ch, p->big, BIG, false);
	chan_send(ch, "small", 5, true);
	pair_pump(p);
	end_expect(&p->agent, "msg 1 #1048576; msg 1 small; fin 1");
	chan_open(p->host.s, p->big, BIG, true, NULL);
	pair_pump(p);
	end_expect(&p->agent, "opened 2; msg 2 #1048576; fin 2");
}

static void a_message_may_have_any_length_around_a_frame(void **state)
{
	struct pair *p = *state;

	for (size_t n = FRAME_PAYLOAD_MAX - 1; n < FRAME_PAYLOAD_MAX + 2; n++) {
		chan_open(p->host.s, p->big, n, true, NULL);
		pair_pump(p);
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
	struct chan *bulk = pair_open(p), *quick = pair_open(p);
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
	struct chan *slow = pair_open(p), *other = pair_open(p);
	struct chan *quick = pair_open(p);
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

static void channels_are_opened_in_order_however_long_the_messages(void **state)
{
	struct pair *p = *state;
	struct chan *quick = pair_open(p);

	chan_open(p->host.s, p->big, FRAME_PAYLOAD_MAX + 1, true, NULL);
	struct chan *second = end_open(&p->host, "second", false);
	chan_send(second, p->big, FRAME_PAYLOAD_MAX + 2, true);
	end_open(&p->host, "third", true);
	end_send(quick, "first!", true);
	end_expect_output(&p->host,
			  "MSG 1 fin #6; MSG 2 open more #65536; MSG 2 fin #1; "
			  "MSG 3 open #6; MSG 4 open fin #5; "
			  "MSG 3 more #65536; MSG 3 fin #2");
}

static void credit_and_resets_go_before_messages(void **state)
{
	struct pair *p = *state;
	struct chan *a = pair_open(p), *b = pair_open(p);
	struct chan *c = pair_open(p);

	p->host.holds = true;
	chan_write(pair_agents(p, a), p->big, CHAN_WINDOW / 2, false);
	pair_pump(p);
	end_send(b, "message", false);
	chan_consumed(a, CHAN_WINDOW / 2);
	chan_reset(c);
	end_expect_output(&p->host, "RESET 3; CREDIT 1; MSG 2 #7");
}

static void channels_send_data_in_turn(void **state)
{
	struct pair *p = *state;
	struct chan *a = pair_open(p), *b = pair_open(p);

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
	struct chan *ch = pair_open(p);

	chan_write(ch, "one", 3, false);
	end_send(ch, "two", false);
	chan_write(ch, "three", 5, false);
	chan_write(ch, "four", 4, false);
	end_send(ch, "five", true);
	pair_pump(p);
	end_expect(
	    &p->agent,
	    "data 1 one; msg 1 two; data 1 three; data 1 four; msg 1 five; "
	    "fin 1");
}

static void writes_keep_their_borders(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);
	uint8_t marked[40];

	chan_write(ch, p->big, 2 * FRAME_PAYLOAD_MAX + 17, false);
	chan_write(ch, "x", 1, false);
	memset(marked, 'm', sizeof(marked));
	memcpy(marked + 15, hello_marker, HELLO_MARKER);
	chan_write(ch, marked, sizeof(marked), false);
	pair_pump(p);
	end_expect(&p->agent,
		   "data 1 #65536+; data 1 #65536+; data 1 #17; data 1 x; "
		   "data 1 #23+; data 1 #17");
}

static void output_stops_at_the_frame_that_reaches_the_limit(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);
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
	struct chan *ch = pair_open(p);

	p->agent.holds = true;
	assert_int_equal(chan_room(ch), CHAN_WINDOW);
	assert_int_equal(chan_write(ch, p->big, BIG, true), CHAN_WINDOW);
	assert_int_equal(chan_room(ch), 0);
	assert_int_equal(chan_write(ch, p->big, 1, true), 0);
	pair_pump(p);
	assert_int_equal(p->agent.n_data, CHAN_WINDOW);
	end_expect(&p->host, "");
	chan_consumed(pair_agents(p, ch), CHAN_WINDOW / 2);
	pair_pump(p);
	end_expect(&p->host, "writable 1");
	assert_int_equal(chan_room(ch), CHAN_WINDOW / 2);
	/* A fin counts only with all of the bytes. */
	assert_int_equal(chan_write(ch, p->big, CHAN_WINDOW / 2, true),
			 CHAN_WINDOW / 2);
	pair_pump(p);
	/* Eight frames of the first write, four of the second. */
	end_expect(
	    &p->agent,
	    "data 1 #65536+; data 1 #65536+; data 1 #65536+; data 1 #65536+; "
	    "data 1 #65536+; data 1 #65536+; data 1 #65536+; data 1 #65536; "
	    "data 1 #65536+; data 1 #65536+; data 1 #65536+; data 1 #65536; "
	    "fin 1");
}

static void nobody_is_told_of_room_that_did_not_lack(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);

	for (int i = 0; i < 20; i++) {
		assert_int_equal(chan_write(ch, p->big, 200000, false), 200000);
		pair_pump(p);
	}
	end_expect(&p->host, "");
	assert_int_equal(p->agent.n_data, 20 * 200000);
}

static void a_reader_that_stops_stops_only_its_own_writer(void **state)
{
	struct pair *p = *state;
	struct chan *stopped = pair_open(p), *going = pair_open(p);

	p->agent.holds = true;
	assert_int_equal(chan_write(stopped, p->big, BIG, false), CHAN_WINDOW);
	pair_pump(p);
	p->agent.holds = false;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(chan_write(going, p->big, CHAN_WINDOW, false),
				 CHAN_WINDOW);
		pair_pump(p);
		assert_int_equal(chan_room(stopped), 0);
	}
	end_send(stopped, "messages need no credit", false);
	buf_reset(&p->agent.log);
	pair_pump(p);
	end_expect(&p->agent, "msg 1 #23");
	/* All is there still, and goes on. */
	chan_consumed(pair_agents(p, stopped), CHAN_WINDOW);
	pair_pump(p);
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
	struct chan *ch = pair_open(p);

	p->agent.holds = true;
	chan_write(ch, p->big, CHAN_WINDOW / 4 * 3, false);
	pair_pump(p);
	chan_consumed(pair_agents(p, ch), CHAN_WINDOW / 2);
	assert_true(session_has_output(p->agent.s));
	chan_write(ch, p->big, 10, true);
	struct buf out = {0};
	end_take(&p->host, &out);
	end_feed(&p->agent, buf_data(&out), out.len, 0, NULL);
	chan_consumed(pair_agents(p, ch), CHAN_WINDOW / 4 + 10);
	end_expect_output(&p->agent, "");
	buf_done(&out);
}

/* --- data sent past the queues --------------------------------------------*/

/* Feeds the agent what the host said it sends now. */
static size_t send_now(struct pair *p, struct chan *ch, const void *bytes,
		       size_t n)
{
	uint8_t header[FRAME_HEADER];
	size_t taken = chan_write_now(ch, bytes, n, header);

	if (!taken)
		return 0;
	assert_int_equal(end_feed(&p->agent, header, sizeof(header), 0, NULL),
			 0);
	assert_int_equal(end_feed(&p->agent, bytes, taken, 0, NULL), 0);
	return taken;
}

static void data_may_go_past_the_queues(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);

	assert_int_equal(send_now(p, ch, "now", 3), 3);
	end_expect(&p->agent, "data 1 now");
	assert_int_equal(chan_write(ch, "then", 4, true), 4);
	pair_pump(p);
	end_expect(&p->agent, "data 1 then; fin 1");
}

static void what_waits_is_not_overtaken(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);

	chan_write(ch, "first", 5, false);
	assert_int_equal(send_now(p, ch, "now", 3), 0);
	pair_pump(p);
	end_expect(&p->agent, "data 1 first");
	struct chan *other = end_open(&p->host, "hi", true);
	assert_int_equal(send_now(p, ch, "now", 3), 0);
	pair_pump(p);
	end_expect(&p->agent, "opened 2; msg 2 hi; fin 2");
	chan_reset(other);
	assert_int_equal(send_now(p, ch, "now", 3), 0);
	pair_pump(p);
	assert_int_equal(send_now(p, ch, "now", 3), 3);
}

static void what_goes_past_the_queues_is_counted(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);
	size_t sent = 0;

	p->agent.holds = true;
	while (chan_room(ch) >= FRAME_PAYLOAD_MAX)
		sent += send_now(p, ch, p->big, FRAME_PAYLOAD_MAX);
	assert_int_equal(sent, CHAN_WINDOW);
	assert_int_equal(send_now(p, ch, "x", 1), 0);
	assert_int_equal(chan_write(ch, "x", 1, false), 0);
}

static void a_marker_is_cut_there_too(void **state)
{
	struct pair *p = *state;
	struct chan *ch = pair_open(p);
	uint8_t bytes[HELLO_MARKER + 8];

	memset(bytes, 'a', sizeof(bytes));
	memcpy(bytes + 4, hello_marker, HELLO_MARKER);
	size_t taken = send_now(p, ch, bytes, sizeof(bytes));
	assert_int_equal(taken, 4 + HELLO_MARKER / 2);
	chan_write(ch, bytes + taken, sizeof(bytes) - taken, false);
	pair_pump(p);
	assert_int_equal(p->agent.n_data, sizeof(bytes));
	assert_true(session_is_established(p->agent.s));
	assert_non_null(strchr((char *)buf_data(&p->agent.log), '+'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PAIR_TEST(a_request_and_its_answer),
	    PAIR_TEST(a_fin_may_come_alone),
	    PAIR_TEST(data_may_go_past_the_queues),
	    PAIR_TEST(what_waits_is_not_overtaken),
	    PAIR_TEST(what_goes_past_the_queues_is_counted),
	    PAIR_TEST(a_marker_is_cut_there_too),
	    PAIR_TEST(closing_waits_for_both_sides_and_the_next_input),
	    PAIR_TEST(a_channel_that_waits_to_be_closed_can_be_given_up),
	    PAIR_TEST(long_messages_arrive_whole),
	    PAIR_TEST(a_message_may_have_any_length_around_a_frame),
	    PAIR_TEST(messages_overtake_data_of_other_channels),
	    PAIR_TEST(short_messages_overtake_long_ones),
	    PAIR_TEST(channels_are_opened_in_order_however_long_the_messages),
	    PAIR_TEST(credit_and_resets_go_before_messages),
	    PAIR_TEST(channels_send_data_in_turn),
	    PAIR_TEST(order_within_a_channel_is_kept),
	    PAIR_TEST(writes_keep_their_borders),
	    PAIR_TEST(output_stops_at_the_frame_that_reaches_the_limit),
	    PAIR_TEST(a_writer_stops_at_its_credit_and_is_told_of_more),
	    PAIR_TEST(nobody_is_told_of_room_that_did_not_lack),
	    PAIR_TEST(a_reader_that_stops_stops_only_its_own_writer),
	    PAIR_TEST(the_window_of_the_peers_hello_is_what_counts),
	    PAIR_TEST(data_after_the_peers_fin_needs_no_credit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
