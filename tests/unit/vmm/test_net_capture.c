/* SPDX-License-Identifier: MIT */
#include "vmm/net/bridge.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_frames.h"
#include "tests/unit/vmm/lib_peer.h"
#include "vmm/net/wire.h"

#define GUESTS	    3
#define PCAP_HEADER 24u
#define PCAP_RECORD 16u

static const struct stream_label label = {.kind = "capture", .detail = "lan"};

struct fix {
	struct loop *loop;
	struct net *net;
	struct bridge *b;
	struct port *p[GUESTS];
	int fd[GUESTS];
	struct stream *cap;
};

static int setup(void **state)
{
	static const char *const names[GUESTS] = {"a", "b", "c"};
	struct fix *f = mem_zalloc(sizeof(*f));
	struct err err;

	f->loop = loop_new(&err);
	assert_non_null(f->loop);
	f->net = net_new(f->loop, "/tmp");
	f->b = bridge_new(f->net, "lan", &err);
	for (int i = 0; i < GUESTS; i++) {
		f->p[i] = bridge_attach(f->b, names[i], &err);
		assert_int_equal(0, port_plug(f->p[i], &f->fd[i], &err));
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	bridge_free(f->b);
	stream_free(f->cap);
	net_free(f->net);
	loop_free(f->loop);
	for (int i = 0; i < GUESTS; i++)
		close(f->fd[i]);
	free(f);
	return 0;
}

static void start(struct fix *f, struct port *only)
{
	struct err err;

	f->cap = bridge_capture(f->b, only, &(struct capture_options){0},
				&label, &err);
	assert_non_null(f->cap);
}

/* A frame of a guest, which is still in its socket. */
static void post(struct fix *f, int from, const uint8_t *dst, uint8_t id)
{
	uint8_t frame[64];
	size_t n = frame_plain(frame, dst, port_mac(f->p[from]), id, 46);

	assert_int_equal(n, peer_send(f->fd[from], frame, n));
}

/* The same, and the loop carries it. */
static void say(struct fix *f, int from, const uint8_t *dst, uint8_t id)
{
	post(f, from, dst, id);
	loop_poll(f->loop);
}

/* The records since the last call; the file's header is taken off. How bytes
 * are cut into frames of the stream does not matter. */
static void collect(struct fix *f, struct buf *ret)
{
	struct stream_wait w;

	stream_wait_init(&w, f->cap);
	stream_drain(&w, clock_now_ns());
	op_wait(&w.op);
	for (size_t i = 0; i < w.n_frames; i++)
		buf_append(ret, buf_data(&w.frames[i]), w.frames[i].len);
	stream_wait_done(&w);
	if (ret->len && be_get32(buf_data(ret)) == 0xd4c3b2a1)
		buf_consume(ret, PCAP_HEADER);
}

/* The ids of the frames captured since the last call, in order. */
static void assert_captured(struct fix *f, const char *ids)
{
	struct buf all = {0};
	const uint8_t *p;
	size_t n = strlen(ids);

	collect(f, &all);
	assert_int_equal(n * (PCAP_RECORD + FRAME_MIN + 46), all.len);
	p = buf_data(&all);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(ids[i], p[PCAP_RECORD + FRAME_MIN]);
		p += PCAP_RECORD + FRAME_MIN + 46;
	}
	buf_done(&all);
}

static void a_bridge_is_seen_once_a_frame(void **state)
{
	struct fix *f = *state;

	start(f, NULL);
	say(f, 0, frames_everybody, '1');
	say(f, 1, port_mac(f->p[0]), '2');
	say(f, 2, port_mac(f->p[1]), '3');
	assert_captured(f, "123");
	say(f, 2, frames_everybody, '4');
	assert_captured(f, "4");
}

static void a_port_is_seen_in_both_directions(void **state)
{
	struct fix *f = *state;

	for (int i = 0; i < GUESTS; i++)
		say(f, i, frames_everybody, '0');
	start(f, f->p[0]);
	say(f, 0, port_mac(f->p[1]), '1');
	say(f, 1, port_mac(f->p[0]), '2');
	say(f, 1, port_mac(f->p[2]), '3');
	say(f, 2, frames_everybody, '4');
	assert_captured(f, "124");
}

static void a_port_without_a_link_sees_nothing(void **state)
{
	struct fix *f = *state;

	start(f, f->p[0]);
	port_set_link(f->p[0], false);
	say(f, 0, frames_everybody, '1');
	say(f, 1, frames_everybody, '2');
	say(f, 1, port_mac(f->p[0]), '3');
	assert_captured(f, "");
	port_set_link(f->p[0], true);
	say(f, 1, frames_everybody, '4');
	assert_captured(f, "4");
}

static void a_port_whose_guest_is_off_sees_nothing(void **state)
{
	struct fix *f = *state;

	start(f, f->p[0]);
	port_unplug(f->p[0]);
	say(f, 1, frames_everybody, '1');
	assert_captured(f, "");
	close(f->fd[0]);
	assert_int_equal(0, port_plug(f->p[0], &f->fd[0], NULL));
	say(f, 1, frames_everybody, '2');
	assert_captured(f, "2");
}

/* The guest reads nothing: its queue gets full. */
static void a_frame_that_finds_the_queue_full_is_not_seen(void **state)
{
	const size_t record = PCAP_RECORD + FRAME_MIN + 46;
	struct fix *f = *state;
	struct port_counters c = {0};
	struct buf all = {0};

	start(f, f->p[0]);
	while (c.dropped < 100) {
		for (int i = 0; i < 100; i++)
			say(f, 1, frames_everybody, '1');
		port_counters(f->p[0], &c);
	}
	collect(f, &all);
	assert_true(c.rx_frames > 0);
	assert_int_equal(c.rx_frames * record, all.len);
	buf_done(&all);
}

static void frames_on_their_way_are_not_in_it(void **state)
{
	struct fix *f = *state;

	for (unsigned i = 0; i < 50; i++)
		post(f, 0, frames_everybody, '1');
	post(f, 1, frames_everybody, '2');
	start(f, NULL);
	post(f, 0, frames_everybody, '3');
	loop_poll(f->loop);
	assert_captured(f, "3");
}

/* Not time(2): it tells the last tick, which may be of the second before. */
static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

static void a_record_has_the_time_of_the_clock(void **state)
{
	struct fix *f = *state;
	struct buf record = {0};
	time_t before = now_s();
	uint32_t sec;

	start(f, NULL);
	say(f, 0, frames_everybody, '1');
	collect(f, &record);
	assert_true(record.len > PCAP_RECORD);
	memcpy(&sec, buf_data(&record), sizeof(sec));
	assert_in_range(sec, before, now_s());
	buf_done(&record);
}

static void open_captures_are_listed(void **state)
{
	struct fix *f = *state;

	assert_null(TAILQ_FIRST(bridge_captures(f->b)));
	start(f, f->p[1]);
	assert_ptr_equal(f->cap, TAILQ_FIRST(bridge_captures(f->b)));
	stream_close(f->cap);
	assert_null(TAILQ_FIRST(bridge_captures(f->b)));
	say(f, 1, frames_everybody, '1');
}

static void a_bad_filter_is_refused(void **state)
{
	struct fix *f = *state;
	struct err err;

	assert_null(bridge_capture(f->b, NULL,
				   &(struct capture_options){.filter = "(("},
				   &label, &err));
	assert_int_equal(-EINVAL, err.code);
	assert_null(TAILQ_FIRST(bridge_captures(f->b)));
	say(f, 1, frames_everybody, '1');
}

static void a_filter_lets_through_what_it_says(void **state)
{
	struct fix *f = *state;
	struct err err;

	f->cap = bridge_capture(
	    f->b, NULL,
	    &(struct capture_options){.filter = "ether src 52:54:00:00:01:0b"},
	    &label, &err);
	assert_non_null(f->cap);
	say(f, 0, frames_everybody, '1');
	say(f, 1, frames_everybody, '2');
	say(f, 2, frames_everybody, '3');
	assert_captured(f, "2");
}

/* --- ends ---------------------------------------------------------------- */

static void a_port_that_goes_ends_its_capture_and_no_other(void **state)
{
	struct fix *f = *state;
	struct stream *other;
	struct err err;

	start(f, f->p[0]);
	other = bridge_capture(f->b, f->p[1], &(struct capture_options){0},
			       &label, &err);
	say(f, 0, frames_everybody, '1');
	port_free(f->p[0]);
	say(f, 1, frames_everybody, '2');
	assert_captured(f, "1");
	assert_true(stream_eof(f->cap));
	assert_false(stream_eof(other));
	stream_free(other);
}

static void a_capture_outlives_its_bridge(void **state)
{
	struct fix *f = *state;

	start(f, NULL);
	say(f, 0, frames_everybody, '1');
	f->b = bridge_free(f->b);
	loop_poll(f->loop);
	loop_poll(f->loop);
	assert_captured(f, "1");
	assert_true(stream_eof(f->cap));
	/* Off the list, which is still there. */
	f->cap = stream_free(f->cap);
	loop_poll(f->loop);
}

/* --- a reader that acts while a frame goes through ------------------------ */

static void close_it(struct op *op, void *ctx)
{
	struct fix *f = ctx;

	(void)op;
	stream_close(f->cap);
}

static void free_the_bridge(struct op *op, void *ctx)
{
	struct fix *f = ctx;

	(void)op;
	f->b = bridge_free(f->b);
	f->cap = stream_free(f->cap);
}

static void read_and(struct fix *f, void (*act)(struct op *op, void *ctx))
{
	struct stream_wait w;

	start(f, NULL);
	assert_captured(f, "");
	stream_wait_init(&w, f->cap);
	stream_next(&w, CLOCK_NEVER);
	assert_false(op_is_done(&w.op));
	w.op.on_done = act;
	w.op.done_ctx = f;
	for (int i = 0; i < 3; i++)
		post(f, 0, frames_everybody, '1');
	loop_poll(f->loop);
	assert_true(op_is_done(&w.op));
	assert_int_equal(1, w.op.result);
	stream_wait_done(&w);
	loop_poll(f->loop);
}

static void a_capture_may_be_closed_by_its_first_frame(void **state)
{
	struct fix *f = *state;

	read_and(f, close_it);
	assert_null(TAILQ_FIRST(bridge_captures(f->b)));
}

static void a_bridge_may_be_freed_by_a_frame_on_it(void **state)
{
	read_and(*state, free_the_bridge);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_bridge_is_seen_once_a_frame),
	    T(a_port_is_seen_in_both_directions),
	    T(a_port_without_a_link_sees_nothing),
	    T(a_port_whose_guest_is_off_sees_nothing),
	    T(a_frame_that_finds_the_queue_full_is_not_seen),
	    T(frames_on_their_way_are_not_in_it),
	    T(a_record_has_the_time_of_the_clock),
	    T(open_captures_are_listed),
	    T(a_bad_filter_is_refused),
	    T(a_filter_lets_through_what_it_says),
	    T(a_port_that_goes_ends_its_capture_and_no_other),
	    T(a_capture_outlives_its_bridge),
	    T(a_capture_may_be_closed_by_its_first_frame),
	    T(a_bridge_may_be_freed_by_a_frame_on_it),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
