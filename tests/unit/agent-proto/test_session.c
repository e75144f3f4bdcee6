/* SPDX-License-Identifier: MIT */
/* How a session begins, and begins again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "agent-proto/session.h"
#include "tests/unit/agent-proto/lib_end.h"
#include "tests/unit/agent-proto/lib_rnd.h"

static void hellos_establish_a_session(void **state)
{
	struct end host, agent;

	(void)state;
	end_init(&host, SESSION_HOST, 0);
	end_init(&agent, SESSION_AGENT, 99);
	assert_false(session_has_output(agent.s));
	assert_null(end_open(&host, "too early", true));
	session_hello(host.s, 42);
	assert_false(session_is_established(host.s));
	assert_null(end_open(&host, "too early", true));
	end_pump(&host, &agent);
	assert_true(session_is_established(host.s));
	assert_true(session_is_established(agent.s));
	end_expect(&host, "established 99");
	end_expect(&agent, "established 0");
	assert_non_null(end_open(&host, "now", true));
	end_done(&host);
	end_done(&agent);
}

static void an_agent_is_silent_until_a_hello(void **state)
{
	struct end agent;

	(void)state;
	end_init(&agent, SESSION_AGENT, 1);
	assert_int_equal(
	    end_feed_frame(&agent, FRAME_MSG, 1, FRAME_OPEN, "hi", 2), 0);
	assert_int_equal(end_feed(&agent, "noise", 5, 1, NULL), 0);
	end_expect(&agent, "");
	end_expect_output(&agent, "");
	assert_int_equal(end_feed_hello(&agent, PROTO_VERSION, 5, 1), 0);
	end_expect(&agent, "established 0");
	end_expect_output(&agent, "HELLO");
	end_done(&agent);
}

static void an_idle_host_drops_what_comes(void **state)
{
	struct end host;

	(void)state;
	end_init(&host, SESSION_HOST, 0);
	assert_int_equal(end_feed_hello(&host, PROTO_VERSION, 0, 1), 0);
	assert_int_equal(end_feed(&host, "noise", 5, 0, NULL), 0);
	end_expect(&host, "");
	end_done(&host);
}

static void a_host_reports_an_agent_of_another_version(void **state)
{
	struct hello h = {
	    .version = PROTO_VERSION + 1, .nonce = 3, .window = 1};
	uint8_t b[HELLO_SIZE];
	struct end host;
	struct err err;

	(void)state;
	end_init(&host, SESSION_HOST, 0);
	session_hello(host.s, 3);
	hello_encode(&h, b);
	assert_int_equal(end_feed(&host, b, sizeof(b), 0, &err), -EPROTO);
	assert_int_equal(err.code, -EPROTO);
	CLEANUP(free_ptr)
	char *want = mem_printf("agent speaks protocol %u, this provium speaks "
				"%u: rebuild the guest with this provium",
				PROTO_VERSION + 1, PROTO_VERSION);
	assert_string_equal(err.text, want);
	assert_false(session_is_established(host.s));
	end_expect(&host, "");
	end_done(&host);
}

static void an_agent_answers_a_host_of_another_version_and_waits(void **state)
{
	struct end agent;

	(void)state;
	end_init(&agent, SESSION_AGENT, 1);
	assert_int_equal(end_feed_hello(&agent, 7, 3, 1), 0);
	assert_false(session_is_established(agent.s));
	end_expect_output(&agent, "HELLO");
	assert_int_equal(
	    end_feed_frame(&agent, FRAME_MSG, 1, FRAME_OPEN, "hi", 2), 0);
	end_expect(&agent, "");
	assert_int_equal(end_feed_hello(&agent, PROTO_VERSION, 4, 1), 0);
	end_expect(&agent, "established 0");
	end_done(&agent);
}

static void a_hello_of_another_version_closes_the_channels(void **state)
{
	struct end host, agent;

	(void)state;
	end_connect(&host, &agent);
	end_open(&host, "hi", false);
	end_pump(&host, &agent);
	end_expect(&agent, "opened 1; msg 1 hi");
	assert_int_equal(end_feed_hello(&agent, 7, 3, 1), 0);
	end_expect(&agent, "closed 1 -104");
	end_done(&host);
	end_done(&agent);
}

static void an_answer_with_another_nonce_is_dropped(void **state)
{
	struct end host;

	(void)state;
	end_init(&host, SESSION_HOST, 0);
	session_hello(host.s, 3);
	assert_int_equal(end_feed_hello(&host, PROTO_VERSION, 2, 1), 0);
	/* Not even its version is of interest. */
	assert_int_equal(end_feed_hello(&host, 7, 2, 1), 0);
	assert_false(session_is_established(host.s));
	assert_int_equal(end_feed_frame(&host, FRAME_MSG, 1, 0, "old", 3), 0);
	assert_int_equal(end_feed_hello(&host, PROTO_VERSION, 3, 1), 0);
	end_expect(&host, "established 0");
	end_done(&host);
}

static void a_new_session_closes_all_channels_of_the_old(void **state)
{
	struct end host, agent;

	(void)state;
	end_connect(&host, &agent);
	struct chan *one = end_open(&host, "one", false);
	end_open(&host, "two", true);
	end_pump(&host, &agent);
	end_expect(&agent, "opened 1; msg 1 one; opened 2; msg 2 two; fin 2");
	chan_write(one, "lost", 4, true);
	session_hello(host.s, 2);
	/* It is told with the next input, and harmless until then. */
	end_expect(&host, "");
	assert_int_equal(chan_room(one), 0);
	assert_int_equal(chan_write(one, "x", 1, false), 0);
	chan_send(one, "x", 1, false);
	end_expect_output(&host, "HELLO");
	session_hello(host.s, 3);
	end_pump(&host, &agent);
	end_expect(&agent, "closed 1 -104; closed 2 -104; established 0");
	end_expect(&host, "closed 1 -104; closed 2 -104; established 77");
	assert_non_null(end_open(&host, "again", true));
	end_pump(&host, &agent);
	end_expect(&agent, "opened 3; msg 3 again; fin 3");
	end_done(&host);
	end_done(&agent);
}

static void a_channel_given_up_is_not_told_closed_by_a_new_session(void **state)
{
	struct end host, agent;

	(void)state;
	end_connect(&host, &agent);
	struct chan *ch = end_open(&host, "one", false);
	end_pump(&host, &agent);
	session_hello(host.s, 2);
	chan_reset(ch);
	end_pump(&host, &agent);
	end_expect(&host, "established 77");
	end_done(&host);
	end_done(&agent);
}

static void hello_again(struct end *e, const char *event, struct chan *ch)
{
	unsigned *times = e->hook_ctx;

	(void)ch;
	if (strncmp(event, "msg", 3) != 0 && strncmp(event, "closed", 6) != 0)
		return;
	if (*times)
		session_hello(e->s, 100 + (*times)--);
}

static void a_host_may_begin_anew_from_a_callback(void **state)
{
	struct end host, agent;
	unsigned times = 2;

	(void)state;
	end_connect(&host, &agent);
	host.hook = hello_again;
	host.hook_ctx = &times;
	end_open(&host, "one", true);
	end_open(&host, "two", true);
	end_pump(&host, &agent);
	end_send(agent.chans[1], "reply", true);
	end_send(agent.chans[2], "never heard", true);
	end_pump(&host, &agent);
	end_expect(&host,
		   "msg 1 reply; closed 1 -104; closed 2 -104; established 77");
	assert_int_equal(times, 0);
	end_done(&host);
	end_done(&agent);
}

/* --- resynchronisation ----------------------------------------------------*/

/* The host's part of one round of the recording. */
static void record_host(struct end *host, struct rnd *r, int round)
{
	uint8_t bulk[200];
	struct chan *ch = end_open(host, "request", round % 2);

	rnd_fill_markers(r, bulk, sizeof(bulk));
	if (ch && round % 2 == 0)
		chan_write(ch, bulk, sizeof(bulk), round == 2);
	if (round == 5)
		chan_reset(host->chans[4]);
}

static void record_agent(struct end *agent, struct rnd *r, int round)
{
	uint8_t bulk[150];
	struct chan *ch = agent->chans[round];

	rnd_fill_markers(r, bulk, sizeof(bulk));
	if (!ch)
		return;
	chan_send(ch, bulk, 100, false);
	chan_write(ch, bulk, sizeof(bulk), round % 2);
	if (round == 6)
		chan_reset(ch);
}

/* Credit comes in portions too large for a recording: a small one by hand,
 * late for its channel. */
static void record_credit(struct buf *out, uint32_t id)
{
	struct frame f = {.kind = FRAME_CREDIT, .channel = id, .length = 4};

	frame_encode(&f, buf_room(out, FRAME_HEADER));
	buf_commit(out, FRAME_HEADER);
	buf_append(out, "\x09\0\0\0", 4);
}

/* Something of everything, in both directions, recorded. */
static void record(struct buf *to_agent, struct buf *to_host)
{
	struct end host, agent;
	struct rnd r;

	rnd_init(&r, 11);
	end_init(&host, SESSION_HOST, 0);
	end_init(&agent, SESSION_AGENT, 77);
	session_hello(host.s, 1);
	for (int round = 0; round < 8; round++) {
		size_t a = to_agent->len, h = to_host->len;
		record_host(&host, &r, round);
		end_take(&host, to_agent);
		if (round > 3)
			record_credit(to_agent, 4000);
		end_feed(&agent, buf_data(to_agent) + a, to_agent->len - a, 0,
			 NULL);
		record_agent(&agent, &r, round);
		end_take(&agent, to_host);
		end_feed(&host, buf_data(to_host) + h, to_host->len - h, 0,
			 NULL);
	}
	assert_int_equal(host.n_established, 1);
	assert_int_equal(agent.n_opened, 7);
	end_done(&host);
	end_done(&agent);
}

/* What of the log is after the last "established". */
static const char *since_established(struct end *e)
{
	const char *at = NULL, *next;

	buf_append(&e->log, "", 1);
	next = (const char *)buf_data(&e->log);
	while ((next = strstr(next, "established")))
		at = next++;
	return at ? at : "";
}

static void hello_then_request(struct buf *out)
{
	struct hello h = {.version = PROTO_VERSION, .nonce = 2, .window = 9};
	struct frame f = {
	    .kind = FRAME_MSG,
	    .channel = 200,
	    .length = 3,
	    .flags = FRAME_OPEN | FRAME_FIN,
	};

	hello_encode(&h, buf_room(out, HELLO_SIZE));
	buf_commit(out, HELLO_SIZE);
	frame_encode(&f, buf_room(out, FRAME_HEADER));
	buf_commit(out, FRAME_HEADER);
	buf_append(out, "new", 3);
}

static void cut_and_hello_agent(const struct buf *old, size_t cut, size_t split)
{
	struct buf bytes = {0};
	struct end agent;

	end_init(&agent, SESSION_AGENT, 77);
	buf_append(&bytes, buf_data(old), cut);
	hello_then_request(&bytes);
	int ret = end_feed(&agent, buf_data(&bytes), bytes.len, split, NULL);
	/* In one read, not even the frame that was cut is noticed. */
	if (!split)
		assert_int_equal(ret, 0);
	else
		assert_true(ret == 0 || ret == -EPROTO);
	assert_string_equal(since_established(&agent),
			    "established 0; opened 200; msg 200 new; fin 200");
	assert_int_equal(agent.n_closed, agent.n_opened - 1);
	assert_true(session_is_established(agent.s));
	buf_reset(&bytes);
	end_take(&agent, &bytes);
	/* Whatever it still had to say to the old session is gone. */
	assert_int_equal(bytes.len, HELLO_SIZE);
	buf_done(&bytes);
	end_done(&agent);
}

static void an_agent_finds_a_hello_at_any_byte(void **state)
{
	struct buf to_agent = {0}, to_host = {0};

	(void)state;
	record(&to_agent, &to_host);
	assert_true(to_agent.len > 700);
	for (size_t cut = 0; cut <= to_agent.len; cut++) {
		cut_and_hello_agent(&to_agent, cut, 0);
		cut_and_hello_agent(&to_agent, cut, 1);
		cut_and_hello_agent(&to_agent, cut, 7);
		cut_and_hello_agent(&to_agent, cut, 15 + cut % 40);
	}
	buf_done(&to_agent);
	buf_done(&to_host);
}

static void cut_and_hello_host(const struct buf *old, size_t cut, size_t split)
{
	struct buf bytes = {0};
	struct end host;

	end_init(&host, SESSION_HOST, 0);
	session_hello(host.s, 2);
	buf_append(&bytes, buf_data(old), cut);
	hello_then_request(&bytes);
	/* What follows the HELLO is for no channel of ours: take it away. */
	bytes.len -= FRAME_HEADER + 3;
	assert_int_equal(
	    end_feed(&host, buf_data(&bytes), bytes.len, split, NULL), 0);
	end_expect(&host, "established 0");
	buf_done(&bytes);
	end_done(&host);
}

static void a_host_finds_the_answer_behind_any_rest(void **state)
{
	struct buf to_agent = {0}, to_host = {0};

	(void)state;
	record(&to_agent, &to_host);
	assert_true(to_host.len > 1000);
	for (size_t cut = 0; cut <= to_host.len; cut++) {
		cut_and_hello_host(&to_host, cut, 0);
		cut_and_hello_host(&to_host, cut, 1);
		cut_and_hello_host(&to_host, cut, 15 + cut % 40);
	}
	buf_done(&to_agent);
	buf_done(&to_host);
}

static void a_hello_cut_off_by_a_hello_is_dropped(void **state)
{
	struct hello h = {.version = PROTO_VERSION, .nonce = 1, .window = 9};
	struct buf bytes = {0};
	uint8_t first[HELLO_SIZE];
	struct end agent;

	(void)state;
	hello_encode(&h, first);
	end_init(&agent, SESSION_AGENT, 77);
	for (size_t cut = 0; cut < HELLO_SIZE; cut++) {
		buf_reset(&bytes);
		buf_append(&bytes, first, cut);
		hello_then_request(&bytes);
		end_feed(&agent, buf_data(&bytes), bytes.len, 0, NULL);
		assert_int_equal(agent.n_established, cut + 1);
	}
	buf_done(&bytes);
	end_done(&agent);
}

static void the_split_of_the_bytes_does_not_matter(void **state)
{
	struct buf to_agent = {0}, to_host = {0}, want = {0};
	struct end agent;

	(void)state;
	record(&to_agent, &to_host);
	end_init(&agent, SESSION_AGENT, 77);
	for (size_t split = 0; split < 100; split++) {
		end_restart(&agent);
		assert_int_equal(end_feed(&agent, buf_data(&to_agent),
					  to_agent.len, split, NULL),
				 0);
		if (!split)
			buf_append(&want, buf_data(&agent.log), agent.log.len);
		assert_int_equal(agent.log.len, want.len);
		assert_memory_equal(buf_data(&agent.log), buf_data(&want),
				    want.len);
	}
	end_done(&agent);
	buf_done(&to_agent);
	buf_done(&to_host);
	buf_done(&want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hellos_establish_a_session),
	    cmocka_unit_test(an_agent_is_silent_until_a_hello),
	    cmocka_unit_test(an_idle_host_drops_what_comes),
	    cmocka_unit_test(a_host_reports_an_agent_of_another_version),
	    cmocka_unit_test(
		an_agent_answers_a_host_of_another_version_and_waits),
	    cmocka_unit_test(a_hello_of_another_version_closes_the_channels),
	    cmocka_unit_test(an_answer_with_another_nonce_is_dropped),
	    cmocka_unit_test(a_new_session_closes_all_channels_of_the_old),
	    cmocka_unit_test(
		a_channel_given_up_is_not_told_closed_by_a_new_session),
	    cmocka_unit_test(a_host_may_begin_anew_from_a_callback),
	    cmocka_unit_test(an_agent_finds_a_hello_at_any_byte),
	    cmocka_unit_test(a_host_finds_the_answer_behind_any_rest),
	    cmocka_unit_test(a_hello_cut_off_by_a_hello_is_dropped),
	    cmocka_unit_test(the_split_of_the_bytes_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
