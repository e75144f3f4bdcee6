/* SPDX-License-Identifier: MIT */
/* guest/provium-net.sh, which the default guest gets, embedded at build time.
 */
#ifndef VMM_GUEST_NET_BLOB_H
#define VMM_GUEST_NET_BLOB_H

#include <stddef.h>
#include <stdint.h>

extern const unsigned char guest_net_blob[];
extern const unsigned char guest_net_blob_end[]; /* one past its last byte */

static inline size_t guest_net_blob_len(void)
{
	return (size_t)((uintptr_t)guest_net_blob_end -
			(uintptr_t)guest_net_blob);
}

#endif
