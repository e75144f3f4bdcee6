/* SPDX-License-Identifier: MIT */
/* The rules of a bridge, between sockets as QEMU has them. */
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
#include "tests/unit/vmm/lib_frames.h"
#include "tests/unit/vmm/lib_peer.h"
#include "vmm/net/bridge_private.h"
#include "vmm/net/shaper.h"

struct fix {
	struct loop *loop;
	struct net *net;
	struct bridge *b;
	struct port *p[2];
	int fd[2]; /* QEMU's ends of them */
	uint8_t frame[FRAME_MAX];
};

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));

	f->loop = loop_new(NULL);
	assert_non_null(f->loop);
	f->net = net_new(f->loop, "/nonexistent");
	f->b = bridge_new(f->net, "lan", NULL);
	for (int i = 0; i < 2; i++) {
		f->p[i] = bridge_attach(f->b, i ? "bob" : "alice", NULL);
		assert_int_equal(0, port_plug(f->p[i], &f->fd[i], NULL));
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	bridge_free(f->b);
	net_free(f->net);
	loop_free(f->loop);
	for (int i = 0; i < 2; i++)
		close(f->fd[i]);
	free(f);
	return 0;
}

/* A frame from one guest to the other. */
static void say(struct fix *f, int from, uint8_t id)
{
	size_t n = frame_plain(f->frame, port_mac(f->p[1 - from]),
			       port_mac(f->p[from]), id, 46);

	assert_int_equal(n, peer_send(f->fd[from], f->frame, n));
	loop_poll(f->loop);
}

/* The id of the frame that has come; -1: none. */
static int hear(struct fix *f, int at)
{
	ssize_t n = peer_recv(f->fd[at], f->frame, sizeof(f->frame));

	return n < 0 ? -1 : f->frame[FRAME_MIN];
}

static int await(struct fix *f, int at)
{
	int64_t until = clock_deadline_ns(60 * NS_PER_SEC);
	int id;

	while ((id = hear(f, at)) < 0 && clock_now_ns() < until)
		loop_turn(f->loop);
	return id;
}

static void a_delayed_frame_comes_by_itself_and_not_before(void **state)
{
	struct fix *f = *state;
	int64_t began = clock_now_ns();

	bridge_impairment(f->b, f->p[0], f->p[1])->latency_ns = 50 * NS_PER_MS;
	assert_int_equal(0, bridge_impaired(f->b, NULL));
	say(f, 0, 1);
	say(f, 0, 2);
	assert_int_equal(1, await(f, 1));
	assert_true(clock_now_ns() - began >= 50 * NS_PER_MS);
	assert_int_equal(2, await(f, 1));
	say(f, 1, 3);
	assert_int_equal(3, hear(f, 0)); /* the other way is not slower */
}

static void the_rules_are_told_as_they_were_set(void **state)
{
	struct fix *f = *state;

	bridge_impairment(f->b, f->p[0], NULL)->bps = 5;
	bridge_impairment(f->b, NULL, NULL)->chance[CHANCE_DROP] = 0.25;
	assert_int_equal(0, bridge_impaired(f->b, NULL));
	assert_true(bridge_get_impairment(f->b, f->p[0], NULL).bps == 5);
	assert_true(bridge_get_impairment(f->b, f->p[1], NULL).bps == 0);
	assert_true(
	    bridge_get_impairment(f->b, NULL, NULL).chance[CHANCE_DROP] ==
	    0.25);
	assert_int_equal(0, bridge_reset_impairments(f->b, NULL));
	assert_true(bridge_get_impairment(f->b, f->p[0], NULL).bps == 0);
}

static void the_gateway_is_reached_in_the_worst_of_networks(void **state)
{
	struct fix *f = *state;
	struct impairment *all = bridge_impairment(f->b, NULL, NULL);
	struct packet_path path = {.src_ip = port_ip(f->p[0]),
				   .dst_ip = bridge_ip(f->b)};

	all->cuts = CUT_ISOLATION;
	all->chance[CHANCE_DROP] = 1;
	all->latency_ns = NS_PER_SEC;
	assert_int_equal(0, bridge_impaired(f->b, NULL));
	memcpy(path.src_mac, port_mac(f->p[0]), MAC_LEN);
	memcpy(path.dst_mac, f->b->gateway.mac, MAC_LEN);
	size_t n = frame_ping(f->frame, &path, 1, 8);
	assert_int_equal(n, peer_send(f->fd[0], f->frame, n));
	loop_poll(f->loop);
	assert_true(hear(f, 0) >= 0);
	say(f, 0, 1);
	assert_int_equal(-1, hear(f, 1));
	struct shaper_counters c;
	bridge_shaper_counters(f->b, &c);
	assert_int_equal(1, c.cut);
}

static void a_guest_hears_nothing_of_an_earlier_boot(void **state)
{
	struct fix *f = *state;

	bridge_impairment(f->b, NULL, NULL)->latency_ns = 20 * NS_PER_MS;
	assert_int_equal(0, bridge_impaired(f->b, NULL));
	say(f, 0, 1);
	port_unplug(f->p[1]);
	close(f->fd[1]);
	assert_int_equal(0, port_plug(f->p[1], &f->fd[1], NULL));
	say(f, 0, 2);
	assert_int_equal(2, await(f, 1));
	assert_int_equal(-1, hear(f, 1));
	/* What was said of its port still holds. */
	assert_true(bridge_get_impairment(f->b, NULL, NULL).latency_ns > 0);
}

static void everything_may_go_while_frames_are_on_their_way(void **state)
{
	struct fix *f = *state;

	bridge_impairment(f->b, NULL, NULL)->latency_ns = 10 * NS_PER_MS;
	bridge_impairment(f->b, f->p[0], NULL)->bps = 1000;
	assert_int_equal(0, bridge_impaired(f->b, NULL));
	say(f, 0, 1);
	say(f, 1, 2);
	f->p[1] = port_free(f->p[1]);
	loop_turn(f->loop);
	f->b = bridge_free(f->b);
	loop_poll(f->loop);
	assert_int_equal(0, peer_recv(f->fd[0], f->frame, 1) > 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_delayed_frame_comes_by_itself_and_not_before),
	    T(the_rules_are_told_as_they_were_set),
	    T(the_gateway_is_reached_in_the_worst_of_networks),
	    T(a_guest_hears_nothing_of_an_earlier_boot),
	    T(everything_may_go_while_frames_are_on_their_way),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
