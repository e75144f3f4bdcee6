/* SPDX-License-Identifier: MIT */
#include "vmm/net/packet6.h"

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
#include "vmm/net/gateway.h"

/* A gateway and one guest, by their frames. */
struct fix {
	struct gateway g;
	struct swport from;
	struct packet_path6 path;
	bool is_seen;
	uint8_t seen[IPV6_LEN]; /* what the guest said; zero: nothing */
	uint8_t forwarded[IPV6_LEN];
	int answer; /* to that */
	uint8_t frame[FRAME_MAX];
};

static const uint8_t guest_mac[MAC_LEN] = {0x52, 0x54, 0, 0, 1, 10};
static const uint8_t prefix[8] = {0xfd, 0x77, 0x70, 0x72, 0x6f, 0x76, 0, 1};
static const uint8_t all_nodes[IPV6_LEN] = {0xff, 2, [15] = 1};
static const uint8_t all_routers[IPV6_LEN] = {0xff, 2, [15] = 2};

static bool on_address(void *ctx, const struct swport *from, const char *name,
		       uint32_t *ret_ip)
{
	(void)ctx;
	(void)from;
	*ret_ip = IP(10, 77, 1, 10);
	return !strcmp(name, "a");
}

static bool on_name(void *ctx, const struct swport *from, uint32_t ip,
		    char ret[DNS_NAME_MAX])
{
	(void)ctx;
	(void)from;
	(void)ip;
	ret[0] = '\0';
	return false;
}

static bool on_address6(void *ctx, const struct swport *from, const char *name,
			uint8_t ret_ip[IPV6_LEN])
{
	struct fix *f = ctx;

	assert_ptr_equal(from, &f->from);
	memcpy(ret_ip, f->path.src, IPV6_LEN);
	return !strcmp(name, "a");
}

static bool on_name6(void *ctx, const struct swport *from,
		     const uint8_t ip[IPV6_LEN], char ret[DNS_NAME_MAX])
{
	struct fix *f = ctx;

	assert_ptr_equal(from, &f->from);
	snprintf(ret, DNS_NAME_MAX, "a.lan");
	return !memcmp(ip, f->path.src, IPV6_LEN);
}

static void on_seen6(void *ctx, const struct swport *from, const uint8_t *ip)
{
	struct fix *f = ctx;

	assert_ptr_equal(from, &f->from);
	f->is_seen = true;
	if (ip)
		memcpy(f->seen, ip, IPV6_LEN);
}

static int on_forward6(void *ctx, struct swport *from, const struct frame *fr,
		       const uint8_t ip[IPV6_LEN])
{
	struct fix *f = ctx;

	assert_ptr_equal(from, &f->from);
	assert_true(fr->len >= FRAME_MIN + IPV6_HEADER);
	memcpy(f->forwarded, ip, IPV6_LEN);
	return f->answer;
}

static const struct gateway_owner owner = {
    .address = on_address,
    .name = on_name,
    .address6 = on_address6,
    .name6 = on_name6,
    .seen6 = on_seen6,
    .forward6 = on_forward6,
};

static int setup(void **state)
{
	static const uint8_t mac[MAC_LEN] = {0x52, 0x54, 0, 0, 1, 1};
	struct fix *f = mem_zalloc(sizeof(*f));

	memcpy(f->g.mac, mac, MAC_LEN);
	memcpy(f->g.ip6, prefix, sizeof(prefix));
	f->g.ip6[15] = 1;
	f->g.link_local[0] = 0xfe;
	f->g.link_local[1] = 0x80;
	ipv6_set_host(f->g.link_local, mac);
	f->g.mtu = 1500;
	f->g.has_ip6 = true;
	f->g.owner = &owner;
	f->g.ctx = f;
	memcpy(f->path.src_mac, guest_mac, MAC_LEN);
	memcpy(f->path.dst_mac, mac, MAC_LEN);
	memcpy(f->path.src, prefix, sizeof(prefix));
	ipv6_set_host(f->path.src, guest_mac);
	memcpy(f->path.dst, f->g.ip6, IPV6_LEN);
	f->path.hops = IPV6_HOPS;
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
	uint8_t *copy = mem_dup(f->frame, n + 1);
	struct frame fr = {copy, n, 0};
	size_t r = gateway_answer(&f->g, &f->from, &fr);

	free(copy);
	return r;
}

static size_t ask_icmp(struct fix *f, uint8_t type, const void *body, size_t n)
{
	memcpy(ICMP6_PAYLOAD(f->frame), body, n);
	return ask(f, icmp6_finish(f->frame, &f->path, type, 0, n));
}

/* The reply's, which comes from there and goes to the guest. */
static struct icmp_view icmp_reply(struct fix *f, size_t n, const uint8_t *src,
				   const uint8_t *dst)
{
	struct eth_view eth;
	struct ipv6_view ip;
	struct icmp_view icmp;

	assert_true(n > 0);
	assert_true(eth_parse(&eth, f->g.reply, n));
	assert_int_equal(eth.type, ETHER_IPV6);
	assert_memory_equal(eth.src, f->g.mac, MAC_LEN);
	assert_true(ipv6_parse(&ip, eth.body, eth.len));
	assert_memory_equal(ip.src, src, IPV6_LEN);
	assert_memory_equal(ip.dst, dst, IPV6_LEN);
	assert_true(icmp6_parse(&icmp, &ip));
	return icmp;
}

/* --- packets ---------------------------------------------------------------
 */

static void what_is_cut_is_no_packet(void **state)
{
	struct fix *f = *state;
	size_t n = icmp6_finish(f->frame, &f->path, 128, 0, 4);
	struct ipv6_view ip;

	assert_true(ipv6_parse(&ip, f->frame + 14, n - 14));
	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *copy = mem_dup(f->frame, cut + 1);

		if (cut >= 14)
			assert_false(ipv6_parse(&ip, copy + 14, cut - 14));
		assert_int_equal(ask(f, cut), 0);
		free(copy);
	}
}

static void a_wrong_checksum_is_no_packet(void **state)
{
	struct fix *f = *state;

	for (unsigned at = 8; at < IPV6_HEADER + 8; at++) {
		size_t n = icmp6_finish(f->frame, &f->path, 128, 0, 4);

		/* To whom else it may be for, it is passed on. */
		if (at >= 24 && at < IPV6_HEADER)
			continue;
		f->frame[14 + at] ^= 0x40;
		assert_int_equal(ask(f, n), 0);
	}
	assert_true(ask(f, icmp6_finish(f->frame, &f->path, 128, 0, 4)));
}

static void an_age_is_a_hop(void **state)
{
	struct fix *f = *state;
	size_t n = icmp6_finish(f->frame, &f->path, 128, 0, 4);
	struct ipv6_view ip;

	ipv6_age(f->frame);
	assert_true(ipv6_parse(&ip, f->frame + 14, n - 14));
	assert_int_equal(ip.hops, IPV6_HOPS - 1);
}

/* --- neighbours ------------------------------------------------------------
 */

static void a_solicitation_is_answered_with_the_prefix(void **state)
{
	struct fix *f = *state;
	uint8_t body[4] = {0};

	f->path.hops = 255;
	memset(f->path.src, 0, 8);
	f->path.src[0] = 0xfe;
	f->path.src[1] = 0x80;
	memcpy(f->path.dst, all_routers, IPV6_LEN);
	f->path.dst_mac[0] = 0x33;
	size_t n = ask_icmp(f, ICMP6_ROUTER_SOLICIT, body, 4);
	struct icmp_view ra = icmp_reply(f, n, f->g.link_local, f->path.src);
	assert_int_equal(ra.type, ICMP6_ROUTER_ADVERT);
	assert_int_equal(f->g.reply[14 + 7], 255);
	assert_true(be_get16(ra.rest + 2) > 0);
	/* Options follow one another, to the end. */
	unsigned seen = 0;
	for (size_t at = 12; at < ra.len; at += 8u * ra.rest[at + 1]) {
		const uint8_t *o = ra.rest + at;

		assert_true(o[1] && at + 8u * o[1] <= ra.len);
		seen |= 1u << o[0];
		if (o[0] == 3) {
			assert_int_equal(o[2], 64);
			assert_int_equal(o[3], 0xc0);
			assert_memory_equal(o + 16, prefix, 8);
		} else if (o[0] == 5) {
			assert_int_equal(be_get32(o + 4), 1500);
		} else if (o[0] == 25) {
			assert_memory_equal(o + 8, f->g.ip6, IPV6_LEN);
		}
	}
	assert_int_equal(seen, 1u << 1 | 1u << 3 | 1u << 5 | 1u << 25);
	assert_true(f->is_seen);
	assert_true(ipv6_is_unspecified(f->seen));
	/* To all, where the guest has no address yet. */
	memset(f->path.src, 0, IPV6_LEN);
	n = ask_icmp(f, ICMP6_ROUTER_SOLICIT, body, 4);
	icmp_reply(f, n, f->g.link_local, all_nodes);
	assert_int_equal(f->g.reply[0], 0x33);
	/* It came from afar. */
	f->path.hops = 254;
	assert_int_equal(ask_icmp(f, ICMP6_ROUTER_SOLICIT, body, 4), 0);
}

static void neighbours_learn_the_gateways_mac(void **state)
{
	struct fix *f = *state;
	const uint8_t *const ours[] = {f->g.ip6, f->g.link_local};
	uint8_t body[4 + IPV6_LEN] = {0};

	f->path.hops = 255;
	for (unsigned i = 0; i < 2; i++) {
		memcpy(body + 4, ours[i], IPV6_LEN);
		size_t n =
		    ask_icmp(f, ICMP6_NEIGHBOUR_SOLICIT, body, sizeof(body));
		struct icmp_view na = icmp_reply(f, n, ours[i], f->path.src);

		assert_int_equal(na.type, ICMP6_NEIGHBOUR_ADVERT);
		assert_int_equal(na.rest[0], 0xe0);
		assert_memory_equal(na.rest + 4, ours[i], IPV6_LEN);
		assert_memory_equal(na.rest + 4 + IPV6_LEN + 2, f->g.mac,
				    MAC_LEN);
	}
	body[19] ^= 1;
	assert_int_equal(
	    ask_icmp(f, ICMP6_NEIGHBOUR_SOLICIT, body, sizeof(body)), 0);
	memcpy(body + 4, f->g.ip6, IPV6_LEN);
	assert_int_equal(
	    ask_icmp(f, ICMP6_NEIGHBOUR_SOLICIT, body, sizeof(body) - 1), 0);
	assert_false(f->is_seen);
}

static void an_address_that_is_about_to_be_taken_is_seen(void **state)
{
	struct fix *f = *state;
	uint8_t body[4 + IPV6_LEN] = {0};

	f->path.hops = 255;
	memset(f->path.src, 0, IPV6_LEN);
	memcpy(f->path.dst, all_nodes, IPV6_LEN);
	memcpy(body + 4, prefix, 8);
	body[19] = 0x77;
	assert_int_equal(
	    ask_icmp(f, ICMP6_NEIGHBOUR_SOLICIT, body, sizeof(body)), 0);
	assert_true(f->is_seen);
	assert_memory_equal(f->seen, body + 4, IPV6_LEN);
	/* One of another network says nothing. */
	f->is_seen = false;
	body[4] = 0xfe;
	assert_int_equal(
	    ask_icmp(f, ICMP6_NEIGHBOUR_SOLICIT, body, sizeof(body)), 0);
	assert_false(f->is_seen);
	/* The gateway's own is taken, and all hear of it. */
	memcpy(body + 4, f->g.ip6, IPV6_LEN);
	size_t n = ask_icmp(f, ICMP6_NEIGHBOUR_SOLICIT, body, sizeof(body));
	struct icmp_view na = icmp_reply(f, n, f->g.ip6, all_nodes);
	assert_int_equal(na.rest[0], 0xa0);
	assert_false(f->is_seen);
}

/* --- what is for the gateway ------------------------------------------------
 */

/* As ipv6_fragment() makes them of f->frame, each answered but with the last
 * one. */
static size_t ask_in_fragments(struct fix *f, size_t n, size_t mtu)
{
	uint8_t *whole = mem_dup(f->frame, n);
	size_t at = 0, len, r = 0;

	while ((len = ipv6_fragment(f->frame, whole, n, mtu, 77, &at))) {
		assert_int_equal(0, r);
		r = ask(f, len);
	}
	memcpy(f->frame, whole, n);
	free(whole);
	return r;
}

static void an_echo_in_fragments_comes_back_in_fragments(void **state)
{
	static const size_t sizes[] = {1453, 2896, 65487};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t n = icmp6_finish(f->frame, &f->path, ICMP6_ECHO_REQUEST,
					0, 4 + sizes[i]);
		struct icmp_view icmp;

		assert_int_equal(n, ask_in_fragments(f, n, 1500));
		assert_true(f->g.is_cut);
		icmp = icmp_reply(f, n, f->g.ip6, f->path.src);
		assert_int_equal(ICMP6_ECHO_REPLY, icmp.type);
		assert_int_equal(4 + sizes[i], icmp.len);
	}
}

/* RFC 6980. */
static void neighbours_are_not_solicited_in_fragments(void **state)
{
	struct fix *f = *state;
	uint8_t *p = ICMP6_PAYLOAD(f->frame);
	size_t n;

	f->path.hops = IPV6_HOPS_NEAR;
	memset(p, 0, 4);
	memcpy(p + 4, f->g.ip6, IPV6_LEN);
	n = icmp6_finish(f->frame, &f->path, ICMP6_NEIGHBOUR_SOLICIT, 0,
			 4 + IPV6_LEN);
	assert_int_equal(0, ask_in_fragments(f, n, 64));
	assert_true(ask(f, n) > 0);
}

static void a_fragment_that_is_cut_off_is_left_alone(void **state)
{
	struct fix *f = *state;
	size_t n = icmp6_finish(f->frame, &f->path, ICMP6_ECHO_REQUEST, 0, 4);

	f->frame[FRAME_MIN + 6] = IPV6_FRAGMENT;
	for (uint16_t len = 0; len <= 8; len++) {
		be_put16(f->frame + FRAME_MIN + 4, len);
		assert_int_equal(0, ask(f, n));
	}
}

static void an_echo_comes_back_as_it_was(void **state)
{
	struct fix *f = *state;
	size_t n = ask_icmp(f, ICMP6_ECHO_REQUEST, "\1\2\3\4hello", 9);
	struct icmp_view icmp = icmp_reply(f, n, f->g.ip6, f->path.src);

	assert_int_equal(icmp.type, ICMP6_ECHO_REPLY);
	assert_int_equal(icmp.len, 9);
	assert_memory_equal(icmp.rest, "\1\2\3\4hello", 9);
	/* Nor to others, nor from a group. */
	f->path.dst[15] = 2;
	assert_int_equal(ask_icmp(f, ICMP6_ECHO_REQUEST, "\1\2\3\4", 4), 0);
	memcpy(f->path.dst, f->g.ip6, IPV6_LEN);
	f->path.src[0] = 0xff;
	assert_int_equal(ask_icmp(f, ICMP6_ECHO_REQUEST, "\1\2\3\4", 4), 0);
}

static size_t ask_dns(struct fix *f, const char *name, uint16_t type)
{
	uint8_t *body = UDP6_PAYLOAD(f->frame);

	f->path.sport = 4000;
	f->path.dport = 53;
	return ask(
	    f, udp6_finish(f->frame, &f->path, dns_query(body, 1, name, type)));
}

static struct udp_view udp_reply(struct fix *f, size_t n)
{
	struct ipv6_view ip;
	struct udp_view udp;

	assert_true(n > 0);
	assert_true(ipv6_parse(&ip, f->g.reply + 14, n - 14));
	assert_memory_equal(ip.src, f->g.ip6, IPV6_LEN);
	assert_memory_equal(ip.dst, f->path.src, IPV6_LEN);
	assert_true(udp6_parse(&udp, &ip));
	assert_int_equal(udp.sport, 53);
	assert_int_equal(udp.dport, 4000);
	return udp;
}

static void names_are_resolved(void **state)
{
	static const char arpa[] = "a.0.1.0.0.0.e.f.f.f.0.0.4.5.0.5."
				   "1.0.0.0.6.7.f.6.2.7.0.7.7.7.d.f.IP6.ARPA";
	struct fix *f = *state;
	struct udp_view udp = udp_reply(f, ask_dns(f, "a", Q_AAAA));

	assert_int_equal(be_get16(udp.body + 6), 1);
	assert_memory_equal(udp.body + udp.len - IPV6_LEN, f->path.src,
			    IPV6_LEN);
	udp = udp_reply(f, ask_dns(f, "a", Q_ANY));
	assert_int_equal(be_get16(udp.body + 6), 2);
	udp = udp_reply(f, ask_dns(f, arpa, Q_PTR));
	assert_int_equal(be_get16(udp.body + 6), 1);
	udp = udp_reply(f, ask_dns(f, arpa + 2, Q_PTR));
	assert_int_equal(udp.body[3] & 0xf, 3);
	udp = udp_reply(f, ask_dns(f, "b", Q_AAAA));
	assert_int_equal(udp.body[3] & 0xf, 3);
}

static void a_datagram_wants_a_checksum(void **state)
{
	struct fix *f = *state;
	uint8_t *udp = f->frame + FRAME_MIN + IPV6_HEADER;

	ask_dns(f, "a", Q_AAAA);
	size_t n = FRAME_MIN + IPV6_HEADER + be_get16(udp + 4);
	assert_true(ask(f, n));
	be_put16(udp + 6, 0);
	assert_int_equal(ask(f, n), 0);
}

/* --- what is for others ------------------------------------------------------
 */

static void what_is_for_another_network_is_forwarded(void **state)
{
	struct fix *f = *state;

	f->answer = -1;
	f->path.dst[7] = 2;
	assert_int_equal(ask_icmp(f, ICMP6_ECHO_REQUEST, "\1\2\3\4", 4), 0);
	assert_memory_equal(f->forwarded, f->path.dst, IPV6_LEN);
}

static void what_cannot_be_forwarded_is_answered(void **state)
{
	struct fix *f = *state;
	size_t n;

	f->path.dst[7] = 2;
	f->answer = ICMP6_NO_HOST;
	n = ask_icmp(f, ICMP6_ECHO_REQUEST, "\1\2\3\4", 4);
	struct icmp_view icmp = icmp_reply(f, n, f->g.ip6, f->path.src);
	assert_int_equal(icmp.type, ICMP6_UNREACHABLE);
	assert_int_equal(icmp.code, ICMP6_NO_HOST);
	assert_memory_equal(icmp.rest + 4 + 24, f->path.dst, IPV6_LEN);
	f->path.hops = 1;
	n = ask_icmp(f, ICMP6_ECHO_REQUEST, "\1\2\3\4", 4);
	icmp = icmp_reply(f, n, f->g.ip6, f->path.src);
	assert_int_equal(icmp.type, ICMP6_TIME_EXCEEDED);
	/* An error never has one for an answer. */
	assert_int_equal(ask_icmp(f, ICMP6_TIME_EXCEEDED, "\1\2\3\4", 4), 0);
}

static void a_long_one_is_answered_in_the_least_of_mtus(void **state)
{
	static const uint8_t zeros[9000];
	struct fix *f = *state;
	size_t n;

	f->path.dst[7] = 2;
	n = ask_icmp(f, ICMP6_ECHO_REQUEST, zeros, sizeof(zeros));
	icmp_reply(f, n, f->g.ip6, f->path.src);
	assert_int_equal(n, FRAME_MIN + 1280);
}

static void a_gateway_without_ipv6_is_silent(void **state)
{
	struct fix *f = *state;

	f->g.has_ip6 = false;
	assert_int_equal(ask_icmp(f, ICMP6_ECHO_REQUEST, "\1\2\3\4", 4), 0);
	f->path.hops = 255;
	assert_int_equal(ask_icmp(f, ICMP6_ROUTER_SOLICIT, "\0\0\0\0", 4), 0);
	assert_false(f->is_seen);
}

static void what_is_local_is_not_forwarded(void **state)
{
	struct fix *f = *state;

	memset(f->path.src, 0, 8);
	f->path.src[0] = 0xfe;
	f->path.src[1] = 0x80;
	f->path.dst[7] = 2;
	assert_int_equal(ask_icmp(f, ICMP6_ECHO_REQUEST, "\1\2\3\4", 4), 0);
	assert_true(ipv6_is_unspecified(f->forwarded));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(what_is_cut_is_no_packet),
	    T(a_wrong_checksum_is_no_packet),
	    T(an_age_is_a_hop),
	    T(a_solicitation_is_answered_with_the_prefix),
	    T(neighbours_learn_the_gateways_mac),
	    T(an_address_that_is_about_to_be_taken_is_seen),
	    T(an_echo_in_fragments_comes_back_in_fragments),
	    T(neighbours_are_not_solicited_in_fragments),
	    T(a_fragment_that_is_cut_off_is_left_alone),
	    T(an_echo_comes_back_as_it_was),
	    T(names_are_resolved),
	    T(a_datagram_wants_a_checksum),
	    T(what_is_for_another_network_is_forwarded),
	    T(what_cannot_be_forwarded_is_answered),
	    T(a_long_one_is_answered_in_the_least_of_mtus),
	    T(what_is_local_is_not_forwarded),
	    T(a_gateway_without_ipv6_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
