/* SPDX-License-Identifier: MIT */
/*
 * Whether this host lets us have networks in its kernel, and what is missing,
 * in words; for bridges of that kind, and for `provium doctor`.
 */
#ifndef VMM_NET_KERNEL_HOST_H
#define VMM_NET_KERNEL_HOST_H

#include "agent-proto/err.h"
#include "agent-proto/mem.h"

/* 0, or -errno and all that is missing: programs, /dev/net/tun, the right to
 * make interfaces. */
int kernel_host_check(struct err *err);

/* What works less well than it could, a sentence each, where
 * kernel_host_check() says yes: no netem, frames that go through the host's own
 * firewall, what runs that died have left. */
void kernel_host_hints(struct strvec *ret);

#endif
