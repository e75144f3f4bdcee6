/* SPDX-License-Identifier: MIT */
#include "vmm/net/packet_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_frames.h"
#include "vmm/net/packet6.h"

static const struct packet_path path = {
    .src_mac = {0x52, 0x54, 0, 0, 1, 10},
    .dst_mac = {0x52, 0x54, 0, 0, 1, 1},
    .src_ip = IP(10, 77, 1, 10),
    .dst_ip = IP(10, 77, 1, 1),
    .sport = 1000,
    .dport = 53,
};

static const struct packet_path6 path6 = {
    .src_mac = {0x52, 0x54, 0, 0, 1, 10},
    .dst_mac = {0x52, 0x54, 0, 0, 1, 1},
    .src = {0xfd, [15] = 1},
    .dst = {0xfd, [15] = 2},
    .hops = IPV6_HOPS,
    .sport = 1000,
    .dport = 2000,
};

static void expect(const uint8_t *frame, size_t n, const char *want)
{
	uint8_t *copy = mem_dup(frame, n);
	struct buf b = {0};

	packet_text(&b, copy, n);
	buf_append(&b, "", 1);
	assert_string_equal((char *)buf_data(&b), want);
	buf_done(&b);
	free(copy);
}

/* A TCP segment in a frame that the builder of UDP made: with that protocol,
 * and the header's checksum put right. */
static size_t frame_tcp(uint8_t *frame, const uint8_t *segment, size_t n)
{
	uint8_t *ip = frame + FRAME_MIN;
	size_t len;

	/* A UDP header is 8 bytes of the segment. */
	len = frame_udp(frame, &path, segment + UDP_HEADER, n - UDP_HEADER);
	memcpy(ip + IPV4_HEADER, segment, n);
	ip[9] = IPV4_TCP;
	be_put16(ip + 10, 0);
	be_put16(ip + 10, inet_checksum(0, ip, IPV4_HEADER));
	return len;
}

static void ipv4_names_both_ends(void **state)
{
	uint8_t frame[200];

	(void)state;
	expect(frame, frame_udp(frame, &path, "abc", 3),
	       "10.77.1.10 > 10.77.1.1 UDP 1000 > 53 DNS, 3 bytes of data");
	size_t n = frame_ping(frame, &path, 7, 8);
	CLEANUP(buf_done) struct buf b = {0};
	packet_text(&b, frame, n);
	assert_non_null(memmem(buf_data(&b), b.len, "ICMP echo request", 17));
	memset(ICMP_PAYLOAD(frame), 0, 40);
	expect(frame,
	       icmp_finish(frame, &path, ICMP_UNREACHABLE, ICMP_NO_HOST, 32),
	       "10.77.1.10 > 10.77.1.1 ICMP unreachable, code 1");
	expect(frame, icmp_finish(frame, &path, 42, 0, 8),
	       "10.77.1.10 > 10.77.1.1 ICMP type 42");
}

static void tcp_tells_its_flags(void **state)
{
	/* RFC 9293, 3.1. */
	uint8_t segment[26] = {0x04, 0xd2, 0, 80, 0,	0,    0,    9,
			       0,    0,	   0, 0,  0x50, 0x12, 0xff, 0xff};
	uint8_t frame[200];

	(void)state;
	expect(frame, frame_tcp(frame, segment, sizeof(segment)),
	       "10.77.1.10 > 10.77.1.1 TCP 1234 > 80 SYN ACK seq 9, "
	       "6 bytes of data");
	segment[12] = 0xf0; /* a header of 60 bytes */
	expect(frame, frame_tcp(frame, segment, sizeof(segment)),
	       "10.77.1.10 > 10.77.1.1 TCP, cut off");
	segment[12] = 0x40;
	expect(frame, frame_tcp(frame, segment, sizeof(segment)),
	       "10.77.1.10 > 10.77.1.1 TCP, cut off");
	expect(frame, frame_tcp(frame, segment, 19),
	       "10.77.1.10 > 10.77.1.1 TCP, cut off");
}

static void ipv6_names_both_ends(void **state)
{
	uint8_t frame[200] = {0};

	(void)state;
	expect(frame, udp6_finish(frame, &path6, 5),
	       "fd00::1 > fd00::2 UDP 1000 > 2000, 5 bytes of data");
	expect(frame,
	       icmp6_finish(frame, &path6, ICMP6_NEIGHBOUR_SOLICIT, 0, 20),
	       "fd00::1 > fd00::2 ICMPv6 neighbour solicitation");
	expect(frame, icmp6_finish(frame, &path6, ICMP6_UNREACHABLE, 3, 4),
	       "fd00::1 > fd00::2 ICMPv6 unreachable, code 3");
	expect(frame, icmp6_finish(frame, &path6, 200, 0, 4),
	       "fd00::1 > fd00::2 ICMPv6 type 200");
}

static void arp_tells_question_and_answer(void **state)
{
	uint8_t frame[100];

	(void)state;
	expect(frame, arp_build(frame, &path, ARP_REQUEST),
	       "ARP 10.77.1.10 asks who has 10.77.1.1");
	expect(frame, arp_build(frame, &path, ARP_REPLY),
	       "ARP 10.77.1.10 is at 52:54:00:00:01:0a");
}

static void other_frames_are_told_by_their_type(void **state)
{
	uint8_t frame[100];
	size_t n = frame_plain(frame, path.dst_mac, path.src_mac, 1, 46);

	(void)state;
	expect(frame, n,
	       "52:54:00:00:01:0a > 52:54:00:00:01:01 type 0x88b5, 46 bytes");
	expect(frame, FRAME_MIN - 1, "no Ethernet frame, 13 bytes");
	be_put16(frame + 12, ETHER_ARP);
	expect(frame, n, "ARP, damaged");
	be_put16(frame + 12, ETHER_IPV4);
	expect(frame, n, "IPv4, damaged");
	be_put16(frame + 12, ETHER_IPV6);
	expect(frame, n, "IPv6, damaged");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ipv4_names_both_ends),
	    cmocka_unit_test(tcp_tells_its_flags),
	    cmocka_unit_test(ipv6_names_both_ends),
	    cmocka_unit_test(arp_tells_question_and_answer),
	    cmocka_unit_test(other_frames_are_told_by_their_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
