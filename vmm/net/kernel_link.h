/* SPDX-License-Identifier: MIT */
/* What is asked of the kernel itself, by rtnetlink(7): it comes with each cable
 * that a test pulls, so no program is run for it. */
#ifndef VMM_NET_KERNEL_LINK_H
#define VMM_NET_KERNEL_LINK_H

#include <stdbool.h>

/* Whether frames pass that port of a Linux bridge. 0 or -errno. */
int kernel_link_pass(const char *port, bool is_passing);
/* This process may change interfaces of its network namespace. */
bool kernel_link_may_change(void);

#endif
