/* SPDX-License-Identifier: MIT */
/* The agent program that every guest gets, embedded at build time. */
#ifndef VMM_AGENT_BLOB_H
#define VMM_AGENT_BLOB_H

extern const unsigned char agent_blob[];
extern const unsigned char agent_blob_end[]; /* one past its last byte */

#endif
