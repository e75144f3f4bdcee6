/* SPDX-License-Identifier: MIT */
/*
 * Any frames from hostile guests, at any times, through a switch with a
 * gateway on it. The input is a row of records: port, seconds that went by,
 * length (two bytes), the frame. What a port said never comes back to it,
 * what comes is a frame, the gateway's address stays the gateway's, and no
 * port holds more addresses than it may.
 *
 * The checksum of IPv4 is put right where the port's number says so, or
 * nothing would ever get past it.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "tests/fuzz/mend.h"
#include "vmm/net/gateway.h"
#include "vmm/net/packet_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define PORTS  4u
#define RECORD 4u

static const uint8_t gateway_mac[MAC_LEN] = {0x52, 0x54, 0, 0, 1, 1};

struct world {
	struct vswitch *sw;
	struct gateway g;
	struct swport port[PORTS];
	uint64_t heard;
	uint64_t seen;
};

static bool on_frame(void *ctx, struct swport *from, const struct frame *f)
{
	struct world *w = ctx;

	assert(f->len >= FRAME_MIN && f->len <= FRAME_MAX);
	assert(!mac_is_group(f->data + MAC_LEN));
	assert(from->sw == w->sw);
	w->heard++;
	return true;
}

static void on_seen(void *ctx, const struct frame *f)
{
	struct world *w = ctx;

	assert(f->len >= FRAME_MIN);
	w->seen++;
}

static bool on_lease(void *ctx, const struct swport *from,
		     const struct dhcp_client *client, struct dhcp_lease *ret)
{
	struct world *w = ctx;

	assert(client->id_len <= DHCP_CLIENT_ID_MAX);
	assert(from >= w->port && from < w->port + PORTS);
	*ret = (struct dhcp_lease){.ip = 0x0a4d010a,
				   .mask = 0xffffff00,
				   .server = 0x0a4d0101,
				   .mtu = 1500,
				   .host = "a",
				   .domain = "lan"};
	return true;
}

static void on_leased(void *ctx, const struct swport *from,
		      const struct dhcp_client *client, bool is_leased)
{
	(void)client;
	(void)ctx;
	(void)from;
	(void)is_leased;
}

static bool on_address(void *ctx, const struct swport *from, const char *name,
		       uint32_t *ret_ip)
{
	(void)ctx;
	(void)from;
	*ret_ip = 0x0a4d010a;
	return dns_name_equal(name, "a");
}

static bool on_name(void *ctx, const struct swport *from, uint32_t ip,
		    char ret[DNS_NAME_MAX])
{
	(void)ctx;
	(void)from;
	snprintf(ret, DNS_NAME_MAX, "a.lan");
	return ip >> 24 == 10;
}

static int on_forward(void *ctx, struct swport *from, const struct frame *f,
		      uint32_t ip)
{
	uint8_t *copy = mem_dup(f->data, f->len);

	(void)ctx;
	(void)from;
	ipv4_age(copy);
	free(copy);
	return (int)(ip & 3) - 1;
}

static bool on_address6(void *ctx, const struct swport *from, const char *name,
			uint8_t ret_ip[IPV6_LEN])
{
	(void)ctx;
	(void)from;
	memset(ret_ip, 1, IPV6_LEN);
	return dns_name_equal(name, "a");
}

static bool on_name6(void *ctx, const struct swport *from,
		     const uint8_t ip[IPV6_LEN], char ret[DNS_NAME_MAX])
{
	(void)ctx;
	(void)from;
	snprintf(ret, DNS_NAME_MAX, "a.lan");
	return ip[0] == 0xfd;
}

static void on_seen6(void *ctx, const struct swport *from, const uint8_t *ip)
{
	(void)ctx;
	(void)from;
	assert(!ip || ip[0] == 0xfd);
}

static int on_forward6(void *ctx, struct swport *from, const struct frame *f,
		       const uint8_t ip[IPV6_LEN])
{
	uint8_t *copy = mem_dup(f->data, f->len);

	(void)ctx;
	(void)from;
	ipv6_age(copy);
	free(copy);
	return (int)(ip[15] & 3) - 1;
}

static bool on_is_foreign(void *ctx, const struct swport *from,
			  const char *name)
{
	(void)ctx;
	(void)from;
	return *name == 'f';
}

static void on_send_out(void *ctx, struct swport *from, const struct frame *f)
{
	int code = on_forward(ctx, from, f, 0);

	(void)code;
}

static const struct gateway_owner owner = {
    .lease = on_lease,
    .leased = on_leased,
    .address = on_address,
    .name = on_name,
    .address6 = on_address6,
    .name6 = on_name6,
    .seen6 = on_seen6,
    .forward6 = on_forward6,
    .is_foreign = on_is_foreign,
    .forward = on_forward,
    .send_out = on_send_out,
};

/* The line that a report has of it. */
static void check_text(const uint8_t *frame, size_t n)
{
	struct buf line = {0};

	packet_text(&line, frame, n);
	assert(line.len > 0);
	for (size_t i = 0; i < line.len; i++)
		assert(buf_data(&line)[i] >= ' ' && buf_data(&line)[i] <= '~');
	buf_done(&line);
}

static void put(struct world *w, const uint8_t *record, size_t n,
		int64_t now_ns)
{
	struct swport *port = &w->port[record[0] % PORTS];
	uint8_t *bytes = mem_dup(record + RECORD, n);
	struct frame f = {bytes, n, now_ns};
	uint64_t seen = w->seen;

	if (record[0] & 0x80)
		mend_checksums(bytes, n);
	check_text(bytes, n);
	if (vswitch_input(port, &f))
		assert(w->seen > seen);
	else
		assert(w->seen == seen);
	assert(port->n_macs <= VSWITCH_PORT_MACS_MAX);
	assert(w->g.port.n_macs == 1);
	free(bytes);
}

static void run(struct world *w, const uint8_t *p, size_t n)
{
	int64_t now_ns = 0;

	while (n >= RECORD) {
		size_t len = be_get16(p + 2);

		if (len > n - RECORD)
			len = n - RECORD;
		now_ns += p[1] * NS_PER_SEC;
		put(w, p, len, now_ns);
		p += RECORD + len;
		n -= RECORD + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct world *w = mem_zalloc(sizeof(*w));
	struct vtap tap = {.seen = on_seen, .ctx = w};

	w->sw = vswitch_new();
	memcpy(w->g.mac, gateway_mac, MAC_LEN);
	w->g.ip = 0x0a4d0101;
	w->g.mask = 0xffffff00;
	memcpy(w->g.ip6, "\xfd\x77prov\0\1\0\0\0\0\0\0\0\1", IPV6_LEN);
	w->g.link_local[0] = 0xfe;
	w->g.link_local[1] = 0x80;
	ipv6_set_host(w->g.link_local, gateway_mac);
	w->g.mtu = 1500;
	w->g.has_ip6 = true;
	w->g.uplink_ip = 0x0a4d0102;
	w->g.owner = &owner;
	w->g.ctx = w;
	gateway_join(&w->g, w->sw);
	for (unsigned i = 0; i < PORTS; i++)
		vswitch_add(w->sw, &w->port[i], on_frame, w);
	vswitch_tap(w->sw, &tap);

	run(w, p, n);

	vswitch_untap(w->sw, &tap);
	for (unsigned i = 0; i < PORTS; i++)
		vswitch_remove(&w->port[i]);
	gateway_leave(&w->g);
	vswitch_free(w->sw);
	free(w);
	return 0;
}
