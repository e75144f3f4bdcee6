/* SPDX-License-Identifier: MIT */
#include "vmm/net/dns.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "vmm/net/packet.h"

#define HEADER 12u

/* RFC 1035, 4.1.1. */
#define FLAG_RESPONSE	  0x8000u
#define FLAG_OPCODE	  0x7800u
#define FLAG_AUTHORITY	  0x0400u
#define FLAG_WANTS_RECURS 0x0100u
#define FLAG_CAN_RECURSE  0x0080u

enum { /* of responses */
       NOERROR = 0,
       FORMERR = 1,
       NXDOMAIN = 3,
       NOTIMP = 4,
       REFUSED = 5,
       BADVERS = 16, /* RFC 6891: its upper bits are in the OPT record */
};

enum {
	TYPE_A = 1,
	TYPE_PTR = 12,
	TYPE_AAAA = 28,
	TYPE_OPT = 41,
	TYPE_ANY = 255
};
enum { CLASS_IN = 1, CLASS_ANY = 255 };

/* What a record has behind its name: type, class, TTL, length. */
#define RECORD_FIXED 10u
/* A pointer to the question's name. */
#define POINTER_TO_QUESTION (0xc000u | HEADER)

#define ARPA		    ".in-addr.arpa"
#define ARPA6		    ".ip6.arpa"

struct query {
	char name[DNS_NAME_MAX];
	uint16_t type;
	uint16_t class;
	size_t question_end;
	bool has_opt;
	uint8_t opt_version;
};

struct response {
	uint8_t *p;
	size_t len;
	unsigned rcode;
	uint16_t n_answers;
};

/* --- parsing ------------------------------------------------------------- */

/* Each record behind the question; only an OPT matters. */
static bool parse_records(struct query *q, const uint8_t *p, size_t n,
			  size_t at)
{
	unsigned records = be_get16(p + 6) + be_get16(p + 8) + be_get16(p + 10);

	while (records--) {
		size_t start = at;

		if (!dns_name_skip(p, n, &at) || n - at < RECORD_FIXED)
			return false;
		if (be_get16(p + at) == TYPE_OPT) {
			/* Once, and of the root. */
			if (q->has_opt || at != start + 1)
				return false;
			q->has_opt = true;
			q->opt_version = p[at + 5];
		}
		size_t len = be_get16(p + at + 8);
		at += RECORD_FIXED;
		if (len > n - at)
			return false;
		at += len;
	}
	return true;
}

static bool dns_parse(struct query *q, const uint8_t *p, size_t n)
{
	size_t at = HEADER;

	if (be_get16(p + 4) != 1 || !dns_name_decode(p, n, &at, q->name) ||
	    n - at < 4)
		return false;
	q->type = be_get16(p + at);
	q->class = be_get16(p + at + 2);
	q->question_end = at + 4;
	return parse_records(q, p, n, q->question_end);
}

/* --- answering ----------------------------------------------------------- */

static void put_answer(struct response *r, uint16_t type, const uint8_t *data,
		       size_t n)
{
	uint8_t *p = r->p + r->len;

	assert(r->len + 2 + RECORD_FIXED + n <= DNS_REPLY_MAX);
	be_put16(p, POINTER_TO_QUESTION);
	be_put16(p + 2, type);
	be_put16(p + 4, CLASS_IN);
	be_put32(p + 6, DNS_TTL);
	be_put16(p + 10, (uint16_t)n);
	memcpy(p + 2 + RECORD_FIXED, data, n);
	r->len += 2 + RECORD_FIXED + n;
	r->n_answers++;
}

/* "4.3.2.1.in-addr.arpa" is 1.2.3.4. */
static bool parse_arpa(const char *name, uint32_t *ret)
{
	uint32_t ip = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned byte = 0, digits = 0;

		for (; *name >= '0' && *name <= '9'; name++, digits++)
			byte = byte * 10 + (unsigned)(*name - '0');
		if (!digits || digits > 3 || byte > 255)
			return false;
		ip |= byte << 8 * i;
		if (i < 3 && *name++ != '.')
			return false;
	}
	*ret = ip;
	return dns_name_equal(name, ARPA);
}

static int nibble(char c)
{
	static const char digits[] = "0123456789abcdef";
	/* As in names, case does not matter. */
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* A nibble a label, the last one first (RFC 3596, 2.5). */
static bool parse_arpa6(const char *name, uint8_t ret[IPV6_LEN])
{
	memset(ret, 0, IPV6_LEN);
	for (unsigned i = 0; i < 2 * IPV6_LEN; i++) {
		int v = nibble(*name);

		if (v < 0)
			return false;
		ret[IPV6_LEN - 1 - i / 2] |= (uint8_t)(v << 4 * (i % 2));
		name++;
		if (i + 1 < 2 * IPV6_LEN && *name++ != '.')
			return false;
	}
	return dns_name_equal(name, ARPA6);
}

static bool find_name6(const struct query *q, const struct dns_directory *d,
		       char ret[DNS_NAME_MAX])
{
	uint8_t ip[IPV6_LEN];

	return d->name6 && parse_arpa6(q->name, ip) &&
	       d->name6(d->ctx, ip, ret);
}

static bool answer_reverse(struct response *r, const struct query *q,
			   const struct dns_directory *d)
{
	uint8_t wire[DNS_NAME_MAX];
	char name[DNS_NAME_MAX];
	uint32_t ip;
	size_t n;

	if (parse_arpa(q->name, &ip) ? !d->name(d->ctx, ip, name)
				     : !find_name6(q, d, name))
		return false;
	n = dns_name_encode(name, wire);
	if (n && (q->type == TYPE_PTR || q->type == TYPE_ANY))
		put_answer(r, TYPE_PTR, wire, n);
	return true;
}

static bool answer_forward(struct response *r, const struct query *q,
			   const struct dns_directory *d)
{
	uint8_t ip[4], ip6[IPV6_LEN];
	uint32_t v;

	if (!d->address(d->ctx, q->name, &v))
		return false;
	be_put32(ip, v);
	if (q->type == TYPE_A || q->type == TYPE_ANY)
		put_answer(r, TYPE_A, ip, sizeof(ip));
	if ((q->type == TYPE_AAAA || q->type == TYPE_ANY) && d->address6 &&
	    d->address6(d->ctx, q->name, ip6))
		put_answer(r, TYPE_AAAA, ip6, sizeof(ip6));
	return true;
}

/* False: it is not ours to answer. */
static bool dns_answer_query(struct response *r, const struct query *q,
			     const struct dns_directory *d)
{
	if (q->has_opt && q->opt_version)
		r->rcode = BADVERS;
	else if (q->class != CLASS_IN && q->class != CLASS_ANY)
		r->rcode = REFUSED;
	else if (answer_forward(r, q, d) || answer_reverse(r, q, d))
		return true;
	else if (d->is_foreign && d->is_foreign(d->ctx, q->name))
		return false;
	else
		r->rcode = NXDOMAIN;
	return true;
}

/* Ours, whatever the client's said: the size that we take, version 0, no
 * options. */
static void put_opt(struct response *r)
{
	uint8_t *p = r->p + r->len;

	memset(p, 0, 1 + RECORD_FIXED);
	be_put16(p + 1, TYPE_OPT);
	be_put16(p + 3, DNS_REPLY_MAX);
	p[5] = (uint8_t)(r->rcode >> 4);
	r->len += 1 + RECORD_FIXED;
}

static size_t dns_finish(struct response *r, const uint8_t *query, bool has_opt)
{
	uint16_t flags = be_get16(query + 2);
	uint8_t *p = r->p;

	memcpy(p, query, 2);
	be_put16(p + 2,
		 (uint16_t)(FLAG_RESPONSE | FLAG_AUTHORITY | FLAG_CAN_RECURSE |
			    (flags & FLAG_OPCODE) |
			    (flags & FLAG_WANTS_RECURS) | (r->rcode & 0xf)));
	be_put16(p + 4, r->len > HEADER);
	be_put16(p + 6, r->n_answers);
	be_put16(p + 8, 0);
	be_put16(p + 10, has_opt);
	if (has_opt)
		put_opt(r);
	return r->len;
}

size_t dns_answer(const uint8_t *p, size_t n, const struct dns_directory *d,
		  uint8_t ret[DNS_REPLY_MAX])
{
	struct response r = {.p = ret, .len = HEADER};
	struct query q = {0};

	/* A response is never answered, or two servers would go on for ever. */
	if (n < HEADER || be_get16(p + 2) & FLAG_RESPONSE)
		return 0;
	if (be_get16(p + 2) & FLAG_OPCODE) {
		r.rcode = NOTIMP;
		return dns_finish(&r, p, false);
	}
	if (!dns_parse(&q, p, n)) {
		r.rcode = FORMERR;
		return dns_finish(&r, p, false);
	}
	memcpy(ret + HEADER, p + HEADER, q.question_end - HEADER);
	r.len = q.question_end;
	if (!dns_answer_query(&r, &q, d))
		return DNS_FOREIGN;
	return dns_finish(&r, p, q.has_opt);
}
