/* SPDX-License-Identifier: MIT */
#include "vmm/unpack.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "agent-proto/mem.h"

#define STEP	      (1u << 20)
#define XZ_MEM_MAX    (UINT64_C(512) << 20)
#define ZSTD_LOG_MAX  29 /* a window of 512 MiB at most */
#define LZ4_MAGIC     0x184c2102u
#define LZ4_BLOCK_MAX (8 << 20) /* uncompressed; fixed by the legacy format */

/* Room for the next step, within max; NULL when max is reached. One byte more
 * than max is allowed, so that a stream which ends there is told from one that
 * does not. */
static uint8_t *next_room(struct buf *out, size_t max, size_t *ret_n)
{
	size_t left = max + 1 - out->len;

	if (out->len > max)
		return NULL;
	*ret_n = left < STEP ? left : STEP;
	return buf_room(out, *ret_n);
}

static int copy_plain(const uint8_t *in, size_t n, size_t max, struct buf *out)
{
	if (n > max)
		return -EFBIG;
	buf_append(out, in, n);
	return 0;
}

static bool is_start(enum unpack_format f, const uint8_t *p, size_t n);

static int unpack_gzip(const uint8_t *in, size_t n, size_t max, struct buf *out)
{
	z_stream z = {0};
	int r = Z_OK;

	if (n > UINT_MAX)
		return -EFBIG;
	if (inflateInit2(&z, MAX_WBITS + 16) != Z_OK)
		return -EBADMSG;
	z.next_in = (z_const Bytef *)(uintptr_t)in;
	z.avail_in = (uInt)n;
	while (r == Z_OK) {
		size_t room;
		uint8_t *p = next_room(out, max, &room);

		if (!p)
			break;
		z.next_out = p;
		z.avail_out = (uInt)room;
		r = inflate(&z, Z_NO_FLUSH);
		buf_commit(out, room - z.avail_out);
		if (r == Z_STREAM_END &&
		    is_start(UNPACK_GZIP, z.next_in, z.avail_in))
			r = inflateReset(&z);
	}
	inflateEnd(&z);
	if (out->len > max)
		return -EFBIG;
	return r == Z_STREAM_END ? 0 : -EBADMSG;
}

/* One stream; *ret_n is its length. */
static int unpack_xz_stream(const uint8_t *in, size_t n, size_t max,
			    struct buf *out, size_t *ret_n)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_ret r = lzma_stream_decoder(&s, XZ_MEM_MAX, 0);

	s.next_in = in;
	s.avail_in = n;
	while (r == LZMA_OK) {
		size_t room;
		uint8_t *p = next_room(out, max, &room);

		if (!p)
			break;
		s.next_out = p;
		s.avail_out = room;
		r = lzma_code(&s, LZMA_RUN);
		buf_commit(out, room - s.avail_out);
	}
	*ret_n = n - s.avail_in;
	lzma_end(&s);
	if (out->len > max)
		return -EFBIG;
	return r == LZMA_STREAM_END ? 0 : -EBADMSG;
}

/* Zeros may lie between streams: Stream Padding (xz-file-format.txt, 2.2). */
static int unpack_xz(const uint8_t *in, size_t n, size_t max, struct buf *out)
{
	size_t used;
	int r;

	do {
		r = unpack_xz_stream(in, n, max, out, &used);
		in += used;
		n -= used;
		while (r == 0 && n >= 4 && !memcmp(in, "\0\0\0", 4)) {
			in += 4;
			n -= 4;
		}
	} while (r == 0 && is_start(UNPACK_XZ, in, n));
	return r;
}

/* Frames that hold no data, which may lie before, between and behind others
 * (RFC 8878, 3.1.2). */
static bool is_skippable(const uint8_t *p, size_t n)
{
	return n >= 4 && (p[0] & 0xf0) == 0x50 &&
	       !memcmp(p + 1, "\x2a\x4d\x18", 3);
}

static int unpack_zstd(const uint8_t *in, size_t n, size_t max, struct buf *out)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();
	ZSTD_inBuffer src = {in, n, 0};
	size_t r = 1, was_in, wrote = 1;

	if (!d)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, ZSTD_LOG_MAX);
	/* 0 is the end of a frame; no progress is a cut one. */
	while (r != 0 && !ZSTD_isError(r) && wrote) {
		ZSTD_outBuffer dst = {0};

		dst.dst = next_room(out, max, &dst.size);
		if (!dst.dst)
			break;
		was_in = src.pos;
		r = ZSTD_decompressStream(d, &dst, &src);
		buf_commit(out, dst.pos);
		wrote = dst.pos + src.pos - was_in;
		if (r == 0 &&
		    (is_start(UNPACK_ZSTD, in + src.pos, n - src.pos) ||
		     is_skippable(in + src.pos, n - src.pos)))
			r = 1;
	}
	ZSTD_freeDCtx(d);
	if (out->len > max)
		return -EFBIG;
	return r == 0 ? 0 : -EBADMSG;
}

static uint32_t unpack_le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

/*
 * The legacy frame (lz4_Frame_format.md, "Legacy frame"): magic, then blocks
 * of u32 size and bytes, each 8 MiB unpacked but for the last. A size that is
 * the magic starts the next frame.
 */
static int unpack_lz4(const uint8_t *in, size_t n, size_t max, struct buf *out)
{
	for (size_t at = 0; at < n;) {
		uint32_t size;
		size_t room;
		int r;

		if (n - at < 4)
			return -EBADMSG;
		size = unpack_le32(in + at);
		at += 4;
		if (size == LZ4_MAGIC)
			continue;
		if (size > n - at || size > LZ4_COMPRESSBOUND(LZ4_BLOCK_MAX))
			return -EBADMSG;
		if (out->len >= max)
			return -EFBIG;
		room = max - out->len;
		if (room > LZ4_BLOCK_MAX)
			room = LZ4_BLOCK_MAX;
		r = LZ4_decompress_safe((const char *)in + at,
					(char *)buf_room(out, room), (int)size,
					(int)room);
		if (r < 0)
			return room < LZ4_BLOCK_MAX ? -EFBIG : -EBADMSG;
		buf_commit(out, (size_t)r);
		at += size;
	}
	return 0;
}

static const struct {
	const char *name;
	uint8_t magic[6];
	size_t magic_n;
	int (*unpack)(const uint8_t *in, size_t n, size_t max, struct buf *out);
} formats[] = {
    [UNPACK_NONE] = {"none", "", 0, copy_plain},
    [UNPACK_GZIP] = {"gzip", {0x1f, 0x8b}, 2, unpack_gzip},
    [UNPACK_XZ] = {"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz},
    [UNPACK_ZSTD] = {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
    [UNPACK_LZ4] = {"lz4", {0x02, 0x21, 0x4c, 0x18}, 4, unpack_lz4},
};
static_assert(ARRAY_LEN(formats) == UNPACK_LZ4 + 1, "a row each");

static bool is_start(enum unpack_format f, const uint8_t *p, size_t n)
{
	return n >= formats[f].magic_n &&
	       !memcmp(p, formats[f].magic, formats[f].magic_n);
}

enum unpack_format unpack_detect(const uint8_t *p, size_t n)
{
	for (size_t i = UNPACK_GZIP; i < ARRAY_LEN(formats); i++)
		if (is_start((enum unpack_format)i, p, n))
			return (enum unpack_format)i;
	return UNPACK_NONE;
}

const char *unpack_name(enum unpack_format f)
{
	return formats[f].name;
}

int unpack(enum unpack_format f, const uint8_t *in, size_t n, size_t max,
	   struct buf *out)
{
	return formats[f].unpack(in, n, max, out);
}
