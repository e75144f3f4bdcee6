/* SPDX-License-Identifier: MIT */
/*
 * The programs that set up the kernel's network, each fed a batch on its stdin:
 * no shell, one process for many commands. They block for some milliseconds.
 */
#ifndef VMM_NET_KERNEL_RUN_H
#define VMM_NET_KERNEL_RUN_H

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

enum kernel_program {
	KERNEL_IP,
	KERNEL_FDB, /* bridge(8) */
	KERNEL_TC,
	KERNEL_NFT,
	KERNEL_PROGRAMS
};

const char *kernel_program_name(enum kernel_program p);

/* Nothing is run for an empty batch. With -errno err has what the program
 * complained about; ip, bridge and tc have then carried out what stands before
 * that, nft nothing. */
int kernel_run(enum kernel_program p, const struct buf *batch, struct err *err);
/* Every command of it, whatever becomes of the others. */
void kernel_run_all(enum kernel_program p, const struct buf *batch);
/* What it answers to: nft list ruleset, say. argv ends in NULL. */
int kernel_ask(enum kernel_program p, const char *const *args,
	       struct buf *ret_out, struct err *err);

#endif
