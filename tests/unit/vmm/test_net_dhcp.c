/* SPDX-License-Identifier: MIT */
#include "vmm/net/dhcp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_frames.h"

#define OURS  IP(10, 77, 1, 12)
#define OTHER IP(10, 77, 1, 13)
#define SELF  IP(10, 77, 1, 1)
#define CLIENT_MAC                                                             \
	{                                                                      \
		0x52, 0x54, 0, 0, 1, 12                                        \
	}
#define BROADCAST_FLAG 0x8000

static const struct dhcp_lease lease = {
    .ip = OURS,
    .mask = IP(255, 255, 255, 0),
    .server = SELF,
    .mtu = 1500,
    .host = "web",
    .domain = "lan",
};

static void ask(const struct dhcp_ask *a, struct dhcp_reply *ret)
{
	uint8_t bytes[DHCP_ASK_MAX];

	dhcp_answer(bytes, dhcp_ask(bytes, a), &lease, ret);
}

static void assert_option(const struct dhcp_reply *r, uint8_t code,
			  const void *value, size_t n)
{
	size_t len = 0;
	const uint8_t *p = dhcp_option(r->bytes, r->len, code, &len);

	assert_non_null(p);
	assert_int_equal(n, len);
	assert_memory_equal(value, p, n);
}

#define ASSERT_OPTION(r, code, ...)                                            \
	assert_option(r, code, (const uint8_t[]){__VA_ARGS__},                 \
		      sizeof((const uint8_t[]){__VA_ARGS__}))

static void assert_no_option(const struct dhcp_reply *r, uint8_t code)
{
	size_t len;

	assert_null(dhcp_option(r->bytes, r->len, code, &len));
}

/* --- the exchanges of RFC 2131 ------------------------------------------- */

static void an_offer_byte_by_byte(void **state)
{
	static const struct dhcp_ask a = {
	    .type = D_DISCOVER, .mac = CLIENT_MAC, .xid = 0xcafef00d};
	/* RFC 2131, figure 1 and table 3. */
	static const uint8_t head[28] = {
	    2, 1, 6,  0,  0xca, 0xfe, 0xf0, 0x0d, 0, 0, 0, 0, 0, 0,
	    0, 0, 10, 77, 1,	12,   0,    0,	  0, 0, 0, 0, 0, 0,
	};
	static const uint8_t tail[] = {
	    0x63, 0x82, 0x53, 0x63,		   /* magic */
	    53,	  1,	2,			   /* OFFER */
	    54,	  4,	10,   77,   1,	  1,	   /* server */
	    51,	  4,	0xff, 0xff, 0xff, 0xff,	   /* for ever */
	    1,	  4,	255,  255,  255,  0,	   /* mask */
	    28,	  4,	10,   77,   1,	  255,	   /* broadcast */
	    3,	  4,	10,   77,   1,	  1,	   /* router */
	    6,	  4,	10,   77,   1,	  1,	   /* name server */
	    26,	  2,	0x05, 0xdc,		   /* MTU */
	    12,	  3,	'w',  'e',  'b',	   /* host */
	    15,	  3,	'l',  'a',  'n',	   /* domain */
	    119,  5,	3,    'l',  'a',  'n',	0, /* search */
	    255,
	};
	static const uint8_t zero[DHCP_REPLY_MAX];
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_int_equal(236 + sizeof(tail), r.len);
	assert_memory_equal(head, r.bytes, sizeof(head));
	assert_memory_equal(a.mac, r.bytes + 28, MAC_LEN);
	assert_memory_equal(zero, r.bytes + 34, 236 - 34);
	assert_memory_equal(tail, r.bytes + 236, sizeof(tail));
	assert_false(r.is_broadcast);
	assert_memory_equal(a.mac, r.to_mac, MAC_LEN);
	assert_int_equal(OURS, r.to_ip);
	assert_int_equal(DHCP_NOTHING, r.event);
}

static void what_a_client_wishes_does_not_matter(void **state)
{
	struct dhcp_ask a = {
	    .type = D_DISCOVER, .mac = CLIENT_MAC, .requested = OTHER};
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_int_equal(D_OFFER, dhcp_type(r.bytes, r.len));
	assert_int_equal(OURS, be_get32(r.bytes + 16));
}

static void the_offer_selected_is_granted(void **state)
{
	struct dhcp_ask a = {.type = D_REQUEST,
			     .mac = CLIENT_MAC,
			     .xid = 77,
			     .requested = OURS,
			     .server = SELF};
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_int_equal(D_ACK, dhcp_type(r.bytes, r.len));
	assert_int_equal(DHCP_GRANTED, r.event);
	assert_int_equal(77, be_get32(r.bytes + 4));
	assert_int_equal(OURS, be_get32(r.bytes + 16));
	ASSERT_OPTION(&r, 51, 0xff, 0xff, 0xff, 0xff);
	ASSERT_OPTION(&r, 26, 0x05, 0xdc);
	ASSERT_OPTION(&r, 119, 3, 'l', 'a', 'n', 0);
}

static void another_server_selected_is_no_business_of_ours(void **state)
{
	struct dhcp_ask a = {.type = D_REQUEST,
			     .mac = CLIENT_MAC,
			     .requested = OURS,
			     .server = SELF + 1};
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_int_equal(0, r.len);
	assert_int_equal(DHCP_NOTHING, r.event);
	a.type = D_RELEASE;
	ask(&a, &r);
	assert_int_equal(DHCP_NOTHING, r.event);
}

static void a_rebooted_client_keeps_its_address(void **state)
{
	struct dhcp_ask a = {
	    .type = D_REQUEST, .mac = CLIENT_MAC, .requested = OURS};
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_int_equal(D_ACK, dhcp_type(r.bytes, r.len));
	assert_int_equal(DHCP_GRANTED, r.event);
}

static void a_client_with_a_wrong_address_is_refused_loudly(void **state)
{
	struct dhcp_ask a = {
	    .type = D_REQUEST, .mac = CLIENT_MAC, .requested = OTHER};
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_int_equal(D_NAK, dhcp_type(r.bytes, r.len));
	assert_int_equal(DHCP_NOTHING, r.event);
	/* Always to all: its address may be of another network. */
	assert_true(r.is_broadcast);
	assert_int_equal(0, be_get32(r.bytes + 16));
	ASSERT_OPTION(&r, 54, 10, 77, 1, 1);
	assert_no_option(&r, 51);
	assert_no_option(&r, 1);

	a.requested = 0;
	a.ciaddr = OTHER;
	ask(&a, &r);
	assert_int_equal(D_NAK, dhcp_type(r.bytes, r.len));
	assert_true(r.is_broadcast);
	assert_int_equal(0, be_get32(r.bytes + 12));
}

static void a_renewal_goes_to_the_clients_address(void **state)
{
	struct dhcp_ask a = {.type = D_REQUEST,
			     .mac = CLIENT_MAC,
			     .flags = BROADCAST_FLAG,
			     .ciaddr = OURS};
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_int_equal(D_ACK, dhcp_type(r.bytes, r.len));
	assert_int_equal(DHCP_GRANTED, r.event);
	assert_int_equal(OURS, be_get32(r.bytes + 12));
	assert_false(r.is_broadcast);
	assert_int_equal(OURS, r.to_ip);
}

static void a_request_for_nothing_is_ignored(void **state)
{
	struct dhcp_ask a = {.type = D_REQUEST, .mac = CLIENT_MAC};
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_int_equal(0, r.len);
}

static void a_client_that_says_so_is_answered_by_broadcast(void **state)
{
	struct dhcp_ask a = {
	    .type = D_DISCOVER, .mac = CLIENT_MAC, .flags = BROADCAST_FLAG};
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_true(r.is_broadcast);
	assert_int_equal(BROADCAST_FLAG, be_get16(r.bytes + 10));
}

static void what_is_returned_is_not_answered(void **state)
{
	struct dhcp_ask a = {.type = D_DECLINE,
			     .mac = CLIENT_MAC,
			     .requested = OURS,
			     .server = SELF};
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_int_equal(0, r.len);
	assert_int_equal(DHCP_RETURNED, r.event);
	a = (struct dhcp_ask){.type = D_RELEASE,
			      .mac = CLIENT_MAC,
			      .ciaddr = OURS,
			      .server = SELF};
	ask(&a, &r);
	assert_int_equal(0, r.len);
	assert_int_equal(DHCP_RETURNED, r.event);
}

static void one_who_only_asks_is_told_all_but_an_address(void **state)
{
	struct dhcp_ask a = {
	    .type = D_INFORM, .mac = CLIENT_MAC, .ciaddr = OTHER};
	struct dhcp_reply r;

	(void)state;
	ask(&a, &r);
	assert_int_equal(D_ACK, dhcp_type(r.bytes, r.len));
	assert_int_equal(DHCP_NOTHING, r.event);
	assert_int_equal(OTHER, be_get32(r.bytes + 12));
	assert_int_equal(0, be_get32(r.bytes + 16));
	assert_int_equal(OTHER, r.to_ip);
	assert_no_option(&r, 51);
	ASSERT_OPTION(&r, 6, 10, 77, 1, 1);
	a.ciaddr = 0;
	ask(&a, &r);
	assert_int_equal(0, r.len);
}

/* --- names --------------------------------------------------------------- */

static void a_short_reply_is_filled_up_with_zeros(void **state)
{
	static const struct dhcp_ask a = {
	    .type = D_REQUEST, .mac = CLIENT_MAC, .requested = OTHER};
	static const uint8_t zero[300];
	struct dhcp_reply r;

	(void)state;
	memset(&r, 0xff, sizeof(r));
	ask(&a, &r);
	assert_int_equal(300, r.len);
	assert_int_equal(255, r.bytes[249]);
	assert_memory_equal(zero, r.bytes + 250, 50);
}

static void only_what_is_a_host_name_is_told_as_one(void **state)
{
	static const struct dhcp_ask a = {.type = D_DISCOVER,
					  .mac = CLIENT_MAC};
	static const char *const bad[] = {"", "two words", "a.b", "x\n",
					  "$(reboot)"};
	char longest[65];
	uint8_t bytes[DHCP_ASK_MAX];
	size_t n = dhcp_ask(bytes, &a);
	struct dhcp_lease l = lease;
	struct dhcp_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		l.host = l.domain = bad[i];
		dhcp_answer(bytes, n, &l, &r);
		assert_int_equal(D_OFFER, dhcp_type(r.bytes, r.len));
		assert_no_option(&r, 12);
		assert_no_option(&r, 15);
		assert_no_option(&r, 119);
	}
	memset(longest, 'x', 64);
	longest[64] = '\0';
	l.host = l.domain = longest;
	dhcp_answer(bytes, n, &l, &r);
	assert_no_option(&r, 12);
	longest[63] = '\0';
	dhcp_answer(bytes, n, &l, &r);
	assert_option(&r, 12, longest, 63);
	assert_option(&r, 15, longest, 63);
	assert_true(r.len > 300 && r.len <= DHCP_REPLY_MAX);
	assert_int_equal(255, r.bytes[r.len - 1]);
}

/* --- what is no request -------------------------------------------------- */

static void every_truncation_is_survived(void **state)
{
	struct dhcp_ask a = {.type = D_REQUEST,
			     .mac = CLIENT_MAC,
			     .requested = OURS,
			     .server = SELF};
	uint8_t bytes[DHCP_ASK_MAX];
	size_t n = dhcp_ask(bytes, &a);
	size_t end = 240 + 3 + 6 + 6;

	(void)state;
	for (size_t cut = 0; cut <= n; cut++) {
		/* On the heap and no longer, so that ASan sees a step over. */
		uint8_t *p = mem_dup(bytes, cut);
		struct dhcp_reply r;

		dhcp_answer(p, cut, &lease, &r);
		/* The end option may be missing. Cut just before the server,
		 * it is the request of a client that rebooted. */
		if (cut >= end || cut == end - 6)
			assert_int_equal(D_ACK, dhcp_type(r.bytes, r.len));
		else
			assert_int_equal(0, r.len);
		free(p);
	}
}

static void requests_of_others_are_left_alone(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} wrong[] = {
	    {0, 2},    /* a reply */
	    {1, 6},    /* not Ethernet */
	    {2, 8},    /* its addresses */
	    {24, 10},  /* through a relay */
	    {28, 1},   /* the address of a group */
	    {236, 99}, /* BOOTP without options */
	    {240, 53}, /* (right) */
	    {242, 0},  /* no such type... */
	    {242, 2},  /* ...or one of servers */
	    {242, 5},  {242, 9}, {242, 255}, {241, 2}, /* a type of two bytes */
	    {240, 0}, /* none: 1, 1 is then a mask */
	};
	static const struct dhcp_ask a = {.type = D_DISCOVER,
					  .mac = CLIENT_MAC};
	uint8_t bytes[DHCP_ASK_MAX];
	struct dhcp_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		size_t n = dhcp_ask(bytes, &a);
		bool is_right = bytes[wrong[i].at] == wrong[i].value;

		bytes[wrong[i].at] = wrong[i].value;
		dhcp_answer(bytes, n, &lease, &r);
		assert_int_equal(is_right, r.len != 0);
	}
}

static void options_may_go_on_in_other_fields(void **state)
{
	static const struct dhcp_ask a = {.mac = CLIENT_MAC};
	uint8_t bytes[DHCP_ASK_MAX];
	size_t n = dhcp_ask(bytes, &a);
	struct dhcp_reply r;

	(void)state;
	memcpy(bytes + 240, (uint8_t[]){52, 1, 3, 255}, 4);
	memcpy(bytes + 108, (uint8_t[]){53, 1, D_REQUEST, 255}, 4);
	memcpy(bytes + 44, (uint8_t[]){0, 50, 4, 10, 77, 1, 12, 255}, 8);
	dhcp_answer(bytes, n, &lease, &r);
	assert_int_equal(D_ACK, dhcp_type(r.bytes, r.len));
	/* One that reaches over the end of its field. */
	memcpy(bytes + 44, (uint8_t[]){50, 63}, 2);
	dhcp_answer(bytes, n, &lease, &r);
	assert_int_equal(0, r.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_offer_byte_by_byte),
	    cmocka_unit_test(what_a_client_wishes_does_not_matter),
	    cmocka_unit_test(the_offer_selected_is_granted),
	    cmocka_unit_test(another_server_selected_is_no_business_of_ours),
	    cmocka_unit_test(a_rebooted_client_keeps_its_address),
	    cmocka_unit_test(a_client_with_a_wrong_address_is_refused_loudly),
	    cmocka_unit_test(a_renewal_goes_to_the_clients_address),
	    cmocka_unit_test(a_request_for_nothing_is_ignored),
	    cmocka_unit_test(a_client_that_says_so_is_answered_by_broadcast),
	    cmocka_unit_test(what_is_returned_is_not_answered),
	    cmocka_unit_test(one_who_only_asks_is_told_all_but_an_address),
	    cmocka_unit_test(a_short_reply_is_filled_up_with_zeros),
	    cmocka_unit_test(only_what_is_a_host_name_is_told_as_one),
	    cmocka_unit_test(every_truncation_is_survived),
	    cmocka_unit_test(requests_of_others_are_left_alone),
	    cmocka_unit_test(options_may_go_on_in_other_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
