/* SPDX-License-Identifier: MIT */
/*
 * How the byte stream to the agent comes about: a socketpair behind a
 * virtserialport, or a vsock connection.
 */
#ifndef VMM_TRANSPORT_H
#define VMM_TRANSPORT_H

#include <stdint.h>
#include <sys/socket.h>

#include "agent-proto/err.h"
#include "streams/loop.h"
#include "streams/op.h"

/* Where the agent listens on AF_VSOCK; in the guest, so no two clash. */
#define VSOCK_AGENT_PORT 21762

/* A connected pair of stream sockets: ours is non-blocking, theirs is for the
 * child. Both close-on-exec, owned by the caller. 0 or negative errno. */
int transport_pair(int *ret_ours, int *ret_theirs, struct err *err);

/*
 * Opens /dev/vhost-vsock and binds a random CID to it, which is thereby taken
 * on this host: QEMU gets the descriptor and cannot lose the CID to another.
 * Returns the descriptor.
 */
int transport_reserve_cid(uint32_t *ret_cid, struct err *err);

/*
 * Connects to an address until it answers. A guest that boots gives no sign
 * when its listener stands: before the driver is up a connect stays open in
 * vhost, before the agent listens it is reset. So each try is short, and the
 * next follows after DIAL_RETRY_NS, until the deadline.
 */
struct dial {
	struct op op; /* finishes with 0: fd is connected, non-blocking */
	int fd;	      /* owned; take it by setting -1 */
	struct watch *watch;
	struct timer *timer;
	struct sockaddr_storage addr;
	socklen_t addr_len;
	struct err last; /* why the last try failed */
};

#define DIAL_TRY_NS   (300 * NS_PER_MS)
#define DIAL_RETRY_NS (10 * NS_PER_MS)

void dial_start(struct dial *d, struct loop *l, const struct sockaddr *addr,
		socklen_t addr_len, int64_t deadline_ns);
void dial_vsock_start(struct dial *d, struct loop *l, uint32_t cid,
		      uint32_t port, int64_t deadline_ns);
/* For any dial that was started. */
void dial_done(struct dial *d);

#endif
