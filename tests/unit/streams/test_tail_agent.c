/* SPDX-License-Identifier: MIT */
/* Tails over the real client and the real agent program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "streams/tail.h"
#include "tests/unit/streams/lib_real_agent.h"
#include "tests/unit/streams/lib_source.h"
#include "tests/unit/tmp.h"

#define WAIT_NS (60 * NS_PER_SEC)

struct guest {
	struct loop *loop;
	struct client *client;
	pid_t agent;
	char path[TMP_PATH_MAX];
	struct stream_list list;
	struct op hello;
};

static const struct stream_label label = {.kind = "tail_file",
					  .detail = "file"};

/* The cause is known at once here: it is the loss itself. */
static void on_lost(void *ctx, const struct err *err)
{
	struct guest *g = ctx;

	client_fail(g->client, err);
}

static int set_up(void **state)
{
	struct guest *g = mem_zalloc(sizeof(*g));
	struct err err;
	int sv[2];

	TAILQ_INIT(&g->list);
	tmp_template(g->path);
	close(mkstemp(g->path));
	g->loop = loop_new(&err);
	assert_non_null(g->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv),
			 0);
	g->agent = real_agent_run(sv[1]);
	close(sv[1]);
	fcntl(sv[0], F_SETFL, O_RDWR | O_NONBLOCK);
	g->client = client_new(g->loop, sv[0], on_lost, g);
	client_hello(g->client, &g->hello, clock_deadline_ns(WAIT_NS));
	assert_int_equal(op_wait(&g->hello), 0);
	*state = g;
	return 0;
}

static int tear_down(void **state)
{
	struct guest *g = *state;

	assert_true(TAILQ_EMPTY(&g->list));
	op_done(&g->hello);
	client_free(g->client);
	kill(g->agent, SIGKILL);
	waitpid(g->agent, NULL, 0);
	loop_free(g->loop);
	unlink(g->path);
	free(g);
	return 0;
}

static void append(struct guest *g, const void *p, size_t n)
{
	int fd = open(g->path, O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

static int open_result(struct guest *g, struct tail_open *t, const char *path,
		       unsigned whence, int64_t offset)
{
	const struct msg req = {.type = MSG_TAIL,
				.tail = {.path = path,
					 .whence = (uint8_t)whence,
					 .offset = offset}};

	tail_open_start(t, g->client, &req, &label, &g->list,
			clock_deadline_ns(WAIT_NS));
	return op_wait(&t->op);
}

static struct stream *open_tail(struct guest *g, unsigned whence,
				int64_t offset)
{
	struct tail_open t;

	assert_int_equal(open_result(g, &t, g->path, whence, offset), 0);
	struct stream *s = t.stream;
	t.stream = NULL;
	tail_open_done(&t);
	return s;
}

static void check_frame(struct stream *s, const char *want)
{
	struct stream_wait w;

	stream_wait_init(&w, s);
	stream_next(&w, clock_deadline_ns(WAIT_NS));
	assert_int_equal(op_wait(&w.op), 1);
	check_bytes(&w.bytes, want);
	stream_wait_done(&w);
}

static int expect_in(struct stream *s, const char *text)
{
	struct stream_pattern p = pat(text);
	struct stream_wait w;
	int r;

	stream_wait_init(&w, s);
	stream_match(&w, "expect", &p, 1, false, clock_deadline_ns(WAIT_NS));
	r = op_wait(&w.op);
	stream_wait_done(&w);
	return r;
}

/* n bytes of lines that differ. */
static uint8_t *make_text(size_t n)
{
	uint8_t *p = mem_alloc(n + 32);

	for (size_t at = 0; at < n;)
		at += (size_t)sprintf((char *)p + at, "line %zu\n", at);
	return p;
}

static void a_tail_replays_a_file_and_follows_it(void **state)
{
	struct guest *g = *state;

	append(g, "one\n", 4);
	struct stream *all = open_tail(g, MSG_TAIL_START, 0);
	struct stream *end = open_tail(g, MSG_TAIL_END, 0);
	struct stream *back = open_tail(g, MSG_TAIL_BEFORE, 2);

	check_frame(all, "one\n");
	check_frame(back, "e\n");
	append(g, "two\n", 4);
	check_frame(all, "two\n");
	check_frame(end, "two\n");
	check_frame(back, "two\n");
	stream_free(all);
	stream_free(end);
	stream_free(back);
}

static void a_match_far_ahead_is_reached(void **state)
{
	struct guest *g = *state;
	size_t n = 16 << 20;
	uint8_t *text = make_text(n);

	append(g, text, n);
	append(g, "READY.", 6);
	struct stream *s = open_tail(g, MSG_TAIL_START, 0);
	assert_int_equal(expect_in(s, "READY"), 0);
	assert_int_equal(stream_taken(s), n + 5);
	check_frame(s, ".");
	stream_free(s);
	free(text);
}

static void a_reader_that_sleeps_costs_a_window_and_nobody_else(void **state)
{
	struct guest *g = *state;
	size_t n = 4 << 20;
	uint8_t *text = make_text(n);
	struct buf all = {0};
	struct stream_wait w;

	append(g, text, n);
	struct stream *slow = open_tail(g, MSG_TAIL_START, 0);
	struct stream *other = open_tail(g, MSG_TAIL_START, 0);

	append(g, "READY", 5);
	assert_int_equal(expect_in(other, "READY"), 0);
	assert_true(stream_bytes(slow) <= CHAN_WINDOW);
	stream_wait_init(&w, slow);
	while (all.len < n + 5) {
		stream_next(&w, clock_deadline_ns(WAIT_NS));
		assert_int_equal(op_wait(&w.op), 1);
		buf_append(&all, buf_data(&w.bytes), w.bytes.len);
	}
	assert_int_equal(all.len, n + 5);
	assert_memory_equal(buf_data(&all), text, n);
	stream_wait_done(&w);
	buf_done(&all);
	stream_free(slow);
	stream_free(other);
	free(text);
}

static void an_absent_file_is_refused_with_its_name(void **state)
{
	struct guest *g = *state;
	struct tail_open t;

	assert_int_equal(open_result(g, &t, "/nonexistent/x", MSG_TAIL_END, 0),
			 -ENOENT);
	check_contains(t.op.err.text, "/nonexistent/x");
	tail_open_done(&t);
}

static void a_dead_agent_fails_the_reader_at_once(void **state)
{
	struct guest *g = *state;
	struct stream *s = open_tail(g, MSG_TAIL_START, 0);
	struct stream_wait w;

	stream_wait_init(&w, s);
	stream_next(&w, CLOCK_NEVER);
	kill(g->agent, SIGKILL);
	assert_true(op_wait(&w.op) < 0);
	stream_wait_done(&w);
	stream_free(s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_tail_replays_a_file_and_follows_it),
	    T(a_match_far_ahead_is_reached),
	    T(a_reader_that_sleeps_costs_a_window_and_nobody_else),
	    T(an_absent_file_is_refused_with_its_name),
	    T(a_dead_agent_fails_the_reader_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
