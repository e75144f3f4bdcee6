/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/buf.h"
#include "agent-proto/frame.h"
#include "agent-proto/mem.h"
#include "tests/unit/agent-proto/lib_rnd.h"

static int decode(unsigned kind, uint32_t length, unsigned flags)
{
	uint8_t h[FRAME_HEADER] = {(uint8_t)kind, 3, 2, 1};
	struct frame f;

	h[4] = (uint8_t)length;
	h[5] = (uint8_t)(length >> 8);
	h[6] = (uint8_t)(length >> 16);
	h[7] = (uint8_t)flags;
	return frame_decode(&f, h);
}

static void a_header_is_laid_out_as_drawn(void **state)
{
	struct frame f = {
	    .kind = FRAME_DATA,
	    .channel = 0x030201,
	    .length = 0x00f3f2,
	    .flags = FRAME_FIN,
	};
	const uint8_t want[] = {2, 1, 2, 3, 0xf2, 0xf3, 0, 2};
	uint8_t h[FRAME_HEADER];

	(void)state;
	frame_encode(&f, h);
	assert_memory_equal(h, want, sizeof(h));
}

static void what_decodes_encodes_to_the_same_bytes(void **state)
{
	uint8_t in[FRAME_HEADER], out[FRAME_HEADER];
	struct frame f;
	struct rnd r;
	int n = 0;

	(void)state;
	rnd_init(&r, 2);
	for (int i = 0; i < 200000; i++) {
		rnd_fill(&r, in, sizeof(in));
		in[0] %= 8;
		in[6] %= 3;
		in[7] %= 9;
		if (rnd_once_in(&r, 4))
			memset(in + 4, 0, 3);
		if (frame_decode(&f, in) < 0)
			continue;
		n++;
		frame_encode(&f, out);
		assert_memory_equal(in, out, sizeof(in));
	}
	assert_true(n > 5000);
}

static void unknown_kinds_and_flags_are_refused(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 256; kind++) {
		int want = kind == FRAME_MSG || kind == FRAME_DATA ||
				   kind == FRAME_CREDIT
			       ? 0
			       : -EBADMSG;
		assert_int_equal(decode(kind, 4, 0), want);
	}
	for (unsigned flags = 8; flags < 256; flags++) {
		for (unsigned kind = 0; kind < 6; kind++)
			assert_int_equal(decode(kind, 4, flags), -EBADMSG);
	}
}

static void flags_that_make_no_sense_are_refused(void **state)
{
	const unsigned both = FRAME_MORE | FRAME_FIN;

	(void)state;
	assert_int_equal(decode(FRAME_MSG, 9, FRAME_OPEN | FRAME_FIN), 0);
	assert_int_equal(decode(FRAME_MSG, 9, FRAME_OPEN | FRAME_MORE), 0);
	assert_int_equal(decode(FRAME_MSG, 9, both), -EBADMSG);
	assert_int_equal(decode(FRAME_DATA, 9, both), -EBADMSG);
	assert_int_equal(decode(FRAME_DATA, 9, FRAME_OPEN), -EBADMSG);
	assert_int_equal(decode(FRAME_CREDIT, 4, FRAME_FIN), -EBADMSG);
	assert_int_equal(decode(FRAME_RESET, 0, FRAME_MORE), -EBADMSG);
}

static void payloads_too_long_or_missing_are_refused(void **state)
{
	(void)state;
	assert_int_equal(decode(FRAME_DATA, FRAME_PAYLOAD_MAX, 0), 0);
	assert_int_equal(decode(FRAME_DATA, FRAME_PAYLOAD_MAX + 1, 0),
			 -EBADMSG);
	assert_int_equal(decode(FRAME_MSG, 0xffffff, 0), -EBADMSG);
	assert_int_equal(decode(FRAME_MSG, 0, FRAME_FIN), -EBADMSG);
	assert_int_equal(decode(FRAME_DATA, 0, 0), -EBADMSG);
	assert_int_equal(decode(FRAME_DATA, 0, FRAME_MORE), -EBADMSG);
	assert_int_equal(decode(FRAME_DATA, 0, FRAME_FIN), 0);
	assert_int_equal(decode(FRAME_CREDIT, 3, 0), -EBADMSG);
	assert_int_equal(decode(FRAME_CREDIT, 5, 0), -EBADMSG);
	assert_int_equal(decode(FRAME_RESET, 0, 0), 0);
	assert_int_equal(decode(FRAME_RESET, 1, 0), -EBADMSG);
}

/* This layout is for ever: an old agent must be able to say that it is old. */
static void a_hello_is_laid_out_as_ever(void **state)
{
	struct hello h = {
	    .version = 0x04030201,
	    .nonce = UINT64_C(0x0807060504030201),
	    .instance = UINT64_C(0x1817161514131211),
	    .window = 0x24232221,
	};
	const uint8_t want[HELLO_SIZE] = {
	    0xf0, 0xf2, 0xef, 0xf6, 0xe9, 0xf5, 0xed, 0xc0, 0xfe, 0xc1,
	    0xfd, 0xf8, 0xfb, 0xf9, 0xfa, 0xfc, 1,    2,    3,	  4,
	    1,	  2,	3,    4,    5,	  6,	7,    8,    0x11, 0x12,
	    0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x21, 0x22, 0x23, 0x24};
	uint8_t out[HELLO_SIZE];
	struct hello got;

	(void)state;
	hello_encode(&h, out);
	assert_memory_equal(out, want, sizeof(want));
	hello_decode(&got, out + HELLO_MARKER);
	assert_int_equal(got.version, h.version);
	assert_int_equal(got.nonce, h.nonce);
	assert_int_equal(got.instance, h.instance);
	assert_int_equal(got.window, h.window);
}

static void marker_bytes_are_high_and_all_different(void **state)
{
	(void)state;
	for (int i = 0; i < HELLO_MARKER; i++) {
		assert_true(hello_marker[i] >= 0x80);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(hello_marker[i], hello_marker[j]);
	}
}

static size_t naive_find(const uint8_t *p, size_t n)
{
	const uint8_t *at = memmem(p, n, hello_marker, HELLO_MARKER);

	return at ? (size_t)(at - p) : n;
}

static void a_marker_is_found_at_every_offset(void **state)
{
	enum { N = 200 };

	(void)state;
	for (size_t n = 0; n < N; n++) {
		for (size_t at = 0; at + HELLO_MARKER <= n; at++) {
			uint8_t *p = mem_zalloc(n);
			memcpy(p + at, hello_marker, HELLO_MARKER);
			assert_int_equal(hello_find(p, n), at);
			/* Not when its last byte is still missing. */
			assert_int_equal(hello_find(p, at + HELLO_MARKER - 1),
					 at + HELLO_MARKER - 1);
			p[at + n % HELLO_MARKER] ^= 1;
			assert_int_equal(hello_find(p, n), n);
			free(p);
		}
	}
}

static void the_first_marker_is_found_among_its_likes(void **state)
{
	uint8_t p[600];
	struct rnd r;

	(void)state;
	rnd_init(&r, 3);
	for (int i = 0; i < 50000; i++) {
		size_t n = rnd_below(&r, sizeof(p) + 1);
		if (i % 2)
			rnd_fill_markers(&r, p, n);
		else
			rnd_fill(&r, p, n);
		/* Most of these hold one; spoil many of them. */
		for (size_t k = rnd_below(&r, n / 8 + 1); n && k; k--)
			p[rnd_below(&r, n)] = hello_marker[k % 16];
		assert_int_equal(hello_find(p, n), naive_find(p, n));
	}
}

/* Frames of random payloads full of markers, one behind the other. */
static void frame_up(struct rnd *r, const uint8_t *p, size_t n, struct buf *out)
{
	while (n) {
		size_t k = frame_payload_cut(p, n);
		struct frame f = {
		    .kind = rnd_once_in(r, 2) ? FRAME_MSG : FRAME_DATA,
		    .channel = (uint32_t)rnd_below(r, FRAME_CHANNEL_MAX + 1),
		    .length = (uint32_t)k,
		    .flags = k < n ? FRAME_MORE : 0,
		};

		assert_in_range(k, 1, n);
		assert_true(k <= FRAME_PAYLOAD_MAX);
		/* Channel numbers made of marker bytes are the worst. */
		if (rnd_once_in(r, 2))
			f.channel = 0xfcfafb;
		frame_encode(&f, buf_room(out, FRAME_HEADER));
		buf_commit(out, FRAME_HEADER);
		buf_append(out, p, k);
		p += k;
		n -= k;
	}
}

static void unframe(const struct buf *wire, struct buf *out)
{
	const uint8_t *p = buf_data(wire);
	struct frame f;

	for (size_t at = 0; at < wire->len;) {
		assert_int_equal(frame_decode(&f, p + at), 0);
		buf_append(out, p + at + FRAME_HEADER, f.length);
		at += FRAME_HEADER + f.length;
	}
}

static void no_payload_makes_a_marker_on_the_wire(void **state)
{
	struct buf wire = {0}, sent = {0}, got = {0};
	struct rnd r;

	(void)state;
	rnd_init(&r, 4);
	for (int round = 0; round < 3000; round++) {
		buf_reset(&wire);
		buf_reset(&sent);
		buf_reset(&got);
		for (size_t k = rnd_below(&r, 6) + 1; k; k--) {
			size_t n = rnd_below(&r, 200) + 1;
			uint8_t *p = buf_room(&sent, n);
			rnd_fill_markers(&r, p, n);
			buf_commit(&sent, n);
			frame_up(&r, p, n, &wire);
		}
		assert_int_equal(naive_find(buf_data(&wire), wire.len),
				 wire.len);
		unframe(&wire, &got);
		assert_int_equal(got.len, sent.len);
		assert_memory_equal(buf_data(&got), buf_data(&sent), sent.len);
	}
	buf_done(&wire);
	buf_done(&sent);
	buf_done(&got);
}

static void long_payloads_are_cut_at_the_limit(void **state)
{
	size_t n = 3 * FRAME_PAYLOAD_MAX;
	uint8_t *p = mem_zalloc(n);

	(void)state;
	assert_int_equal(frame_payload_cut(p, n), FRAME_PAYLOAD_MAX);
	assert_int_equal(frame_payload_cut(p, 100), 100);
	assert_int_equal(frame_payload_cut(p, 0), 0);
	/* One that straddles the limit is cut by the limit. */
	memcpy(p + FRAME_PAYLOAD_MAX - 3, hello_marker, HELLO_MARKER);
	assert_int_equal(frame_payload_cut(p, n), FRAME_PAYLOAD_MAX);
	memcpy(p + FRAME_PAYLOAD_MAX - 16, hello_marker, HELLO_MARKER);
	assert_in_range(frame_payload_cut(p, n), FRAME_PAYLOAD_MAX - 15,
			FRAME_PAYLOAD_MAX - 1);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_header_is_laid_out_as_drawn),
	    cmocka_unit_test(what_decodes_encodes_to_the_same_bytes),
	    cmocka_unit_test(unknown_kinds_and_flags_are_refused),
	    cmocka_unit_test(flags_that_make_no_sense_are_refused),
	    cmocka_unit_test(payloads_too_long_or_missing_are_refused),
	    cmocka_unit_test(a_hello_is_laid_out_as_ever),
	    cmocka_unit_test(marker_bytes_are_high_and_all_different),
	    cmocka_unit_test(a_marker_is_found_at_every_offset),
	    cmocka_unit_test(the_first_marker_is_found_among_its_likes),
	    cmocka_unit_test(no_payload_makes_a_marker_on_the_wire),
	    cmocka_unit_test(long_payloads_are_cut_at_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
