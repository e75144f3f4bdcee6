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
#define OUR_ARPA     "77.10.in-addr.arpa" /* of NET_PREFIX */

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

static bool is_name(const struct bridge *b, const char *host, const char *name)
{
	char full[DNS_NAME_MAX];
	int n;

	if (dns_name_equal(host, name))
		return true;
	n = snprintf(full, sizeof(full), "%s.%s", host, b->name);
	return n > 0 && (size_t)n < sizeof(full) && dns_name_equal(full, name);
}

static bool find_on(const struct bridge *b, const char *name, uint32_t *ret_ip)
{
	for (size_t i = 0; i < PORTS_MAX; i++) {
		if (!b->ports[i] || !is_name(b, b->ports[i]->guest, name))
			continue;
		*ret_ip = b->ports[i]->ip;
		return true;
	}
	if (is_name(b, GATEWAY_NAME, name))
		*ret_ip = b->gateway.ip;
	else if (b->uplink && is_name(b, UPLINK_NAME, name))
		*ret_ip = b->gateway.uplink_ip;
	else
		return false;
	return true;
}

bool names_find_address(const struct port *asker, const char *name,
			uint32_t *ret_ip)
{
	struct bridge *const *all = asker->bridge->net->bridges;

	if (find_on(asker->bridge, name, ret_ip))
		return true;
	for (size_t i = 0; i < BRIDGES_MAX; i++)
		if (is_visible(asker, all[i]) && find_on(all[i], name, ret_ip))
			return true;
	return false;
}

static const char *host_at(const struct bridge *b, uint32_t ip)
{
	const struct port *p = bridge_port_at(b, ip);

	if (ip == b->gateway.ip)
		return GATEWAY_NAME;
	if (b->uplink && ip == b->gateway.uplink_ip)
		return UPLINK_NAME;
	return p ? p->guest : NULL;
}

static bool find_at(const struct bridge *b, uint32_t ip, char ret[DNS_NAME_MAX])
{
	const char *host = host_at(b, ip);
	int n;

	if (!host)
		return false;
	n = snprintf(ret, DNS_NAME_MAX, "%s.%s", host, b->name);
	return n > 0 && (size_t)n < DNS_NAME_MAX;
}

bool names_find_name(const struct port *asker, uint32_t ip,
		     char ret[DNS_NAME_MAX])
{
	struct bridge *const *all = asker->bridge->net->bridges;

	if (find_at(asker->bridge, ip, ret))
		return true;
	for (size_t i = 0; i < BRIDGES_MAX; i++)
		if (is_visible(asker, all[i]) && find_at(all[i], ip, ret))
			return true;
	return false;
}

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
	if (is_in(name, ARPA))
		return !is_in(name, OUR_ARPA);
	for (size_t i = 0; i < BRIDGES_MAX; i++)
		if (all[i] && is_in(name, all[i]->name))
			return false;
	return true;
}
