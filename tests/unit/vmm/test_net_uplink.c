/* SPDX-License-Identifier: MIT */
#include "vmm/net/uplink.h"

#include <arpa/inet.h>
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

#define GUEST	IP(10, 77, 1, 10)
#define GATEWAY IP(10, 77, 1, 1)
#define HOST	IP(10, 77, 1, 2)
#define WAIT_NS (20 * NS_PER_SEC)

/* A guest, by its frames, and a server on the host's loopback. */
struct fix {
	struct loop *loop;
	struct uplink *u;
	struct packet_path path;
	unsigned n_asked; /* who a guest is */
	uint8_t got[FRAME_MAX];
	size_t n_got; /* the last frame for a guest; 0: none */
	unsigned n_frames;
	int server;
	uint16_t port; /* its own */
	uint8_t frame[FRAME_MAX];
};

static const uint8_t guest_mac[MAC_LEN] = {0x52, 0x54, 0, 0, 1, 10};

static void on_send(void *ctx, uint8_t *frame, size_t n)
{
	struct fix *f = ctx;

	memcpy(f->got, frame, n);
	f->n_got = n;
	f->n_frames++;
}

/* Any of 10.77.1.10 and above. */
static bool on_find(void *ctx, uint32_t ip, uint8_t ret_mac[MAC_LEN])
{
	struct fix *f = ctx;

	f->n_asked++;
	memcpy(ret_mac, guest_mac, MAC_LEN);
	ret_mac[5] = (uint8_t)ip;
	return ip >= GUEST && ip < IP(10, 77, 1, 200);
}

static int serve(struct fix *f, int type)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);

	f->server = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->server, (struct sockaddr *)&sa, n), 0);
	assert_int_equal(getsockname(f->server, (struct sockaddr *)&sa, &n), 0);
	f->port = ntohs(sa.sin_port);
	f->path.dport = f->port;
	return 0;
}

static int setup(void **state)
{
	static const struct uplink_owner owner = {on_send, on_find};
	static const struct uplink_spec spec = {
	    .host_ip = HOST, .dns_ip = GATEWAY, .mtu = 1500};
	struct fix *f = mem_zalloc(sizeof(*f));
	struct err err;

	f->loop = loop_new(&err);
	f->u = uplink_new(f->loop, &spec, &owner, f, &err);
	assert_non_null(f->u);
	f->server = -1;
	memcpy(f->path.src_mac, guest_mac, MAC_LEN);
	f->path.src_ip = GUEST;
	f->path.dst_ip = HOST;
	f->path.sport = 4000;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	uplink_free(f->u);
	loop_poll(f->loop);
	loop_free(f->loop);
	if (f->server >= 0)
		close(f->server);
	free(f);
	return 0;
}

static void wait_for_frame(struct fix *f)
{
	int64_t end = clock_deadline_ns(WAIT_NS);

	f->n_got = 0;
	while (!f->n_got && clock_now_ns() < end)
		loop_turn(f->loop);
	assert_true(f->n_got);
}

static void wait_for_bytes(struct fix *f, void *ret, size_t n,
			   struct sockaddr_in *from)
{
	socklen_t len = sizeof(*from);
	int64_t end = clock_deadline_ns(WAIT_NS);
	ssize_t got = -1;

	while (got < 0 && clock_now_ns() < end) {
		loop_poll(f->loop);
		got = recvfrom(f->server, ret, n, 0, (struct sockaddr *)from,
			       &len);
	}
	assert_int_equal(got, n);
}

static void say(struct fix *f, const char *text)
{
	size_t n = frame_udp(f->frame, &f->path, text, strlen(text));
	/* No longer than it is, so that ASan sees a step over. */
	uint8_t *copy = mem_dup(f->frame, n);

	uplink_input(f->u, copy, n);
	free(copy);
}

static struct udp_view got_udp(struct fix *f)
{
	struct eth_view eth;
	struct ipv4_view ip;
	struct udp_view udp;

	assert_true(eth_parse(&eth, f->got, f->n_got));
	assert_int_equal(eth.type, ETHER_IPV4);
	assert_true(ipv4_parse(&ip, eth.body, eth.len));
	assert_int_equal(ip.dst, f->path.src_ip);
	assert_int_equal(ip.src, HOST);
	assert_true(udp_parse(&udp, &ip));
	return udp;
}

/* --- UDP ----------------------------------------------------------------- */

static void datagrams_go_to_the_host_and_back(void **state)
{
	struct fix *f = *state;
	struct sockaddr_in from;
	char text[4];

	serve(f, SOCK_DGRAM);
	say(f, "ping");
	wait_for_bytes(f, text, 4, &from);
	assert_memory_equal(text, "ping", 4);
	assert_int_equal(uplink_flows(f->u), 1);
	assert_int_equal(sendto(f->server, "pong!", 5, 0,
				(struct sockaddr *)&from, sizeof(from)),
			 5);
	wait_for_frame(f);
	struct udp_view udp = got_udp(f);
	assert_int_equal(udp.dport, 4000);
	assert_int_equal(udp.sport, f->port);
	assert_int_equal(udp.len, 5);
	assert_memory_equal(udp.body, "pong!", 5);
	assert_memory_equal(f->got, guest_mac, MAC_LEN);
}

/* It remembers 16, and asks for the others before the reply goes out. */
static void many_guests_get_their_own_replies(void **state)
{
	struct fix *f = *state;
	struct sockaddr_in from[40];
	char text[1];

	serve(f, SOCK_DGRAM);
	for (unsigned i = 0; i < ARRAY_LEN(from); i++) {
		f->path.src_ip = GUEST + i;
		say(f, "?");
		wait_for_bytes(f, text, 1, &from[i]);
	}
	for (unsigned i = 0; i < ARRAY_LEN(from); i++) {
		f->path.src_ip = GUEST + i;
		assert_int_equal(sendto(f->server, "!", 1, 0,
					(struct sockaddr *)&from[i],
					sizeof(from[i])),
				 1);
		wait_for_frame(f);
		assert_int_equal(got_udp(f).body[0], '!');
		assert_int_equal(f->got[5], 10 + i);
	}
	assert_true(f->n_asked >= ARRAY_LEN(from));
	assert_int_equal(f->n_frames, ARRAY_LEN(from));
}

static void replies_to_nobody_are_dropped(void **state)
{
	struct fix *f = *state;
	struct sockaddr_in from;
	char text[1];

	serve(f, SOCK_DGRAM);
	f->path.src_ip = IP(192, 168, 3, 4);
	say(f, "?");
	wait_for_bytes(f, text, 1, &from);
	assert_int_equal(sendto(f->server, "!", 1, 0, (struct sockaddr *)&from,
				sizeof(from)),
			 1);
	f->path.src_ip = GUEST;
	say(f, "?");
	wait_for_bytes(f, text, 1, &from);
	assert_int_equal(sendto(f->server, "2", 1, 0, (struct sockaddr *)&from,
				sizeof(from)),
			 1);
	wait_for_frame(f);
	assert_int_equal(got_udp(f).body[0], '2');
	assert_int_equal(f->n_frames, 1);
}

/* --- TCP ----------------------------------------------------------------- */

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static void send_segment(struct fix *f, uint32_t seq, uint32_t ack,
			 uint8_t flags, const char *text)
{
	static const uint8_t nothing[64];
	uint8_t *ip = f->frame + FRAME_MIN, *tcp = ip + IPV4_HEADER;
	size_t n = TCP_HEADER + strlen(text);
	uint32_t sum = IPV4_TCP + (uint32_t)n;

	/* The headers of IP and Ethernet, and the place for the rest. */
	frame_udp(f->frame, &f->path, nothing, n - UDP_HEADER);
	memset(tcp, 0, TCP_HEADER);
	be_put16(tcp, f->path.sport);
	be_put16(tcp + 2, f->path.dport);
	be_put32(tcp + 4, seq);
	be_put32(tcp + 8, ack);
	tcp[12] = TCP_HEADER / 4 << 4;
	tcp[13] = flags;
	be_put16(tcp + 14, 8192);
	memcpy(tcp + TCP_HEADER, text, strlen(text));
	ip[9] = IPV4_TCP;
	be_put16(ip + 10, 0);
	be_put16(ip + 10, inet_checksum(0, ip, IPV4_HEADER));
	for (unsigned i = 12; i < 20; i += 2)
		sum += be_get16(ip + i);
	be_put16(tcp + 16, inet_checksum(sum, tcp, n));
	uplink_input(f->u, f->frame, FRAME_MIN + IPV4_HEADER + n);
}

static const uint8_t *wait_for_segment(struct fix *f)
{
	wait_for_frame(f);
	assert_int_equal(f->got[FRAME_MIN + 9], IPV4_TCP);
	return f->got + FRAME_MIN + IPV4_HEADER;
}

static void a_connection_is_one_of_the_host(void **state)
{
	struct fix *f = *state;
	const uint8_t *tcp;
	uint32_t seq;
	char text[8];
	int c;

	serve(f, SOCK_STREAM);
	assert_int_equal(listen(f->server, 1), 0);
	send_segment(f, 1000, 0, SYN, "");
	tcp = wait_for_segment(f);
	assert_int_equal(tcp[13], SYN | ACK);
	assert_int_equal(be_get32(tcp + 8), 1001);
	seq = be_get32(tcp + 4) + 1;
	send_segment(f, 1001, seq, ACK, "hello");
	c = accept(f->server, NULL, NULL);
	assert_true(c >= 0);
	assert_int_equal(recv(c, text, sizeof(text), 0), 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(send(c, "world", 5, 0), 5);
	do
		tcp = wait_for_segment(f);
	while (f->n_got < FRAME_MIN + IPV4_HEADER + TCP_HEADER + 5);
	assert_memory_equal(tcp + TCP_HEADER, "world", 5);
	/* It is still open when the uplink goes. */
	f->u = uplink_free(f->u);
	assert_int_equal(recv(c, text, sizeof(text), 0), 0);
	close(c);
}

static void a_port_that_nobody_has_refuses(void **state)
{
	struct fix *f = *state;

	serve(f, SOCK_STREAM);
	send_segment(f, 1000, 0, SYN, "");
	assert_true(wait_for_segment(f)[13] & RST);
}

/* --- what is no flow ------------------------------------------------------ */

/* One that is not the beginning of its packet, but the first to come, ends
 * libslirp 4.7.0, and so the process. */
static void fragments_are_dropped(void **state)
{
	static const uint16_t bits[] = {0x0001, 0x1fff, 0x2000, 0x3fff, 0xc9c9};
	struct fix *f = *state;
	uint8_t *ip = f->frame + FRAME_MIN;
	size_t n;

	f->path.dport = 9;
	n = frame_udp(f->frame, &f->path, "x", 1);
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		be_put16(ip + 6, bits[i]);
		be_put16(ip + 10, 0);
		be_put16(ip + 10, inet_checksum(0, ip, IPV4_HEADER));
		uplink_input(f->u, f->frame, n);
	}
	loop_poll(f->loop);
	assert_int_equal(uplink_flows(f->u), 0);
	assert_int_equal(f->n_frames, 0);
}

static void frames_that_are_none_change_nothing(void **state)
{
	struct fix *f = *state;
	size_t n;

	f->path.dport = 9;
	n = frame_udp(f->frame, &f->path, "x", 1);
	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *copy = mem_dup(f->frame, cut + 1);

		uplink_input(f->u, copy, cut);
		free(copy);
	}
	loop_poll(f->loop);
	assert_int_equal(uplink_flows(f->u), 0);
	assert_int_equal(f->n_frames, 0);
}

static void the_host_answers_pings(void **state)
{
	struct fix *f = *state;
	size_t n = frame_ping(f->frame, &f->path, 7, 16);
	struct icmp_view icmp;
	struct ipv4_view ip;

	uplink_input(f->u, f->frame, n);
	if (!f->n_got)
		wait_for_frame(f);
	assert_true(ipv4_parse(&ip, f->got + FRAME_MIN, f->n_got - FRAME_MIN));
	assert_true(icmp_parse(&icmp, &ip));
	assert_int_equal(icmp.type, ICMP_ECHO_REPLY);
	assert_int_equal(ip.src, HOST);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(datagrams_go_to_the_host_and_back),
	    T(many_guests_get_their_own_replies),
	    T(replies_to_nobody_are_dropped),
	    T(a_connection_is_one_of_the_host),
	    T(a_port_that_nobody_has_refuses),
	    T(fragments_are_dropped),
	    T(frames_that_are_none_change_nothing),
	    T(the_host_answers_pings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
