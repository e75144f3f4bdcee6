/* SPDX-License-Identifier: MIT */
#include "agent-proto/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "agent-proto/le.h"

#define CREDIT_PAYLOAD 4
/* Where a marker inside a payload is cut: both halves are harmless. */
#define MARKER_CUT (HELLO_MARKER / 2)

/* The place of a byte in the marker, from 1; 0 for all other bytes. */
static const uint8_t marker_place[256];

static bool is_valid(const struct frame *f)
{
	bool more = f->flags & FRAME_MORE, fin = f->flags & FRAME_FIN;

	switch (f->kind) {
	case FRAME_MSG:
		return f->length && !(more && fin) &&
		       f->flags <= (FRAME_MORE | FRAME_FIN | FRAME_OPEN);
	case FRAME_DATA:
		return (f->length || f->flags == FRAME_FIN) && !(more && fin) &&
		       f->flags <= (FRAME_MORE | FRAME_FIN);
	case FRAME_CREDIT:
		return f->length == CREDIT_PAYLOAD && !f->flags;
	case FRAME_RESET:
		return !f->length && !f->flags;
	}
	return false;
}

void frame_encode(const struct frame *f, uint8_t out[FRAME_HEADER])
{
	assert(f->channel <= FRAME_CHANNEL_MAX);
	assert(f->length <= FRAME_PAYLOAD_MAX && is_valid(f));
	out[0] = (uint8_t)f->kind;
	le_put24(out + 1, f->channel);
	le_put24(out + 4, f->length);
	out[7] = (uint8_t)f->flags;
}

int frame_decode(struct frame *f, const uint8_t in[FRAME_HEADER])
{
	f->kind = in[0];
	f->channel = le_get24(in + 1);
	f->length = le_get24(in + 4);
	f->flags = in[7];
	return f->length <= FRAME_PAYLOAD_MAX && is_valid(f) ? 0 : -EBADMSG;
}

void hello_encode(const struct hello *h, uint8_t out[HELLO_SIZE])
{
	memcpy(out, hello_marker, HELLO_MARKER);
	out += HELLO_MARKER;
	le_put32(out, h->version);
	le_put64(out + 4, h->nonce);
	le_put64(out + 12, h->instance);
	le_put32(out + 20, h->window);
}

void hello_decode(struct hello *h, const uint8_t in[HELLO_BODY])
{
	h->version = le_get32(in);
	h->nonce = le_get64(in + 4);
	h->instance = le_get64(in + 12);
	h->window = le_get32(in + 20);
}

static inline bool touches_four(const uint8_t *p)
{
	unsigned a = marker_place[p[0]];
	unsigned b = marker_place[p[HELLO_MARKER]];
	unsigned c = marker_place[p[2 * HELLO_MARKER]];
	unsigned d = marker_place[p[3 * HELLO_MARKER]];

	return a | b | c | d;
}

/*
 * Boyer, Moore and Horspool: look at the byte where the marker would end, and
 * move on by how far that byte is from the end of the marker. As hardly a byte
 * occurs in the marker, this goes in steps of 16 most of the time; so look
 * ahead for four such steps, which do not have to wait for each other.
 */
size_t hello_find(const uint8_t *p, size_t n)
{
	size_t end = HELLO_MARKER - 1;

	while (end < n) {
		if (n - end > 3 * HELLO_MARKER && !touches_four(p + end)) {
			end += 4 * HELLO_MARKER;
			continue;
		}
		size_t place = marker_place[p[end]];
		if (place < HELLO_MARKER) {
			end += HELLO_MARKER - place;
			continue;
		}
		const uint8_t *at = p + end + 1 - HELLO_MARKER;
		if (!memcmp(at, hello_marker, HELLO_MARKER))
			return (size_t)(at - p);
		end += HELLO_MARKER;
	}
	return n;
}

size_t frame_payload_cut(const uint8_t *p, size_t n)
{
	if (n > FRAME_PAYLOAD_MAX)
		n = FRAME_PAYLOAD_MAX;
	size_t at = hello_find(p, n);
	return at < n ? at + MARKER_CUT : n;
}

/*
 * All bytes differ, so no two markers overlap; all are >= 0x80 (frame.h). The
 * first seven say provium with the high bit set; most of the others occur in
 * no UTF-8 text.
 */
/* clang-format off */
#define MARKER(X)                                                              \
	X(0, 0xf0) X(1, 0xf2) X(2, 0xef) X(3, 0xf6) X(4, 0xe9) X(5, 0xf5)      \
	X(6, 0xed) X(7, 0xc0) X(8, 0xfe) X(9, 0xc1) X(10, 0xfd) X(11, 0xf8)    \
	X(12, 0xfb) X(13, 0xf9) X(14, 0xfa) X(15, 0xfc)
/* clang-format on */

#define BYTE(i, byte) [i] = (byte),
const uint8_t hello_marker[HELLO_MARKER] = {MARKER(BYTE)};

#define PLACE(i, byte) [byte] = (i) + 1,
static const uint8_t marker_place[256] = {MARKER(PLACE)};
