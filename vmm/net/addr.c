/* SPDX-License-Identifier: MIT */
#include "vmm/net/addr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

void mac_format(const uint8_t mac[MAC_LEN], char ret[MAC_TEXT_MAX])
{
	snprintf(ret, MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
		 mac[1], mac[2], mac[3], mac[4], mac[5]);
}

int mac_parse(const char *text, uint8_t ret[MAC_LEN])
{
	for (int i = 0; i < MAC_LEN; i++, text += 3) {
		char *end;
		unsigned long v = isxdigit((unsigned char)*text)
				      ? strtoul(text, &end, 16)
				      : ULONG_MAX;

		if (v > 0xff || end != text + 2 ||
		    *end != (i < MAC_LEN - 1 ? ':' : '\0'))
			return -EINVAL;
		ret[i] = (uint8_t)v;
	}
	return 0;
}

void ipv4_format(uint32_t ip, char ret[IPV4_TEXT_MAX])
{
	snprintf(ret, IPV4_TEXT_MAX, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 0xff,
		 ip >> 8 & 0xff, ip & 0xff);
}

void ipv6_format(const uint8_t ip[IPV6_LEN], char ret[IPV6_TEXT_MAX])
{
	inet_ntop(AF_INET6, ip, ret, IPV6_TEXT_MAX);
}
