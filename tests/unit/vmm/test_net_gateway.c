/* SPDX-License-Identifier: MIT */
#include "vmm/net/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_frames.h"

#define SELF  IP(10, 77, 1, 1)
#define GUEST IP(10, 77, 1, 10)

struct fix {
	struct gateway g;
	struct swport from;
	struct packet_path path;
	uint32_t forwarded;
	size_t sent_out;
	int answer;    /* to that */
	bool is_known; /* what the owner says of the guest */
	int leased;    /* -1: nothing was said */
	uint8_t frame[FRAME_MAX];
};

static const uint8_t guest_mac[MAC_LEN] = {0x52, 0x54, 0, 0, 1, 10};

static bool on_lease(void *ctx, const struct swport *from,
		     const struct dhcp_client *client, struct dhcp_lease *ret)
{
	struct fix *f = ctx;

	assert_ptr_equal(&f->from, from);
	assert_memory_equal(guest_mac, client->mac, MAC_LEN);
	*ret = (struct dhcp_lease){.ip = GUEST,
				   .mask = f->g.mask,
				   .server = SELF,
				   .mtu = 1500,
				   .host = "a",
				   .domain = "lan"};
	return f->is_known;
}

static void on_leased(void *ctx, const struct swport *from,
		      const struct dhcp_client *client, bool is_leased)
{
	struct fix *f = ctx;

	assert_memory_equal(guest_mac, client->mac, MAC_LEN);
	assert_ptr_equal(&f->from, from);
	f->leased = is_leased;
}

static bool on_address(void *ctx, const struct swport *from, const char *name,
		       uint32_t *ret_ip)
{
	struct fix *f = ctx;

	assert_ptr_equal(&f->from, from);
	*ret_ip = GUEST;
	return !strcmp(name, "a");
}

static bool on_name(void *ctx, const struct swport *from, uint32_t ip,
		    char ret[DNS_NAME_MAX])
{
	struct fix *f = ctx;

	assert_ptr_equal(&f->from, from);
	snprintf(ret, DNS_NAME_MAX, "a.lan");
	return ip == GUEST;
}

static int on_forward(void *ctx, struct swport *from, const struct frame *fr,
		      uint32_t ip)
{
	struct fix *f = ctx;

	assert_ptr_equal(&f->from, from);
	assert_true(fr->len >= FRAME_MIN + IPV4_HEADER);
	f->forwarded = ip;
	return f->answer;
}

static bool on_is_foreign(void *ctx, const struct swport *from,
			  const char *name)
{
	struct fix *f = ctx;

	assert_ptr_equal(&f->from, from);
	return !strcmp(name, "www.example.org");
}

static void on_send_out(void *ctx, struct swport *from, const struct frame *fr)
{
	struct fix *f = ctx;

	assert_ptr_equal(&f->from, from);
	f->sent_out = fr->len;
}

static const struct gateway_owner owner = {
    .lease = on_lease,
    .leased = on_leased,
    .address = on_address,
    .name = on_name,
    .is_foreign = on_is_foreign,
    .forward = on_forward,
    .send_out = on_send_out,
};

static int setup(void **state)
{
	static const uint8_t mac[MAC_LEN] = {0x52, 0x54, 0, 0, 1, 1};
	struct fix *f = mem_zalloc(sizeof(*f));

	memcpy(f->g.mac, mac, MAC_LEN);
	f->g.ip = SELF;
	f->g.mask = IP(255, 255, 255, 0);
	f->g.mtu = 1500;
	f->g.owner = &owner;
	f->g.ctx = f;
	memcpy(f->path.src_mac, guest_mac, MAC_LEN);
	memcpy(f->path.dst_mac, mac, MAC_LEN);
	f->path.src_ip = GUEST;
	f->path.dst_ip = SELF;
	f->is_known = true;
	f->leased = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	gateway_done(&f->g);
	free(f);
	return 0;
}

/* From bytes that end where n says. */
static size_t ask(struct fix *f, size_t n)
{
	uint8_t *copy = mem_dup(f->frame, n);
	struct frame fr = {copy, n, 0};
	size_t r = gateway_answer(&f->g, &f->from, &fr);

	free(copy);
	return r;
}

/* The headers of the reply: from us, to that. Returns UDP's payload. */
static struct udp_view udp_reply(struct fix *f, size_t n, const uint8_t *mac,
				 uint32_t ip)
{
	struct eth_view eth;
	struct ipv4_view v;
	struct udp_view udp;

	assert_true(eth_parse(&eth, f->g.reply, n));
	assert_memory_equal(f->g.mac, eth.src, MAC_LEN);
	assert_memory_equal(mac, eth.dst, MAC_LEN);
	assert_true(ipv4_parse(&v, eth.body, eth.len));
	assert_int_equal(SELF, v.src);
	assert_int_equal(ip, v.dst);
	assert_true(udp_parse(&udp, &v));
	return udp;
}

/* --- ARP ----------------------------------------------------------------- */

static void arp_for_the_gateway_is_answered(void **state)
{
	struct fix *f = *state;
	struct arp_view arp;
	size_t n = frame_arp(f->frame, guest_mac, GUEST, SELF);

	assert_int_equal(42, ask(f, n));
	assert_memory_equal(guest_mac, f->g.reply, MAC_LEN);
	assert_true(arp_parse(&arp, f->g.reply + 14, 28));
	assert_int_equal(ARP_REPLY, arp.op);
	assert_memory_equal(f->g.mac, arp.sender_mac, MAC_LEN);
	assert_int_equal(SELF, arp.sender_ip);
	assert_int_equal(GUEST, arp.target_ip);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(0, ask(f, cut));
}

static void an_arp_probe_is_answered_too(void **state)
{
	struct fix *f = *state;

	assert_int_equal(42, ask(f, frame_arp(f->frame, guest_mac, 0, SELF)));
}

static void arp_for_others_and_replies_are_left_alone(void **state)
{
	struct fix *f = *state;
	size_t n = frame_arp(f->frame, guest_mac, GUEST, SELF + 1);

	assert_int_equal(0, ask(f, n));
	n = frame_arp(f->frame, guest_mac, GUEST, SELF);
	f->frame[21] = ARP_REPLY;
	assert_int_equal(0, ask(f, n));
	/* It would be answered to everybody. */
	n = frame_arp(f->frame, guest_mac, GUEST, SELF);
	f->frame[22] |= 1;
	assert_int_equal(0, ask(f, n));
}

static void arp_for_the_host_behind_an_uplink_is_answered(void **state)
{
	struct fix *f = *state;
	struct arp_view arp;
	size_t n = frame_arp(f->frame, guest_mac, GUEST, SELF + 1);

	f->g.uplink_ip = SELF + 1;
	assert_int_equal(42, ask(f, n));
	assert_true(arp_parse(&arp, f->g.reply + 14, 28));
	assert_memory_equal(f->g.mac, arp.sender_mac, MAC_LEN);
	assert_int_equal(SELF + 1, arp.sender_ip);
	n = frame_arp(f->frame, guest_mac, GUEST, 0);
	f->g.uplink_ip = 0;
	assert_int_equal(0, ask(f, n));
}

/* --- ICMP ---------------------------------------------------------------- */

static void an_echo_comes_back_as_it_was(void **state)
{
	struct fix *f = *state;
	size_t n = frame_ping(f->frame, &f->path, 0x1234, 100);

	assert_int_equal(n, ask(f, n));
	assert_memory_equal(f->frame + 38, f->g.reply + 38, n - 38);
	assert_int_equal(ICMP_ECHO_REPLY, f->g.reply[34]);
	assert_int_equal(0, inet_checksum(0, f->g.reply + 34, n - 34));
}

static void what_is_no_echo_for_us_is_left_alone(void **state)
{
	struct fix *f = *state;
	uint8_t *p = f->frame + 34;
	size_t n;

	f->path.dst_ip = SELF + 1;
	assert_int_equal(0, ask(f, frame_ping(f->frame, &f->path, 1, 8)));
	f->path.dst_ip = IPV4_BROADCAST;
	assert_int_equal(0, ask(f, frame_ping(f->frame, &f->path, 1, 8)));
	f->path.dst_ip = SELF;
	n = frame_ping(f->frame, &f->path, 1, 8);
	p[8]++; /* a wrong checksum */
	assert_int_equal(0, ask(f, n));
	be_put16(ICMP_PAYLOAD(f->frame), 1);
	n = icmp_finish(f->frame, &f->path, ICMP_ECHO_REPLY, 0, 12);
	assert_int_equal(0, ask(f, n));
	n = icmp_finish(f->frame, &f->path, ICMP_ECHO_REQUEST, 1, 12);
	assert_int_equal(0, ask(f, n));
	n = icmp_finish(f->frame, &f->path, ICMP_ECHO_REQUEST, 0, 12);
	assert_int_equal(n, ask(f, n));
}

static void frames_for_others_are_left_alone(void **state)
{
	static const uint32_t nobody[] = {IP(224, 0, 0, 1), IPV4_BROADCAST,
					  IP(127, 0, 0, 1)};
	struct fix *f = *state;

	f->path.dst_mac[5]++;
	assert_int_equal(0, ask(f, frame_ping(f->frame, &f->path, 1, 8)));
	f->path.dst_mac[5]--;
	for (size_t i = 0; i < ARRAY_LEN(nobody); i++) {
		f->path.src_ip = nobody[i];
		assert_int_equal(0,
				 ask(f, frame_ping(f->frame, &f->path, 1, 8)));
	}
}

/* Sends the frame of n bytes in fragments, the last one first; the length of
 * what is answered to the one that was missing. */
static size_t ask_in_fragments(struct fix *f, size_t n, uint32_t id)
{
	uint8_t *whole = mem_dup(f->frame, n);
	size_t starts[64] = {0}, count = 0, at = 0, r = 0;

	while (ipv4_fragment(f->frame, whole, n, 1500, id, &at))
		starts[++count] = at;
	while (count--) {
		assert_int_equal(0, r);
		at = starts[count];
		r = ask(f, ipv4_fragment(f->frame, whole, n, 1500, id, &at));
	}
	memcpy(f->frame, whole, n);
	free(whole);
	return r;
}

static void an_echo_in_fragments_comes_back_in_fragments(void **state)
{
	static const size_t sizes[] = {1473, 2952, 5000, 65507};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t n = frame_ping(f->frame, &f->path, 7, sizes[i]);

		assert_int_equal(n, ask_in_fragments(f, n, 1));
		assert_true(f->g.is_cut);
		assert_memory_equal(f->frame + 38, f->g.reply + 38, n - 38);
		assert_int_equal(ICMP_ECHO_REPLY, f->g.reply[34]);
	}
	/* Whole ones are answered whole, whatever their size. */
	assert_true(ask(f, frame_ping(f->frame, &f->path, 8, 8000)));
	assert_false(f->g.is_cut);
}

static void a_fragment_alone_is_left_alone(void **state)
{
	struct fix *f = *state;
	size_t n = frame_ping(f->frame, &f->path, 1, 3000), at = 0;
	uint8_t *whole = mem_dup(f->frame, n);

	assert_int_equal(
	    0, ask(f, ipv4_fragment(f->frame, whole, n, 1500, 3, &at)));
	/* Of another datagram. */
	assert_int_equal(
	    0, ask(f, ipv4_fragment(f->frame, whole, n, 1500, 4, &at)));
	free(whole);
}

static void a_datagram_too_long_for_its_answer_is_left_alone(void **state)
{
	struct fix *f = *state;
	size_t n;

	/* 65535 bytes behind the header, which is no IP packet. */
	for (size_t offset = 0; offset < 65535; offset += 1480) {
		n = frame_ping(f->frame, &f->path, 1, 1472);
		if (offset + 1480 > 65535)
			n = frame_ping(f->frame, &f->path, 1, 65527 - offset);
		be_put16(f->frame + 18, 9);
		be_put16(f->frame + 20,
			 (uint16_t)((offset + 1480 > 65535 ? 0 : 0x2000) |
				    offset / 8));
		be_put16(f->frame + 24, 0);
		be_put16(f->frame + 24, inet_checksum(0, f->frame + 14, 20));
		assert_int_equal(0, ask(f, n));
	}
}

/* Without a name server of its own the gateway sends on whole frames. */
static void a_question_in_fragments_is_not_sent_out(void **state)
{
	struct fix *f = *state;
	uint8_t body[2000] = {0};
	size_t n;

	n = dns_query(body, 1, "www.example.org", 1);
	f->path.sport = 5353;
	f->path.dport = 53;
	n = frame_udp(f->frame, &f->path, body, n);
	uint8_t *whole = mem_dup(f->frame, n);
	size_t at = 0, r;
	while ((r = ipv4_fragment(f->frame, whole, n, 36, 1, &at)))
		assert_int_equal(0, ask(f, r));
	free(whole);
	assert_int_equal(0, f->sent_out);
}

static void tagged_frames_are_left_alone(void **state)
{
	struct fix *f = *state;
	size_t n = frame_ping(f->frame, &f->path, 1, 8);

	memmove(f->frame + 16, f->frame + 12, n - 12);
	be_put32(f->frame + 12, 0x81000005);
	assert_int_equal(0, ask(f, n + 4));
}

/* --- DHCP ---------------------------------------------------------------- */

static struct dhcp_ask dhcp_of_guest(uint8_t type)
{
	struct dhcp_ask a = {.type = type};

	memcpy(a.mac, guest_mac, MAC_LEN);
	return a;
}

static void an_offer_goes_to_the_client_alone(void **state)
{
	struct fix *f = *state;
	struct dhcp_ask a = dhcp_of_guest(D_DISCOVER);
	size_t n = ask(f, frame_dhcp(f->frame, &a));
	struct udp_view udp = udp_reply(f, n, guest_mac, GUEST);

	assert_int_equal(67, udp.sport);
	assert_int_equal(68, udp.dport);
	assert_int_equal(D_OFFER, dhcp_type(udp.body, udp.len));
	assert_int_equal(-1, f->leased);
}

static void a_refusal_goes_to_all(void **state)
{
	struct fix *f = *state;
	struct dhcp_ask a = dhcp_of_guest(D_REQUEST);

	a.requested = GUEST + 1;
	size_t n = ask(f, frame_dhcp(f->frame, &a));
	struct udp_view udp = udp_reply(f, n, frames_everybody, IPV4_BROADCAST);
	assert_int_equal(D_NAK, dhcp_type(udp.body, udp.len));
	assert_int_equal(-1, f->leased);
}

static void leases_are_told_to_the_owner(void **state)
{
	struct fix *f = *state;
	struct dhcp_ask a = dhcp_of_guest(D_REQUEST);

	a.requested = GUEST;
	assert_int_not_equal(0, ask(f, frame_dhcp(f->frame, &a)));
	assert_int_equal(1, f->leased);
	a = dhcp_of_guest(D_RELEASE);
	assert_int_equal(0, ask(f, frame_dhcp(f->frame, &a)));
	assert_int_equal(0, f->leased);
}

static void one_whom_the_owner_does_not_know_gets_nothing(void **state)
{
	struct fix *f = *state;
	struct dhcp_ask a = dhcp_of_guest(D_REQUEST);

	f->is_known = false;
	a.requested = GUEST;
	assert_int_equal(0, ask(f, frame_dhcp(f->frame, &a)));
	assert_int_equal(-1, f->leased);
}

static void mend(struct fix *f)
{
	uint8_t *p = f->frame + FRAME_MIN;

	be_put16(p + 10, 0);
	be_put16(p + 10, inet_checksum(0, p, IPV4_HEADER));
}

/* --- DNS ----------------------------------------------------------------- */

static size_t frame_dns(struct fix *f, const char *name, uint16_t type)
{
	uint8_t query[300];

	f->path.sport = 4000;
	f->path.dport = 53;
	return frame_udp(f->frame, &f->path, query,
			 dns_query(query, 1, name, type));
}

static void a_gateway_without_dhcp_ignores_its_clients(void **state)
{
	static const uint8_t types[] = {D_DISCOVER, D_REQUEST, D_RELEASE};
	struct fix *f = *state;

	f->g.has_no_dhcp = true;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct dhcp_ask a = dhcp_of_guest(types[i]);

		a.requested = GUEST;
		assert_int_equal(0, ask(f, frame_dhcp(f->frame, &a)));
		assert_int_equal(-1, f->leased);
	}
	/* It is still the gateway. */
	assert_int_not_equal(0, ask(f, frame_ping(f->frame, &f->path, 1, 8)));
}

static void names_are_resolved(void **state)
{
	struct fix *f = *state;
	size_t n = ask(f, frame_dns(f, "a", Q_A));
	struct udp_view udp = udp_reply(f, n, guest_mac, GUEST);

	assert_int_equal(53, udp.sport);
	assert_int_equal(4000, udp.dport);
	assert_int_equal(GUEST, be_get32(udp.body + udp.len - 4));
	n = ask(f, frame_dns(f, "10.1.77.10.in-addr.arpa", Q_PTR));
	udp = udp_reply(f, n, guest_mac, GUEST);
	assert_int_equal(1, be_get16(udp.body + 6));
}

static void foreign_names_are_sent_out_as_they_are(void **state)
{
	struct fix *f = *state;
	size_t n = frame_dns(f, "www.example.org", Q_A);

	assert_int_equal(0, ask(f, n));
	assert_int_equal(n, f->sent_out);
	f->sent_out = 0;
	assert_true(ask(f, frame_dns(f, "b", Q_A)));
	assert_true(ask(f, frame_dns(f, "a", Q_A)));
	assert_int_equal(0, f->sent_out);
}

/* The frame of a segment without data. */
static size_t frame_tcp(struct fix *f, uint16_t dport)
{
	uint8_t body[TCP_HEADER - UDP_HEADER] = {0};
	size_t n;

	f->path.sport = 4000;
	f->path.dport = dport;
	n = frame_udp(f->frame, &f->path, body, sizeof(body));
	f->frame[FRAME_MIN + 9] = IPV4_TCP;
	mend(f);
	return n;
}

static void name_servers_behind_an_uplink_are_asked_by_tcp(void **state)
{
	struct fix *f = *state;
	size_t n = frame_tcp(f, 53);

	assert_int_equal(0, ask(f, n));
	assert_int_equal(0, f->sent_out);
	f->g.uplink_ip = SELF + 1;
	assert_int_equal(0, ask(f, n));
	assert_int_equal(n, f->sent_out);
	f->sent_out = 0;
	assert_int_equal(0, ask(f, n - 1));
	assert_int_equal(0, ask(f, frame_tcp(f, 54)));
	assert_int_equal(0, f->sent_out);
}

static void what_is_for_the_host_behind_an_uplink_is_forwarded(void **state)
{
	struct fix *f = *state;
	size_t n;

	f->answer = -1;
	f->path.dst_ip = SELF + 1;
	n = frame_ping(f->frame, &f->path, 1, 8);
	assert_int_equal(0, ask(f, n));
	assert_int_equal(0, f->forwarded);
	f->g.uplink_ip = SELF + 1;
	assert_int_equal(0, ask(f, n));
	assert_int_equal(SELF + 1, f->forwarded);
}

static void names_are_not_resolved_for_a_broadcast(void **state)
{
	struct fix *f = *state;

	f->path.dst_ip = SELF | 0xff;
	assert_int_equal(0, ask(f, frame_dns(f, "a", Q_A)));
}

static void other_ports_are_silent(void **state)
{
	struct fix *f = *state;
	static const uint16_t ports[] = {0, 1, 52, 54, 68, 123, 65535};

	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		f->path.dport = ports[i];
		assert_int_equal(0, ask(f, frame_udp(f->frame, &f->path,
						     "hello there", 11)));
	}
}

/* --- other networks --------------------------------------------------------
 */

#define ELSEWHERE IP(10, 77, 2, 10)

/* A ping to there. */
static size_t put_ping(struct fix *f)
{
	f->path.dst_ip = ELSEWHERE;
	f->answer = -1;
	return frame_ping(f->frame, &f->path, 1, 100);
}

/* The header's checksum, after a change of it. */
static void check_complaint(struct fix *f, size_t n, uint8_t type, uint8_t code)
{
	struct eth_view eth;
	struct ipv4_view ip;
	struct icmp_view icmp;

	assert_true(eth_parse(&eth, f->g.reply, n));
	assert_memory_equal(guest_mac, eth.dst, MAC_LEN);
	assert_true(ipv4_parse(&ip, eth.body, eth.len));
	assert_int_equal(SELF, ip.src);
	assert_int_equal(GUEST, ip.dst);
	assert_true(icmp_parse(&icmp, &ip));
	assert_int_equal(type, icmp.type);
	assert_int_equal(code, icmp.code);
	assert_int_equal(4 + IPV4_HEADER + 8, icmp.len);
	assert_memory_equal(f->frame + FRAME_MIN, icmp.rest + 4,
			    IPV4_HEADER + 8);
}

static void what_is_for_another_network_is_forwarded(void **state)
{
	struct fix *f = *state;

	assert_int_equal(0, ask(f, put_ping(f)));
	assert_true(f->forwarded == ELSEWHERE);
}

static void what_cannot_be_forwarded_is_answered(void **state)
{
	struct fix *f = *state;
	size_t n = put_ping(f);

	f->answer = ICMP_NO_HOST;
	check_complaint(f, ask(f, n), ICMP_UNREACHABLE, ICMP_NO_HOST);
}

static void a_packet_that_has_made_its_hops_is_answered(void **state)
{
	struct fix *f = *state;
	size_t n = put_ping(f);

	f->frame[FRAME_MIN + 8] = 1;
	mend(f);
	check_complaint(f, ask(f, n), ICMP_TIME_EXCEEDED, 0);
	assert_true(f->forwarded == 0);
}

static void errors_and_fragments_are_not_answered_by_errors(void **state)
{
	struct fix *f = *state;
	size_t n = put_ping(f);

	f->answer = ICMP_NO_NETWORK;
	f->frame[FRAME_MIN + IPV4_HEADER] = ICMP_UNREACHABLE;
	assert_int_equal(0, ask(f, n));
	n = put_ping(f);
	f->answer = ICMP_NO_NETWORK;
	be_put16(f->frame + FRAME_MIN + 6, 0x2000); /* more fragments */
	mend(f);
	assert_int_equal(0, ask(f, n));
	assert_true(f->forwarded == ELSEWHERE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(arp_for_the_gateway_is_answered),
	    T(an_arp_probe_is_answered_too),
	    T(arp_for_others_and_replies_are_left_alone),
	    T(an_echo_comes_back_as_it_was),
	    T(what_is_no_echo_for_us_is_left_alone),
	    T(frames_for_others_are_left_alone),
	    T(an_echo_in_fragments_comes_back_in_fragments),
	    T(a_fragment_alone_is_left_alone),
	    T(a_datagram_too_long_for_its_answer_is_left_alone),
	    T(a_question_in_fragments_is_not_sent_out),
	    T(tagged_frames_are_left_alone),
	    T(an_offer_goes_to_the_client_alone),
	    T(a_refusal_goes_to_all),
	    T(leases_are_told_to_the_owner),
	    T(one_whom_the_owner_does_not_know_gets_nothing),
	    T(a_gateway_without_dhcp_ignores_its_clients),
	    T(names_are_resolved),
	    T(arp_for_the_host_behind_an_uplink_is_answered),
	    T(foreign_names_are_sent_out_as_they_are),
	    T(name_servers_behind_an_uplink_are_asked_by_tcp),
	    T(what_is_for_the_host_behind_an_uplink_is_forwarded),
	    T(what_is_for_another_network_is_forwarded),
	    T(what_cannot_be_forwarded_is_answered),
	    T(a_packet_that_has_made_its_hops_is_answered),
	    T(errors_and_fragments_are_not_answered_by_errors),
	    T(names_are_not_resolved_for_a_broadcast),
	    T(other_ports_are_silent),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
