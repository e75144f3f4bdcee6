/* SPDX-License-Identifier: MIT */
/*
 * A DNS responder over UDP without I/O or state (RFC 1035; an OPT record, RFC
 * 6891, is understood): the bytes of a query and a directory of names give the
 * bytes of a response.
 *
 * A, AAAA and PTR are answered; another type of a name that exists has no
 * records; a name that does not exist is NXDOMAIN, unless the directory says
 * that it is another server's to answer. There is no cache and no delegation.
 */
#ifndef VMM_NET_DNS_H
#define VMM_NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/net/addr.h"
#include "vmm/net/dns_name.h"

#define DNS_PORT 53u
/* Header, question, one record with a name, OPT: below the 512 bytes that
 * every client takes, but for absurdly long names in the question. */
#define DNS_REPLY_MAX 1232u
/* Seconds that a client may keep an answer: addresses of a restored guest's
 * peers may be others. */
#define DNS_TTL 1u

/* Names as seen by who asks; compare with dns_name_equal(). */
struct dns_directory {
	/* True: there is such a name. */
	bool (*address)(void *ctx, const char *name, uint32_t *ret_ip);
	bool (*name)(void *ctx, uint32_t ip, char ret[DNS_NAME_MAX]);
	/* The same of IPv6; NULL: there are none. What has a name of IPv4 has
	 * none other here. */
	bool (*address6)(void *ctx, const char *name, uint8_t ret_ip[IPV6_LEN]);
	bool (*name6)(void *ctx, const uint8_t ip[IPV6_LEN],
		      char ret[DNS_NAME_MAX]);
	/* The name is another server's, if it is not in here. NULL: none is. */
	bool (*is_foreign)(void *ctx, const char *name);
	void *ctx;
};

#define DNS_FOREIGN SIZE_MAX
/* The length of the response; 0: none is due; DNS_FOREIGN: the query, well
 * formed, is another server's. */
size_t dns_answer(const uint8_t *p, size_t n, const struct dns_directory *d,
		  uint8_t ret[DNS_REPLY_MAX]);

#endif
