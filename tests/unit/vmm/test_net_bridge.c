/* SPDX-License-Identifier: MIT */
#include "vmm/net/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "tests/unit/skip.h"
#include "tests/unit/vmm/lib_frames.h"
#include "tests/unit/vmm/lib_peer.h"
#include "tests/unit/vmm/lib_tap.h"
#include "vmm/net/bridge_private.h"
#include "vmm/net/leases.h"

struct fix {
	struct loop *loop;
	struct net *net;
	struct bridge *b; /* "lan", 10.77.1.0/24 */
	struct port *p[2];
	int fd[2]; /* QEMU's ends of them */
	uint8_t frame[FRAME_MAX];
};

static int setup(void **state)
{
	static const char *const names[] = {"alice", "bob"};
	struct fix *f = mem_zalloc(sizeof(*f));
	struct err err;

	f->loop = loop_new(&err);
	assert_non_null(f->loop);
	f->net = net_new(f->loop, "/nonexistent");
	f->b = bridge_new(f->net, "lan", &err);
	assert_non_null(f->b);
	for (int i = 0; i < 2; i++) {
		f->p[i] = bridge_attach(f->b, names[i], &err);
		assert_non_null(f->p[i]);
		assert_int_equal(0, port_plug(f->p[i], &f->fd[i], &err));
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
		if (f->fd[i] >= 0)
			close(f->fd[i]);
	free(f);
	return 0;
}

/* Sends it as QEMU would, and lets the loop carry it. */
static void say(struct fix *f, int fd, size_t n)
{
	assert_int_equal(n, peer_send(fd, f->frame, n));
	loop_poll(f->loop);
}

/* What has come, into f->frame; 0: nothing. Frames are carried in the turn in
 * which they are read. */
static size_t hear(struct fix *f, int fd)
{
	ssize_t r = peer_recv(fd, f->frame, sizeof(f->frame));

	return r < 0 ? 0 : (size_t)r;
}

/* The UDP payload of the frame that was heard. */
static const uint8_t *udp_in(struct fix *f, size_t n, size_t *ret_len,
			     uint16_t sport, uint16_t dport)
{
	struct eth_view eth;
	struct ipv4_view ip;
	struct udp_view udp;

	assert_true(eth_parse(&eth, f->frame, n));
	assert_int_equal(ETHER_IPV4, eth.type);
	assert_true(ipv4_parse(&ip, eth.body, eth.len));
	assert_true(udp_parse(&udp, &ip));
	assert_int_equal(sport, udp.sport);
	assert_int_equal(dport, udp.dport);
	*ret_len = udp.len;
	return udp.body;
}

static struct packet_path path_of(const struct port *p)
{
	struct packet_path path = {.src_ip = port_ip(p),
				   .dst_ip = bridge_ip(port_bridge(p))};

	memcpy(path.src_mac, port_mac(p), MAC_LEN);
	memcpy(path.dst_mac, p->bridge->gateway.mac, MAC_LEN);
	return path;
}

/* Asks DNS for an address; 0: no such name. */
static uint32_t resolve(struct fix *f, struct port *p, int fd, const char *name)
{
	struct packet_path path = path_of(p);
	uint8_t query[300];
	const uint8_t *r;
	size_t n;

	path.sport = 1234;
	path.dport = 53;
	n = dns_query(query, 7, name, Q_A);
	say(f, fd, frame_udp(f->frame, &path, query, n));
	n = hear(f, fd);
	assert_int_not_equal(0, n);
	r = udp_in(f, n, &n, 53, 1234);
	assert_int_equal(7, be_get16(r));
	if ((r[3] & 0xf) == 3)
		return 0;
	assert_int_equal(0, r[3] & 0xf);
	assert_int_equal(1, be_get16(r + 6));
	return be_get32(r + n - 4);
}

static void drain(struct fix *f)
{
	for (int i = 0; i < 2; i++)
		while (f->fd[i] >= 0 && hear(f, f->fd[i]))
			;
}

/* --- addresses ----------------------------------------------------------- */

static void addresses_follow_from_the_order(void **state)
{
	struct fix *f = *state;
	char mac[MAC_TEXT_MAX], ip[IPV4_TEXT_MAX];

	mac_format(port_mac(f->p[0]), mac);
	assert_string_equal("52:54:00:00:01:0a", mac);
	ipv4_format(port_ip(f->p[0]), ip);
	assert_string_equal("10.77.1.10", ip);
	ipv4_format(port_ip(f->p[1]), ip);
	assert_string_equal("10.77.1.11", ip);
	ipv4_format(bridge_ip(f->b), ip);
	assert_string_equal("10.77.1.1", ip);
}

static void freed_numbers_are_given_again_lowest_first(void **state)
{
	struct fix *f = *state;
	struct bridge *b2 = bridge_new(f->net, "b2", NULL);
	struct bridge *b3 = bridge_new(f->net, "b3", NULL);
	uint32_t second = bridge_ip(b2);
	uint32_t alice = port_ip(f->p[0]);

	bridge_free(b2);
	b2 = bridge_new(f->net, "again", NULL);
	assert_int_equal(second, bridge_ip(b2));
	assert_int_equal(IP(10, 77, 3, 1), bridge_ip(b3));
	bridge_free(b2);
	bridge_free(b3);

	port_free(f->p[0]);
	f->p[0] = bridge_attach(f->b, "carol", NULL);
	assert_int_equal(alice, port_ip(f->p[0]));
}

static void a_bridge_has_so_many_ports_and_a_net_so_many_bridges(void **state)
{
	struct fix *f = *state;
	struct bridge *b[BRIDGES_MAX];
	char name[32];
	struct err err;
	unsigned n;

	for (n = 2; n < PORTS_MAX; n++) {
		snprintf(name, sizeof(name), "g%u", n);
		assert_non_null(bridge_attach(f->b, name, &err));
	}
	assert_null(bridge_attach(f->b, "late", &err));
	assert_int_equal(-ENOSPC, err.code);
	assert_non_null(strstr(err.text, "'late'"));
	for (n = 1; n < BRIDGES_MAX; n++)
		assert_non_null(b[n] = bridge_new(f->net, "x", &err));
	assert_null(bridge_new(f->net, "y", &err));
	assert_int_equal(-ENOSPC, err.code);
	for (n = 1; n < BRIDGES_MAX; n++)
		bridge_free(b[n]);
}

static void a_guest_has_one_port_on_a_bridge(void **state)
{
	struct fix *f = *state;
	struct err err;

	assert_null(bridge_attach(f->b, "alice", &err));
	assert_int_equal(-EEXIST, err.code);
	assert_string_equal("'alice' is on bridge 'lan' already", err.text);
}

/* --- frames -------------------------------------------------------------- */

static void a_broadcast_reaches_the_other_and_not_its_sender(void **state)
{
	struct fix *f = *state;
	struct port_counters c;
	size_t n =
	    frame_plain(f->frame, frames_everybody, port_mac(f->p[0]), 1, 100);

	say(f, f->fd[0], n);
	assert_int_equal(n, hear(f, f->fd[1]));
	assert_int_equal(1, f->frame[FRAME_MIN]);
	assert_int_equal(0, hear(f, f->fd[0]));
	port_counters(f->p[0], &c);
	assert_int_equal(1, c.tx_frames);
	assert_int_equal(n, c.tx_bytes);
	assert_int_equal(0, c.rx_frames);
	port_counters(f->p[1], &c);
	assert_int_equal(1, c.rx_frames);
	assert_int_equal(n, c.rx_bytes);
	assert_int_equal(0, c.tx_frames);
}

static void what_is_no_frame_counts_as_an_error(void **state)
{
	struct fix *f = *state;
	uint8_t *big = mem_zalloc(FRAME_MAX + 1);
	struct port_counters c;

	say(f, f->fd[0], 0);
	say(f, f->fd[0], FRAME_MIN - 1);
	/* From the address of a group. */
	say(f, f->fd[0],
	    frame_plain(f->frame, port_mac(f->p[1]), frames_everybody, 1, 9));
	assert_int_equal(FRAME_MAX + 1,
			 peer_send(f->fd[0], big, FRAME_MAX + 1));
	loop_poll(f->loop);
	free(big);
	assert_int_equal(0, hear(f, f->fd[1]));
	port_counters(f->p[0], &c);
	assert_int_equal(4, c.errors);
	assert_int_equal(0, c.tx_frames);
}

static void the_longest_frame_passes(void **state)
{
	struct fix *f = *state;
	size_t n = frame_plain(f->frame, frames_everybody, port_mac(f->p[0]), 3,
			       FRAME_MAX - FRAME_MIN);

	say(f, f->fd[0], n);
	assert_int_equal(FRAME_MAX, hear(f, f->fd[1]));
}

static void the_gateway_answers_pings_of_any_size(void **state)
{
	struct fix *f = *state;
	struct packet_path path = path_of(f->p[0]);
	static const size_t sizes[] = {0, 1, 56, 1472, 60000};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t n = frame_ping(f->frame, &path, 9, sizes[i]);
		struct eth_view eth;
		struct ipv4_view ip;
		struct icmp_view icmp;

		say(f, f->fd[0], n);
		assert_int_equal(n, hear(f, f->fd[0]));
		assert_true(eth_parse(&eth, f->frame, n));
		assert_memory_equal(eth.dst, port_mac(f->p[0]), MAC_LEN);
		assert_true(ipv4_parse(&ip, eth.body, eth.len));
		assert_int_equal(bridge_ip(f->b), ip.src);
		assert_int_equal(port_ip(f->p[0]), ip.dst);
		assert_true(icmp_parse(&icmp, &ip));
		assert_int_equal(ICMP_ECHO_REPLY, icmp.type);
		assert_int_equal(9, be_get16(icmp.rest));
		assert_int_equal(4 + sizes[i], icmp.len);
	}
	assert_int_equal(0, hear(f, f->fd[1]));
}

/* --- leases -------------------------------------------------------------- */

static void lease(struct fix *f, int i, uint32_t ip)
{
	struct dhcp_ask ask = {.type = D_REQUEST, .requested = ip, .xid = 5};
	const uint8_t *r;
	size_t n;

	memcpy(ask.mac, port_mac(f->p[i]), MAC_LEN);
	say(f, f->fd[i], frame_dhcp(f->frame, &ask));
	n = hear(f, f->fd[i]);
	r = udp_in(f, n, &n, 67, 68);
	assert_int_equal(ip == port_ip(f->p[i]) ? D_ACK : D_NAK,
			 dhcp_type(r, n));
}

static void a_lease_is_told_until_the_guest_is_off(void **state)
{
	struct fix *f = *state;

	assert_false(port_has_lease(f->p[0]));
	lease(f, 0, port_ip(f->p[1]));
	assert_false(port_has_lease(f->p[0]));
	lease(f, 0, port_ip(f->p[0]));
	assert_true(port_has_lease(f->p[0]));
	assert_false(port_has_lease(f->p[1]));
	port_unplug(f->p[0]);
	assert_false(port_has_lease(f->p[0]));
}

static void a_request_that_a_guest_lets_through_is_not_answered(void **state)
{
	struct fix *f = *state;
	struct dhcp_ask ask = {.type = D_DISCOVER};

	/* bob bridges: alice's request comes out of his port. */
	memcpy(ask.mac, port_mac(f->p[0]), MAC_LEN);
	say(f, f->fd[1], frame_dhcp(f->frame, &ask));
	assert_int_not_equal(0, hear(f, f->fd[0])); /* the broadcast */
	assert_int_equal(0, hear(f, f->fd[1]));
	assert_int_equal(0, hear(f, f->fd[0]));
}

static void a_guest_with_an_address_of_its_own_making_gets_a_lease(void **state)
{
	struct fix *f = *state;
	struct dhcp_ask ask = {.type = D_DISCOVER,
			       .mac = {0x02, 1, 2, 3, 4, 5}};
	const uint8_t *r;
	size_t n;

	say(f, f->fd[1], frame_dhcp(f->frame, &ask));
	n = hear(f, f->fd[1]);
	r = udp_in(f, n, &n, 67, 68);
	assert_int_equal(D_OFFER, dhcp_type(r, n));
	assert_int_equal(port_ip(f->p[1]), be_get32(r + 16));
}

/* The address that a client behind a guest's NIC is offered, or 0; and takes.
 */
static uint32_t take_lease(struct fix *f, int i, uint8_t mac, const char *id,
			   uint32_t wanted)
{
	struct dhcp_ask ask = {.type = D_DISCOVER,
			       .mac = {2, 0, 0, 0, 0, mac},
			       .id = id,
			       .requested = wanted};
	const uint8_t *r;
	size_t n;

	if (!mac)
		memcpy(ask.mac, port_mac(f->p[i]), MAC_LEN);
	say(f, f->fd[i], frame_dhcp(f->frame, &ask));
	n = hear(f, f->fd[i]);
	if (!n)
		return 0;
	r = udp_in(f, n, &n, 67, 68);
	assert_int_equal(D_OFFER, dhcp_type(r, n));
	ask.requested = be_get32(r + 16);
	ask.type = D_REQUEST;
	say(f, f->fd[i], frame_dhcp(f->frame, &ask));
	n = hear(f, f->fd[i]);
	r = udp_in(f, n, &n, 67, 68);
	assert_int_equal(D_ACK, dhcp_type(r, n));
	assert_int_equal(ask.requested, be_get32(r + 16));
	while (hear(f, f->fd[!i])) /* of the broadcasts */
		;
	return ask.requested;
}

static void clients_behind_one_nic_have_addresses_of_their_own(void **state)
{
	struct fix *f = *state;
	uint32_t last = (bridge_ip(f->b) & 0xffffff00) | 254;

	assert_int_equal(port_ip(f->p[0]), take_lease(f, 0, 0, NULL, 0));
	assert_int_equal(last, take_lease(f, 0, 7, NULL, 0));
	assert_int_equal(last - 1, take_lease(f, 0, 8, NULL, 0));
	/* By the identifier, where there is one. */
	assert_int_equal(last - 2, take_lease(f, 0, 9, "x", 0));
	assert_int_equal(last - 3, take_lease(f, 0, 9, "y", 0));
	assert_int_equal(last - 2, take_lease(f, 0, 10, "x", 0));
	/* Each again has what it has, and behind another NIC it is another. */
	assert_int_equal(last, take_lease(f, 0, 7, NULL, 0));
	assert_int_equal(port_ip(f->p[0]), take_lease(f, 0, 0, "stage 2", 0));
	assert_int_equal(port_ip(f->p[1]), take_lease(f, 1, 7, NULL, 0));
	assert_int_equal(last - 4, take_lease(f, 1, 0, NULL, 0));
	assert_true(port_has_lease(f->p[0]));
}

static void a_client_gets_back_what_it_had(void **state)
{
	struct fix *f = *state;
	uint32_t net = bridge_ip(f->b) & 0xffffff00;

	/* That its guest was restored, nobody has told the bridge. */
	assert_int_equal(net | 200, take_lease(f, 0, 7, NULL, net | 200));
	assert_int_equal(port_ip(f->p[0]), take_lease(f, 0, 0, NULL, 0));
	/* Not what is another's, or of another network. */
	assert_int_equal(net | 254, take_lease(f, 0, 8, NULL, net | 200));
	assert_int_equal(net | 253, take_lease(f, 0, 9, NULL, net | 1));
	assert_int_equal(net | 252, take_lease(f, 0, 10, NULL, 0x0a000005));
	assert_int_equal(net | 251,
			 take_lease(f, 0, 11, NULL, port_ip(f->p[1])));
}

static void one_guest_takes_not_all_addresses(void **state)
{
	struct fix *f = *state;
	struct dhcp_ask release = {.type = D_RELEASE,
				   .mac = {2, 0, 0, 0, 0, 1}};
	uint8_t i;

	for (i = 1; i <= LEASES_PORT_MAX; i++)
		assert_int_not_equal(0, take_lease(f, 0, i, NULL, 0));
	assert_int_equal(0, take_lease(f, 0, i, NULL, 0));
	while (hear(f, f->fd[1]))
		;
	assert_int_not_equal(0, take_lease(f, 1, i, NULL, 0));
	/* Until one is returned, or the guest goes. */
	say(f, f->fd[0], frame_dhcp(f->frame, &release));
	assert_int_not_equal(0, take_lease(f, 0, i, NULL, 0));
	port_unplug(f->p[0]);
	close(f->fd[0]);
	assert_int_equal(0, port_plug(f->p[0], &f->fd[0], NULL));
	assert_int_equal(port_ip(f->p[0]), take_lease(f, 0, 0, NULL, 0));
}

/* --- names --------------------------------------------------------------- */

static void guests_of_a_bridge_know_each_other(void **state)
{
	struct fix *f = *state;

	assert_int_equal(port_ip(f->p[1]),
			 resolve(f, f->p[0], f->fd[0], "bob"));
	assert_int_equal(port_ip(f->p[1]),
			 resolve(f, f->p[0], f->fd[0], "BOB.Lan"));
	assert_int_equal(port_ip(f->p[0]),
			 resolve(f, f->p[0], f->fd[0], "alice"));
	assert_int_equal(bridge_ip(f->b),
			 resolve(f, f->p[0], f->fd[0], "gateway.lan"));
	assert_int_equal(0, resolve(f, f->p[0], f->fd[0], "carol"));
	assert_int_equal(0, resolve(f, f->p[0], f->fd[0], "bob.wan"));
	assert_int_equal(0, resolve(f, f->p[0], f->fd[0], "bob.lan.lan"));
}

static void names_are_those_of_every_bridge_the_guest_is_on(void **state)
{
	struct fix *f = *state;
	struct bridge *wan = bridge_new(f->net, "wan", NULL);
	struct port *dave = bridge_attach(wan, "dave", NULL);
	struct port *bob = bridge_attach(wan, "bob", NULL);
	struct port *alice = f->p[0], *bob_lan = f->p[1];

	/* bob is on both, alice only on one. */
	assert_int_equal(port_ip(dave), resolve(f, bob_lan, f->fd[1], "dave"));
	assert_int_equal(port_ip(dave),
			 resolve(f, bob_lan, f->fd[1], "dave.wan"));
	assert_int_equal(port_ip(bob),
			 resolve(f, bob_lan, f->fd[1], "bob.wan"));
	/* Where both fit, the bridge that is asked. */
	assert_int_equal(port_ip(bob_lan),
			 resolve(f, bob_lan, f->fd[1], "bob"));
	assert_int_equal(bridge_ip(f->b),
			 resolve(f, bob_lan, f->fd[1], "gateway"));
	assert_int_equal(bridge_ip(wan),
			 resolve(f, bob_lan, f->fd[1], "gateway.wan"));
	assert_int_equal(0, resolve(f, alice, f->fd[0], "dave"));
	assert_int_equal(0, resolve(f, alice, f->fd[0], "dave.wan"));
	assert_int_equal(0, resolve(f, alice, f->fd[0], "gateway.wan"));

	port_free(bob);
	assert_int_equal(0, resolve(f, bob_lan, f->fd[1], "dave"));
	bridge_free(wan);
}

/* --- boots --------------------------------------------------------------- */

static void a_port_is_plugged_again_at_every_boot(void **state)
{
	struct fix *f = *state;
	int fd;

	assert_int_equal(0, port_plug(f->p[1], &fd, NULL));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	say(f, f->fd[0],
	    frame_plain(f->frame, frames_everybody, port_mac(f->p[0]), 1, 10));
	assert_int_equal(0, hear(f, f->fd[1]));
	assert_int_not_equal(0, hear(f, fd));
	close(fd);
}

static void a_guest_that_is_off_costs_nothing_and_hears_nothing(void **state)
{
	struct fix *f = *state;
	struct port_counters c;

	port_unplug(f->p[1]);
	port_unplug(f->p[1]);
	say(f, f->fd[0],
	    frame_plain(f->frame, frames_everybody, port_mac(f->p[0]), 1, 10));
	assert_int_equal(0, hear(f, f->fd[1]));
	port_counters(f->p[1], &c);
	assert_int_equal(0, c.rx_frames);
	assert_int_equal(0, c.dropped);
}

static void the_last_words_of_a_guest_are_carried(void **state)
{
	struct fix *f = *state;
	size_t n =
	    frame_plain(f->frame, frames_everybody, port_mac(f->p[0]), 1, 10);

	assert_int_equal(n, peer_send(f->fd[0], f->frame, n));
	close(f->fd[0]);
	f->fd[0] = -1;
	port_unplug(f->p[0]);
	assert_int_equal(n, hear(f, f->fd[1]));
}

static void everything_may_go_while_frames_are_waiting(void **state)
{
	struct fix *f = *state;
	size_t n =
	    frame_plain(f->frame, frames_everybody, port_mac(f->p[0]), 1, 10);

	assert_int_equal(n, peer_send(f->fd[0], f->frame, n));
	port_free(f->p[0]);
	drain(f);
	f->p[0] = bridge_attach(f->b, "alice", NULL);
	loop_poll(f->loop);
	bridge_free(f->b);
	f->b = NULL;
	loop_poll(f->loop);
}

/* --- a real client ------------------------------------------------------- */

/* Carries frames between a TAP and QEMU's end of a port. */
struct relay {
	struct tap_host host;
	int fd;
	struct buf out; /* what the host prints */
	bool is_over;
};

static void on_tap(void *ctx, int fd, unsigned ready)
{
	struct relay *r = ctx;
	uint8_t frame[2048];
	ssize_t n = read(fd, frame, sizeof(frame));

	(void)ready;
	/* As on any network, what finds no room is lost. */
	if (n > 0)
		peer_send(r->fd, frame, (size_t)n);
}

static void on_port(void *ctx, int fd, unsigned ready)
{
	struct relay *r = ctx;
	uint8_t frame[2048];
	ssize_t n = peer_recv(fd, frame, sizeof(frame));

	(void)ready;
	if (n > 0 && write(r->host.fd, frame, (size_t)n) < 0)
		assert_int_equal(EAGAIN, errno);
}

static void on_output(void *ctx, int fd, unsigned ready)
{
	struct relay *r = ctx;
	ssize_t n = read(fd, buf_room(&r->out, 4096), 4096);

	(void)ready;
	if (n > 0)
		buf_commit(&r->out, (size_t)n);
	else
		r->is_over = true;
}

static void relay_run(struct fix *f, struct relay *r)
{
	struct watch *w[3] = {
	    watch_new(f->loop, r->host.fd, on_tap, r),
	    watch_new(f->loop, r->fd, on_port, r),
	    watch_new(f->loop, r->host.control, on_output, r),
	};

	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		watch_set(w[i], LOOP_READ);
	while (!r->is_over)
		loop_turn(f->loop);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		watch_free(w[i]);
}

/* udhcpc calls its script at every event, with the lease in the environment. */
static const char client_script[] =
    "PATH=$PATH:/usr/sbin:/sbin\n"
    "s=$(mktemp) || exit 1\n"
    "trap 'rm -f $s' EXIT\n"
    "cat >$s <<'END'\n"
    "#!/bin/sh\n"
    "[ \"$1\" = bound ] || exit 0\n"
    "echo "
    "lease=$ip,$subnet,$router,$dns,$domain,$search,$hostname,$mtu,$lease\n"
    "busybox ifconfig tap0 $ip netmask $subnet\n"
    "END\n"
    "chmod +x $s\n"
    "busybox udhcpc -f -n -q -t 20 -T 3 -i tap0 -s $s || exit 2\n"
    "busybox ping -c 1 -W 60 10.77.1.1 || exit 3\n"
    "busybox nslookup bob.lan 10.77.1.1 || exit 4\n"
    "busybox nslookup 10.77.1.11 10.77.1.1 || exit 5\n"
    "busybox nslookup nobody.lan 10.77.1.1 && exit 6\n"
    "exit 0\n";

static void a_real_client_gets_a_lease_pings_and_resolves(void **state)
{
	struct fix *f = *state;
	struct relay r = {.fd = f->fd[0]};
	const char *out;
	int status;

	if (access("/bin/busybox", X_OK) && access("/usr/bin/busybox", X_OK))
		skip_because("there is no busybox");
	if (!tap_host_start(&r.host, port_mac(f->p[0]), client_script))
		skip_because("no TAP can be made in a network namespace");
	relay_run(f, &r);
	status = tap_host_stop(&r.host);
	buf_append(&r.out, "", 1);
	out = (const char *)buf_data(&r.out);
	if (status)
		print_message("%s", out);
	assert_int_equal(0, status);
	assert_non_null(
	    strstr(out, "lease=10.77.1.10,255.255.255.0,10.77.1.1,10.77.1.1,"
			"lan,lan,alice,1500,4294967295\n"));
	assert_non_null(strstr(out, "1 packets received"));
	assert_non_null(strstr(out, "10.77.1.11\n"));
	assert_non_null(strstr(out, "bob.lan\n"));
	assert_true(port_has_lease(f->p[0]));
	buf_done(&r.out);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(addresses_follow_from_the_order),
	    T(freed_numbers_are_given_again_lowest_first),
	    T(a_bridge_has_so_many_ports_and_a_net_so_many_bridges),
	    T(a_guest_has_one_port_on_a_bridge),
	    T(a_broadcast_reaches_the_other_and_not_its_sender),
	    T(what_is_no_frame_counts_as_an_error),
	    T(the_longest_frame_passes),
	    T(the_gateway_answers_pings_of_any_size),
	    T(clients_behind_one_nic_have_addresses_of_their_own),
	    T(a_client_gets_back_what_it_had),
	    T(one_guest_takes_not_all_addresses),
	    T(a_lease_is_told_until_the_guest_is_off),
	    T(a_request_that_a_guest_lets_through_is_not_answered),
	    T(a_guest_with_an_address_of_its_own_making_gets_a_lease),
	    T(guests_of_a_bridge_know_each_other),
	    T(names_are_those_of_every_bridge_the_guest_is_on),
	    T(a_port_is_plugged_again_at_every_boot),
	    T(a_guest_that_is_off_costs_nothing_and_hears_nothing),
	    T(the_last_words_of_a_guest_are_carried),
	    T(a_real_client_gets_a_lease_pings_and_resolves),
	    T(everything_may_go_while_frames_are_waiting),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
