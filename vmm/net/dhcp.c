/* SPDX-License-Identifier: MIT */
#include "vmm/net/dhcp.h"

#include <assert.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "vmm/net/dns_name.h"
#include "vmm/net/packet.h"

/* RFC 2131, figure 1. */
enum {
	OFF_OP = 0,
	OFF_HTYPE = 1,
	OFF_HLEN = 2,
	OFF_XID = 4,
	OFF_FLAGS = 10,
	OFF_CIADDR = 12,
	OFF_YIADDR = 16,
	OFF_GIADDR = 24,
	OFF_CHADDR = 28,
	OFF_SNAME = 44,
	OFF_FILE = 108,
	OFF_MAGIC = 236,
	OFF_OPTIONS = 240,
};
#define SNAME_LEN  64u
#define FILE_LEN   128u
#define CHADDR_LEN 16u
/* What BOOTP relays and clients take for a whole message (RFC 1542, 2.1). */
#define MESSAGE_MIN    300u

#define MAGIC	       0x63825363u
#define FLAG_BROADCAST 0x8000u
#define LEASE_FOREVER  0xffffffffu

enum { BOOTREQUEST = 1, BOOTREPLY = 2, HTYPE_ETHERNET = 1 };

enum { /* RFC 2132; 119: RFC 3397 */
       OPT_PAD = 0,
       OPT_MASK = 1,
       OPT_ROUTER = 3,
       OPT_DNS = 6,
       OPT_HOST = 12,
       OPT_DOMAIN = 15,
       OPT_MTU = 26,
       OPT_BROADCAST = 28,
       OPT_REQUESTED = 50,
       OPT_LEASE_TIME = 51,
       OPT_OVERLOAD = 52,
       OPT_TYPE = 53,
       OPT_SERVER = 54,
       OPT_CLIENT_ID = 61,
       OPT_SEARCH = 119,
       OPT_END = 255,
};

enum {
	DISCOVER = 1,
	OFFER,
	REQUEST,
	DECLINE,
	ACK,
	NAK,
	RELEASE,
	INFORM,
};

struct request {
	const uint8_t *bytes;
	uint8_t type; /* 0: none */
	uint8_t overload;
	uint32_t ciaddr;
	uint32_t requested; /* 0: none, as are... */
	uint32_t server;    /* ...these */
	const uint8_t *id;  /* of the client, in bytes; NULL: none */
	size_t id_len;
};

/* --- parsing ------------------------------------------------------------- */

static void dhcp_take_option(struct request *r, uint8_t code, const uint8_t *p,
			     size_t n)
{
	if (code == OPT_TYPE && n == 1)
		r->type = *p;
	else if (code == OPT_OVERLOAD && n == 1)
		r->overload = *p;
	else if (code == OPT_REQUESTED && n == 4)
		r->requested = be_get32(p);
	else if (code == OPT_SERVER && n == 4)
		r->server = be_get32(p);
	else if (code == OPT_CLIENT_ID && n) {
		r->id = p;
		r->id_len = n;
	}
}

/* False: an option reaches over the end. The end option may be missing. */
static bool take_options(struct request *r, const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] != OPT_END) {
		if (p[i] == OPT_PAD) {
			i++;
			continue;
		}
		if (n - i < 2 || p[i + 1] > n - i - 2)
			return false;
		dhcp_take_option(r, p[i], p + i + 2, p[i + 1]);
		i += 2u + p[i + 1];
	}
	return true;
}

static bool dhcp_parse(struct request *r, const uint8_t *p, size_t n)
{
	*r = (struct request){.bytes = p, .ciaddr = be_get32(p + OFF_CIADDR)};
	if (!take_options(r, p + OFF_OPTIONS, n - OFF_OPTIONS))
		return false;
	/* RFC 2131, 4.1: options may go on in these fields. */
	if (r->overload & 1 && !take_options(r, p + OFF_FILE, FILE_LEN))
		return false;
	return !(r->overload & 2) || take_options(r, p + OFF_SNAME, SNAME_LEN);
}

static bool is_request(const uint8_t *p, size_t n)
{
	return n >= OFF_OPTIONS && p[OFF_OP] == BOOTREQUEST &&
	       p[OFF_HTYPE] == HTYPE_ETHERNET && p[OFF_HLEN] == MAC_LEN &&
	       !be_get32(p + OFF_GIADDR) && be_get32(p + OFF_MAGIC) == MAGIC &&
	       !mac_is_group(p + OFF_CHADDR);
}

bool dhcp_client(const uint8_t *p, size_t n, struct dhcp_client *ret)
{
	struct request q;

	if (!is_request(p, n) || !dhcp_parse(&q, p, n))
		return false;
	*ret = (struct dhcp_client){
	    .id_len = q.id_len,
	    .wanted = q.requested ? q.requested : q.ciaddr,
	    .is_asking = q.type == DISCOVER || q.type == REQUEST,
	};
	memcpy(ret->mac, p + OFF_CHADDR, MAC_LEN);
	if (q.id)
		memcpy(ret->id, q.id, q.id_len);
	return true;
}

/* --- building ------------------------------------------------------------ */

static void dhcp_put(struct dhcp_reply *r, uint8_t code, const void *p,
		     size_t n)
{
	/* All there ever are fit; names are bounded. */
	assert(n <= UINT8_MAX && r->len + 2 + n < sizeof(r->bytes));
	r->bytes[r->len++] = code;
	r->bytes[r->len++] = (uint8_t)n;
	memcpy(r->bytes + r->len, p, n);
	r->len += n;
}

static void dhcp_put32(struct dhcp_reply *r, uint8_t code, uint32_t v)
{
	uint8_t b[4];

	be_put32(b, v);
	dhcp_put(r, code, b, sizeof(b));
}

static void put16(struct dhcp_reply *r, uint8_t code, uint16_t v)
{
	uint8_t b[2];

	be_put16(b, v);
	dhcp_put(r, code, b, sizeof(b));
}

static void put_names(struct dhcp_reply *r, const struct dhcp_lease *l)
{
	uint8_t wire[DNS_NAME_MAX];
	size_t n;

	if (dns_label_is_host(l->host))
		dhcp_put(r, OPT_HOST, l->host, strlen(l->host));
	if (!dns_label_is_host(l->domain))
		return;
	dhcp_put(r, OPT_DOMAIN, l->domain, strlen(l->domain));
	n = dns_name_encode(l->domain, wire);
	dhcp_put(r, OPT_SEARCH, wire, n);
}

static void put_network(struct dhcp_reply *r, const struct dhcp_lease *l)
{
	dhcp_put32(r, OPT_MASK, l->mask);
	dhcp_put32(r, OPT_BROADCAST, l->ip | ~l->mask);
	dhcp_put32(r, OPT_ROUTER, l->server);
	dhcp_put32(r, OPT_DNS, l->server);
	put16(r, OPT_MTU, l->mtu);
	put_names(r, l);
}

static void dhcp_start(struct dhcp_reply *r, const struct request *q,
		       const struct dhcp_lease *l, uint8_t type)
{
	uint8_t *p = r->bytes;

	memset(p, 0, sizeof(r->bytes));
	p[OFF_OP] = BOOTREPLY;
	p[OFF_HTYPE] = HTYPE_ETHERNET;
	p[OFF_HLEN] = MAC_LEN;
	memcpy(p + OFF_XID, q->bytes + OFF_XID, 4);
	memcpy(p + OFF_FLAGS, q->bytes + OFF_FLAGS, 2);
	memcpy(p + OFF_CHADDR, q->bytes + OFF_CHADDR, CHADDR_LEN);
	be_put32(p + OFF_MAGIC, MAGIC);
	r->len = OFF_OPTIONS;
	dhcp_put(r, OPT_TYPE, &type, 1);
	dhcp_put32(r, OPT_SERVER, l->server);
}

/* RFC 2131, 4.1, "to where": the fields say it. */
static void dhcp_finish(struct dhcp_reply *r, const struct request *q,
			bool is_nak)
{
	bool wants_broadcast = be_get16(q->bytes + OFF_FLAGS) & FLAG_BROADCAST;

	r->bytes[r->len++] = OPT_END;
	if (r->len < MESSAGE_MIN)
		r->len = MESSAGE_MIN;
	memcpy(r->to_mac, q->bytes + OFF_CHADDR, MAC_LEN);
	r->to_ip = q->ciaddr ? q->ciaddr : be_get32(r->bytes + OFF_YIADDR);
	r->is_broadcast = is_nak || (!q->ciaddr && wants_broadcast);
}

static void reply_lease(struct dhcp_reply *r, const struct request *q,
			const struct dhcp_lease *l, uint8_t type)
{
	dhcp_start(r, q, l, type);
	/* Table 3: an ACK repeats it, an OFFER has none. */
	if (type == ACK)
		be_put32(r->bytes + OFF_CIADDR, q->ciaddr);
	be_put32(r->bytes + OFF_YIADDR, l->ip);
	dhcp_put32(r, OPT_LEASE_TIME, LEASE_FOREVER);
	put_network(r, l);
	dhcp_finish(r, q, false);
}

/* --- by type ------------------------------------------------------------- */

static void on_discover(struct dhcp_reply *r, const struct request *q,
			const struct dhcp_lease *l)
{
	reply_lease(r, q, l, OFFER);
}

/* RFC 2131, 4.3.2: by what it holds, a client is selecting a server, has
 * rebooted with an address, or renews one. */
static void on_request(struct dhcp_reply *r, const struct request *q,
		       const struct dhcp_lease *l)
{
	uint32_t wanted = q->requested ? q->requested : q->ciaddr;

	if (q->server && q->server != l->server)
		return;
	if (!wanted)
		return;
	if (wanted == l->ip) {
		reply_lease(r, q, l, ACK);
		r->event = DHCP_GRANTED;
		return;
	}
	dhcp_start(r, q, l, NAK);
	dhcp_finish(r, q, true);
}

static void on_return(struct dhcp_reply *r, const struct request *q,
		      const struct dhcp_lease *l)
{
	if (!q->server || q->server == l->server)
		r->event = DHCP_RETURNED;
}

/* 4.3.5: no address and no lease time, and always to the client's address. */
static void on_inform(struct dhcp_reply *r, const struct request *q,
		      const struct dhcp_lease *l)
{
	if (!q->ciaddr)
		return;
	dhcp_start(r, q, l, ACK);
	be_put32(r->bytes + OFF_CIADDR, q->ciaddr);
	put_network(r, l);
	dhcp_finish(r, q, false);
}

static void (*const handlers[])(struct dhcp_reply *r, const struct request *q,
				const struct dhcp_lease *l) = {
    [DISCOVER] = on_discover, [REQUEST] = on_request, [DECLINE] = on_return,
    [RELEASE] = on_return,    [INFORM] = on_inform,
};

void dhcp_answer(const uint8_t *p, size_t n, const struct dhcp_lease *lease,
		 struct dhcp_reply *ret)
{
	struct request q;

	ret->len = 0;
	ret->event = DHCP_NOTHING;
	if (!is_request(p, n) || !dhcp_parse(&q, p, n))
		return;
	if (q.type < ARRAY_LEN(handlers) && handlers[q.type])
		handlers[q.type](ret, &q, lease);
}
