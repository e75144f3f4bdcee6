/* SPDX-License-Identifier: MIT */
/*
 * Bridges of the kernel's with this test behind their TAPs in the place of
 * QEMU. It runs in a network namespace of its own; where it may not make one,
 * or has no right to TAPs, each test says that it was skipped. What needs netem
 * is skipped where this kernel has none: tests/knet/nested.sh brings one.
 */
#include "vmm/net/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/skip.h"
#include "tests/unit/vmm/lib_frames.h"
#include "vmm/net/kernel_host.h"
#include "vmm/net/kernel_sweep.h"
#include "vmm/net/wire.h"

#define GUESTS 3
#define BODY   46u
/* Bytes of a capture before its packets, and before each of them. */
#define PCAP_HEADER 24u
#define PCAP_RECORD 16u
/* What is to come, comes within; what is not, has had so much time. */
#define COMES_MS  5000
#define SILENT_MS 150

static const struct stream_label label = {.kind = "capture", .detail = "lan"};

struct fix {
	struct loop *loop;
	struct net *net;
	struct bridge *b;
	struct port *p[GUESTS];
	int fd[GUESTS];
};

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool is_put =
	    fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return is_put;
}

/* As root of a user namespace, whose rights the programs that it runs have. */
static bool enter_as_user(void)
{
	char uid[32], gid[32];

	snprintf(uid, sizeof(uid), "0 %u 1", geteuid());
	snprintf(gid, sizeof(gid), "0 %u 1", getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
	       put("/proc/self/setgroups", "deny") &&
	       put("/proc/self/uid_map", uid) && put("/proc/self/gid_map", gid);
}

/* What forbids these tests here, or NULL; looked for once for all of them. */
static const char *missing(void)
{
	static bool is_known;
	static struct err err;

	if (is_known)
		return err.code ? err.text : NULL;
	if (unshare(CLONE_NEWNET) < 0 && !enter_as_user())
		err_set(&err, -EPERM, "no network namespace can be made");
	else
		kernel_host_check(&err);
	is_known = true;
	return missing();
}

static void open_net(struct fix *f)
{
	struct err err;

	f->loop = loop_new(&err);
	f->net = net_new(f->loop, "/tmp");
	f->b = bridge_new(f->net, "lan", &err);
	if (bridge_use_kernel(f->b, &err) < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	static const char *const names[GUESTS] = {"a", "b", "c"};
	struct fix *f;
	struct err err;

	*state = NULL;
	if (missing())
		return 0;
	f = *state = mem_zalloc(sizeof(*f));
	open_net(f);
	for (int i = 0; i < GUESTS; i++) {
		f->p[i] = bridge_attach(f->b, names[i], &err);
		assert_non_null(f->p[i]);
		assert_int_equal(0, port_plug(f->p[i], &f->fd[i], &err));
		assert_true(port_is_tap(f->p[i]));
	}
	return 0;
}

static size_t count_interfaces(void)
{
	struct if_nameindex *all = if_nameindex();
	size_t n = 0;

	for (struct if_nameindex *i = all; i && i->if_name; i++)
		n += !strncmp(i->if_name, "pv", 2);
	if_freenameindex(all);
	return n;
}

static void close_net(struct fix *f)
{
	bridge_free(f->b);
	net_free(f->net);
	loop_free(f->loop);
}

static int teardown(void **state)
{
	struct fix *f = *state;

	if (!f)
		return 0;
	for (int i = 0; i < GUESTS; i++)
		if (f->fd[i] >= 0)
			close(f->fd[i]);
	close_net(f);
	free(f);
	/* Nothing is left behind, whatever the test was. */
	return count_interfaces() ? -1 : 0;
}

#define NEEDS_KERNEL(f)                                                        \
	do {                                                                   \
		if (!(f))                                                      \
			skip_because(missing());                               \
	} while (0)

/* --- frames ----------------------------------------------------------------
 */

static void say(struct fix *f, int from, const uint8_t *dst, uint8_t id)
{
	uint8_t frame[FRAME_MIN + BODY];
	size_t n = frame_plain(frame, dst, port_mac(f->p[from]), id, BODY);

	assert_int_equal(n, write(f->fd[from], frame, n));
}

/* The next of our frames; its length, or 0: none within the time. */
static size_t hear(struct fix *f, int at, int ms, uint8_t *ret, size_t max)
{
	int64_t deadline = clock_deadline_ns(ms * NS_PER_MS);
	struct pollfd pfd = {f->fd[at], POLLIN, 0};

	for (;;) {
		ssize_t n = read(f->fd[at], ret, max);
		int64_t left = deadline - clock_now_ns();

		if (n > 0 && (size_t)n == FRAME_MIN + BODY)
			return (size_t)n;
		if (n > 0)
			continue;
		if (left <= 0)
			return 0;
		poll(&pfd, 1, (int)(left / NS_PER_MS) + 1);
	}
}

static void assert_hears(struct fix *f, int at, uint8_t id)
{
	uint8_t frame[2048];

	if (!hear(f, at, COMES_MS, frame, sizeof(frame)))
		fail_msg("%d did not hear '%c'", at, id);
	assert_int_equal(id, frame[FRAME_MIN]);
}

static void assert_silent(struct fix *f, int at)
{
	uint8_t frame[2048];

	if (hear(f, at, SILENT_MS, frame, sizeof(frame)))
		fail_msg("%d heard '%c'", at, frame[FRAME_MIN]);
}

/* Each has spoken, so the bridge knows where it is; all has been heard. */
static void introduce(struct fix *f)
{
	for (int i = 0; i < GUESTS; i++) {
		say(f, i, frames_everybody, 'i');
		for (int k = 0; k < GUESTS; k++)
			if (k != i)
				assert_hears(f, k, 'i');
	}
}

static void apply(struct fix *f)
{
	struct err err;

	if (bridge_impaired(f->b, &err) < 0)
		fail_msg("%s", err.text);
}

static struct impairment *rule(struct fix *f, int from, int to)
{
	return bridge_impairment(f->b, from < 0 ? NULL : f->p[from],
				 to < 0 ? NULL : f->p[to]);
}

/* Bytes of the capture since the last call. */
static size_t captured(struct stream *s)
{
	struct stream_wait w;
	size_t n = 0;

	stream_wait_init(&w, s);
	stream_drain(&w, clock_now_ns());
	op_wait(&w.op);
	for (size_t i = 0; i < w.n_frames; i++)
		n += w.frames[i].len;
	stream_wait_done(&w);
	return n;
}

/* --- the bridge ------------------------------------------------------------
 */

static void frames_go_where_they_are_for(void **state)
{
	struct fix *f = *state;

	NEEDS_KERNEL(f);
	introduce(f);
	say(f, 0, port_mac(f->p[1]), '1');
	assert_hears(f, 1, '1');
	assert_silent(f, 2);
	assert_silent(f, 0);
}

static void the_gateway_answers_once(void **state)
{
	struct fix *f = *state;
	uint8_t frame[2048];
	struct pollfd pfd;
	ssize_t n;

	NEEDS_KERNEL(f);
	n = (ssize_t)frame_arp(frame, port_mac(f->p[0]), port_ip(f->p[0]),
			       bridge_ip(f->b));
	assert_int_equal(n, write(f->fd[0], frame, (size_t)n));
	loop_turn(f->loop);
	pfd = (struct pollfd){f->fd[0], POLLIN, 0};
	assert_int_equal(1, poll(&pfd, 1, COMES_MS));
	n = read(f->fd[0], frame, sizeof(frame));
	assert_true(n >= 42);
	assert_memory_equal(frame, port_mac(f->p[0]), MAC_LEN);
	assert_int_equal(ETHER_ARP, be_get16(frame + 12));
	assert_int_equal(ARP_REPLY, be_get16(frame + 20));
	assert_int_equal(-1, read(f->fd[0], frame, sizeof(frame)));
	/* The others were asked, too, and got no answer. */
	assert_true(read(f->fd[1], frame, sizeof(frame)) > 0);
	assert_int_equal(-1, read(f->fd[1], frame, sizeof(frame)));
}

static void nobody_takes_the_gateways_address(void **state)
{
	struct fix *f = *state;
	uint8_t frame[64];
	uint8_t gateway[MAC_LEN];
	size_t n;

	NEEDS_KERNEL(f);
	memcpy(gateway, port_mac(f->p[0]), MAC_LEN);
	gateway[MAC_LEN - 1] = 1;
	n = frame_plain(frame, frames_everybody, gateway, 'g', BODY);
	assert_int_equal(n, write(f->fd[1], frame, n));
	say(f, 0, gateway, '1');
	assert_silent(f, 1);
}

static void an_unplugged_port_hears_nothing_later(void **state)
{
	struct fix *f = *state;

	NEEDS_KERNEL(f);
	introduce(f);
	say(f, 0, port_mac(f->p[1]), '1');
	port_unplug(f->p[1]);
	say(f, 0, port_mac(f->p[1]), '2');
	close(f->fd[1]);
	assert_int_equal(0, port_plug(f->p[1], &f->fd[1], NULL));
	say(f, 0, port_mac(f->p[1]), '3');
	assert_hears(f, 1, '3');
}

static void a_guest_that_is_off_is_sent_nothing(void **state)
{
	struct fix *f = *state;
	struct port *p;
	struct stream *cap;
	int fd;

	NEEDS_KERNEL(f);
	introduce(f);
	p = bridge_attach(f->b, "d", NULL);
	cap =
	    bridge_capture(f->b, p, &(struct capture_options){0}, &label, NULL);
	say(f, 0, frames_everybody, '1');
	assert_hears(f, 1, '1');
	assert_int_equal(PCAP_HEADER, captured(cap));
	/* Nor does it hear of that when it boots. */
	assert_int_equal(0, port_plug(p, &fd, NULL));
	say(f, 0, frames_everybody, '2');
	assert_hears(f, 1, '2');
	assert_int_equal(PCAP_RECORD + FRAME_MIN + BODY, captured(cap));
	stream_free(cap);
	close(fd);
	port_free(p);
}

static void without_a_link_nothing_passes(void **state)
{
	struct fix *f = *state;

	NEEDS_KERNEL(f);
	introduce(f);
	port_set_link(f->p[1], false);
	say(f, 0, port_mac(f->p[1]), '1');
	say(f, 1, port_mac(f->p[0]), '2');
	assert_silent(f, 1);
	assert_silent(f, 0);
	port_set_link(f->p[1], true);
	say(f, 0, port_mac(f->p[1]), '3');
	assert_hears(f, 1, '3');
}

/* A NIC that had no cable when its guest booted. */
static void a_socket_is_joined_with_a_tap(void **state)
{
	static const uint8_t mac[MAC_LEN] = {0x52, 0x54, 0, 0x10, 0, 9};
	struct fix *f = *state;
	struct port *p;
	uint8_t frame[4 + 64] = {0}, got[2048];
	struct wire_socket ours;
	int theirs;
	size_t n;

	NEEDS_KERNEL(f);
	introduce(f);
	p = bridge_attach(f->b, "d", NULL);
	assert_int_equal(0, wire_pair(&ours, &theirs, NULL));
	assert_int_equal(0, port_give(p, &ours, mac, NULL));
	assert_false(port_is_tap(p));
	n = frame_plain(frame + 4, port_mac(f->p[0]), mac, '1', BODY);
	frame[3] = (uint8_t)n;
	assert_int_equal(4 + n, write(theirs, frame, 4 + n));
	loop_turn(f->loop);
	assert_hears(f, 0, '1');
	say(f, 0, mac, '2');
	loop_turn(f->loop);
	loop_poll(f->loop); /* what was gathered leaves */
	assert_int_equal(4 + n, read(theirs, got, sizeof(got)));
	assert_int_equal('2', got[4 + FRAME_MIN]);
	port_take(p, &ours);
	assert_true(ours.fd >= 0);
	port_free(p);
	wire_socket_close(&ours);
	close(theirs);
}

static void counters_are_the_guests(void **state)
{
	struct fix *f = *state;
	struct port_counters before, c;

	NEEDS_KERNEL(f);
	introduce(f);
	port_counters(f->p[1], &before);
	say(f, 0, port_mac(f->p[1]), '1');
	say(f, 0, port_mac(f->p[1]), '2');
	say(f, 1, port_mac(f->p[0]), '3');
	assert_hears(f, 1, '1');
	assert_hears(f, 1, '2');
	port_counters(f->p[1], &c);
	assert_int_equal(2, c.rx_frames - before.rx_frames);
	assert_int_equal(2 * (FRAME_MIN + BODY), c.rx_bytes - before.rx_bytes);
	assert_int_equal(1, c.tx_frames - before.tx_frames);
	/* What it does not read is not its own. */
	say(f, 0, port_mac(f->p[1]), '4');
	port_unplug(f->p[1]);
	port_counters(f->p[1], &before);
	assert_int_equal(c.rx_frames, before.rx_frames);
	assert_int_equal(c.rx_bytes, before.rx_bytes);
}

/* --- captures ---------------------------------------------------------------
 */

static void captures_see_each_frame_once(void **state)
{
	const size_t record = PCAP_RECORD + FRAME_MIN + BODY;
	struct fix *f = *state;
	struct stream *all, *one;
	struct err err = {0};

	NEEDS_KERNEL(f);
	introduce(f);
	say(f, 0, frames_everybody, '0');
	all = bridge_capture(f->b, NULL, &(struct capture_options){0}, &label,
			     &err);
	one = bridge_capture(f->b, f->p[1], &(struct capture_options){0},
			     &label, &err);
	if (!all || !one)
		fail_msg("%s", err.text);
	assert_int_equal(PCAP_HEADER, captured(all));
	assert_int_equal(PCAP_HEADER, captured(one));
	say(f, 0, port_mac(f->p[2]), '1');
	say(f, 0, port_mac(f->p[1]), '2');
	say(f, 1, frames_everybody, '3');
	/* At once: they have passed the bridge, whoever has read them. */
	assert_int_equal(3 * record, captured(all));
	assert_int_equal(2 * record, captured(one));
	port_free(f->p[1]);
	captured(one);
	assert_true(stream_eof(one));
	assert_false(stream_eof(all));
	stream_free(one);
	stream_free(all);
	assert_null(TAILQ_FIRST(bridge_captures(f->b)));
}

/* --- impairments ------------------------------------------------------------
 */

static void cuts_are_of_their_direction(void **state)
{
	struct fix *f = *state;

	NEEDS_KERNEL(f);
	introduce(f);
	rule(f, 0, 1)->cuts = CUT_PARTITION;
	apply(f);
	say(f, 0, port_mac(f->p[1]), '1');
	say(f, 1, port_mac(f->p[0]), '2');
	say(f, 0, frames_everybody, '3');
	assert_hears(f, 0, '2');
	assert_hears(f, 2, '3');
	assert_silent(f, 1);
	assert_int_equal(0, bridge_reset_impairments(f->b, NULL));
	say(f, 0, port_mac(f->p[1]), '4');
	assert_hears(f, 1, '4');
}

static void rules_hold_for_who_comes_later(void **state)
{
	struct fix *f = *state;
	struct port *p;
	uint8_t frame[64];
	size_t n;
	int fd;

	NEEDS_KERNEL(f);
	introduce(f);
	rule(f, -1, 0)->cuts = CUT_ISOLATION;
	apply(f);
	p = bridge_attach(f->b, "d", NULL);
	assert_int_equal(0, port_plug(p, &fd, NULL));
	n = frame_plain(frame, frames_everybody, port_mac(p), '1', BODY);
	assert_int_equal(n, write(fd, frame, n));
	assert_hears(f, 1, '1');
	assert_silent(f, 0);
	close(fd);
	port_free(p);
}

/* 8 Mbit/s: 1000 frames of 60 bytes take 60 ms less what a burst is. */
static void pipes_hold_frames_back(void **state)
{
	static const struct {
		int from, to;
	} pairs[] = {{0, 1}, {-1, 1}, {0, -1}, {-1, -1}};
	struct fix *f = *state;

	NEEDS_KERNEL(f);
	introduce(f);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		int64_t from_ns;

		rule(f, pairs[i].from, pairs[i].to)->bps = 1000000;
		apply(f);
		from_ns = clock_now_ns();
		for (int n = 0; n < 200; n++)
			say(f, 0, port_mac(f->p[1]), (uint8_t)n);
		for (int n = 0; n < 200; n++)
			assert_hears(f, 1, (uint8_t)n);
		/* 96 ms, less the burst of some two frames of 1500 bytes. */
		assert_true(clock_now_ns() - from_ns >= 60 * NS_PER_MS);
		assert_int_equal(0, bridge_reset_impairments(f->b, NULL));
	}
	say(f, 0, port_mac(f->p[1]), 'x');
	assert_hears(f, 1, 'x');
}

static void a_seed_is_refused(void **state)
{
	struct fix *f = *state;
	struct err err;

	NEEDS_KERNEL(f);
	assert_int_equal(-ENOTSUP, bridge_seed(f->b, 1, &err));
	assert_non_null(strstr(err.text, "takes no seed"));
}

/* --- netem ------------------------------------------------------------------
 */

/* Whether it is here; if not, what was asked for has not happened. */
static bool has_netem(struct fix *f)
{
	struct err err;

	rule(f, 0, 1)->latency_ns = NS_PER_MS;
	if (bridge_impaired(f->b, &err) == 0) {
		bridge_reset_impairments(f->b, NULL);
		return true;
	}
	if (!strstr(err.text, "this kernel has no netem"))
		fail_msg("%s", err.text);
	return false;
}

#define NEEDS_NETEM(f)                                                         \
	do {                                                                   \
		NEEDS_KERNEL(f);                                               \
		if (!has_netem(f))                                             \
			skip_because("this kernel has no netem");              \
		introduce(f);                                                  \
	} while (0)

static void what_is_refused_has_not_happened(void **state)
{
	struct fix *f = *state;

	NEEDS_KERNEL(f);
	introduce(f);
	if (has_netem(f))
		skip_because("this kernel has netem");
	rule(f, 0, 2)->cuts = CUT_PARTITION;
	rule(f, 1, 2)->bps = 1000000;
	apply(f);
	assert_false(has_netem(f));
	assert_int_equal(
	    0, bridge_get_impairment(f->b, f->p[0], f->p[1]).latency_ns);
	assert_int_equal(CUT_PARTITION,
			 bridge_get_impairment(f->b, f->p[0], f->p[2]).cuts);
	say(f, 0, port_mac(f->p[2]), '1');
	assert_silent(f, 2);
	say(f, 0, port_mac(f->p[1]), '2');
	assert_hears(f, 1, '2');
}

static void latency_delays(void **state)
{
	struct fix *f = *state;
	int64_t from_ns;

	NEEDS_NETEM(f);
	rule(f, 0, 1)->latency_ns = 100 * NS_PER_MS;
	rule(f, -1, 1)->latency_ns = 50 * NS_PER_MS;
	apply(f);
	from_ns = clock_now_ns();
	say(f, 0, port_mac(f->p[1]), '1');
	say(f, 2, port_mac(f->p[1]), '2');
	assert_hears(f, 1, '2');
	assert_true(clock_now_ns() - from_ns >= 50 * NS_PER_MS);
	assert_hears(f, 1, '1');
	assert_true(clock_now_ns() - from_ns >= 150 * NS_PER_MS);
}

/* A latency that is longer than a slow machine takes to cut the network. */
static void what_is_on_its_way_is_cut(void **state)
{
	struct fix *f = *state;
	uint8_t frame[2048];

	NEEDS_NETEM(f);
	rule(f, 0, 1)->latency_ns = 5 * NS_PER_SEC;
	apply(f);
	say(f, 0, port_mac(f->p[1]), '1');
	rule(f, 0, 1)->cuts = CUT_PARTITION;
	apply(f);
	assert_int_equal(0, hear(f, 1, 5500, frame, sizeof(frame)));
}

static void jitter_keeps_the_order(void **state)
{
	struct fix *f = *state;

	NEEDS_NETEM(f);
	rule(f, 0, 1)->latency_ns = 20 * NS_PER_MS;
	rule(f, 0, 1)->jitter_ns = 20 * NS_PER_MS;
	apply(f);
	for (int i = 0; i < 100; i++)
		say(f, 0, port_mac(f->p[1]), (uint8_t)i);
	for (int i = 0; i < 100; i++)
		assert_hears(f, 1, (uint8_t)i);
}

/* Sends n frames, and counts what of them comes. */
static int pass(struct fix *f, int n)
{
	uint8_t frame[2048];
	int came = 0;

	for (int i = 0; i < n; i++)
		say(f, 0, port_mac(f->p[1]), (uint8_t)i);
	while (hear(f, 1, 2 * SILENT_MS, frame, sizeof(frame)))
		came++;
	return came;
}

static void loss_loses_its_part(void **state)
{
	struct fix *f = *state;

	NEEDS_KERNEL(f);
	introduce(f);
	rule(f, 0, 1)->chance[CHANCE_DROP] = 1;
	apply(f);
	assert_int_equal(0, pass(f, 100));
	rule(f, 0, 1)->chance[CHANCE_DROP] = 0.5;
	apply(f);
	/* Beyond eight standard deviations. */
	assert_in_range(pass(f, 400), 120, 280);
	rule(f, 0, 1)->chance[CHANCE_DROP] = 0;
	apply(f);
	assert_int_equal(100, pass(f, 100));
}

#define ROUNDS	   4
#define OF_A_ROUND 250

/* Sends frames in rounds, and counts those of which none, one and two came. */
static void pass_each(struct fix *f, int ret_came[3])
{
	uint8_t frame[2048];

	memset(ret_came, 0, 3 * sizeof(*ret_came));
	for (int i = 0; i < ROUNDS; i++) {
		unsigned came[256] = {0};

		for (int n = 0; n < OF_A_ROUND; n++)
			say(f, 0, port_mac(f->p[1]), (uint8_t)n);
		while (hear(f, 1, 2 * SILENT_MS, frame, sizeof(frame)))
			came[frame[FRAME_MIN]]++;
		for (int n = 0; n < OF_A_ROUND; n++) {
			assert_in_range(came[n], 0, 2);
			ret_came[came[n]]++;
		}
	}
}

/* The bounds are eight standard deviations from what is to be. */
static void loss_and_duplicates_are_independent(void **state)
{
	struct fix *f = *state;
	int came[3];

	NEEDS_NETEM(f);
	rule(f, -1, 1)->chance[CHANCE_DROP] = 1;
	rule(f, -1, 1)->chance[CHANCE_DUPLICATE] = 1;
	apply(f);
	pass_each(f, came);
	assert_int_equal(ROUNDS * OF_A_ROUND, came[0]);
	rule(f, -1, 1)->chance[CHANCE_DROP] = 0.5;
	apply(f);
	pass_each(f, came);
	assert_int_equal(0, came[1]);
	assert_in_range(came[2], 374, 626);
	rule(f, -1, 1)->chance[CHANCE_DUPLICATE] = 0.5;
	apply(f);
	pass_each(f, came);
	assert_in_range(came[0], 374, 626);
	assert_in_range(came[1], 141, 359);
	assert_in_range(came[2], 141, 359);
}

static void duplicates_come_twice(void **state)
{
	struct fix *f = *state;

	NEEDS_NETEM(f);
	rule(f, -1, -1)->chance[CHANCE_DUPLICATE] = 1;
	apply(f);
	assert_int_equal(200, pass(f, 100));
	say(f, 2, port_mac(f->p[1]), 'x');
	assert_hears(f, 1, 'x');
	assert_hears(f, 1, 'x');
}

/* Several netems where one duplicates: old kernels do it, new ones refuse. */
static void duplicates_beside_others_are_done_or_refused(void **state)
{
	struct fix *f = *state;
	struct err err;

	NEEDS_NETEM(f);
	rule(f, 2, 1)->latency_ns = NS_PER_MS;
	apply(f);
	rule(f, 0, 1)->chance[CHANCE_DUPLICATE] = 1;
	if (bridge_impaired(f->b, &err) < 0) {
		print_message("%s\n", err.text);
		assert_non_null(strstr(err.text, "this kernel duplicates"));
		assert_true(bridge_get_impairment(f->b, f->p[0], f->p[1])
				.chance[CHANCE_DUPLICATE] == 0);
		assert_int_equal(50, pass(f, 50));
	} else {
		assert_int_equal(100, pass(f, 50));
	}
}

static void reordering_loses_nothing(void **state)
{
	struct fix *f = *state;
	uint8_t frame[2048];
	int came = 0, passed_by = 0;
	int highest = -1;

	NEEDS_NETEM(f);
	rule(f, 0, 1)->chance[CHANCE_REORDER] = 0.3;
	apply(f);
	for (int i = 0; i < 200; i++)
		say(f, 0, port_mac(f->p[1]), (uint8_t)i);
	while (hear(f, 1, 2 * SILENT_MS, frame, sizeof(frame))) {
		came++;
		if (frame[FRAME_MIN] < highest)
			passed_by++;
		else
			highest = frame[FRAME_MIN];
	}
	assert_int_equal(200, came);
	assert_true(passed_by > 0);
}

/* One bit of each frame, which may be one of its addresses. */
static void corruption_flips_a_bit(void **state)
{
	struct fix *f = *state;
	uint8_t frame[FRAME_MIN + BODY], got[2048];
	unsigned bits;

	NEEDS_NETEM(f);
	rule(f, 0, 1)->chance[CHANCE_CORRUPT] = 1;
	apply(f);
	frame_plain(frame, port_mac(f->p[1]), port_mac(f->p[0]), 'x', BODY);
	for (int i = 0; i < 20; i++) {
		say(f, 0, port_mac(f->p[1]), 'x');
		assert_true(hear(f, 1, COMES_MS, got, sizeof(got)));
		bits = 0;
		for (size_t k = 0; k < sizeof(frame); k++)
			bits += (unsigned)__builtin_popcount(frame[k] ^ got[k]);
		assert_int_equal(1, bits);
	}
	rule(f, 0, 1)->chance[CHANCE_CORRUPT] = 0;
	rule(f, 0, 1)->latency_ns = NS_PER_MS;
	apply(f);
	say(f, 0, port_mac(f->p[1]), 'x');
	assert_true(hear(f, 1, COMES_MS, got, sizeof(got)));
	assert_memory_equal(frame, got, sizeof(frame));
}

static void pipes_and_latencies_add_up(void **state)
{
	struct fix *f = *state;
	int64_t from_ns;

	NEEDS_NETEM(f);
	rule(f, 0, 1)->latency_ns = 50 * NS_PER_MS;
	rule(f, -1, 1)->bps = 1000000;
	rule(f, 0, -1)->bps = 2000000;
	apply(f);
	from_ns = clock_now_ns();
	for (int n = 0; n < 200; n++)
		say(f, 0, port_mac(f->p[1]), (uint8_t)n);
	for (int n = 0; n < 200; n++)
		assert_hears(f, 1, (uint8_t)n);
	assert_true(clock_now_ns() - from_ns >= 110 * NS_PER_MS);
}

/* --- what is left of the dead -----------------------------------------------
 */

/* A process that makes a bridge and is killed. */
static void die_with_a_bridge(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct fix f = {0};

		open_net(&f);
		rule(&f, -1, -1)->bps = 1000000;
		f.p[0] = bridge_attach(f.b, "a", NULL);
		raise(SIGKILL);
	}
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_true(WIFSIGNALED(status));
}

static void what_a_dead_run_left_is_swept(void **state)
{
	struct strvec found = {0};
	struct fix *f = *state;
	size_t alive;

	NEEDS_KERNEL(f);
	alive = count_interfaces();
	die_with_a_bridge();
	kernel_sweep_find(&found);
	/* Its bridge and its IFB; not ours. */
	assert_int_equal(2, found.n);
	kernel_sweep();
	assert_int_equal(alive, count_interfaces());
	introduce(f);
	die_with_a_bridge();
	kernel_sweep();
	strvec_done(&found);
	kernel_sweep_find(&found);
	assert_int_equal(0, found.n);
	strvec_done(&found);
}

static void names_go_on_from_bridge_to_bridge(void **state)
{
	struct fix *f = *state;
	struct bridge *other;
	struct err err;

	NEEDS_KERNEL(f);
	other = bridge_new(f->net, "other", &err);
	assert_int_equal(0, bridge_use_kernel(other, &err));
	assert_non_null(bridge_attach(other, "a", &err));
	introduce(f);
	bridge_free(other);
	other = bridge_new(f->net, "other", &err);
	assert_int_equal(0, bridge_use_kernel(other, &err));
	assert_true(bridge_is_kernel(other));
	bridge_free(other);
	introduce(f);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    TEST(frames_go_where_they_are_for),
	    TEST(the_gateway_answers_once),
	    TEST(nobody_takes_the_gateways_address),
	    TEST(an_unplugged_port_hears_nothing_later),
	    TEST(a_guest_that_is_off_is_sent_nothing),
	    TEST(without_a_link_nothing_passes),
	    TEST(a_socket_is_joined_with_a_tap),
	    TEST(counters_are_the_guests),
	    TEST(captures_see_each_frame_once),
	    TEST(cuts_are_of_their_direction),
	    TEST(rules_hold_for_who_comes_later),
	    TEST(pipes_hold_frames_back),
	    TEST(a_seed_is_refused),
	    TEST(what_is_refused_has_not_happened),
	    TEST(latency_delays),
	    TEST(what_is_on_its_way_is_cut),
	    TEST(jitter_keeps_the_order),
	    TEST(loss_loses_its_part),
	    TEST(loss_and_duplicates_are_independent),
	    TEST(duplicates_come_twice),
	    TEST(duplicates_beside_others_are_done_or_refused),
	    TEST(reordering_loses_nothing),
	    TEST(corruption_flips_a_bit),
	    TEST(pipes_and_latencies_add_up),
	    TEST(what_a_dead_run_left_is_swept),
	    TEST(names_go_on_from_bridge_to_bridge),
	};

	return cmocka_run_group_tests_name("net_kernel", tests, NULL, NULL);
}
