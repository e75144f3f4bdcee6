/* SPDX-License-Identifier: MIT */
/* A packet as one line for people: who sends what to whom. */
#ifndef VMM_NET_PACKET_TEXT_H
#define VMM_NET_PACKET_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"

/* Appends the line of an Ethernet frame of n bytes, without a newline. The
 * frame is a guest's: any bytes give a line of printable ASCII. */
void packet_text(struct buf *out, const uint8_t *frame, size_t n);

#endif
