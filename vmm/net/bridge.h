/* SPDX-License-Identifier: MIT */
/*
 * A network of guests, without root: a learning Ethernet switch in this
 * process's loop. Each NIC is one end of a socketpair, which carries frames
 * behind their lengths (QEMU: -netdev stream); the other end is a port here.
 *The bridge has a port of its own, its gateway, which gives leases by DHCP,
 * answers for names, and can be pinged.
 *
 *	guest a -- port --.            .-- port -- guest b
 *	                   \__switch__/
 *	                       |   `-- taps (captures)
 *	                    gateway: ARP, ICMP echo, DHCP, DNS; IPv6
 *
 * Addresses are the same in every run: they follow from the order in which
 * bridges were made and guests attached. Everything from a guest is hostile.
 */
#ifndef VMM_NET_BRIDGE_H
#define VMM_NET_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "streams/capture.h"
#include "streams/loop.h"
#include "streams/stream.h"
#include "vmm/net/addr.h"
#include "vmm/net/impair.h"

#define BRIDGES_MAX 250u
/* Ports of one bridge: hosts of its /24, without the gateway. */
#define PORTS_MAX 240u

struct net;
struct bridge;
struct port;
struct shaper_counters;
struct wire_socket;

/* What the bridges of one worker share: numbers for addresses. spool_dir, a
 * folder on disk for captures that are read slowly, is copied. */
struct net *net_new(struct loop *l, const char *spool_dir);
/* Every bridge must be freed before. */
struct net *net_free(struct net *n);

/* name: the domain of its guests' names; copied. NULL with err: -ENOSPC. */
struct bridge *bridge_new(struct net *n, const char *name, struct err *err);
/* Captures end (EOF); ports are freed, their guests see silence. Streams of
 * captures may outlive it. */
struct bridge *bridge_free(struct bridge *b);
const char *bridge_name(const struct bridge *b);
/*
 * From now on it is a bridge of the kernel's, with a TAP for each guest: as
 * fast as that is, seen by the tools of the host, and with the kernel's own
 * impairments. Before any guest is attached. 0, or -errno: what is missing; the
 * bridge is of no use then.
 */
int bridge_use_kernel(struct bridge *b, struct err *err);
bool bridge_is_kernel(const struct bridge *b);
/* From now on it is one of IPv6, too: the gateway announces a prefix, and names
 * have addresses of both kinds. Before any guest is attached. */
void bridge_enable_ipv6(struct bridge *b);
bool bridge_has_ipv6(const struct bridge *b);
/* The gateway ignores DHCP clients from now on. Callers do this before they
 * attach a guest. */
void bridge_disable_dhcp(struct bridge *b);
bool bridge_has_dhcp(const struct bridge *b);
/* The gateway's. */
void bridge_ip6(const struct bridge *b, uint8_t ret[IPV6_LEN]);
/* The gateway's address, host byte order. */
uint32_t bridge_ip(const struct bridge *b);
/* Its open captures, those of single ports among them: what a snapshot of a
 * guest on it must refuse on. */
struct stream_list *bridge_captures(struct bridge *b);

/*
 * A guest's place on the bridge, with its MAC, its address and its name; from
 * attach to detach, however often the guest boots. guest: the host part of its
 * DNS name, `guest` and `guest.bridge`; copied. A guest may have a port on any
 * number of bridges (the gateway of each answers for the names on all of
 * them), one on each: else NULL with err -EEXIST; -ENOSPC: PORTS_MAX.
 */
struct port *bridge_attach(struct bridge *b, const char *guest,
			   struct err *err);
/* Detaches; the guest's end goes silent, captures of the port end (EOF). */
struct port *port_free(struct port *p);

/* The guest boots: *ret_theirs is the end for QEMU, close-on-exec, the
 * caller's: a datagram socket, or where port_is_tap() a TAP. A socket of an
 * earlier boot is closed. 0 or -errno. */
int port_plug(struct port *p, int *ret_theirs, struct err *err);
bool port_is_tap(const struct port *p);
/* The guest is off. Idempotent. */
void port_unplug(struct port *p);
/* The guest has restarted: the DHCP clients behind its NIC ask anew. */
void port_restarted(struct port *p);
/* A cable that moves while the guest runs: what is on our end of its NIC's
 * socket is the port's from now on, as is the NIC's MAC, until the next
 * port_plug(). port_take() gives it back (vmm/net/wire.h); where it was a TAP
 * that is one, and the port is then to be freed: it takes no other place than
 * on a bridge of the kernel's. There a socket is joined with a TAP of our own.
 * 0 or -errno: -EBUSY where that is no place for a TAP, and the socket is still
 * the caller's; else it is taken all the same. */
int port_give(struct port *p, struct wire_socket *take,
	      const uint8_t mac[MAC_LEN], struct err *err);
void port_take(struct port *p, struct wire_socket *ret);
/* Its MAC is that of its place, which tells its addresses, and not one that a
 * NIC brought along. */
bool port_is_home(const struct port *p);
/* It would be with that MAC. */
bool port_is_home_mac(const struct port *p, const uint8_t mac[MAC_LEN]);
/* Another port of the net has that MAC. */
bool port_mac_is_taken(const struct port *p, const uint8_t mac[MAC_LEN]);
/* One of the same bridge has. */
bool port_mac_clashes(const struct port *p, const uint8_t mac[MAC_LEN]);

/* Whether there is a link; at first there is. Without one no frame passes,
 * either way. What the guest sees of it is QEMU's to say. */
void port_set_link(struct port *p, bool is_up);
bool port_has_link(const struct port *p);

struct bridge *port_bridge(const struct port *p);
const char *port_guest(const struct port *p);
const uint8_t *port_mac(const struct port *p); /* MAC_LEN bytes */
/* The address that DHCP gives it, host byte order: known from the start. */
uint32_t port_ip(const struct port *p);
/* The IPv6 address that the guest has in this boot; false: none yet. Made of
 * its MAC (RFC 4291) unless it has taken another. */
bool port_ip6(const struct port *p, uint8_t ret[IPV6_LEN]);
/* The one that is made of its MAC; and: the guest was given that. */
void port_make_ip6(const struct port *p, uint8_t ret[IPV6_LEN]);
void port_gave_ip6(struct port *p);
/* It was given in this boot. */
bool port_has_lease(const struct port *p);

/* As seen by the guest, since it was attached. dropped: frames for it that
 * found its queue full. errors: what it sent that no switch takes, too short,
 * too long or from the address of a group. */
struct port_counters {
	uint64_t rx_frames, rx_bytes;
	uint64_t tx_frames, tx_bytes;
	uint64_t dropped, errors;
};
void port_counters(const struct port *p, struct port_counters *ret);

/*
 * Guests of the two reach each other by their gateways, which decrement the
 * TTL, from now on and both ways; names resolve likewise. A packet is under
 * the rules of both networks. Not over a third one: that wants its own route.
 */
void bridge_route(struct bridge *a, struct bridge *b);
bool bridge_is_routed(const struct bridge *a, const struct bridge *b);
/* The one that follows after, which may be NULL, in order of their numbers. */
const struct bridge *bridge_next_route(const struct bridge *b,
				       const struct bridge *after);

/*
 * A way to what the host reaches (vmm/net/uplink.h): guests' packets for other
 * networks go there, as do names that no bridge has, for the host's name
 * server. The host itself is `host` and `host.bridge`. Both are idempotent;
 * flows end with it. 0 or -errno.
 */
int bridge_enable_uplink(struct bridge *b, struct err *err);
void bridge_disable_uplink(struct bridge *b);
bool bridge_has_uplink(const struct bridge *b);

/*
 * What the network does to the frames from one port to another, or with NULL
 * from or to any (vmm/net/impair.h; vmm/net/shaper.h says how). The gateway is
 * never impaired: guests get their addresses, and find each other's names, in
 * the worst of networks. Change what is pointed to, then say so with
 * bridge_impaired(), which for a bridge of the kernel's fails with -errno where
 * that does not do it: then all is as it was.
 */
struct impairment *bridge_impairment(struct bridge *b, const struct port *from,
				     const struct port *to);
/* The same to read; all zero where nothing was set. */
struct impairment bridge_get_impairment(const struct bridge *b,
					const struct port *from,
					const struct port *to);
int bridge_impaired(struct bridge *b, struct err *err);
/* The network is perfect again. */
int bridge_reset_impairments(struct bridge *b, struct err *err);
/* The chances of what comes repeat those of any other run with this seed.
 * -ENOTSUP: the kernel's do not. */
int bridge_seed(struct bridge *b, uint64_t seed, struct err *err);
/* What was done to frames since the bridge was made. */
void bridge_shaper_counters(const struct bridge *b,
			    struct shaper_counters *ret);

/*
 * Taps the whole bridge, where a frame is seen once, when it enters the
 * switch; or one port: the frames that its guest sends, and those that reach
 * its NIC (not without a link, or where the NIC's queue is full). Frames
 * that were on their way when this was called are not in it, every later one
 * is. The stream is the caller's; NULL with err as for capture_new().
 */
struct stream *bridge_capture(struct bridge *b, struct port *only,
			      const struct capture_options *o,
			      const struct stream_label *label,
			      struct err *err);

#endif
