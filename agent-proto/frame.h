/* SPDX-License-Identifier: MIT */
/*
 * Frames: what one byte stream between host and agent consists of.
 *
 *	 0      1          4          7      8
 *	+------+----------+----------+------+-----------------
 *	| kind | channel  | length   | flags| payload ...
 *	+------+----------+----------+------+-----------------
 *	  u8     u24 LE     u24 LE     u8     length bytes
 *
 * and, at any place, a HELLO, which is not a frame:
 *
 *	16 bytes marker, then HELLO_BODY bytes: version u32, nonce u64,
 *	instance u64, window u32
 *
 * The marker is recognised anywhere in the stream, so a HELLO resynchronises
 * whatever was cut off before it. That is sound because a sender never lets
 * the marker appear otherwise: every marker byte is >= 0x80 while the first
 * and last byte of a header are < 0x10, so no run of 16 bytes that touches a
 * header can equal it; and payloads that contain it are cut inside it into
 * two frames (frame_payload_cut()).
 *
 * The layout of HELLO never changes, whatever the version.
 */
#ifndef AGENT_PROTO_FRAME_H
#define AGENT_PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER	  8
#define FRAME_PAYLOAD_MAX 65536
#define FRAME_CHANNEL_MAX 0xffffff

#define HELLO_MARKER	  16
#define HELLO_BODY	  24
#define HELLO_SIZE	  (HELLO_MARKER + HELLO_BODY)

enum frame_kind {
	FRAME_MSG = 1,	  /* a message, or a piece of one */
	FRAME_DATA = 2,	  /* bytes, counted against the channel's credit */
	FRAME_CREDIT = 3, /* u32: so many more bytes may be sent */
	FRAME_RESET = 4,  /* the channel is given up; no payload */
};

#define FRAME_MORE 1u /* the next frame of this kind continues this one */
#define FRAME_FIN  2u /* the last frame of this direction */
#define FRAME_OPEN 4u /* the first frame of a channel; host, MSG only */

struct frame {
	enum frame_kind kind;
	uint32_t channel;
	uint32_t length;
	unsigned flags;
};

struct hello {
	uint32_t version;
	uint64_t nonce;	   /* the host's choice, echoed by the agent */
	uint64_t instance; /* 0 from the host; the agent's start, at random */
	uint32_t window;   /* credit that a new channel starts with */
};

extern const uint8_t hello_marker[HELLO_MARKER];

void frame_encode(const struct frame *f, uint8_t out[FRAME_HEADER]);
/* 0, or -EBADMSG for an unknown kind, flag, an oversized or missing payload. */
int frame_decode(struct frame *f, const uint8_t in[FRAME_HEADER]);

void hello_encode(const struct hello *h, uint8_t out[HELLO_SIZE]);
/* in is the body, without the marker; every body decodes. */
void hello_decode(struct hello *h, const uint8_t in[HELLO_BODY]);

/* Offset of the first marker in p[0..n), or n. */
size_t hello_find(const uint8_t *p, size_t n);

/* How much of p[0..n) one frame may carry: n, or less to cut a marker. */
size_t frame_payload_cut(const uint8_t *p, size_t n);

#endif
