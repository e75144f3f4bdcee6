/* SPDX-License-Identifier: MIT */
#include "vmm/net/wire.h"

#include <errno.h>
#include <fcntl.h>
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

#define WIRES 2

struct end {
	struct wire wire;
	int fd;	    /* the peer's */
	uint64_t n; /* frames that came */
	uint64_t bytes;
	uint64_t bad;
	unsigned last; /* number in the last frame */
	bool is_in_order;
	void (*act)(struct end *e);
};

struct fix {
	struct loop *loop;
	struct wire_arena arena;
	struct end end[WIRES];
	uint8_t frame[FRAME_MAX + 1];
};

static void on_frame(void *ctx, const uint8_t *p, size_t n, int64_t now_ns)
{
	struct end *e = ctx;
	unsigned id = be_get32(p);

	assert_true(n >= FRAME_MIN && n <= FRAME_MAX);
	assert_true(now_ns > 0 && now_ns <= clock_now_ns());
	if (e->n && id != e->last + 1)
		e->is_in_order = false;
	e->last = id;
	e->n++;
	e->bytes += n;
	if (e->act)
		e->act(e);
}

static void on_bad(void *ctx)
{
	struct end *e = ctx;

	e->bad++;
}

static const struct wire_events events = {on_frame, on_bad};

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));
	struct err err;

	f->loop = loop_new(&err);
	assert_non_null(f->loop);
	wire_arena_init(&f->arena);
	for (int i = 0; i < WIRES; i++) {
		struct end *e = &f->end[i];

		e->is_in_order = true;
		wire_init(&e->wire, f->loop, &f->arena, &events, e);
		assert_false(wire_is_open(&e->wire));
		assert_int_equal(0, wire_open(&e->wire, &e->fd, &err));
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	for (int i = 0; i < WIRES; i++) {
		wire_close(&f->end[i].wire);
		if (f->end[i].fd >= 0)
			close(f->end[i].fd);
	}
	wire_arena_done(&f->arena);
	loop_free(f->loop);
	free(f);
	return 0;
}

/* The peer's frames; their number until its socket is full, or max. */
static unsigned peer_sends(struct fix *f, int i, unsigned first, unsigned max,
			   size_t size)
{
	unsigned n;

	for (n = 0; n < max; n++) {
		be_put32(f->frame, first + n);
		if (send(f->end[i].fd, f->frame, size, MSG_DONTWAIT) < 0)
			break;
	}
	return n;
}

/* What the peer got: their number, which are to be in order from first. */
static unsigned peer_reads(struct fix *f, int i, unsigned first)
{
	unsigned n = 0;

	while (recv(f->end[i].fd, f->frame, sizeof(f->frame), MSG_DONTWAIT) > 0)
		assert_int_equal(first + n++, be_get32(f->frame));
	return n;
}

static enum wire_sent we_send(struct fix *f, int i, unsigned id, size_t size)
{
	be_put32(f->frame, id);
	return wire_send(&f->end[i].wire, f->frame, size);
}

/* --- the socket ---------------------------------------------------------- */

static void the_other_end_is_close_on_exec_and_non_blocking(void **state)
{
	struct fix *f = *state;

	assert_true(fcntl(f->end[0].fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(f->end[0].fd, F_GETFL) & O_NONBLOCK);
}

static void frames_go_both_ways_in_order(void **state)
{
	struct fix *f = *state;

	assert_int_equal(5, peer_sends(f, 0, 1, 5, 60));
	loop_poll(f->loop);
	assert_int_equal(5, f->end[0].n);
	assert_true(f->end[0].is_in_order);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(WIRE_SENT, we_send(f, 0, i, 60));
	assert_int_equal(5, peer_reads(f, 0, 0));
}

static void frames_of_a_wrong_size_are_told_and_dropped(void **state)
{
	static const size_t bad[] = {0, 1, FRAME_MIN - 1, FRAME_MAX + 1};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(1, peer_sends(f, 0, 0, 1, bad[i]));
		wire_drain(&f->end[0].wire);
	}
	assert_int_equal(ARRAY_LEN(bad), f->end[0].bad);
	assert_int_equal(0, f->end[0].n);
	assert_int_equal(1, peer_sends(f, 0, 1, 1, FRAME_MIN));
	wire_drain(&f->end[0].wire);
	assert_int_equal(1, peer_sends(f, 0, 2, 1, FRAME_MAX));
	wire_drain(&f->end[0].wire);
	assert_int_equal(2, f->end[0].n);
	assert_int_equal(FRAME_MIN + FRAME_MAX, f->end[0].bytes);
}

/* --- a slow reader ------------------------------------------------------- */

static void what_finds_no_room_waits_and_then_is_dropped(void **state)
{
	struct fix *f = *state;
	unsigned n = 0, got, more;

	/* Neither socket nor queue take all of this. */
	while (we_send(f, 0, n, 1500) == WIRE_SENT)
		assert_in_range(++n, 1, 1000000);
	assert_in_range(f->end[0].wire.queue.len, WIRE_QUEUE_MAX / 2,
			WIRE_QUEUE_MAX);
	assert_true(wire_is_open(&f->end[0].wire));

	/* All that was taken arrives, in order; then there is room again. */
	got = peer_reads(f, 0, 0);
	while ((more = got) < n) {
		loop_turn(f->loop);
		got += peer_reads(f, 0, got);
		assert_true(got >= more);
	}
	assert_int_equal(n, got);
	assert_int_equal(0, f->end[0].wire.queue.len);
	assert_int_equal(WIRE_SENT, we_send(f, 0, n, 1500));
	assert_int_equal(1, peer_reads(f, 0, n));
}

static void frames_behind_waiting_ones_do_not_overtake(void **state)
{
	struct fix *f = *state;
	unsigned n = 0, got;

	while (!f->end[0].wire.queue.len)
		assert_int_equal(WIRE_SENT, we_send(f, 0, n++, 9000));
	/* Now the socket has room, but there is somebody first. */
	got = peer_reads(f, 0, 0);
	assert_int_equal(WIRE_SENT, we_send(f, 0, n++, 60));
	while (got < n) {
		loop_turn(f->loop);
		got += peer_reads(f, 0, got);
	}
	assert_int_equal(n, got);
}

static void tiny_frames_do_not_outgrow_the_queue(void **state)
{
	struct fix *f = *state;
	unsigned n = 0;

	while (we_send(f, 0, n, FRAME_MIN) == WIRE_SENT)
		n++;
	assert_in_range(f->end[0].wire.queue.len, 1, WIRE_QUEUE_MAX);
	assert_true(f->end[0].wire.queue.cap <= 4 * WIRE_QUEUE_MAX);
}

static void a_full_wire_leaves_another_alone(void **state)
{
	struct fix *f = *state;
	unsigned n = 0;

	while (we_send(f, 0, n, 1500) == WIRE_SENT)
		n++;
	assert_int_equal(WIRE_SENT, we_send(f, 1, 0, 1500));
	assert_int_equal(1, peer_reads(f, 1, 0));
	peer_sends(f, 1, 1, 3, 60);
	loop_poll(f->loop);
	assert_int_equal(3, f->end[1].n);
}

/* --- a fast sender ------------------------------------------------------- */

static void a_flood_gets_a_batch_a_turn(void **state)
{
	struct fix *f = *state;
	unsigned sent = peer_sends(f, 0, 1, 10 * WIRE_BATCH, 60);
	unsigned turns = 0;

	assert_int_equal(1, peer_sends(f, 1, 1, 1, 60));
	loop_poll(f->loop);
	assert_in_range(f->end[0].n, 1, WIRE_BATCH);
	assert_int_equal(1, f->end[1].n);
	while (f->end[0].n < sent) {
		loop_poll(f->loop);
		assert_in_range(++turns, 1, sent);
	}
	assert_true(f->end[0].is_in_order);
}

static void draining_takes_all_that_is_there(void **state)
{
	struct fix *f = *state;
	unsigned sent = peer_sends(f, 0, 1, 10 * WIRE_BATCH + 1, 60);

	wire_drain(&f->end[0].wire);
	assert_int_equal(sent, f->end[0].n);
}

static void send_one_more(struct end *e)
{
	uint8_t frame[60] = {0};

	be_put32(frame, e->last + 1);
	assert_int_equal(sizeof(frame), send(e->fd, frame, sizeof(frame), 0));
}

static void draining_a_sender_that_never_stops_ends(void **state)
{
	struct fix *f = *state;

	peer_sends(f, 0, 1, 2 * WIRE_BATCH, 60);
	f->end[0].act = send_one_more;
	wire_drain(&f->end[0].wire);
	assert_in_range(f->end[0].n, WIRE_DRAIN_MAX,
			WIRE_DRAIN_MAX + WIRE_BATCH);
	f->end[0].act = NULL;
}

static void drain_it(struct end *e)
{
	wire_drain(&e->wire);
}

static void draining_inside_a_frame_does_nothing(void **state)
{
	struct fix *f = *state;

	peer_sends(f, 0, 1, 3, 60);
	f->end[0].act = drain_it;
	loop_poll(f->loop);
	assert_int_equal(3, f->end[0].n);
	assert_true(f->end[0].is_in_order);
}

/* --- ends ---------------------------------------------------------------- */

static void a_peer_that_is_gone_closes_the_wire(void **state)
{
	struct fix *f = *state;

	close(f->end[0].fd);
	f->end[0].fd = -1;
	loop_poll(f->loop);
	assert_int_equal(WIRE_GONE, we_send(f, 0, 0, 60));
	assert_false(wire_is_open(&f->end[0].wire));
	assert_int_equal(WIRE_GONE, we_send(f, 0, 0, 60));
	wire_drain(&f->end[0].wire);
	wire_close(&f->end[0].wire);
}

static void a_peer_that_goes_with_frames_unread_closes_the_wire(void **state)
{
	struct fix *f = *state;
	unsigned n = 0;

	while (we_send(f, 0, n, 1500) == WIRE_SENT)
		n++;
	close(f->end[0].fd);
	f->end[0].fd = -1;
	/* The watch for room notices; no frame is sent. */
	while (wire_is_open(&f->end[0].wire))
		loop_turn(f->loop);
	assert_null(f->end[0].wire.queue.mem);
}

static void close_it(struct end *e)
{
	wire_close(&e->wire);
}

static void a_wire_may_be_closed_by_a_frame(void **state)
{
	struct fix *f = *state;

	peer_sends(f, 0, 1, 5, 60);
	f->end[0].act = close_it;
	loop_poll(f->loop);
	assert_int_equal(1, f->end[0].n);
	assert_false(wire_is_open(&f->end[0].wire));
}

static void reopen_it(struct end *e)
{
	close(e->fd);
	assert_int_equal(0, wire_open(&e->wire, &e->fd, NULL));
}

static void frames_of_an_earlier_socket_do_not_come_out_of_a_new(void **state)
{
	struct fix *f = *state;

	peer_sends(f, 0, 1, 5, 60);
	f->end[0].act = reopen_it;
	loop_poll(f->loop);
	assert_int_equal(1, f->end[0].n);
	f->end[0].act = NULL;
	peer_sends(f, 0, 2, 1, 60);
	loop_poll(f->loop);
	assert_int_equal(2, f->end[0].n);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(the_other_end_is_close_on_exec_and_non_blocking),
	    T(frames_go_both_ways_in_order),
	    T(frames_of_a_wrong_size_are_told_and_dropped),
	    T(what_finds_no_room_waits_and_then_is_dropped),
	    T(frames_behind_waiting_ones_do_not_overtake),
	    T(tiny_frames_do_not_outgrow_the_queue),
	    T(a_full_wire_leaves_another_alone),
	    T(a_flood_gets_a_batch_a_turn),
	    T(draining_takes_all_that_is_there),
	    T(draining_a_sender_that_never_stops_ends),
	    T(draining_inside_a_frame_does_nothing),
	    T(a_peer_that_is_gone_closes_the_wire),
	    T(a_peer_that_goes_with_frames_unread_closes_the_wire),
	    T(a_wire_may_be_closed_by_a_frame),
	    T(frames_of_an_earlier_socket_do_not_come_out_of_a_new),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
