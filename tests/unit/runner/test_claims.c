/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "runner/claims.h"

/* The parent is the other end of a socketpair; events come into a text. */
struct fixture {
	struct loop *loop;
	struct event_sink sink;
	struct buf text;
	struct claims *c;
	int fd[2];
	struct op a;
	struct op b;
};

static void record(struct event_sink *sink, const json_t *ev)
{
	struct fixture *f = CONTAINER_OF(sink, struct fixture, sink);
	const char *const keys[] = {"id", "memory", "cpus", "asks"};

	buf_printf(&f->text, "%s",
		   json_string_value(json_object_get(ev, "event")));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (json_object_get(ev, keys[i]))
			buf_printf(&f->text, " %s=%lld", keys[i],
				   (long long)json_integer_value(
				       json_object_get(ev, keys[i])));
	buf_printf(&f->text, "\n");
}

static int set_up(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	f->loop = loop_new(NULL);
	f->sink.event = record;
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->fd), 0);
	f->c = claims_new(f->loop, &f->sink, f->fd[0]);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	op_done(&f->a);
	op_done(&f->b);
	claims_free(f->c);
	loop_free(f->loop);
	close(f->fd[0]);
	close(f->fd[1]);
	buf_done(&f->text);
	free(f);
	return 0;
}

static void sent(struct fixture *f, const char *want)
{
	buf_append(&f->text, "", 1);
	assert_string_equal((char *)buf_data(&f->text), want);
	buf_reset(&f->text);
}

/* The parent has said already that it is queued. */
static void ask(struct fixture *f, struct op *op, uint64_t memory,
		int64_t deadline_ns)
{
	static const char word[] = "{\"queued\":1}\n{\"queued\":2}\n";

	struct pool_request r = {
	    .amount = {memory, 1}, .what = "VM 'a'", .place = "a.test.lua:1"};

	assert_int_equal(write(f->fd[1], word, sizeof(word) - 1),
			 (ssize_t)sizeof(word) - 1);
	claims_ask(f->c, op, &r, deadline_ns);
}

/* One write each: what the parent's stream looks like is not its frames. */
static void parent(struct fixture *f, const char *bytes)
{
	size_t n = strlen(bytes);

	assert_int_equal(write(f->fd[1], bytes, n), (ssize_t)n);
	loop_poll(f->loop);
}

static void an_ask_is_granted(void **state)
{
	struct fixture *f = *state;

	ask(f, &f->a, 7, CLOCK_NEVER);
	sent(f, "ask id=1 memory=7 cpus=1\n");
	assert_int_equal(claims_pending(f->c), 1);
	parent(f, "{\"answer\"");
	assert_false(op_is_done(&f->a));
	parent(f, ":1}\n");
	assert_true(op_is_done(&f->a));
	assert_int_equal(f->a.result, 0);
	assert_int_equal(claims_pending(f->c), 0);
	claims_give_back(f->c, &(struct pool_amount){7, 1});
	claims_give_back(f->c, &(struct pool_amount){0, 0});
	sent(f, "give_back memory=7 cpus=1\n");
}

static void an_ask_for_which_there_is_room_is_granted_at_once(void **state)
{
	static const char word[] = "{\"answer\":1}\n";
	struct fixture *f = *state;
	struct pool_request r = {.what = "", .place = ""};

	assert_int_equal(write(f->fd[1], word, sizeof(word) - 1),
			 (ssize_t)sizeof(word) - 1);
	claims_ask(f->c, &f->a, &r, CLOCK_NEVER);
	assert_true(op_is_done(&f->a));
	assert_int_equal(f->a.result, 0);
}

static void a_parent_that_is_gone_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct pool_request r = {.what = "", .place = ""};

	shutdown(f->fd[1], SHUT_WR);
	claims_ask(f->c, &f->a, &r, CLOCK_NEVER);
	assert_false(op_is_done(&f->a));
}

static void a_refusal_says_why(void **state)
{
	struct fixture *f = *state;

	ask(f, &f->a, 7, CLOCK_NEVER);
	ask(f, &f->b, 8, CLOCK_NEVER);
	parent(f, "{\"answer\":2,\"refusal\":\"too much\"}\n{\"answer\":1}\n");
	assert_int_equal(f->b.result, -ENOSPC);
	assert_string_equal(f->b.err.text, "too much");
	assert_int_equal(f->a.result, 0);
}

static void an_ask_that_is_given_up_is_withdrawn(void **state)
{
	struct fixture *f = *state;

	ask(f, &f->a, 7, CLOCK_NEVER);
	op_done(&f->a);
	sent(f, "ask id=1 memory=7 cpus=1\nwithdraw id=1\n");
	assert_int_equal(claims_pending(f->c), 0);
	/* The answer was on its way. */
	parent(f, "{\"answer\":1}\n");
	sent(f, "give_back memory=7 cpus=1\n");
	parent(f, "{\"answer\":1}\n");
	sent(f, "");
}

static void an_ask_has_a_deadline(void **state)
{
	struct fixture *f = *state;

	ask(f, &f->a, 7, clock_now_ns());
	assert_int_equal(op_wait(&f->a), -ETIMEDOUT);
	sent(f, "ask id=1 memory=7 cpus=1\nwithdraw id=1\n");
}

static void being_parked_is_told_when_it_is_news(void **state)
{
	struct fixture *f = *state;

	ask(f, &f->a, 7, CLOCK_NEVER);
	sent(f, "ask id=1 memory=7 cpus=1\n");
	claims_park(f->c);
	claims_park(f->c);
	sent(f, "parked asks=1\n");
	ask(f, &f->b, 8, CLOCK_NEVER);
	claims_park(f->c);
	sent(f, "ask id=2 memory=8 cpus=1\nparked asks=2\n");
	parent(f, "{\"answer\":1}\n");
	claims_park(f->c);
	sent(f, "parked asks=1\n");
}

static void nonsense_is_no_answer(void **state)
{
	struct fixture *f = *state;

	ask(f, &f->a, 7, CLOCK_NEVER);
	parent(f, "\n{}\n[1]\n{\"answer\":\"1\"}\n{\"answer\":99}\n\xff\n");
	assert_false(op_is_done(&f->a));
	parent(f, "{\"answer\":1}\n");
	assert_true(op_is_done(&f->a));
}

static void without_a_parent_all_is_granted(void **state)
{
	struct fixture *f = *state;

	claims_free(f->c);
	f->c = claims_new(f->loop, &f->sink, -1);
	ask(f, &f->a, UINT64_MAX, CLOCK_NEVER);
	assert_true(op_is_done(&f->a));
	assert_int_equal(f->a.result, 0);
	claims_give_back(f->c, &(struct pool_amount){7, 1});
	sent(f, "");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_ask_is_granted),
	    TEST(an_ask_for_which_there_is_room_is_granted_at_once),
	    TEST(a_parent_that_is_gone_is_not_waited_for),
	    TEST(a_refusal_says_why),
	    TEST(an_ask_that_is_given_up_is_withdrawn),
	    TEST(an_ask_has_a_deadline),
	    TEST(being_parked_is_told_when_it_is_news),
	    TEST(nonsense_is_no_answer),
	    TEST(without_a_parent_all_is_granted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
