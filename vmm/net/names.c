/* SPDX-License-Identifier: MIT */
/*
 * The names that a guest sees: those of all bridges it is on, and of those that
 * the one which it asks has a route to, as `guest` and
 * `guest.bridge`, and likewise `gateway`, and `host` where there is an uplink.
 * Where one name fits several, the bridge that is asked comes first, then the
 * others in order of their numbers, and guests before those two.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/net/bridge_private.h"

#define GATEWAY_NAME "gateway"
#define UPLINK_NAME  "host"
#define ARPA	     "in-addr.arpa"
#define ARPA6	     "ip6.arpa"
/* Of NET_PREFIX and NET6_PREFIX. */
#define OUR_ARPA  "77.10.in-addr.arpa"
#define OUR_ARPA6 "6.7.f.6.2.7.0.7.7.7.d.f.ip6.arpa"

static const struct port *port_of(const struct bridge *b, const char *guest)
{
	for (size_t i = 0; i < PORTS_MAX; i++)
		if (b->ports[i] && !strcmp(b->ports[i]->guest, guest))
			return b->ports[i];
	return NULL;
}

/* Besides the one that is asked. */
static bool is_visible(const struct port *asker, const struct bridge *b)
{
	return b && b != asker->bridge &&
	       (port_of(b, asker->guest) || bridge_is_routed(asker->bridge, b));
}

static bool names_is_name(const struct bridge *b, const char *host,
			  const char *name)
{
	char full[DNS_NAME_MAX];
	int n;

	if (dns_name_equal(host, name))
		return true;
	n = snprintf(full, sizeof(full), "%s.%s", host, b->name);
	return n > 0 && (size_t)n < sizeof(full) && dns_name_equal(full, name);
}

/* Who has a name: a guest, or a bridge's gateway, or the host behind it. */
struct owner {
	const struct bridge *bridge; /* NULL: nobody */
	const struct port *port;
	bool is_uplink;
};

static struct owner find_on(const struct bridge *b, const char *name)
{
	for (size_t i = 0; i < PORTS_MAX; i++)
		if (b->ports[i] && names_is_name(b, b->ports[i]->guest, name))
			return (struct owner){b, b->ports[i], false};
	if (names_is_name(b, GATEWAY_NAME, name))
		return (struct owner){b, NULL, false};
	if (b->uplink && names_is_name(b, UPLINK_NAME, name))
		return (struct owner){b, NULL, true};
	return (struct owner){0};
}

static struct owner find_owner(const struct port *asker, const char *name)
{
	struct bridge *const *all = asker->bridge->net->bridges;
	struct owner o = find_on(asker->bridge, name);

	for (size_t i = 0; !o.bridge && i < BRIDGES_MAX; i++)
		if (is_visible(asker, all[i]))
			o = find_on(all[i], name);
	return o;
}

bool names_find_address(const struct port *asker, const char *name,
			uint32_t *ret_ip)
{
	struct owner o = find_owner(asker, name);

	if (!o.bridge)
		return false;
	*ret_ip = o.port	? o.port->ip
		  : o.is_uplink ? o.bridge->gateway.uplink_ip
				: o.bridge->gateway.ip;
	return true;
}

bool names_find_address6(const struct port *asker, const char *name,
			 uint8_t ret_ip[IPV6_LEN])
{
	struct owner o = find_owner(asker, name);

	if (!o.bridge || o.is_uplink || !bridge_has_ipv6(o.bridge))
		return false;
	if (o.port)
		return port_ip6(o.port, ret_ip);
	memcpy(ret_ip, o.bridge->gateway.ip6, IPV6_LEN);
	return true;
}

static void tell_host(const struct owner *o, struct filter_host *ret)
{
	const struct bridge *b = o->bridge;

	*ret = (struct filter_host){.ip = o->port	 ? o->port->ip
					  : o->is_uplink ? b->gateway.uplink_ip
							 : b->gateway.ip,
				    .has_mac = true,
				    .has_ip6 =
					!o->is_uplink && bridge_has_ipv6(b)};
	memcpy(ret->mac, o->port ? o->port->mac : b->gateway.mac, MAC_LEN);
	if (!ret->has_ip6)
		return;
	/* One that has not booted will have the address of its MAC. */
	if (!o->port)
		memcpy(ret->ip6, b->gateway.ip6, IPV6_LEN);
	else if (!port_ip6(o->port, ret->ip6))
		port_make_ip6(o->port, ret->ip6);
}

bool names_find_host(const struct bridge *b, const char *name,
		     struct filter_host *ret)
{
	struct bridge *const *all = b->net->bridges;
	struct owner o = find_on(b, name);

	for (size_t i = 0; !o.bridge && i < BRIDGES_MAX; i++)
		if (all[i] && bridge_is_routed(b, all[i]))
			o = find_on(all[i], name);
	if (!o.bridge)
		return false;
	tell_host(&o, ret);
	/* Frames of another bridge have the MAC address of the gateway here. */
	if (o.bridge != b)
		memcpy(ret->mac, b->gateway.mac, MAC_LEN);
	return true;
}

/* --- the other way ---------------------------------------------------------
 */

/* Of one or the other address. */
struct address {
	uint32_t ip;
	const uint8_t *ip6; /* or NULL */
};

static const char *host_at(const struct bridge *b, struct address at)
{
	const struct port *p =
	    at.ip6 ? bridge_port_at6(b, at.ip6) : bridge_port_at(b, at.ip);

	if (at.ip6 && !bridge_has_ipv6(b))
		return NULL;
	if (at.ip6 ? !memcmp(at.ip6, b->gateway.ip6, IPV6_LEN)
		   : at.ip == b->gateway.ip)
		return GATEWAY_NAME;
	if (!at.ip6 && b->uplink && at.ip == b->gateway.uplink_ip)
		return UPLINK_NAME;
	return p ? p->guest : NULL;
}

static bool find_at(const struct bridge *b, struct address at,
		    char ret[DNS_NAME_MAX])
{
	const char *host = host_at(b, at);
	int n;

	if (!host)
		return false;
	n = snprintf(ret, DNS_NAME_MAX, "%s.%s", host, b->name);
	return n > 0 && (size_t)n < DNS_NAME_MAX;
}

static bool names_find_at(const struct port *asker, struct address at,
			  char ret[DNS_NAME_MAX])
{
	struct bridge *const *all = asker->bridge->net->bridges;

	if (find_at(asker->bridge, at, ret))
		return true;
	for (size_t i = 0; i < BRIDGES_MAX; i++)
		if (is_visible(asker, all[i]) && find_at(all[i], at, ret))
			return true;
	return false;
}

bool names_find_name(const struct port *asker, uint32_t ip,
		     char ret[DNS_NAME_MAX])
{
	return names_find_at(asker, (struct address){.ip = ip}, ret);
}

bool names_find_name6(const struct port *asker, const uint8_t ip[IPV6_LEN],
		      char ret[DNS_NAME_MAX])
{
	return names_find_at(asker, (struct address){.ip6 = ip}, ret);
}

/* --- names of others -------------------------------------------------------
 */

/* It is the domain, or in it. */
static bool is_in(const char *name, const char *domain)
{
	size_t n = strlen(name), tail = strlen(domain);

	return n >= tail && dns_name_equal(name + n - tail, domain) &&
	       (n == tail || name[n - tail - 1] == '.');
}

bool names_is_foreign(const struct port *asker, const char *name)
{
	struct bridge *const *all = asker->bridge->net->bridges;

	/* Names of one label are those of hosts near by. */
	if (!strchr(name, '.'))
		return false;
	if (is_in(name, ARPA) || is_in(name, ARPA6))
		return !is_in(name, OUR_ARPA) && !is_in(name, OUR_ARPA6);
	for (size_t i = 0; i < BRIDGES_MAX; i++)
		if (all[i] && is_in(name, all[i]->name))
			return false;
	return true;
}
