/* SPDX-License-Identifier: MIT */
/*
 * Throws malformed packets out of a NIC, the same for the same seed:
 *
 *	packets NIC SEED COUNT GATEWAY_MAC OTHER_MAC OWN_IP GATEWAY_IP
 *	    OTHER_IP FAR_IP
 *
 * Each begins as a sound packet of a kind that somebody on the network parses
 * (ARP, DHCP, DNS, ICMP, TCP, neighbour discovery; to the gateway, the other
 * guest, and one behind the router) and is then spoilt in one of the ways of
 * the table at the bottom.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/mem.h"

#define ROOM	(1 << 16)
#define ETHER	14
#define IP4	20
#define IP6	40
#define UDP	8
#define GIANT	65535
#define PREFIX6 "\xfd\x77\x70\x72\x6f\x76\0\1" /* of the first bridge */

struct thrower {
	int fd;
	int nic;
	uint32_t random;
	uint8_t own_mac[6], gateway_mac[6], other_mac[6];
	uint32_t own, gateway, other, far; /* in host order */
	uint8_t p[ROOM];
	size_t n;
};

static uint32_t pick(struct thrower *t, uint32_t below)
{
	t->random = t->random * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)t->random * below >> 32);
}

/* --- writing -----------------------------------------------------------------
 */

static void put(struct thrower *t, const void *p, size_t n)
{
	memcpy(t->p + t->n, p, n);
	t->n += n;
}

static void put8(struct thrower *t, unsigned v)
{
	t->p[t->n++] = (uint8_t)v;
}

static void put16(struct thrower *t, unsigned v)
{
	put8(t, v >> 8);
	put8(t, v);
}

static void put32(struct thrower *t, uint32_t v)
{
	put16(t, v >> 16);
	put16(t, v);
}

static void put_zeroes(struct thrower *t, size_t n)
{
	memset(t->p + t->n, 0, n);
	t->n += n;
}

static void set16(struct thrower *t, size_t at, unsigned v)
{
	t->p[at] = (uint8_t)(v >> 8);
	t->p[at + 1] = (uint8_t)v;
}

static unsigned checksum(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* --- sound packets
 * ------------------------------------------------------------ */

static void begin(struct thrower *t, unsigned type)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	const uint8_t *to[] = {t->gateway_mac, t->gateway_mac, t->other_mac,
			       all};

	t->n = 0;
	put(t, to[pick(t, 4)], 6);
	put(t, t->own_mac, 6);
	put16(t, type);
}

static uint32_t some_ip(struct thrower *t)
{
	const uint32_t ips[] = {t->gateway,  t->other,	  t->far,
				0xffffffffu, 0x7f000001u, pick(t, UINT32_MAX)};

	return ips[pick(t, ARRAY_LEN(ips))];
}

/* An IPv4 packet's header; its lengths and checksums are seal4()'s. */
static void begin4(struct thrower *t, unsigned protocol)
{
	begin(t, 0x0800);
	put16(t, 0x4500);
	put16(t, 0);
	put16(t, pick(t, 65536));
	put16(t, pick(t, 8) ? 0 : pick(t, 65536)); /* fragments */
	put8(t, pick(t, 8) ? 64 : pick(t, 3));
	put8(t, protocol);
	put16(t, 0);
	put32(t, pick(t, 16) ? t->own : some_ip(t));
	put32(t, some_ip(t));
}

static void seal4(struct thrower *t)
{
	set16(t, ETHER + 2, (unsigned)(t->n - ETHER));
	set16(t, ETHER + 10, 0);
	set16(t, ETHER + 10, checksum(0, t->p + ETHER, IP4));
}

static void begin_udp(struct thrower *t, unsigned dport)
{
	begin4(t, 17);
	put16(t, dport == 67 ? 68 : 1024 + pick(t, 60000));
	put16(t, dport);
	put32(t, 0); /* no checksum: valid in IPv4 */
}

static void seal_udp(struct thrower *t)
{
	set16(t, ETHER + IP4 + 4, (unsigned)(t->n - ETHER - IP4));
	seal4(t);
}

static void make_arp(struct thrower *t)
{
	begin(t, 0x0806);
	put(t, "\0\1\x08\0\6\4", 6);
	put16(t, 1 + pick(t, 2));
	put(t, t->own_mac, 6);
	put32(t, pick(t, 4) ? t->own : some_ip(t));
	put_zeroes(t, 6);
	put32(t, some_ip(t));
}

static void make_echo(struct thrower *t)
{
	size_t at;

	begin4(t, 1);
	at = t->n;
	put16(t, pick(t, 2) ? 0x0800 : pick(t, 65536));
	put16(t, 0);
	put_zeroes(t, 4 + pick(t, 1000));
	set16(t, at + 2, checksum(0, t->p + at, t->n - at));
	seal4(t);
}

static void make_tcp(struct thrower *t)
{
	begin4(t, 6);
	put16(t, 1024 + pick(t, 60000));
	put16(t, pick(t, 2) ? 53 : pick(t, 65536));
	put_zeroes(t, 8);
	put16(t, 0x5002 + (pick(t, 16) << 12));
	put_zeroes(t, 6);
	seal4(t);
}

static void make_dhcp(struct thrower *t)
{
	begin_udp(t, 67);
	put32(t, 0x01010600);
	put32(t, pick(t, UINT32_MAX));
	put_zeroes(t, 4);
	put32(t, pick(t, 2) ? t->own : some_ip(t));
	put_zeroes(t, 12);
	put(t, t->own_mac, 6);
	put_zeroes(t, 202);
	put32(t, 0x63825363);
	put(t, "\65\1", 2);
	put8(t, 1 + pick(t, 8));
	for (unsigned i = pick(t, 12); i; i--) {
		unsigned n = pick(t, 40);
		put8(t, pick(t, 256));
		put8(t, pick(t, 3) ? n : pick(t, 256)); /* or a lie */
		put_zeroes(t, n);
	}
	put8(t, 255);
	seal_udp(t);
}

static void make_dns(struct thrower *t)
{
	static const char *const labels[] = {"b", "lan", "gateway", "arpa",
					     "c"};

	begin_udp(t, 53);
	put16(t, pick(t, 65536));
	put16(t, pick(t, 2) ? 0x0100 : pick(t, 65536));
	put16(t, pick(t, 4) ? 1 : pick(t, 65536));
	put_zeroes(t, 6);
	for (unsigned i = pick(t, 6); i; i--) {
		const char *label = labels[pick(t, ARRAY_LEN(labels))];
		put8(t, pick(t, 8) ? (unsigned)strlen(label) : pick(t, 256));
		put(t, label, strlen(label));
	}
	if (pick(t, 4))
		put8(t, 0);
	else
		put16(t, 0xc000 + pick(t, 64)); /* a pointer, to itself too */
	put16(t, pick(t, 2) ? 1 : 28);
	put16(t, 1);
	seal_udp(t);
}

static void put_ip6(struct thrower *t, unsigned host)
{
	put(t, PREFIX6, 8);
	put_zeroes(t, 7);
	put8(t, host);
}

/* ICMPv6 of a type that the gateway knows: neighbours, routers, echoes. */
static void make_icmp6(struct thrower *t)
{
	static const uint8_t types[] = {128, 129, 133, 134, 135, 136, 1, 143};
	size_t at;
	unsigned n;

	begin(t, 0x86dd);
	put32(t, 0x60000000);
	put16(t, 0);
	put8(t, pick(t, 8) ? 58 : pick(t, 256));
	put8(t, 255);
	put_ip6(t, 10 + pick(t, 3));
	put_ip6(t, 1);
	at = t->n;
	put8(t, types[pick(t, sizeof(types))]);
	put_zeroes(t, 7);
	put_ip6(t, pick(t, 4));
	n = pick(t, 4);
	for (unsigned i = 0; i < n; i++) {
		put8(t, 1 + pick(t, 5));
		put8(t, pick(t, 3)); /* of 0 octets: an endless loop for some */
		put(t, t->own_mac, 6);
	}
	n = (unsigned)(t->n - at);
	set16(t, ETHER + 4, n);
	set16(t, at + 2,
	      checksum(58 + n + (~checksum(0, t->p + ETHER + 8, 32) & 0xffff),
		       t->p + at, n));
}

/* --- what is wrong with them
 * ---------------------------------------------------- */

static void leave(struct thrower *t)
{
	(void)t;
}

static void cut(struct thrower *t)
{
	t->n = pick(t, (uint32_t)t->n + 1);
}

static void cut_and_seal(struct thrower *t)
{
	t->n = ETHER + IP4 + pick(t, (uint32_t)t->n - ETHER - IP4 + 1);
	if (t->p[12] == 8 && t->p[13] == 0)
		seal4(t);
}

static void flip(struct thrower *t)
{
	for (unsigned i = 1 + pick(t, 8); i; i--)
		t->p[pick(t, (uint32_t)t->n)] ^= (uint8_t)(1u << pick(t, 8));
}

/* A sound header around what was flipped behind it. */
static void flip_inside(struct thrower *t)
{
	for (unsigned i = 1 + pick(t, 8); i; i--)
		t->p[ETHER + IP4 + pick(t, (uint32_t)t->n - ETHER - IP4)] ^=
		    (uint8_t)(1u << pick(t, 8));
}

static void lie(struct thrower *t)
{
	static const size_t lengths[] = {ETHER + 2, ETHER + 4, ETHER + IP4 + 4};

	set16(t, lengths[pick(t, ARRAY_LEN(lengths))], pick(t, 65536));
	if (pick(t, 2) && t->p[12] == 8 && t->p[13] == 0) {
		set16(t, ETHER + 10, 0);
		set16(t, ETHER + 10, checksum(0, t->p + ETHER, IP4));
	}
}

/* The header's own length: less than there must be, or more than there is. */
static void lie_of_options(struct thrower *t)
{
	t->p[ETHER] = (uint8_t)(0x40 + pick(t, 16));
	set16(t, ETHER + 10, 0);
	set16(t, ETHER + 10,
	      checksum(0, t->p + ETHER, 4 * (t->p[ETHER] & 15u)));
}

static void grow(struct thrower *t)
{
	size_t n = GIANT - 1000 * pick(t, 60);

	if (n > t->n)
		put_zeroes(t, n - t->n);
}

static void runt(struct thrower *t)
{
	t->n = pick(t, ETHER + 1);
}

static void noise(struct thrower *t)
{
	for (size_t i = 12; i < t->n; i++)
		t->p[i] = (uint8_t)pick(t, 256);
}

static void wrong_sender(struct thrower *t)
{
	memcpy(t->p + 6, pick(t, 2) ? t->gateway_mac : t->other_mac, 6);
	if (!pick(t, 4))
		t->p[6] |= 1; /* a group: nobody's */
}

static void (*const makers[])(struct thrower *t) = {
    make_arp, make_echo, make_tcp, make_dhcp, make_dns, make_icmp6,
};

static void (*const spoilers[])(struct thrower *t) = {
    leave,	    cut,  cut_and_seal, flip,  flip_inside,  lie,
    lie_of_options, grow, runt,		noise, wrong_sender,
};

/* --- throwing
 * -------------------------------------------------------------------- */

/* The kernel refuses what is shorter than a header, or longer than its MTU. */
static bool throw_one(struct thrower *t)
{
	struct sockaddr_ll to = {
	    .sll_family = AF_PACKET, .sll_ifindex = t->nic, .sll_halen = 6};
	ssize_t n;

	do
		n = sendto(t->fd, t->p, t->n, 0, (struct sockaddr *)&to,
			   sizeof(to));
	while (n < 0 && (errno == ENOBUFS || errno == EINTR));
	return n >= 0;
}

static void read_mac(uint8_t mac[6], const char *text)
{
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)strtoul(text + 3 * i, NULL, 16);
}

static uint32_t read_ip(const char *text)
{
	return ntohl(inet_addr(text));
}

static int open_nic(struct thrower *t, const char *name)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	t->fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (t->fd < 0 || ioctl(t->fd, SIOCGIFINDEX, &ifr) < 0)
		return -errno;
	t->nic = ifr.ifr_ifindex;
	if (ioctl(t->fd, SIOCGIFHWADDR, &ifr) < 0)
		return -errno;
	memcpy(t->own_mac, ifr.ifr_hwaddr.sa_data, 6);
	return 0;
}

int main(int argc, char **argv)
{
	static struct thrower t;
	unsigned long left, sent = 0;

	if (argc != 10 || open_nic(&t, argv[1]) < 0) {
		perror("packets");
		return 2;
	}
	t.random = (uint32_t)strtoul(argv[2], NULL, 10);
	left = strtoul(argv[3], NULL, 10);
	read_mac(t.gateway_mac, argv[4]);
	read_mac(t.other_mac, argv[5]);
	t.own = read_ip(argv[6]);
	t.gateway = read_ip(argv[7]);
	t.other = read_ip(argv[8]);
	t.far = read_ip(argv[9]);
	for (; left; left--) {
		makers[pick(&t, ARRAY_LEN(makers))](&t);
		spoilers[pick(&t, ARRAY_LEN(spoilers))](&t);
		sent += throw_one(&t);
	}
	printf("%lu\n", sent);
	return 0;
}
