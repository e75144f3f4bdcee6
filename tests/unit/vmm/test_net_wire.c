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
#include "tests/unit/vmm/lib_peer.h"

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
		if (peer_send(f->end[i].fd, f->frame, size) < 0)
			break;
	}
	return n;
}

/* What the peer got: their number, which are to be in order from first. */
static unsigned peer_reads(struct fix *f, int i, unsigned first)
{
	unsigned n = 0;

	while (peer_recv(f->end[i].fd, f->frame, sizeof(f->frame)) > 0)
		assert_int_equal(first + n++, be_get32(f->frame));
	return n;
}

/* The first n bytes of frame, as they are, to the first wire. */
static void peer_writes(struct fix *f, size_t n)
{
	assert_int_equal(n, send(f->end[0].fd, f->frame, n, 0));
	loop_poll(f->loop);
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

static void a_frame_that_is_too_long_is_skipped_to_its_end(void **state)
{
	static const size_t lengths[] = {FRAME_MAX + 1, 3 * WIRE_READ_MAX, 0};
	struct fix *f = *state;
	size_t sum;

	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		be_put32(f->frame, (uint32_t)lengths[i]);
		peer_writes(f, WIRE_HEADER);
		memset(f->frame, 0, sizeof(f->frame));
		for (sum = 0; sum < lengths[i]; sum += 1000)
			peer_writes(f, sum + 1000 < lengths[i]
					   ? 1000
					   : lengths[i] - sum);
		assert_int_equal(i + 1, f->end[0].bad);
		assert_int_equal(1, peer_sends(f, 0, i + 1, 1, 60));
		loop_poll(f->loop);
		assert_int_equal(i + 1, f->end[0].n);
		assert_int_equal(i + 1, f->end[0].last);
	}
}

static void frames_may_come_in_any_pieces(void **state)
{
	struct fix *f = *state;
	uint8_t bytes[2 * (WIRE_HEADER + 60)] = {0};

	for (unsigned i = 0; i < 2; i++) {
		be_put32(bytes + i * (WIRE_HEADER + 60), 60);
		be_put32(bytes + i * (WIRE_HEADER + 60) + WIRE_HEADER, i + 1);
	}
	for (size_t cut = 1; cut < sizeof(bytes); cut++) {
		f->end[0].last = 0;
		memcpy(f->frame, bytes, cut);
		peer_writes(f, cut);
		memcpy(f->frame, bytes + cut, sizeof(bytes) - cut);
		peer_writes(f, sizeof(bytes) - cut);
		assert_int_equal(2 * cut, f->end[0].n);
		assert_true(f->end[0].is_in_order);
		assert_int_equal(2, f->end[0].last);
	}
}

static void send_two(struct end *e)
{
	uint8_t frame[60] = {0};

	for (unsigned i = 0; i < 2; i++) {
		be_put32(frame, (unsigned)(2 * (e->n - 1) + i));
		assert_int_equal(WIRE_SENT,
				 wire_send(&e->wire, frame, sizeof(frame)));
	}
}

static void answers_leave_when_the_questions_have_been_read(void **state)
{
	struct fix *f = *state;

	f->end[0].act = send_two;
	assert_int_equal(5, peer_sends(f, 0, 1, 5, 60));
	loop_poll(f->loop);
	assert_int_equal(10, peer_reads(f, 0, 0));
	assert_int_equal(0, f->end[0].wire.s.out.len);
}

/* --- a socket that moves ------------------------------------------------- */

static void move(struct fix *f)
{
	struct wire_socket s;

	wire_take(&f->end[0].wire, &s);
	assert_false(wire_is_open(&f->end[0].wire));
	close(f->end[1].fd);
	f->end[1].fd = f->end[0].fd;
	f->end[0].fd = -1;
	wire_give(&f->end[1].wire, &s);
	assert_int_equal(-1, s.fd);
}

static void what_is_half_sent_is_sent_by_the_next_wire(void **state)
{
	struct fix *f = *state;
	unsigned n = 0, got;

	/* The socket ends in the middle of one, and more wait. */
	while (we_send(f, 0, n, FRAME_MAX) == WIRE_SENT)
		n++;
	assert_in_range(f->end[0].wire.s.cut, 1, FRAME_MAX);
	move(f);
	got = peer_reads(f, 1, 0);
	loop_poll(f->loop);
	got += peer_reads(f, 1, got);
	/* Whole frames all; those that waited are gone. */
	assert_in_range(got, 1, n - 1);
	assert_int_equal(WIRE_SENT, we_send(f, 1, got, 60));
	assert_int_equal(1, peer_reads(f, 1, got));
}

/* A frame of which cut bytes have come when the socket moves, and another.
 * Returns how many of them the next wire has. */
static uint64_t move_within_a_frame(struct fix *f, size_t cut)
{
	be_put32(f->frame, 60);
	peer_writes(f, cut);
	move(f);
	assert_int_equal(
	    WIRE_HEADER + 60 - cut,
	    send(f->end[1].fd, f->frame + cut, WIRE_HEADER + 60 - cut, 0));
	assert_int_equal(1, peer_sends(f, 1, 7, 1, 60));
	loop_poll(f->loop);
	assert_int_equal(7, f->end[1].last);
	assert_int_equal(0, f->end[0].n + f->end[0].bad + f->end[1].bad);
	return f->end[1].n;
}

static void what_is_half_read_is_no_frame_of_the_next_wire(void **state)
{
	assert_int_equal(1, move_within_a_frame(*state, WIRE_HEADER + 30));
}

static void a_length_that_is_half_read_goes_with_the_socket(void **state)
{
	assert_int_equal(2, move_within_a_frame(*state, WIRE_HEADER - 2));
}

/* --- a slow reader ------------------------------------------------------- */

static void what_finds_no_room_waits_and_then_is_dropped(void **state)
{
	struct fix *f = *state;
	unsigned n = 0, got, more;

	/* Neither socket nor queue take all of this. */
	while (we_send(f, 0, n, 1500) == WIRE_SENT)
		assert_in_range(++n, 1, 1000000);
	assert_in_range(f->end[0].wire.s.out.len, WIRE_QUEUE_MAX / 2,
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
	assert_int_equal(0, f->end[0].wire.s.out.len);
	assert_int_equal(WIRE_SENT, we_send(f, 0, n, 1500));
	assert_int_equal(1, peer_reads(f, 0, n));
}

static void frames_behind_waiting_ones_do_not_overtake(void **state)
{
	struct fix *f = *state;
	unsigned n = 0, got;

	while (!f->end[0].wire.s.out.len)
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
	assert_in_range(f->end[0].wire.s.out.len, 1, WIRE_QUEUE_MAX);
	assert_true(f->end[0].wire.s.out.cap <= 4 * WIRE_QUEUE_MAX);
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

static void a_flood_gets_its_share_of_a_turn(void **state)
{
	struct fix *f = *state;
	unsigned sent = peer_sends(f, 0, 1, 1000, 9000);
	unsigned turns = 0;

	assert_true(sent > 2 * WIRE_READ_MAX / 9000);
	assert_int_equal(1, peer_sends(f, 1, 1, 1, 60));
	loop_poll(f->loop);
	assert_in_range(f->end[0].bytes, 1, WIRE_READ_MAX);
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
	unsigned sent = peer_sends(f, 0, 1, 1000, 9000);

	assert_true(sent > 2 * WIRE_READ_MAX / 9000);
	wire_drain(&f->end[0].wire);
	assert_int_equal(sent, f->end[0].n);
}

static void send_one_more(struct end *e)
{
	uint8_t frame[60] = {0};

	be_put32(frame, e->last + 1);
	assert_int_equal(sizeof(frame), peer_send(e->fd, frame, sizeof(frame)));
}

static void draining_a_sender_that_never_stops_ends(void **state)
{
	struct fix *f = *state;

	peer_sends(f, 0, 1, 32, 60);
	f->end[0].act = send_one_more;
	wire_drain(&f->end[0].wire);
	assert_in_range(f->end[0].n, 32, WIRE_READ_MAX / 60);
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
	assert_null(f->end[0].wire.s.out.mem);
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
	    T(a_frame_that_is_too_long_is_skipped_to_its_end),
	    T(frames_may_come_in_any_pieces),
	    T(answers_leave_when_the_questions_have_been_read),
	    T(what_is_half_sent_is_sent_by_the_next_wire),
	    T(what_is_half_read_is_no_frame_of_the_next_wire),
	    T(a_length_that_is_half_read_goes_with_the_socket),
	    T(what_finds_no_room_waits_and_then_is_dropped),
	    T(frames_behind_waiting_ones_do_not_overtake),
	    T(tiny_frames_do_not_outgrow_the_queue),
	    T(a_full_wire_leaves_another_alone),
	    T(a_flood_gets_its_share_of_a_turn),
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
