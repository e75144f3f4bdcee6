/* SPDX-License-Identifier: MIT */
/*
 * Filters of captures. The functions of libc by which libpcap would look a name
 * up are this program's own here, and none may be called.
 */
#include "streams/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/ether.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

#define FRAME_BYTES 128u

/* --- what must not be called -----------------------------------------------
 */

/* Of libpcap: an IPv6 address, or a port of /etc/services. */
int getaddrinfo(const char *node, const char *service,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	struct sockaddr_in6 *sin6 = mem_zalloc(sizeof(*sin6));
	struct sockaddr_in *sin = mem_zalloc(sizeof(*sin));

	(void)hints;
	*ret = mem_zalloc(sizeof(**ret));
	if (node) {
		if (inet_pton(AF_INET6, node, &sin6->sin6_addr) != 1)
			fail_msg("'%s' was looked up as a host", node);
		free(sin);
		(*ret)->ai_family = sin6->sin6_family = AF_INET6;
		(*ret)->ai_addr = (struct sockaddr *)sin6;
		return 0;
	}
	assert_string_equal("http", service);
	free(sin6);
	(*ret)->ai_family = sin->sin_family = AF_INET;
	sin->sin_port = htons(80);
	(*ret)->ai_addr = (struct sockaddr *)sin;
	return 0;
}

void freeaddrinfo(struct addrinfo *a)
{
	free(a->ai_addr);
	free(a);
}

struct netent *getnetbyname(const char *name)
{
	fail_msg("'%s' was looked up as a network", name);
	return NULL;
}

struct hostent *gethostbyname(const char *name)
{
	fail_msg("'%s' was looked up as a host", name);
	return NULL;
}

int ether_hostton(const char *name, struct ether_addr *ret)
{
	(void)ret;
	fail_msg("'%s' was looked up in /etc/ethers", name);
	return -1;
}

/* --- the network of the tests ----------------------------------------------
 */

static bool find(void *ctx, const char *name, struct filter_host *ret)
{
	(void)ctx;
	if (!strcmp(name, "a") || !strcmp(name, "a.lan"))
		*ret = (struct filter_host){
		    .ip = 0x0a4d010a,
		    .has_mac = true,
		    .mac = {0x52, 0x54, 0, 0, 1, 0x0a},
		};
	else if (!strcmp(name, "web-1"))
		*ret = (struct filter_host){.ip = 0x0a4d010b,
					    .has_ip6 = true,
					    .ip6 = {0xfd, 0x77, [15] = 1}};
	else
		return false;
	return true;
}

static const struct filter_scope scope = {.netmask = 0xffffff00, .find = find};

/* An IPv4 frame of UDP to port 80 between these hosts, host byte order. */
static void make_ipv4(uint8_t f[FRAME_BYTES], uint32_t src, uint32_t dst)
{
	memset(f, 0, FRAME_BYTES);
	memcpy(f, "\x52\x54\0\0\1\x0b\x52\x54\0\0\1\x0a\x08\0\x45", 15);
	f[23] = 17;
	src = htonl(src);
	dst = htonl(dst);
	memcpy(f + 26, &src, 4);
	memcpy(f + 30, &dst, 4);
	f[37] = 80;
}

static void make_ipv6(uint8_t f[FRAME_BYTES], const char *src, const char *dst)
{
	memset(f, 0, FRAME_BYTES);
	memcpy(f, "\x52\x54\0\0\1\x0b\x52\x54\0\0\1\x0a\x86\xdd\x60", 15);
	f[20] = 17;
	assert_int_equal(1, inet_pton(AF_INET6, src, f + 22));
	assert_int_equal(1, inet_pton(AF_INET6, dst, f + 38));
}

static pcap_t *open_pcap(void)
{
	pcap_t *p = pcap_open_dead(DLT_EN10MB, 65535);

	assert_non_null(p);
	return p;
}

static bool matches(const char *text, const uint8_t *frame)
{
	struct pcap_pkthdr h = {.caplen = FRAME_BYTES, .len = FRAME_BYTES};
	pcap_t *pcap = open_pcap();
	struct bpf_program code;
	struct err err = {0};
	bool is;

	if (filter_compile(pcap, text, &scope, &code, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	is = pcap_offline_filter(&code, &h, frame) != 0;
	pcap_freecode(&code);
	pcap_close(pcap);
	return is;
}

static void assert_refused(const char *text, const struct filter_scope *s,
			   const char *why)
{
	pcap_t *pcap = open_pcap();
	struct bpf_program code;
	struct err err = {0};

	if (filter_compile(pcap, text, s, &code, &err) == 0)
		fail_msg("'%s' was taken", text);
	pcap_close(pcap);
	assert_int_equal(-EINVAL, err.code);
	if (!strstr(err.text, why))
		fail_msg("'%s': %s", text, err.text);
	assert_non_null(strstr(err.text, "filter '"));
	assert_null(strchr(err.text, '\n'));
}

/* --- metadata --------------------------------------------------------------
 */

static void what_only_a_live_interface_knows_is_refused_by_name(void **state)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
	    {"inbound", "'inbound'"},
	    {"outbound", "'outbound'"},
	    {"not outbound", "'outbound'"},
	    {"inbound or icmp", "'inbound'"},
	    {"icmp and (tcp or ifindex 1)", "'ifindex'"},
	    {"ifindex 1", "'ifindex'"},
	    {"type mgt", "802.11"},
	    {"subtype beacon", "802.11"},
	    {"dir tods", "802.11"},
	    {"on eth0", "linktype"},
	    {"ifname eth0", "linktype"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_refused(bad[i].text, &scope, bad[i].word);
		assert_refused(bad[i].text, NULL, bad[i].word);
	}
}

static void a_vlan_tag_is_in_the_frame(void **state)
{
	uint8_t f[FRAME_BYTES];

	(void)state;
	make_ipv4(f, 0x0a4d010a, 0x0a4d010b);
	assert_false(matches("vlan", f));
	memmove(f + 16, f + 12, FRAME_BYTES - 16);
	memcpy(f + 12, "\x81\0\0\5", 4);
	assert_true(matches("vlan", f));
	assert_true(matches("vlan 5 and udp", f));
	assert_false(matches("vlan 6", f));
}

/* --- broadcasts ------------------------------------------------------------
 */

static void a_broadcast_goes_by_the_netmask(void **state)
{
	uint8_t f[FRAME_BYTES];

	(void)state;
	make_ipv4(f, 0x0a4d010a, 0x0a4d01ff);
	assert_true(matches("ip broadcast", f));
	make_ipv4(f, 0x0a4d010a, 0x0a4d0105);
	assert_false(matches("ip broadcast", f));
	make_ipv4(f, 0x0a4d010a, 0x0affffff);
	assert_true(matches("ip broadcast", f));
	make_ipv4(f, 0x0a4d010a, 0xff4d0105);
	assert_false(matches("ip broadcast", f));
	assert_refused("ip broadcast", NULL, "netmask not known");
}

/* --- names -----------------------------------------------------------------
 */

static void names_of_the_network_are_its_addresses(void **state)
{
	static const struct {
		const char *text;
		bool by_a, by_other; /* of frames from a, and from others */
	} cases[] = {
	    {"host a", true, false},
	    {"src a.lan", true, false},
	    {"dst a", false, false},
	    {"ip host a", true, false},
	    {"src host a and udp", true, false},
	    {"udp and src host \\a", true, false},
	    {"host 192.0.2.1 or a", true, false},
	    {"host 192.0.2.1 or (a and not web-1)", false, false},
	    {"not host a", false, true},
	    {"not src host (a or 192.0.2.7)", false, true},
	    {"ether host a", true, true},
	    {"ether src a and ip", true, true},
	    {"ether dst a", false, false},
	    {"dst port http and host a", true, false},
	    {"port 80 or http", true, true},
	    {"udp dst portrange 79-81", true, true},
	    {"port 80 and src a", true, false},
	    {"dst host web-1", true, true},
	    {"src net 10.77.1 and dst host web-1", true, false},
	    {"src net 10.77.1.0/24", true, false},
	    {"ip proto \\udp", true, true},
	    {"proto \\udp and src a", true, false},
	    {"ether proto \\ip and src host a", true, false},
	    {"udp[0:2] = 0 && src a", true, false},
	    {"host a||arp", true, false},
	    {"!host a", false, true},
	    {"tcp[tcpflags] & tcp-syn != 0", false, false},
	};
	uint8_t a[FRAME_BYTES], other[FRAME_BYTES];

	(void)state;
	make_ipv4(a, 0x0a4d010a, 0x0a4d010b);
	make_ipv4(other, 0xc0000263, 0x0a4d010b);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (matches(cases[i].text, a) != cases[i].by_a ||
		    matches(cases[i].text, other) != cases[i].by_other)
			fail_msg("%s", cases[i].text);
	}
}

static void a_name_is_its_ipv6_address_as_well(void **state)
{
	uint8_t f[FRAME_BYTES];

	(void)state;
	make_ipv6(f, "fd77::1", "fd77::2");
	assert_true(matches("host web-1", f));
	assert_true(matches("src web-1", f));
	assert_true(matches("ip6 host web-1", f));
	assert_false(matches("dst web-1", f));
	assert_false(matches("ip host web-1", f));
	assert_true(matches("host fd77::2 and web-1", f));
	assert_true(matches("net fd77::/16", f));
	assert_false(matches("host 10.1.2.3 or a", f));
	make_ipv4(f, 0x0a4d010a, 0x0a4d010b);
	assert_true(matches("host web-1", f));
	assert_false(matches("ip6 host web-1", f));
	assert_false(matches("ether src 52-54-00-00-01-0b or 525400000107", f));
	assert_true(matches("ether dst 52.54.0.0.1.b", f));
	assert_true(matches("ether dst 5254.0000.010b", f));
}

static void no_other_name_is_looked_up(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
	    {"host nobody", "'nobody' is the name of nobody"},
	    {"host example.com", "'example.com' is the name of nobody"},
	    {"src a or nobody", "'nobody'"},
	    {"host a or (b and c)", "'b'"},
	    {"icmp and nobody", "'nobody'"},
	    {"host 1.2.3.4.5", "'1.2.3.4.5'"},
	    {"host foo:80", "'foo'"},
	    {"host fd77:1", "'fd77'"},
	    {"host ::99999", "'::99999' begins with no address"},
	    {"ip6 and ::1.2.3", "'::1.2.3'"},
	    {"ether host 1:2:3:4:5", "'1:2:3:4:5'"},
	    {"host 1.2.3.4-5", "'1.2.3.4-5'"},
	    {"ip6 host a", "'a' has no such address"},
	    {"ether host nobody", "'nobody' is the name of nobody"},
	    {"ether host web-1", "'web-1' has no MAC address"},
	    {"net a", "'a' would be looked up as the name of a network"},
	    {"src net loopback", "'loopback'"},
	    {"gateway a", "'a' would be looked up as a gateway"},
	    {"port nonsense", "'nonsense' is no port of /etc/services"},
	    {"tcp port 80 or nonsense", "'nonsense'"},
	    {"portrange http-nonsense", "'http-nonsense'"},
	    {"ip proto nonsense", "'nonsense' is no protocol"},
	    {"ip6 protochain nonsense", "'nonsense'"},
	    {"ether proto nonsense", "unknown ether proto 'nonsense'"},
	    {"host \\tcp", "'tcp' is the name of nobody"},
	    {"tcp nobody", "'nobody'"},
	    {"arp host nobody", "'nobody'"},
	    {"wlan host nobody", "'nobody'"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_refused(bad[i].text, &scope, bad[i].why);
	assert_refused("host a", NULL, "'a' is the name of nobody");
}

static void what_is_no_filter_is_told_in_libpcaps_words(void **state)
{
	static const char *const bad[] = {"icmpp",	 "((",	  "host", "and",
					  "not foo and", "tcp ]", "port"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_refused(bad[i], &scope, "");
	assert_refused("icmpp", &scope,
		       "filter 'icmpp': can't parse filter expression: "
		       "syntax error");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		what_only_a_live_interface_knows_is_refused_by_name),
	    cmocka_unit_test(a_vlan_tag_is_in_the_frame),
	    cmocka_unit_test(a_broadcast_goes_by_the_netmask),
	    cmocka_unit_test(names_of_the_network_are_its_addresses),
	    cmocka_unit_test(a_name_is_its_ipv6_address_as_well),
	    cmocka_unit_test(no_other_name_is_looked_up),
	    cmocka_unit_test(what_is_no_filter_is_told_in_libpcaps_words),
	};

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
