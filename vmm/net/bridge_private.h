/* SPDX-License-Identifier: MIT */
/* What the files of a bridge share. */
#ifndef VMM_NET_BRIDGE_PRIVATE_H
#define VMM_NET_BRIDGE_PRIVATE_H

#include "vmm/net/bridge.h"
#include "vmm/net/gateway.h"
#include "vmm/net/kernel_bridge.h"
#include "vmm/net/leases.h"
#include "vmm/net/switch.h"
#include "vmm/net/uplink.h"
#include "vmm/net/wire.h"

/*
 * 10.NET.BRIDGE.HOST: of the private ranges (RFC 1918) the one that has room
 * for a /24 a bridge, and in it a number that home routers (10.0, 10.1), QEMU's
 * user network (10.0.2) and container engines (10.88, 172.17) leave alone: an
 * uplink must not shadow the host's own networks.
 */
#define NET_PREFIX (UINT32_C(10) << 24 | UINT32_C(77) << 16)
#define NET_MASK   UINT32_C(0xffffff00)
/*
 * fd77:7072:6f76:BRIDGE::/64: unique local addresses (RFC 4193) under a prefix
 * of its own. Guests make the rest of theirs by themselves.
 */
#define NET6_PREFIX                                                            \
	{                                                                      \
		0xfd, 0x77, 0x70, 0x72, 0x6f, 0x76                             \
	}
#define HOST_GATEWAY 1u
#define HOST_UPLINK  2u /* the host itself, where there is an uplink */
#define HOST_FIRST   10u
/* What DHCP tells guests: Ethernet's. The switch takes longer frames too. */
#define NET_MTU 1500u

struct net {
	struct loop *loop;
	char *spool_dir;
	struct wire_arena arena;
	struct bridge *bridges[BRIDGES_MAX]; /* holes are NULL */
	struct kernel_net *kernel; /* NULL: no bridge was the kernel's */
};

struct bridge {
	struct net *net; /* NULL: freed, and kept by open captures */
	struct loop *loop;
	char *name;
	unsigned number; /* 1 to BRIDGES_MAX */
	struct vswitch *sw;
	struct kernel_bridge *kernel; /* NULL: sw is all there is */
	struct gateway gateway;
	/* Where packets of other networks come from, and go to: route.c. */
	struct swport router;
	struct uplink *uplink;	  /* or NULL */
	bool routes[BRIDGES_MAX]; /* by the number of the other, less 1 */
	struct timer *timer; /* for frames on their way; made when needed */
	int64_t armed_ns;    /* what it is set to */
	struct port *ports[PORTS_MAX]; /* holes are NULL */
	struct stream_list captures;
	TAILQ_HEAD(bridge_tap_list, bridge_tap) taps; /* of those not ended */
	struct bridge_log *log;			      /* or NULL */
	unsigned n_holds;
	struct bridge_lease leases[LEASES_MAX];
};

struct port {
	struct bridge *bridge;
	char *guest;
	unsigned slot;
	uint8_t mac[MAC_LEN];
	uint32_t ip;
	uint8_t ip6[IPV6_LEN]; /* where it has one */
	bool has_ip6;
	bool is_ip6_guessed; /* from its MAC; it did not say */
	struct swport swport;
	struct wire wire;
	struct kernel_place place; /* on a bridge of the kernel's */
	bool has_lease;
	bool is_down; /* no link */
	struct port_counters counters;
};

/* 52:54:00 is QEMU's, locally administered; then 0, bridge and host. */
void bridge_host(const struct bridge *b, unsigned host,
		 uint8_t ret_mac[MAC_LEN], uint32_t *ret_ip);
/* The bridge's /64; the rest is zero. */
void bridge_prefix6(const struct bridge *b, uint8_t ret[IPV6_LEN]);
/* A freed bridge goes when its last hold is released. */
void bridge_hold(struct bridge *b);
void bridge_release(struct bridge *b);

/* number: the one that it gets, which is free; 0: the lowest. */
struct bridge *bridge_new_at(struct net *n, const char *name, unsigned number,
			     struct err *err);

/* --- bridge_impair.c: frames that are held back ----------------------------
 */

/* After anything that may have changed when the next one is due. */
void bridge_arm(struct bridge *b);
void bridge_disarm(struct bridge *b);

/* Those of one port, or all: end of file. */
void bridge_end_captures(struct bridge *b, const struct port *only);
/* sw: the switch that it listens to, or NULL. */
struct bridge_log *bridge_log_free(struct bridge_log *l, struct vswitch *sw);

/* The one with this address, or NULL. */
struct port *bridge_port_at(const struct bridge *b, uint32_t ip);

struct port *bridge_port_at6(const struct bridge *b,
			     const uint8_t ip[IPV6_LEN]);
/* The guest speaks IPv6, and takes that address; NULL: it did not say which. */
void port_seen6(struct port *p, const uint8_t *ip);

/* NULL with err: the kernel's bridge has no place for it. */
struct port *port_new(struct bridge *b, unsigned slot, const char *guest,
		      struct err *err);
/* A frame for the guest, from whatever it is plugged into. False: it did not
 * get through (as swport_deliver_cb). */
bool port_receive(struct port *p, const uint8_t *data, size_t n);

/* --- route.c: packets from one bridge to another ---------------------------
 */

void route_join(struct bridge *b);
void route_leave(struct bridge *b);
/* As gateway_owner's forward. */
int route_forward(void *ctx, struct swport *from, const struct frame *f,
		  uint32_t ip);
int route_forward6(void *ctx, struct swport *from, const struct frame *f,
		   const uint8_t ip[IPV6_LEN]);
/* As its send_out. */
void route_send_out(void *ctx, struct swport *from, const struct frame *f);

/* --- bridge_uplink.c ------------------------------------------------------
 */

/* There is an uplink, and ip is reached by it. */
bool bridge_is_outside(const struct bridge *b, uint32_t ip);

/* --- names.c: who is called what, as seen by one port ----------------------
 */

bool names_find_address(const struct port *asker, const char *name,
			uint32_t *ret_ip);
bool names_find_name(const struct port *asker, uint32_t ip,
		     char ret[DNS_NAME_MAX]);
bool names_find_address6(const struct port *asker, const char *name,
			 uint8_t ret_ip[IPV6_LEN]);
bool names_find_name6(const struct port *asker, const uint8_t ip[IPV6_LEN],
		      char ret[DNS_NAME_MAX]);
/* As seen from the bridge itself, which sees those that it has a route to. */
bool names_find_host(const struct bridge *b, const char *name,
		     struct filter_host *ret);
/* Nothing that a bridge could have said: the host's name server may know. */
bool names_is_foreign(const struct port *asker, const char *name);

#endif
