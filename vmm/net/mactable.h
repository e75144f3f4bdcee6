/* SPDX-License-Identifier: MIT */
/* Which address is behind which port of a switch (switch.h has the limits). */
#ifndef VMM_NET_MACTABLE_H
#define VMM_NET_MACTABLE_H

#include <stdint.h>

#include "vmm/net/switch.h"

struct mactable;

struct mactable *mactable_new(void);
/* Ports were forgotten before. */
struct mactable *mactable_free(struct mactable *t);

/* mac was seen behind p; an address that is pinned stays where it is. */
void mactable_learn(struct mactable *t, struct swport *p,
		    const uint8_t mac[MAC_LEN], int64_t now_ns);
void mactable_pin(struct mactable *t, struct swport *p,
		  const uint8_t mac[MAC_LEN]);
/* NULL: not known, or silent for too long. */
struct swport *mactable_find(struct mactable *t, const uint8_t mac[MAC_LEN],
			     int64_t now_ns);
void mactable_forget(struct mactable *t, struct swport *p);

#endif
