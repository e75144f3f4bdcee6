/* SPDX-License-Identifier: MIT */
/*
 * Decompression in memory: kernel payloads and modules. The format is told by
 * its magic bytes.
 */
#ifndef VMM_UNPACK_H
#define VMM_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"

enum unpack_format {
	UNPACK_NONE, /* none of the others */
	UNPACK_GZIP,
	UNPACK_XZ,
	UNPACK_ZSTD,
	UNPACK_LZ4, /* the legacy frame, which kernels use */
};

enum unpack_format unpack_detect(const uint8_t *p, size_t n);
const char *unpack_name(enum unpack_format f);

/*
 * Appends what in holds to out. Streams of the same format may follow each
 * other: all count, as for the formats' own tools. Other bytes behind them are
 * ignored, but for LZ4, whose legacy frame has no end mark. Returns 0, -EBADMSG
 * for damaged or cut bytes, or -EFBIG where the result would exceed max; out is
 * then undefined. UNPACK_NONE copies.
 */
int unpack(enum unpack_format f, const uint8_t *in, size_t n, size_t max,
	   struct buf *out);

#endif
