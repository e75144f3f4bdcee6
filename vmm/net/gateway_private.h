/* SPDX-License-Identifier: MIT */
/* What the gateway's IPv4 and IPv6 have in common. */
#ifndef VMM_NET_GATEWAY_PRIVATE_H
#define VMM_NET_GATEWAY_PRIVATE_H

#include "vmm/net/gateway.h"
#include "vmm/net/packet6.h"

/* As dns_answer(), of the owner's names as `from` sees them. */
size_t gateway_resolve(struct gateway *g, struct swport *from,
		       const struct udp_view *udp, uint8_t *ret);

/* Takes a fragment of a datagram for the gateway, as reassembly_add(). A whole
 * datagram of more than max bytes is dropped. The reply to one is cut. */
const uint8_t *gateway_assemble(struct gateway *g, const struct fragment *f,
				size_t max, size_t *ret_len);

/* As gateway_answer(), of a frame that is for the gateway, or for all. */
size_t gateway6_answer(struct gateway *g, struct swport *from,
		       const struct frame *f, const struct eth_view *eth);

#endif
