/* SPDX-License-Identifier: MIT */
/*
 * The names that a guest sees: those of all bridges it is on, as `guest` and
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

/* The i-th bridge to look at, with the asked one as 0; NULL: not one. */
static const struct bridge *visible(const struct port *asker, size_t i)
{
	const struct bridge *asked = asker->bridge;
	const struct bridge *b;

	if (!i)
		return asked;
	b = asked->net->bridges[i - 1];
	return b && b != asked && port_of(b, asker->guest) ? b : NULL;
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
	const struct bridge *b;

	for (size_t i = 0; i <= BRIDGES_MAX; i++) {
		b = visible(asker, i);
		if (b && find_on(b, name, ret_ip))
			return true;
	}
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

bool names_find_name(const struct port *asker, uint32_t ip,
		     char ret[DNS_NAME_MAX])
{
	const struct bridge *b;
	const char *host;
	int n;

	for (size_t i = 0; i <= BRIDGES_MAX; i++) {
		b = visible(asker, i);
		host = b ? host_at(b, ip) : NULL;
		if (!host)
			continue;
		n = snprintf(ret, DNS_NAME_MAX, "%s.%s", host, b->name);
		return n > 0 && (size_t)n < DNS_NAME_MAX;
	}
	return false;
}
