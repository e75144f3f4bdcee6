/* SPDX-License-Identifier: MIT */
#include "vmm/net/leases.h"

#include <assert.h>
#include <string.h>

#include "vmm/net/bridge_private.h"

/* The last host of a /24. */
#define HOST_LAST 254u
static_assert(LEASES_MAX == HOST_LAST - HOST_FIRST + 1, "a lease an address");

static bool leases_is_own(const struct port *p, const uint8_t mac[MAC_LEN])
{
	return !memcmp(p->mac, mac, MAC_LEN);
}

static bool leases_is_of(const struct bridge_lease *l, const struct port *p,
			 const struct dhcp_client *c)
{
	bool is_same_mac = !memcmp(l->mac, c->mac, MAC_LEN);

	if (l->port != p ||
	    leases_is_own(p, l->mac) != leases_is_own(p, c->mac))
		return false;
	if (leases_is_own(p, c->mac))
		return true;
	if (!c->id_len)
		return is_same_mac && !l->id_len;
	return l->id_len == c->id_len && !memcmp(l->id, c->id, c->id_len);
}

static struct bridge_lease *leases_find(struct bridge *b, const struct port *p,
					const struct dhcp_client *c)
{
	for (size_t i = 0; i < LEASES_MAX; i++)
		if (leases_is_of(&b->leases[i], p, c))
			return &b->leases[i];
	return NULL;
}

static const struct bridge_lease *find_ip(const struct bridge *b, uint32_t ip)
{
	for (size_t i = 0; i < LEASES_MAX; i++)
		if (b->leases[i].port && b->leases[i].ip == ip)
			return &b->leases[i];
	return NULL;
}

bool leases_has(const struct bridge *b, uint32_t ip)
{
	return find_ip(b, ip);
}

/* --- a new client ----------------------------------------------------------
 */

static struct bridge_lease *find_place(struct bridge *b, const struct port *p)
{
	struct bridge_lease *place = NULL;
	size_t n = 0;

	for (size_t i = 0; i < LEASES_MAX; i++) {
		n += b->leases[i].port == p;
		if (!place && !b->leases[i].port)
			place = &b->leases[i];
	}
	return n < LEASES_PORT_MAX ? place : NULL;
}

/* Whether the address is one of the network's that nobody has. */
static bool is_spare(const struct bridge *b, uint32_t ip)
{
	uint32_t host = ip & ~NET_MASK;

	return (ip & NET_MASK) == (b->gateway.ip & NET_MASK) &&
	       host >= HOST_FIRST && host <= HOST_LAST &&
	       !bridge_port_at(b, ip) && !find_ip(b, ip);
}

/* The port's own, unless somebody has it, or the client wants back another that
 * it had before its guest was restored. 0: there are no more. */
static uint32_t leases_choose(const struct bridge *b, const struct port *p,
			      const struct dhcp_client *c)
{
	uint32_t net = b->gateway.ip & NET_MASK;
	bool wants_spare = c->wanted && is_spare(b, c->wanted);

	if (!find_ip(b, p->ip) && (leases_is_own(p, c->mac) || !wants_spare))
		return p->ip;
	if (wants_spare)
		return c->wanted;
	for (uint32_t host = HOST_LAST; host >= HOST_FIRST; host--)
		if (is_spare(b, net | host))
			return net | host;
	return 0;
}

uint32_t leases_give(struct bridge *b, const struct port *p,
		     const struct dhcp_client *c)
{
	struct bridge_lease *l = leases_find(b, p, c);

	if (l) {
		memcpy(l->mac, c->mac, MAC_LEN);
		return l->ip;
	}
	l = c->is_asking ? find_place(b, p) : NULL;
	if (!l)
		return 0;
	l->ip = leases_choose(b, p, c);
	if (!l->ip)
		return 0;
	l->port = p;
	memcpy(l->mac, c->mac, MAC_LEN);
	l->id_len = (uint8_t)c->id_len;
	memcpy(l->id, c->id, c->id_len);
	return l->ip;
}

/* --- ends ------------------------------------------------------------------
 */

void leases_return(struct bridge *b, const struct port *p,
		   const struct dhcp_client *c)
{
	struct bridge_lease *l = leases_find(b, p, c);

	if (l)
		*l = (struct bridge_lease){0};
}

void leases_forget(struct bridge *b, const struct port *p)
{
	for (size_t i = 0; i < LEASES_MAX; i++)
		if (b->leases[i].port == p)
			b->leases[i] = (struct bridge_lease){0};
}

const struct port *leases_find_host(const struct bridge *b, uint32_t ip,
				    uint8_t ret_mac[MAC_LEN])
{
	const struct bridge_lease *l = find_ip(b, ip);
	const struct port *p = l ? l->port : bridge_port_at(b, ip);

	if (p)
		memcpy(ret_mac, l ? l->mac : p->mac, MAC_LEN);
	return p;
}
