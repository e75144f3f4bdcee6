/* SPDX-License-Identifier: MIT */
/*
 * The names that a guest sees: those of all bridges it is on, and of those that
 * the one which it asks has a route to, as `guest` and
 * `guest.bridge`, and `gateway` likewise. Where one name fits several, the
 * bridge that is asked comes first, then the others in order of their numbers,
 * and guests before the gateway.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/net/bridge_private.h"

#define GATEWAY_NAME "gateway"

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
	if (!is_name(b, GATEWAY_NAME, name))
		return false;
	*ret_ip = b->gateway.ip;
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
	if (ip == b->gateway.ip)
		return GATEWAY_NAME;
	for (size_t i = 0; i < PORTS_MAX; i++)
		if (b->ports[i] && b->ports[i]->ip == ip)
			return b->ports[i]->guest;
	return NULL;
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
