/* SPDX-License-Identifier: MIT */
/* What the files of a bridge of the kernel's share. */
#ifndef VMM_NET_KERNEL_PRIVATE_H
#define VMM_NET_KERNEL_PRIVATE_H

#include "vmm/net/bridge_private.h"
#include "vmm/net/kernel_link.h"
#include "vmm/net/kernel_name.h"
#include "vmm/net/kernel_plan.h"

struct kernel_net {
	struct kernel_tag tag;
	unsigned n_taps; /* made so far: no name comes twice */
};

struct kernel_bridge {
	char name[IF_NAMESIZE];
	char ifb[IF_NAMESIZE];
	struct tap trunk;
	struct swport swport;	   /* of the trunk, for what goes everywhere */
	struct kernel_plan plan;   /* what the kernel has now */
	struct impair_table rules; /* that it is made of */
	bool is_closing;
};

/* The name of the next TAP, or -ENOSPC. */
int kernel_next_tap(struct kernel_net *n, char ret[IF_NAMESIZE],
		    struct err *err);
/* That port has left: its rules are gone, and its TAP with what was on it. */
void kernel_bridge_forget(struct bridge *b, const struct swport *swport,
			  const char *tap);

#endif
