/* SPDX-License-Identifier: MIT */
/*
 * What provium's interfaces and tables in the kernel are called. A run has a
 * tag, six hex digits, that no other run in this network namespace has while it
 * lives: it holds an abstract Unix socket of that name, and these are of a
 * network namespace, too. So names are unique, and what is left of a run that
 * died is known by a tag that nobody holds.
 *
 *	pvTAGbN		bridge N, and its tables of nftables
 *	pvTAGiN		its IFB (kernel_plan.h)
 *	pvTAGtN		a TAP
 */
#ifndef VMM_NET_KERNEL_NAME_H
#define VMM_NET_KERNEL_NAME_H

#include <net/if.h>
#include <stdbool.h>

#include "agent-proto/err.h"

#define KERNEL_TAG_LEN 6
/* So that a name fits. */
#define KERNEL_NUMBER_MAX 99999u

enum kernel_kind {
	KERNEL_BRIDGE = 'b',
	KERNEL_IFB = 'i',
	KERNEL_TAP = 't',
};

struct kernel_tag {
	char text[KERNEL_TAG_LEN + 1];
	int fd; /* the socket; -1: none is held */
};

/* A new one. 0 or -errno. */
int kernel_tag_take(struct kernel_tag *ret, struct err *err);
/* This one; -EADDRINUSE: it is another's. */
int kernel_tag_take_text(struct kernel_tag *ret, const char *text);
void kernel_tag_done(struct kernel_tag *t);

void kernel_name(const struct kernel_tag *t, enum kernel_kind kind,
		 unsigned number, char ret[IF_NAMESIZE]);
/* The tag and the kind of name; false: it is none of ours. */
bool kernel_name_parse(const char *name, char ret_tag[KERNEL_TAG_LEN + 1],
		       enum kernel_kind *ret_kind);

#endif
