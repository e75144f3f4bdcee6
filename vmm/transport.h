/* SPDX-License-Identifier: MIT */
/*
 * How the byte streams to QEMU come about: the one to the agent is a socketpair
 * behind a virtserialport, or a vsock connection; the console's are two pipes.
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
 * The pipe to which QEMU prints the console: ours is the end that is read,
 * non-blocking. The kernel puts single bytes, which is how a UART prints, into
 * one page of a pipe, while a socket takes 278 of them at the most. It holds
 * CONSOLE_PIPE_SIZE bytes, or as many as the kernel grants (pipe(7),
 * pipe-user-pages-soft). Both close-on-exec, owned by the caller.
 */
int transport_pipe_from(int *ret_ours, int *ret_theirs, struct err *err);
/* The pipe from which QEMU reads what is typed: ours is written. */
int transport_pipe_to(int *ret_ours, int *ret_theirs, struct err *err);

/* Bytes: two seconds of a UART that prints as fast as KVM lets it, some 100
 * KB/s. A user without privileges has 64 MiB for all pipes (pipe(7)). */
#define CONSOLE_PIPE_SIZE (256 << 10)

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
