/* SPDX-License-Identifier: MIT */
/* Calls: what agents answer, and what hostile ones do instead. */
#include "streams/client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "tests/unit/streams/client_fixture.h"

/* --- the script: what STAT asks for is how it is answered ------------------
 */

struct manner {
	const char *path;
	void (*act)(struct fake_agent *a, struct chan *ch);
};

static void answer_honest(struct fake_agent *a, struct chan *ch)
{
	const struct msg m = {.type = MSG_FILE_STATUS,
			      .file_status = {.size = 5, .mode = 0100644}};

	fake_reply(a, ch, &m, true);
}

static void answer_wrong_type(struct fake_agent *a, struct chan *ch)
{
	fake_done(a, ch, 1, true);
}

static void answer_request(struct fake_agent *a, struct chan *ch)
{
	const struct msg m = msg_ping(1);

	fake_reply(a, ch, &m, true);
}

static void answer_twice(struct fake_agent *a, struct chan *ch)
{
	const struct msg m = {.type = MSG_FILE_STATUS};

	fake_reply(a, ch, &m, false);
	fake_reply(a, ch, &m, true);
}

static void answer_after_error(struct fake_agent *a, struct chan *ch)
{
	const struct msg e = {.type = MSG_ERROR,
			      .error = {.errnum = EIO, .text = "first"}};

	fake_reply(a, ch, &e, false);
	answer_honest(a, ch);
}

static void answer_garbage(struct fake_agent *a, struct chan *ch)
{
	(void)a;
	chan_send(ch, "\xff\xff\xff", 3, true);
}

static void answer_fin(struct fake_agent *a, struct chan *ch)
{
	fake_data(a, ch, NULL, 0, true);
}

static void answer_data_first(struct fake_agent *a, struct chan *ch)
{
	fake_data(a, ch, "x", 1, false);
	answer_honest(a, ch);
}

static void answer_reset(struct fake_agent *a, struct chan *ch)
{
	(void)a;
	chan_reset(ch);
}

static void answer_error(struct fake_agent *a, struct chan *ch)
{
	fake_error(a, ch, ENOENT, "stat '/gone': No such file");
}

static void answer_errno_zero(struct fake_agent *a, struct chan *ch)
{
	fake_error(a, ch, 0, "success?");
}

static void answer_errno_negative(struct fake_agent *a, struct chan *ch)
{
	fake_error(a, ch, -ENOENT, "minus");
}

static void answer_errno_huge(struct fake_agent *a, struct chan *ch)
{
	fake_error(a, ch, INT32_MAX, "huge");
}

static void answer_error_ugly(struct fake_agent *a, struct chan *ch)
{
	fake_error(a, ch, EIO, "a\x1b[2J\nb\xff");
}

static void answer_error_mute(struct fake_agent *a, struct chan *ch)
{
	fake_error(a, ch, ENOENT, "");
}

static void answer_error_long(struct fake_agent *a, struct chan *ch)
{
	char *text = mem_alloc(100001);

	memset(text, 'x', 100000);
	text[100000] = '\0';
	fake_error(a, ch, EIO, text);
	free(text);
}

static const struct manner manners[] = {
    {"honest", answer_honest},
    {"wrong type", answer_wrong_type},
    {"request", answer_request},
    {"twice", answer_twice},
    {"after error", answer_after_error},
    {"garbage", answer_garbage},
    {"fin", answer_fin},
    {"data first", answer_data_first},
    {"reset", answer_reset},
    {"error", answer_error},
    {"errno 0", answer_errno_zero},
    {"errno -2", answer_errno_negative},
    {"errno huge", answer_errno_huge},
    {"error ugly", answer_error_ugly},
    {"error mute", answer_error_mute},
    {"error long", answer_error_long},
};

/* READ_FILE "N": DONE N, then N bytes; "error N": an ERROR after N bytes. */
struct sending {
	size_t left;
	bool fail;
};

static char zeros[65536];
static struct sending sendings[4];
static size_t n_sendings;

static void send_more(struct fake_agent *a, struct chan *ch)
{
	struct sending *s = chan_ctx(ch);

	while (s->left) {
		size_t want = s->left < sizeof(zeros) ? s->left : sizeof(zeros);
		size_t n =
		    fake_data(a, ch, zeros, want, want == s->left && !s->fail);
		s->left -= n;
		if (n < want)
			return;
	}
	if (s->fail)
		fake_error(a, ch, EIO, "read: the disk is gone");
}

static void on_read_file(struct fake_agent *a, struct chan *ch,
			 const char *path)
{
	assert_true(n_sendings < ARRAY_LEN(sendings));
	struct sending *s = &sendings[n_sendings++];

	s->fail = !strncmp(path, "error ", 6);
	s->left = strtoul(path + (s->fail ? 6 : 0), NULL, 10);
	chan_set_ctx(ch, s);
	fake_done(a, ch, (int64_t)s->left, false);
	send_more(a, ch);
}

static void on_request(struct fake_agent *a, struct chan *ch,
		       const struct msg *m)
{
	if (m->type == MSG_PING)
		fake_done(a, ch, m->ping.value, true);
	if (m->type == MSG_READ_FILE)
		on_read_file(a, ch, m->read_file.path);
	if (m->type == MSG_WRITE_FILE)
		chan_set_ctx(ch, zeros);
	for (size_t i = 0; m->type == MSG_STAT && i < ARRAY_LEN(manners); i++)
		if (!strcmp(m->stat.path, manners[i].path))
			manners[i].act(a, ch);
}

/* WRITE_FILE is answered when all has come. */
static void on_finished(struct fake_agent *a, struct chan *ch)
{
	if (chan_ctx(ch) == zeros)
		fake_done(a, ch, (int64_t)a->data_bytes, true);
}

/* Data that the test itself consumes, later. */
static bool is_lazy;
static struct chan *lazy_chan;

static void on_data(struct fake_agent *a, struct chan *ch, const uint8_t *p,
		    size_t n)
{
	(void)a;
	(void)p;
	if (is_lazy)
		lazy_chan = ch;
	else
		chan_consumed(ch, n);
}

static const struct fake_script script = {
    .data = on_data,
    .request = on_request,
    .finished = on_finished,
    .writable = send_more,
};

/* --- the tests --------------------------------------------------------------
 */

static int setup(void **state)
{
	n_sendings = 0;
	*state = fixture_new(&script);
	return 0;
}

/* One STAT answered in the manner of path, in a session that lives on. */
static void check(struct fixture *f, const char *path, int result,
		  const char *text)
{
	const struct msg m = msg_stat_of(path);
	struct call *call = fixture_call(f, &m);

	int r = op_wait(&call->op);
	if (r != result || (text && !strstr(call->op.err.text, text)))
		fail_msg("%s: %d \"%s\"", path, r, call->op.err.text);
	call_free(call);
	fixture_check_ping(f);
	assert_int_equal(0, f->losses);
}

static void call_gives_the_reply(void **state)
{
	const struct msg m = msg_stat_of("honest");
	struct call *call = fixture_call(*state, &m);

	assert_int_equal(0, op_wait(&call->op));
	assert_int_equal(MSG_FILE_STATUS, call->reply.type);
	assert_int_equal(5, call->reply.file_status.size);
	assert_int_equal(0, call->data.len);
	call_free(call);
}

static void guest_errors_keep_number_and_text(void **state)
{
	check(*state, "error", -ENOENT, "stat '/gone': No such file");
	check(*state, "error mute", -ENOENT, strerror(ENOENT));
}

static void guest_errors_out_of_range_are_protocol_errors(void **state)
{
	check(*state, "errno 0", -EPROTO, "success?");
	check(*state, "errno -2", -EPROTO, "minus");
	check(*state, "errno huge", -EPROTO, "huge");
}

static void guest_texts_are_escaped_and_bounded(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_stat_of("error long");

	check(f, "error ugly", -EIO, "a\\x1b[2J\\nb\\xff");
	struct call *call = fixture_call(f, &m);
	assert_int_equal(-EIO, op_wait(&call->op));
	assert_true(strlen(call->op.err.text) <= 1024);
	assert_true(strlen(call->op.err.text) > 100);
	call_free(call);
}

static void answers_that_are_none_fail_that_call_only(void **state)
{
	check(*state, "wrong type", -EPROTO, "STAT was answered by DONE");
	check(*state, "request", -EPROTO, "STAT was answered by PING");
	check(*state, "twice", -EPROTO, "STAT was answered twice");
	check(*state, "after error", -EPROTO, "after its ERROR");
	check(*state, "garbage", -EPROTO, "STAT was answered by garbage");
	check(*state, "fin", -EPROTO, "STAT was not answered");
	check(*state, "data first", -EPROTO, "data where none belongs");
	check(*state, "reset", -EPROTO, "dropped a request");
	check(*state, "honest", 0, NULL);
}

static void data_is_collected(void **state)
{
	const struct msg m = msg_read_of("100000");
	struct call *call = fixture_call(*state, &m);

	assert_int_equal(0, op_wait(&call->op));
	assert_int_equal(100000, call->reply.done.value);
	assert_int_equal(100000, call->data.len);
	call_free(call);
}

static void data_of_64_mib_is_collected_within_the_window(void **state)
{
	const struct msg m = msg_read_of("67108864");
	struct call *call = fixture_call(*state, &m);

	assert_int_equal(0, op_wait(&call->op));
	assert_int_equal(67108864, call->data.len);
	call_free(call);
}

static void data_past_the_limit_is_an_error_and_stops_the_agent(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_read_of("10000000");
	struct call *call = call_new(f->client);

	call->max_data = 300000;
	call_start(call, &m, NULL, 0, clock_deadline_ns(FIXTURE_PATIENCE_NS));
	assert_int_equal(-EFBIG, op_wait(&call->op));
	assert_non_null(strstr(call->op.err.text, "more than 300000 bytes"));
	assert_true(call->data.len <= 300000);
	call_free(call);
	fixture_check_ping(f);
	assert_int_equal(1, f->agent->resets);
}

static void an_error_after_data_fails_the_call(void **state)
{
	const struct msg m = msg_read_of("error 5000");
	struct call *call = fixture_call(*state, &m);

	assert_int_equal(-EIO, op_wait(&call->op));
	assert_string_equal("read: the disk is gone", call->op.err.text);
	call_free(call);
	fixture_check_ping(*state);
}

static void a_body_is_sent_whole(void **state)
{
	struct fixture *f = *state;
	const struct msg m = {.type = MSG_WRITE_FILE, .write_file.path = "/x"};
	size_t n = 5000001;
	uint8_t *body = mem_zalloc(n);
	struct call *call = call_new(f->client);

	call_start(call, &m, body, n, clock_deadline_ns(FIXTURE_PATIENCE_NS));
	assert_int_equal(0, op_wait(&call->op));
	assert_int_equal(n, call->reply.done.value);
	assert_int_equal(n, f->agent->data_bytes);
	call_free(call);
	free(body);
}

static void a_slow_reader_holds_back_the_body(void **state)
{
	struct fixture *f = *state;
	const struct msg m = {.type = MSG_WRITE_FILE, .write_file.path = "/x"};
	size_t n = 2000000;
	uint8_t *body = mem_zalloc(n);
	struct call *call = call_new(f->client);
	uint64_t seen = 0;

	lazy_chan = NULL;
	is_lazy = true;
	call_start(call, &m, body, n, clock_deadline_ns(FIXTURE_PATIENCE_NS));
	while (seen < n) {
		fixture_settle(f);
		/* The window, and no more, however long it takes. */
		uint64_t unread = f->agent->data_bytes - seen;
		assert_true(unread > 0 && unread <= CHAN_WINDOW);
		assert_true(call->body_sent <= seen + CHAN_WINDOW);
		fixture_check_ping(f);
		seen += unread;
		if (seen < n) /* else it is answered, and gone */
			fake_consumed(f->agent, lazy_chan, unread);
	}
	assert_int_equal(0, op_wait(&call->op));
	assert_int_equal(n, call->reply.done.value);
	call_free(call);
	free(body);
	is_lazy = false;
}

static void a_thousand_calls_leave_in_few_writes(void **state)
{
	struct fixture *f = *state;
	struct call *calls[1000];
	unsigned reads = f->agent->reads;

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		const struct msg m = msg_ping((int64_t)i);
		calls[i] = fixture_call(f, &m);
	}
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		assert_int_equal(0, op_wait(&calls[i]->op));
		assert_int_equal(i, calls[i]->reply.done.value);
		call_free(calls[i]);
	}
	assert_true(f->agent->reads - reads < 20);
}

static void too_many_calls_are_refused_with_a_reason(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_stat_of("never answered");
	struct call **calls = mem_zalloc(sizeof(*calls) * (CHANNELS_MAX + 1));

	for (size_t i = 0; i <= CHANNELS_MAX; i++)
		calls[i] = fixture_call(f, &m);
	assert_true(op_is_done(&calls[CHANNELS_MAX]->op));
	assert_int_equal(-EMFILE, calls[CHANNELS_MAX]->op.result);
	assert_false(op_is_done(&calls[CHANNELS_MAX - 1]->op));
	for (size_t i = 0; i <= CHANNELS_MAX; i++)
		call_free(calls[i]);
	free(calls);
	fixture_check_ping(f);
}

static void a_request_that_is_too_large_is_refused(void **state)
{
	struct fixture *f = *state;
	char *path = mem_alloc(MSG_MAX + 1);

	memset(path, 'x', MSG_MAX);
	path[MSG_MAX] = '\0';
	const struct msg m = msg_stat_of(path);
	struct call *call = fixture_call(f, &m);
	assert_true(op_is_done(&call->op));
	assert_int_equal(-EMSGSIZE, call->op.result);
	call_free(call);
	free(path);
	fixture_check_ping(f);
}

static void deadline_ends_a_call_that_nobody_answers(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_stat_of("never answered");
	struct call *call = call_new(f->client);
	int64_t due = clock_deadline_ns(20 * NS_PER_MS);

	call_start(call, &m, NULL, 0, due);
	assert_int_equal(-ETIMEDOUT, op_wait(&call->op));
	assert_true(clock_now_ns() >= due);
	assert_string_equal("timed out", call->op.err.text);
	call_free(call);
	fixture_check_ping(f);
	assert_int_equal(1, f->agent->resets);
}

static void an_answer_to_a_freed_call_is_dropped(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_read_of("10000000");
	struct call *call = fixture_call(f, &m);

	while (!call->data.len)
		loop_turn(f->loop);
	call_free(call);
	fixture_check_ping(f);
	assert_int_equal(1, f->agent->resets);
}

static void a_call_may_be_freed_before_it_was_sent(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_stat_of("honest");
	unsigned requests = f->agent->requests;

	call_free(fixture_call(f, &m));
	fixture_check_ping(f);
	assert_int_equal(1, f->agent->requests - requests);
	call_free(call_new(f->client));
	assert_null(call_free(NULL));
}

static void on_done_free(struct op *op, void *ctx)
{
	call_free(CONTAINER_OF(op, struct call, op));
	*(bool *)ctx = true;
}

static void a_call_may_be_freed_by_its_waiter(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = {"honest", "error", "garbage",
					    "reset"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		const struct msg m = msg_stat_of(paths[i]);
		struct call *call = fixture_call(f, &m);
		bool done = false;

		call->op.on_done = on_done_free;
		call->op.done_ctx = &done;
		fixture_until(f, &done);
	}
	fixture_check_ping(f);
}

static void a_posted_request_needs_no_answer(void **state)
{
	struct fixture *f = *state;
	const struct msg m = msg_stat_of("honest");
	const struct msg n = msg_read_of("1000000");

	client_post(f->client, &m);
	client_post(f->client, &n);
	fixture_check_ping(f);
	assert_int_equal(3, f->agent->requests);
	assert_int_equal(0, f->losses);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_free)
static const struct CMUnitTest tests[] = {
    TEST(call_gives_the_reply),
    TEST(guest_errors_keep_number_and_text),
    TEST(guest_errors_out_of_range_are_protocol_errors),
    TEST(guest_texts_are_escaped_and_bounded),
    TEST(answers_that_are_none_fail_that_call_only),
    TEST(data_is_collected),
    TEST(data_of_64_mib_is_collected_within_the_window),
    TEST(data_past_the_limit_is_an_error_and_stops_the_agent),
    TEST(an_error_after_data_fails_the_call),
    TEST(a_body_is_sent_whole),
    TEST(a_slow_reader_holds_back_the_body),
    TEST(a_thousand_calls_leave_in_few_writes),
    TEST(too_many_calls_are_refused_with_a_reason),
    TEST(a_request_that_is_too_large_is_refused),
    TEST(deadline_ends_a_call_that_nobody_answers),
    TEST(an_answer_to_a_freed_call_is_dropped),
    TEST(a_call_may_be_freed_before_it_was_sent),
    TEST(a_call_may_be_freed_by_its_waiter),
    TEST(a_posted_request_needs_no_answer),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
