/* SPDX-License-Identifier: MIT */
#include "vmm/net/dns.h"

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

#define WEB IP(10, 77, 1, 12)

enum { NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED };

static bool on_address(void *ctx, const char *name, uint32_t *ret_ip)
{
	(void)ctx;
	*ret_ip = WEB;
	return dns_name_equal(name, "web") || dns_name_equal(name, "web.lan");
}

static bool on_name(void *ctx, uint32_t ip, char ret[DNS_NAME_MAX])
{
	(void)ctx;
	snprintf(ret, DNS_NAME_MAX, "web.lan");
	return ip == WEB;
}

static bool on_is_foreign(void *ctx, const char *name)
{
	(void)ctx;
	return dns_name_equal(name, "www.example.org");
}

static const struct dns_directory directory = {
    .address = on_address, .name = on_name, .is_foreign = on_is_foreign};

struct answer {
	uint8_t p[DNS_REPLY_MAX];
	size_t n;
};

static unsigned rcode(const struct answer *a)
{
	assert_true(a->n >= 12);
	return a->p[3] & 0xf;
}

static void answer(const uint8_t *p, size_t n, struct answer *ret)
{
	/* On the heap and no longer, so that ASan sees a step over. */
	uint8_t *copy = mem_dup(p, n);

	ret->n = dns_answer(copy, n, &directory, ret->p);
	free(copy);
}

static void ask(const char *name, uint16_t type, struct answer *ret)
{
	uint8_t query[300];

	answer(query, dns_query(query, 0xabcd, name, type), ret);
}

/* --- what is answered ---------------------------------------------------- */

static void an_answer_byte_by_byte(void **state)
{
	/* RFC 1035, 4.1. */
	static const uint8_t want[] = {
	    0xab, 0xcd, 0x85, 0x80, /* a response, authoritative, RD, RA */
	    0,	  1,	0,    1,    0, 0,  0, 0,       /* counts */
	    3,	  'W',	'e',  'b',  0, 0,  1, 0, 1,    /* as it was asked */
	    0xc0, 12,	0,    1,    0, 1,  0, 0, 0, 1, /* A IN, 1 s */
	    0,	  4,	10,   77,   1, 12,
	};
	struct answer a;

	(void)state;
	ask("Web", Q_A, &a);
	assert_int_equal(sizeof(want), a.n);
	assert_memory_equal(want, a.p, a.n);
}

static void names_have_no_case_and_may_be_full(void **state)
{
	static const char *const names[] = {"web", "WEB", "web.lan", "wEb.LaN"};
	struct answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ask(names[i], Q_A, &a);
		assert_int_equal(NOERROR, rcode(&a));
		assert_int_equal(1, be_get16(a.p + 6));
		assert_int_equal(WEB, be_get32(a.p + a.n - 4));
	}
}

static void a_known_name_has_no_other_records(void **state)
{
	static const uint16_t types[] = {Q_AAAA, Q_TXT, Q_PTR, 65, 0};
	struct answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		ask("web", types[i], &a);
		assert_int_equal(NOERROR, rcode(&a));
		assert_int_equal(0, be_get16(a.p + 6));
	}
	ask("web", Q_ANY, &a);
	assert_int_equal(1, be_get16(a.p + 6));
}

static void an_unknown_name_does_not_exist(void **state)
{
	static const char *const names[] = {
	    "db", "web.lan.lan", "we", "webb", "", "lan",
	};
	struct answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ask(names[i], Q_A, &a);
		assert_int_equal(NXDOMAIN, rcode(&a));
		assert_int_equal(0, be_get16(a.p + 6));
	}
	ask("db", Q_AAAA, &a);
	assert_int_equal(NXDOMAIN, rcode(&a));
	ask("www.example.org", Q_AAAA, &a);
	assert_true(a.n == DNS_FOREIGN);
}

static void a_known_address_has_a_name(void **state)
{
	static const uint8_t want[] = {3, 'w', 'e', 'b', 3, 'l', 'a', 'n', 0};
	struct answer a;

	(void)state;
	ask("12.1.77.10.In-Addr.Arpa", Q_PTR, &a);
	assert_int_equal(NOERROR, rcode(&a));
	assert_int_equal(1, be_get16(a.p + 6));
	assert_memory_equal(want, a.p + a.n - sizeof(want), sizeof(want));
	ask("12.1.77.10.in-addr.arpa", Q_A, &a);
	assert_int_equal(NOERROR, rcode(&a));
	assert_int_equal(0, be_get16(a.p + 6));
}

static void what_is_no_known_address_has_none(void **state)
{
	static const char *const names[] = {
	    "13.1.77.10.in-addr.arpa",	       "1.77.10.in-addr.arpa",
	    "268.1.77.10.in-addr.arpa",	       "0012.1.77.10.in-addr.arpa",
	    "12.1.77.10.in-addr.arpa.lan",     "12.1.77.10",
	    "x.1.77.10.in-addr.arpa",	       "12.1.77.10.10.in-addr.arpa",
	    "4294967308.1.77.10.in-addr.arpa",
	};
	struct answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ask(names[i], Q_PTR, &a);
		assert_int_equal(NXDOMAIN, rcode(&a));
	}
}

static void the_longest_name_is_taken_and_echoed(void **state)
{
	char name[256];
	struct answer a;

	(void)state;
	memset(name, 'x', sizeof(name));
	name[63] = name[127] = name[191] = '.';
	name[253] = '\0';
	ask(name, Q_A, &a);
	assert_int_equal(NXDOMAIN, rcode(&a));
	assert_int_equal(12 + 255 + 4, a.n);
}

/* --- what is not --------------------------------------------------------- */

static void every_truncation_is_a_format_error(void **state)
{
	uint8_t query[300];
	size_t n = dns_query(query, 1, "web.lan", Q_A);
	struct answer a;

	(void)state;
	for (size_t cut = 0; cut < n; cut++) {
		answer(query, cut, &a);
		if (cut < 12) {
			assert_int_equal(0, a.n);
			continue;
		}
		assert_int_equal(12, a.n);
		assert_int_equal(FORMERR, rcode(&a));
		assert_int_equal(0, be_get16(a.p + 4));
	}
}

static void pointers_in_a_question_are_refused(void **state)
{
	static const uint8_t names[][6] = {
	    {0xc0, 12},		  /* itself */
	    {1, 'a', 0xc0, 12},	  /* a loop with a label in it */
	    {0xc0, 14, 0xc0, 12}, /* in turns */
	    {0xc0, 0},		  /* the header */
	    {0xff, 0xff},	  /* behind the end */
	    {0x40, 1},		  /* reserved kinds */
	    {0x80, 1},
	};
	uint8_t query[12 + 6 + 4] = {0, 1, 1, 0, 0, 1};
	struct answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		memcpy(query + 12, names[i], sizeof(names[i]));
		answer(query, sizeof(query), &a);
		assert_int_equal(FORMERR, rcode(&a));
	}
}

static void names_that_are_too_long_are_refused(void **state)
{
	uint8_t query[12 + 300 + 4] = {0, 1, 1, 0, 0, 1};
	struct answer a;

	(void)state;
	for (size_t at = 12; at + 64 < 12 + 300; at += 64) {
		query[at] = 63;
		memset(query + at + 1, 'x', 63);
	}
	answer(query, sizeof(query), &a);
	assert_int_equal(FORMERR, rcode(&a));
}

static void a_label_with_a_dot_in_it_is_not_two(void **state)
{
	uint8_t query[12 + 9 + 4] = {0, 1, 1, 0, 0, 1};
	struct answer a;

	(void)state;
	memcpy(query + 12, "\7web.lan", 9);
	be_put16(query + 21, Q_A);
	be_put16(query + 23, 1);
	answer(query, sizeof(query), &a);
	assert_int_equal(NXDOMAIN, rcode(&a));
	query[16] = '\0';
	answer(query, sizeof(query), &a);
	assert_int_equal(NXDOMAIN, rcode(&a));
}

static void responses_are_never_answered(void **state)
{
	uint8_t query[300];
	size_t n = dns_query(query, 1, "web", Q_A);
	struct answer a;

	(void)state;
	query[2] |= 0x80;
	answer(query, n, &a);
	assert_int_equal(0, a.n);
}

static void other_operations_are_not_implemented(void **state)
{
	uint8_t query[300];
	size_t n = dns_query(query, 0x1234, "web", Q_A);
	struct answer a;

	(void)state;
	for (unsigned op = 1; op < 16; op++) {
		query[2] = (uint8_t)(op << 3);
		answer(query, n, &a);
		assert_int_equal(NOTIMP, rcode(&a));
		assert_int_equal(0x1234, be_get16(a.p));
		assert_int_equal(op, a.p[2] >> 3 & 0xf);
	}
}

static void one_question_is_asked_at_a_time(void **state)
{
	uint8_t query[300];
	size_t n = dns_query(query, 1, "web", Q_A);
	struct answer a;

	(void)state;
	for (uint16_t count = 0; count < 3; count++) {
		be_put16(query + 4, count);
		answer(query, n, &a);
		assert_int_equal(count == 1 ? NOERROR : FORMERR, rcode(&a));
	}
}

static void other_classes_are_refused(void **state)
{
	uint8_t query[300];
	size_t n = dns_query(query, 1, "web", Q_A);
	struct answer a;

	(void)state;
	be_put16(query + n - 2, 3); /* CHAOS */
	answer(query, n, &a);
	assert_int_equal(REFUSED, rcode(&a));
	be_put16(query + n - 2, 255);
	answer(query, n, &a);
	assert_int_equal(NOERROR, rcode(&a));
	assert_int_equal(1, be_get16(a.p + 6));
}

/* --- EDNS (RFC 6891) ----------------------------------------------------- */

/* An OPT record with n bytes of options. */
static size_t add_opt(uint8_t *query, size_t at, uint8_t version, size_t n)
{
	static const uint8_t head[11] = {0, 0, 41, 0x10, 0};

	memcpy(query + at, head, sizeof(head));
	query[at + 6] = version;
	query[at + 10] = (uint8_t)n;
	memset(query + at + 11, 0x55, n);
	be_put16(query + 10, (uint16_t)(be_get16(query + 10) + 1));
	return at + 11 + n;
}

static void an_opt_record_is_answered_with_one(void **state)
{
	uint8_t query[400];
	size_t n = add_opt(query, dns_query(query, 1, "web", Q_A), 0, 12);
	struct answer a;

	(void)state;
	answer(query, n, &a);
	assert_int_equal(NOERROR, rcode(&a));
	assert_int_equal(1, be_get16(a.p + 6));
	assert_int_equal(1, be_get16(a.p + 10));
	assert_int_equal(WEB, be_get32(a.p + a.n - 11 - 4));
	assert_int_equal(0, a.p[a.n - 11]);
	assert_int_equal(41, be_get16(a.p + a.n - 10));
	assert_int_equal(DNS_REPLY_MAX, be_get16(a.p + a.n - 8));
	/* Cut off anywhere in it. */
	for (size_t cut = n - 23; cut < n; cut++) {
		answer(query, cut, &a);
		assert_int_equal(FORMERR, rcode(&a));
	}
}

static void a_later_version_is_told_so(void **state)
{
	uint8_t query[400];
	size_t n = add_opt(query, dns_query(query, 1, "web", Q_A), 1, 0);
	struct answer a;

	(void)state;
	answer(query, n, &a);
	assert_int_equal(0, be_get16(a.p + 6));
	/* BADVERS is 16: 0 in the header, 1 in the record. */
	assert_int_equal(0, rcode(&a));
	assert_int_equal(1, a.p[a.n - 6]);
}

static void two_opt_records_are_a_format_error(void **state)
{
	uint8_t query[400];
	size_t n = add_opt(query, dns_query(query, 1, "web", Q_A), 0, 0);
	struct answer a;

	(void)state;
	n = add_opt(query, n, 0, 0);
	answer(query, n, &a);
	assert_int_equal(FORMERR, rcode(&a));
}

static void other_records_are_stepped_over(void **state)
{
	/* Named by a pointer to itself, which nobody follows. */
	static const uint8_t record[] = {0xc0, 21, 0, 1, 0, 1, 0,
					 0,    0,  0, 0, 2, 9, 9};
	uint8_t query[400];
	size_t n = dns_query(query, 1, "web", Q_A);
	struct answer a;

	(void)state;
	memcpy(query + n, record, sizeof(record));
	be_put16(query + 10, 1);
	n = add_opt(query, n + sizeof(record), 0, 0);
	answer(query, n, &a);
	assert_int_equal(NOERROR, rcode(&a));
	assert_int_equal(1, be_get16(a.p + 10));
	/* More of them than there are. */
	be_put16(query + 6, 0xffff);
	answer(query, n, &a);
	assert_int_equal(FORMERR, rcode(&a));
}

/* --- names --------------------------------------------------------------- */

static void text_that_is_no_name_is_not_encoded(void **state)
{
	static const char *const bad[] = {".", "a.", ".a", "a..b"};
	uint8_t wire[DNS_NAME_MAX];
	char name[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(0, dns_name_encode(bad[i], wire));
	assert_int_equal(1, dns_name_encode("", wire));
	memset(name, 'x', sizeof(name));
	name[64] = '\0';
	assert_int_equal(0, dns_name_encode(name, wire));
	name[63] = '\0';
	assert_int_equal(65, dns_name_encode(name, wire));
	memset(name, 'x', sizeof(name));
	name[63] = name[127] = name[191] = '.';
	name[254] = '\0';
	assert_int_equal(0, dns_name_encode(name, wire));
	name[253] = '\0';
	assert_int_equal(255, dns_name_encode(name, wire));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_answer_byte_by_byte),
	    cmocka_unit_test(names_have_no_case_and_may_be_full),
	    cmocka_unit_test(a_known_name_has_no_other_records),
	    cmocka_unit_test(an_unknown_name_does_not_exist),
	    cmocka_unit_test(a_known_address_has_a_name),
	    cmocka_unit_test(what_is_no_known_address_has_none),
	    cmocka_unit_test(the_longest_name_is_taken_and_echoed),
	    cmocka_unit_test(every_truncation_is_a_format_error),
	    cmocka_unit_test(pointers_in_a_question_are_refused),
	    cmocka_unit_test(names_that_are_too_long_are_refused),
	    cmocka_unit_test(a_label_with_a_dot_in_it_is_not_two),
	    cmocka_unit_test(responses_are_never_answered),
	    cmocka_unit_test(other_operations_are_not_implemented),
	    cmocka_unit_test(one_question_is_asked_at_a_time),
	    cmocka_unit_test(other_classes_are_refused),
	    cmocka_unit_test(an_opt_record_is_answered_with_one),
	    cmocka_unit_test(a_later_version_is_told_so),
	    cmocka_unit_test(two_opt_records_are_a_format_error),
	    cmocka_unit_test(other_records_are_stepped_over),
	    cmocka_unit_test(text_that_is_no_name_is_not_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
