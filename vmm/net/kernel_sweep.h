/* SPDX-License-Identifier: MIT */
/* What runs that died have left in this network namespace: bridges, IFBs and
 * tables of nftables of tags that nobody holds (kernel_name.h). TAPs have gone
 * by themselves. */
#ifndef VMM_NET_KERNEL_SWEEP_H
#define VMM_NET_KERNEL_SWEEP_H

#include "agent-proto/mem.h"

/* The names of the bridges and IFBs, appended. */
void kernel_sweep_find(struct strvec *ret);
/* Removes all of it. What is removed by somebody else at the same time is no
 * error; nothing of a run that lives is touched. */
void kernel_sweep(void);

#endif
