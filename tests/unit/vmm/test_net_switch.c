/* SPDX-License-Identifier: MIT */
#include "vmm/net/switch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_frames.h"

#define STATIONS 4

/* A host on the switch: what came to it. */
struct station {
	struct swport port;
	uint8_t mac[MAC_LEN];
	unsigned n; /* frames */
	struct swport *from;
	uint8_t last; /* id of the last frame */
	/* What it does when a frame comes. */
	void (*act)(struct station *st);
	void *arg;
	bool is_deaf; /* takes no frame */
};

struct fix {
	struct vswitch *sw;
	struct station st[STATIONS];
	int64_t now_ns;
	char order[64]; /* of taps and deliveries */
};

static bool on_frame(void *ctx, struct swport *from, const struct frame *f)
{
	struct station *st = ctx;

	st->n++;
	st->from = from;
	st->last = f->len > FRAME_MIN ? f->data[FRAME_MIN] : 0;
	if (st->act)
		st->act(st);
	return !st->is_deaf;
}

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));

	f->sw = vswitch_new();
	for (int i = 0; i < STATIONS; i++) {
		struct station *st = &f->st[i];

		memcpy(st->mac, (uint8_t[]){2, 0, 0, 0, 0, 'a' + i}, MAC_LEN);
		vswitch_add(f->sw, &st->port, on_frame, st);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	for (int i = 0; i < STATIONS; i++)
		vswitch_remove(&f->st[i].port);
	vswitch_free(f->sw);
	free(f);
	return 0;
}

static bool put(struct station *st, const uint8_t *dst, const uint8_t *src,
		uint8_t id, int64_t now_ns)
{
	uint8_t bytes[64];
	struct frame fr = {bytes, frame_plain(bytes, dst, src, id, 46), now_ns};

	return vswitch_input(&st->port, &fr);
}

/* From station i to an address, with its own as sender. */
static bool send_to(struct fix *f, int i, const uint8_t *dst, uint8_t id)
{
	return put(&f->st[i], dst, f->st[i].mac, id, f->now_ns);
}

/* Which stations got something since the last call: "bd". */
static const char *who(struct fix *f)
{
	size_t n = 0;

	for (int i = 0; i < STATIONS; i++) {
		if (f->st[i].n)
			f->order[n++] = (char)('a' + i);
		f->st[i].n = 0;
	}
	f->order[n] = '\0';
	return f->order;
}

/* --- where frames go ----------------------------------------------------- */

static void an_unknown_address_is_flooded(void **state)
{
	struct fix *f = *state;

	assert_true(send_to(f, 1, f->st[0].mac, 1));
	assert_string_equal("acd", who(f));
	assert_ptr_equal(&f->st[1].port, f->st[0].from);
}

static void a_learned_address_gets_its_frames_alone(void **state)
{
	struct fix *f = *state;

	send_to(f, 0, frames_everybody, 1);
	assert_string_equal("bcd", who(f));
	send_to(f, 3, f->st[0].mac, 2);
	assert_string_equal("a", who(f));
	assert_int_equal(2, f->st[0].last);
	send_to(f, 0, f->st[3].mac, 3);
	assert_string_equal("d", who(f));
}

static void multicast_is_flooded_and_so_are_reserved_groups(void **state)
{
	static const uint8_t groups[][MAC_LEN] = {
	    {0x01, 0x00, 0x5e, 0, 0, 1},
	    {0x33, 0x33, 0, 0, 0, 1},
	    {0x01, 0x80, 0xc2, 0, 0, 0x0e},
	};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		assert_true(send_to(f, 2, groups[i], 1));
		assert_string_equal("abd", who(f));
	}
}

static void nothing_goes_back_to_where_it_came_from(void **state)
{
	static const uint8_t behind[MAC_LEN] = {2, 9, 9, 9, 9, 9};
	struct fix *f = *state;

	/* Two addresses behind one port. */
	send_to(f, 0, frames_everybody, 1);
	put(&f->st[0], frames_everybody, behind, 1, 0);
	who(f);
	send_to(f, 0, behind, 1);
	assert_string_equal("", who(f));
	send_to(f, 0, f->st[0].mac, 1);
	assert_string_equal("", who(f));
}

static void a_station_that_moves_is_followed(void **state)
{
	struct fix *f = *state;

	send_to(f, 0, frames_everybody, 1);
	put(&f->st[3], frames_everybody, f->st[0].mac, 1, 0);
	who(f);
	send_to(f, 1, f->st[0].mac, 1);
	assert_string_equal("d", who(f));
	assert_int_equal(0, f->st[0].port.n_macs);
	assert_int_equal(1, f->st[3].port.n_macs);
}

static void a_pinned_address_cannot_be_taken(void **state)
{
	struct fix *f = *state;

	vswitch_pin(&f->st[0].port, f->st[0].mac);
	put(&f->st[3], frames_everybody, f->st[0].mac, 1, 0);
	who(f);
	f->now_ns = 10 * VSWITCH_MAC_AGE_NS;
	send_to(f, 1, f->st[0].mac, 1);
	assert_string_equal("a", who(f));
}

static void pinning_takes_an_address_back(void **state)
{
	struct fix *f = *state;

	put(&f->st[3], frames_everybody, f->st[0].mac, 1, 0);
	vswitch_pin(&f->st[0].port, f->st[0].mac);
	who(f);
	send_to(f, 1, f->st[0].mac, 1);
	assert_string_equal("a", who(f));
	assert_int_equal(0, f->st[3].port.n_macs);
}

static void a_silent_address_is_forgotten(void **state)
{
	struct fix *f = *state;

	send_to(f, 0, frames_everybody, 1);
	who(f);
	f->now_ns = VSWITCH_MAC_AGE_NS;
	send_to(f, 1, f->st[0].mac, 1);
	assert_string_equal("a", who(f));
	f->now_ns++;
	send_to(f, 1, f->st[0].mac, 1);
	assert_string_equal("acd", who(f));
}

static void a_frame_renews_an_address(void **state)
{
	struct fix *f = *state;

	send_to(f, 0, frames_everybody, 1);
	f->now_ns = VSWITCH_MAC_AGE_NS;
	send_to(f, 0, f->st[1].mac, 1);
	who(f);
	f->now_ns = 2 * VSWITCH_MAC_AGE_NS;
	send_to(f, 1, f->st[0].mac, 1);
	assert_string_equal("a", who(f));
}

static void what_is_no_frame_is_refused(void **state)
{
	static const uint8_t zero[MAC_LEN];
	struct fix *f = *state;
	uint8_t bytes[FRAME_MIN];
	struct frame fr = {bytes, sizeof(bytes), 0};

	frame_plain(bytes, frames_everybody, f->st[0].mac, 0, 0);
	assert_true(vswitch_input(&f->st[0].port, &fr));
	assert_string_equal("bcd", who(f));
	fr.len--;
	assert_false(vswitch_input(&f->st[0].port, &fr));
	assert_false(put(&f->st[0], f->st[1].mac, frames_everybody, 1, 0));
	assert_false(put(&f->st[0], f->st[1].mac, zero, 1, 0));
	assert_string_equal("", who(f));
	assert_int_equal(1, f->st[0].port.n_macs);
}

/* --- floods of addresses ------------------------------------------------- */

static void a_flood_of_addresses_costs_only_its_port(void **state)
{
	struct fix *f = *state;

	vswitch_pin(&f->st[3].port, f->st[3].mac);
	send_to(f, 0, frames_everybody, 1);
	for (unsigned i = 0; i < 100000; i++) {
		uint8_t mac[MAC_LEN] = {6, 6};

		be_put32(mac + 2, i * 2654435761u);
		put(&f->st[3], frames_everybody, mac, 1, 0);
	}
	assert_int_equal(VSWITCH_PORT_MACS_MAX, f->st[3].port.n_macs);
	who(f);
	send_to(f, 1, f->st[0].mac, 1);
	assert_string_equal("a", who(f));
	send_to(f, 1, f->st[3].mac, 1);
	assert_string_equal("d", who(f));
}

static void the_longest_silent_address_gives_way(void **state)
{
	struct fix *f = *state;
	uint8_t mac[MAC_LEN] = {6};

	for (unsigned i = 0; i < VSWITCH_PORT_MACS_MAX; i++) {
		be_put16(mac + 4, (uint16_t)i);
		put(&f->st[3], frames_everybody, mac, 1, 0);
	}
	/* 0 speaks again, so 1 is next to go. */
	be_put16(mac + 4, 0);
	put(&f->st[3], frames_everybody, mac, 1, 0);
	put(&f->st[3], frames_everybody, f->st[3].mac, 1, 0);
	who(f);
	send_to(f, 0, mac, 1);
	assert_string_equal("d", who(f));
	be_put16(mac + 4, 1);
	send_to(f, 0, mac, 1);
	assert_string_equal("bcd", who(f));
	be_put16(mac + 4, 2);
	send_to(f, 0, mac, 1);
	assert_string_equal("d", who(f));
}

static void forgetting_a_port_forgets_what_is_behind_it(void **state)
{
	struct fix *f = *state;

	send_to(f, 0, frames_everybody, 1);
	vswitch_forget(&f->st[0].port);
	assert_int_equal(0, f->st[0].port.n_macs);
	who(f);
	send_to(f, 1, f->st[0].mac, 1);
	assert_string_equal("acd", who(f));
}

/* --- taps ---------------------------------------------------------------- */

struct tap {
	struct vtap tap;
	struct fix *f;
	unsigned n;
	struct tap *kill; /* taken off at the first frame */
};

static void on_seen(void *ctx, const struct frame *fr)
{
	struct tap *t = ctx;

	(void)fr;
	t->n++;
	if (t->kill)
		vswitch_untap(t->f->sw, &t->kill->tap);
	t->kill = NULL;
}

static void tap_on(struct fix *f, struct tap *t, const struct swport *only)
{
	*t = (struct tap){.tap = {.seen = on_seen, .ctx = t, .only = only},
			  .f = f};
	vswitch_tap(f->sw, &t->tap);
}

static void a_tap_of_the_switch_sees_each_frame_once(void **state)
{
	struct fix *f = *state;
	struct tap t;

	tap_on(f, &t, NULL);
	send_to(f, 0, frames_everybody, 1);
	send_to(f, 1, f->st[0].mac, 1);
	/* One that goes nowhere was on the network as well. */
	send_to(f, 0, f->st[0].mac, 1);
	assert_int_equal(3, t.n);
	vswitch_untap(f->sw, &t.tap);
	send_to(f, 0, frames_everybody, 1);
	assert_int_equal(3, t.n);
}

static void a_tap_of_a_port_sees_both_directions_of_it(void **state)
{
	struct fix *f = *state;
	struct tap t;

	send_to(f, 0, frames_everybody, 1);
	send_to(f, 1, frames_everybody, 1);
	tap_on(f, &t, &f->st[0].port);
	send_to(f, 0, f->st[1].mac, 1); /* out */
	assert_int_equal(1, t.n);
	send_to(f, 1, f->st[0].mac, 1); /* in */
	assert_int_equal(2, t.n);
	send_to(f, 2, f->st[1].mac, 1); /* past */
	assert_int_equal(2, t.n);
	send_to(f, 2, frames_everybody, 1); /* in */
	assert_int_equal(3, t.n);
	vswitch_untap(f->sw, &t.tap);
}

static void a_tap_of_a_port_sees_only_what_it_took(void **state)
{
	struct fix *f = *state;
	struct tap all, one;

	tap_on(f, &all, NULL);
	tap_on(f, &one, &f->st[0].port);
	f->st[0].is_deaf = true;
	send_to(f, 1, frames_everybody, 1);
	assert_int_equal(1, all.n);
	assert_int_equal(0, one.n);
	f->st[0].is_deaf = false;
	send_to(f, 1, frames_everybody, 2);
	assert_int_equal(1, one.n);
	vswitch_untap(f->sw, &all.tap);
	vswitch_untap(f->sw, &one.tap);
}

static void taps_may_go_while_they_are_called(void **state)
{
	struct fix *f = *state;
	struct tap t[4];

	for (int i = 0; i < 4; i++)
		tap_on(f, &t[i], NULL);
	t[0].kill = &t[1]; /* the next */
	t[2].kill = &t[2]; /* itself */
	t[3].kill = &t[0]; /* one before */
	send_to(f, 0, frames_everybody, 1);
	send_to(f, 0, frames_everybody, 1);
	assert_int_equal(1, t[0].n);
	assert_int_equal(0, t[1].n);
	assert_int_equal(1, t[2].n);
	assert_int_equal(2, t[3].n);
	vswitch_untap(f->sw, &t[3].tap);
}

/* --- callbacks that act on the switch ------------------------------------- */

static void answer_everybody(struct station *st)
{
	st->act = NULL;
	put(st, frames_everybody, st->mac, 99, 0);
}

static void an_answer_follows_the_question(void **state)
{
	struct fix *f = *state;

	/* a answers while b to d have not seen the question. */
	f->st[0].act = answer_everybody;
	send_to(f, 1, frames_everybody, 1);
	assert_int_equal(1, f->st[0].n);
	assert_int_equal(1, f->st[1].n);
	assert_int_equal(2, f->st[2].n);
	assert_int_equal(99, f->st[2].last);
	assert_int_equal(99, f->st[1].last);
	assert_false(vswitch_is_busy(f->sw));
}

static void answer_a_lot(struct station *st)
{
	st->act = NULL;
	for (unsigned i = 0; i < VSWITCH_BACKLOG_MAX + 5; i++)
		put(st, frames_everybody, st->mac, 99, 0);
}

static void answers_are_bounded(void **state)
{
	struct fix *f = *state;

	f->st[0].act = answer_a_lot;
	send_to(f, 1, frames_everybody, 1);
	assert_int_equal(1 + VSWITCH_BACKLOG_MAX, f->st[2].n);
	assert_int_equal(5, vswitch_dropped(f->sw));
}

static void remove_all(struct station *st)
{
	struct fix *f = st->arg;

	for (int i = 0; i < STATIONS; i++)
		vswitch_remove(&f->st[i].port);
}

static void ports_may_go_while_a_frame_goes_round(void **state)
{
	struct fix *f = *state;

	f->st[1].act = remove_all;
	f->st[1].arg = f;
	send_to(f, 2, frames_everybody, 1);
	assert_string_equal("ab", who(f));
}

static void answer_and_go(struct station *st)
{
	put(st, frames_everybody, st->mac, 99, 0);
	vswitch_remove(&st->port);
}

static void the_frames_of_a_port_that_went_are_dropped(void **state)
{
	struct fix *f = *state;

	f->st[0].act = answer_and_go;
	send_to(f, 1, frames_everybody, 1);
	assert_int_equal(1, f->st[2].last);
	assert_int_equal(1, f->st[2].n);
}

static void a_free_slot_is_used_again(void **state)
{
	struct fix *f = *state;

	vswitch_remove(&f->st[1].port);
	vswitch_remove(&f->st[1].port);
	send_to(f, 0, frames_everybody, 1);
	assert_string_equal("cd", who(f));
	vswitch_add(f->sw, &f->st[1].port, on_frame, &f->st[1]);
	assert_int_equal(1, f->st[1].port.slot);
	send_to(f, 0, frames_everybody, 1);
	assert_string_equal("bcd", who(f));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(an_unknown_address_is_flooded),
	    T(a_learned_address_gets_its_frames_alone),
	    T(multicast_is_flooded_and_so_are_reserved_groups),
	    T(nothing_goes_back_to_where_it_came_from),
	    T(a_station_that_moves_is_followed),
	    T(a_pinned_address_cannot_be_taken),
	    T(pinning_takes_an_address_back),
	    T(a_silent_address_is_forgotten),
	    T(a_frame_renews_an_address),
	    T(what_is_no_frame_is_refused),
	    T(a_flood_of_addresses_costs_only_its_port),
	    T(the_longest_silent_address_gives_way),
	    T(forgetting_a_port_forgets_what_is_behind_it),
	    T(a_tap_of_the_switch_sees_each_frame_once),
	    T(a_tap_of_a_port_sees_both_directions_of_it),
	    T(a_tap_of_a_port_sees_only_what_it_took),
	    T(taps_may_go_while_they_are_called),
	    T(an_answer_follows_the_question),
	    T(answers_are_bounded),
	    T(ports_may_go_while_a_frame_goes_round),
	    T(the_frames_of_a_port_that_went_are_dropped),
	    T(a_free_slot_is_used_again),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
