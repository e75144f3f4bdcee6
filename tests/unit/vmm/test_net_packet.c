/* SPDX-License-Identifier: MIT */
#include "vmm/net/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_frames.h"

#define HERE  IP(10, 77, 1, 10)
#define THERE IP(10, 77, 1, 1)

static const struct packet_path path = {
    .src_mac = {0x52, 0x54, 0, 0, 1, 10},
    .dst_mac = {0x52, 0x54, 0, 0, 1, 1},
    .src_ip = HERE,
    .dst_ip = THERE,
    .sport = 1000,
    .dport = 53,
};

/* All the way down to UDP, from bytes that end where n says. */
static bool parse_udp(const uint8_t *frame, size_t n, struct udp_view *ret)
{
	uint8_t *copy = mem_dup(frame, n);
	struct eth_view eth;
	struct ipv4_view ip;
	bool ok = eth_parse(&eth, copy, n) && eth.type == ETHER_IPV4 &&
		  ipv4_parse(&ip, eth.body, eth.len) && udp_parse(ret, &ip);

	free(copy);
	return ok;
}

static bool parse_icmp(const uint8_t *frame, size_t n)
{
	uint8_t *copy = mem_dup(frame, n);
	struct eth_view eth;
	struct ipv4_view ip;
	struct icmp_view icmp;
	bool ok = eth_parse(&eth, copy, n) &&
		  ipv4_parse(&ip, eth.body, eth.len) && icmp_parse(&icmp, &ip);

	free(copy);
	return ok;
}

/* Rewrites the IPv4 header's checksum. */
static void fix_header(uint8_t *frame)
{
	uint8_t *p = frame + FRAME_MIN;

	be_put16(p + 10, 0);
	be_put16(p + 10, inet_checksum(0, p, (p[0] & 0xfu) * 4u));
}

static void checksums_are_those_of_rfc_1071(void **state)
{
	/* Section 3: the sum of these is ddf2. */
	static const uint8_t p[] = {0x00, 0x01, 0xf2, 0x03,
				    0xf4, 0xf5, 0xf6, 0xf7};

	(void)state;
	assert_int_equal((uint16_t)~0xddf2, inet_checksum(0, p, sizeof(p)));
	/* An odd byte is the upper half of its word. */
	assert_int_equal((uint16_t)~0xf4f5, inet_checksum(0, p + 4, 2));
	assert_int_equal((uint16_t)~0xf400, inet_checksum(0, p + 4, 1));
	assert_int_equal(0xffff, inet_checksum(0, p, 0));
}

static void an_ipv4_header_byte_by_byte(void **state)
{
	static const uint8_t want[] = {0x52, 0x54, 0, 0, 1, 1, 0x52, 0x54, 0, 0,
				       1, 10, 8, 0,
				       /* RFC 791, 3.1 */
				       0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17,
				       0x24, 0x2a, 10, 77, 1, 10, 10, 77, 1, 1,
				       /* RFC 768 */
				       0x03, 0xe8, 0, 53, 0, 11};
	uint8_t frame[100];
	size_t n = frame_udp(frame, &path, "abc", 3);

	(void)state;
	assert_int_equal(14 + 20 + 8 + 3, n);
	assert_memory_equal(want, frame, sizeof(want));
}

static void an_arp_packet_byte_by_byte(void **state)
{
	/* RFC 826, "packet format". */
	static const uint8_t want[] = {
	    0x52, 0x54, 0, 0, 1, 1, 0x52, 0x54, 0, 0, 1, 10, 8,	 6,  0, 1,
	    8,	  0,	6, 4, 0, 2, 0x52, 0x54, 0, 0, 1, 10, 10, 77, 1, 10,
	    0x52, 0x54, 0, 0, 1, 1, 10,	  77,	1, 1,
	};
	uint8_t frame[100];
	struct arp_view arp;

	(void)state;
	assert_int_equal(sizeof(want), arp_build(frame, &path, ARP_REPLY));
	assert_memory_equal(want, frame, sizeof(want));
	assert_true(arp_parse(&arp, frame + 14, 28));
	assert_int_equal(ARP_REPLY, arp.op);
	assert_int_equal(HERE, arp.sender_ip);
	assert_int_equal(THERE, arp.target_ip);
	assert_memory_equal(path.src_mac, arp.sender_mac, MAC_LEN);
	assert_false(arp_parse(&arp, frame + 14, 27));
	for (size_t i = 14; i < 20; i++) {
		frame[i] ^= 0x10;
		assert_false(arp_parse(&arp, frame + 14, 28));
		frame[i] ^= 0x10;
	}
}

static void what_is_built_is_parsed(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 1472, UDP_PAYLOAD_MAX};
	uint8_t *frame = mem_zalloc(FRAME_MAX);
	uint8_t *body = mem_zalloc(UDP_PAYLOAD_MAX);
	struct udp_view udp;

	(void)state;
	for (size_t i = 0; i < UDP_PAYLOAD_MAX; i++)
		body[i] = (uint8_t)(i * 31);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t n = frame_udp(frame, &path, body, sizes[i]);

		assert_true(n <= FRAME_MAX);
		assert_true(parse_udp(frame, n, &udp));
		assert_int_equal(1000, udp.sport);
		assert_int_equal(53, udp.dport);
		assert_int_equal(sizes[i], udp.len);
	}
	assert_true(parse_icmp(
	    frame, frame_ping(frame, &path, 1, ICMP_PAYLOAD_MAX - 4)));
	free(frame);
	free(body);
}

static void every_truncation_is_refused(void **state)
{
	uint8_t frame[200];
	struct udp_view udp;
	size_t n = frame_udp(frame, &path, "0123456789", 10);

	(void)state;
	for (size_t cut = 0; cut < n; cut++)
		assert_false(parse_udp(frame, cut, &udp));
	n = frame_ping(frame, &path, 1, 20);
	for (size_t cut = FRAME_MIN; cut < n; cut++)
		assert_false(parse_icmp(frame, cut));
}

static void every_flipped_bit_is_noticed(void **state)
{
	uint8_t frame[200];
	struct udp_view udp;
	size_t n = frame_udp(frame, &path, "0123456789", 10);

	(void)state;
	/* But for an Ethernet address, and a checksum that becomes none. */
	for (size_t bit = 12 * 8; bit < n * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(parse_udp(frame, n, &udp));
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(parse_udp(frame, n, &udp));
}

static void padding_is_not_payload(void **state)
{
	uint8_t frame[100] = {0};
	struct udp_view udp;

	(void)state;
	frame_udp(frame, &path, "abc", 3);
	assert_true(parse_udp(frame, 60, &udp));
	assert_int_equal(3, udp.len);
}

static void options_of_ipv4_are_stepped_over(void **state)
{
	uint8_t frame[100] = {0};
	struct udp_view udp;
	size_t n = frame_udp(frame, &path, "abc", 3);

	(void)state;
	memmove(frame + 38, frame + 34, n - 34);
	memset(frame + 34, 1, 4); /* no operation */
	frame[14] = 0x46;
	be_put16(frame + 16, (uint16_t)(n - FRAME_MIN + 4));
	fix_header(frame);
	assert_true(parse_udp(frame, n + 4, &udp));
	assert_int_equal(3, udp.len);
}

static void wrong_lengths_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint16_t value;
	} wrong[] = {
	    {14, 0x4400}, /* a header of 16 bytes */
	    {14, 0x4f00}, /* of 60, which is more than there is */
	    {14, 0x6500}, /* version 6 */
	    {16, 19},	  /* shorter than its header */
	    {16, 27},	  /* than UDP's */
	    {16, 32},	  /* longer than the frame */
	    {38, 7},	  /* UDP: shorter than its header */
	    {38, 12},	  /* longer than the packet */
	};
	uint8_t frame[100];
	struct udp_view udp;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		size_t n = frame_udp(frame, &path, "abc", 3);

		be_put16(frame + 40, 0); /* no checksum */
		assert_true(parse_udp(frame, n, &udp));
		be_put16(frame + wrong[i].at, wrong[i].value);
		if (n >= 14u + (frame[14] & 0xfu) * 4u)
			fix_header(frame);
		assert_false(parse_udp(frame, n, &udp));
	}
}

static void fragments_are_told(void **state)
{
	static const uint16_t fields[] = {0x2000, 0x0001, 0x1fff};
	uint8_t frame[100];
	struct ipv4_view ip;
	size_t n = frame_udp(frame, &path, "abc", 3);

	(void)state;
	assert_true(ipv4_parse(&ip, frame + 14, n - 14));
	assert_false(ip.is_fragment);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		be_put16(frame + 20, fields[i]);
		fix_header(frame);
		assert_true(ipv4_parse(&ip, frame + 14, n - 14));
		assert_true(ip.is_fragment);
	}
}

static void a_udp_checksum_of_zero_is_sent_as_ones(void **state)
{
	uint8_t frame[100];
	struct udp_view udp;

	(void)state;
	/* The payload that makes the sum come out as zero. */
	frame_udp(frame, &path, "\0\0", 2);
	uint16_t sum = be_get16(frame + 40);
	uint8_t body[2];
	be_put16(body, sum);
	size_t n = frame_udp(frame, &path, body, 2);
	assert_int_equal(0xffff, be_get16(frame + 40));
	assert_true(parse_udp(frame, n, &udp));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(checksums_are_those_of_rfc_1071),
	    cmocka_unit_test(an_ipv4_header_byte_by_byte),
	    cmocka_unit_test(an_arp_packet_byte_by_byte),
	    cmocka_unit_test(what_is_built_is_parsed),
	    cmocka_unit_test(every_truncation_is_refused),
	    cmocka_unit_test(every_flipped_bit_is_noticed),
	    cmocka_unit_test(padding_is_not_payload),
	    cmocka_unit_test(options_of_ipv4_are_stepped_over),
	    cmocka_unit_test(wrong_lengths_are_refused),
	    cmocka_unit_test(fragments_are_told),
	    cmocka_unit_test(a_udp_checksum_of_zero_is_sent_as_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
